/* Private to the exporters: a profile's samples as one sequence. Those without a time (they are older than the window of
 * the flight recorder) come first, largest stacks first; then the timed ones in order. The weights of each stack add up
 * to its value. Context: hosted programs, any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "profile.h"

struct export_sample {
	uint32_t stack;
	uint64_t weight;  /* samples (cpu, wall) or the stack's value (memory); never 0 */
	uint64_t time_ns; /* 0: not known */
};

struct export_samples {
	struct export_sample *items;
	size_t count;
	uint64_t total;   /* sum of weights */
	uint64_t untimed; /* of those without a time */
};

/* `tid`: only threads with it; UINT64_MAX: all. 0 or -ENOMEM. */
int export_samples_get(const struct profile *p, uint64_t tid, struct export_samples *ret) MUST_USE;
void export_samples_done(struct export_samples *s);
bool export_has_tid(const struct profile *p, uint32_t thread, uint64_t tid);
