#include "estimate.h"

#include <math.h>

#include "model.h"
#include "profile.h"

/* Mean size of the blocks that the metric counts: what is known of them is their sum of bytes. */
static double mean_bytes(const struct model *m, enum profile_metric metric)
{
	double bytes = 0, count = 0;

	for (size_t i = 0; i < m->heap_count; i++) {
		const struct model_heap_row *r = &m->heap[i];
		bool live = metric == METRIC_LIVE_COUNT;

		bytes += (double)r->alloc_bytes - (live ? (double)r->free_bytes : 0);
		count += r->alloc_count - (live ? r->free_count : 0);
	}
	return count > 0 ? bytes / count : 0;
}

double estimate_variance(const struct model *m, const struct profile *p)
{
	double mean;

	if (p->period_ns)
		return 1;
	if (m->heap_mode != SNAP_HEAP_SAMPLED || p->metric == METRIC_MMAP)
		return 0;
	switch (p->metric) {
	case METRIC_LIVE_COUNT:
	case METRIC_ALLOC_COUNT:
	case METRIC_TEMPORARY:
		mean = mean_bytes(m, p->metric);
		return mean > 0 ? fmax(1, (double)m->heap_interval_bytes / mean) : 1;
	default:
		return (double)m->heap_interval_bytes;
	}
}

bool estimate_is_noise(double change, double variance)
{
	return change != 0 && variance > 0 && fabs(change) <= ESTIMATE_Z95 * sqrt(variance);
}
