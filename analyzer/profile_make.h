/* How a profile comes into being: frames and stacks are added in any order, equal ones become one, and finishing sorts.
 * Used by profile_build() and by what makes profiles out of profiles. Errors: -ENOMEM, -E2BIG. One thread at a time. */
#pragma once
#include "arena.h"
#include "intern.h"
#include "paths.h"
#include "profile.h"

/* A GiB of frame numbers. No recorder comes near; a hostile file of deep stacks would. */
#define PROFILE_MAX_REFS (UINT64_C(1) << 28)

struct maker_stack {
	uint64_t bytes;
	double count;
	struct profile_heap *heap; /* in the profile's arena */
};

struct profile_maker {
	struct profile *profile;
	struct arena *arena; /* the profile's */
	struct arena scratch;
	struct intern strings, frames;
	struct paths paths;       /* of frames, outermost first */
	struct paths stacks;      /* (path, thread): number + 1 */
	struct maker_stack *sums; /* by stack number */
	bool in_tree;             /* the stacks need no frames */
	size_t sum_cap;
	struct profile_sample *samples;
	size_t sample_count, sample_cap;
};

int profile_maker_init(struct profile_maker *mk, enum profile_metric metric) MUST_USE;
/* Number of an equal frame, or -ENOMEM. Strings are copied. */
int64_t profile_maker_frame(struct profile_maker *mk, const struct profile_frame *frame) MUST_USE;
/* Adds to the stack frames[0..depth), leaf first. `value` counts for metrics in bytes; `count` for all. The stack's number
 * (for samples), or -errno. */
int64_t profile_maker_add(struct profile_maker *mk, const uint32_t *frames, uint32_t depth, uint32_t thread,
                          uint64_t bytes, double count) MUST_USE;
/* The same for a stack that is a path: a node of mk->paths, to which the caller has added its frames, outermost first. */
int64_t profile_maker_add_path(struct profile_maker *mk, uint32_t path, uint32_t thread, uint64_t bytes,
                               double count) MUST_USE;
/* Adds to what is known of that stack's blocks. */
int profile_maker_heap(struct profile_maker *mk, int64_t number, const struct profile_heap *heap) MUST_USE;
/* In order of time; `stack` is a number that profile_maker_add() gave. */
int profile_maker_sample(struct profile_maker *mk, struct profile_sample sample) MUST_USE;
int profile_maker_threads(struct profile_maker *mk, const struct profile_thread *threads, size_t count) MUST_USE;
/* Those of count 0 are left out. */
int profile_maker_losses(struct profile_maker *mk, const struct profile_loss *losses, size_t count) MUST_USE;
/* A copy that lives as long as the profile; NULL when memory runs out. */
const char *profile_maker_text(struct profile_maker *mk, const char *text);
/* Sorts, drops stacks of value 0, and hands the profile over. */
int profile_maker_finish(struct profile_maker *mk, struct profile **ret_profile) MUST_USE;
/* Frees what was not handed over. */
void profile_maker_done(struct profile_maker *mk);
