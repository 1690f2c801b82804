/* Live blocks: address -> what is known of the block.
 * Context    [hook] under GUARD_TABLE: no malloc; a shard's lock is held for one probe.
 * Order      a caller forgets an address before the real free, and remembers it after the real malloc, so that an address
 *            belongs to one thread at any time.
 * Errors     none are returned: a block that cannot be stored is counted (heap.table_full).
 * fork       allocs_fork_* hold every shard across it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct block {
	uint64_t bytes; /* asked for; below 2^40 */
	uint32_t stack; /* 0 = unknown */
	uint32_t born;  /* tenths of a second since start, modulo 2^24 */
	float weight;   /* how many blocks it stands for: 1 in full mode, 1/p in sampled mode */
};

/* True if stored. *ret_was is what was known at the address if its free was missed (then *ret_replaced). */
bool allocs_put(const void *address, const struct block *block, struct block *ret_was, bool *ret_replaced);
/* Takes the block out; false if the address is not known. */
bool allocs_take(const void *address, struct block *ret_block);
/* May the address be known? One byte read: false is certain, true is a guess. For sampled mode, where most are not. */
bool allocs_maybe(const void *address);

uint64_t allocs_count(void);

void allocs_fork_prepare(void);
void allocs_fork_done(void); /* parent and child */
/* Asserts the invariants; for tests. Returns the number of blocks. */
uint64_t allocs_check(void);
