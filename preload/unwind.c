/*
 * unwind.c - the choice of engine, and the walk that takes a stack whole.
 */
#include "unwind.h"

#include <dlfcn.h>

#include "compiler.h"
#include "eh_frame.h"
#include "losses.h"
#include "snapshot_layout.h"
#include "unwind_libunwind.h"
#include "unwind_step.h"

#pragma weak _dl_find_object

static bool use_libunwind;

/* Entries as they come, innermost first: the first half of the room for good, then the newest in a ring. */
struct kept {
	uintptr_t *pcs;
	size_t max, n;
};

static void keep(struct kept *k, uintptr_t pc)
{
	size_t half = k->max / 2;

	k->pcs[k->n < half ? k->n : half + (k->n - half) % (k->max - half)] = pc;
	k->n++;
}

static void reverse(uintptr_t *from, uintptr_t *end)
{
	while (from < --end) {
		uintptr_t x = *from;

		*from++ = *end;
		*end = x;
	}
}

/* The ring in order. Its oldest entry makes room for the mark. */
static size_t kept_finish(struct kept *k)
{
	uintptr_t *ring = k->pcs + k->max / 2, *end = k->pcs + k->max;
	size_t oldest;

	if (k->n <= k->max)
		return k->n;
	oldest = (k->n - k->max / 2) % (size_t)(end - ring);
	reverse(ring, ring + oldest);
	reverse(ring + oldest, end);
	reverse(ring, end);
	*ring = SNAP_PC_ELIDED;
	loss_add(LOSS_UNWIND_ELIDED, 1);
	return k->max;
}

size_t unwind_walk(const struct unwind_start *start, uintptr_t *pcs, size_t max)
{
	struct kept kept = { pcs, max, 0 };
	enum step s = STEP_ON;
	struct walk_reads reads;
	struct walk w;

	if (use_libunwind)
		return unwind_libunwind_walk(start, pcs, max);
	walk_begin(&w, start);
	while (s == STEP_ON && kept.n < UNWIND_MAX_FRAMES) {
		keep(&kept, walk_lookup(&w));
		s = walk_step(&w, &reads);
	}
	if (s != STEP_DONE) {
		unwind_count_truncated((int)s);
		keep(&kept, SNAP_PC_TRUNCATED);
	}
	return kept_finish(&kept);
}

void unwind_count_truncated(int why)
{
	if (why == STEP_NO_RULE)
		loss_add(LOSS_UNWIND_NO_RULE, 1);
	else if (why == STEP_BAD_STACK)
		loss_add(LOSS_UNWIND_BAD_STACK, 1);
	loss_add(LOSS_UNWIND_TRUNCATED, 1);
}

bool unwind_can_step(void)
{
	return !use_libunwind;
}

struct unwind_start unwind_from_signal(const void *ucontext, uintptr_t *regs_room, uintptr_t stack_lo,
                                       uintptr_t stack_hi)
{
	arch_registers(ucontext, regs_room);
	return (struct unwind_start){ .pc = regs_room[DW_PC],
		                      .sp = regs_room[DW_SP],
		                      .fp = regs_room[DW_FP],
		                      .pc_is_exact = true,
		                      .regs = regs_room,
		                      .stack_lo = stack_lo,
		                      .stack_hi = stack_hi };
}

const char *unwind_init(enum config_unwind wanted, const char **ret_why)
{
	*ret_why = "";
	if (wanted == UNWIND_LIBUNWIND) {
		use_libunwind = unwind_libunwind_init();
		if (use_libunwind)
			return "libunwind";
		*ret_why = "libunwind.so.8 is not installed";
	}
	if (wanted == UNWIND_FP || !_dl_find_object) {
		if (wanted != UNWIND_FP)
			*ret_why = "this libc has no _dl_find_object (glibc 2.35 or newer)";
		walk_use_frame_pointers(true);
		return "fp";
	}
	return "cfi";
}
