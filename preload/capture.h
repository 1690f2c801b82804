/* The call stack of an allocation as a node of the stack tree, at the cost of the frames that changed since the thread's
 * last one.
 * Context    [hook], under GUARD_TABLE; never two at once on one thread. Not for signal handlers.
 * Errors     as stacks.h: 0 is "no stack", counted. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "compiler.h"
#include "losses.h"
#include "stacks.h"
#include "unwind.h"
#include "unwind_step.h"

/* Frames of a thread's last stack that are kept; a deeper one is walked whole each time. Whole stacks that are known again,
 * and room for their words. Untouched pages cost nothing. */
enum { CAPTURE_MAX = 1024, CAPTURE_STACKS = 256, CAPTURE_INDEX = 512, CAPTURE_WORDS = 4096, CAPTURE_WAYS = 128 };
enum { CAPTURE_GROUP = 4 }; /* words that are compared at once */

/* One frame of the last stack: the state its step began with, and the tree's node for it. */
struct captured {
	uintptr_t pc, sp, fp;
	uintptr_t fp_at; /* the caller's frame pointer stands here; 0: it is this one's, or unknown */
	uint32_t node;   /* 0: too deep for a node of its own */
	uint16_t words;  /* words of frames 0 to this one, in capture.word */
	bool exact, fp_known;
	bool fp_kept; /* the caller's frame pointer is this one's */
	bool fp_live; /* a step from here outward depends on the frame pointer */
};

/* A frame of the walk under way, with what its step read (struct walk_reads). */
struct captured_fresh {
	struct captured frame;
	uintptr_t ra_at;
	bool complete, fp_base;
};

/* A word that a kept step read. */
struct captured_word {
	const uintptr_t *at;
	uintptr_t value;
};

struct counter;

/* A stack as a whole: where it began, and the words that prove it, innermost first. */
struct captured_stack {
	uintptr_t pc, sp, fp;
	struct captured_word *word; /* in capture.ring */
	uint64_t at;                /* its first word, counted from the first ever */
	uint32_t node;
	uint16_t words; /* a multiple of CAPTURE_GROUP, at least one group */
	uint8_t next;   /* of capture.stack: the one that came after it last time */
	bool fp_live : 1, elided : 1;
	/* The recorder's: its counter of this stack, as long as the counters were made anew no oftener than so. */
	struct counter *counter;
	uint64_t counter_made;
};

/* Where the return address of a frame stands, in bytes above its sp, by its pc: what is guessed from it is proven. */
struct captured_way {
	uintptr_t pc, to_ra;
};

/* What a thread knows of its last stacks. All zeros: nothing. */
struct capture {
	uint64_t generation;
	uint64_t words;      /* ever put into ring */
	uint32_t depth;      /* frames, outermost first; 0: none is kept */
	uint8_t newest;      /* of stack, as are these */
	uint8_t last, guess; /* captured last; likely to be captured now */
	bool truncated;      /* the outermost frame kept is not the thread's: its step had no rule */
	struct captured_way way[CAPTURE_WAYS];
	uint8_t index[CAPTURE_INDEX];
	struct captured_stack stack[CAPTURE_STACKS];
	struct captured_word ring[CAPTURE_WORDS];
	struct captured frame[CAPTURE_MAX];
	struct captured_word word[2 * CAPTURE_MAX]; /* at most two a frame, in the order of the frames */
	struct captured_fresh fresh[CAPTURE_MAX];   /* innermost first */
};

/* Forgets all: another thread will use it. */
void capture_reset(struct capture *c);

/* Is it the stack at `start`? Its words stand on the thread's own stack above sp: read before, and mapped as long as it
 * runs. */
static INLINE_NO_SANITIZE bool capture_holds(const struct capture *c, const struct captured_stack *s,
                                             const struct unwind_start *start)
{
	const struct captured_word *w = s->word, *end = w + s->words;

	if (s->pc != start->pc || s->sp != start->sp || (UNLIKELY(s->fp_live) && s->fp != start->fp) ||
	    UNLIKELY(c->words - s->at > CAPTURE_WORDS))
		return false;
	do {
		if (UNLIKELY(*w[0].at != w[0].value) || UNLIKELY(*w[1].at != w[1].value) ||
		    UNLIKELY(*w[2].at != w[2].value) || UNLIKELY(*w[3].at != w[3].value))
			return false;
		w += CAPTURE_GROUP;
	} while (w < end);
	return true;
}

/* Looks for it by its place, and it will be the guess next time. NULL: neither of the two that may be there. */
struct captured_stack *capture_find(struct capture *c, const struct unwind_start *start);

/* The kept stack that is the one at `start`, by the shortest ways; NULL: capture_stack() may know it. */
static ALWAYS_INLINE struct captured_stack *capture_known(struct capture *c, const struct unwind_start *start)
{
	struct captured_stack *s = &c->stack[c->guess];

	if (UNLIKELY(c->generation != walk_generation()))
		return NULL;
	if (UNLIKELY(!capture_holds(c, s, start))) {
		s = capture_find(c, start);
		if (UNLIKELY(!s))
			return NULL;
	} else {
		c->last = c->guess;
		c->guess = s->next;
	}
	return LIKELY(!s->elided) ? s : NULL;
}

/* The node of the stack at `start`. */
uint32_t capture_stack(struct capture *c, const struct unwind_start *start);
