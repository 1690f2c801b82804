/* The functions that ours stand in front of, and memory for allocations made before they are known.
 * Context    [hook]: real_ready() may be the first thing that ever runs in the process.
 * Errors     a libc without a REQUIRED function cannot run our hooks: one sentence, then _exit(127), before main().
 * Ownership  bootstrap blocks are never given back. */
#pragma once
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <threads.h>
#include <unistd.h> /* socklen_t */
#include "atomic.h"
#include "compiler.h"

struct sockaddr;
struct msghdr;
struct mmsghdr;

struct real {
#define HOOK(need, returns, name, params, args) returns(*name) params;
#include "hooks.def"
#undef HOOK
};
extern struct real real HIDDEN;
extern _Atomic int real_state_ HIDDEN; /* 0 unknown, 1 being looked up, 2 known */

/* May malloc_usable_size() be asked of a block of the allocator's? By operators new: where they do not call malloc. */
extern bool real_knows_usable, real_knows_usable_of_new HIDDEN;
/* Is malloc glibc's? */
extern bool real_is_libc HIDDEN;
/* From now on blocks are also made by the allocator that has `function`. */
void real_joined_by(const void *function) HIDDEN;

bool real_resolve(void);

/* True once `real` is filled in. False only while this very thread is looking it up: use bootstrap memory then. */
static inline bool real_ready(void)
{
	/* acquire, pairs with the release in real_resolve: the pointers are in place */
	return LIKELY(load_acquire(&real_state_) == 2) || real_resolve();
}

/* What a hook answers whose function this libc does not have. */
static inline int real_not_there(void)
{
	errno = ENOSYS;
	return -1;
}

/* Is our malloc not the program's, or not known to be? Then what libc builds on malloc must not be built on real.malloc. */
extern bool real_behind HIDDEN;
/* The program's own, where its malloc does not come by ours; else NULL. Set at start-up (hook_other.c). */
extern struct real_front {
	void (*free)(void *ptr);
	void *(*realloc)(void *old, size_t size); /* only where it is recorded */
} real_front HIDDEN;

/* Is `real` filled in? Without looking it up. */
static inline bool real_known(void)
{
	return load_acquire(&real_state_) == 2; /* pairs with the release in real_resolve */
}

/* Zeroed memory, aligned to `align` (a power of two); NULL when the system has none. */
void *bootstrap_alloc(size_t align, size_t size) HIDDEN;
static ALWAYS_INLINE bool bootstrap_owns(const void *at);
size_t bootstrap_size(const void *at) HIDDEN; /* as asked for */
/* Its regions, below bootstrap_count(). */
uint32_t bootstrap_count(void) HIDDEN;
const void *bootstrap_region(uint32_t i, size_t *ret_bytes) HIDDEN;

/* ---- for bootstrap_owns(): the first region, which is nearly always the only one --------------------------------- */

enum { BOOTSTRAP_FIRST_BYTES = 64 << 10 };
extern unsigned char bootstrap_first[BOOTSTRAP_FIRST_BYTES] HIDDEN;
extern _Atomic uint32_t bootstrap_regions HIDDEN;
bool bootstrap_owns_more(const void *at) HIDDEN;

static ALWAYS_INLINE bool bootstrap_owns(const void *at)
{
	if ((uintptr_t)at - (uintptr_t)bootstrap_first < BOOTSTRAP_FIRST_BYTES)
		return true;
	return UNLIKELY(load_relaxed(&bootstrap_regions) > 1) && bootstrap_owns_more(at);
}
