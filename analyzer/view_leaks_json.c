/* DESIGN's "leaks" shape and more. What is not known is null, never 0: a program that reads it must not take a process that
 * nobody checked for one without leaks. */
#include <string.h>

#include "json_write.h"
#include "model.h"
#include "units.h"
#include "view_leaks.h"

static void optional_u64(struct json *j, const char *key, bool known, uint64_t value)
{
	json_key(j, key);
	if (known)
		json_u64(j, value);
	else
		json_null(j);
}

static void amount(struct json *j, const char *key, struct leak_amount a)
{
	json_key(j, key);
	json_object_begin(j);
	json_key_u64(j, "bytes", a.bytes);
	json_key_u64(j, "blocks", profile_whole(a.blocks));
	json_object_end(j);
}

static void age(struct json *j, const char *key, const struct model *m, uint64_t born_ns)
{
	uint64_t ns;

	json_key(j, key);
	if (view_leaks_age(m, born_ns, &ns))
		json_double(j, (double)ns / (double)NS_PER_S);
	else
		json_null(j);
}

static void leak(struct json *j, const struct view_leaks *in, size_t i)
{
	const struct leak *l = &in->leaks->items[i];

	json_object_begin(j);
	json_key_u64(j, "id", i);
	json_key_u64(j, "bytes", l->all.bytes);
	json_key_u64(j, "blocks", profile_whole(l->all.blocks));
	json_key_string(j, "kind", l->indirect ? "indirect" : "direct");
	json_key_bool(j, "confirmed", l->confirmed.blocks >= l->all.blocks);
	json_key_u64(j, "confirmed_bytes", l->confirmed.bytes);
	json_key_u64(j, "confirmed_blocks", profile_whole(l->confirmed.blocks));
	optional_u64(j, "owner", l->owner != LEAK_NO_OWNER, l->owner);
	json_key_u64(j, "held_bytes", l->held.bytes);
	json_key_u64(j, "held_blocks", profile_whole(l->held.blocks));
	json_key_u64(j, "samples", l->all.samples);
	json_key_double(j, "error_bytes", l->error_bytes);
	age(j, "oldest_s", in->m, l->first_ns);
	age(j, "newest_s", in->m, l->last_ns);
	json_key(j, "frames");
	view_json_frames(j, in->leaks->frames, l->frames, l->depth, in->full_frames);
	json_object_end(j);
}

static void totals(struct json *j, const struct view_leaks *in)
{
	const struct leaks *l = in->leaks;
	struct leak_amount none = { 0 }, direct = l ? l->direct : none, indirect = l ? l->indirect : none;

	optional_u64(j, "leaked_bytes", l, direct.bytes + indirect.bytes);
	optional_u64(j, "leaked_blocks", l, profile_whole(direct.blocks + indirect.blocks));
	json_key_bool(j, "reachability_checked", l != NULL);
	json_key_bool(j, "lower_bound", l && in->m->leaks.sampled);
	if (!l)
		return;
	json_key_double(j, "error_bytes", l->error_bytes);
	amount(j, "direct", l->direct);
	amount(j, "indirect", l->indirect);
	amount(j, "confirmed", l->confirmed);
}

static void check(struct json *j, const struct model_leaks *c)
{
	json_key(j, "check");
	if (!c->recorded) {
		json_null(j);
		return;
	}
	json_object_begin(j);
	json_key_bool(j, "done", c->done);
	json_key_string(j, "method", c->method);
	json_key_string(j, "note", c->note);
	json_key_u64(j, "checks", c->checks);
	json_key_u64(j, "time_ns", c->time_ns);
	json_key_u64(j, "pause_ns", c->pause_ns);
	json_key_u64(j, "check_ns", c->check_ns);
	json_key_u64(j, "cpu_ns", c->cpu_ns);
	json_key_u64(j, "memory_bytes", c->memory_bytes);
	json_key_u64(j, "threads", c->threads);
	json_key_u64(j, "threads_missed", c->threads_missed);
	json_key_u64(j, "blocks", c->blocks);
	json_key_u64(j, "block_bytes", c->block_bytes);
	json_key_u64(j, "root_bytes", c->root_bytes);
	json_key_u64(j, "unread_bytes", c->unread_bytes);
	json_object_end(j);
}

static void notes(struct json *j, const struct view_leaks *in)
{
	struct buf text = { 0 };

	view_leaks_notes(in, &text);
	j->out->failed |= text.failed;
	json_key(j, "notes");
	json_array_begin(j);
	for (char *line = text.data, *end; line && (end = strchr(line, '\n')); line = end + 1)
		json_string_n(j, line, (size_t)(end - line));
	json_array_end(j);
	buf_done(&text);
}

static void suppressed(struct json *j, const struct view_leaks *in)
{
	json_key(j, "suppressed");
	json_array_begin(j);
	for (size_t i = 0; in->leaks && i < in->leaks->hidden_count; i++) {
		const struct leak_hidden *h = &in->leaks->hidden[i];
		const struct suppression *s = &in->suppressions->items[h->suppression];

		json_object_begin(j);
		json_key_string(j, "template", s->template);
		json_key_string(j, "source", s->source);
		json_key_u64(j, "line", s->line);
		json_key_u64(j, "bytes", h->amount.bytes);
		json_key_u64(j, "blocks", profile_whole(h->amount.blocks));
		json_object_end(j);
	}
	json_array_end(j);
}

static void survivors(struct json *j, const struct suspect *s)
{
	json_key(j, "survivors");
	json_array_begin(j);
	for (size_t i = 0; i < s->survivor_count; i++) {
		json_object_begin(j);
		json_key_double(j, "older_than_s", (double)s->survivors[i].age_ns / (double)NS_PER_S);
		json_key_u64(j, "blocks", s->survivors[i].blocks);
		json_object_end(j);
	}
	json_array_end(j);
}

static void suspect(struct json *j, const struct view_leaks *in, const struct suspect *s)
{
	bool grows = s->reason == SUSPECT_GROWS;
	double per_request;

	json_object_begin(j);
	json_key_double(j, "bytes_per_minute", s->trend.slope);
	if (view_leaks_per_request(in, s, &per_request))
		json_key_double(j, "bytes_per_request", per_request);
	if (grows && in->snapshots > 2) {
		json_key_double(j, "bytes_per_minute_low", s->trend.low);
		json_key_double(j, "bytes_per_minute_high", s->trend.high);
		json_key_double(j, "interval_level", s->trend.level);
	}
	json_key_double(j, "confidence", suspect_confidence(s));
	json_key_string(j, "certainty", suspect_certainty(s));
	json_key_string(j, "reason", grows ? "grows" : "survives");
	json_key_u64(j, "bytes", s->bytes);
	json_key_u64(j, "blocks", s->blocks);
	if (grows) {
		json_key_i64(j, "grown_bytes", s->grown_bytes);
		json_key_u64(j, "intervals", s->trend.intervals);
		json_key_u64(j, "intervals_grown", s->trend.risen);
		survivors(j, s);
	} else {
		json_key_double(j, "freed_within_s", (double)s->freed_within_ns / (double)NS_PER_S);
	}
	json_key(j, "frames");
	view_json_frames(j, in->suspects->frames, s->frames, s->depth, in->full_frames);
	json_object_end(j);
}

static void suspects(struct json *j, const struct view_leaks *in)
{
	const struct suspects *s = in->suspects;

	json_key(j, "suspects");
	json_array_begin(j);
	for (size_t i = 0; s && i < s->count && (in->top == 0 || i < in->top); i++)
		suspect(j, in, &s->items[i]);
	json_array_end(j);
	json_key(j, "suspects_from");
	json_object_begin(j);
	json_key_u64(j, "snapshots", in->snapshots);
	json_key_double(j, "seconds", (double)in->span_ns / (double)NS_PER_S);
	optional_u64(j, "levelled_off", s, s ? s->levelled : 0);
	json_key_string(j, "note", s ? "" : in->suspects_note);
	json_object_end(j);
}

static void not_freed(struct json *j, const struct view_leaks *in)
{
	const struct profile *p = in->not_freed;
	uint64_t blocks = 0;

	json_key(j, "not_freed");
	if (!p) {
		json_null(j);
		return;
	}
	for (size_t i = 0; i < p->stack_count; i++)
		blocks += p->stacks[i].count;
	json_object_begin(j);
	json_key_u64(j, "bytes", p->total);
	json_key_u64(j, "blocks", blocks);
	json_key(j, "stacks");
	json_array_begin(j);
	for (size_t i = 0; i < p->stack_count && (in->top == 0 || i < in->top); i++) {
		const struct profile_stack *s = &p->stacks[i];

		json_object_begin(j);
		json_key_u64(j, "bytes", s->value);
		json_key_u64(j, "blocks", s->count);
		json_key(j, "frames");
		view_json_frames(j, p->frames, s->frames, s->depth, in->full_frames);
		json_object_end(j);
	}
	json_array_end(j);
	json_object_end(j);
}

void view_leaks_json(struct buf *out, const struct view_leaks *in)
{
	struct json j;

	json_init(&j, out);
	json_object_begin(&j);
	json_key_string(&j, "snapshot", in->path);
	json_key_string(&j, "comm", in->m->comm);
	json_key_u64(&j, "pid", in->m->pid);
	totals(&j, in);
	json_key_u64(&j, "lost", in->lost);
	check(&j, &in->m->leaks);
	notes(&j, in);
	json_key(&j, "leaks");
	json_array_begin(&j);
	for (size_t i = 0; in->leaks && i < in->leaks->told && (in->top == 0 || i < in->top); i++)
		leak(&j, in, i);
	json_array_end(&j);
	suppressed(&j, in);
	suspects(&j, in);
	not_freed(&j, in);
	json_object_end(&j);
	buf_add_char(out, '\n');
}
