/*
 * unwind_register.c - a register's value in an outer frame.
 *
 * The cached rules follow the stack pointer, the frame pointer and the return address: that is all that compiled code needs.
 * What does not is written by hand and rare: ld.so's lazy binding keeps its frame by rbx, OpenSSL's AES-GCM by rax across
 * calls of its own. For these the walk is taken once more from its start, with that one register followed too, by rules
 * decoded anew (about a microsecond a frame).
 */
#include <ucontext.h>

#include "arch.h"
#include "eh_frame.h"
#include "os_linux.h"
#include "unwind.h"
#include "unwind_step.h"

enum { FOLLOW_MAX = 4096 };

/* The register in the frame interrupted by a signal: from the trampoline's ucontext. */
static bool from_ucontext(uintptr_t at, unsigned reg, uintptr_t *ret_value)
{
	struct unwind_start inner;
	uintptr_t regs[DW_REGS];

	if (!os_readable((const void *)at) || !os_readable((const char *)at + sizeof(ucontext_t) - 1))
		return false;
	inner = unwind_from_signal((const void *)at, regs, 0, 0);
	*ret_value = inner.regs[reg];
	return true;
}

/* One step outward of `w`, and of the register with it. */
static enum step follow(struct walk *w, unsigned reg)
{
	struct saved saved = { SAVED_UNKNOWN, 0 };
	struct walk_reads reads;
	struct frames frames;
	uintptr_t value = 0, sp = w->sp, pc = walk_lookup(w);
	bool known = false, trampoline;
	enum step s;

	if (walk_frames_at(pc, &frames))
		saved = eh_frame_saved(frames.hdr, frames.lo, frames.hi, pc, reg);
	trampoline = walk_at_trampoline(w);
	s = walk_step(w, &reads);
	if (s != STEP_ON)
		return s;
	if (trampoline) {
		known = from_ucontext(sp + ARCH_CONTEXT, reg, &value);
	} else if (saved.kind == SAVED_SAME) {
		known = w->followed == reg;
		value = w->followed_value;
	} else if (saved.kind == SAVED_AT_CFA) {
		/* after the step the stack pointer is the CFA */
		const uintptr_t *at = (const uintptr_t *)(w->sp + (uintptr_t)saved.off);

		known = (uintptr_t)at >= sp - ARCH_RED_ZONE && (uintptr_t)at < w->sp && (uintptr_t)at % 8 == 0 &&
		        os_readable(at);
		if (known)
			value = *at;
	}
	w->followed = known ? reg : NOT_FOLLOWED;
	w->followed_value = value;
	return s;
}

bool walk_find_register(const struct walk *target, unsigned reg, uintptr_t *ret_value)
{
	struct unwind_start start = *target->start;
	uintptr_t regs[DW_REGS] = { 0 };
	struct walk w;

	if (!start.regs) {
		if (start.copy || !arch_is_preserved(reg))
			return false;
		arch_registers_here(regs);
		start.pc = regs[DW_PC];
		start.sp = regs[DW_SP];
		start.fp = regs[DW_FP];
		start.pc_is_exact = true;
		start.regs = regs;
	}
	walk_begin(&w, &start);
	w.followed = reg;
	w.followed_value = start.regs[reg];
	w.start = NULL; /* this walk does not begin another one */
	for (unsigned i = 0; i < FOLLOW_MAX; i++) {
		if (w.pc == target->pc && w.sp == target->sp && w.exact == target->exact) {
			*ret_value = w.followed_value;
			return w.followed == reg;
		}
		if (follow(&w, reg) != STEP_ON)
			return false;
	}
	return false;
}
