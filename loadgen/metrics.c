/* metrics.c - adding up. */
#include "metrics.h"

#include <errno.h>
#include <string.h>

static const struct {
	const char *key, *text;
} trends[TREND_COUNT] = {
#define METRICS_TREND_NAMES(id, key, text) { key, text },
	METRICS_TRENDS(METRICS_TREND_NAMES)
#undef METRICS_TREND_NAMES
};

const char *metrics_trend_key(enum metrics_trend trend)
{
	return trends[trend].key;
}

const char *metrics_trend_text(enum metrics_trend trend)
{
	return trends[trend].text;
}

int metrics_init(struct metrics *m)
{
	memset(m, 0, sizeof(*m));
	for (enum metrics_trend i = 0; i < TREND_COUNT; i++) {
		if (histogram_init(&m->trends[i]) < 0) {
			metrics_done(m);
			return -ENOMEM;
		}
	}
	return 0;
}

void metrics_done(struct metrics *m)
{
	for (enum metrics_trend i = 0; i < TREND_COUNT; i++)
		histogram_done(&m->trends[i]);
}

static void add_all(uint64_t *into, const uint64_t *from, size_t count)
{
	for (size_t i = 0; i < count; i++)
		into[i] += from[i];
}

void metrics_merge(struct metrics *into, const struct metrics *from)
{
	into->attempts += from->attempts;
	into->in_window += from->in_window;
	into->responses += from->responses;
	into->interrupted += from->interrupted;
	into->warmup += from->warmup;
	into->dropped += from->dropped;
	into->backlog_max = from->backlog_max > into->backlog_max ? from->backlog_max : into->backlog_max;
	into->bytes_in += from->bytes_in;
	into->bytes_out += from->bytes_out;
	into->connected += from->connected;
	into->reopened += from->reopened;
	into->resumed += from->resumed;
	if (!into->tls_problem[0])
		memcpy(into->tls_problem, from->tls_problem, sizeof(into->tls_problem));
	add_all(into->status, from->status, METRICS_STATUS_MAX);
	add_all(into->failures, from->failures, FAILURE_COUNT);
	add_all(into->problems, from->problems, HTTP1_PROBLEM_COUNT);
	for (enum metrics_trend i = 0; i < TREND_COUNT; i++)
		histogram_merge(&into->trends[i], &from->trends[i]);
}

uint64_t metrics_failures(const struct metrics *m)
{
	uint64_t total = 0;

	for (enum failure i = 0; i < FAILURE_COUNT; i++)
		total += m->failures[i];
	return total;
}

uint64_t metrics_unsuccessful(const struct metrics *m)
{
	uint64_t total = metrics_failures(m);

	for (int i = 0; i < METRICS_STATUS_MAX; i++)
		if (i < 200 || i > 399)
			total += m->status[i];
	return total;
}
