/* What must hold, in k6's grammar and more:
 *     METRIC[{TAG:VALUE,...}]: AGGREGATION OP NUMBER [over D] [abortOnFail] [delayAbortEval=D]
 * AGGREGATION  count, rate (counters; rates have rate alone), value (gauges), avg, min, max, med, p(N), count (trends)
 * OP           < <= > >= == === !=
 * NUMBER       k6's: ms for times; also "250ms", "1.5s" for times and "1%" for rates
 * over D       must hold for the last D at every moment of the run, not for the whole of it at the end
 * Without samples a threshold has failed: nothing was shown. (In k6 it has passed.) A counter that nothing has counted is 0.
 * p(N) is the histogram's (within 0.1 %).
 * Pure: series in, answers out. Ownership: threshold_done(), thresholds_done() free. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "err.h"
#include "series.h"

struct catalog;

enum threshold_aggregation {
	THRESHOLD_COUNT,
	THRESHOLD_RATE,
	THRESHOLD_VALUE,
	THRESHOLD_AVG,
	THRESHOLD_MIN,
	THRESHOLD_MAX,
	THRESHOLD_MED,
	THRESHOLD_P
};
enum threshold_op {
	THRESHOLD_LESS,
	THRESHOLD_LESS_EQUAL,
	THRESHOLD_GREATER,
	THRESHOLD_GREATER_EQUAL,
	THRESHOLD_EQUAL,
	THRESHOLD_UNEQUAL
};
enum { THRESHOLD_TAGS_MAX = 8, THRESHOLD_TEXT_MAX = 1000, THRESHOLD_WINDOW_MAX_S = 3600 };

struct threshold {
	char *text;         /* all strings below point into it */
	const char *key;    /* "http_req_duration{status:200}": k6's name of the series */
	const char *source; /* "p(95)<500": the expression as it was given, with its window */
	const char *metric;
	struct series_tag filter[THRESHOLD_TAGS_MAX];
	size_t filter_count;
	enum threshold_aggregation aggregation;
	enum threshold_op op;
	double percentile, bound;   /* bound: as compared, times in ms */
	bool is_duration, is_share; /* the bound had a unit of time; was given in % */
	bool abort_on_fail;
	uint64_t delay_abort_ns, window_ns; /* window_ns 0: the whole run */
};

/* "METRIC: EXPRESSION". -EINVAL with a sentence. */
int threshold_parse(const char *text, struct threshold *ret_threshold, struct err *err) MUST_USE;
void threshold_done(struct threshold *t);
/* Does the aggregation fit a metric of that kind? -EINVAL with a sentence. */
int threshold_fits(const struct threshold *t, enum series_kind kind, enum series_contains contains,
                   struct err *err) MUST_USE;
/* A value as the aggregation has it. False: no samples. */
bool threshold_value(const struct threshold *t, const struct series *s, uint64_t elapsed_ns, double *ret_value);
bool threshold_holds(const struct threshold *t, double value);

struct threshold_state {
	struct threshold t;
	enum series_kind kind; /* of its metric */
	bool failed, known;    /* known: `value` is of some samples */
	double value;          /* as last looked at; of a window that failed, the value it failed with */
	struct threshold_window *window;
};

struct thresholds {
	struct threshold_state *items;
	size_t count;
	struct series scratch;
	bool has_scratch, aborted; /* aborted: one with abortOnFail has failed */
};

/* k6's metrics are known, and those that have a slot in the catalog. -ENOENT: no such metric; -EINVAL; -ENOMEM. */
int thresholds_add(struct thresholds *ts, struct catalog *catalog, const char *text, struct err *err) MUST_USE;
void thresholds_done(struct thresholds *ts);
/* Look at what there is: `all` so far, `slice` since the last look. True: end the run (abortOnFail). */
bool thresholds_look(struct thresholds *ts, const struct series_set *all, const struct series_set *slice,
                     uint64_t now_ns);
/* The run is over, and `all` is exact. True: some threshold has failed. */
bool thresholds_finish(struct thresholds *ts, const struct series_set *all, uint64_t elapsed_ns);
