/* What all threads have counted, added up.
 * Context    [helper]: reads every thread's counters; a millisecond or so for ten thousand stacks. */
#pragma once
#include <stdint.h>

struct totals {
	uint64_t samples;
	/* Counts in whole blocks; estimates in sampled mode. */
	uint64_t alloc_count, alloc_bytes, free_count, free_bytes;
	uint64_t live_count, live_bytes;
};
struct totals totals_count(void);
