/*
 * "Is this thread already inside the profiler?" Two bits, because the answers differ:
 *   GUARD_ALLOC  held over a whole allocator hook INCLUDING the real call: nested malloc (dlsym, a calloc built on
 *                malloc, an allocator's own start-up) is not an event.
 *   GUARD_TABLE  held only while the recorder's tables change: a CPU sample that lands there is put aside
 *                (sampler.c). Not held over the real call, or time spent in the allocator would vanish from profiles.
 *   GUARD_NET    held while what is known of a connection changes: the read or write of a signal handler is not followed.
 *   GUARD_OURS   with GUARD_ALLOC, while the library itself calls the loader: what that allocates is no loss.
 * initial-exec TLS: one thread-register load; a dynamic TLS first touch may call malloc.
 */
#pragma once
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include "atomic.h"
#include "compiler.h"

enum { GUARD_ALLOC = 1, GUARD_TABLE = 2, GUARD_OURS = 4, GUARD_NET = 8 };

struct thread;

/* What a thread keeps in TLS; the rest is in its struct thread. */
struct tls {
	volatile sig_atomic_t guard;
	int64_t countdown;     /* bytes to the next heap sample; recorder.c */
	uint64_t allocs;       /* allocations by this thread */
	struct thread *thread; /* NULL: not attached yet, or past its end */
	struct {
		const void *frame;  /* of the operator new that is calling the allocator; hook_cxx.c */
		size_t size, slack; /* asked for; what the operator may add */
		unsigned family;    /* 0: none is */
	} origin;
	bool own_new;         /* an operator new that does not call malloc by name has made the block; hook_cxx.c */
	const void *deleting; /* the block that an operator delete is giving to the allocator; hook_cxx.c */
	bool ended;           /* the thread's end was recorded: late events go to the shared record */
	unsigned unleakable;  /* blocks that are allocated now are no leaks; hook_lsan.c */
	bool fork_guard;      /* GUARD_TABLE was entered for a fork under way */
	uint64_t fork_mask;   /* signal mask before that fork */
	bool fork_limit;      /* that fork holds the limit of descriptors; sampler.c */
	bool prof_blocked;    /* the program believes that it blocked the sampling signal; hook_signal.c */
	uint64_t prof_mask;   /* ... and the kernel's mask when it did */
	uint32_t ssl_told;    /* calls of OpenSSL's functions that were told; ssl_conns.c */
};
extern _Thread_local struct tls tls_self HIDDEN TLS_INITIAL_EXEC;

/* True if the bit was clear and is set now. */
static inline bool guard_enter(struct tls *t, int bit)
{
	sig_atomic_t guard = t->guard;

	if (guard & bit)
		return false;
	t->guard = guard | bit; /* not atomic, and need not be: a handler leaves the bits as it found them */
	signal_fence();
	return true;
}

static inline void guard_leave(struct tls *t, int bit)
{
	signal_fence();
	t->guard &= ~bit;
}
