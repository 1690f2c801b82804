/* out_metric.c - one metric as JSON. */
#include "out_metric.h"

#include <string.h>

#include "json_write.h"
#include "series_json.h"
#include "threshold.h"

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
	series_json_values(j, s, rate);
	json_key(j, "values");
	json_object_begin(j);
	series_json_values(j, s, rate);
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
