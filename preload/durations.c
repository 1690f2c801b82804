#include "durations.h"

#include "alone.h"
#include "units.h"

#define MS NS_PER_MS
const uint64_t duration_bound_ns[DURATION_BOUNDS] = { MS,        5 * MS / 2, 5 * MS,    10 * MS,   25 * MS,  50 * MS,
	                                              75 * MS,   100 * MS,   250 * MS,  500 * MS,  750 * MS, 1000 * MS,
	                                              2500 * MS, 5000 * MS,  7500 * MS, 10000 * MS };
#undef MS

void durations_add(struct durations *d, uint64_t ns)
{
	uint64_t max = load_relaxed(&d->max_ns);
	unsigned bound = 0;

	while (bound < DURATION_BOUNDS && ns > duration_bound_ns[bound])
		bound++;
	(void)shared_add(&d->bounded[bound], 1);
	shared_add_32(&d->range[duration_range(ns)], 1);
	(void)shared_add(&d->sum_ns, ns);
	while (ns > max && !cas_relaxed(&d->max_ns, &max, ns))
		;
}

uint64_t durations_count(const struct durations *d)
{
	uint64_t count = 0;

	for (unsigned i = 0; i <= DURATION_BOUNDS; i++)
		count += load_relaxed(&d->bounded[i]);
	return count;
}
