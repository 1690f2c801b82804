/* Which blocks can be reached? Marking from roots, and what of the rest points to what. Above leak_index.h.
 * Context    the process that marks, whose memory is a picture of the program's, or a test: one thread, no libc.
 * Source     mark and sweep without the sweep; words are taken for pointers wherever they point (Boehm and Weiser,
 *            "Garbage collection in an uncooperative environment", 1988).
 * Errors     false: no memory. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* [start, end) of the address space; sort_rows() sorts it. */
struct leak_range {
	uint64_t start, end;
};

/* After the index is whole. `readable` is sorted and does not overlap: blocks outside are dropped, since their memory is gone
 * (then they count in leak_mark_gone()). `step`: bytes from one word that is looked at to the next, 8 or 1. */
bool leak_mark_begin(const struct leak_range *readable, size_t count, unsigned step);
uint64_t leak_mark_gone(void);

/* The block that holds `address` is kept, and what it leads to. */
void leak_mark_reach(uint64_t address);
/* Every word of readable memory [start, end) is a root. */
void leak_mark_roots(uint64_t start, uint64_t end);
/* The same for words that stand in another place, at `words`. */
void leak_mark_words(const void *words, size_t bytes);
/* Follows what was reached to its end. Returns the bytes of blocks that were read. */
uint64_t leak_mark_follow(void);

/* For a table that does not know all blocks: no block is followed, and a word inside the block that it points to does not count.
 * [start, end) is readable. */
void leak_mark_mentioned(uint64_t start, uint64_t end);

/* Ends the search: the index holds only blocks that were not reached, and each has a number (leak_index_number). Returns how
 * many; *ret_failed without memory. */
uint32_t leak_mark_rest(bool *ret_failed);
/* The number of the block that block `number` hangs from: its own for one that no other leads to, or the first of a cycle that
 * none leads to. */
uint32_t leak_mark_owner(uint32_t number);
void leak_mark_reset(void); /* for tests */
