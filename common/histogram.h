/* Log-linear histogram of nanoseconds. Any value of 64 bits has a bucket: nothing is clipped or dropped.
 * Precision  a bucket is at most 2^-9 of its lower bound wide, and answers are given at its middle: a quantile is
 *            within 0.1 % of the exact sample of that rank; values below 1024 ns are exact. min, max, sum and count are exact.
 * Context    one writer, no atomics; merge and read when the writer is done. Ownership: caller's memory; *_done frees.
 * Size       224 KiB of address space, of which only pages that are hit are touched. */
#pragma once
#include <stdint.h>
#include "compiler.h"

enum {
	HISTOGRAM_BITS = 9,
	HISTOGRAM_SUB = 1 << HISTOGRAM_BITS,
	HISTOGRAM_BUCKETS = (64 - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS
};

struct histogram {
	uint64_t count, min, max; /* min is UINT64_MAX and max 0 while count is 0 */
	u128 sum;
	uint64_t *buckets; /* HISTOGRAM_BUCKETS of them */
};

/* 0 or -ENOMEM. */
int histogram_init(struct histogram *h) MUST_USE;
void histogram_done(struct histogram *h);

/* Bucket of a value, and the bounds of a bucket: [low, low + width). */
static inline uint32_t histogram_index(uint64_t ns)
{
	uint32_t shift;

	if (ns < 2 * HISTOGRAM_SUB)
		return (uint32_t)ns;
	shift = 63u - (uint32_t)__builtin_clzll(ns) - HISTOGRAM_BITS;
	return (shift << HISTOGRAM_BITS) + (uint32_t)(ns >> shift);
}
uint64_t histogram_bucket_low(uint32_t index);
uint64_t histogram_bucket_width(uint32_t index);

static inline void histogram_record(struct histogram *h, uint64_t ns)
{
	h->buckets[histogram_index(ns)]++;
	h->count++;
	h->sum += ns;
	if (ns < h->min)
		h->min = ns;
	if (ns > h->max)
		h->max = ns;
}

/* `times` values of one bucket, as they come from other histograms. count alone follows: sum, min and max are the caller's. */
static inline void histogram_add_bucket(struct histogram *h, uint32_t index, uint64_t times)
{
	h->buckets[index] += times;
	h->count += times;
}
/* Back to empty; costs what lies between min and max. */
void histogram_clear(struct histogram *h);
/* Adds all of `from`; the result is as if every value had been recorded into `into`. */
void histogram_merge(struct histogram *into, const struct histogram *from);
/* The sample of rank ceil(q * count), at least the first; q in [0, 1]. 0 if empty. */
uint64_t histogram_quantile(const struct histogram *h, double q);
/* Samples above or at the bucket of `ns` are not counted: the rank of a value, exact at bucket bounds. */
uint64_t histogram_count_below(const struct histogram *h, uint64_t ns);
double histogram_mean(const struct histogram *h); /* 0 if empty */
/* Samples whose bucket starts in [low, high): exact at bucket bounds. */
uint64_t histogram_count_between(const struct histogram *h, uint64_t low, uint64_t high);
