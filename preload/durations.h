/* Durations of many events: of a route's requests, of a table's queries. In ranges that are a 32th wide (snapshot_layout.h), and
 * between bounds that people expect of a histogram: those are in the middle of ranges, so they are counted apart and are exact.
 * Context    [any]; every counter may be added to by several threads at once. */
#pragma once
#include <stdint.h>
#include "atomic.h"
#include "compiler.h"
#include "snapshot_layout.h"

enum {
	DURATION_RANGES = SNAP_REQUEST_BUCKETS,
	DURATION_BOUNDS = 16,
	DURATION_BOUNDS_FINE = 2 /* OpenTelemetry's begin behind so many */
};
extern const uint64_t duration_bound_ns[DURATION_BOUNDS] HIDDEN;

/* Figures: they order nothing. */
struct durations {
	_Atomic uint64_t sum_ns, max_ns;
	_Atomic uint64_t
	        bounded[DURATION_BOUNDS + 1]; /* not above bound i, and above the one before; the last: above all */
	_Atomic uint32_t range[DURATION_RANGES];
};

static inline uint32_t duration_range(uint64_t ns)
{
	uint32_t shift = ns < 64 ? 0 : 58u - (uint32_t)__builtin_clzll(ns);
	uint64_t i = ns < 64 ? ns : ((uint64_t)shift << 5) + (ns >> shift);

	return i < DURATION_RANGES ? (uint32_t)i : DURATION_RANGES - 1;
}

void durations_add(struct durations *d, uint64_t ns) HIDDEN;
uint64_t durations_count(const struct durations *d) HIDDEN; /* how many were added */
