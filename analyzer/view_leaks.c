#include "view_leaks.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "headline.h"
#include "model.h"
#include "units.h"

enum { TEXT_LEAKS = 20, TEXT_OWNED = 5, TEXT_SUSPECTS = 10, TEXT_FRAMES = 12, TEXT_OWNED_FRAMES = 6 };

/* ---- pieces ------------------------------------------------------------------------------------------------------- */

static void duration(const struct view *v, uint64_t ns)
{
	char text[32];

	buf_add_str(v->out, units_print_duration(text, sizeof(text), ns));
}

static void rounded_bytes(const struct view *v, uint64_t bytes)
{
	char text[32];

	buf_add_str(v->out, units_print_bytes(text, sizeof(text), bytes));
}

static void counted(const struct view *v, uint64_t n, const char *one, const char *many)
{
	view_count(v, n);
	buf_printf(v->out, " %s", n == 1 ? one : many);
}

static uint64_t blocks_of(struct leak_amount a)
{
	return profile_whole(a.blocks);
}

/* "200 bytes in 2 blocks"; of samples "at least 1.2 MiB (+- 400 KiB), from 3 samples". */
static void amount(const struct view *v, const struct model *m, struct leak_amount a, double error_bytes)
{
	if (!m->leaks.sampled) {
		counted(v, a.bytes, "byte", "bytes");
		buf_add_str(v->out, " in ");
		counted(v, blocks_of(a), "block", "blocks");
		return;
	}
	buf_add_str(v->out, "at least ");
	rounded_bytes(v, a.bytes);
	if (error_bytes > 0) {
		buf_add_str(v->out, " (+- ");
		rounded_bytes(v, (uint64_t)(error_bytes + 0.5));
		buf_add_char(v->out, ')');
	}
	buf_add_str(v->out, ", from ");
	counted(v, a.samples, "sample", "samples");
}

/* "file.c:12" or "function (module)", of the frame by which the stack is called. */
static void place(const struct view *v, const struct profile_frame *frames, const uint32_t *list, uint32_t depth,
                  bool full)
{
	const struct profile_frame *f;
	const char *slash;

	if (depth == 0) {
		buf_add_str(v->out, "unknown place");
		return;
	}
	f = &frames[list[headline_find(frames, list, depth, 1)]];
	slash = f->file ? strrchr(f->file, '/') : NULL;
	view_style(v, VIEW_BOLD);
	if (f->file && f->line) {
		view_text(v, VIEW_PLAIN, slash && !full ? slash + 1 : f->file);
		buf_printf(v->out, ":%u", f->line);
	} else {
		view_text(v, VIEW_PLAIN, f->function);
	}
	view_style(v, VIEW_PLAIN);
	buf_add_str(v->out, ": ");
}

static void stack(const struct view *v, const struct profile_frame *frames, const uint32_t *list, uint32_t depth,
                  unsigned indent, uint32_t most)
{
	buf_printf(v->out, "%*sallocated by\n", (int)indent, "");
	view_stack(v, frames, list, depth, indent + 4, most);
}

bool view_leaks_age(const struct model *m, uint64_t born_ns, uint64_t *ret_ns)
{
	if (born_ns == 0 || m->leaks.time_ns == 0)
		return false;
	/* Births are kept to a tenth of a second: one may seem to follow the check. */
	*ret_ns = m->leaks.time_ns > born_ns ? m->leaks.time_ns - born_ns : 0;
	return true;
}

/* ---- leaks -------------------------------------------------------------------------------------------------------- */

static void confirmed(const struct view *v, const struct leak *l)
{
	if (l->confirmed.blocks >= l->all.blocks)
		buf_add_str(v->out, ", confirmed");
	else if (l->confirmed.blocks <= 0)
		buf_add_str(v->out, ", not confirmed");
	else
		buf_add_str(v->out, ", partly confirmed");
}

static void age_line(const struct view *v, const struct model *m, const struct leak *l, unsigned indent)
{
	uint64_t oldest, newest;

	if (!view_leaks_age(m, l->first_ns, &oldest) || !view_leaks_age(m, l->last_ns, &newest))
		return;
	buf_printf(v->out, "%*s", (int)indent, "");
	if (l->first_ns == l->last_ns) {
		buf_add_str(v->out, "allocated ");
		duration(v, oldest);
	} else {
		buf_add_str(v->out, "the oldest was allocated ");
		duration(v, oldest);
		buf_add_str(v->out, ", the newest ");
		duration(v, newest);
	}
	buf_add_str(v->out, " before the check\n");
}

static void leak_text(const struct view *v, const struct view_leaks *in, const struct leak *l, bool below)
{
	const struct leaks *leaks = in->leaks;
	unsigned indent = below ? 8 : 4;

	buf_printf(v->out, "%*s", below ? 4 : 0, "");
	place(v, leaks->frames, l->frames, l->depth, in->full_frames);
	if (below) {
		view_text(v, VIEW_DIM, "held: ");
	} else {
		view_text(v, VIEW_BAD, "leak: ");
	}
	amount(v, in->m, l->all, l->error_bytes);
	buf_add_str(v->out, l->indirect ? ", indirect" : ", direct");
	confirmed(v, l);
	buf_add_char(v->out, '\n');
	if (l->indirect && !below)
		buf_add_str(v->out, "    which other leak holds it is not known\n");
	age_line(v, in->m, l, indent);
	stack(v, leaks->frames, l->frames, l->depth, indent,
	      in->full_frames ? 0
	      : below         ? TEXT_OWNED_FRAMES
	                      : TEXT_FRAMES);
}

struct entry {
	const struct leak *leak;
	uint64_t bytes; /* with what it holds */
};

static int largest_first(const void *left, const void *right)
{
	const struct entry *a = left, *b = right;

	if (a->bytes != b->bytes)
		return a->bytes > b->bytes ? -1 : 1;
	return (a->leak > b->leak) - (a->leak < b->leak); /* the order of leaks.items */
}

/* What each leak holds, as a list: first[owner], then next[], in the order of leaks.items. LEAK_NO_OWNER ends it. */
static uint32_t *owned_lists(const struct leaks *l)
{
	uint32_t *first = malloc(2 * (l->told + 1) * sizeof(*first)), *next;

	if (!first)
		return NULL;
	next = first + l->told;
	for (size_t i = 0; i < l->told; i++)
		first[i] = LEAK_NO_OWNER;
	for (size_t i = l->told; i-- > 0;) {
		uint32_t owner = l->items[i].owner;

		if (owner < l->told) {
			next[i] = first[owner];
			first[owner] = (uint32_t)i;
		}
	}
	return first;
}

static void owned_text(const struct view *v, const struct view_leaks *in, const uint32_t *lists, size_t owner)
{
	const struct leaks *l = in->leaks;
	size_t shown = 0, left = 0;

	for (uint32_t i = lists[owner]; i != LEAK_NO_OWNER; i = lists[l->told + i]) {
		if (shown < TEXT_OWNED || in->full_frames) {
			leak_text(v, in, &l->items[i], true);
			shown++;
		} else {
			left++;
		}
	}
	if (left)
		buf_printf(v->out, "    ... and %zu more that it holds (--full-frames, --json)\n", left);
}

/* Direct leaks by all that is lost with them, each with what it holds below it; indirect ones without an owner among them. */
static void leaks_text(const struct view *v, const struct view_leaks *in)
{
	const struct leaks *l = in->leaks;
	struct entry *list = calloc(l->told + 1, sizeof(*list));
	uint32_t *owned = owned_lists(l);
	size_t n = 0, shown, most = in->top ? (size_t)in->top : TEXT_LEAKS;

	v->out->failed |= !list || !owned;
	for (size_t i = 0; list && owned && i < l->told; i++)
		if (l->items[i].owner == LEAK_NO_OWNER)
			list[n++] = (struct entry){ &l->items[i], l->items[i].all.bytes + l->items[i].held.bytes };
	if (n)
		qsort(list, n, sizeof(*list), largest_first);
	for (shown = 0; shown < n && shown < most; shown++) {
		buf_add_char(v->out, '\n');
		leak_text(v, in, list[shown].leak, false);
		if (list[shown].leak->held.samples)
			owned_text(v, in, owned, (size_t)(list[shown].leak - l->items));
	}
	if (shown < n)
		buf_printf(v->out, "\n... and %zu more (--top N, --json)\n", n - shown);
	free(list);
	free(owned);
}

static void suppressed_text(const struct view *v, const struct view_leaks *in)
{
	const struct leaks *l = in->leaks;

	if (!l->hidden_count)
		return;
	buf_add_char(v->out, '\n');
	view_text(v, VIEW_BOLD, "suppressed");
	buf_add_str(v->out, in->m->leaks.sampled ? " (bytes are estimates; samples instead of blocks)\n" : "\n");
	buf_add_str(v->out, "       bytes     blocks  suppression\n");
	for (size_t i = 0; i < l->hidden_count; i++) {
		const struct leak_hidden *h = &l->hidden[i];
		const struct suppression *s = &in->suppressions->items[h->suppression];

		buf_printf(v->out, "%12" PRIu64 " %10" PRIu64 "  leak:", h->amount.bytes,
		           in->m->leaks.sampled ? h->amount.samples : blocks_of(h->amount));
		view_text(v, VIEW_PLAIN, s->template);
		view_style(v, VIEW_DIM);
		buf_add_str(v->out, "  (");
		view_text(v, VIEW_PLAIN, s->source);
		if (s->line)
			buf_printf(v->out, ":%u", s->line);
		buf_add_char(v->out, ')');
		view_style(v, VIEW_PLAIN);
		buf_add_char(v->out, '\n');
	}
}

/* ---- the check ---------------------------------------------------------------------------------------------------- */

static void check_lines(const struct view *v, const struct model_leaks *c)
{
	buf_add_str(v->out, "check: ");
	view_text(v, VIEW_PLAIN, c->method[0] ? c->method : "method not recorded");
	buf_add_str(v->out, c->checks > 1 ? ", twice; the program stood still for " : "; the program stood still for ");
	duration(v, c->pause_ns);
	buf_add_str(v->out, ", answer after ");
	duration(v, c->check_ns);
	buf_add_str(v->out, "\n       marking took ");
	duration(v, c->cpu_ns);
	buf_add_str(v->out, " of CPU time and ");
	rounded_bytes(v, c->memory_bytes);
	buf_add_str(v->out, "\n       looked at ");
	counted(v, c->blocks, "block", "blocks");
	buf_add_str(v->out, " (");
	rounded_bytes(v, c->block_bytes);
	buf_add_str(v->out, ") from ");
	rounded_bytes(v, c->root_bytes);
	buf_add_str(v->out, " of roots, ");
	counted(v, c->threads, "thread", "threads");
	buf_add_str(v->out, " held\n");
}

void view_leaks_notes(const struct view_leaks *in, struct buf *out)
{
	const struct model_leaks *c = &in->m->leaks;
	struct view v = { out, false };

	if (c->note[0] && c->done) {
		view_text(&v, VIEW_PLAIN, c->note);
		buf_add_char(out, '\n');
	}
	if (c->done && c->checks < 2)
		buf_add_str(out, "checked once: nothing is confirmed, which takes two checks\n");
	if (c->done && c->sampled)
		buf_add_str(
		        out,
		        "only sampled blocks are known: amounts are lower bounds, and what only other leaks hold is "
		        "not told (PERFPROBE_HEAP=full tells all)\n");
	if (c->threads_missed) {
		counted(&v, c->threads_missed, "thread", "threads");
		buf_add_str(out, " could not be held: their stacks were searched whole, which may hide leaks\n");
	}
	if (c->unread_bytes) {
		rounded_bytes(&v, c->unread_bytes);
		buf_add_str(out, " of roots could not be read: what only they hold is told as leaked\n");
	}
	if (in->lost && c->done) {
		counted(&v, in->lost, "block", "blocks");
		buf_add_str(
		        out,
		        " could not be recorded: nobody looked at them, and what only they hold is told as leaked\n");
	}
	if (in->suppressions_note[0]) {
		view_text(&v, VIEW_PLAIN, in->suppressions_note);
		buf_add_char(out, '\n');
	}
}

static void notes_text(const struct view *v, const struct view_leaks *in)
{
	struct buf notes = { 0 };

	view_leaks_notes(in, &notes);
	v->out->failed |= notes.failed;
	for (char *line = notes.data, *end; line && (end = strchr(line, '\n')); line = end + 1)
		buf_printf(v->out, "note: %.*s\n", (int)(end - line), line);
	buf_done(&notes);
}

static void summary(const struct view *v, const struct view_leaks *in)
{
	const struct leaks *l = in->leaks;
	struct leak_amount all = l->direct;

	all.bytes += l->indirect.bytes;
	all.blocks += l->indirect.blocks;
	all.samples += l->indirect.samples;
	view_text(v, VIEW_BOLD, "summary: ");
	if (!all.samples) {
		buf_add_str(v->out,
		            in->m->leaks.sampled
		                    ? "no leak was seen among the samples, which does not say that there is none"
		            : l->hidden_count ? "no leaks besides what is suppressed"
		                              : "no leaks: every block can be reached");
		buf_add_char(v->out, '\n');
		return;
	}
	amount(v, in->m, all, l->error_bytes);
	buf_add_str(v->out, " leaked");
	if (!in->m->leaks.sampled) {
		buf_add_str(v->out, " (direct ");
		view_count(v, blocks_of(l->direct));
		buf_add_str(v->out, ", indirect ");
		view_count(v, blocks_of(l->indirect));
		buf_add_str(v->out, "; confirmed ");
		view_count(v, blocks_of(l->confirmed));
		buf_add_char(v->out, ')');
	}
	buf_add_char(v->out, '\n');
}

/* ---- not checked -------------------------------------------------------------------------------------------------- */

static void why_not(const struct view *v, const struct view_leaks *in)
{
	const struct model_leaks *c = &in->m->leaks;

	if (c->recorded) {
		view_text(v, VIEW_BAD, "The check for unreachable blocks could not be done");
		buf_add_str(v->out, c->note[0] ? ": " : "; no reason was recorded");
		view_text(v, VIEW_PLAIN, c->note);
		buf_add_char(v->out, '\n');
	} else {
		view_text(v, VIEW_BAD, "Not checked for leaks: nothing is known about what can still be reached.");
		buf_add_str(v->out, "\nCheck with `perfprobe leaks PID` while it runs, or start it with\n"
		                    "PERFPROBE_LEAKS=exit (and PERFPROBE_HEAP=full, to know every block).\n");
	}
}

static void not_freed_text(const struct view *v, const struct view_leaks *in)
{
	const struct profile *p = in->not_freed;
	size_t most = in->top ? (size_t)in->top : TEXT_LEAKS, shown;
	uint64_t blocks = 0;

	for (size_t i = 0; i < p->stack_count; i++)
		blocks += p->stacks[i].count;
	buf_add_str(v->out, "\nNot freed when this was written, which is no leak by itself: ");
	view_value(v, p->metric, 0, p->total);
	buf_add_str(v->out, " in ");
	view_count(v, blocks);
	buf_add_str(v->out,
	            in->m->heap_mode == SNAP_HEAP_SAMPLED ? " blocks\n(estimated from samples)\n" : " blocks\n");
	for (shown = 0; shown < p->stack_count && shown < most; shown++) {
		const struct profile_stack *s = &p->stacks[shown];

		buf_add_char(v->out, '\n');
		place(v, p->frames, s->frames, s->depth, in->full_frames);
		buf_add_str(v->out, "not freed: ");
		view_value(v, p->metric, 0, s->value);
		buf_add_str(v->out, " in ");
		counted(v, s->count, "block", "blocks");
		buf_add_char(v->out, '\n');
		stack(v, p->frames, s->frames, s->depth, 4, in->full_frames ? 0 : TEXT_FRAMES);
	}
	if (shown < p->stack_count)
		buf_printf(v->out, "\n... and %zu more stacks (--top N, --json)\n", p->stack_count - shown);
}

/* ---- suspects ----------------------------------------------------------------------------------------------------- */

static void rate(const struct view *v, double bytes_per_minute)
{
	buf_add_char(v->out, bytes_per_minute < 0 ? '-' : '+');
	rounded_bytes(v, (uint64_t)((bytes_per_minute < 0 ? -bytes_per_minute : bytes_per_minute) + 0.5));
}

bool view_leaks_per_request(const struct view_leaks *in, const struct suspect *s, double *ret_bytes)
{
	if (!in->requests || s->reason != SUSPECT_GROWS)
		return false;
	*ret_bytes = s->trend.slope * ((double)in->span_ns / (60.0 * (double)NS_PER_S)) / (double)in->requests;
	return true;
}

static void grows_text(const struct view *v, const struct view_leaks *in, const struct suspect *s)
{
	const struct trend *t = &s->trend;
	double per_request;

	rate(v, t->slope);
	buf_add_str(v->out, " a minute");
	if (in->snapshots > 2) {
		buf_add_str(v->out, " (");
		rate(v, t->low);
		buf_add_str(v->out, " to ");
		rate(v, t->high);
		buf_printf(v->out, " at %.0f %%)", 100 * t->level);
	}
	if (view_leaks_per_request(in, s, &per_request)) {
		buf_add_str(v->out, ", ");
		if (per_request < 100) /* a leak in one request of many */
			buf_printf(v->out, "%.3g bytes", per_request);
		else
			rounded_bytes(v, (uint64_t)(per_request + 0.5));
		buf_add_str(v->out, " a request");
	}
	buf_add_str(v->out, "\n    ");
	if (in->snapshots == 2)
		buf_add_str(v->out,
		            "possible: two snapshots cannot tell it from a cache that fills; three tell more\n");
	else
		buf_printf(v->out, "%s: it grew in %zu of %zu intervals%s\n", suspect_certainty(s), t->risen,
		           t->intervals,
		           t->certainty != TREND_POSSIBLE ? ""
		           : in->snapshots == 3           ? "; three snapshots are few"
		                                          : ", and slows down");
}

static void survives_text(const struct view *v, const struct suspect *s)
{
	rate(v, s->trend.slope);
	buf_add_str(v->out, " a minute in the mean since the start\n    possible: 99 of 100 freed blocks of this stack "
	                    "lived less than ");
	duration(v, s->freed_within_ns);
	buf_add_str(v->out, ",\n    and these live on, as those of a table filled once do; two snapshots tell more\n");
}

static void suspect_text(const struct view *v, const struct view_leaks *in, const struct suspect *s)
{
	buf_add_char(v->out, '\n');
	place(v, in->suspects->frames, s->frames, s->depth, in->full_frames);
	view_text(v, VIEW_BOLD, "suspect: ");
	if (s->reason == SUSPECT_GROWS)
		grows_text(v, in, s);
	else
		survives_text(v, s);
	buf_add_str(v->out, "    alive: ");
	rounded_bytes(v, s->bytes);
	buf_add_str(v->out, " in ");
	counted(v, s->blocks, "block", "blocks");
	if (s->survivor_count) { /* the oldest age of which anything is left */
		const struct suspect_survivors *old = &s->survivors[s->survivor_count - 1];

		buf_add_str(v->out, ", at least ");
		view_count(v, old->blocks);
		buf_add_str(v->out, " of them older than ");
		duration(v, old->age_ns);
	}
	buf_add_char(v->out, '\n');
	stack(v, in->suspects->frames, s->frames, s->depth, 4, in->full_frames ? 0 : TEXT_FRAMES);
}

static void suspects_text(const struct view *v, const struct view_leaks *in)
{
	const struct suspects *s = in->suspects;
	size_t most = in->top ? (size_t)in->top : TEXT_SUSPECTS, shown;

	if (!s) {
		buf_add_str(v->out, "\nsuspects: ");
		view_text(v, VIEW_PLAIN, in->suspects_note);
		buf_add_char(v->out, '\n');
		return;
	}
	if (s->count || in->snapshots > 1) {
		buf_add_char(v->out, '\n');
		view_text(v, VIEW_BOLD, "suspects");
		buf_add_str(v->out, ": reachable or not checked, and growing, ");
		if (in->snapshots > 1) {
			buf_printf(v->out, "by %zu snapshots over ", in->snapshots);
			duration(v, in->span_ns);
		} else {
			buf_add_str(v->out, "by how long blocks live");
		}
		buf_add_str(v->out, s->count ? "\n" : ": none\n");
	}
	for (shown = 0; shown < s->count && shown < most; shown++)
		suspect_text(v, in, &s->items[shown]);
	if (shown < s->count)
		buf_printf(v->out, "\n... and %zu more (--top N, --json)\n", s->count - shown);
	if (s->levelled)
		buf_printf(v->out, "\n%zu more %s and levelled off: no %s\n", s->levelled,
		           s->levelled == 1 ? "stack grew" : "stacks grew", s->levelled == 1 ? "suspect" : "suspects");
	if (s->leaking)
		buf_printf(v->out, "\n%zu more %s: told above as %s\n", s->leaking,
		           s->leaking == 1 ? "stack grows" : "stacks grow", s->leaking == 1 ? "a leak" : "leaks");
}

/* ---- all ---------------------------------------------------------------------------------------------------------- */

static void head(const struct view *v, const struct view_leaks *in)
{
	const struct model *m = in->m;

	view_losses(v, m);
	view_text(v, VIEW_BOLD, m->comm);
	buf_printf(v->out, " (pid %" PRIu64 ")", m->pid);
	if (in->leaks && m->leaks.time_ns > m->start_ns) {
		buf_add_str(v->out, ", checked ");
		duration(v, m->leaks.time_ns - m->start_ns);
		buf_add_str(v->out, " after recording began");
	}
	buf_add_str(v->out, in->snapshots > 1 ? "; of " : "");
	view_text(v, VIEW_PLAIN, in->snapshots > 1 ? in->path : "");
	buf_add_char(v->out, '\n');
}

void view_leaks_text(const struct view *v, const struct view_leaks *in)
{
	head(v, in);
	if (in->leaks)
		leaks_text(v, in);
	else
		why_not(v, in);
	suspects_text(v, in);
	if (!in->leaks) {
		not_freed_text(v, in); /* says least */
	} else {
		suppressed_text(v, in);
		buf_add_char(v->out, '\n');
		check_lines(v, &in->m->leaks);
	}
	notes_text(v, in);
	if (in->leaks)
		summary(v, in);
}
