/* Blocks of pools that the program announces (perfprobe.h): which pool, what is known of the block.
 * They are apart from the heap's blocks (allocs.h): a pool's first block may begin where the memory begins that the pool has
 * from malloc, and blocks may begin anywhere.
 * Context    [hook] under GUARD_TABLE; one lock, no other inside it.
 * Errors     none are returned: a block that cannot be stored is counted by the caller.
 * fork       pools_fork_prepare() before, pools_fork_done() after it, on both sides. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "allocs.h"

/* True if stored. *ret_was is what was known at the address, if it was not taken back (then *ret_replaced). */
bool pools_put(const void *pool, const void *address, const struct block *block, struct block *ret_was,
               bool *ret_replaced);
/* Takes the pool's block out; false if it is not known. */
bool pools_take(const void *pool, const void *address, struct block *ret_block);
/* Takes some block of the pool out; false if it has none, and then the pool is gone. */
bool pools_take_any(const void *pool, struct block *ret_block);

/* Is there a pool's block at the address? Nobody changes them. */
bool pools_know(uint64_t address);
bool pools_have_any(void);
/* Calls `visit` with every block, in no order. Only one thread may run. */
void pools_each(void (*visit)(void *context, uint64_t address, const struct block *block), void *context);

void pools_fork_prepare(void);
void pools_fork_done(void);
/* As pools_fork_prepare(), but false if a thread that does not go on holds the lock. [helper] */
bool pools_hold(uint64_t patience_ns);

/* Asserts the invariants; for tests. Returns the number of blocks. */
uint64_t pools_check(void);
