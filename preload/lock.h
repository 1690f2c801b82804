/* A small lock for code that runs inside malloc hooks: a word, no allocation, no errno.
 * Short critical sections only. Ranks, outermost first: snapshot > threads > pool of allocs > allocs_sparse > stacks > modules;
 * of probes, of thread groups, of pools, of mappings and of what fork leaves out: innermost.
 * A holder always has its thread's GUARD_TABLE bit set, so the CPU sampler's handler never waits for its own thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "arch.h"
#include "atomic.h"
#include "os_linux.h"

struct lock {
	_Atomic uint32_t word; /* 0 free, 1 held */
};

static inline bool lock_try(struct lock *l)
{
	uint32_t expected = 0;

	/* acquire, pairs with the release in lock_leave: what the last holder wrote is visible */
	return load_relaxed(&l->word) == 0 && cas_acq_rel(&l->word, &expected, 1);
}

/* At most `spins` attempts; for signal handlers, which must not wait for a preempted holder. */
static inline bool lock_try_for(struct lock *l, unsigned spins)
{
	for (unsigned i = 0; i < spins; i++) {
		if (lock_try(l))
			return true;
		arch_relax();
	}
	return false;
}

static inline void lock_enter(struct lock *l)
{
	for (unsigned i = 0; !lock_try(l); i++) {
		if (i < 64)
			arch_relax();
		else
			os_yield(); /* the holder was preempted: let it run */
	}
}

/* Waits so long at most; for holders that make system calls. */
static inline bool lock_within(struct lock *l, uint64_t patience_ns)
{
	uint64_t deadline = os_now_ns() + patience_ns;

	while (!lock_try(l)) {
		if (os_now_ns() >= deadline)
			return false;
		os_yield();
	}
	return true;
}

static inline void lock_leave(struct lock *l)
{
	store_release(&l->word, 0); /* pairs with the acquire in lock_try */
}
