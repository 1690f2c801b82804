/* progress.c - lines of the live view. */
#include "progress.h"

#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "series.h"
#include "threshold.h"
#include "units.h"

enum { BAR_CELLS = 30, TEXT_BYTES = 24 };

static void clock_text(char *out, size_t size, uint64_t ns)
{
	uint64_t s = ns / NS_PER_S;

	if (s < 60)
		(void)snprintf(out, size, "%.1f s", (double)ns / 1e9);
	else
		(void)snprintf(out, size, "%llu:%02llu:%02llu", (unsigned long long)(s / 3600),
		               (unsigned long long)(s / 60 % 60), (unsigned long long)(s % 60));
}

/* How much of the run is over: 0..1. */
static double share(const struct progress *p)
{
	double x = p->duration_ns ? (double)p->elapsed_ns / (double)p->duration_ns
	           : p->of        ? (double)p->attempts / (double)p->of
	                          : 0;

	return x > 1 ? 1 : x;
}

static uint64_t left_ns(const struct progress *p)
{
	double done = share(p);

	if (p->duration_ns)
		return p->duration_ns > p->elapsed_ns ? p->duration_ns - p->elapsed_ns : 0;
	return done > 0 ? (uint64_t)((double)p->elapsed_ns * (1 - done) / done) : 0;
}

static void line_time(const struct progress *p, struct buf *out)
{
	char now[TEXT_BYTES], left[TEXT_BYTES];
	unsigned cells = (unsigned)(share(p) * BAR_CELLS);

	clock_text(now, sizeof(now), p->elapsed_ns);
	clock_text(left, sizeof(left), left_ns(p));
	buf_printf(out, "%9s  [", now);
	for (unsigned i = 0; i < BAR_CELLS; i++)
		buf_add_char(out, i < cells ? '#' : '.');
	buf_printf(out, "] %3.0f %%  %s left", 100 * share(p), left);
	if (p->duration_ns && p->elapsed_ns > p->duration_ns)
		buf_add_str(out, ": waiting for the last answers");
}

static void line_requests(const struct progress *p, struct buf *out)
{
	buf_printf(out, "%9.0f/s  %llu requests, %llu failed (%.2f %%)", p->rate, (unsigned long long)p->attempts,
	           (unsigned long long)p->failures, p->attempts ? 100 * (double)p->failures / (double)p->attempts : 0);
}

static void line_users(const struct progress *p, struct buf *out)
{
	buf_printf(out, "%9llu   users, %llu requests under way", (unsigned long long)p->users,
	           (unsigned long long)p->in_flight);
}

/* False: no samples, no line. */
static bool line_times(const char *what, const struct series_set *set, struct series *scratch, struct buf *out)
{
	static const struct {
		const char *name;
		double q;
	} quantiles[] = { { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 }, { "p99.9", 0.999 } };
	char text[TEXT_BYTES];

	if (!series_sum(set, "http_req_response_time", NULL, 0, scratch) || scratch->trend.count == 0)
		return false;
	buf_add_str(out, what);
	for (size_t i = 0; i < ARRAY_LEN(quantiles); i++)
		buf_printf(
		        out, " %s %s ", quantiles[i].name,
		        units_print_duration(text, sizeof(text), histogram_quantile(&scratch->trend, quantiles[i].q)));
	buf_printf(out, " max %s", units_print_duration(text, sizeof(text), scratch->trend.max));
	return true;
}

/* "errors: timeout 3, status 503 12"; false: there are none. */
static bool line_errors(const struct progress *p, struct buf *out)
{
	const char *lead = "   errors   ";

	for (size_t i = 0; i < p->all->count; i++) {
		const struct series *s = p->all->items[i];
		const char *error = series_tag_value(s, "error"), *status = series_tag_value(s, "status");

		if (strcmp(s->metric, "http_req_failed") != 0 || s->yes == 0)
			continue;
		buf_printf(out, "%s%s %llu", lead, error ? error : status ? status : "", (unsigned long long)s->yes);
		lead = ", ";
	}
	return lead[0] == ',';
}

static bool line_thresholds(const struct progress *p, struct buf *out)
{
	size_t failed = 0;
	const struct threshold_state *first = NULL;

	for (size_t i = 0; p->thresholds && i < p->thresholds->count; i++) {
		const struct threshold_state *s = &p->thresholds->items[i];

		if (s->failed && s->known) {
			failed++;
			first = first ? first : s;
		}
	}
	if (!first)
		return false;
	buf_printf(out, "%9zu   of %zu thresholds do not hold now: %s: %s", failed, p->thresholds->count, first->t.key,
	           first->t.source);
	return true;
}

/* Ends a line that began at `from`: cut to the terminal's width, the rest of the old one taken away. */
static void end_line(const struct progress *p, size_t from, bool bad, struct buf *out, unsigned *lines)
{
	CLEANUP(buf_done) struct buf text = { 0 };

	if (out->failed)
		return;
	for (size_t i = from; i < out->len && text.len < p->columns - 1;
	     i++) /* one short of the edge: no terminal wraps */
		buf_add_char(&text, (unsigned char)out->data[i] < ' ' || out->data[i] == 0x7f ? '?' : out->data[i]);
	out->len = from;
	buf_add_str(out, bad && p->colour ? "\033[31m" : "");
	buf_add(out, text.data ? text.data : "", text.len);
	buf_add_str(out, bad && p->colour ? "\033[0m\033[K\r\n" : "\033[K\r\n");
	++*lines;
}

void progress_draw(const struct progress *p, unsigned before, struct buf *out, unsigned *ret_lines)
{
	struct series scratch;
	unsigned lines = 0;
	size_t from;

	*ret_lines = before;
	if (series_sum_init(&scratch) < 0) {
		out->failed = true;
		return;
	}
	if (before)
		buf_printf(out, "\033[%uA", before);
	buf_add_char(out, '\r');
	from = out->len;
	line_time(p, out);
	end_line(p, from, false, out, &lines);
	from = out->len;
	line_requests(p, out);
	end_line(p, from, p->failures > 0, out, &lines);
	from = out->len;
	line_users(p, out);
	end_line(p, from, false, out, &lines);
	from = out->len;
	if (line_times("   last s  ", p->slice, &scratch, out))
		end_line(p, from, false, out, &lines);
	from = out->len;
	if (line_times("   so far  ", p->all, &scratch, out))
		end_line(p, from, false, out, &lines);
	from = out->len;
	if (line_errors(p, out))
		end_line(p, from, true, out, &lines);
	from = out->len;
	if (line_thresholds(p, out))
		end_line(p, from, true, out, &lines);
	buf_add_str(out, "\033[J");
	series_sum_done(&scratch);
	*ret_lines = lines;
}

void progress_clear(unsigned lines, struct buf *out)
{
	if (lines)
		buf_printf(out, "\033[%uA\r\033[J", lines);
}

void progress_line(const struct progress *p, struct buf *out)
{
	struct series scratch;
	char now[TEXT_BYTES];

	if (series_sum_init(&scratch) < 0) {
		out->failed = true;
		return;
	}
	clock_text(now, sizeof(now), p->elapsed_ns);
	buf_printf(out, "%s, %.0f %%: %llu requests, %.0f/s, %llu failed, %llu under way,", now, 100 * share(p),
	           (unsigned long long)p->attempts, p->rate, (unsigned long long)p->failures,
	           (unsigned long long)p->in_flight);
	if (!line_times("", p->slice, &scratch, out))
		buf_add_str(out, " no answer in the last second");
	buf_add_char(out, '\n');
	series_sum_done(&scratch);
}
