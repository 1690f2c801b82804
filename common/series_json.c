/* series_json.c - values as JSON. A trend without samples has nulls: k6's 0 would be a latency nobody measured. */
#include "series_json.h"

#include "json_write.h"

static const struct {
	const char *key;
	double q;
} quantiles[] = {
	{ "med", 0.5 },       { "p(50)", 0.5 }, { "p(90)", 0.9 }, { "p(95)", 0.95 }, { "p(99)", 0.99 },
	{ "p(99.9)", 0.999 }, { "p50", 0.5 },   { "p90", 0.9 },   { "p95", 0.95 },   { "p99", 0.99 },
};

static void key_value(struct json *j, const char *key, double value, bool known)
{
	json_key(j, key);
	if (known)
		json_double(j, value / SERIES_UNIT);
	else
		json_null(j);
}

void series_json_trend(struct json *j, const struct histogram *h)
{
	bool known = h->count > 0;

	json_key_u64(j, "count", h->count);
	key_value(j, "avg", histogram_mean(h), known);
	key_value(j, "min", (double)h->min, known);
	key_value(j, "max", (double)h->max, known);
	for (size_t i = 0; i < ARRAY_LEN(quantiles); i++)
		key_value(j, quantiles[i].key, (double)histogram_quantile(h, quantiles[i].q), known);
}

static void rate_values(struct json *j, const struct series *s)
{
	double share = s->total ? (double)s->yes / (double)s->total : 0;

	json_key_double(j, "value", share);
	json_key_double(j, "rate", share);
	json_key_u64(j, "passes", s->yes);
	json_key_u64(j, "fails", s->total - s->yes);
}

void series_json_values(struct json *j, const struct series *s, double rate)
{
	switch ((enum series_kind)s->kind) {
	case SERIES_COUNTER:
		json_key_double(j, "count", s->sum);
		json_key_double(j, "rate", rate);
		return;
	case SERIES_GAUGE:
		json_key_double(j, "value", s->last);
		json_key_double(j, "min", s->min);
		json_key_double(j, "max", s->max);
		return;
	case SERIES_RATE:
		rate_values(j, s);
		return;
	default:
		series_json_trend(j, &s->trend);
	}
}
