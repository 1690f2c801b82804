/* out_hgrm.c - HdrHistogram's percentile listing: value, percentile, count up to it, 1 / (1 - percentile); five steps to each halving of
 * what is left. */
#include "out.h"

#include <math.h>

#include "buf.h"
#include "engine.h"
#include "series.h"

enum { TICKS = 5 };

static void row(struct buf *out, const struct histogram *h, double q)
{
	uint64_t value = histogram_quantile(h, q), below;

	/* All that is in the bucket of the value is up to it. */
	below = value >= h->max ? h->count
	                        : histogram_count_below(h, value + histogram_bucket_width(histogram_index(value)));
	if (q >= 1)
		buf_printf(out, "%12.6f %14.12f %10llu\n", (double)value / SERIES_UNIT, 1.0, (unsigned long long)below);
	else
		buf_printf(out, "%12.6f %14.12f %10llu %14.2f\n", (double)value / SERIES_UNIT, q,
		           (unsigned long long)below, 1 / (1 - q));
}

static double deviation(const struct histogram *h)
{
	double mean = histogram_mean(h), sum = 0;

	for (uint32_t i = histogram_index(h->min); h->count && i <= histogram_index(h->max); i++) {
		double off = (double)histogram_bucket_low(i) + (double)histogram_bucket_width(i) / 2 - mean;

		sum += off * off * (double)h->buckets[i];
	}
	return h->count ? sqrt(sum / (double)h->count) : 0;
}

void out_hgrm(const struct result *r, struct buf *out)
{
	const struct histogram *h = &r->metrics.trends[TREND_RESPONSE_TIME];
	double q = 0;

	buf_printf(out, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
	while (h->count && 1 / (1 - q) < 2 * (double)h->count) {
		double half = exp2(floor(log2(1 / (1 - q))) + 1);

		row(out, h, q);
		q += 1 / (half * TICKS);
	}
	if (h->count)
		row(out, h, 1);
	buf_printf(out, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", histogram_mean(h) / SERIES_UNIT,
	           deviation(h) / SERIES_UNIT);
	buf_printf(out, "#[Max     = %12.3f, Total count    = %12llu]\n", (double)h->max / SERIES_UNIT,
	           (unsigned long long)h->count);
	buf_printf(out, "#[Buckets = %12d, SubBuckets     = %12d]\n", 64 - HISTOGRAM_BITS + 1, HISTOGRAM_SUB);
}
