/* Words that any thread of the program may change, in programs many of which have one thread: a locked instruction takes as long as
 * fifty plain ones, so it is left out while libc knows of one thread only. pthread_create(3) ends that before the second one runs
 * (sys/single_threaded.h, glibc 2.32); libc's own malloc and stdio rely on the same.
 * Only for what our helper, which libc does not know, reads and never writes, and what no signal handler changes in the midst
 * (GUARD_NET). [hook] */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/single_threaded.h>
#include "atomic.h"
#include "lock.h"

static inline bool alone(void)
{
	return __libc_single_threaded != 0;
}

/* Relaxed: figures and numbers, which order nothing. The value before. */
static inline uint64_t shared_add(_Atomic uint64_t *p, uint64_t n)
{
	uint64_t was;

	if (!alone())
		return add_relaxed(p, n);
	was = load_relaxed(p);
	store_relaxed(p, was + n);
	return was;
}

static inline void shared_add_32(_Atomic uint32_t *p, uint32_t n)
{
	if (alone())
		own_add(p, n);
	else
		add_relaxed(p, n);
}

/* As lock_try(); left by lock_leave(). */
static inline bool shared_lock_try(struct lock *l)
{
	if (!alone())
		return lock_try(l);
	if (load_relaxed(&l->word))
		return false;
	store_relaxed(&l->word, 1);
	return true;
}
