/* Two profiles of one metric, stack by stack. Stacks are matched by the names of their frames and the file names of their
 * modules: addresses and directories may differ between two runs and two builds. Pure.
 * Ownership  the diff owns everything its pointers lead to; the profiles may go before it.
 * Context    hosted programs, any thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "err.h"
#include "profile.h"

struct diff_stack {
	uint64_t before, after; /* in the metric's unit, of the second profile's period */
	uint64_t count_before, count_after;
	int64_t delta;
	uint32_t depth;
	const uint32_t *frames; /* indices into diff.frames, leaf first */
};

struct diff {
	enum profile_metric metric;
	bool checked;       /* as struct profile's */
	uint64_t period_ns; /* the second profile's */
	uint64_t total_before, total_after;
	struct diff_stack *stacks; /* largest growth first, largest shrinkage last; ties by frames */
	size_t stack_count;
	const struct profile_frame *frames; /* function and module, or everything with full frames */
	size_t frame_count;
	void *memory; /* private to diff.c */
};

/* With `full_frames`, stacks that differ in source lines stay apart. 0, -EINVAL (different metrics, or leaks against blocks not freed), -ENOMEM, -E2BIG. */
int diff_build(const struct profile *before, const struct profile *after, bool full_frames, struct diff **ret_diff,
               struct err *err) MUST_USE;
void diff_free(struct diff *d);
