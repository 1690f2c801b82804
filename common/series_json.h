/* Values of series as k6 has them in JSON, beside each other in an object that is open. Pure. */
#pragma once
#include "series.h"

struct json;

/* `rate`: of a counter, per second. */
void series_json_values(struct json *j, const struct series *s, double rate);
/* count, avg, min, max and percentiles: ms, or the value itself. */
void series_json_trend(struct json *j, const struct histogram *h);
