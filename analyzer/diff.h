/* Two profiles of one metric, stack by stack. Stacks are matched by the names of their frames and the file names of their
 * modules: addresses and directories may differ between two runs and two builds. Pure.
 * Ownership  the diff owns everything its pointers lead to; the profiles may go before it.
 * Context    hosted programs, any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "err.h"
#include "profile.h"

struct diff_stack {
	uint64_t before, after; /* in the metric's unit, of the second profile's period */
	uint64_t count_before, count_after;
	int64_t delta;   /* after - before x scale, rounded */
	double variance; /* of delta; 0: exact */
	bool noise;      /* delta is no larger than chance makes it (estimate.h) */
	uint32_t depth;
	const uint32_t *frames; /* indices into diff.frames, leaf first */
};

struct diff {
	enum profile_metric metric;
	bool checked;       /* as struct profile's */
	uint64_t period_ns; /* the second profile's */
	double unit_before; /* of the first profile's values, in the second's */
	double variance[2]; /* of a value of 1, as diff_settle() was told, in the second's unit */
	uint64_t total_before, total_after;
	double scale; /* what `before` is multiplied by before comparing; 1 until diff_settle() */
	size_t noise_count;
	struct diff_stack *stacks; /* largest growth first, largest shrinkage last; ties by frames */
	size_t stack_count;
	const struct profile_frame *frames; /* function and module, or everything with full frames */
	size_t frame_count;
	void *memory; /* private to diff.c */
};

/* With `full_frames`, stacks that differ in source lines stay apart. 0, -EINVAL (different metrics, or leaks against blocks not freed), -ENOMEM, -E2BIG. */
int diff_build(const struct profile *before, const struct profile *after, bool full_frames, struct diff **ret_diff,
               struct err *err) MUST_USE;
/* Compares anew: the first profile's values times `scale`; `variance` is of a value of 1 (estimate.h), each side's in its own
 * unit. */
void diff_settle(struct diff *d, double scale, const double variance[2]);

/* Functions (or with full frames, lines) that only one side has. */
struct diff_frame {
	uint32_t frame; /* index into diff.frames */
	bool is_new;    /* else it vanished */
	uint64_t value; /* with all they called, on the side that has them */
	bool noise;     /* so little that the other side may have missed it by chance */
};
/* Largest first. The caller free()s *ret_list. 0 or -ENOMEM. */
int diff_frames(const struct diff *d, struct diff_frame **ret_list, size_t *ret_count, struct err *err) MUST_USE;
void diff_free(struct diff *d);
