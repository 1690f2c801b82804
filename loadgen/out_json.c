/*
 * out_json.c - the summary as one JSON object.
 *
 * It is a superset of k6's two: of --summary-export (root_group, metrics{name:{values, thresholds{expression: it has failed}}}) and
 * of what handleSummary() gets (type, contains, values{...}). Times in ms; `passes` of a rate = how often it was true.
 * Added: `count` in trends, p(50), p(99), p(99.9), the same as p50, p90, ..., endpoints, and at top level what k6 does not say.
 * Rates are per real second of the load ("duration_s"); counts are of the whole run. A trend without samples has nulls: k6's 0
 * would be a latency nobody measured.
 */
#include "out.h"

#include <string.h>
#include <time.h>

#include "buf.h"
#include "engine.h"
#include "json_write.h"
#include "endpoints.h"
#include "out_metric.h"
#include "series_json.h"
#include "threshold.h"
#include "totals.h"
#include "units.h"
#include "verdict.h"

static double per_second(const struct result *r, uint64_t count)
{
	return r->elapsed_ns ? (double)count / ((double)r->elapsed_ns / 1e9) : 0;
}

/* http_reqs and iterations are per second of the load, as the text has them; the rest is as it was measured. */
static double rate_of(const struct result *r, const struct series *s)
{
	if (strcmp(s->metric, "http_reqs") == 0 || strcmp(s->metric, "iterations") == 0)
		return result_rate(r);
	return per_second(r, (uint64_t)s->sum);
}

/* What is there, whether or not anything was measured: a reader need not ask whether a key is there. */
static void metrics_always(struct json *j, const struct result *r)
{
	static const struct {
		const char *metric;
		enum series_kind kind;
		enum series_contains contains;
	} always[] = {
		{ "http_reqs", SERIES_COUNTER, SERIES_DEFAULT },    { "iterations", SERIES_COUNTER, SERIES_DEFAULT },
		{ "http_req_failed", SERIES_RATE, SERIES_DEFAULT }, { "data_received", SERIES_COUNTER, SERIES_DATA },
		{ "data_sent", SERIES_COUNTER, SERIES_DATA },
	};

	for (size_t i = 0; i < ARRAY_LEN(always); i++)
		if (!out_metric_is_known(r->series, always[i].metric))
			out_metric_empty(j, always[i].metric, always[i].kind, always[i].contains);
	for (enum metrics_trend i = 0; i < TREND_COUNT; i++)
		if (!out_metric_is_known(r->series, metrics_trend_key(i)))
			out_metric_empty(j, metrics_trend_key(i), SERIES_TREND, SERIES_TIME);
}

static void metrics_object(struct json *j, const struct result *r)
{
	struct series sum;

	if (series_sum_init(&sum) < 0) {
		j->out->failed = true;
		return;
	}
	json_key(j, "metrics");
	json_object_begin(j);
	for (size_t i = 0; i < r->series->count; i++) {
		const struct series *s = r->series->items[i];

		if (out_metric_is_first(r->series, i) && series_sum(r->series, s->metric, NULL, 0, &sum))
			out_metric(j, s->metric, &sum, rate_of(r, s), r->thresholds);
	}
	metrics_always(j, r);
	for (size_t i = 0; r->thresholds && i < r->thresholds->count; i++) {
		const struct threshold *t = &r->thresholds->items[i].t;

		if (t->filter_count && out_threshold_is_first(r->thresholds, i)) {
			sum.kind = (uint8_t)r->thresholds->items[i].kind;
			(void)series_sum(r->series, t->metric, t->filter, t->filter_count, &sum);
			sum.kind = (uint8_t)r->thresholds->items[i].kind;
			out_metric(j, t->key, &sum, per_second(r, (uint64_t)sum.sum), r->thresholds);
		}
	}
	json_object_end(j);
	series_sum_done(&sum);
}

static void status_object(struct json *j, const struct metrics *m)
{
	json_key(j, "status");
	json_object_begin(j);
	for (int i = 0; i < METRICS_STATUS_MAX; i++) {
		const char key[] = { (char)('0' + i / 100), (char)('0' + i / 10 % 10), (char)('0' + i % 10), '\0' };

		if (m->status[i])
			json_key_u64(j, key, m->status[i]);
	}
	json_object_end(j);
}

static void errors_object(struct json *j, const struct metrics *m)
{
	json_key(j, "errors"); /* every kind, zero or not: a reader need not ask whether a key is there */
	json_object_begin(j);
	for (enum failure i = 0; i < FAILURE_COUNT; i++)
		json_key_u64(j, failure_key(i), m->failures[i]);
	json_object_end(j);
	json_key(j, "malformed");
	json_object_begin(j);
	for (enum http1_problem i = 0; i < HTTP1_PROBLEM_COUNT; i++)
		if (m->problems[i])
			json_key_u64(j, http1_problem_text(i), m->problems[i]);
	json_object_end(j);
}

static void endpoints_array(struct json *j, const struct result *r)
{
	struct endpoint_list list;

	if (endpoints_make(r->series, &list) < 0) {
		j->out->failed = true;
		return;
	}
	json_key(j, "endpoints");
	json_array_begin(j);
	for (size_t i = 0; i < list.count; i++) {
		const struct endpoint *e = &list.items[i];

		json_object_begin(j);
		json_key_string(j, "name", e->name);
		json_key_string(j, "method", e->method);
		json_key_u64(j, "requests", e->requests);
		json_key_u64(j, "failed", e->failed);
		json_key_double(j, "rate", per_second(r, e->requests));
		series_json_trend(j, &e->duration);
		json_object_end(j);
	}
	json_array_end(j);
	endpoints_done(&list);
}

static void driver_object(struct json *j, const struct result *r)
{
	uint64_t attempts = r->metrics.attempts;

	json_key(j, "driver");
	json_object_begin(j);
	json_key_double(j, "cpu_user_s", (double)r->cpu_user_ns / 1e9);
	json_key_double(j, "cpu_system_s", (double)r->cpu_system_ns / 1e9);
	json_key_double(j, "cpu_user_us_per_request", attempts ? (double)r->cpu_user_ns / 1e3 / (double)attempts : 0);
	json_key(j, "thread_cpu_share");
	json_array_begin(j);
	for (uint64_t i = 0; i < r->plan->threads; i++)
		json_double(j, r->elapsed_ns ? (double)r->busy_ns[i] / (double)r->elapsed_ns : 0);
	json_array_end(j);
	json_object_end(j);
}

static void start_time(struct json *j, uint64_t wall_ns)
{
	time_t s = (time_t)(wall_ns / NS_PER_S);
	struct tm tm;
	char text[40];

	if (!gmtime_r(&s, &tm) || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		return;
	json_key_string(j, "start", text);
	json_key_u64(j, "start_ns", wall_ns);
}

static const char *const models[] = {
	[SCHEDULE_CLOSED] = "closed", [SCHEDULE_RAMPING] = "ramping", [SCHEDULE_OPEN] = "open"
};

static void run_facts(struct json *j, const struct result *r)
{
	json_key_string(j, "tool", "probe-load " PERFPROBE_VERSION);
	json_key(j, "target");
	json_object_begin(j);
	json_key_string(j, "scheme", r->plan->url.tls ? "https" : "http");
	json_key_string(j, "method", r->plan->method);
	json_key_string(j, "authority", r->plan->url.authority);
	json_key_string(j, "path", r->plan->url.target);
	json_object_end(j);
	json_key_string(j, "model", models[r->plan->schedule.model]);
	if (r->plan->schedule.model == SCHEDULE_OPEN) {
		json_key_string(j, "arrivals", r->plan->schedule.poisson ? "poisson" : "regular");
		json_key_u64(j, "backlog_max", r->metrics.backlog_max);
	}
	if (r->plan->schedule.warmup_ns) {
		json_key_double(j, "warmup_s", (double)r->plan->schedule.warmup_ns / 1e9);
		json_key_u64(j, "warmup_requests", r->metrics.warmup);
	}
	json_key_u64(j, "connections", r->plan->connections);
	json_key_u64(j, "threads", r->plan->threads);
	start_time(j, r->start_wall_ns);
	json_key_double(j, "duration_s", result_window_s(r));
	json_key_double(j, "elapsed_s", (double)r->elapsed_ns / 1e9);
	json_key(j, "state");
	json_object_begin(j);
	json_key_double(j, "testRunDurationMs", (double)r->elapsed_ns / 1e6);
	json_object_end(j);
}

void out_json(const struct result *r, const struct verdict *v, struct buf *out)
{
	struct json j;

	json_init(&j, out);
	json_object_begin(&j);
	run_facts(&j, r);
	/* What k6 writes for a script without groups and checks; the id is the MD5 of the empty path. */
	json_key(&j, "root_group");
	json_raw(&j, "{\"name\":\"\",\"path\":\"\",\"id\":\"d41d8cd98f00b204e9800998ecf8427e\",\"groups\":{},"
	             "\"checks\":{}}");
	metrics_object(&j, r);
	endpoints_array(&j, r);
	status_object(&j, &r->metrics);
	errors_object(&j, &r->metrics);
	json_key_u64(&j, "connections_opened", r->metrics.connected);
	json_key_u64(&j, "reconnects", r->metrics.reopened);
	if (r->plan->url.tls) {
		json_key_u64(&j, "tls_resumed", r->metrics.resumed);
		json_key_string(&j, "tls_problem", r->metrics.tls_problem);
	}
	json_key_u64(&j, "interrupted", r->metrics.interrupted);
	json_key_u64(&j, "without_series", r->lost);
	json_key_u64(&j, "rows_dropped", r->rows_dropped);
	json_key_bool(&j, "ended_early", r->interrupted || r->gave_up);
	driver_object(&j, r);
	json_key_string(&j, "verdict", verdict_name(v->kind));
	json_key(&j, "verdict_reasons");
	json_array_begin(&j);
	for (size_t i = 0; i < v->count; i++)
		json_string(&j, v->reasons[i]);
	json_array_end(&j);
	json_object_end(&j);
	buf_add_char(out, '\n');
}
