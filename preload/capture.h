/* The call stack of an allocation as a node of the stack tree, at the cost of the frames that changed since the thread's
 * last one.
 * Context    [hook], under GUARD_TABLE; never two at once on one thread. Not for signal handlers.
 * Errors     as stacks.h: 0 is "no stack", counted. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "stacks.h"

struct unwind_start;

/* One frame of the last stack: the state its step began with, what the step read, and the tree's node for it. */
struct captured {
	uintptr_t pc, sp, fp;
	uintptr_t ra_at, fp_at; /* as struct walk_reads */
	uint32_t node;
	bool exact, fp_known, complete;
};

/* A thread's last stack. All zeros: none. */
struct capture {
	uint32_t depth;     /* frames, outermost first; 0: none is kept */
	bool truncated;     /* the outermost frame kept is not the thread's: its step had no rule */
	uintptr_t end_word; /* what stood at frame[0].ra_at: the end of the chain */
	uint64_t generation;
	struct captured frame[STACKS_MAX_DEPTH];
	struct captured fresh[STACKS_MAX_DEPTH]; /* of the walk under way, innermost first */
};

uint32_t capture_stack(struct capture *c, const struct unwind_start *start);
