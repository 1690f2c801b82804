/* When attempts may start. Pure: no clock, no state; time is ns of CLOCK_MONOTONIC given by the caller. Any thread.
 * The model is closed: a connection starts its next attempt when the last one is over, as long as neither the time nor
 * the number of attempts is used up. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct schedule {
	uint64_t duration_ns; /* 0: no limit by time */
	uint64_t attempts;    /* 0: no limit by number */
};

/* The first moment at which no attempt starts any more; UINT64_MAX if only the number limits. */
uint64_t schedule_end_ns(const struct schedule *s, uint64_t start_ns);
/* Part `index` of `total` things dealt out to `parts` as evenly as possible; the parts add up to `total`. */
uint64_t schedule_share(uint64_t total, uint64_t parts, uint64_t index);
/* How many attempts a worker may take at once from a common store of `left`: few enough that all finish together, many
 * enough that the store is not fought over. 0 only if `left` is 0. */
uint64_t schedule_batch(uint64_t left, uint64_t workers);
