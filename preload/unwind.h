/* Call stacks of the running thread, for hooks and signal handlers alike.
 * Context    [hook] and signal handlers: no allocation, no lock, no loader call but _dl_find_object (lock-free and
 *            async-signal-safe by glibc's documentation); reads only readable words of the stack it walks.
 * Output     addresses inside the executing instruction, innermost first (return addresses minus 1). When the outermost
 *            frame was not reached the last entry is SNAP_PC_TRUNCATED. Of a stack deeper than fits, the innermost
 *            half and the outermost are kept, with SNAP_PC_ELIDED between them. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "arch.h"
#include "config.h"

struct stack_copy;

/* Where the walk starts and what it may read. */
struct unwind_start {
	uintptr_t pc, sp, fp;
	bool pc_is_exact; /* an interrupted instruction, not a return address */
	bool fp_unknown;
	const uintptr_t *regs;        /* all registers by DWARF number, or NULL: only sp and fp are known */
	uintptr_t stack_lo, stack_hi; /* the thread's stack; other memory is probed page by page before it is read */
	struct stack_copy *copy; /* of another thread: its stack is read by this (unwind_copy.h); NULL: this one's */
};

enum { UNWIND_MAX_FRAMES = 4096 }; /* as many are visited, to reach the outermost ones */

/* Chooses the engine. Returns its name ("cfi", "fp", "libunwind"); *ret_why says why when it is not what was asked. [init] */
const char *unwind_init(enum config_unwind wanted, const char **ret_why);
/* Frames of the stack at `start` in pcs[0..max), at least 1 and at most `max` (>= 4). */
size_t unwind_walk(const struct unwind_start *start, uintptr_t *pcs, size_t max);
/* Counts a stack whose outer frames were not reached; `why` is an enum step (unwind_step.h). */
void unwind_count_truncated(int why);
/* Can stacks be walked frame by frame (unwind_step.h)? Not by libunwind. */
bool unwind_can_step(void);
/* Forget every cached rule: code was unmapped. [any thread, not in a handler] */
void unwind_forget(void);

/* The start for a function called by the program: `frame` is its ARCH_HOOK_FRAME(). */
static inline struct unwind_start unwind_from_frame(const void *frame, uintptr_t stack_lo, uintptr_t stack_hi)
{
	return (struct unwind_start){ .pc = arch_frame_pc(frame),
		                      .sp = arch_frame_sp(frame),
		                      .fp = arch_frame_fp(frame),
		                      .pc_is_exact = false,
		                      .regs = NULL,
		                      .stack_lo = stack_lo,
		                      .stack_hi = stack_hi };
}
/* The start for another thread, which waits in the kernel: its program counter and stack pointer are known, and what calls preserve
 * is not. `copy` is initialised. Not with the engine libunwind (unwind_can_step()). */
static inline struct unwind_start unwind_from_wait(uintptr_t pc, uintptr_t sp, uintptr_t stack_lo, uintptr_t stack_hi,
                                                   struct stack_copy *copy)
{
	return (struct unwind_start){ .pc = pc,
		                      .sp = sp,
		                      .pc_is_exact = true,
		                      .fp_unknown = true,
		                      .stack_lo = stack_lo,
		                      .stack_hi = stack_hi,
		                      .copy = copy };
}
/* The start for an interrupted thread; `ucontext` is a signal handler's third argument. `regs_room` holds DW_REGS words. */
struct unwind_start unwind_from_signal(const void *ucontext, uintptr_t *regs_room, uintptr_t stack_lo,
                                       uintptr_t stack_hi);
