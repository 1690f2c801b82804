/*
 * histogram.c - log-linear buckets: HISTOGRAM_SUB per power of two.
 *
 * Shape      values below 2 * SUB have a bucket each; above, bucket (shift << BITS) + (ns >> shift), where shift makes
 *            the mantissa ns >> shift lie in [SUB, 2 * SUB). Indexes therefore run on without a gap from octave to octave.
 * Invariant  sum of buckets == count; histogram_index(low(i)) == i for every i.
 */
#include "histogram.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int histogram_init(struct histogram *h)
{
	h->count = 0;
	h->min = UINT64_MAX;
	h->max = 0;
	h->sum = 0;
	h->buckets = calloc(HISTOGRAM_BUCKETS, sizeof(*h->buckets));
	return h->buckets ? 0 : -ENOMEM;
}

void histogram_done(struct histogram *h)
{
	free(h->buckets);
	h->buckets = NULL;
}

static uint32_t bucket_shift(uint32_t index)
{
	return index < 2 * HISTOGRAM_SUB ? 0 : (index >> HISTOGRAM_BITS) - 1;
}

uint64_t histogram_bucket_low(uint32_t index)
{
	uint32_t shift = bucket_shift(index);

	return ((uint64_t)index - ((uint64_t)shift << HISTOGRAM_BITS)) << shift;
}

uint64_t histogram_bucket_width(uint32_t index)
{
	return UINT64_C(1) << bucket_shift(index);
}

void histogram_clear(struct histogram *h)
{
	if (h->count > 0) {
		uint32_t first = histogram_index(h->min), last = histogram_index(h->max);

		memset(h->buckets + first, 0, (size_t)(last - first + 1) * sizeof(*h->buckets));
	}
	h->count = 0;
	h->min = UINT64_MAX;
	h->max = 0;
	h->sum = 0;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	uint32_t first, last;

	/* Of a slice of what another thread counts: a value's sum may stand in the slice after the one with its bucket. */
	into->sum += from->sum;
	if (from->count == 0)
		return;
	first = histogram_index(from->min);
	last = histogram_index(from->max);
	for (uint32_t i = first; i <= last; i++)
		into->buckets[i] += from->buckets[i];
	into->count += from->count;
	if (from->min < into->min)
		into->min = from->min;
	if (from->max > into->max)
		into->max = from->max;
}

static uint64_t clamp(const struct histogram *h, uint64_t ns)
{
	if (ns < h->min)
		return h->min;
	return ns > h->max ? h->max : ns;
}

uint64_t histogram_quantile(const struct histogram *h, double q)
{
	uint64_t rank, seen = 0;

	if (h->count == 0)
		return 0;
	/* 0.07 * 100 is a little above 7 in binary: what is only rounding must not be the next rank. */
	rank = (uint64_t)ceil(q * (double)h->count * (1 - 1e-12));
	if (rank <= 1)
		return h->min;
	if (rank >= h->count)
		return h->max;
	for (uint32_t i = histogram_index(h->min); i < HISTOGRAM_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen >= rank)
			return clamp(h, histogram_bucket_low(i) + histogram_bucket_width(i) / 2);
	}
	return h->max;
}

uint64_t histogram_count_below(const struct histogram *h, uint64_t ns)
{
	uint64_t total = 0;
	uint32_t end = histogram_index(ns);

	for (uint32_t i = h->count ? histogram_index(h->min) : end; i < end; i++)
		total += h->buckets[i];
	return total;
}

double histogram_mean(const struct histogram *h)
{
	return h->count ? (double)h->sum / (double)h->count : 0;
}

uint64_t histogram_count_between(const struct histogram *h, uint64_t low, uint64_t high)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t at = histogram_bucket_low(i);

		if (at >= low && at < high)
			total += h->buckets[i];
	}
	return total;
}
