/*
 * export_trace.c - Chrome's trace events ("Trace Event Format"): all threads by the clock, with requests and marks beside them.
 *
 * A thread's samples are one profile: an event "Profile", then "ProfileChunk"s with nodes (which name their parents here) and
 * samples, as V8 streams them. DevTools, speedscope and Perfetto read that. Times are microseconds of the recording's
 * clock. Samples older than the window have no time and stand before the others; where a thread did not run is "(idle)".
 * DevTools shows a thread's profile only if its process has a page ("TracingStartedInBrowser" names one) and the thread has an
 * event of its own: "thread", as long as its profile.
 * Requests overlap, so each is an asynchronous event (b, e) with an id of its own; marks are instants of their thread. Their
 * category is that of a page's own timings: DevTools shows them as such. What was lost stands in "metadata".
 */
#include "export.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "export_parts.h"
#include "export_threads.h"
#include "functions.h"
#include "json_write.h"
#include "model.h"
#include "profile.h"
#include "tree.h"
#include "units.h"

enum { CHUNK_SAMPLES = 10000 };

struct writer {
	struct json json;
	const struct profile *p;
	const struct export_options *o;
	const struct functions *functions;
	const struct tree *tree;
	uint32_t *told;  /* by node: the thread that wrote it last, + 1 */
	uint32_t *fresh; /* nodes under way, inner first */
	struct buf scratch;
};

/* Common members; the object stays open. `at_ns` of the recording's clock. */
static void begin_event_of(struct writer *w, const char *name, const char *category, const char *phase, uint64_t pid,
                           uint64_t tid, uint64_t at_ns)
{
	json_object_begin(&w->json);
	export_key_text(&w->json, &w->scratch, "name", name);
	json_key_string(&w->json, "cat", category);
	json_key_string(&w->json, "ph", phase);
	json_key_u64(&w->json, "pid", pid);
	json_key_u64(&w->json, "tid", tid);
	json_key(&w->json, "ts");
	buf_clear(&w->scratch);
	buf_printf(&w->scratch, "%llu.%03llu", (unsigned long long)(at_ns / NS_PER_US),
	           (unsigned long long)(at_ns % NS_PER_US));
	json_raw(&w->json, w->scratch.data ? w->scratch.data : "0");
}

static void begin_event(struct writer *w, const char *name, const char *category, const char *phase, uint64_t tid,
                        uint64_t at_ns)
{
	begin_event_of(w, name, category, phase, w->p->pid, tid, at_ns);
}

static void begin_args(struct writer *w)
{
	json_key(&w->json, "args");
	json_object_begin(&w->json);
}

static void end_args(struct writer *w)
{
	json_object_end(&w->json);
	json_object_end(&w->json);
}

static void write_name(struct writer *w, const char *kind, uint64_t tid, const char *name)
{
	begin_event(w, kind, "__metadata", "M", tid, 0);
	begin_args(w);
	export_key_text(&w->json, &w->scratch, "name", name);
	end_args(w);
}

/* ---- profiles ---- */

/* Ids are tree indices + 1: 1 is the root, "(idle)" comes after all. */
static uint32_t idle_id(const struct writer *w)
{
	return (uint32_t)w->tree->count + 1;
}

static uint32_t node_of(const struct writer *w, uint32_t stack)
{
	return stack == EXPORT_IDLE ? 0 : w->tree->end_of_stack[0][stack];
}

static void write_node(struct writer *w, uint32_t node)
{
	const struct tree_node *n = &w->tree->nodes[node];
	const struct function *f = node ? &w->functions->items[n->function] : NULL;

	json_object_begin(&w->json);
	json_key_u64(&w->json, "id", node + 1u);
	if (node)
		json_key_u64(&w->json, "parent", n->parent + 1u);
	export_call_frame(&w->json, &w->scratch, f ? f->name : "(root)", f, n->function);
	json_object_end(&w->json);
}

static void write_idle(struct writer *w)
{
	json_object_begin(&w->json);
	json_key_u64(&w->json, "id", idle_id(w));
	json_key_u64(&w->json, "parent", 1);
	export_call_frame(&w->json, &w->scratch, "(idle)", NULL, 0);
	json_object_end(&w->json);
}

/* A node and those it hangs from, outer ones first, that the thread's profile does not have yet. */
static void write_path(struct writer *w, uint32_t node, uint32_t thread)
{
	size_t n = 0;

	while (w->told[node] != thread + 1) {
		w->told[node] = thread + 1;
		w->fresh[n++] = node;
		node = w->tree->nodes[node].parent;
	}
	while (n > 0)
		write_node(w, w->fresh[--n]);
	buf_pour(w->json.out);
}

static void write_chunk(struct writer *w, const struct export_timeline *t, size_t from, size_t to, uint32_t thread)
{
	json_key(&w->json, "data");
	json_object_begin(&w->json);
	json_key(&w->json, "cpuProfile");
	json_object_begin(&w->json);
	json_key(&w->json, "nodes");
	json_array_begin(&w->json);
	for (size_t i = from; i < to; i++)
		write_path(w, node_of(w, t->items[i].stack), thread);
	if (from == 0)
		write_idle(w);
	json_array_end(&w->json);
	json_key(&w->json, "samples");
	json_array_begin(&w->json);
	for (size_t i = from; i < to; i++)
		json_u64(&w->json, t->items[i].stack == EXPORT_IDLE ? idle_id(w) : node_of(w, t->items[i].stack) + 1);
	json_array_end(&w->json);
	json_object_end(&w->json);
	json_key(&w->json, "timeDeltas");
	json_array_begin(&w->json);
	for (size_t i = from; i < to; i++)
		json_u64(&w->json, t->items[i].at_us - (i ? t->items[i - 1].at_us : 0));
	json_array_end(&w->json);
	json_object_end(&w->json);
}

static void begin_profile_event(struct writer *w, const char *name, uint64_t tid, uint32_t number, uint64_t at_ns)
{
	char id[32];

	(void)snprintf(id, sizeof(id), "0x%x", number + 1);
	begin_event(w, name, "disabled-by-default-v8.cpu_profiler", "P", tid, at_ns);
	json_key_string(&w->json, "id", id);
	begin_args(w);
}

static int write_profile(struct writer *w, const struct export_thread *thread, uint32_t number)
{
	struct export_timeline t;

	if (export_timeline_get(&thread->samples, w->p->period_ns, true, w->p->start_ns, thread->end_ns,
	                        EXPORT_REPEATED, &t) < 0)
		return -ENOMEM;
	write_name(w, "thread_name", thread->tid, thread->name);
	begin_event(w, "thread", "perfprobe", "X", thread->tid, t.start_ns);
	json_key_u64(&w->json, "dur", t.items[t.count - 1].at_us);
	begin_args(w);
	end_args(w);
	begin_profile_event(w, "Profile", thread->tid, number, t.start_ns);
	json_key(&w->json, "data");
	json_object_begin(&w->json);
	json_key_u64(&w->json, "startTime", t.start_ns / NS_PER_US);
	json_object_end(&w->json);
	end_args(w);
	for (size_t from = 0; from < t.count; from += CHUNK_SAMPLES) {
		size_t to = from + CHUNK_SAMPLES < t.count ? from + CHUNK_SAMPLES : t.count;

		begin_profile_event(w, "ProfileChunk", thread->tid, number,
		                    t.start_ns + t.items[to - 1].at_us * NS_PER_US);
		write_chunk(w, &t, from, to, number);
		end_args(w);
	}
	export_timeline_done(&t);
	return 0;
}

/* ---- requests and marks ---- */

static bool is_wanted(const struct writer *w, uint32_t thread)
{
	return export_has_tid(w->p, thread, w->o->tid);
}

static uint64_t tid_of(const struct writer *w, uint32_t thread)
{
	return thread < w->p->thread_count ? w->p->threads[thread].tid : w->p->pid;
}

static void request_event(struct writer *w, const struct model_request *r, const char *phase, uint64_t at_ns)
{
	char id[32];

	buf_pour(w->json.out);
	(void)snprintf(id, sizeof(id), "0x%llx", (unsigned long long)r->id);
	begin_event(w, r->path, "blink.user_timing", phase, tid_of(w, r->thread_start), at_ns);
	json_key_string(&w->json, "id", id);
	begin_args(w);
}

/* One that is not answered ends with the recording. */
static void write_request(struct writer *w, const struct model_request *r)
{
	request_event(w, r, "b", r->start_ns);
	export_key_text(&w->json, &w->scratch, "method", r->method);
	json_key_u64(&w->json, "status", r->status);
	json_key_u64(&w->json, "bytes_in", r->bytes_in);
	json_key_u64(&w->json, "bytes_out", r->bytes_out);
	json_key_bool(&w->json, "answered", r->end_ns != 0);
	end_args(w);
	request_event(w, r, "e", r->end_ns ? r->end_ns : w->p->end_ns);
	end_args(w);
}

static void write_mark(struct writer *w, const struct model_mark *mark)
{
	begin_event(w, mark->name, "blink.user_timing", "I", tid_of(w, mark->thread), mark->time_ns);
	json_key_string(&w->json, "s", "t");
	begin_args(w);
	end_args(w);
}

static void write_events(struct writer *w)
{
	const struct model *m = w->o->model;

	for (size_t i = 0; m && i < m->requests.request_count; i++)
		if (is_wanted(w, m->requests.requests[i].thread_start))
			write_request(w, &m->requests.requests[i]);
	for (size_t i = 0; m && i < m->mark_count; i++)
		if (is_wanted(w, m->marks[i].thread))
			write_mark(w, &m->marks[i]);
}

/* ---- the file ---- */

static void write_metadata(struct writer *w)
{
	struct buf title = { 0 };

	json_key(&w->json, "metadata");
	json_object_begin(&w->json);
	export_title(&title, w->p);
	export_key_text(&w->json, &w->scratch, "title", title.data ? title.data : "");
	json_key_string(&w->json, "source", "perfprobe " PERFPROBE_VERSION);
	export_key_text(&w->json, &w->scratch, "command", w->p->cmdline);
	json_key_u64(&w->json, "period_ns", w->p->period_ns);
	export_key_losses(&w->json, &w->scratch, w->p);
	json_object_end(&w->json);
	w->scratch.failed |= title.failed;
	buf_done(&title);
}

static void write_page(struct writer *w)
{
	/* The browser is another process, 0: DevTools does not show its threads. */
	begin_event_of(w, "TracingStartedInBrowser", "disabled-by-default-devtools.timeline", "I", 0, 0,
	               w->p->start_ns);
	json_key_string(&w->json, "s", "t");
	begin_args(w);
	json_key(&w->json, "data");
	json_object_begin(&w->json);
	json_key_u64(&w->json, "frameTreeNodeId", 1);
	json_key_bool(&w->json, "persistentIds", true);
	json_key(&w->json, "frames");
	json_array_begin(&w->json);
	json_object_begin(&w->json);
	json_key_string(&w->json, "frame", "1");
	json_key_string(&w->json, "url", "perfprobe:program"); /* what is no URL is no page */
	json_key_string(&w->json, "name", "");
	json_key_u64(&w->json, "processId", w->p->pid);
	json_object_end(&w->json);
	json_array_end(&w->json);
	json_object_end(&w->json);
	end_args(w);
}

static int write_all(struct writer *w, const struct export_threads *threads)
{
	int rc = 0;

	json_object_begin(&w->json);
	json_key(&w->json, "traceEvents");
	json_array_begin(&w->json);
	write_name(w, "process_name", w->p->pid, w->p->comm);
	write_page(w);
	for (size_t i = 0; i < threads->count && rc == 0; i++)
		rc = write_profile(w, &threads->items[i], (uint32_t)i);
	write_events(w);
	json_array_end(&w->json);
	json_key_string(&w->json, "displayTimeUnit", "ms");
	write_metadata(w);
	json_object_end(&w->json);
	return rc;
}

int export_trace(const struct profile *p, const struct export_options *o, struct buf *out, struct err *err)
{
	struct tree_options options = { .order = TREE_LARGEST_FIRST, .tid = o->tid };
	struct functions functions = { 0 };
	struct export_threads threads = { 0 };
	struct tree *tree = NULL;
	struct writer w = { .p = p, .o = o, .functions = &functions };
	int rc = export_check_time(p, "a trace", err);

	if (rc == 0)
		rc = export_check_thread(p, o->tid, err);
	if (rc == 0)
		rc = functions_build(&p, 1, &functions, err);
	if (rc == 0)
		rc = tree_build(&(struct tree_input){ p, 1 }, 1, &functions, &options, &tree, err);
	if (rc == 0) {
		w.tree = tree;
		w.told = calloc(tree->count, sizeof(*w.told));
		w.fresh = calloc(tree->max_depth + 1u, sizeof(*w.fresh));
		json_init(&w.json, out);
		if (!w.told || !w.fresh || export_threads_get(p, o->tid, &threads) < 0 || write_all(&w, &threads) < 0)
			rc = err_set(err, -ENOMEM, "out of memory for the samples");
		buf_add_char(out, '\n');
		out->failed |= w.scratch.failed;
	}
	buf_done(&w.scratch);
	free(w.told);
	free(w.fresh);
	export_threads_done(&threads);
	tree_free(tree);
	functions_done(&functions);
	return rc;
}
