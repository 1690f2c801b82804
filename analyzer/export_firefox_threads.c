/* Threads of a Firefox profile: samples, and requests and marks as markers. export_firefox.c tells of the format. */
#include "export_firefox.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "export_parts.h"
#include "export_threads.h"
#include "units.h"

#define NO_THREAD UINT64_MAX

enum marker_phase { PHASE_INSTANT = 0, PHASE_INTERVAL = 1, PHASE_START = 2 };

static void write_head(struct firefox *w, const char *name, uint64_t tid, uint64_t start_ns, uint64_t end_ns)
{
	struct json *j = &w->json;
	char number[24];

	json_object_begin(j);
	export_key_text(j, &w->text, "name", name);
	json_key_bool(j, "isMainThread", tid == w->p->pid);
	json_key_string(j, "processType", "default");
	json_key_u64(j, "processStartupTime", 0);
	json_key(j, "processShutdownTime");
	json_null(j);
	json_key_double(j, "registerTime", firefox_ms(w->p, start_ns));
	json_key(j, "unregisterTime");
	if (end_ns && end_ns < w->p->end_ns)
		json_double(j, firefox_ms(w->p, end_ns));
	else
		json_null(j);
	json_key(j, "pausedRanges");
	json_raw(j, "[]");
	json_key_bool(j, "showMarkersInTimeline", true);
	export_key_text(j, &w->text, "processName", w->p->comm);
	(void)snprintf(number, sizeof(number), "%llu", (unsigned long long)w->p->pid);
	json_key_string(j, "pid", number);
	if (tid == NO_THREAD)
		json_key_string(j, "tid", "requests and marks"); /* a text may stand there: no thread has it */
	else
		json_key_u64(j, "tid", tid);
}

static void write_empty_markers(struct firefox *w)
{
	json_key(&w->json, "markers");
	json_raw(&w->json, "{\"length\":0,\"data\":[],\"name\":[],\"startTime\":[],\"endTime\":[],\"phase\":[],"
	                   "\"category\":[]}");
}

/* ---- samples ---- */

static void write_times(struct firefox *w, const struct export_thread *t)
{
	const struct export_samples *s = &t->samples;
	uint64_t start = t->start_ns;

	for (size_t i = 0; i < s->count; i++) /* samples without a time come first */
		if (s->items[i].time_ns) {
			start = s->items[i].time_ns < start ? s->items[i].time_ns : start;
			break;
		}
	json_key(&w->json, "time");
	json_array_begin(&w->json);
	for (size_t i = 0; i < s->count; i++)
		json_double(&w->json, firefox_ms(w->p, s->items[i].time_ns ? s->items[i].time_ns : start));
	json_array_end(&w->json);
}

static void write_samples(struct firefox *w, const struct export_thread *t)
{
	const struct export_samples *s = &t->samples;
	bool in_bytes = strcmp(profile_metric_unit(w->p->metric), "bytes") == 0;

	firefox_table(w, "samples", s->count);
	json_key_string(&w->json, "weightType", in_bytes ? "bytes" : "samples");
	json_key(&w->json, "stack");
	json_array_begin(&w->json);
	for (size_t i = 0; i < s->count; i++)
		firefox_number(w, w->end_of_stack[s->items[i].stack], true);
	json_array_end(&w->json);
	write_times(w, t);
	json_key(&w->json, "weight");
	json_array_begin(&w->json);
	for (size_t i = 0; i < s->count; i++)
		firefox_number(w, s->items[i].weight, true);
	json_array_end(&w->json);
	if (w->p->metric == METRIC_CPU) {
		json_key(&w->json, "threadCPUDelta");
		json_array_begin(&w->json);
		for (size_t i = 0; i < s->count; i++)
			firefox_number(w, s->items[i].weight * w->p->period_ns / NS_PER_US, true);
		json_array_end(&w->json);
	}
	json_object_end(&w->json);
}

static void write_thread(struct firefox *w, const struct export_thread *t)
{
	write_head(w, t->name, t->tid, t->start_ns, t->end_ns);
	write_samples(w, t);
	write_empty_markers(w);
	json_object_end(&w->json);
}

/* ---- requests and marks ---- */

void firefox_marker_schema(struct firefox *w)
{
	json_key(&w->json, "markerSchema");
	json_raw(&w->json,
	         "[{\"name\":\"HTTPRequest\",\"display\":[\"marker-chart\",\"marker-table\",\"timeline-overview\"],"
	         "\"tooltipLabel\":\"{marker.data.method} {marker.data.path}\","
	         "\"tableLabel\":\"{marker.data.method} {marker.data.path}: {marker.data.status}\","
	         "\"chartLabel\":\"{marker.data.method} {marker.data.path}\",\"fields\":["
	         "{\"key\":\"method\",\"label\":\"Method\",\"format\":\"string\"},"
	         "{\"key\":\"path\",\"label\":\"Path\",\"format\":\"string\"},"
	         "{\"key\":\"status\",\"label\":\"Status\",\"format\":\"integer\"},"
	         "{\"key\":\"bytesIn\",\"label\":\"Received\",\"format\":\"bytes\"},"
	         "{\"key\":\"bytesOut\",\"label\":\"Sent\",\"format\":\"bytes\"}]},"
	         "{\"name\":\"Mark\",\"display\":[\"marker-chart\",\"marker-table\",\"timeline-overview\"],"
	         "\"fields\":[{\"key\":\"thread\",\"label\":\"Thread\",\"format\":\"integer\"}]}]");
}

static void write_request_data(struct firefox *w, const struct model_request *r)
{
	json_object_begin(&w->json);
	json_key_string(&w->json, "type", "HTTPRequest");
	export_key_text(&w->json, &w->text, "method", r->method);
	export_key_text(&w->json, &w->text, "path", r->path);
	json_key_u64(&w->json, "status", r->status);
	json_key_u64(&w->json, "bytesIn", r->bytes_in);
	json_key_u64(&w->json, "bytesOut", r->bytes_out);
	json_object_end(&w->json);
}

static void write_mark_data(struct firefox *w, const struct model_mark *mark)
{
	uint32_t thread = mark->thread;

	json_object_begin(&w->json);
	json_key_string(&w->json, "type", "Mark");
	json_key_u64(&w->json, "thread", thread < w->p->thread_count ? w->p->threads[thread].tid : 0);
	json_object_end(&w->json);
}

static void begin_column(struct firefox *w, const char *key)
{
	json_key(&w->json, key);
	json_array_begin(&w->json);
}

/* Requests first, then marks, in every column. */
static void write_markers(struct firefox *w, const struct model *m)
{
	const struct model_request *r = m->requests.requests;
	size_t requests = m->requests.request_count, n = requests + m->mark_count;
	struct json *j = &w->json;

	firefox_table(w, "markers", n);
	begin_column(w, "data");
	for (size_t i = 0; i < n; i++) {
		if (i < requests)
			write_request_data(w, &r[i]);
		else
			write_mark_data(w, &m->marks[i - requests]);
	}
	json_array_end(j);
	begin_column(w, "name");
	for (size_t i = 0; i < n; i++)
		json_u64(j, firefox_string(w, i < requests ? "HTTP request" : m->marks[i - requests].name));
	json_array_end(j);
	begin_column(w, "startTime");
	for (size_t i = 0; i < n; i++)
		json_double(j, firefox_ms(w->p, i < requests ? r[i].start_ns : m->marks[i - requests].time_ns));
	json_array_end(j);
	begin_column(w, "endTime");
	for (size_t i = 0; i < n; i++) {
		if (i < requests && r[i].end_ns)
			json_double(j, firefox_ms(w->p, r[i].end_ns));
		else
			json_null(j);
	}
	json_array_end(j);
	begin_column(w, "phase");
	for (size_t i = 0; i < n; i++)
		json_u64(j, i >= requests ? PHASE_INSTANT : r[i].end_ns ? PHASE_INTERVAL : PHASE_START);
	json_array_end(j);
	begin_column(w, "category");
	for (size_t i = 0; i < n; i++)
		json_u64(j, 0);
	json_array_end(j);
	json_object_end(j);
}

/* A thread without samples: for markers, or because a profile without any thread is not opened. */
static void write_marker_thread(struct firefox *w, const struct model *m)
{
	write_head(w, "requests and marks", NO_THREAD, w->p->start_ns, 0);
	json_key(&w->json, "samples");
	json_raw(&w->json, "{\"length\":0,\"weightType\":\"samples\",\"stack\":[],\"time\":[],\"weight\":[]}");
	if (m)
		write_markers(w, m);
	else
		write_empty_markers(w);
	json_object_end(&w->json);
}

int firefox_threads(struct firefox *w)
{
	const struct model *m = w->o->model;
	struct export_threads threads;

	if (export_threads_get(w->p, w->o->tid, &threads) < 0)
		return -ENOMEM;
	json_key(&w->json, "threads");
	json_array_begin(&w->json);
	for (size_t i = 0; i < threads.count; i++)
		write_thread(w, &threads.items[i]);
	if (threads.count == 0 || (m && w->p->period_ns && m->requests.request_count + m->mark_count > 0))
		write_marker_thread(w, m);
	json_array_end(&w->json);
	export_threads_done(&threads);
	return 0;
}
