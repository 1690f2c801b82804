/* Measured series: a metric's name, its tags, and a value of one of k6's four kinds. A set of them is what a run measured, or
 * what one slice of it did; sets add up exactly, across workers, slices, runs and machines.
 * Trends hold ns, or millionths where the metric is no time: divided by SERIES_UNIT they are ms, or the value itself.
 * Ownership: the set owns its series, and they stay where they are until series_set_done(). One thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "histogram.h"

enum series_kind { SERIES_COUNTER, SERIES_GAUGE, SERIES_RATE, SERIES_TREND, SERIES_KINDS };
enum series_contains { SERIES_DEFAULT, SERIES_TIME, SERIES_DATA, SERIES_CONTENTS };
enum { SERIES_MAX = 8192, SERIES_TAGS_MAX = 24, SERIES_TEXT_MAX = 4096 };
#define SERIES_UNIT 1e6

struct series_tag {
	const char *key, *value;
};

struct series {
	uint64_t hash;
	const char *metric;
	struct series_tag *tags; /* by key, in order; no key twice */
	uint32_t tag_count;
	uint8_t kind, contains;
	/* The value; what a kind does not use is 0. */
	double sum;            /* counter */
	double last, min, max; /* gauge, if total > 0 */
	uint64_t yes, total;   /* rate: how often it was true, how often it was asked; gauge: how often it was set */
	struct histogram trend;
};

struct series_set {
	struct series **items;
	size_t count, cap;
	uint64_t refused; /* series that did not find room */
};

void series_set_done(struct series_set *set);
/* The series of that name and these tags (in any order), made if there is none. NULL: out of memory, more than SERIES_MAX or
 * SERIES_TAGS_MAX, too much text, a key twice, or a series of another kind has the name; counted in `refused`. */
struct series *series_get(struct series_set *set, const char *metric, enum series_kind kind,
                          enum series_contains contains, const struct series_tag *tags, size_t tag_count);
const struct series *series_find(const struct series_set *set, const char *metric, const struct series_tag *tags,
                                 size_t tag_count);
const char *series_tag_value(const struct series *s, const char *key); /* NULL if it has none */
/* Has it every tag of the filter, with that value? */
bool series_matches(const struct series *s, const struct series_tag *filter, size_t count);
/* Adds the value of `from`, of the same kind. Gauges of runs side by side add up, too. */
void series_add(struct series *into, const struct series *from);
/* Adds every series of `from`. 0 or -ENOSPC if some found no room. */
int series_set_merge(struct series_set *into, const struct series_set *from) MUST_USE;
void series_clear(struct series *s); /* the value alone */
void series_gauge_set(struct series *s, double value);
const char *series_kind_name(enum series_kind kind);             /* "trend" */
const char *series_contains_name(enum series_contains contains); /* "time" */

/* Adds every series of the metric that has these tags to `into`, which is empty, of the same kind, and initialized by
 * series_sum_init(). False: there is none. */
bool series_sum(const struct series_set *set, const char *metric, const struct series_tag *filter, size_t count,
                struct series *into);
int series_sum_init(struct series *s) MUST_USE; /* 0 or -ENOMEM */
void series_sum_done(struct series *s);
