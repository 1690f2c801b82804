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
#include "atomic.h"
#include "compiler.h"

struct block {
	uint64_t bytes;  /* asked for; below 2^48 */
	uint64_t born;   /* ticks of the recorder's clock, modulo 2^36 (recorder.h) */
	uint32_t stack;  /* below 2^28; 0 = unknown */
	uint32_t family; /* enum snap_family; below 16 */
};

/* True if stored. *ret_was is what was known at the address if its free was missed (then *ret_replaced). */
bool allocs_put(const void *address, const struct block *block, struct block *ret_was, bool *ret_replaced);
/* Takes the block out; false if the address is not known. */
bool allocs_take(const void *address, struct block *ret_block);
/* May the address be known? Two loads: false is certain, true says that its page has a known block. For sampled mode,
 * where most have none. */
static ALWAYS_INLINE bool allocs_maybe(const void *address);

/* The block whose bytes hold `address` behind its first, as far back as 16 MiB; false if there is none. For reports: it
 * walks pages, and locks each for a moment. */
bool allocs_find_around(const void *address, struct block *ret_block, uint64_t *ret_start);

/* Calls `visit` with every block, in no order. Only one thread may run: nothing is locked. */
void allocs_each(void (*visit)(void *context, const struct block *block), void *context);

void allocs_fork_prepare(void);
void allocs_fork_done(void);
void allocs_fork_child(void);

/* From now on more than one thread may call: before the second is made. Until then pages are locked by nothing. */
void allocs_share(void);

/* Asserts the invariants; for tests, while nobody changes the table. Returns the number of blocks. */
uint64_t allocs_check(void);
/* Bytes of memory that the table has taken from the system for blocks, directory not included. For tests. */
uint64_t allocs_memory(void);

/* ---- the directory, for allocs_maybe() --------------------------------------------------------------------------- */

enum {
	ALLOCS_ADDRESS_BITS = 48,
	ALLOCS_REGION_BITS = 30,
	ALLOCS_PAGE_BITS = 12,
	ALLOCS_REGION_PAGES = 1 << (ALLOCS_REGION_BITS - ALLOCS_PAGE_BITS),
	ALLOCS_REGIONS = 1 << (ALLOCS_ADDRESS_BITS - ALLOCS_REGION_BITS),
	ALLOCS_USED_SHIFT = 52,
	ALLOCS_PART_BITS = 9, /* words of a region in a page of memory */
	ALLOCS_PARTS = ALLOCS_REGION_PAGES >> ALLOCS_PART_BITS,
};

struct allocs_region {
	_Atomic uint64_t page[ALLOCS_REGION_PAGES];
	struct allocs_region *next;               /* of all regions */
	_Atomic uint64_t used[ALLOCS_PARTS / 64]; /* a bit for each part of `page` that ever had a record */
};
extern _Atomic(struct allocs_region *) allocs_regions[ALLOCS_REGIONS] HIDDEN;

static ALWAYS_INLINE bool allocs_maybe(const void *address)
{
	uint64_t a = (uint64_t)address;
	/* acquire, pairs with the CAS that publishes a region. The word itself is read relaxed: whoever put the address there
	 * handed it to this thread. */
	struct allocs_region *r = load_acquire(&allocs_regions[a >> ALLOCS_REGION_BITS & (ALLOCS_REGIONS - 1)]);

	return r && load_relaxed(&r->page[a >> ALLOCS_PAGE_BITS & (ALLOCS_REGION_PAGES - 1)]) >> ALLOCS_USED_SHIFT != 0;
}
