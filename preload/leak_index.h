/* Which block holds an address? A picture of all live blocks in bits, made once, and what a search finds out of them.
 * Context    the process that marks (leak_mark.h), or a test: one thread, no libc, memory by os_map().
 * Grain      8 bytes: blocks that begin in the same 8 bytes are one. What stands in a block's last, unfinished 8 bytes
 *            counts as its own.
 * Errors     false: no memory, and the picture is not whole. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum {
	LEAK_PAGE_BITS = 12,
	LEAK_UNIT_BITS = 3,
	LEAK_GROUP_BITS = 9, /* 64 places of a unit each */
	LEAK_GROUPS = 1 << (LEAK_PAGE_BITS - LEAK_GROUP_BITS),
};

/* 64 places: 32 bytes, so that a look-up mostly touches one line of the cache. */
struct leak_group {
	uint64_t start;   /* a block begins here */
	uint64_t end;     /* a block's last unit is here; not of large ones */
	uint64_t reached; /* of those that begin here */
	uint64_t pointed; /* some other block that nobody reached points to it */
};

struct leak_page {
	struct leak_group group[LEAK_GROUPS];
	uint64_t address;
	uint64_t from; /* the block that begins in an earlier page and reaches into this one; 0: none, or a large one */
	uint32_t numbers; /* leak_index_number(): of its first */
	uint32_t mapped;  /* it can be read: leak_mark.c */
};

/* The place of a block. page NULL: none. */
struct leak_at {
	struct leak_page *page;
	unsigned place; /* 0 to 511 */
};

bool leak_index_add(uint64_t address, uint64_t bytes);
/* Is the block at `start` one whose end is no reference to it? A pool keeps where its last block ends. NULL: there is none. */
extern bool (*leak_index_ends_apart)(uint64_t start);
/* No more are added. */
void leak_index_whole(void);

/* The block that holds `value`, which may be one past its end if no other block begins there. */
struct leak_at leak_index_find(uint64_t value);
/* The block that begins at `address`, or in its 8 bytes. */
struct leak_at leak_index_at(uint64_t address);

static inline uint64_t leak_address(struct leak_at at)
{
	return at.page->address | (uint64_t)at.place << LEAK_UNIT_BITS;
}

static inline struct leak_group *leak_group(struct leak_at at)
{
	return &at.page->group[at.place / 64];
}

static inline uint64_t leak_bit(struct leak_at at)
{
	return UINT64_C(1) << at.place % 64;
}

/* Looks that up soon. */
void leak_index_prefetch(uint64_t value);
/* The end of the block there, in whole units. */
uint64_t leak_index_end(struct leak_at at);

/* Drops all blocks that were reached, and numbers the others by address. Returns how many there are. `reached` is zero then. */
uint32_t leak_index_drop_reached(void);
uint32_t leak_index_number(struct leak_at at);
/* Calls `visit` with every block, by address. */
void leak_index_each(void (*visit)(void *context, struct leak_at at), void *context);
void leak_index_each_page(void (*visit)(void *context, struct leak_page *page), void *context);
/* The page of the address, if a block begins in it or a small one reaches into it. */
struct leak_page *leak_index_page(uint64_t address);

uint64_t leak_index_lowest(void); /* of all blocks */
uint64_t leak_index_highest(void);
uint64_t leak_index_blocks(void);
/* Is there a block that begins in, or reaches into, [start, end)? Not: a large one that only reaches into it. */
bool leak_index_any(uint64_t start, uint64_t end);
/* Forgets everything: for tests. */
void leak_index_reset(void);
