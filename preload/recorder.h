/* Heap events -> stacks, live blocks, counters. Hooks call this and nothing else.
 * Context    [hook], with GUARD_ALLOC held by the caller. errno is not touched; no allocation but mmap.
 * Errors     none are returned: losses.h. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "allocs.h"
#include "config.h"
#include "compiler.h"
#include "guard.h"

enum { RECORDER_COUNT_SCALE = 65536 }; /* unit of counts in sampled mode: 1/65536 */

void recorder_init(const struct config *config); /* [init] */

/* At start-up: blocks cannot be followed in this process. */
void recorder_heap_off(void);

extern enum config_heap recorder_mode HIDDEN; /* HEAP_OFF until recorder_init() */

/* Must recorder_alloc() be told of a new block of `size` bytes? To be asked once for each, by every hook. */
static ALWAYS_INLINE bool recorder_wants(struct tls *t, size_t size)
{
	t->allocs++;
	if (recorder_mode == HEAP_SAMPLED)
		return UNLIKELY((t->countdown -= (int64_t)size + 1) <= 0);
	return recorder_mode == HEAP_FULL;
}

/* The same before the block is made: true if it is charged already, and no more is to do, as for nearly every block in
 * sampled mode. Outside of it the countdown is 0. A block that then cannot be made is charged too: it was small. */
static ALWAYS_INLINE bool recorder_passes(struct tls *t, size_t size)
{
	if (t->countdown <= 0 || size >= (uint64_t)t->countdown - 1)
		return false;
	t->allocs++;
	t->countdown -= (int64_t)size + 1;
	return true;
}

/* `address` is a new block of `size` bytes, and wanted. `frame`: ARCH_HOOK_FRAME() of the hook the program called. */
void recorder_alloc(struct tls *t, const void *address, size_t size, enum snap_family family, const void *frame);
/* recorder_free() by the way that nearly every free takes in full mode: false if that is not open, and nothing was done. */
bool recorder_free_quickly(struct tls *t, const void *address, enum snap_family freed_by, const void *frame);
/* The address is about to be freed, for certain: before the real free. In full mode one that is no block is looked into. */
void recorder_free(struct tls *t, const void *address, enum snap_family freed_by, const void *frame);
/* Where that is not certain, in realloc. Takes the block out before the real allocator may hand the address out again;
 * false if it is not followed. */
bool recorder_take(struct tls *t, const void *address, struct block *ret_block);
/* What recorder_take() answered: a block of the wrong family, or in full mode no block (NULL). Before the real realloc. */
void recorder_misused(struct tls *t, const void *address, const struct block *block, enum snap_family freed_by,
                      const void *frame);
/* The block is gone. After recorder_take(). */
void recorder_freed(struct tls *t, const void *address, const struct block *block, const void *frame);
/* The real realloc failed: the block is still alive. After recorder_take(), instead of recorder_freed(). */
void recorder_restore(struct tls *t, const void *address, const struct block *block);

/* Blocks that a pool of the program's gives out and takes back (perfprobe.h). recorder_wants() is asked before. */
void recorder_pool_alloc(struct tls *t, const void *pool, const void *address, size_t size, const void *frame);
void recorder_pool_free(struct tls *t, const void *pool, const void *address);
/* All blocks of the pool are gone. */
void recorder_pool_destroy(struct tls *t, const void *pool);
/* The heap's block is a pool's memory: what the pool gives out is counted instead. Its free comes as usual. */
void recorder_pool_memory(struct tls *t, const void *address);

/* The program mapped [at, at + bytes) (mappings.h). */
void recorder_map(struct tls *t, uintptr_t at, size_t bytes, const void *frame);
/* Ends what guard_enter(t, GUARD_TABLE) began. */
void recorder_table_leave(struct tls *t);

/* The calling thread ends: what it held back is added up, its counters join those of ended threads. */
void recorder_thread_end(struct tls *t);

/* Tenths of a second since start: moved on by the helper and the sampler, read for a block's age. */
void recorder_tick(uint64_t now_ns);

/* Of the blocks beyond a stack's first ones, one in so many is a probe; 1: all are, 0: none. */
uint64_t recorder_detail(const struct config *config);

struct recorder_totals {
	uint64_t peak_bytes, peak_ns;
};
struct recorder_totals recorder_totals(void);
uint64_t recorder_live_bytes(void); /* nearly: what threads hold back is missing */

/* What a block counts, and the variance of that in bytes; sampled mode's are estimates. */
struct recorder_share {
	uint64_t count, bytes;
	double variance;
};
struct recorder_share recorder_share_of(const struct block *b);
/* When it was allocated, to a tenth of a second. */
uint64_t recorder_born_ns(const struct block *b);
/* In a forked child, which has no counters: the peak starts from what is live. `forget`: as threads_fork_child() has it. */
void recorder_fork_child(bool forget);
/* In a forked child, once, before anything reads counters and while one thread runs: what was live at the fork is counted,
 * from the table of live blocks. Not inside a hook or the tables; elsewhere it does nothing. [handler, hook, dump] */
void recorder_settle(void);
