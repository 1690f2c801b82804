/* Live blocks: address -> what is known of the block.
 * Context    [hook] under GUARD_TABLE: no malloc.
 * Order      a caller forgets an address before the real free, and remembers it after the real malloc, so that an address
 *            belongs to one thread at any time.
 * Errors     none are returned: a block that cannot be stored is counted (heap.table_full).
 * fork       allocs_fork_prepare() before, allocs_fork_done() after, in both processes. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "atomic.h"
#include "compiler.h"

struct block {
	uint64_t bytes;  /* asked for; below 2^48 */
	uint64_t born;   /* of recorder.c: when, or where that is kept; below 2^32 */
	uint32_t stack;  /* below 2^28; 0 = unknown */
	uint32_t family; /* enum snap_family; below 16 */
};

/* `sparse`: few blocks are told of, as in sampled mode. Once, before the first block. [init] */
void allocs_init(bool sparse);
/* True if stored. *ret_was is what was known at the address if its free was missed (then *ret_replaced). */
bool allocs_put(const void *address, const struct block *block, struct block *ret_was, bool *ret_replaced);
/* Takes the block out; false if the address is not known. */
bool allocs_take(const void *address, struct block *ret_block);
bool allocs_knows(const void *address);
/* May the address be known? Two loads: false is certain. True says that its page has a known block (sparse), or had one. */
static ALWAYS_INLINE bool allocs_maybe(const void *address);

/* What is known of the block that begins at `address`. */
bool allocs_find(const void *address, struct block *ret_block);
/* The block whose bytes hold `address` behind its first, as far back as 16 MiB; false if there is none. For reports: it
 * walks pages. Not for a sparse table. */
bool allocs_find_around(const void *address, struct block *ret_block, uint64_t *ret_start);

/* Calls `visit` with every block, in no order. Only one thread may run. */
void allocs_each(void (*visit)(void *context, uint64_t address, const struct block *block), void *context);

void allocs_fork_prepare(void);
void allocs_fork_done(void);
/* As allocs_fork_prepare(), but false if a thread that does not go on holds a lock. [helper] */
bool allocs_hold(uint64_t patience_ns);

/* Puts what it can of the table's memory into huge pages, so that a copy of the process is made sooner: 3 to 4 ms for
 * each 2 MiB that is not in one yet. A thread that changes an entry there meanwhile may wait for the copying. [helper] */
void allocs_compact(uint64_t until_ns);

/* From now on more than one thread may call: before the second is made. */
void allocs_share(void);

/* Asserts the invariants; for tests, while nobody changes the table. Returns the number of blocks. */
uint64_t allocs_check(void);
/* Bytes of memory that the table uses for blocks, directory not included. For tests. */
uint64_t allocs_memory(void);

/* ---- the hot path; allocs.c says what it is about ----------------------------------------------------------------- */

enum {
	ALLOCS_ADDRESS_BITS = 48,
	ALLOCS_REGION_BITS = 30,
	ALLOCS_PAGE_BITS = 12,
	ALLOCS_REGION_PAGES = 1 << (ALLOCS_REGION_BITS - ALLOCS_PAGE_BITS),
	ALLOCS_REGIONS = 1 << (ALLOCS_ADDRESS_BITS - ALLOCS_REGION_BITS),
	ALLOCS_PART_BITS = 9, /* words of a region in a page of memory */
	ALLOCS_PARTS = ALLOCS_REGION_PAGES >> ALLOCS_PART_BITS,
	ALLOCS_UNIT_BITS = 3, /* blocks begin at multiples of 8 */
	ALLOCS_OFF_BITS = ALLOCS_PAGE_BITS - ALLOCS_UNIT_BITS,
	ALLOCS_WINDOW = 4,
	ALLOCS_SHIFT_SHIFT = 48,
	ALLOCS_STACK_SHIFT = 16,
	ALLOCS_BORN_SHIFT = 44, /* of head; its low bits are there */
	ALLOCS_BORN_LOW_BITS = 64 - ALLOCS_BORN_SHIFT,
	ALLOCS_SIZE_BITS = 48,
	ALLOCS_FAMILY_SHIFT = 60,
};
#define ALLOCS_MORE        UINT64_C(1)
#define ALLOCS_RECORD_MASK (((UINT64_C(1) << ALLOCS_SHIFT_SHIFT) - 1) & ~UINT64_C(15))
#define ALLOCS_NAME_MASK   ((UINT64_C(1) << ALLOCS_STACK_SHIFT) - 1)
#define ALLOCS_STACK_MASK  ((UINT64_C(1) << (ALLOCS_BORN_SHIFT - ALLOCS_STACK_SHIFT)) - 1)

/* head: its name, 16 bits, which stand first in memory and are compared alone: bit 0 set, then the place in the page; stack,
 *       28 bits; born, its low 20 bits. 0 = free slot.
 * size: bytes, 48 bits; born, its high 12 bits; family, 4 bits. */
struct allocs_entry {
	union {
		_Atomic uint64_t head;
		_Atomic uint16_t name;
	};
	_Atomic uint64_t size;
};
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the name is the low end of head");

struct allocs_record {
	_Atomic(struct allocs_record *) next;
	uint64_t cap;
	struct allocs_entry entry[]; /* one for each home, and WINDOW - 1 for what is put behind the last */
};

struct allocs_region {
	_Atomic uint64_t page[ALLOCS_REGION_PAGES];
	uint64_t start;                           /* its first address */
	struct allocs_region *next;               /* of all regions */
	_Atomic uint64_t used[ALLOCS_PARTS / 64]; /* a bit for each part of `page` that ever had a record */
};
extern _Atomic(struct allocs_region *) allocs_regions[ALLOCS_REGIONS] HIDDEN;
extern bool allocs_sparse HIDDEN;
extern bool allocs_shared HIDDEN; /* more than one thread: written before the second exists */

/* The word of the address's page; NULL if there is none. */
static ALWAYS_INLINE _Atomic uint64_t *allocs_page(uint64_t address)
{
	/* acquire, pairs with the release in region_new */
	struct allocs_region *r = load_acquire(&allocs_regions[address >> ALLOCS_REGION_BITS & (ALLOCS_REGIONS - 1)]);

	return LIKELY(r != NULL) ? &r->page[address >> ALLOCS_PAGE_BITS & (ALLOCS_REGION_PAGES - 1)] : NULL;
}

static ALWAYS_INLINE unsigned allocs_off(uint64_t address)
{
	return (unsigned)(address >> ALLOCS_UNIT_BITS & ((1 << ALLOCS_OFF_BITS) - 1));
}

static ALWAYS_INLINE uint64_t allocs_name(unsigned off)
{
	return 1 | (uint64_t)off << 1;
}

static ALWAYS_INLINE struct allocs_record *allocs_record(uint64_t word)
{
	return (struct allocs_record *)(word & ALLOCS_RECORD_MASK);
}

/* The WINDOW entries where a block may stand. `shift`: of its place in the page to its home. */
static ALWAYS_INLINE struct allocs_entry *allocs_window(struct allocs_record *r, unsigned shift, unsigned off)
{
	return &r->entry[off >> shift];
}

/* Names and heads are read relaxed: who had the address before wrote its entry, and handed it to this thread. */
static ALWAYS_INLINE bool allocs_is_named(const struct allocs_entry *e, unsigned off)
{
	return load_relaxed(&e->name) == allocs_name(off);
}

static ALWAYS_INLINE uint64_t allocs_bytes(uint64_t size)
{
	return size & ((UINT64_C(1) << ALLOCS_SIZE_BITS) - 1);
}

static ALWAYS_INLINE uint32_t allocs_stack(uint64_t head)
{
	return (uint32_t)(head >> ALLOCS_STACK_SHIFT & ALLOCS_STACK_MASK);
}

static ALWAYS_INLINE struct block allocs_unpack(uint64_t head, uint64_t size)
{
	return (struct block){ .bytes = allocs_bytes(size),
		               .family = (uint32_t)(size >> ALLOCS_FAMILY_SHIFT),
		               .born = head >> ALLOCS_BORN_SHIFT | (size >> ALLOCS_SIZE_BITS & 0xfff)
		                                                           << ALLOCS_BORN_LOW_BITS,
		               .stack = allocs_stack(head) };
}

static ALWAYS_INLINE uint64_t allocs_pack_head(unsigned off, const struct block *b)
{
	return allocs_name(off) | (uint64_t)b->stack << ALLOCS_STACK_SHIFT | b->born << ALLOCS_BORN_SHIFT;
}

static ALWAYS_INLINE uint64_t allocs_pack_size(const struct block *b)
{
	return b->bytes | b->born >> ALLOCS_BORN_LOW_BITS << ALLOCS_SIZE_BITS |
	       (uint64_t)b->family << ALLOCS_FAMILY_SHIFT;
}

/* False: another thread took the slot. */
static ALWAYS_INLINE bool allocs_claim(struct allocs_entry *e, unsigned off, const struct block *b)
{
	uint64_t head = 0, fresh = allocs_pack_head(off, b);

	if (!allocs_shared)
		store_relaxed(&e->head, fresh);
	else if (UNLIKELY(!cas_acq_rel(&e->head, &head, fresh))) /* acquire, pairs with the release in allocs_clear */
		return false;
	store_relaxed(&e->size, allocs_pack_size(b));
	return true;
}

static ALWAYS_INLINE void allocs_clear(struct allocs_entry *e)
{
	store_relaxed(&e->size, 0);
	store_release(&e->head, 0); /* pairs with the CAS in allocs_claim: the next one's size comes after this one's */
}

/* The first record of the address's page; NULL: there is none, or the address is none of a block. */
static ALWAYS_INLINE struct allocs_record *allocs_first(uint64_t address, uint64_t *ret_word)
{
	_Atomic uint64_t *page = allocs_page(address);
	uint64_t word = LIKELY(page != NULL) ? load_acquire(page) : 0; /* pairs with the release in record_add */

	*ret_word = word;
	return LIKELY(address % (1 << ALLOCS_UNIT_BITS) == 0) ? allocs_record(word) : NULL;
}

/* allocs_put() by the shortest way, not for a sparse table: false if that is not open, and then nothing was done. */
static ALWAYS_INLINE bool allocs_put_quickly(const void *address, const struct block *block)
{
	uint64_t a = (uint64_t)address, word;
	struct allocs_record *r = allocs_first(a, &word);
	unsigned off = allocs_off(a);
	struct allocs_entry *w;

	if (UNLIKELY(!r) || UNLIKELY(word & ALLOCS_MORE))
		return false;
	w = allocs_window(r, (unsigned)(word >> ALLOCS_SHIFT_SHIFT), off);
	if (UNLIKELY(allocs_is_named(&w[0], off)) || UNLIKELY(allocs_is_named(&w[1], off)) ||
	    UNLIKELY(allocs_is_named(&w[2], off)) || UNLIKELY(allocs_is_named(&w[3], off)))
		return false;
	for (unsigned i = 0; i < ALLOCS_WINDOW; i++, w++)
		if (load_relaxed(&w->head) == 0)
			return LIKELY(allocs_claim(w, off, block));
	return false;
}
static_assert(ALLOCS_WINDOW == 4, "allocs_put_quickly");

/* The entry of a block, if its page's first record has it. Not for a sparse table. */
static ALWAYS_INLINE struct allocs_entry *allocs_find_quickly(const void *address)
{
	uint64_t a = (uint64_t)address, word;
	struct allocs_record *r = allocs_first(a, &word);
	unsigned off = allocs_off(a);
	struct allocs_entry *w;

	if (UNLIKELY(!r))
		return NULL;
	w = allocs_window(r, (unsigned)(word >> ALLOCS_SHIFT_SHIFT), off);
	for (unsigned i = 0; i < ALLOCS_WINDOW; i++, w++)
		if (allocs_is_named(w, off))
			return w;
	return NULL;
}

static ALWAYS_INLINE bool allocs_maybe(const void *address)
{
	_Atomic uint64_t *page = allocs_page((uint64_t)address); /* which cuts a tag off */

	return page && load_relaxed(page) != 0; /* relaxed: whoever put the address there handed it to this thread */
}
