/* Rows that many threads write and that are read while they change, also by readers outside (live_layout.h, "sealed"): each begins
 * and ends with the same number; LIVE_WRITING: it is being written. Whoever finds it so when he wants to write has lost his row:
 * the other one was so slow that the ring went round meanwhile.
 * Context    [any thread, handler]: nothing waits. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "alone.h"
#include "atomic.h"
#include "live_layout.h"

/* The row is the caller's to write, until sealed_end(). *ret_before: its number until now. */
static inline bool sealed_begin(_Atomic uint64_t *number, _Atomic uint64_t *again, uint64_t *ret_before)
{
	uint64_t before = load_relaxed(number);

	if (before == LIVE_WRITING)
		return false;
	if (alone())
		store_relaxed(number, LIVE_WRITING);
	else if (!cas_acq_rel(number, &before,
	                      LIVE_WRITING)) /* pairs with the release in sealed_end: what was there is whole */
		return false;
	store_relaxed(again, LIVE_WRITING);
	atomic_thread_fence(memory_order_release); /* before what follows; pairs with the fence in sealed_copy */
	*ret_before = before;
	return true;
}

static inline void sealed_end(_Atomic uint64_t *number, _Atomic uint64_t *again, uint64_t now)
{
	store_release(again, now);  /* pairs with nothing here: readers outside look at both */
	store_release(number, now); /* pairs with the acquires in sealed_copy and sealed_begin */
}

/* A copy of what stands between. False: nothing does, or it changed meanwhile. */
static inline bool sealed_copy(_Atomic uint64_t *number, void *to, const void *from, size_t bytes)
{
	uint64_t before = load_acquire(number); /* pairs with the release in sealed_end */

	if (!before || before == LIVE_WRITING)
		return false;
	memcpy(to, from, bytes);
	atomic_thread_fence(memory_order_acquire); /* pairs with the fence in sealed_begin */
	return load_relaxed(number) == before;
}
