/* Several metrics of one snapshot side by side: each stack once, with its value in every profile. For formats that hold
 * more than one. Pure. Ownership: strings belong to the profiles, which must outlive it. Context: hosted programs. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "arena.h"
#include "compiler.h"
#include "err.h"
#include "profile.h"

enum { JOIN_MAX = 5 };

struct join_stack {
	const uint32_t *frames; /* indices into join.frames, leaf first */
	uint32_t depth, thread;
	uint64_t value[JOIN_MAX],
	        count[JOIN_MAX];         /* as in struct profile_stack; 0 where the profile has not this stack */
	const struct profile_heap *heap; /* of the first profile that has it */
};

struct join {
	struct profile_frame *frames;
	struct join_stack *stacks; /* in order of first appearance */
	size_t frame_count, stack_count;
	struct arena arena; /* private */
};

/* 0, -ENOMEM or -E2BIG. Freed with join_done(). */
int join_build(const struct profile *const *profiles, size_t n, struct join *ret, struct err *err) MUST_USE;
void join_done(struct join *j);
