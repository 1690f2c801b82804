/*
 * export_cpuprofile.c - Chrome's CPU profile (protocol type Profiler.Profile).
 *
 * What its readers make of a file, and so what is written:
 * - "nodes" must be the first key; the root must have "children".
 * - A node's own time is hitCount x (endTime - startTime) / sum of hitCounts (DevTools), or the distance from each of its
 *   samples to the next one (speedscope, and DevTools' time line). The last sample has no next one: speedscope gives it
 *   no time, DevTools an average one. So the last sample is always "(idle)", which both leave out of their sums, and
 *   endTime is chosen so that one hit is exactly one period. Then all of them show samples x period.
 * - Times are microseconds; export_threads.h tells why they are rounded.
 * - A file has one time line. All threads together have none, so without a thread the axis is CPU time; with a thread it is
 *   the clock.
 */
#include "export.h"

#include <errno.h>
#include <stdlib.h>

#include "export_parts.h"
#include "export_samples.h"
#include "export_threads.h"
#include "functions.h"
#include "json_write.h"
#include "profile.h"
#include "tree.h"
#include "units.h"

struct writer {
	struct json json;
	const struct profile *p;
	const struct functions *functions;
	const struct tree *tree;
	const struct export_timeline *timeline;
	struct buf scratch;
};

/* Node ids are tree indices + 1; "(idle)" comes after them. */
static uint32_t idle_id(const struct writer *w)
{
	return (uint32_t)w->tree->count + 1;
}

static uint32_t id_of(const struct writer *w, uint32_t stack)
{
	return stack == EXPORT_IDLE ? idle_id(w) : w->tree->end_of_stack[0][stack] + 1;
}

static uint64_t thread_end(const struct profile *p, uint64_t tid)
{
	uint64_t end = 0;

	for (size_t i = 0; i < p->thread_count; i++) {
		uint64_t e = p->threads[i].end_ns ? p->threads[i].end_ns : p->end_ns;

		if (p->threads[i].tid == tid && e > end)
			end = e;
	}
	return end;
}

static void write_node(struct writer *w, uint32_t i)
{
	const struct tree_node *node = &w->tree->nodes[i];
	const struct function *f = i ? &w->functions->items[node->function] : NULL;

	json_object_begin(&w->json);
	json_key_u64(&w->json, "id", i + 1u);
	export_call_frame(&w->json, &w->scratch, f ? f->name : "(root)", f, node->function);
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

static void write_idle(struct writer *w)
{
	json_object_begin(&w->json);
	json_key_u64(&w->json, "id", idle_id(w));
	export_call_frame(&w->json, &w->scratch, "(idle)", NULL, 0);
	json_key_u64(&w->json, "hitCount", w->timeline->idle_periods);
	json_key(&w->json, "children");
	json_array_begin(&w->json);
	json_array_end(&w->json);
	json_object_end(&w->json);
}

static void write_samples(struct writer *w)
{
	const struct export_timeline *t = w->timeline;

	json_key(&w->json, "samples");
	json_array_begin(&w->json);
	for (size_t i = 0; i < t->count; i++) {
		json_u64(&w->json, id_of(w, t->items[i].stack));
		buf_pour(w->json.out);
	}
	json_array_end(&w->json);
	json_key(&w->json, "timeDeltas");
	json_array_begin(&w->json);
	for (size_t i = 0; i < t->count; i++) {
		json_u64(&w->json, t->items[i].at_us - (i ? t->items[i - 1].at_us : 0));
		buf_pour(w->json.out);
	}
	json_array_end(&w->json);
}

static void write_all(struct writer *w, uint64_t samples, struct buf *out)
{
	const struct export_timeline *t = w->timeline;
	uint64_t length_ns = (samples + t->idle_periods) * w->p->period_ns;

	json_init(&w->json, out);
	json_object_begin(&w->json);
	json_key(&w->json, "nodes");
	json_array_begin(&w->json);
	for (uint32_t i = 0; i < w->tree->count; i++) {
		write_node(w, i);
		buf_pour(out);
	}
	write_idle(w);
	json_array_end(&w->json);
	json_key_u64(&w->json, "startTime", t->start_ns / NS_PER_US);
	json_key_u64(&w->json, "endTime", (t->start_ns + length_ns) / NS_PER_US);
	write_samples(w);
	export_key_losses(&w->json, &w->scratch, w->p); /* readers leave out what they do not know */
	json_object_end(&w->json);
	buf_add_char(out, '\n');
	if (w->scratch.failed)
		out->failed = true;
}

int export_cpuprofile(const struct profile *p, const struct export_options *o, struct buf *out, struct err *err)
{
	struct tree_options options = { .order = TREE_LARGEST_FIRST, .tid = o->tid };
	struct functions functions = { 0 };
	struct export_samples samples = { 0 };
	struct export_timeline timeline = { 0 };
	struct tree *tree = NULL;
	struct writer w = { .p = p, .functions = &functions, .timeline = &timeline };
	int rc = export_check_time(p, "a .cpuprofile", err);

	if (rc == 0)
		rc = export_check_thread(p, o->tid, err);
	if (rc == 0)
		rc = functions_build(&p, 1, &functions, err);
	if (rc == 0)
		rc = tree_build(&(struct tree_input){ p, 1 }, 1, &functions, &options, &tree, err);
	if (rc == 0 && (export_samples_get(p, o->tid, &samples) < 0 ||
	                export_timeline_get(&samples, p->period_ns, o->tid != EXPORT_ALL_THREADS, p->start_ns,
	                                    thread_end(p, o->tid), EXPORT_REPEATED, &timeline) < 0))
		rc = err_set(err, -ENOMEM, "out of memory for the samples");
	if (rc == 0) {
		w.tree = tree;
		write_all(&w, samples.total, out);
	}
	buf_done(&w.scratch);
	export_timeline_done(&timeline);
	export_samples_done(&samples);
	tree_free(tree);
	functions_done(&functions);
	return rc;
}
