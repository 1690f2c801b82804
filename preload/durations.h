/* Durations of many events in ranges that are a 32th wide (snapshot_layout.h): of a route's requests, of a table's queries.
 * Context    [any]; every counter may be added to by several threads at once. */
#pragma once
#include <stdint.h>
#include "atomic.h"
#include "snapshot_layout.h"

enum { DURATION_RANGES = SNAP_REQUEST_BUCKETS };

static inline uint32_t duration_range(uint64_t ns)
{
	uint32_t shift = ns < 64 ? 0 : 58u - (uint32_t)__builtin_clzll(ns);
	uint64_t i = ns < 64 ? ns : ((uint64_t)shift << 5) + (ns >> shift);

	return i < DURATION_RANGES ? (uint32_t)i : DURATION_RANGES - 1;
}

/* Statistics: they order nothing. `range` has DURATION_RANGES. */
static inline void durations_add(_Atomic uint64_t *count, _Atomic uint64_t *sum_ns, _Atomic uint64_t *max_ns,
                                 _Atomic uint32_t *range, uint64_t ns)
{
	uint64_t max = load_relaxed(max_ns);

	add_relaxed(&range[duration_range(ns)], 1);
	add_relaxed(sum_ns, ns);
	while (ns > max && !cas_relaxed(max_ns, &max, ns))
		;
	add_relaxed(count, 1);
}
