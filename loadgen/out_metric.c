/* out_metric.c - one metric as JSON. A trend without samples has nulls: k6's 0 would be a latency nobody measured. */
#include "out_metric.h"

#include <string.h>

#include "json_write.h"
#include "threshold.h"

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

void out_trend_values(struct json *j, const struct histogram *h)
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

static void values(struct json *j, const struct series *s, double rate)
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
		out_trend_values(j, &s->trend);
	}
}

/* As k6 has it in --summary-export: true is a threshold that has failed. */
static void thresholds_of(struct json *j, const char *key, const struct thresholds *ts)
{
	bool any = false;

	for (size_t i = 0; ts && i < ts->count; i++) {
		if (strcmp(ts->items[i].t.key, key) != 0)
			continue;
		if (!any) {
			json_key(j, "thresholds");
			json_object_begin(j);
			any = true;
		}
		json_key_bool(j, ts->items[i].t.source, ts->items[i].failed);
	}
	if (any)
		json_object_end(j);
}

void out_metric(struct json *j, const char *key, const struct series *s, double rate, const struct thresholds *ts)
{
	json_key(j, key);
	json_object_begin(j);
	json_key_string(j, "type", series_kind_name(s->kind));
	json_key_string(j, "contains", series_contains_name(s->contains));
	values(j, s, rate);
	json_key(j, "values");
	json_object_begin(j);
	values(j, s, rate);
	json_object_end(j);
	thresholds_of(j, key, ts);
	json_object_end(j);
}

void out_metric_empty(struct json *j, const char *key, enum series_kind kind, enum series_contains contains)
{
	struct series none = { .metric = key, .kind = (uint8_t)kind, .contains = (uint8_t)contains };

	out_metric(j, key, &none, 0, NULL);
}

bool out_metric_is_known(const struct series_set *set, const char *metric)
{
	for (size_t i = 0; i < set->count; i++)
		if (strcmp(set->items[i]->metric, metric) == 0)
			return true;
	return false;
}

bool out_metric_is_first(const struct series_set *set, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (strcmp(set->items[i]->metric, set->items[index]->metric) == 0)
			return false;
	return true;
}

bool out_threshold_is_first(const struct thresholds *ts, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (strcmp(ts->items[i].t.key, ts->items[index].t.key) == 0)
			return false;
	return true;
}
