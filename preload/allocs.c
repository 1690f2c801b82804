/*
 * allocs.c - the table of live blocks.
 *
 * Shape      a directory by page of the address space, in two levels:  regions[addr >> 30] ---> page[addr >> 12 & ...],
 *            one word a page:  | used:10 | capacity:4 | record address, 16-byte aligned:44 | lock:4 |
 *            A record holds the blocks that begin in its page: entries of 16 bytes, an open-addressing table of 4 to 512
 *            whose home slot is the block's place in the page, so that neighbours in the heap are neighbours here: the
 *            table has the locality of the program's own accesses, and a few bytes a block whatever its size.
 * Invariants I1  an entry is reachable from its home slot without passing an empty one.
 *            I2  used is the number of entries; a page without a record has none.
 *            I3  an address has at most one entry.
 *            allocs_check() asserts them.
 * Locking    four bits of the page's word: 0 free, else the tag of the process that holds it. A forked child has another
 *            tag, so a lock that was held by a thread that does not exist there is recognised, and its page is set right.
 *            While the program has one thread no lock is taken.
 * Cost       three dependent loads, one compare-and-swap, one store.
 * Not chosen one hash table, sharded: a cache miss and a TLB miss or two an operation took 44 % of jq's time.
 *            A shadow of the address space (8 bytes for each 16): half the heap again. Numbers: docs/adr/0003.
 */
#include "allocs.h"

#include <assert.h>
#include <string.h>

#include "atomic.h"
#include "compiler.h"
#include "lock.h"
#include "os_linux.h"

enum { UNIT_BITS = 3, OFF_BITS = ALLOCS_PAGE_BITS - UNIT_BITS }; /* blocks begin at multiples of 8 */
enum { CAP_MIN = 2, CAP_MAX = OFF_BITS };                        /* log2 of a record's entries */
enum { LOCK_MASK = 15, CAP_SHIFT = 48, USED_SHIFT = ALLOCS_USED_SHIFT, CHUNK_BYTES = 1 << 20 };
#define RECORD_MASK (((UINT64_C(1) << CAP_SHIFT) - 1) & ~(uint64_t)LOCK_MASK)

/* head: bit 0 set; place in the page, 9 bits; born, its low 24 bits; stack, 28 bits. 0 = empty slot.
 * size: bytes, 48 bits; family, 4 bits; born, its high 12 bits. */
struct entry {
	uint64_t head;
	uint64_t size;
};
enum { SIZE_BITS = 48, FAMILY_BITS = 4, BORN_LOW_BITS = 24 };

_Atomic(struct allocs_region *) allocs_regions[ALLOCS_REGIONS];
static _Atomic uint64_t lock_tag = 1; /* 1..15 */
static bool shared;                   /* more than one thread: written before the second exists */

/* ---- records: memory ---------------------------------------------------------------------------------------------- */

struct free_record {
	struct free_record *next;
};

/* One lock over the free lists, the chunk that new records are cut from and the list of regions: taken when a page's record
 * is made, grows or goes, not at every block. Rank: inside a page's lock. */
static struct lock pool_lock;
static struct free_record *pool[CAP_MAX + 1];
static uint8_t *chunk;
static size_t chunk_left;
static uint64_t chunk_total;
static struct allocs_region *all_regions;

static size_t record_bytes(unsigned cap)
{
	return sizeof(struct entry) << cap;
}

/* All zeros, or NULL. */
static struct entry *record_new(unsigned cap)
{
	size_t bytes = record_bytes(cap);
	struct free_record *r;

	lock_enter(&pool_lock);
	r = pool[cap];
	if (r) {
		pool[cap] = r->next;
		memset(r, 0, sizeof(*r)); /* the rest was cleared when it was given back */
	} else {
		if (chunk_left < bytes) {
			chunk = os_map(
			        CHUNK_BYTES); /* what was left of the old one is lost: less than 8 KiB in a megabyte */
			chunk_left = chunk ? CHUNK_BYTES : 0;
			chunk_total += chunk_left;
		}
		if (chunk_left >= bytes) {
			r = (struct free_record *)chunk;
			chunk += bytes;
			chunk_left -= bytes;
		}
	}
	lock_leave(&pool_lock);
	return (struct entry *)r;
}

static void record_free(struct entry *record, unsigned cap)
{
	struct free_record *r = (struct free_record *)record;

	memset(record, 0, record_bytes(cap));
	lock_enter(&pool_lock);
	r->next = pool[cap];
	pool[cap] = r;
	lock_leave(&pool_lock);
}

/* ---- one page ----------------------------------------------------------------------------------------------------- */

static struct entry *record_of(uint64_t word)
{
	return (struct entry *)(word & RECORD_MASK);
}

static unsigned cap_of(uint64_t word)
{
	return (unsigned)(word >> CAP_SHIFT & 15);
}

static unsigned used_of(uint64_t word)
{
	return (unsigned)(word >> USED_SHIFT & 1023);
}

static uint64_t word_make(const struct entry *record, unsigned cap, unsigned used)
{
	return (uint64_t)record | (uint64_t)cap << CAP_SHIFT | (uint64_t)used << USED_SHIFT;
}

static unsigned off_of(uint64_t address)
{
	return (unsigned)(address >> UNIT_BITS & ((1 << OFF_BITS) - 1));
}

static unsigned entry_off(const struct entry *e)
{
	return (unsigned)(e->head >> 1 & ((1 << OFF_BITS) - 1));
}

static unsigned home_of(unsigned off, unsigned cap)
{
	return off >> (OFF_BITS - cap);
}

/* The slot that holds `off`, the empty one where it belongs, or NULL: the record is full of others. */
static struct entry *find(struct entry *record, unsigned cap, unsigned off)
{
	unsigned mask = (1u << cap) - 1;

	for (unsigned i = 0, at = home_of(off, cap); i <= mask; i++, at++) {
		struct entry *e = &record[at & mask];

		if (e->head == 0 || entry_off(e) == off)
			return e;
	}
	return NULL;
}

/* Every entry of `from` into the empty record `to`, each place once. Returns how many. */
static unsigned move_entries(struct entry *to, unsigned to_cap, const struct entry *from, unsigned from_cap)
{
	unsigned moved = 0;

	for (unsigned i = 0; i < 1u << from_cap; i++) {
		struct entry *e;

		if (from[i].head == 0)
			continue;
		e = find(to, to_cap, entry_off(&from[i]));
		if (e && e->head == 0) {
			*e = from[i];
			moved++;
		}
	}
	return moved;
}

/* The holder of the lock was lost in a fork, perhaps between two stores: entries may stand twice, the count may be off.
 * Lock held. */
static uint64_t page_repair(uint64_t word)
{
	struct entry *old = record_of(word), *fresh;
	unsigned cap = cap_of(word);

	if (!old)
		return word;
	fresh = record_new(cap);
	if (!fresh)
		return word; /* off by one block at worst */
	word = word_make(fresh, cap, move_entries(fresh, cap, old, cap));
	record_free(old, cap);
	return word;
}

static NOINLINE uint64_t page_lock_slowly(_Atomic uint64_t *page)
{
	uint64_t mine = load_relaxed(&lock_tag); /* relaxed: changes only in a forked child's only thread */

	for (unsigned i = 0;; i++) {
		uint64_t word = load_relaxed(page), stale;

		/* acquire, pairs with the release in page_unlock: the record is as the last holder left it */
		if (!(word & LOCK_MASK)) {
			if (LIKELY(cas_acq_rel(page, &word, word | mine)))
				return word;
			continue;
		}
		stale = word;
		if ((word & LOCK_MASK) != mine && cas_acq_rel(page, &stale, (word & ~(uint64_t)LOCK_MASK) | mine))
			return page_repair(word & ~(uint64_t)LOCK_MASK);
		if (i < 64)
			cpu_relax();
		else
			os_yield(); /* the holder was preempted: let it run */
	}
}

/* Locks the page; returns its word without the lock. */
static ALWAYS_INLINE uint64_t page_lock(_Atomic uint64_t *page)
{
	uint64_t word = load_relaxed(page);

	if (!shared)
		return word; /* as libc's malloc does while there is one thread */
	if (LIKELY(!(word & LOCK_MASK)) && LIKELY(cas_acq_rel(page, &word, word | load_relaxed(&lock_tag))))
		return word; /* acquire, pairs with the release in page_unlock: the record is as the last holder left it */
	return page_lock_slowly(page);
}

static ALWAYS_INLINE void page_unlock(_Atomic uint64_t *page, uint64_t word)
{
	store_release(page, word); /* pairs with the acquire in page_lock */
}

static NOINLINE struct allocs_region *region_new(_Atomic(struct allocs_region *) *at)
{
	struct allocs_region *r;

	lock_enter(&pool_lock); /* a fork waits for it: in the child every region is in the list */
	r = load_relaxed(at);
	if (!r && (r = os_map(sizeof(*r)))) { /* 2 MiB of words, touched page by page */
		r->next = all_regions;
		all_regions = r;
		store_release(at, r); /* pairs with the acquire in page_of */
	}
	lock_leave(&pool_lock);
	return r;
}

/* The word of the address's page; NULL if there is none, and `make` is not set or there is no memory. */
static ALWAYS_INLINE _Atomic uint64_t *page_of(uint64_t address, bool make)
{
	_Atomic(struct allocs_region *) *at = &allocs_regions[address >> ALLOCS_REGION_BITS & (ALLOCS_REGIONS - 1)];
	struct allocs_region *r = load_acquire(at); /* pairs with the release in region_new */

	if (UNLIKELY(!r) && (!make || !(r = region_new(at))))
		return NULL;
	return &r->page[address >> ALLOCS_PAGE_BITS & (ALLOCS_REGION_PAGES - 1)];
}

static NOINLINE void note_used(uint64_t address)
{
	struct allocs_region *r = load_acquire(&allocs_regions[address >> ALLOCS_REGION_BITS]); /* as in page_of */
	unsigned part = (address >> ALLOCS_PAGE_BITS & (ALLOCS_REGION_PAGES - 1)) >> ALLOCS_PART_BITS;

	/* relaxed: read by a forked child, in which nobody writes */
	(void)or_relaxed(&r->used[part / 64], UINT64_C(1) << part % 64);
}

/* A word whose record has room for one more; the same word where there is no memory. Lock held. */
static uint64_t with_room(uint64_t word, uint64_t address)
{
	struct entry *old = record_of(word), *fresh;
	unsigned cap = cap_of(word);

	if (!old) {
		note_used(address);
		fresh = record_new(CAP_MIN);
		return fresh ? word_make(fresh, CAP_MIN, 0) : word;
	}
	if (used_of(word) < 1u << cap || cap == CAP_MAX)
		return word;
	fresh = record_new(cap + 1);
	if (!fresh)
		return word;
	word = word_make(fresh, cap + 1, move_entries(fresh, cap + 1, old, cap));
	record_free(old, cap);
	return word;
}

static struct block block_of(const struct entry *e)
{
	return (struct block){ .bytes = e->size & ((UINT64_C(1) << SIZE_BITS) - 1),
		               .family = (uint32_t)(e->size >> SIZE_BITS & ((1 << FAMILY_BITS) - 1)),
		               .born = (e->head >> 10 & ((1 << BORN_LOW_BITS) - 1)) |
		                       e->size >> (SIZE_BITS + FAMILY_BITS) << BORN_LOW_BITS,
		               .stack = (uint32_t)(e->head >> 34) };
}

static struct entry entry_make(unsigned off, const struct block *b)
{
	return (struct entry){
		1 | (uint64_t)off << 1 | (b->born & ((1 << BORN_LOW_BITS) - 1)) << 10 | (uint64_t)b->stack << 34,
		b->bytes | (uint64_t)b->family << SIZE_BITS | b->born >> BORN_LOW_BITS << (SIZE_BITS + FAMILY_BITS)
	};
}

/* Knuth 6.4, algorithm R: entries that would no longer be found move back into the gap. */
static void remove_at(struct entry *record, unsigned cap, unsigned gap)
{
	unsigned mask = (1u << cap) - 1, at = gap;

	for (unsigned i = 0; i < mask; i++) {
		unsigned home;

		at = (at + 1) & mask;
		if (record[at].head == 0)
			break;
		home = home_of(entry_off(&record[at]), cap);
		if (((at - home) & mask) >= ((at - gap) & mask)) {
			record[gap] = record[at];
			gap = at;
		}
	}
	record[gap].head = 0;
}

/* ---- the table ---------------------------------------------------------------------------------------------------- */

bool allocs_put(const void *address, const struct block *block, struct block *ret_was, bool *ret_replaced)
{
	uint64_t a = (uint64_t)address, word;
	unsigned off = off_of(a);
	_Atomic uint64_t *page;
	struct entry *e;

	*ret_replaced = false;
	if (a & ((1 << UNIT_BITS) - 1) || a >> ALLOCS_ADDRESS_BITS)
		return false;
	page = page_of(a, true);
	if (!page)
		return false;
	word = with_room(page_lock(page), a);
	e = record_of(word) ? find(record_of(word), cap_of(word), off) : NULL;
	if (e) {
		if (e->head) {
			*ret_was = block_of(e);
			*ret_replaced = true;
		} else {
			word += UINT64_C(1) << USED_SHIFT;
		}
		*e = entry_make(off, block);
	}
	page_unlock(page, word);
	return e != NULL;
}

bool allocs_take(const void *address, struct block *ret_block)
{
	uint64_t a = (uint64_t)address, word;
	_Atomic uint64_t *page = page_of(a, false);
	struct entry *record, *e;

	if (!page || a & ((1 << UNIT_BITS) - 1) || a >> ALLOCS_ADDRESS_BITS)
		return false;
	if (!record_of(load_relaxed(page))) /* relaxed: who put the address there handed it to this thread */
		return false;
	word = page_lock(page);
	record = record_of(word);
	e = record ? find(record, cap_of(word), off_of(a)) : NULL;
	if (!e || e->head == 0) {
		page_unlock(page, word);
		return false;
	}
	*ret_block = block_of(e);
	remove_at(record, cap_of(word), (unsigned)(e - record));
	word -= UINT64_C(1) << USED_SHIFT;
	if (used_of(word) == 0 && cap_of(word) > CAP_MIN) {
		record_free(record, cap_of(word));
		word = 0;
	}
	page_unlock(page, word);
	return true;
}

/* The entry of the largest place below `off`; NULL if there is none. Lock held. */
static const struct entry *last_below(const struct entry *record, unsigned cap, unsigned off)
{
	const struct entry *best = NULL;

	for (unsigned i = 0; record && i < 1u << cap; i++)
		if (record[i].head && entry_off(&record[i]) < off && (!best || entry_off(best) < entry_off(&record[i])))
			best = &record[i];
	return best;
}

bool allocs_find_around(const void *address, struct block *ret_block, uint64_t *ret_start)
{
	enum { PAGES = (16 << 20) >> ALLOCS_PAGE_BITS };
	uint64_t a = (uint64_t)address, at = a >> ALLOCS_PAGE_BITS;
	unsigned off = off_of(a) + ((a & ((1 << UNIT_BITS) - 1)) != 0); /* inside the unit: its own block counts too */

	if (a >> ALLOCS_ADDRESS_BITS)
		return false;
	for (unsigned i = 0; i < PAGES && at > 0; i++, at--, off = 1 << OFF_BITS) {
		_Atomic uint64_t *page = page_of(at << ALLOCS_PAGE_BITS, false);
		const struct entry *e;
		uint64_t word;

		if (!page || !record_of(load_relaxed(page)))
			continue;
		word = page_lock(page);
		e = last_below(record_of(word), cap_of(word), off);
		if (e) {
			*ret_block = block_of(e);
			*ret_start = at << ALLOCS_PAGE_BITS | (uint64_t)entry_off(e) << UNIT_BITS;
		}
		page_unlock(page, word);
		if (e)
			return a - *ret_start < ret_block->bytes;
	}
	return false;
}

static void visit_page(uint64_t word, void (*visit)(void *context, const struct block *block), void *context)
{
	const struct entry *record = record_of(word);

	for (unsigned i = 0; record && i < 1u << cap_of(word); i++) {
		if (record[i].head) {
			struct block b = block_of(&record[i]);

			visit(context, &b);
		}
	}
}

void allocs_each(void (*visit)(void *context, const struct block *block), void *context)
{
	for (struct allocs_region *r = all_regions; r; r = r->next) {
		for (unsigned part = 0; part < ALLOCS_PARTS; part++) {
			if (!(load_relaxed(&r->used[part / 64]) >> part % 64 & 1))
				continue;
			for (unsigned i = 0; i < 1u << ALLOCS_PART_BITS; i++) {
				/* relaxed: nobody else runs. A page that a thread left locked in a fork may be off by a block. */
				visit_page(load_relaxed(&r->page[part << ALLOCS_PART_BITS | i]), visit, context);
			}
		}
	}
}

void allocs_share(void)
{
	shared = true;
}

void allocs_fork_prepare(void)
{
	lock_enter(&pool_lock);
}

void allocs_fork_done(void)
{
	lock_leave(&pool_lock);
}

void allocs_fork_child(void)
{
	lock_leave(&pool_lock);
	store_relaxed(&lock_tag, load_relaxed(&lock_tag) % LOCK_MASK + 1);
}

uint64_t allocs_memory(void)
{
	return chunk_total;
}

static unsigned check_page(uint64_t word, UNUSED uint64_t address) /* asserts use it */
{
	struct entry *record = record_of(word);
	unsigned seen = 0;

	for (unsigned i = 0; record && i < 1u << cap_of(word); i++) {
		if (record[i].head == 0)
			continue;
		seen++;
		assert(find(record, cap_of(word), entry_off(&record[i])) == &record[i]); /* I1, I3 */
	}
	assert(seen == used_of(word)); /* I2 */
	assert(seen == 0 || allocs_maybe((const void *)address));
	return seen;
}

uint64_t allocs_check(void)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < ALLOCS_REGIONS; i++) {
		struct allocs_region *r = load_acquire(&allocs_regions[i]);

		for (uint64_t p = 0; r && p < ALLOCS_REGION_PAGES; p++)
			if (load_relaxed(&r->page[p]))
				n += check_page(load_relaxed(&r->page[p]),
				                i << ALLOCS_REGION_BITS | p << ALLOCS_PAGE_BITS);
	}
	return n;
}
