/*
 * allocs.c - the table of live blocks.
 *
 * Shape      a directory by page of the address space, in two levels:  regions[addr >> 30] ---> page[addr >> 12 & ...],
 *            one word a page:  | shift:16 | record address, 16-byte aligned:44 | more records follow:1 |
 *            A record holds blocks that begin in its page: entries of 16 bytes, an open-addressing table whose home slot
 *            is the block's place in the page, so that neighbours in the heap are neighbours here: the table has the
 *            locality of the program's own accesses. An entry stands within WINDOW slots from its home. Where they are all
 *            taken, another follows, of four times as many entries or more. The first is as large as a page full of blocks
 *            like the one that it is made for needs, so most pages have one.
 * Invariants I1  an entry is within WINDOW slots from its home, in one of its page's records.
 *            I2  an address has at most one entry.
 *            I3  records are never moved, cleared or given back, and their order is that in which they were made.
 *            allocs_check() asserts the first two.
 * Threads    no lock. An address belongs to one thread at a time (allocs.h), so only that one looks for its entry or takes
 *            it out, by a plain store. Taking a free slot is a compare-and-swap: neighbours share a record. A program that
 *            frees a block twice at the same instant on two threads may have both counted.
 * fork       an entry that another thread was writing is whole in the child, or has no bytes.
 * Sparse     in sampled mode a page's word is the number of its blocks that are known, and they are in allocs_sparse.c.
 * Cost       three dependent loads, one compare-and-swap for a pair. Numbers: docs/adr/0003.
 */
#include "allocs.h"

#include <assert.h>

#include "allocs_sparse.h"
#include "atomic.h"
#include "compiler.h"
#include "lock.h"
#include "os_linux.h"

enum { CAP_MIN = 2, CAP_FIRST_MAX = 7, CAP_MAX = ALLOCS_OFF_BITS }; /* log2 of a record's homes */
/* Memory is mapped in chunks of a sixteenth of what there is, within these bounds; so much of it is populated at a time: more
 * would be no faster. All are powers of two. */
enum { CHUNK_BYTES = 1 << 20, CHUNK_BYTES_MAX = 64 << 20, AHEAD_BYTES = 64 << 10 };
enum { LARGE_BYTES = 4 << 20, HUGE_BYTES = 2 << 20 };

_Atomic(struct allocs_region *) allocs_regions[ALLOCS_REGIONS];
bool allocs_sparse, allocs_shared;

void allocs_init(bool sparse)
{
	allocs_sparse = sparse;
}

/* ---- records ------------------------------------------------------------------------------------------------------ */

/* Held while a record is made, not at every block. It guards what follows, and every change of a page's word. */
static struct lock pool_lock;
static uint8_t *chunk;
static size_t chunk_left, chunk_ready; /* bytes from `chunk` on; ready: populated */
static uint64_t chunk_total;
static struct allocs_region *all_regions;

/* Of a block's place in the page, to its home. */
static unsigned shift_of(uint64_t cap)
{
	return ALLOCS_OFF_BITS - (unsigned)cap;
}

static unsigned entries_of(uint64_t cap)
{
	return (1u << cap) + ALLOCS_WINDOW - 1;
}

/* Large chunks, for allocs_compact(). */
static struct {
	uint8_t *at;
	size_t bytes;
} large[256];
static _Atomic uint32_t large_count;

/* Lock held. */
static void note_large(uint8_t *at, size_t bytes)
{
	uint32_t n = load_relaxed(&large_count);

	if (bytes < LARGE_BYTES || n == ARRAY_LEN(large))
		return;
	large[n].at = at;
	large[n].bytes = bytes;
	store_release(&large_count, n + 1); /* pairs with the acquire in allocs_compact */
}

void allocs_compact(uint64_t until_ns)
{
	uint32_t n = load_acquire(&large_count); /* pairs with the release in note_large */

	while (n-- > 0) {
		uintptr_t end = ((uintptr_t)large[n].at + large[n].bytes) & ~(uintptr_t)(HUGE_BYTES - 1);

		for (uintptr_t at = ((uintptr_t)large[n].at + HUGE_BYTES - 1) & ~(uintptr_t)(HUGE_BYTES - 1); at < end;
		     at += HUGE_BYTES) {
			if (!os_make_huge((void *)at, HUGE_BYTES))
				break; /* from here on the chunk was not used yet */
			if (os_now_ns() > until_ns)
				return;
		}
	}
}

/* Lock held. */
static void chunk_new(void)
{
	size_t bytes = CHUNK_BYTES;

	while (bytes < CHUNK_BYTES_MAX && bytes < chunk_total / 16)
		bytes *= 2;
	chunk = os_map(bytes); /* what was left of the old one is lost: at most 1 % */
	chunk_left = chunk ? bytes : 0;
	chunk_ready = 0;
	chunk_total += chunk_left;
	note_large(chunk, chunk_left);
}

/* Lock held. */
static void populate_ahead(void)
{
	os_populate(chunk + chunk_ready, AHEAD_BYTES);
	chunk_ready += AHEAD_BYTES;
}

/* All zeros, or NULL. Lock held. */
static struct allocs_record *record_new(unsigned cap)
{
	size_t bytes = sizeof(struct allocs_record) + entries_of(cap) * sizeof(struct allocs_entry);
	struct allocs_record *r;

	if (chunk_left < bytes)
		chunk_new();
	if (chunk_left < bytes)
		return NULL;
	if (chunk_ready < bytes)
		populate_ahead();
	r = (struct allocs_record *)chunk;
	chunk += bytes;
	chunk_left -= bytes;
	chunk_ready -= bytes;
	r->cap = cap;
	return r;
}

/* log2 of the entries that a page full of such blocks needs, with an allocator's 8 bytes between them, as far as that is
 * not a guess too dear. */
static unsigned cap_for(uint64_t bytes)
{
	unsigned cap = CAP_MIN;

	while (cap < CAP_FIRST_MAX && (bytes + 8) << cap < 1 << ALLOCS_PAGE_BITS)
		cap++;
	return cap;
}

/* ... of the record after one of `last`: a page whose blocks are unlike the first one has few records all the same. */
static unsigned cap_after(uint64_t last, uint64_t bytes)
{
	unsigned cap = (unsigned)last + 2 > cap_for(bytes) ? (unsigned)last + 2 : cap_for(bytes);

	return cap < CAP_MAX ? cap : CAP_MAX;
}

/* Lock held. */
static void note_used(uint64_t address)
{
	struct allocs_region *r = load_relaxed(&allocs_regions[address >> ALLOCS_REGION_BITS]);
	unsigned part = (address >> ALLOCS_PAGE_BITS & (ALLOCS_REGION_PAGES - 1)) >> ALLOCS_PART_BITS;

	/* relaxed: read by a forked child, in which nobody writes */
	(void)or_relaxed(&r->used[part / 64], UINT64_C(1) << part % 64);
}

/* Another record for the address's page, behind `seen`, the last it had. NULL: no memory, or there is room for every address already. */
static NOINLINE struct allocs_record *record_add(uint64_t address, const struct allocs_record *seen, uint64_t bytes)
{
	_Atomic uint64_t *page = allocs_page(address);
	struct allocs_record *r = NULL, *last;
	uint64_t word;

	lock_enter(&pool_lock);
	word = load_relaxed(page); /* relaxed: the lock orders it */
	last = allocs_record(word);
	while (last && load_relaxed(&last->next))
		last = load_relaxed(&last->next);
	if (!last) {
		r = record_new(cap_for(bytes));
		if (r) {
			note_used(address);
			/* release, pairs with the acquire in take and put */
			store_release(page, (uint64_t)r | (uint64_t)shift_of(r->cap) << ALLOCS_SHIFT_SHIFT);
		}
	} else if (last != seen) {
		r = last; /* another thread was first */
	} else if (last->cap < CAP_MAX) {
		r = record_new(cap_after(last->cap, bytes));
		if (r) {
			store_release(&last->next, r); /* pairs with the acquire in next_of */
			store_release(page, word | ALLOCS_MORE);
		}
	}
	lock_leave(&pool_lock);
	return r;
}

static struct allocs_record *next_of(struct allocs_record *r)
{
	return load_acquire(&r->next); /* pairs with the release in record_add */
}

/* ---- one record --------------------------------------------------------------------------------------------------- */

static struct allocs_entry *find(struct allocs_entry *window, unsigned off)
{
	for (unsigned i = 0; i < ALLOCS_WINDOW; i++)
		if (allocs_is_named(&window[i], off))
			return &window[i];
	return NULL;
}

static struct allocs_entry *find_free(struct allocs_entry *window)
{
	for (unsigned i = 0; i < ALLOCS_WINDOW; i++)
		if (load_relaxed(&window[i].head) == 0)
			return &window[i];
	return NULL;
}

/* ---- the table ---------------------------------------------------------------------------------------------------- */

static bool is_impossible(uint64_t a)
{
	return a & ((1 << ALLOCS_UNIT_BITS) - 1) || a >> ALLOCS_ADDRESS_BITS;
}

static NOINLINE struct allocs_region *region_new(uint64_t address)
{
	_Atomic(struct allocs_region *) *at = &allocs_regions[address >> ALLOCS_REGION_BITS & (ALLOCS_REGIONS - 1)];
	struct allocs_region *r = load_acquire(at); /* pairs with the release below */

	if (r)
		return r;
	lock_enter(&pool_lock); /* a fork waits for it: in the child every region is in the list */
	r = load_relaxed(at);
	if (!r && (r = os_map(sizeof(*r)))) { /* 2 MiB of words, touched page by page */
		r->start = address >> ALLOCS_REGION_BITS << ALLOCS_REGION_BITS;
		r->next = all_regions;
		all_regions = r;
		store_release(at, r); /* pairs with the acquire in allocs_page */
	}
	lock_leave(&pool_lock);
	return r;
}

static struct allocs_entry *find_in_page(uint64_t address)
{
	_Atomic uint64_t *page = allocs_page(address);
	uint64_t word = page ? load_acquire(page) : 0; /* pairs with the release in record_add */
	unsigned off = allocs_off(address);
	struct allocs_entry *e = NULL;

	if (!word || is_impossible(address))
		return NULL;
	for (struct allocs_record *r = allocs_record(word); r && !e; r = next_of(r))
		e = find(allocs_window(r, shift_of(r->cap), off), off);
	return e;
}

static bool put_sparse(uint64_t a, const struct block *block, struct block *ret_was, bool *ret_replaced)
{
	if (!sparse_put(a, block, ret_was, ret_replaced))
		return false;
	if (!*ret_replaced)
		add_relaxed(allocs_page(a), 1); /* relaxed: who frees the address was handed it */
	return true;
}

bool allocs_put(const void *at, const struct block *block, struct block *ret_was, bool *ret_replaced)
{
	uint64_t address = (uint64_t)at;
	unsigned off = allocs_off(address);

	*ret_replaced = false;
	if (is_impossible(address) || !region_new(address))
		return false;
	if (allocs_sparse)
		return put_sparse(address, block, ret_was, ret_replaced);
	for (;;) {
		_Atomic uint64_t *page = allocs_page(address);
		uint64_t word = load_acquire(page); /* pairs with the release in record_add */
		struct allocs_record *tail = NULL;
		struct allocs_entry *room = NULL;

		for (struct allocs_record *r = allocs_record(word); r; r = next_of(r)) {
			struct allocs_entry *window = allocs_window(r, shift_of(r->cap), off), *e = find(window, off);

			if (e) {
				*ret_was = allocs_unpack(load_relaxed(&e->head), load_relaxed(&e->size));
				*ret_replaced = true;
				store_relaxed(&e->head, allocs_pack_head(off, block));
				store_relaxed(&e->size, allocs_pack_size(block));
				return true;
			}
			room = room ? room : find_free(window);
			tail = r;
		}
		if (room && allocs_claim(room, off, block))
			return true;
		if (!room && !record_add(address, tail, block->bytes))
			return false;
	}
}

bool allocs_take(const void *at, struct block *ret_block)
{
	uint64_t address = (uint64_t)at;
	struct allocs_entry *e;

	if (allocs_sparse) {
		if (!sparse_take(address, ret_block))
			return false;
		sub_relaxed(allocs_page(address), 1);
		return true;
	}
	e = find_in_page(address);
	if (!e)
		return false;
	*ret_block = allocs_unpack(load_relaxed(&e->head), load_relaxed(&e->size));
	allocs_clear(e);
	return true;
}

bool allocs_knows(const void *address)
{
	uint64_t a = (uint64_t)arch_data_address(address);
	struct block unused;

	return allocs_sparse ? sparse_find(a, &unused) : find_in_page(a) != NULL;
}

bool allocs_find(const void *address, struct block *ret_block)
{
	uint64_t a = (uint64_t)arch_data_address(address);
	struct allocs_entry *e;

	if (allocs_sparse)
		return sparse_find(a, ret_block);
	e = find_in_page(a);
	if (e)
		*ret_block = allocs_unpack(load_relaxed(&e->head), load_relaxed(&e->size));
	return e != NULL;
}

/* The entry of the largest place below `off` in the page's records; 0 if there is none. */
static uint64_t last_below(uint64_t word, unsigned off, uint64_t *ret_size)
{
	uint64_t best = 0;

	for (struct allocs_record *r = allocs_record(word); r; r = next_of(r)) {
		for (unsigned i = 0; i < entries_of(r->cap); i++) {
			uint64_t head = load_relaxed(&r->entry[i].head);

			if (head && (head & ALLOCS_NAME_MASK) < allocs_name(off) &&
			    (head & ALLOCS_NAME_MASK) >= (best & ALLOCS_NAME_MASK)) {
				best = head;
				*ret_size = load_relaxed(&r->entry[i].size);
			}
		}
	}
	return best;
}

bool allocs_find_around(const void *address, struct block *ret_block, uint64_t *ret_start)
{
	enum { PAGES = (16 << 20) >> ALLOCS_PAGE_BITS };
	uint64_t a = (uint64_t)address, at = a >> ALLOCS_PAGE_BITS;
	unsigned off = allocs_off(a) +
	               ((a & ((1 << ALLOCS_UNIT_BITS) - 1)) != 0); /* inside the unit: its own block counts too */

	if (a >> ALLOCS_ADDRESS_BITS || allocs_sparse)
		return false;
	for (unsigned i = 0; i < PAGES && at > 0; i++, at--, off = 1 << ALLOCS_OFF_BITS) {
		_Atomic uint64_t *page = allocs_page(at << ALLOCS_PAGE_BITS);
		uint64_t word = page ? load_acquire(page) : 0, size = 0; /* pairs with the release in record_add */
		uint64_t head = word ? last_below(word, off, &size) : 0;

		if (!head)
			continue;
		*ret_block = allocs_unpack(head, size);
		*ret_start = at << ALLOCS_PAGE_BITS | (head & ALLOCS_NAME_MASK) >> 1 << ALLOCS_UNIT_BITS;
		return a - *ret_start < ret_block->bytes;
	}
	return false;
}

static void visit_page(uint64_t word, uint64_t address,
                       void (*visit)(void *context, uint64_t address, const struct block *block), void *context)
{
	for (struct allocs_record *r = allocs_record(word); r; r = next_of(r)) {
		for (unsigned i = 0; i < entries_of(r->cap); i++) {
			uint64_t head = load_relaxed(&r->entry[i].head);
			struct block b = allocs_unpack(head, load_relaxed(&r->entry[i].size));

			if (head)
				visit(context, address | (head & ALLOCS_NAME_MASK) >> 1 << ALLOCS_UNIT_BITS, &b);
		}
	}
}

void allocs_each(void (*visit)(void *context, uint64_t address, const struct block *block), void *context)
{
	if (allocs_sparse) {
		sparse_each(visit, context);
		return;
	}
	for (struct allocs_region *r = all_regions; r; r = r->next) {
		for (unsigned part = 0; part < ALLOCS_PARTS; part++) {
			if (!(load_relaxed(&r->used[part / 64]) >> part % 64 & 1))
				continue;
			for (unsigned i = 0; i < 1u << ALLOCS_PART_BITS; i++) /* relaxed: nobody else runs */
				visit_page(load_relaxed(&r->page[part << ALLOCS_PART_BITS | i]),
				           r->start | (uint64_t)(part << ALLOCS_PART_BITS | i) << ALLOCS_PAGE_BITS,
				           visit, context);
		}
	}
}

void allocs_share(void)
{
	allocs_shared = true;
}

void allocs_fork_prepare(void)
{
	lock_enter(&pool_lock);
	sparse_fork_prepare();
}

bool allocs_hold(uint64_t patience_ns)
{
	if (!lock_within(&pool_lock, patience_ns))
		return false;
	if (sparse_hold(patience_ns))
		return true;
	lock_leave(&pool_lock);
	return false;
}

void allocs_fork_done(void)
{
	sparse_fork_done();
	lock_leave(&pool_lock);
}

uint64_t allocs_memory(void)
{
	return chunk_total - chunk_left;
}

static uint64_t check_page(uint64_t word, UNUSED uint64_t address) /* asserts use it */
{
	uint64_t seen = 0;

	if (allocs_sparse)
		return word;
	for (struct allocs_record *r = allocs_record(word); r; r = next_of(r)) {
		for (unsigned i = 0; i < entries_of(r->cap); i++) {
			uint64_t head = load_relaxed(&r->entry[i].head);

			if (head == 0)
				continue;
			seen++;
			/* I1, and I2: another one would be found first, unless this one is first itself */
			assert(find_in_page(address + ((head & ALLOCS_NAME_MASK) >> 1 << ALLOCS_UNIT_BITS)) ==
			       &r->entry[i]);
		}
	}
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
