/*
 * export_cpuprofile.c - Chrome's CPU profile (protocol type Profiler.Profile).
 *
 * What its readers make of a file, and so what is written:
 * - "nodes" must be the first key; the root must have "children".
 * - A node's own time is hitCount x (endTime - startTime) / sum of hitCounts (DevTools), or the distance from each of its
 *   samples to the next one (speedscope, and DevTools' time line). The last sample has no next one: speedscope gives it
 *   no time, DevTools an average one. So the last sample is always "(idle)", which both leave out of their sums, and
 *   endTime is chosen so that one hit is exactly one period. Then all of them show samples x period.
 * - Times are microseconds. DevTools makes milliseconds of them, in doubles, subtracts to get durations, and adds start and
 *   duration again. Where that is inexact, an event ends a hair after the next one began; the Performance panel then takes
 *   the next one for its callee, and takes its time from the wrong function (seen: half a second of twelve). Eighths of a
 *   millisecond are exact in doubles, so sample times are whole multiples of 125 us. They are rounded down from the exact
 *   sum, so rounding does not add up; hit counts are exact.
 * - A file has one time line. All threads together have none, so without a thread the axis is CPU time: sample after
 *   sample, one period each. With a thread it is the clock: each sample covers the period before it, gaps are "(idle)".
 *   Samples older than the flight recorder's window have no time; they stand before the others without gaps.
 */
#include "export.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "clean_text.h"
#include "export_samples.h"
#include "functions.h"
#include "json_write.h"
#include "profile.h"
#include "tree.h"
#include "units.h"

/* Samples are repeated one by one, as readers that count them expect, up to this many in a file. */
static const uint64_t MAX_REPEATED = 1000000;
#define GRID_NS (125 * NS_PER_US)

struct writer {
	struct json json;
	const struct profile *p;
	const struct functions *functions;
	const struct tree *tree;
	const struct export_samples *samples;
	struct buf scratch;
	struct buf ids, deltas;       /* the two parallel arrays, written at once */
	uint64_t period_ns, start_ns; /* start_ns: a multiple of GRID_NS */
	uint64_t at_ns, last_us;      /* position after, and time of, the last sample written; from start_ns */
	uint64_t idle_ns;
};

/* Node ids are tree indices + 1; "(idle)" comes after them. */
static uint32_t idle_id(const struct writer *w)
{
	return (uint32_t)w->tree->count + 1;
}

/* ---- samples ---- */

static void add_sample(struct writer *w, uint32_t id, uint64_t length_ns)
{
	uint64_t us = w->at_ns / GRID_NS * (GRID_NS / NS_PER_US);
	const char *comma = w->ids.len ? "," : "";

	buf_printf(&w->ids, "%s%u", comma, id);
	buf_printf(&w->deltas, "%s%llu", comma, (unsigned long long)(us - w->last_us));
	w->last_us = us;
	w->at_ns += length_ns;
}

static void add_weight(struct writer *w, const struct export_sample *s)
{
	uint32_t id = w->tree->end_of_stack[0][s->stack] + 1;

	if (w->samples->total > MAX_REPEATED) {
		add_sample(w, id, s->weight * w->period_ns);
		return;
	}
	for (uint64_t n = 0; n < s->weight; n++)
		add_sample(w, id, w->period_ns);
}

static uint64_t subtract(uint64_t from, uint64_t what)
{
	return from > what ? from - what : 0;
}

/* When the first sample's period began, if it and all before it had run without a gap up to the first time known. */
static uint64_t first_ns(const struct writer *w, bool by_clock)
{
	uint64_t before = w->samples->untimed;

	for (size_t i = 0; by_clock && i < w->samples->count; i++)
		if (w->samples->items[i].time_ns)
			return subtract(w->samples->items[i].time_ns,
			                (before + w->samples->items[i].weight) * w->period_ns);
	return w->p->start_ns;
}

/* A sample's period ended at its time. Timers are late by less than a period; only longer gaps are real. */
static void add_gap(struct writer *w, const struct export_sample *s)
{
	uint64_t begin = subtract(s->time_ns, s->weight * w->period_ns + w->start_ns);

	if (s->time_ns == 0 || begin < w->at_ns + w->period_ns)
		return;
	w->idle_ns += begin - w->at_ns;
	add_sample(w, idle_id(w), begin - w->at_ns);
}

static uint64_t thread_end(const struct writer *w, uint64_t tid)
{
	uint64_t end = 0;

	for (size_t i = 0; i < w->p->thread_count; i++) {
		uint64_t e = w->p->threads[i].end_ns ? w->p->threads[i].end_ns : w->p->end_ns;

		if (w->p->threads[i].tid == tid && e > end)
			end = e;
	}
	return end;
}

/* Returns the number of periods that "(idle)" gets, so that (hits + idle) x period is the whole length. */
static uint64_t add_samples(struct writer *w, uint64_t tid)
{
	bool by_clock = tid != EXPORT_ALL_THREADS && w->samples->untimed < w->samples->total;
	uint64_t end, idle;

	w->start_ns = first_ns(w, by_clock) / GRID_NS * GRID_NS;
	if (w->start_ns == 0)
		w->start_ns = GRID_NS; /* readers want a start above 0 */
	for (size_t i = 0; i < w->samples->count; i++) {
		if (by_clock)
			add_gap(w, &w->samples->items[i]);
		add_weight(w, &w->samples->items[i]);
	}
	end = by_clock ? subtract(thread_end(w, tid), w->start_ns) : 0;
	if (end > w->at_ns)
		w->idle_ns += end - w->at_ns;
	idle = (w->idle_ns + w->period_ns - 1) / w->period_ns;
	end = (w->samples->total + idle) * w->period_ns;
	if (end > w->at_ns)
		add_sample(w, idle_id(w), end - w->at_ns);
	add_sample(w, idle_id(w), 0);
	return idle;
}

/* ---- nodes ---- */

static void write_text(struct writer *w, const char *key, const char *before, const char *text)
{
	buf_clear(&w->scratch);
	buf_add_str(&w->scratch, before);
	clean_text(&w->scratch, text);
	json_key_string(&w->json, key, w->scratch.len ? w->scratch.data : "");
}

/* scriptId is the function's number: DevTools takes functions of equal name, script and line for one. */
static void write_call_frame(struct writer *w, const char *name, const struct function *f, uint32_t function)
{
	const char *path = !f ? "" : f->file ? f->file : f->module;
	bool has_line = f && f->file && f->line;
	char id[16] = "0";

	if (f)
		(void)snprintf(id, sizeof(id), "%u", function + 1);
	json_key(&w->json, "callFrame");
	json_object_begin(&w->json);
	write_text(w, "functionName", "", name);
	json_key_string(&w->json, "scriptId", id);
	write_text(w, "url", path[0] == '/' ? "file://" : "", path);
	json_key_i64(&w->json, "lineNumber", has_line ? (int64_t)f->line - 1 : -1); /* counted from 0 */
	json_key_i64(&w->json, "columnNumber", has_line ? 0 : -1);
	json_object_end(&w->json);
}

static void write_node(struct writer *w, uint32_t i)
{
	const struct tree_node *node = &w->tree->nodes[i];
	const struct function *f = i ? &w->functions->items[node->function] : NULL;

	json_object_begin(&w->json);
	json_key_u64(&w->json, "id", i + 1u);
	write_call_frame(w, f ? f->name : "(root)", f, node->function);
	json_key_u64(&w->json, "hitCount", node->self[0]);
	json_key(&w->json, "children");
	json_array_begin(&w->json);
	for (uint32_t c = 0; c < node->child_count; c++)
		json_u64(&w->json, node->first_child + c + 1u);
	if (i == 0)
		json_u64(&w->json, idle_id(w));
	json_array_end(&w->json);
	json_object_end(&w->json);
}

static void write_idle(struct writer *w, uint64_t hits)
{
	json_object_begin(&w->json);
	json_key_u64(&w->json, "id", idle_id(w));
	write_call_frame(w, "(idle)", NULL, 0);
	json_key_u64(&w->json, "hitCount", hits);
	json_key(&w->json, "children");
	json_array_begin(&w->json);
	json_array_end(&w->json);
	json_object_end(&w->json);
}

static void write_all(struct writer *w, uint64_t tid, struct buf *out)
{
	uint64_t idle = add_samples(w, tid);

	json_init(&w->json, out);
	json_object_begin(&w->json);
	json_key(&w->json, "nodes");
	json_array_begin(&w->json);
	for (uint32_t i = 0; i < w->tree->count; i++)
		write_node(w, i);
	write_idle(w, idle);
	json_array_end(&w->json);
	json_key_u64(&w->json, "startTime", w->start_ns / NS_PER_US);
	json_key_u64(&w->json, "endTime", (w->start_ns + (w->samples->total + idle) * w->period_ns) / NS_PER_US);
	json_key(&w->json, "samples");
	json_array_begin(&w->json);
	json_raw(&w->json, w->ids.data ? w->ids.data : "");
	json_array_end(&w->json);
	json_key(&w->json, "timeDeltas");
	json_array_begin(&w->json);
	json_raw(&w->json, w->deltas.data ? w->deltas.data : "");
	json_array_end(&w->json);
	json_object_end(&w->json);
	buf_add_char(out, '\n');
	if (w->scratch.failed || w->ids.failed || w->deltas.failed)
		out->failed = true;
}

int export_cpuprofile(const struct profile *p, const struct export_options *o, struct buf *out, struct err *err)
{
	struct tree_options options = { .order = TREE_LARGEST_FIRST, .tid = o->tid };
	struct functions functions = { 0 };
	struct export_samples samples = { 0 };
	struct tree *tree = NULL;
	struct writer w = { .p = p, .functions = &functions, .samples = &samples, .period_ns = p->period_ns };
	int rc;

	if (p->period_ns == 0)
		return err_set(err, -EINVAL,
		               "a .cpuprofile holds time, not %s: use --format speedscope or folded for this metric",
		               profile_text(p));
	rc = export_check_thread(p, o->tid, err);
	if (rc == 0)
		rc = functions_build(&p, 1, &functions, err);
	if (rc == 0)
		rc = tree_build(&(struct tree_input){ p, 1 }, 1, &functions, &options, &tree, err);
	if (rc == 0 && export_samples_get(p, o->tid, &samples) < 0)
		rc = err_set(err, -ENOMEM, "out of memory for the samples");
	if (rc == 0) {
		w.tree = tree;
		write_all(&w, o->tid, out);
	}
	buf_done(&w.scratch);
	buf_done(&w.ids);
	buf_done(&w.deltas);
	export_samples_done(&samples);
	tree_free(tree);
	functions_done(&functions);
	return rc;
}
