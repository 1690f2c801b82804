/* The run as it is watched: once a second all tallies are read, the slice is appended to the results file, thresholds are
 * looked at. Main thread. Ownership: monitor_free(); catalog and tallies are the caller's. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "err.h"
#include "series.h"
#include "threshold.h"

struct catalog;
struct tally;

struct monitor_options {
	bool each_is_iteration; /* totals.h */
	const char *results;    /* path of the results file, or NULL */
	uint64_t vus;
};
struct monitor;

/* -ENOMEM, or -EIO with a sentence: the file cannot be written. */
int monitor_new(struct catalog *catalog, const struct monitor_options *options, struct monitor **ret_monitor,
                struct err *err) MUST_USE;
void monitor_free(struct monitor *m);
int monitor_add_threshold(struct monitor *m, const char *text, struct err *err) MUST_USE;
/* What is known of the run, for the results file: at any time; a later text replaces an earlier one. */
void monitor_fact(struct monitor *m, const char *name, const char *text);
/* A second is over. True: a threshold with abortOnFail has failed, and the run is to end. */
bool monitor_look(struct monitor *m, struct tally *const *tallies, size_t count, uint64_t elapsed_ns);
/* All workers are joined: what is read now is exact. */
void monitor_finish(struct monitor *m, struct tally *const *tallies, size_t count, uint64_t elapsed_ns);
/* After that; counts become rates by `window_ns`. True: some threshold has failed. */
bool monitor_judge(struct monitor *m, uint64_t window_ns);
/* The end of the results file. 0, or -errno: some of it could not be written. */
int monitor_close(struct monitor *m, struct err *err) MUST_USE;
const struct series_set *monitor_all(const struct monitor *m);
const struct series_set *monitor_slice(const struct monitor *m);
const struct thresholds *monitor_thresholds(const struct monitor *m);
uint64_t monitor_lost(const struct monitor *m); /* totals_lost() */
