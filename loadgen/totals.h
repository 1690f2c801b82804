/* What all workers have measured, as k6's metrics with their tags: so far, and since the reading before (a slice).
 * The slices of a run add up to its totals exactly, because totals are what is added up. A reading while workers run may miss
 * a request that is being recorded; it is in the next one. The last reading, after they are joined, is exact.
 * Context: one thread. Ownership: the sets are the totals' own, until totals_free(). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "series.h"

struct catalog;
struct tally;
struct totals;

/* `each_is_iteration`: there is no scenario, and a request is an iteration. NULL: out of memory. */
struct totals *totals_new(struct catalog *catalog, bool each_is_iteration);
void totals_free(struct totals *t);
/* Reads all tallies, always the same ones. What was known before stays known. */
void totals_read(struct totals *t, struct tally *const *tallies, size_t count);
/* A gauge of the engine's: "vus". Call after totals_read(), which empties the slice. */
void totals_gauge(struct totals *t, const char *metric, double value);
const struct series_set *totals_all(const struct totals *t);
const struct series_set *totals_slice(const struct totals *t); /* same series at the same places */
/* Requests and values that are in no series of their own: too many of them, or no memory. */
uint64_t totals_lost(const struct totals *t);
