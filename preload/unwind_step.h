/* One step of a stack walk: shared by the plain walk (unwind.c) and by verified reuse (capture.c).
 * Context    [hook] and signal handlers, as unwind.h says. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "atomic.h"
#include "compiler.h"
#include "arch.h"
#include "config.h"

struct unwind_start;

enum { NOT_FOLLOWED = 255 };

/* The state of a walk: one frame. */
struct walk {
	uintptr_t pc, sp, fp;
	uintptr_t ra; /* ARCH_RA_IN_REGISTER: what an exact frame has in the register; 0: unknown */
	bool exact;   /* pc is an interrupted instruction, not a return address */
	bool fp_known;
	bool sp_is_bound; /* sp is not the frame's, only below it: after a step by the frame pointer, ARCH_RA_IN_REGISTER */
	bool foreign;     /* not on the thread's own stack */
	bool apart;       /* pages are probed before they are read, or read by `copy` */
	const uintptr_t *regs;
	uintptr_t lo, hi;                 /* what may be read now */
	uintptr_t stack_lo, stack_hi;     /* the thread's own stack */
	uintptr_t probed_page;            /* of a foreign stack: known to be readable */
	struct stack_copy *copy;          /* of another thread; NULL: this one's */
	const struct unwind_start *start; /* where it began; NULL in a walk that finds a register */
	unsigned followed;                /* this register's value is known too: walk_find_register() */
	uintptr_t followed_value;
};

/* Tables that hold the rules for code at `pc`. False: none. */
struct frames {
	const uint8_t *hdr;
	uintptr_t lo, hi; /* of the mapping with `hdr` in it */
};
bool walk_frames_at(uintptr_t pc, struct frames *ret_frames);
/* Is the next step one through a signal trampoline? */
bool walk_at_trampoline(const struct walk *w);
/* The value of a register in the frame that `w` is at, found by walking there again from the start; for the few frames whose
 * CFA needs it. False: not known. */
bool walk_find_register(const struct walk *w, unsigned reg, uintptr_t *ret_value);

/* What a step read: with the state it started from, all that its outcome depends on. */
struct walk_reads {
	uintptr_t ra_at; /* the return address stands here; 0: none was read */
	uintptr_t fp_at; /* the caller's frame pointer stands here; 0: it is the callee's, or unknown */
	bool fp_base;    /* where it read depends on the frame pointer */
	bool fp_kept;    /* the caller's frame pointer is the callee's */
	bool complete;   /* false: it read more than these two words */
};

enum step { STEP_ON, STEP_DONE, STEP_NO_RULE, STEP_BAD_STACK };

void walk_begin(struct walk *w, const struct unwind_start *start);
/* To the caller's frame. STEP_DONE: the frame was the outermost; the state is then of no use. */
enum step walk_step(struct walk *w, struct walk_reads *ret_reads);
/* The address to look a frame up by: inside the instruction. */
static inline uintptr_t walk_lookup(const struct walk *w)
{
	return w->exact ? w->pc : w->pc - 1;
}
/* How far above the stack pointer the return address of the frame at `start` stands, in bytes; more than any stack is large
 * where the stack pointer alone does not tell. A hint that tells callers of a wrapper apart, no part of a proof. */
uintptr_t walk_to_return(const struct unwind_start *start);
/* Changes when rules of code that is gone were forgotten: states kept from before mean nothing. */
extern _Atomic uint64_t walk_generation_now HIDDEN;
static ALWAYS_INLINE uint64_t walk_generation(void)
{
	return load_relaxed(&walk_generation_now); /* relaxed: code that runs was not unloaded by this thread's past */
}
/* By frame pointers alone, or by call frame information. [init] */
void walk_use_frame_pointers(bool only);
