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
enum { CAPTURE_MAX = 1024, CAPTURE_STACKS = 256, CAPTURE_INDEX = 512, CAPTURE_WORDS = 4096 };
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

/* A stack as a whole: where it began, and the words that prove it, innermost first. */
struct captured_stack {
	uintptr_t pc, sp, fp;
	struct captured_word *word;  /* in capture.ring */
	struct captured_stack *next; /* that came after it last time */
	uint64_t at;                 /* its first word, counted from the first ever */
	uint32_t node;
	uint16_t words; /* a multiple of CAPTURE_GROUP, at least one group */
	bool fp_live, elided;
};

/* What a thread knows of its last stacks. All zeros: nothing. */
struct capture {
	struct captured_stack *last; /* captured as a whole; NULL: none */
	uint64_t generation;
	uint64_t words; /* ever put into ring */
	uint32_t depth; /* frames, outermost first; 0: none is kept */
	uint16_t newest;
	bool truncated; /* the outermost frame kept is not the thread's: its step had no rule */
	uint8_t index[CAPTURE_INDEX];
	struct captured_stack stack[CAPTURE_STACKS];
	struct captured_word ring[CAPTURE_WORDS];
	struct captured frame[CAPTURE_MAX];
	struct captured_word word[2 * CAPTURE_MAX]; /* at most two a frame, in the order of the frames */
	struct captured_fresh fresh[CAPTURE_MAX];   /* innermost first */
};

/* Forgets all: another thread will use it. */
void capture_reset(struct capture *c);
/* By any way but the shortest. */
uint32_t capture_other(struct capture *c, const struct unwind_start *start);

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

static ALWAYS_INLINE uint32_t capture_stack(struct capture *c, const struct unwind_start *start)
{
	struct captured_stack *s = c->last;

	if (LIKELY(s != NULL) && LIKELY(c->generation == walk_generation())) {
		s = s->next;
		if (LIKELY(capture_holds(c, s, start)) && LIKELY(!s->elided)) {
			c->last = s;
			return s->node;
		}
	}
	return capture_other(c, start);
}
