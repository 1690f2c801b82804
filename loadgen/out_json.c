/*
 * out_json.c - the summary as one JSON object.
 *
 * It is a superset of k6's --summary-export: root_group and metrics{name:{values}}, times in ms, `passes` of a rate = how often it
 * was true. Added: `count` in trends, p(50), p(99), p(99.9), and at top level what k6 does not say.
 * Rates are per real second of the load ("duration_s"); counts are of the whole run. A trend without samples has nulls: k6's 0
 * would be a latency nobody measured.
 */
#include "out.h"

#include <time.h>

#include "buf.h"
#include "engine.h"
#include "json_write.h"
#include "units.h"
#include "verdict.h"

static const struct {
	const char *key;
	double q;
} quantiles[] = {
	{ "med", 0.5 }, { "p(50)", 0.5 }, { "p(90)", 0.9 }, { "p(95)", 0.95 }, { "p(99)", 0.99 }, { "p(99.9)", 0.999 },
};

static void key_ms(struct json *j, const char *key, double ns, bool known)
{
	json_key(j, key);
	if (known)
		json_double(j, ns / 1e6);
	else
		json_null(j);
}

static void trend(struct json *j, const char *name, const struct histogram *h)
{
	bool known = h->count > 0;

	json_key(j, name);
	json_object_begin(j);
	json_key_string(j, "type", "trend");
	json_key_string(j, "contains", "time");
	json_key_u64(j, "count", h->count);
	key_ms(j, "avg", histogram_mean(h), known);
	key_ms(j, "min", (double)h->min, known);
	key_ms(j, "max", (double)h->max, known);
	for (size_t i = 0; i < ARRAY_LEN(quantiles); i++)
		key_ms(j, quantiles[i].key, (double)histogram_quantile(h, quantiles[i].q), known);
	json_object_end(j);
}

/* In the closed model a request is sent the moment it is meant to be: every lateness is 0, as often as there are durations. */
static void lateness(struct json *j, uint64_t count)
{
	json_key(j, "http_req_lateness");
	json_object_begin(j);
	json_key_string(j, "type", "trend");
	json_key_string(j, "contains", "time");
	json_key_u64(j, "count", count);
	key_ms(j, "avg", 0, count > 0);
	key_ms(j, "min", 0, count > 0);
	key_ms(j, "max", 0, count > 0);
	for (size_t i = 0; i < ARRAY_LEN(quantiles); i++)
		key_ms(j, quantiles[i].key, 0, count > 0);
	json_object_end(j);
}

static void counter(struct json *j, const char *name, const char *contains, uint64_t count, double rate)
{
	json_key(j, name);
	json_object_begin(j);
	json_key_string(j, "type", "counter");
	json_key_string(j, "contains", contains);
	json_key_u64(j, "count", count);
	json_key_double(j, "rate", rate);
	json_object_end(j);
}

static double per_second(const struct result *r, uint64_t count)
{
	return r->elapsed_ns ? (double)count / ((double)r->elapsed_ns / 1e9) : 0;
}

static void failed_rate(struct json *j, const struct metrics *m)
{
	uint64_t failed = metrics_unsuccessful(m);

	json_key(j, "http_req_failed");
	json_object_begin(j);
	json_key_string(j, "type", "rate");
	json_key_string(j, "contains", "default");
	json_key_double(j, "value", m->attempts ? (double)failed / (double)m->attempts : 0);
	json_key_double(j, "rate", m->attempts ? (double)failed / (double)m->attempts : 0);
	json_key_u64(j, "passes", failed);
	json_key_u64(j, "fails", m->attempts - failed);
	json_object_end(j);
}

static void vus(struct json *j, uint64_t connections)
{
	json_key(j, "vus");
	json_object_begin(j);
	json_key_string(j, "type", "gauge");
	json_key_u64(j, "value", connections);
	json_key_u64(j, "min", connections);
	json_key_u64(j, "max", connections);
	json_object_end(j);
}

static void metrics_object(struct json *j, const struct result *r)
{
	const struct metrics *m = &r->metrics;
	bool is_open = r->plan->schedule.model == SCHEDULE_OPEN;

	json_key(j, "metrics");
	json_object_begin(j);
	counter(j, "http_reqs", "default", m->attempts, result_rate(r));
	counter(j, "iterations", "default", m->attempts, result_rate(r));
	failed_rate(j, m);
	counter(j, "data_received", "data", m->bytes_in, per_second(r, m->bytes_in));
	counter(j, "data_sent", "data", m->bytes_out, per_second(r, m->bytes_out));
	vus(j, r->plan->connections);
	for (enum metrics_trend i = 0; i < TREND_RESPONSE; i++)
		trend(j, metrics_trend_key(i), &m->trends[i]);
	if (is_open) {
		trend(j, metrics_trend_key(TREND_RESPONSE), &m->trends[TREND_RESPONSE]);
		trend(j, metrics_trend_key(TREND_LATENESS), &m->trends[TREND_LATENESS]);
		counter(j, "dropped_iterations", "default", m->dropped, per_second(r, m->dropped));
	} else { /* the intended start is the send */
		trend(j, metrics_trend_key(TREND_RESPONSE), &m->trends[TREND_DURATION]);
		lateness(j, m->trends[TREND_DURATION].count);
	}
	json_object_end(j);
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
	status_object(&j, &r->metrics);
	errors_object(&j, &r->metrics);
	json_key_u64(&j, "connections_opened", r->metrics.connected);
	json_key_u64(&j, "reconnects", r->metrics.reopened);
	if (r->plan->url.tls) {
		json_key_u64(&j, "tls_resumed", r->metrics.resumed);
		json_key_string(&j, "tls_problem", r->metrics.tls_problem);
	}
	json_key_u64(&j, "interrupted", r->metrics.interrupted);
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
