/* A metric as JSON, in k6's two shapes at once: its values beside each other, and in `values`. Pure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "series.h"

struct json;
struct thresholds;

/* "key": {...}, with the thresholds that are about `key`. */
void out_metric(struct json *j, const char *key, const struct series *s, double rate, const struct thresholds *ts);
void out_metric_empty(struct json *j, const char *key, enum series_kind kind, enum series_contains contains);
bool out_metric_is_known(const struct series_set *set, const char *metric);
bool out_metric_is_first(const struct series_set *set, size_t index); /* no series before has the name of its metric */
bool out_threshold_is_first(const struct thresholds *ts, size_t index);
