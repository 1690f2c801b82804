/* What one worker has measured so far: written by the worker alone, read by others at any time.
 * Requests    counted by class: their endpoint and what came of them (status, or kind of failure). Tags, sums over classes
 *             and k6's metrics are made by the reader (totals.h), so that a request costs a few increments.
 * Values      of other metrics, by slot (catalog.h).
 * Atomics     plain loads and stores of words that one thread writes (relaxed), and no locked instruction. A class or slot is
 *             published with its block of memory (release). The count of a trend is its last word that is written (release):
 *             who has read it (acquire) finds in every trend at least what belongs to so many requests.
 * Memory      grows with the classes, not with the run: at most TALLY_CLASSES_MAX, and CATALOG_SLOTS_MAX.
 * Ownership   the caller's memory; tally_done() frees the rest. */
#pragma once
#include <stdint.h>
#include "atomic.h"
#include "catalog.h"
#include "compiler.h"
#include "failure.h"
#include "histogram.h"
#include "metrics.h"

/* Outcomes: a status 0..999; a failure; or one of so many in its endpoint that they are not told apart. */
enum {
	TALLY_FAILURE = METRICS_STATUS_MAX,
	TALLY_OTHER = TALLY_FAILURE + FAILURE_COUNT,
	TALLY_OUTCOMES,
	TALLY_CLASSES_MAX = 512,
	TALLY_OUTCOMES_MAX = 32 /* told apart in one endpoint */
};

struct tally_trend {
	_Atomic uint64_t count, sum, min, max; /* min is UINT64_MAX while count is 0. 584 years go into the sum */
	_Atomic uint64_t *buckets;             /* HISTOGRAM_BUCKETS */
};

struct tally_class {
	uint32_t endpoint, outcome;
	uint32_t reader; /* the reader's own: where it has this class */
	_Atomic uint64_t requests;
	struct tally_trend trends[TREND_COUNT];
};

struct tally_slot {
	_Atomic uint64_t yes, total;   /* rates; total: values that were set, for gauges */
	_Atomic double sum;            /* counters */
	_Atomic double last, min, max; /* gauges */
	_Atomic uint64_t at_ns;        /* when `last` was set */
	struct tally_trend trend;
};

struct tally {
	_Atomic(struct tally_class *) classes[TALLY_CLASSES_MAX]; /* the first is for what finds no room elsewhere */
	_Atomic uint32_t class_count;
	_Atomic(struct tally_slot *) slots[CATALOG_SLOTS_MAX];
	_Atomic uint64_t merged, lost; /* requests put into a class that is not theirs; values without a slot */
	struct tally_class **class_of[CATALOG_ENDPOINTS_MAX]; /* the worker's own: by outcome */
	uint8_t distinct[CATALOG_ENDPOINTS_MAX];
};

/* A request that is over. Phases that it did not have are not in `present`. */
struct tally_request {
	uint32_t endpoint, outcome;
	uint32_t present; /* bit per enum metrics_trend */
	uint64_t ns[TREND_COUNT];
};

/* 0 or -ENOMEM. */
int tally_init(struct tally *t) MUST_USE;
void tally_done(struct tally *t);
void tally_add_request(struct tally *t, const struct tally_request *r);
void tally_count(struct tally *t, uint32_t slot, double value); /* counter */
void tally_count_to(struct tally *t, uint32_t slot,
                    double value);                          /* counter that is kept elsewhere: its newest value */
void tally_check(struct tally *t, uint32_t slot, bool yes); /* rate */
void tally_gauge(struct tally *t, uint32_t slot, double value, uint64_t now_ns);
void tally_trend(struct tally *t, uint32_t slot, uint64_t value); /* trend: ns, or millionths */

static inline void tally_request_set(struct tally_request *r, enum metrics_trend trend, uint64_t ns)
{
	r->ns[trend] = ns;
	r->present |= 1u << trend;
}
