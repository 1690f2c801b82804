/* Private to the exporters: a profile's samples by thread, and where they stand on a time line. Linear in stacks and samples,
 * however many threads there are. Context: hosted programs, any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "export_samples.h"
#include "profile.h"

/* Threads of one kernel id are one: the kernel gives numbers again. Those without samples are left out. Memory metrics have
 * no threads: all is one, with the process's id and name. */
struct export_thread {
	uint64_t tid;
	const char *name; /* the profile's */
	uint64_t start_ns, end_ns;
	struct export_samples samples; /* `items` belongs to export_threads */
};

struct export_threads {
	struct export_thread *items; /* in the order of the profile's threads */
	size_t count;
	struct export_sample *samples;
};

/* `tid`: only that thread; UINT64_MAX: all. 0 or -ENOMEM. */
int export_threads_get(const struct profile *p, uint64_t tid, struct export_threads *ret) MUST_USE;
void export_threads_done(struct export_threads *t);

/*
 * Samples of a profile of time as instants, for formats in which a sample lasts until the next one.
 *
 * Times are multiples of EXPORT_GRID_NS, rounded down from the exact sum, so rounding does not add up. DevTools makes
 * milliseconds of them, in doubles, subtracts to get durations, and adds start and duration again. Where that is inexact, an
 * event ends a hair after the next one began; its Performance panel then takes the next one for its callee, and takes its time
 * from the wrong function (seen: half a second of twelve). Eighths of a millisecond are exact in doubles.
 *
 * By the clock, a sample covers the period before its time, and gaps are EXPORT_IDLE. Samples older than the flight recorder's
 * window have no time; they stand before the others without gaps. Otherwise the axis is CPU time: one period a sample.
 * The last item is EXPORT_IDLE: readers give the last one no length, or an average one.
 */
#define EXPORT_GRID_NS (UINT64_C(125000))
#define EXPORT_IDLE    UINT32_MAX

struct export_instant {
	uint32_t stack;  /* or EXPORT_IDLE */
	uint64_t weight; /* samples; 0 for EXPORT_IDLE */
	uint64_t at_us;  /* since start_ns */
};

struct export_timeline {
	struct export_instant *items;
	size_t count, cap;
	uint64_t start_ns;     /* a multiple of EXPORT_GRID_NS, above 0 */
	uint64_t at_ns;        /* where the last item stands, from start_ns */
	uint64_t idle_periods; /* so that (weights + idle_periods) x period is the whole length */
	bool failed;           /* out of memory */
};

/* Samples are repeated one by one, as readers that count them expect, up to this many on a time line. */
#define EXPORT_REPEATED UINT64_C(1000000)

/* `end_ns`: when the thread ended, where `by_clock`. More than `most` samples are not repeated, but as long as their
 * weight says. 0 or -ENOMEM. */
int export_timeline_get(const struct export_samples *samples, uint64_t period_ns, bool by_clock, uint64_t start_ns,
                        uint64_t end_ns, uint64_t most, struct export_timeline *ret) MUST_USE;
void export_timeline_done(struct export_timeline *t);
