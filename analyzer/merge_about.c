/*
 * merge_about.c - what was recorded, when and how: INFO, options, losses, and the words of the leak check.
 *
 * What is equal everywhere stays as it is. Words that differ stand side by side, "sampled | full", so every view that shows
 * them shows that they differ.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "merge_part.h"
#include "model_memory.h"

/* Longer words than these are hostile. */
enum { TEXT_MAX = 4096 };

const char *merge_about_text(struct merge *g, const char *text)
{
	size_t len = strnlen(text, TEXT_MAX);
	int64_t i = intern_add(&g->texts, text, len);

	return i < 0 ? NULL : g->texts.keys[i];
}

static int add_word(struct merge *g, struct merge_words *w, const char *word)
{
	const char *copy = merge_about_text(g, word);

	if (!copy)
		return -ENOMEM;
	for (size_t i = 0; i < w->count; i++)
		if (w->items[i] == copy)
			return 0;
	if (w->count == MERGE_WORDS)
		w->more = true;
	else
		w->items[w->count++] = copy;
	return 0;
}

static void say_words(struct buf *out, const struct merge_words *w)
{
	for (size_t i = 0; i < w->count; i++) {
		if (i)
			buf_add_str(out, " | ");
		buf_add_str(out, w->count > 1 && !w->items[i][0] ? "(none)" : w->items[i]);
	}
	if (w->more)
		buf_add_str(out, " | ...");
}

/* The words in the model's arena, no longer than a string of the file may be. NULL: no memory. */
static const char *words_text(struct model *m, const struct merge_words *w)
{
	struct buf b = { 0 };
	const char *text = NULL;

	say_words(&b, w);
	if (!b.failed)
		text = arena_text(model_arena(m), b.data ? b.data : "",
		                  b.len < SNAP_MAX_STRING ? b.len : SNAP_MAX_STRING);
	buf_done(&b);
	return text;
}

/* ---- time ---- */

static void shift(uint64_t *ns, int64_t by)
{
	if (*ns)
		*ns = merge_moved(*ns, by);
}

static void shift_tables(struct merge *g, int64_t by)
{
	for (size_t i = 0; i < g->threads.keys.count; i++) {
		struct merge_thread *t = merge_table_at(&g->threads, i);

		shift(&t->start_ns, by);
		shift(&t->end_ns, by);
	}
	for (size_t i = 0; i < g->modules.keys.count; i++) {
		struct model_module *mod = merge_table_at(&g->modules, i);

		shift(&mod->load_ns, by);
		shift(&mod->unload_ns, by);
	}
	for (size_t i = 0; i < g->misuse.keys.count; i++)
		shift(&((struct model_misuse *)merge_table_at(&g->misuse, i))->time_ns, by);
	for (size_t i = 0; i < g->leaks.keys.count; i++) {
		struct merge_leak_row *r = merge_table_at(&g->leaks, i);

		shift(&r->first_ns, by);
		shift(&r->last_ns, by);
	}
}

void merge_shift_times(struct merge *g, int64_t by)
{
	struct merge_sample *samples[] = { (void *)g->samples.items, (void *)g->offcpu_samples.items };
	const size_t counts[] = { g->samples.count, g->offcpu_samples.count };
	struct model_mark *marks = (void *)g->marks.items;
	struct merge_request *requests = (void *)g->requests.items;
	struct model_request_span *spans = (void *)g->spans.items;
	struct model_database_span *calls = (void *)g->database_spans.items;
	uint64_t *const fields[] = { &g->head.start_ns, &g->head.end_ns, &g->head.heap_peak_ns, &g->head.mmap_peak_ns,
		                     &g->head.leaks.time_ns };

	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		shift(fields[i], by);
	for (size_t k = 0; k < ARRAY_LEN(samples); k++)
		for (size_t i = 0; i < counts[k]; i++)
			shift(&samples[k][i].time_ns, by);
	for (size_t i = 0; i < g->marks.count; i++)
		shift(&marks[i].time_ns, by);
	for (size_t i = 0; i < g->requests.count; i++) {
		shift(&requests[i].r.start_ns, by);
		shift(&requests[i].r.first_ns, by);
		shift(&requests[i].r.end_ns, by);
	}
	for (size_t i = 0; i < g->spans.count; i++) {
		shift(&spans[i].from_ns, by);
		shift(&spans[i].to_ns, by);
	}
	for (size_t i = 0; i < g->database_spans.count; i++)
		shift(&calls[i].start_ns, by);
	shift_tables(g, by);
}

/* Recordings of one boot share a clock. Of several they do not, and then all times become wall-clock times. */
static void choose_clock(struct merge_input *in)
{
	struct merge *g = in->g;
	const struct model *m = in->m;
	int64_t to_wall = (int64_t)(m->end_wall_ns - m->end_ns);

	if (g->added == 0) {
		g->to_wall_ns = to_wall;
		return;
	}
	in->foreign_kernel = !g->boot[0] || strcmp(g->boot, m->boot) != 0;
	if (in->foreign_kernel && !g->by_wall) {
		merge_shift_times(g, g->to_wall_ns);
		g->by_wall = true;
	}
	in->time_shift = g->by_wall ? to_wall : 0;
}

/* ---- INFO ---- */

static int add_words(struct merge *g, const struct model *m)
{
	const struct {
		struct merge_words *words;
		const char *word;
	} all[] = {
		{ &g->comms, m->comm },
		{ &g->exes, m->exe },
		{ &g->cmdlines, m->cmdline },
		{ &g->reasons, m->reason },
		{ &g->cpu_engines, m->engine_cpu },
		{ &g->cpu_whys, m->engine_cpu_why },
		{ &g->heap_engines, m->engine_heap },
		{ &g->unwind_engines, m->engine_unwind },
		{ &g->kernels, m->kernel },
		{ &g->machines, m->machine },
		{ &g->versions, m->recorder_version },
		{ &g->offcpu_whys, m->offcpu.why },
	};
	int rc = 0;

	for (size_t i = 0; i < ARRAY_LEN(all) && rc == 0; i++)
		rc = add_word(g, all[i].words, all[i].word);
	if (rc == 0 && m->leaks.recorded)
		rc = add_word(g, &g->leak_methods, m->leaks.method);
	if (rc == 0 && m->leaks.recorded)
		rc = add_word(g, &g->leak_notes, m->leaks.note);
	return rc;
}

static void add_times(struct model_times *to, const struct model_times *t)
{
	to->most_ns = t->most_ns > to->most_ns ? t->most_ns : to->most_ns;
	for (unsigned i = 0; i < SNAP_SAMPLER_RANGES; i++)
		if (t->range[i] <= INT64_MAX / SNAP_SAMPLER_RANGES - to->range[i]) /* a reader adds them up */
			to->range[i] += t->range[i];
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void add_span_of_time(struct merge_input *in)
{
	struct model *h = &in->g->head;
	const struct model *m = in->m;
	uint64_t start = in->time_shift ? merge_moved(m->start_ns, in->time_shift) : m->start_ns;
	uint64_t end = in->time_shift ? merge_moved(m->end_ns, in->time_shift) : m->end_ns;

	if (in->g->added == 0 || start < h->start_ns)
		h->start_ns = start;
	if (in->g->added == 0 || m->start_wall_ns < h->start_wall_ns)
		h->start_wall_ns = m->start_wall_ns;
	h->end_ns = larger(h->end_ns, end);
	h->end_wall_ns = larger(h->end_wall_ns, m->end_wall_ns);
}

/* Totals are sums; what describes the recorder is the largest. The mean size between samples of the heap is, too: what
 * rests on it (how sure is a trend?) is then too careful, not too bold. */
static void add_heap_head(struct merge_input *in)
{
	struct model *h = &in->g->head;
	const struct model *m = in->m;

	if (m->heap_mode == SNAP_HEAP_SAMPLED || h->heap_mode == SNAP_HEAP_OFF)
		h->heap_mode = m->heap_mode == SNAP_HEAP_OFF ? h->heap_mode : m->heap_mode;
	in->g->fractions |= m->heap_count_scale > 1;
	h->heap_interval_bytes = larger(h->heap_interval_bytes, m->heap_interval_bytes);
	h->heap_detail_one_in = larger(h->heap_detail_one_in, m->heap_detail_one_in);
	if (m->heap_peak_bytes >= h->heap_peak_bytes / (in->g->added + 1))
		h->heap_peak_ns = merge_space_time(in, m->heap_peak_ns);
	h->heap_peak_bytes = merge_saturated(h->heap_peak_bytes, m->heap_peak_bytes);
	h->mmap_recorded |= m->mmap_recorded;
	h->mmap_bytes = merge_saturated(h->mmap_bytes, m->mmap_bytes);
	h->munmap_bytes = merge_saturated(h->munmap_bytes, m->munmap_bytes);
	h->mmap_peak_bytes = merge_saturated(h->mmap_peak_bytes, m->mmap_peak_bytes);
	h->mmap_peak_ns = larger(h->mmap_peak_ns, merge_space_time(in, m->mmap_peak_ns));
}

/* Whose waiting threads were looked at: of all only where that is so everywhere. */
static void add_scope(struct merge_input *in)
{
	struct model_offcpu *to = &in->g->head.offcpu;
	enum snap_offcpu_scope scope = in->m->offcpu.scope;

	if (in->g->added == 0)
		to->scope = scope;
	else if (to->scope != scope)
		to->scope = SNAP_OFFCPU_REQUESTS;
}

static void add_leak_head(struct merge_input *in)
{
	const struct model_leaks *l = &in->m->leaks;
	struct model_leaks *to = &in->g->head.leaks;
	uint64_t *const sums[] = { &to->cpu_ns,      &to->threads,    &to->threads_missed, &to->blocks,
		                   &to->block_bytes, &to->root_bytes, &to->unread_bytes };
	const uint64_t parts[] = { l->cpu_ns,      l->threads,    l->threads_missed, l->blocks,
		                   l->block_bytes, l->root_bytes, l->unread_bytes };

	if (!l->recorded)
		return;
	to->checks = in->g->checked == 0 || l->checks < to->checks ? l->checks : to->checks;
	in->g->checked += l->done;
	to->recorded = true;
	to->done |= l->done;
	to->sampled |= l->sampled;
	to->time_ns = larger(to->time_ns, merge_space_time(in, l->time_ns));
	to->pause_ns = larger(to->pause_ns, l->pause_ns);
	to->check_ns = larger(to->check_ns, l->check_ns);
	to->memory_bytes = larger(to->memory_bytes, l->memory_bytes);
	for (size_t i = 0; i < ARRAY_LEN(sums); i++)
		*sums[i] = merge_saturated(*sums[i], parts[i]);
}

/* ---- tables of names ---- */

static int add_options(struct merge_input *in)
{
	struct merge *g = in->g;

	for (size_t i = 0; i < in->m->option_count; i++) {
		const struct model_option *o = &in->m->options[i];
		const char *name = merge_about_text(g, o->name);
		struct merge_option *to;
		int rc = 0;

		if (!name)
			return -ENOMEM;
		to = merge_table_row(&g->options, name, strlen(name), 0, &rc);
		if (!to && rc == MERGE_FULL) {
			g->lost[MERGE_LOST_NAMES]++;
			continue;
		}
		if (!to || add_word(g, &to->values, o->value) < 0)
			return -ENOMEM;
		to->name = name;
		if (o->source > to->source)
			to->source = o->source;
	}
	return 0;
}

static int add_losses(struct merge_input *in)
{
	struct merge *g = in->g;

	for (size_t i = 0; i < in->m->loss_count; i++) {
		const struct model_loss *l = &in->m->losses[i];
		int rc = 0;
		uint64_t *to = merge_table_row(&g->losses, l->name, strnlen(l->name, TEXT_MAX), 0, &rc);

		if (!to && rc != MERGE_FULL)
			return -ENOMEM;
		if (to)
			*to = merge_saturated(*to, l->count);
		else
			g->lost[MERGE_LOST_NAMES] += l->count;
	}
	return 0;
}

static int add_suppressions(struct merge_input *in)
{
	const char *line = in->m->leaks.suppressions;

	while (*line) {
		size_t len = strcspn(line, "\n");
		int rc = 0;

		if (len && !merge_table_row(&in->g->suppressions, line, len, 0, &rc)) {
			if (rc != MERGE_FULL)
				return -ENOMEM;
			in->g->lost[MERGE_LOST_NAMES]++;
		}
		line += len + (line[len] == '\n');
	}
	return 0;
}

int merge_about_add(struct merge_input *in)
{
	struct merge *g = in->g;
	struct model *h = &g->head;
	const struct model *m = in->m;
	int rc = add_words(g, m);

	if (rc < 0)
		return rc;
	if (g->added == 0) {
		g->boot = merge_about_text(g, m->boot);
		if (!g->boot)
			return -ENOMEM;
		h->pid = m->pid;
		h->ppid = m->ppid;
		h->sequence = m->sequence;
	}
	choose_clock(in);
	add_span_of_time(in);
	if (h->pid != m->pid)
		h->pid = h->ppid = h->sequence = 0;
	if (m->cpu_count || !g->cpu.rows.keys.count)
		h->clock_is_wall = m->clock_is_wall;
	h->process_cpu_ns = merge_saturated(h->process_cpu_ns, m->process_cpu_ns);
	h->cpu_hz = larger(h->cpu_hz, m->cpu_hz);
	h->page_bytes = larger(h->page_bytes, m->page_bytes);
	h->cpus = larger(h->cpus, m->cpus);
	add_times(&h->handler, &m->handler);
	add_times(&h->late, &m->late);
	add_heap_head(in);
	add_scope(in);
	add_leak_head(in);
	rc = add_options(in);
	if (rc == 0)
		rc = add_losses(in);
	return rc == 0 ? add_suppressions(in) : rc;
}

/* ---- the result ---- */

const char *merge_differing_option(const struct merge *g, size_t n, struct buf *values)
{
	for (size_t i = 0; i < g->options.keys.count; i++) {
		const struct merge_option *o = merge_table_at(&g->options, i);

		if (o->values.count < 2 || n--)
			continue;
		say_words(values, &o->values);
		return o->name;
	}
	return NULL;
}

static int finish_options(const struct merge *g, struct model *m)
{
	m->option_count = g->options.keys.count;
	m->options = arena_array(model_arena(m), m->option_count, sizeof(*m->options));
	if (!m->options)
		return -ENOMEM;
	for (size_t i = 0; i < m->option_count; i++) {
		const struct merge_option *o = merge_table_at(&g->options, i);

		m->options[i].name = arena_text(model_arena(m), o->name, strlen(o->name));
		m->options[i].value = words_text(m, &o->values);
		m->options[i].source =
		        o->values.count > 1 && o->source == SNAP_OPTION_DEFAULT ? SNAP_OPTION_ENVIRONMENT : o->source;
		if (!m->options[i].name || !m->options[i].value)
			return -ENOMEM;
	}
	return 0;
}

/* Ours only where something was left out: "measured, none" is said of recordings. */
static int finish_losses(struct merge *g, struct model *m)
{
	static const char *const names[] = {
#define MERGE_LOSS_NAME(id, name) name,
		MERGE_LOSSES(MERGE_LOSS_NAME)
#undef MERGE_LOSS_NAME
	};

	g->losses.limit += MERGE_LOSS_COUNT;
	for (size_t i = 0; i < MERGE_LOSS_COUNT; i++) {
		int rc = 0;
		uint64_t *to = g->lost[i] ? merge_table_row(&g->losses, names[i], strlen(names[i]), 0, &rc) : NULL;

		if (rc < 0)
			return rc;
		if (to)
			*to = merge_saturated(*to, g->lost[i]);
	}
	m->loss_count = g->losses.keys.count;
	m->losses = arena_array(model_arena(m), m->loss_count, sizeof(*m->losses));
	if (!m->losses)
		return -ENOMEM;
	for (size_t i = 0; i < m->loss_count; i++) {
		m->losses[i].name = arena_text(model_arena(m), g->losses.keys.keys[i], g->losses.keys.key_bytes[i]);
		m->losses[i].count = *(const uint64_t *)merge_table_at(&g->losses, i);
		if (!m->losses[i].name)
			return -ENOMEM;
	}
	return 0;
}

static int finish_suppressions(const struct merge *g, struct model *m)
{
	struct buf b = { 0 };

	for (size_t i = 0; i < g->suppressions.keys.count; i++) {
		size_t len = g->suppressions.keys.key_bytes[i];

		if (b.len + len + 1 > SNAP_MAX_STRING)
			break;
		buf_add(&b, g->suppressions.keys.keys[i], len);
		buf_add_char(&b, '\n');
	}
	m->leaks.suppressions = b.failed ? NULL : arena_text(model_arena(m), b.data ? b.data : "", b.len);
	buf_done(&b);
	return m->leaks.suppressions ? 0 : -ENOMEM;
}

static int finish_words(const struct merge *g, struct model *m)
{
	const struct {
		const char **field;
		const struct merge_words *words;
	} all[] = {
		{ &m->comm, &g->comms },
		{ &m->exe, &g->exes },
		{ &m->cmdline, &g->cmdlines },
		{ &m->engine_cpu, &g->cpu_engines },
		{ &m->engine_cpu_why, &g->cpu_whys },
		{ &m->engine_heap, &g->heap_engines },
		{ &m->engine_unwind, &g->unwind_engines },
		{ &m->kernel, &g->kernels },
		{ &m->machine, &g->machines },
		{ &m->recorder_version, &g->versions },
		{ &m->offcpu.why, &g->offcpu_whys },
		{ &m->leaks.method, &g->leak_methods },
		{ &m->leaks.note, &g->leak_notes },
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		*all[i].field = words_text(m, all[i].words);
		if (!*all[i].field)
			return -ENOMEM;
	}
	return 0;
}

/* "3 recordings from 12 files, written because: exit | interval". */
static int finish_because(const struct merge *g, struct model *m)
{
	struct buf b = { 0 };

	buf_printf(&b, "%zu recording%s from %" PRIu64 " file%s, written because: ", g->added, g->added == 1 ? "" : "s",
	           g->about.files, g->about.files == 1 ? "" : "s");
	say_words(&b, &g->reasons);
	if (m->leaks.done && g->checked < g->added)
		buf_printf(&b, "; %" PRIu64 " checked for leaks", g->checked);
	m->reason = "merge";
	m->because =
	        b.failed ? NULL : arena_text(model_arena(m), b.data, b.len < SNAP_MAX_STRING ? b.len : SNAP_MAX_STRING);
	buf_done(&b);
	return m->because ? 0 : -ENOMEM;
}

int merge_about_finish(struct merge *g, uint64_t unreadable, struct model *m)
{
	int rc;

	g->lost[MERGE_LOST_SNAPSHOTS] += unreadable;
	m->major = SNAP_MAJOR;
	m->minor = SNAP_MINOR;
	m->heap_count_scale = g->fractions ? MERGE_UNIT : 1;
	if (m->heap_mode != SNAP_HEAP_SAMPLED)
		m->heap_interval_bytes = 0;
	m->boot = arena_text(model_arena(m), g->boot, strlen(g->boot));
	if (!m->boot)
		return -ENOMEM;
	rc = finish_words(g, m);
	if (rc == 0)
		rc = finish_options(g, m);
	if (rc == 0)
		rc = finish_losses(g, m);
	if (rc == 0)
		rc = finish_suppressions(g, m);
	return rc == 0 ? finish_because(g, m) : rc;
}
