/*
 * hook_alloc.c - the allocation functions: guard, real call, one event to the recorder.
 *
 * Order      An address is forgotten BEFORE the allocator may hand it out again: once real.free(p) has returned, another
 *            thread can get p from malloc and record it; forgetting afterwards would delete that thread's live block.
 *            realloc frees inside: the block is taken out first, and put back if the real call failed.
 * Nesting    GUARD_ALLOC is held over the real call: what an allocator allocates for itself is not an event.
 * errno      the recorder makes system calls without libc; what the real function left in errno stays.
 * C++        operator new and delete of libstdc++ call malloc and free by name: hook_cxx.c has told which they are.
 */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "compiler.h"
#include "hook_alloc.h"
#include "real.h"

/* C23; glibc 2.36 does not declare them. */
EXPORT void free_sized(void *ptr, size_t size);
EXPORT void free_aligned_sized(void *ptr, size_t align, size_t size);

void *hook_allocated_in_new(struct tls *t, bool outer, void *block, size_t size, const void *frame)
{
	enum snap_family family = SNAP_FAMILY_MALLOC;

	if (block && size - t->origin.size <= t->origin.slack && t->origin.frame > frame) {
		family = (enum snap_family)t->origin.family;
		frame = t->origin.frame;
		size = t->origin.size;
	}
	if (!block || family != SNAP_FAMILY_MALLOC)
		t->origin.family = 0;
	return hook_allocated(t, outer, block, size, family, frame);
}

static bool times_overflow(size_t n, size_t size, size_t *ret_bytes)
{
	return __builtin_mul_overflow(n, size, ret_bytes);
}

/* In full mode, and for the samples of the other. `frame` is malloc()'s own: forget_and_free(). */
static NOINLINE void *malloc_recorded(size_t size, const void *frame)
{
	struct tls *t = &tls_self;
	bool outer;
	void *block;

	if (LIKELY((t->guard | (int)t->origin.family) == 0) && LIKELY(state_get() == STATE_RUNNING)) {
		t->guard = GUARD_ALLOC;
		signal_fence();
		block = real.malloc(size);
		if (LIKELY(block != NULL) && LIKELY(recorder_wants(t, size)))
			hook_record(t, block, size, SNAP_FAMILY_MALLOC, frame);
		signal_fence();
		t->guard = 0;
		return block;
	}
	if (UNLIKELY(!real_ready()))
		return bootstrap_alloc(0, size);
	outer = hook_enter(t);
	return hook_malloced(t, outer, real.malloc(size), size, frame);
}

EXPORT void *malloc(size_t size)
{
	struct tls *t = &tls_self;

	if ((t->guard | (int)t->origin.family) == 0 && recorder_passes(t, size))
		return real.malloc(size); /* known, since the recorder has drawn a countdown */
	return malloc_recorded(size, HOOK_FRAME());
}

EXPORT void *calloc(size_t n, size_t size)
{
	struct tls *t = &tls_self;
	size_t bytes;
	bool outer;

	if (UNLIKELY(!real_ready()))
		return times_overflow(n, size, &bytes) ? NULL : bootstrap_alloc(0, bytes);
	if (UNLIKELY(times_overflow(n, size, &bytes)))
		return real.calloc(n, size); /* it knows how to fail */
	outer = hook_enter(t);
	return hook_malloced(t, outer, real.calloc(n, size), bytes, HOOK_FRAME());
}

/* A block that is known, perhaps; in full mode any.
 * `frame` is free()'s own. Where the compiler jumps here instead of calling, the frame here has the same two words at the
 * same address: the caller's frame pointer and the return address. */
static NOINLINE void forget_and_free(void *ptr, const void *frame)
{
	struct tls *t = &tls_self;
	bool held = hook_forget(t, ptr, SNAP_FAMILY_MALLOC, frame);

	real.free(ptr);
	if (held)
		hook_leave(t);
}

static NOINLINE void free_unusual(void *ptr, const void *frame)
{
	if (!ptr || UNLIKELY(!real_ready()) || UNLIKELY(bootstrap_owns(ptr)))
		return; /* bootstrap memory is never given back */
	if (recorder_mode == HEAP_FULL || allocs_maybe(ptr))
		forget_and_free(ptr, frame);
	else
		real.free(ptr);
}

/* In full mode. */
static NOINLINE void free_recorded(void *ptr, const void *frame)
{
	struct tls *t = &tls_self;
	bool forgot;

	if (LIKELY(t->guard == 0) && LIKELY(state_get() >= STATE_STOPPED) && LIKELY(t->deleting != ptr)) {
		t->guard = GUARD_ALLOC;
		signal_fence();
		forgot = recorder_free_quickly(t, ptr, SNAP_FAMILY_MALLOC, frame); /* so it is no bootstrap block */
		if (LIKELY(forgot))
			real.free(ptr);
		signal_fence();
		t->guard = 0;
		if (LIKELY(forgot))
			return;
	}
	free_unusual(ptr, frame);
}

EXPORT void free(void *ptr)
{
	if (LIKELY(recorder_mode == HEAP_FULL) && LIKELY(ptr != NULL))
		free_recorded(ptr, HOOK_FRAME());
	else
		free_unusual(ptr, HOOK_FRAME());
}

EXPORT void free_sized(void *ptr, size_t size)
{
	(void)size; /* a hint: no allocator below C23 takes it */
	if (UNLIKELY(real_front.free != NULL))
		real_front.free(ptr);
	else
		free(ptr);
}

EXPORT void free_aligned_sized(void *ptr, size_t align, size_t size)
{
	(void)align;
	free_sized(ptr, size);
}

static void *move_bootstrap(void *old, size_t size)
{
	size_t had = bootstrap_size(old);
	void *block = real_ready() ? malloc(size) : bootstrap_alloc(0, size);

	if (block)
		memcpy(block, old, had < size ? had : size);
	return block;
}

static ALWAYS_INLINE void *reallocated(void *(*next)(void *, size_t), void *old, size_t size, const void *frame)
{
	struct tls *t = &tls_self;
	struct hook_moving m = hook_moving(t, old, frame);
	void *now = next(old, size);

	/* realloc(p, 0) that answers NULL has freed p: glibc, and C17 leaves it open */
	return hook_moved(t, &m, old, now, size, size == 0, frame);
}

EXPORT void *realloc(void *old, size_t size)
{
	if (UNLIKELY(!real_ready()) || UNLIKELY(old && bootstrap_owns(old)))
		return old ? move_bootstrap(old, size) : bootstrap_alloc(0, size);
	return reallocated(real.realloc, old, size, HOOK_FRAME());
}

EXPORT void *reallocarray(void *old, size_t n, size_t size)
{
	size_t bytes;

	if (UNLIKELY(times_overflow(n, size, &bytes))) {
		errno = ENOMEM;
		return NULL;
	}
	if (UNLIKELY(!real_ready()) || UNLIKELY(old && bootstrap_owns(old)))
		return old ? move_bootstrap(old, bytes) : bootstrap_alloc(0, bytes);
	if (UNLIKELY(real_behind) && !real_front.realloc && real.reallocarray)
		return real.reallocarray(old, n, size); /* libc's: it calls the program's realloc */
	return reallocated(real_front.realloc ? real_front.realloc : real.realloc, old, bytes, HOOK_FRAME());
}

EXPORT int posix_memalign(void **ret, size_t align, size_t size)
{
	struct tls *t = &tls_self;
	bool outer;
	int rc;

	if (UNLIKELY(!real_ready()) || !real.posix_memalign) {
		void *block;

		if (align < sizeof(void *) || (align & (align - 1)) != 0)
			return EINVAL;
		block = bootstrap_alloc(align, size);
		if (block)
			*ret = block;
		return block ? 0 : ENOMEM;
	}
	outer = hook_enter(t);
	rc = real.posix_memalign(ret, align, size);
	(void)hook_malloced(t, outer, rc == 0 ? *ret : NULL, size, HOOK_FRAME());
	return rc;
}

/* Where a libc lacks one of the older names, posix_memalign does its work. */
static void *aligned(size_t align, size_t size)
{
	void *block = NULL;
	int rc;

	if (UNLIKELY(!real_ready()))
		return bootstrap_alloc(align, size);
	rc = real.posix_memalign ? real.posix_memalign(&block, align < sizeof(void *) ? sizeof(void *) : align, size)
	                         : ENOMEM;
	if (rc != 0)
		errno = rc;
	return block;
}

EXPORT void *aligned_alloc(size_t align, size_t size)
{
	struct tls *t = &tls_self;
	bool outer = real_ready() && hook_enter(t);
	void *block = real.aligned_alloc ? real.aligned_alloc(align, size) : aligned(align, size);

	return hook_malloced(t, outer, block, size, HOOK_FRAME());
}

EXPORT void *memalign(size_t align, size_t size)
{
	struct tls *t = &tls_self;
	bool outer = real_ready() && hook_enter(t);
	void *block = real.memalign ? real.memalign(align, size) : aligned(align, size);

	return hook_malloced(t, outer, block, size, HOOK_FRAME());
}

EXPORT void *valloc(size_t size)
{
	struct tls *t = &tls_self;
	bool outer = real_ready() && hook_enter(t);
	void *block = real.valloc ? real.valloc(size) : aligned(4096, size);

	return hook_malloced(t, outer, block, size, HOOK_FRAME());
}

EXPORT void *pvalloc(size_t size)
{
	struct tls *t = &tls_self;
	bool outer = real_ready() && hook_enter(t);
	void *block = real.pvalloc ? real.pvalloc(size) : aligned(4096, (size + 4095) & ~(size_t)4095);

	return hook_malloced(t, outer, block, size, HOOK_FRAME());
}

static NOINLINE size_t usable_size_unusual(void *ptr)
{
	if (!ptr)
		return 0;
	if (UNLIKELY(bootstrap_owns(ptr)))
		return bootstrap_size(ptr);
	return real_ready() && real.malloc_usable_size ? real.malloc_usable_size(ptr) : 0;
}

EXPORT size_t malloc_usable_size(void *ptr)
{
	/* Known: the real functions are (the pointer is theirs). */
	if (LIKELY(real.malloc_usable_size != NULL) && LIKELY(!bootstrap_owns(ptr)))
		return real.malloc_usable_size(ptr); /* of NULL too */
	return usable_size_unusual(ptr);
}
