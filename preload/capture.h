/* The call stack of an allocation as a node of the stack tree, at the cost of the frames that changed since the thread's
 * last one.
 * Context    [hook], under GUARD_TABLE; never two at once on one thread. Not for signal handlers.
 * Errors     as stacks.h: 0 is "no stack", counted. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "stacks.h"

struct unwind_start;

/* Frames of a thread's last stack that are kept. A deeper one is walked whole each time. Untouched pages cost nothing. */
enum { CAPTURE_MAX = 1024 };

/* One frame of the last stack: the state its step began with, and the tree's node for it. */
struct captured {
	uintptr_t pc, sp, fp;
	uint32_t node;                 /* 0: too deep for a node of its own */
	uint16_t words;                /* words of frames 0 to this one, in capture.word */
	bool exact, fp_known, fp_used; /* fp_used: as struct walk_reads */
};

/* A frame of the walk under way, with what its step read (struct walk_reads). */
struct captured_fresh {
	struct captured frame;
	uintptr_t ra_at, fp_at;
	bool complete;
};

/* A word that a kept step read. */
struct captured_word {
	const uintptr_t *at;
	uintptr_t value;
};

/* A thread's last stack. All zeros: none. */
struct capture {
	uint32_t depth; /* frames, outermost first; 0: none is kept */
	uint32_t node;  /* of the whole stack */
	bool truncated; /* the outermost frame kept is not the thread's: its step had no rule */
	uint64_t generation;
	struct captured frame[CAPTURE_MAX];
	struct captured_word word[2 * CAPTURE_MAX]; /* at most two a frame, in the order of the frames */
	struct captured_fresh fresh[CAPTURE_MAX];   /* innermost first */
};

uint32_t capture_stack(struct capture *c, const struct unwind_start *start);
