/*
 * html_data.c - one recording as JSON: docs/page-format.md is the normative text.
 *
 * Every metric's profile is built as report builds it, its stacks go into one tree, and what stays is a node and a value each:
 * so the page's sums are report's. Times are whole microseconds since the recording began, cut, not rounded: a sample is inside
 * a range of whole microseconds exactly if its time in nanoseconds is.
 */
#include "html_data.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clean_text.h"
#include "html_part.h"
#include "leaks.h"
#include "model.h"
#include "suppressions.h"
#include "symbolize.h"

/* ---- metrics ------------------------------------------------------------------------------------------------------ */

static void metric_done(struct html_metric *x)
{
	free(x->node);
	free(x->thread);
	free(x->value);
	free(x->count);
	free(x->samples);
	slice_requests_done(&x->of);
}

static uint32_t *name_frames(struct html_work *w, const struct profile_frame *frames, size_t n)
{
	uint32_t *functions = malloc((n + 1) * sizeof(*functions));

	for (size_t i = 0; functions && i < n; i++) {
		int64_t f = html_tree_function(&w->tree, &frames[i]);

		if (f < 0) {
			free(functions);
			return NULL;
		}
		functions[i] = (uint32_t)f;
	}
	return functions;
}

/* A stack's node. `list`: room for the functions of the deepest. */
static int64_t node_of(struct html_work *w, const uint32_t *function_of, const uint32_t *frames, uint32_t depth,
                       uint32_t *list)
{
	for (uint32_t k = 0; k < depth; k++)
		list[k] = function_of[frames[k]];
	return html_tree_stack(&w->tree, list, depth);
}

static int place_stacks(struct html_work *w, const struct profile *p, struct html_metric *x)
{
	uint32_t *function_of = name_frames(w, p->frames, p->frame_count), *list;
	uint32_t deepest = 1;
	int rc = function_of ? 0 : -ENOMEM;

	for (size_t i = 0; i < p->stack_count; i++)
		deepest = p->stacks[i].depth > deepest ? p->stacks[i].depth : deepest;
	list = malloc(deepest * sizeof(*list));
	if (!list)
		rc = -ENOMEM;
	for (size_t i = 0; rc == 0 && i < p->stack_count; i++) {
		const struct profile_stack *s = &p->stacks[i];
		int64_t node = node_of(w, function_of, s->frames, s->depth, list);

		if (node < 0)
			rc = (int)node;
		x->node[i] = (uint32_t)node;
		x->thread[i] = s->thread;
		x->value[i] = s->value;
		x->count[i] = s->count;
	}
	free(function_of);
	free(list);
	return rc;
}

static int take_profile(struct html_work *w, const struct profile *p, struct html_metric *x, struct err *err)
{
	size_t n = p->stack_count + 1;
	int rc;

	*x = (struct html_metric){ .metric = p->metric,
		                   .period_ns = p->period_ns,
		                   .lost = p->lost,
		                   .partial = p->partial,
		                   .checked = p->checked,
		                   .lower_bound = p->lower_bound,
		                   .stack_count = p->stack_count,
		                   .sample_count = p->sample_count };
	x->node = malloc(n * sizeof(*x->node));
	x->thread = malloc(n * sizeof(*x->thread));
	x->value = malloc(n * sizeof(*x->value));
	x->count = malloc(n * sizeof(*x->count));
	x->samples = malloc((p->sample_count + 1) * sizeof(*x->samples));
	rc = x->node && x->thread && x->value && x->count && x->samples ? 0 : -ENOMEM;
	if (rc == 0 && p->sample_count)
		memcpy(x->samples, p->samples, p->sample_count * sizeof(*x->samples));
	if (rc == 0)
		rc = place_stacks(w, p, x);
	if (rc == 0 && p->period_ns)
		return slice_requests(w->m, p, &x->of, err);
	return rc < 0 ? err_set(err, rc, rc == -E2BIG ? "it has more stacks than a page can hold" : "out of memory")
	              : 0;
}

static int take_metrics(struct html_work *w, struct symbolizer *symbols, struct err *err)
{
	for (unsigned i = 0; i < METRIC_COUNT; i++) {
		struct err none = { 0 };
		struct profile *p;
		int rc = profile_build(w->m, symbols, (enum profile_metric)i, &p, &none);

		if (rc == -ENODATA)
			continue;
		if (rc < 0)
			return err_set(err, rc, "%s", none.text);
		/* Threads that were looked at while they waited make wall-clock time; without, off-CPU time stands alone. */
		rc = p->stack_count ? take_profile(w, p, &w->metrics[w->metric_count++], err) : 0;
		profile_free(p);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- leaks -------------------------------------------------------------------------------------------------------- */

struct leak_rows {
	struct leaks *leaks; /* NULL: no check was done */
	uint32_t *node;
};

static int take_leaks(struct html_work *w, struct symbolizer *symbols, struct leak_rows *ret, struct err *err)
{
	struct suppressions known = { 0 };
	uint32_t *function_of = NULL, *list = NULL, deepest = 1;
	struct err bad_line = { 0 };
	size_t bad = 0;
	int rc;

	if (!w->m->leaks.done)
		return 0;
	rc = suppressions_add_built_in(&known, err);
	if (rc == 0) /* a mistake in the program's own lines must not take its leaks from view */
		rc = suppressions_add(&known, w->m->leaks.suppressions, strlen(w->m->leaks.suppressions), "the program",
		                      &bad, &bad_line);
	if (rc == 0)
		rc = leaks_build(w->m, symbols, &known, true, &ret->leaks, err);
	for (size_t i = 0; rc == 0 && i < ret->leaks->told; i++)
		deepest = ret->leaks->items[i].depth > deepest ? ret->leaks->items[i].depth : deepest;
	if (rc == 0) {
		function_of = name_frames(w, ret->leaks->frames, ret->leaks->frame_count);
		list = malloc(deepest * sizeof(*list));
		ret->node = malloc((ret->leaks->told + 1) * sizeof(*ret->node));
		rc = function_of && list && ret->node ? 0 : err_set(err, -ENOMEM, "out of memory");
	}
	for (size_t i = 0; rc == 0 && i < ret->leaks->told; i++) {
		const struct leak *l = &ret->leaks->items[i];
		int64_t node = node_of(w, function_of, l->frames, l->depth, list);

		if (node < 0)
			rc = err_set(err, (int)node, "out of memory");
		ret->node[i] = (uint32_t)node;
	}
	suppressions_done(&known);
	free(function_of);
	free(list);
	return rc;
}

/* [node, indirect, bytes, blocks, confirmed bytes, standard error of bytes, oldest, newest: us, or -1] */
static void write_leaks(struct html_work *w, const struct leak_rows *rows)
{
	const struct leaks *l = rows->leaks;
	struct json *j = &w->j;

	json_key(j, "leaks");
	if (!l) {
		json_null(j);
		return;
	}
	json_object_begin(j);
	json_key_bool(j, "sampled", w->m->leaks.sampled);
	html_key_text(w, "method", w->m->leaks.method);
	html_key_text(w, "note", w->m->leaks.note);
	json_key_u64(j, "checks", w->m->leaks.checks);
	json_key_u64(j, "time_us", html_us(w, w->m->leaks.time_ns));
	json_key_u64(j, "pause_ns", w->m->leaks.pause_ns);
	json_key_double(j, "error_bytes", l->error_bytes);
	json_key_u64(j, "suppressed", l->count - l->told);
	json_key(j, "rows");
	json_array_begin(j);
	for (size_t i = 0; i < l->told; i++) {
		const struct leak *k = &l->items[i];

		json_array_begin(j);
		json_u64(j, w->tree.place[rows->node[i]]);
		json_u64(j, k->indirect);
		json_u64(j, k->all.bytes);
		json_u64(j, profile_whole(k->all.blocks));
		json_u64(j, k->confirmed.bytes);
		json_double(j, k->error_bytes);
		json_i64(j, k->first_ns ? (int64_t)html_us(w, k->first_ns) : -1);
		json_i64(j, k->last_ns ? (int64_t)html_us(w, k->last_ns) : -1);
		json_array_end(j);
	}
	json_array_end(j);
	json_object_end(j);
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

static void write_functions(struct html_work *w)
{
	struct json *j = &w->j;

	json_key(j, "functions");
	json_array_begin(j);
	for (size_t i = 0; i < w->tree.functions.count; i++) {
		const struct html_function *f = &w->tree.info[i];
		struct buf brief = { 0 };

		short_name(&brief, f->name);
		json_array_begin(j);
		html_text(w, f->name);
		html_text(w, brief.data && strcmp(brief.data, f->name) != 0 ? brief.data : "");
		html_text(w, f->module);
		html_text(w, f->file ? f->file : "");
		json_u64(j, f->line);
		json_array_end(j);
		if (brief.failed)
			j->out->failed = true;
		buf_done(&brief);
	}
	json_array_end(j);
}

static void write_numbers(struct json *j, const char *key, const uint32_t *items, size_t n)
{
	json_key(j, key);
	json_array_begin(j);
	for (size_t i = 0; i < n; i++)
		json_u64(j, items[i]);
	json_array_end(j);
}

static void write_rows(struct html_work *w, const struct html_metric *x)
{
	struct json *j = &w->j;

	json_key(j, "node");
	json_array_begin(j);
	for (size_t i = 0; i < x->stack_count; i++)
		json_u64(j, w->tree.place[x->node[i]]);
	json_array_end(j);
	if (x->period_ns)
		write_numbers(j, "thread", x->thread, x->stack_count);
	json_key(j, "value");
	json_array_begin(j);
	for (size_t i = 0; i < x->stack_count; i++)
		json_u64(j, x->value[i]);
	json_array_end(j);
	if (x->period_ns)
		return; /* a count of samples is its value */
	json_key(j, "count");
	json_array_begin(j);
	for (size_t i = 0; i < x->stack_count; i++)
		json_u64(j, x->count[i]);
	json_array_end(j);
}

enum sample_column { SAMPLE_TIME, SAMPLE_THREAD, SAMPLE_NODE, SAMPLE_WEIGHT, SAMPLE_REQUEST, SAMPLE_SHARED };

static uint64_t sample_cell(const struct html_work *w, const struct html_metric *x, size_t i, enum sample_column column)
{
	const struct profile_sample *s = &x->samples[i];

	switch (column) {
	case SAMPLE_TIME: /* the distance from the one before */
		return html_us(w, s->time_ns) - (i ? html_us(w, x->samples[i - 1].time_ns) : 0);
	case SAMPLE_THREAD:
		return s->thread;
	case SAMPLE_NODE:
		return w->tree.place[x->node[s->stack]];
	case SAMPLE_WEIGHT:
		return s->weight;
	case SAMPLE_REQUEST:
		return x->of.request[i] == SLICE_NONE        ? 0
		       : x->of.request[i] == SLICE_FORGOTTEN ? w->m->requests.request_count + 1
		                                             : x->of.request[i] + UINT64_C(1);
	default:
		return x->of.shared[i];
	}
}

/* A column of one value throughout is that number instead of an array. */
static void write_samples(struct html_work *w, const struct html_metric *x)
{
	static const char *const keys[] = { "time_us", "thread", "node", "weight", "request", "shared" };
	struct json *j = &w->j;

	json_key(j, "samples");
	json_object_begin(j);
	json_key_u64(j, "count", x->sample_count);
	for (unsigned c = 0; c < ARRAY_LEN(keys); c++) {
		enum sample_column column = (enum sample_column)c;
		uint64_t first = x->sample_count ? sample_cell(w, x, 0, column) : 0;
		bool same = column != SAMPLE_TIME;

		for (size_t i = 1; same && i < x->sample_count; i++)
			same = sample_cell(w, x, i, column) == first;
		json_key(j, keys[c]);
		if (same) {
			json_u64(j, first);
			continue;
		}
		json_array_begin(j);
		for (size_t i = 0; i < x->sample_count; i++)
			json_u64(j, sample_cell(w, x, i, column));
		json_array_end(j);
	}
	json_object_end(j);
}

/* Of what the figures' errors are made: docs/page-format.md. */
static const char *error_kind(const struct html_work *w, const struct html_metric *x)
{
	if (x->period_ns)
		return "poisson";
	return w->m->heap_mode == SNAP_HEAP_SAMPLED && x->metric != METRIC_MMAP ? "sampled" : "none";
}

static void write_metrics(struct html_work *w)
{
	struct json *j = &w->j;

	json_key(j, "metrics");
	json_array_begin(j);
	for (size_t i = 0; i < w->metric_count; i++) {
		const struct html_metric *x = &w->metrics[i];

		json_object_begin(j);
		json_key_string(j, "name", profile_metric_name(x->metric));
		json_key_string(j, "unit", profile_metric_unit(x->metric));
		json_key_string(j, "text",
		                x->metric == METRIC_LEAKED && x->checked ? "bytes leaked"
		                                                         : profile_metric_text(x->metric));
		json_key_u64(j, "period_ns", x->period_ns);
		json_key_u64(j, "lost", x->lost);
		json_key_bool(j, "partial", x->partial);
		json_key_bool(j, "lower_bound", x->lower_bound);
		json_key_string(j, "error", error_kind(w, x));
		write_rows(w, x);
		if (x->period_ns)
			write_samples(w, x);
		json_object_end(j);
	}
	json_array_end(j);
}

static void write_threads(struct html_work *w)
{
	struct json *j = &w->j;

	json_key(j, "threads");
	json_array_begin(j);
	for (size_t i = 0; i < w->m->thread_count; i++) {
		const struct model_thread *t = &w->m->threads[i];

		json_array_begin(j);
		json_u64(j, t->tid);
		html_text(w, t->name);
		json_u64(j, html_us(w, t->start_ns));
		json_u64(j, t->end_ns ? html_us(w, t->end_ns) : 0);
		json_array_end(j);
	}
	json_array_end(j);
}

static void write_marks(struct html_work *w)
{
	struct json *j = &w->j;

	json_key(j, "marks");
	json_array_begin(j);
	for (size_t i = 0; i < w->m->mark_count; i++) {
		json_array_begin(j);
		json_u64(j, html_us(w, w->m->marks[i].time_ns));
		html_text(w, w->m->marks[i].name);
		json_array_end(j);
	}
	json_array_end(j);
	json_key(j, "losses");
	json_array_begin(j);
	for (size_t i = 0; i < w->m->loss_count; i++) {
		if (!w->m->losses[i].count)
			continue;
		json_array_begin(j);
		html_text(w, w->m->losses[i].name);
		json_u64(j, w->m->losses[i].count);
		json_array_end(j);
	}
	json_array_end(j);
}

static void write_series_column(struct html_work *w, const char *key, unsigned column)
{
	struct json *j = &w->j;

	json_key(j, key);
	json_array_begin(j);
	for (size_t i = 0; i < w->m->series.count; i++) {
		const struct model_series_point *p = &w->m->series.points[i];
		const uint64_t words[] = { html_us(w, p->time_ns), p->cpu_ns, p->resident_bytes, p->live_bytes,
			                   p->requests };

		json_u64(j, words[column]);
	}
	json_array_end(j);
}

static void write_series(struct html_work *w)
{
	static const char *const keys[] = { "time_us", "cpu_ns", "rss_bytes", "heap_bytes", "requests" };

	json_key(&w->j, "series");
	if (w->m->series.count < 2) {
		json_null(&w->j);
		return;
	}
	json_object_begin(&w->j);
	for (unsigned i = 0; i < ARRAY_LEN(keys); i++)
		write_series_column(w, keys[i], i);
	json_object_end(&w->j);
}

/* Modules whose functions have no names at all, and why; how often each kind of misuse was seen. */
static void write_warnings(struct html_work *w, struct symbolizer *symbols)
{
	uint64_t misuse[SNAP_MISUSE_COUNT] = { 0 };
	struct json *j = &w->j;

	json_key(j, "nameless");
	json_array_begin(j);
	for (size_t i = 0; i < w->m->module_count; i++) {
		struct symbols_state state;

		symbolizer_state(symbols, i, &state);
		if (state.kind != SYMBOLS_NONE || w->m->modules[i].flags & (SNAP_MODULE_VDSO | SNAP_MODULE_ANON))
			continue;
		json_array_begin(j);
		html_text(w, w->m->modules[i].path);
		html_text(w, state.why);
		json_array_end(j);
	}
	json_array_end(j);
	for (size_t i = 0; i < w->m->misuse_count; i++)
		misuse[w->m->misuse[i].kind] += w->m->misuse[i].count;
	json_key(j, "misuse");
	json_object_begin(j);
	json_key_u64(j, "mismatch", misuse[SNAP_MISUSE_MISMATCH]);
	json_key_u64(j, "double_free", misuse[SNAP_MISUSE_DOUBLE_FREE]);
	json_key_u64(j, "no_block", misuse[SNAP_MISUSE_NO_BLOCK]);
	json_object_end(j);
}

static void write_about(struct html_work *w, const char *name)
{
	const struct model *m = w->m;
	struct json *j = &w->j;

	html_key_text(w, "name", name);
	json_key_u64(j, "pid", m->pid);
	html_key_text(w, "comm", m->comm);
	html_key_text(w, "cmdline", m->cmdline);
	html_key_text(w, "reason", m->reason);
	html_key_text(w, "because", m->because);
	html_key_text(w, "recorder", m->recorder_version);
	html_key_text(w, "kernel", m->kernel);
	html_key_text(w, "machine", m->machine);
	json_key_u64(j, "cpus", m->cpus);
	json_key_u64(j, "cpu_ns", m->process_cpu_ns);
	json_key_u64(j, "duration_us", html_us(w, m->end_ns));
	json_key_double(j, "start_wall_ms", (double)m->start_wall_ns / 1e6);
	json_key_double(j, "start_ms", (double)m->start_ns / 1e6);
	json_key_u64(j, "hz", m->cpu_hz);
	html_key_text(w, "engine_cpu", m->engine_cpu);
	html_key_text(w, "engine_cpu_why", m->engine_cpu_why);
	html_key_text(w, "engine_unwind", m->engine_unwind);
	json_key_string(j, "heap_mode",
	                m->heap_mode == SNAP_HEAP_FULL      ? "full"
	                : m->heap_mode == SNAP_HEAP_SAMPLED ? "sampled"
	                                                    : "off");
	json_key_u64(j, "heap_interval_bytes", m->heap_interval_bytes);
	json_key_u64(j, "heap_peak_bytes", m->heap_peak_bytes);
	json_key_u64(j, "heap_peak_us", html_us(w, m->heap_peak_ns));
}

static int write_all(struct html_work *w, const char *name, struct symbolizer *symbols, const struct leak_rows *leaks,
                     struct err *err)
{
	int rc;

	json_object_begin(&w->j);
	write_about(w, name);
	write_marks(w);
	write_warnings(w, symbols);
	write_functions(w);
	json_key(&w->j, "nodes");
	json_object_begin(&w->j);
	write_numbers(&w->j, "depth", w->tree.depth, w->tree.nodes.count);
	write_numbers(&w->j, "function", w->tree.called, w->tree.nodes.count);
	json_object_end(&w->j);
	write_threads(w);
	write_series(w);
	write_metrics(w);
	write_leaks(w, leaks);
	rc = html_requests(w, err);
	if (rc == 0)
		rc = html_database(w, err);
	if (rc == 0)
		json_object_end(&w->j);
	return rc;
}

int html_data(const char *name, const struct model *m, struct symbolizer *symbols, struct buf *out, struct err *err)
{
	struct html_work *w = calloc(1, sizeof(*w));
	struct leak_rows leaks = { 0 };
	int rc;

	if (!w)
		return err_set(err, -ENOMEM, "out of memory");
	w->m = m;
	html_tree_init(&w->tree);
	json_init(&w->j, out);
	rc = take_metrics(w, symbols, err);
	if (rc == 0)
		rc = take_leaks(w, symbols, &leaks, err);
	if (rc == 0 && html_tree_finish(&w->tree) < 0)
		rc = err_set(err, -ENOMEM, "out of memory");
	if (rc == 0)
		rc = write_all(w, name, symbols, &leaks, err);
	if (w->scratch.failed)
		out->failed = true;
	leaks_free(leaks.leaks);
	free(leaks.node);
	for (size_t i = 0; i < w->metric_count; i++)
		metric_done(&w->metrics[i]);
	html_tree_done(&w->tree);
	buf_done(&w->scratch);
	free(w);
	return rc;
}
