/* Live blocks: address -> what is known of the block.
 * Context    [hook] under GUARD_TABLE: no malloc; one page's lock is held for one probe.
 * Order      a caller forgets an address before the real free, and remembers it after the real malloc, so that an address
 *            belongs to one thread at any time.
 * Errors     none are returned: a block that cannot be stored is counted (heap.table_full).
 * fork       allocs_fork_prepare() before, allocs_fork_done() after in the parent, allocs_fork_child() in the child. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct block {
	uint64_t bytes; /* asked for */
	uint32_t stack; /* below 2^28; 0 = unknown */
	uint32_t born;  /* tenths of a second since start, modulo 2^24 */
};

/* True if stored. *ret_was is what was known at the address if its free was missed (then *ret_replaced). */
bool allocs_put(const void *address, const struct block *block, struct block *ret_was, bool *ret_replaced);
/* Takes the block out; false if the address is not known. */
bool allocs_take(const void *address, struct block *ret_block);
/* May the address be known? Two loads: false is certain, true says that its page has a known block. For sampled mode,
 * where most have none. */
bool allocs_maybe(const void *address);

void allocs_fork_prepare(void);
void allocs_fork_done(void);
void allocs_fork_child(void);

/* Asserts the invariants; for tests, while nobody changes the table. Returns the number of blocks. */
uint64_t allocs_check(void);
/* Bytes of memory that the table has taken from the system for blocks, directory not included. For tests. */
uint64_t allocs_memory(void);
