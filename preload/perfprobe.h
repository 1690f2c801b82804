/* perfprobe.h - what a program can tell libperfprobe.so, in C and C++. Manual: perfprobe.h(3).
 *
 * The program needs no library for this: without libperfprobe.so every call does nothing, at the cost of one load and a
 * branch. Arguments are evaluated in any case. Any thread; where a signal handler may call, it says so. errno is kept. */
#ifndef PERFPROBE_H
#define PERFPROBE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the library exports; the number is that of this interface. */
#ifndef PERFPROBE_WEAK_ /* the library itself */
#define PERFPROBE_WEAK_ __attribute__((weak))
#endif
PERFPROBE_WEAK_ extern void perfprobe_1_pool_create(const void *pool);
PERFPROBE_WEAK_ extern void perfprobe_1_pool_destroy(const void *pool);
PERFPROBE_WEAK_ extern void perfprobe_1_pool_memory(const void *pool, const void *block);
PERFPROBE_WEAK_ extern void perfprobe_1_pool_alloc(const void *pool, const void *block, size_t bytes);
PERFPROBE_WEAK_ extern void perfprobe_1_pool_free(const void *pool, const void *block);
PERFPROBE_WEAK_ extern void perfprobe_1_mark(const char *name);
PERFPROBE_WEAK_ extern uint64_t perfprobe_1_current(void);
PERFPROBE_WEAK_ extern void perfprobe_1_adopt(uint64_t request);
PERFPROBE_WEAK_ extern uint64_t perfprobe_1_begin(const char *name);
PERFPROBE_WEAK_ extern void perfprobe_1_end(uint64_t request);
PERFPROBE_WEAK_ extern int perfprobe_1_snapshot(const char *name);
PERFPROBE_WEAK_ extern int perfprobe_1_leaks(void);
PERFPROBE_WEAK_ extern void perfprobe_1_start(void);
PERFPROBE_WEAK_ extern void perfprobe_1_stop(void);

/* In code that is not position-independent the linker makes 0 of a weak name for good, preloaded library or not. There the
 * name is looked up once, by the dynamic linker's own function if the program has it. */
#if defined(__PIC__)
#define PERFPROBE_FIND_(name) __typeof__(&name) perfprobe_fn_ = &name
#else
extern void *perfprobe_dlsym_(void *, const char *) __asm__("dlsym") PERFPROBE_WEAK_;
#define PERFPROBE_FIND_(name)                                                                             \
	static void *perfprobe_at_;                                                                       \
	static int perfprobe_known_;                                                                      \
	__typeof__(&name) perfprobe_fn_;                                                                  \
	if (!__atomic_load_n(&perfprobe_known_, __ATOMIC_ACQUIRE)) {                                      \
		__atomic_store_n(&perfprobe_at_, perfprobe_dlsym_ ? perfprobe_dlsym_(NULL, #name) : NULL, \
		                 __ATOMIC_RELAXED);                                                       \
		__atomic_store_n(&perfprobe_known_, 1, __ATOMIC_RELEASE);                                 \
	}                                                                                                 \
	perfprobe_fn_ = (__typeof__(&name))__atomic_load_n(&perfprobe_at_, __ATOMIC_RELAXED)
#endif
#define PERFPROBE_INLINE_ static __inline__ __attribute__((always_inline, unused))

/* Pools: memory that the program takes in large blocks and gives out in small ones by itself. The small ones are counted like
 * blocks of the heap, by the stacks that take them. `pool` is any address that is the pool's own as long as it lives. */

/* Before the pool's first block. If the address was another pool's, that one's blocks are gone. */
PERFPROBE_INLINE_ void perfprobe_pool_create(const void *pool)
{
	PERFPROBE_FIND_(perfprobe_1_pool_create);
	if (perfprobe_fn_)
		perfprobe_fn_(pool);
}

/* All its blocks are gone. Before its memory is given back. */
PERFPROBE_INLINE_ void perfprobe_pool_destroy(const void *pool)
{
	PERFPROBE_FIND_(perfprobe_1_pool_destroy);
	if (perfprobe_fn_)
		perfprobe_fn_(pool);
}

/* `block`, from malloc or new, is memory of the pool: from now on it is not counted itself, so that nothing counts twice.
 * It is freed as usual. Not needed for memory from mmap. */
PERFPROBE_INLINE_ void perfprobe_pool_memory(const void *pool, const void *block)
{
	PERFPROBE_FIND_(perfprobe_1_pool_memory);
	if (perfprobe_fn_)
		perfprobe_fn_(pool, block);
}

/* The pool has given out `block`: before anybody else can have it from the pool. */
PERFPROBE_INLINE_ void perfprobe_pool_alloc(const void *pool, const void *block, size_t bytes)
{
	PERFPROBE_FIND_(perfprobe_1_pool_alloc);
	if (perfprobe_fn_)
		perfprobe_fn_(pool, block, bytes);
}

/* The pool takes `block` back: before it can give it out again. */
PERFPROBE_INLINE_ void perfprobe_pool_free(const void *pool, const void *block)
{
	PERFPROBE_FIND_(perfprobe_1_pool_free);
	if (perfprobe_fn_)
		perfprobe_fn_(pool, block);
}

/* Requests: which thread works on which one. The library knows which thread has read an HTTP request; where another one does
 * the work, the program says so, and the CPU samples of that thread are the request's. Not for signal handlers. */

/* The request on which the calling thread works, to be given to another; 0: none, or the library is not there. */
PERFPROBE_INLINE_ uint64_t perfprobe_current(void)
{
	PERFPROBE_FIND_(perfprobe_1_current);
	return perfprobe_fn_ ? perfprobe_fn_() : 0;
}

/* From now on the calling thread works on that request, also while it waits for something: until it adopts another or 0 (none),
 * reads a request itself, or has sent the answer's last byte. A request that is done counts as 0. */
PERFPROBE_INLINE_ void perfprobe_adopt(uint64_t request)
{
	PERFPROBE_FIND_(perfprobe_1_adopt);
	if (perfprobe_fn_)
		perfprobe_fn_(request);
}

/* Work that is no HTTP request begins, and is shown as one, with the method WORK. The calling thread works on it; others may
 * adopt it. `name`: what kind of work, like a path ("mail/send", "job/4711": a part that looks like a value is one kind with all
 * others in its place); up to 64 bytes. What is returned ends it; 0 without the library, or if too many (4096) are under way. */
PERFPROBE_INLINE_ uint64_t perfprobe_begin(const char *name)
{
	PERFPROBE_FIND_(perfprobe_1_begin);
	return perfprobe_fn_ ? perfprobe_fn_(name) : 0;
}

/* It is done; any thread may say so. If the calling one works on it, it goes on with what it worked on when the work began. An HTTP
 * request is not ended by this, but by its answer. */
PERFPROBE_INLINE_ void perfprobe_end(uint64_t request)
{
	PERFPROBE_FIND_(perfprobe_1_end);
	if (perfprobe_fn_)
		perfprobe_fn_(request);
}

/* A point in time with a name (up to 47 bytes are kept), in the profile. The newest 1024 are. Signal handlers may. */
PERFPROBE_INLINE_ void perfprobe_mark(const char *name)
{
	PERFPROBE_FIND_(perfprobe_1_mark);
	if (perfprobe_fn_)
		perfprobe_fn_(name);
}

/* Writes a profile now, and is back when it is written; `name` (or NULL) becomes a mark. 0, or a negative errno: -ENOSYS
 * without the library, and where it is passive. */
PERFPROBE_INLINE_ int perfprobe_snapshot(const char *name)
{
	PERFPROBE_FIND_(perfprobe_1_snapshot);
	return perfprobe_fn_ ? perfprobe_fn_(name) : -38;
}

/* Looks for blocks that nothing leads to any more, and writes a profile that tells of them. The other threads stand still for
 * milliseconds, the calling one waits for the whole search. How many stacks have some (0: none), or a negative errno: -ENOSYS
 * as above, -EAGAIN where the search could not be made; the profile says why. */
PERFPROBE_INLINE_ int perfprobe_leaks(void)
{
	PERFPROBE_FIND_(perfprobe_1_leaks);
	return perfprobe_fn_ ? perfprobe_fn_() : -38;
}

/* From now on allocations and CPU samples are recorded no more; frees of what was recorded are. For all threads. */
PERFPROBE_INLINE_ void perfprobe_stop(void)
{
	PERFPROBE_FIND_(perfprobe_1_stop);
	if (perfprobe_fn_)
		perfprobe_fn_();
}

/* They are again. */
PERFPROBE_INLINE_ void perfprobe_start(void)
{
	PERFPROBE_FIND_(perfprobe_1_start);
	if (perfprobe_fn_)
		perfprobe_fn_();
}

#ifdef __cplusplus
}
#endif

#endif
