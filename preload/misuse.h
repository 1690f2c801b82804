/* What the program does wrong with its blocks: freed twice, freed and no block, freed by another family.
 * Each distinct triple of stacks is one row, counted. A thread's last frees are kept in a ring, so that a second free of
 * an address is told from the free of an address that never was a block.
 * Context    [hook] under GUARD_TABLE, on the rare path; misuse_freed() is on the path of every followed free.
 * Errors     none are returned: what does not fit is counted (misuse.table_full). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "allocs.h"
#include "arch.h"
#include "config.h"
#include "snapshot_layout.h"
#include "threads.h"

enum { MISUSE_MAX_ROWS = 256 };

struct misuse {
	_Atomic uint64_t count; /* 0: not there */
	enum snap_misuse kind;
	enum snap_family allocated_by, freed_by;
	enum snap_no_block no_block;
	uint32_t allocated, first_freed, freed; /* stacks; 0: none or unknown */
	uint32_t thread;                        /* record of the thread that freed, the first time */
	uint64_t address, bytes, time_ns;       /* of the first time; bytes 0: unknown */
};

void misuse_init(const struct config *config); /* also when the options have changed [init, helper] */

/* The free of a block of this family, by this: is it right? */
static ALWAYS_INLINE bool misuse_matches(uint32_t family, enum snap_family freed_by)
{
	return family == (uint32_t)freed_by || (freed_by == SNAP_FAMILY_REALLOC && family == SNAP_FAMILY_MALLOC);
}

void misuse_mismatch(struct thread *th, const void *address, const struct block *block, enum snap_family freed_by,
                     const void *frame);
/* The address is no live block, in full mode. */
void misuse_unknown(struct thread *th, const void *address, enum snap_family freed_by, const void *frame);

/* A block that was not recorded (made inside another allocation call, or before the recorder ran): its free is right.
 * [hook], guards or not. */
void misuse_stranger(const void *address);
/* It is freed. False if it is none. */
bool misuse_stranger_gone(const void *address);

/* There are strangers that nobody told of: from now on an unknown address says nothing. */
void misuse_unsure(void);

/* True while stacks of frees are taken whole: PERFPROBE_FREE_STACKS, or one of a stack's blocks was freed twice. */
extern _Atomic bool misuse_watching HIDDEN;
NOINLINE void misuse_freed_watched(struct thread *th, const void *address, uint32_t stack, const void *frame);

enum { MISUSE_STACK_SHIFT = 48, MISUSE_STACK_IS_WHOLE = 1 << 12 };

/* Puts two words into the thread's ring: the address with the low 16 bits of the block's stack; the caller of the free (or
 * the free's whole stack) with the high 12 bits. Readers of other threads look at the first word twice. */
static ALWAYS_INLINE void misuse_freed(struct thread *th, const void *address, uint32_t stack, const void *frame)
{
	uint32_t head = load_relaxed(&th->freed_head);
	struct freed *f = &th->freed[head % THREAD_FREED];

	store_relaxed(&th->freed_head, head + 1);
	if (UNLIKELY(load_relaxed(&misuse_watching))) {
		misuse_freed_watched(th, address, stack, frame);
		return;
	}
	store_relaxed(&f->caller, arch_frame_pc(frame) | (uint64_t)(stack >> 16) << MISUSE_STACK_SHIFT);
	store_relaxed(&f->address, (uint64_t)address | (uint64_t)stack << MISUSE_STACK_SHIFT);
}

/* Rows are stable once their count is not 0; a row may get a better first_freed. [snapshot] */
uint32_t misuse_count(void);
const struct misuse *misuse_at(uint32_t i); /* below misuse_count() */

/* In a forked child: rows are the parent's; `forget`: in its memory, too. */
void misuse_fork_child(bool forget);
