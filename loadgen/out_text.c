/* out_text.c - the summary for people: what was asked, what came back, how long it took, and what to doubt. */
#include "out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "engine.h"
#include "endpoints.h"
#include "threshold.h"
#include "units.h"
#include "verdict.h"

enum { NUMBER_BYTES = 32, PICTURE_ROWS = 14, BAR_CELLS = 40 };

/* 1234567 -> "1,234,567". */
static char *grouped(char *out, uint64_t n)
{
	char digits[NUMBER_BYTES];
	int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
	size_t at = 0;

	for (int i = 0; i < len; i++) {
		out[at++] = digits[i];
		if (i + 1 < len && (len - 1 - i) % 3 == 0)
			out[at++] = ',';
	}
	out[at] = '\0';
	return out;
}

static void line_asked(const struct result *r, struct buf *out)
{
	const struct plan *p = r->plan;
	char connections[NUMBER_BYTES];

	buf_printf(out, "%s http%s://%s%s\n", p->method, p->url.tls ? "s" : "", p->url.authority, p->url.target);
	if (p->schedule.model == SCHEDULE_OPEN)
		buf_printf(out, "%.6g requests/s at most, %s; ", schedule_curve_max(&p->schedule.curve),
		           p->schedule.poisson ? "Poisson" : "evenly spaced");
	buf_printf(out, "%s%s connection%s, %llu thread%s, %.2f s%s\n\n",
	           p->schedule.model == SCHEDULE_CLOSED ? "" : "up to ", grouped(connections, p->connections),
	           p->connections == 1 ? "" : "s", (unsigned long long)p->threads, p->threads == 1 ? "" : "s",
	           (double)r->elapsed_ns / 1e9, r->interrupted ? " (ended early)" : "");
}

static void line_transfer(const struct result *r, struct buf *out)
{
	const struct metrics *m = &r->metrics;
	double seconds = (double)r->elapsed_ns / 1e9;
	char in[24], rate[24], sent[24];

	buf_printf(out, "transfer     %s received (%s/s), %s sent\n", units_print_bytes(in, sizeof(in), m->bytes_in),
	           units_print_bytes(rate, sizeof(rate), seconds > 0 ? (uint64_t)((double)m->bytes_in / seconds) : 0),
	           units_print_bytes(sent, sizeof(sent), m->bytes_out));
}

static void lines_counts(const struct result *r, struct buf *out)
{
	const struct metrics *m = &r->metrics;
	uint64_t failed = metrics_unsuccessful(m);
	char a[NUMBER_BYTES], b[NUMBER_BYTES];

	buf_printf(out, "requests     %s, %s/s\n", grouped(a, m->attempts),
	           grouped(b, (uint64_t)(result_rate(r) + 0.5)));
	buf_printf(out, "failed       %s (%.2f %%)\n", grouped(a, failed),
	           m->attempts ? 100.0 * (double)failed / (double)m->attempts : 0);
	line_transfer(r, out);
	buf_printf(out, "connections  %s opened", grouped(a, m->connected));
	if (m->reopened)
		buf_printf(out, ", %s of them in place of one that ended", grouped(b, m->reopened));
	if (m->resumed)
		buf_printf(out, ", %s with a TLS session of one before", grouped(b, m->resumed));
	buf_add_char(out, '\n');
	if (m->warmup)
		buf_printf(out, "warm-up      %s requests, in no other number\n", grouped(a, m->warmup));
	if (m->dropped)
		buf_printf(out, "dropped      %s starts were overdue and never made, and are in no other number\n",
		           grouped(a, m->dropped));
	if (m->interrupted)
		buf_printf(out, "cut off      %s requests were under way at the end, and are in no other number\n",
		           grouped(a, m->interrupted));
}

static void lines_status(const struct metrics *m, struct buf *out)
{
	const char *lead = "\nstatus      ";
	char n[NUMBER_BYTES];

	for (int i = 0; i < METRICS_STATUS_MAX; i++) {
		if (m->status[i] == 0)
			continue;
		buf_printf(out, "%s %d: %s", lead, i, grouped(n, m->status[i]));
		lead = ",";
	}
	if (m->responses)
		buf_add_char(out, '\n');
	for (enum failure i = 0; i < FAILURE_COUNT; i++)
		if (m->failures[i])
			buf_printf(out, "%-12s %s: %s\n", failure_key(i), grouped(n, m->failures[i]), failure_text(i));
	if (m->tls_problem[0])
		buf_printf(out, "             TLS: %s\n", m->tls_problem);
	for (enum http1_problem i = 0; i < HTTP1_PROBLEM_COUNT; i++)
		if (m->problems[i])
			buf_printf(out, "             %s: %s\n", grouped(n, m->problems[i]), http1_problem_text(i));
}

static void cell(struct buf *out, uint64_t ns)
{
	char text[24];

	buf_printf(out, " %9s", units_print_duration(text, sizeof(text), ns));
}

static void trend_row(const char *name, const struct histogram *h, struct buf *out)
{
	static const double quantiles[] = { 0.5, 0.9, 0.95, 0.99, 0.999 };

	if (h->count == 0 || h->max == 0) /* no samples, or every response came in one piece */
		return;
	buf_printf(out, "%-12s", name);
	cell(out, (uint64_t)histogram_mean(h));
	cell(out, h->min);
	for (size_t i = 0; i < ARRAY_LEN(quantiles); i++)
		cell(out, histogram_quantile(h, quantiles[i]));
	cell(out, h->max);
	buf_add_char(out, '\n');
}

/* A phase that most requests do not have: those that had it. */
static void some_row(const char *name, const struct histogram *h, struct buf *out)
{
	struct histogram some = { .count = h->count - h->buckets[0], .min = UINT64_MAX, .max = h->max, .sum = h->sum };

	if (some.count == 0 || h->buckets[0] == 0) {
		trend_row(name, h, out);
		return;
	}
	some.buckets = malloc(HISTOGRAM_BUCKETS * sizeof(*some.buckets));
	if (!some.buckets) {
		out->failed = true;
		return;
	}
	memcpy(some.buckets, h->buckets, HISTOGRAM_BUCKETS * sizeof(*some.buckets));
	some.buckets[0] = 0;
	for (uint32_t i = 1; some.min == UINT64_MAX; i++)
		if (some.buckets[i])
			some.min = histogram_bucket_low(i);
	trend_row(name, &some, out);
	histogram_done(&some);
}

/* Phases that took no time in any request are left out, and so are the times of an open model where there is none. */
static bool has_row(const struct metrics *m, enum metrics_trend i)
{
	if (i == TREND_RESPONSE_TIME || i == TREND_LATENESS)
		return m->trends[TREND_LATENESS].max > 0;
	return true;
}

static void lines_latency(const struct metrics *m, struct buf *out)
{
	static const char *const names[TREND_COUNT] = {
		"latency",   "from due", "lateness",  "  blocked", "  look-up",
		"  connect", "  TLS",    "  sending", "  waiting", "  receiving"
	};

	if (m->trends[TREND_DURATION].count == 0)
		return;
	buf_printf(out, "\n%-12s %9s %9s %9s %9s %9s %9s %9s %9s\n", "", "mean", "min", "p50", "p90", "p95", "p99",
	           "p99.9", "max");
	for (enum metrics_trend i = 0; i < TREND_COUNT; i++) {
		if (!has_row(m, i))
			continue;
		if (i >= TREND_BLOCKED && i <= TREND_TLS)
			some_row(names[i], &m->trends[i], out);
		else
			trend_row(names[i], &m->trends[i], out);
	}
	if (m->failures[FAILURE_TIMEOUT])
		buf_add_str(out, "timeouts are in the latency with the time that was waited for them\n");
	if (has_row(m, TREND_LATENESS))
		buf_add_str(out,
		            "latency runs from the send, \"from due\" from the moment the schedule wanted the start\n");
}

static void lines_endpoints(const struct result *r, struct buf *out)
{
	struct endpoint_list list;

	if (endpoints_make(r->series, &list) < 0) {
		out->failed = true;
		return;
	}
	if (list.count)
		buf_printf(out, "\n%12s %9s %9s %9s %9s %9s  %s\n", "requests", "failed", "mean", "p50", "p99", "max",
		           "endpoint");
	for (size_t i = 0; i < list.count; i++) {
		const struct endpoint *e = &list.items[i];
		char a[NUMBER_BYTES], b[NUMBER_BYTES];

		buf_printf(out, "%12s %9s", grouped(a, e->requests), grouped(b, e->failed));
		cell(out, (uint64_t)histogram_mean(&e->duration));
		cell(out, histogram_quantile(&e->duration, 0.5));
		cell(out, histogram_quantile(&e->duration, 0.99));
		cell(out, e->duration.max);
		buf_printf(out, "  %s%s%s\n", e->method, *e->method ? " " : "", e->name);
	}
	endpoints_done(&list);
}

static void lines_thresholds(const struct result *r, struct buf *out)
{
	for (size_t i = 0; r->thresholds && i < r->thresholds->count; i++) {
		const struct threshold_state *s = &r->thresholds->items[i];

		buf_printf(out, "%s%-12s %s: %s", i == 0 ? "\n" : "", s->failed ? "FAILED" : "held", s->t.key,
		           s->t.source);
		if (s->known)
			buf_printf(out, " (%.6g)\n", s->value);
		else
			buf_add_str(out, " (no samples)\n");
	}
}

/* Eighths of a cell as block characters, or whole cells of '#'. A row with anything in it shows at least the smallest mark. */
static void bar(struct buf *out, uint64_t n, uint64_t most, bool rich)
{
	static const char *const eighths[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
	uint64_t length = (uint64_t)((double)n / (double)most * BAR_CELLS * 8 + 0.5);

	if (n && length == 0)
		length = 1;
	if (!rich) {
		for (uint64_t i = 0; i < (length + 7) / 8; i++)
			buf_add_char(out, '#');
		return;
	}
	for (uint64_t i = 0; i < length / 8; i++)
		buf_add_str(out, "█");
	buf_add_str(out, eighths[length % 8]);
}

/* 1, 2, 5 times a power of ten: bounds that people read. */
static uint64_t next_bound(uint64_t ns)
{
	uint64_t decade = 1;

	while (ns / decade >= 10)
		decade *= 10;
	return ns / decade < 2 ? 2 * decade : ns / decade < 5 ? 5 * decade : 10 * decade;
}

static uint64_t first_bound(uint64_t ns)
{
	uint64_t bound = 1;

	while (next_bound(bound) <= ns)
		bound = next_bound(bound);
	return bound;
}

static void picture(const struct histogram *h, bool rich, struct buf *out)
{
	uint64_t low[PICTURE_ROWS + 1], count[PICTURE_ROWS], most = 1;
	size_t rows = 0;

	if (h->count == 0)
		return;
	for (low[0] = first_bound(h->min); rows < PICTURE_ROWS && low[rows] <= h->max; rows++)
		low[rows + 1] = next_bound(low[rows]);
	for (size_t i = 0; i < rows; i++) { /* what does not fit above is in the last row */
		count[i] = histogram_count_between(h, low[i], i + 1 == rows ? UINT64_MAX : low[i + 1]);
		most = count[i] > most ? count[i] : most;
	}
	buf_add_str(out, "\nlatency from\n");
	for (size_t i = 0; i < rows; i++) {
		char from[24], n[NUMBER_BYTES];

		buf_printf(out, "%9s ", units_print_duration(from, sizeof(from), low[i]));
		bar(out, count[i], most, rich);
		buf_printf(out, " %s\n", grouped(n, count[i]));
	}
}

static void lines_verdict(const struct result *r, const struct verdict *v, struct buf *out)
{
	uint64_t attempts = r->metrics.attempts;

	if (attempts)
		buf_printf(out, "\ndriver       %.2f us user and %.2f us system time a request\n",
		           (double)r->cpu_user_ns / 1e3 / (double)attempts,
		           (double)r->cpu_system_ns / 1e3 / (double)attempts);
	buf_printf(out, "verdict      %s\n", verdict_name(v->kind));
	for (size_t i = 0; i < v->count; i++)
		buf_printf(out, "             %s\n", v->reasons[i]);
	if (r->rows_dropped)
		buf_printf(
		        out,
		        "             %llu requests are missing in the files of single requests: they came too fast\n",
		        (unsigned long long)r->rows_dropped);
	if (r->lost)
		buf_printf(
		        out,
		        "             %llu requests or values are in no series of their own: too many different tags\n",
		        (unsigned long long)r->lost);
}

void out_text(const struct result *r, const struct verdict *v, bool rich, struct buf *out)
{
	line_asked(r, out);
	lines_counts(r, out);
	lines_latency(&r->metrics, out);
	lines_endpoints(r, out);
	picture(&r->metrics.trends[TREND_DURATION], rich, out);
	lines_status(&r->metrics, out);
	lines_thresholds(r, out);
	lines_verdict(r, v, out);
}
