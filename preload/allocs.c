/*
 * allocs.c - the table of live blocks.
 *
 * Shape      a directory by page of the address space, in two levels:  regions[addr >> 30] ---> page[addr >> 12 & ...],
 *            one word a page:  | log2 of entries:4 | record address, 16-byte aligned:44 | more records follow:1 |
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

enum { UNIT_BITS = 3, OFF_BITS = ALLOCS_PAGE_BITS - UNIT_BITS }; /* blocks begin at multiples of 8 */
enum { CAP_MIN = 2, CAP_FIRST_MAX = 7, CAP_MAX = OFF_BITS };     /* log2 of a record's homes */
enum { WINDOW = 4, CAP_SHIFT = 48, CHUNK_BYTES = 1 << 20 };
#define MORE        UINT64_C(1)
#define RECORD_MASK (((UINT64_C(1) << CAP_SHIFT) - 1) & ~UINT64_C(15))

/* head: bit 0 set; place in the page, 9 bits; born, its low 24 bits; stack, 28 bits. 0 = free slot.
 * size: bytes, 48 bits; family, 4 bits; born, its high 12 bits. */
struct entry {
	_Atomic uint64_t head;
	_Atomic uint64_t size;
};
enum { SIZE_BITS = 48, FAMILY_BITS = 4, BORN_LOW_BITS = 24 };
#define NAME_MASK ((UINT64_C(1) << (1 + OFF_BITS)) - 1) /* of head: bit 0 and the place */

struct record {
	_Atomic(struct record *) next;
	uint64_t cap;
	struct entry entry[]; /* one for each home, and WINDOW - 1 for what is put behind the last */
};

_Atomic(struct allocs_region *) allocs_regions[ALLOCS_REGIONS];
static bool sparse;
static bool shared; /* more than one thread: written before the second exists */

void allocs_init(bool is_sparse)
{
	sparse = is_sparse;
}

/* ---- records ------------------------------------------------------------------------------------------------------ */

/* Held while a record is made, not at every block. It guards what follows, and every change of a page's word. */
static struct lock pool_lock;
static uint8_t *chunk;
static size_t chunk_left;
static uint64_t chunk_total;

static unsigned entries_of(uint64_t cap)
{
	return (1u << cap) + WINDOW - 1;
}

/* All zeros, or NULL. Lock held. */
static struct record *record_new(unsigned cap)
{
	size_t bytes = sizeof(struct record) + entries_of(cap) * sizeof(struct entry);
	struct record *r;

	if (chunk_left < bytes) {
		chunk = os_map(CHUNK_BYTES); /* what was left of the old one is lost: at most 1 % */
		chunk_left = chunk ? CHUNK_BYTES : 0;
		chunk_total += chunk_left;
	}
	if (chunk_left < bytes)
		return NULL;
	r = (struct record *)chunk;
	chunk += bytes;
	chunk_left -= bytes;
	r->cap = cap;
	return r;
}

static struct record *record_of(uint64_t word)
{
	return (struct record *)(word & RECORD_MASK);
}

static unsigned cap_of(uint64_t word)
{
	return (unsigned)(word >> CAP_SHIFT & 15);
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

/* Another record for the page, behind those it has. NULL: no memory, or there is room for every address already. */
static NOINLINE struct record *record_add(_Atomic uint64_t *page, uint64_t seen, uint64_t bytes)
{
	struct record *r = NULL, *last;
	uint64_t word;

	lock_enter(&pool_lock);
	word = load_relaxed(page); /* relaxed: the lock orders it */
	last = record_of(word);
	while (last && load_relaxed(&last->next))
		last = load_relaxed(&last->next);
	if (!last) {
		r = record_new(cap_for(bytes));
		if (r) /* release, pairs with the acquire in take and put */
			store_release(page, (uint64_t)r | r->cap << CAP_SHIFT);
	} else if (word != seen && !(seen & MORE)) {
		r = last; /* another thread was first */
	} else if (last->cap < CAP_MAX) {
		r = record_new(cap_after(last->cap, bytes));
		if (r) {
			store_release(&last->next, r); /* pairs with the acquire in next_of */
			store_release(page, word | MORE);
		}
	}
	lock_leave(&pool_lock);
	return r;
}

static struct record *next_of(struct record *r)
{
	return load_acquire(&r->next); /* pairs with the release in record_add */
}

/* ---- one record --------------------------------------------------------------------------------------------------- */

static unsigned off_of(uint64_t address)
{
	return (unsigned)(address >> UNIT_BITS & ((1 << OFF_BITS) - 1));
}

static uint64_t name_of(unsigned off)
{
	return 1 | (uint64_t)off << 1;
}

/* The WINDOW entries where a block may stand. */
static ALWAYS_INLINE struct entry *window_of(struct record *r, unsigned cap, unsigned off)
{
	return &r->entry[off >> (OFF_BITS - cap)];
}

/* The heads are read relaxed: who had the address before wrote its entry, and handed it to this thread. */
static ALWAYS_INLINE bool is_named(const struct entry *e, unsigned off)
{
	return (load_relaxed(&e->head) & NAME_MASK) == name_of(off);
}

static ALWAYS_INLINE struct entry *find(struct entry *window, unsigned off)
{
	for (unsigned i = 0; i < WINDOW; i++)
		if (is_named(&window[i], off))
			return &window[i];
	return NULL;
}

static ALWAYS_INLINE struct entry *find_free(struct entry *window)
{
	for (unsigned i = 0; i < WINDOW; i++)
		if (load_relaxed(&window[i].head) == 0)
			return &window[i];
	return NULL;
}

static ALWAYS_INLINE struct block block_of(uint64_t head, uint64_t size)
{
	return (struct block){ .bytes = size & ((UINT64_C(1) << SIZE_BITS) - 1),
		               .family = (uint32_t)(size >> SIZE_BITS & ((1 << FAMILY_BITS) - 1)),
		               .born = (head >> 10 & ((1 << BORN_LOW_BITS) - 1)) |
		                       size >> (SIZE_BITS + FAMILY_BITS) << BORN_LOW_BITS,
		               .stack = (uint32_t)(head >> 34) };
}

static ALWAYS_INLINE uint64_t head_make(unsigned off, const struct block *b)
{
	return name_of(off) | (b->born & ((1 << BORN_LOW_BITS) - 1)) << 10 | (uint64_t)b->stack << 34;
}

static ALWAYS_INLINE uint64_t size_make(const struct block *b)
{
	return b->bytes | (uint64_t)b->family << SIZE_BITS | b->born >> BORN_LOW_BITS << (SIZE_BITS + FAMILY_BITS);
}

/* False: another thread took the slot. */
static ALWAYS_INLINE bool claim(struct entry *e, unsigned off, const struct block *b)
{
	uint64_t head = 0, fresh = head_make(off, b);

	if (UNLIKELY(!shared))
		store_relaxed(&e->head, fresh);
	else if (!cas_acq_rel(&e->head, &head, fresh)) /* acquire, pairs with the release in clear */
		return false;
	store_relaxed(&e->size, size_make(b));
	return true;
}

static ALWAYS_INLINE void clear(struct entry *e)
{
	store_relaxed(&e->size, 0);
	store_release(&e->head, 0); /* pairs with the CAS in claim: the next one's size comes after this one's */
}

/* ---- the table ---------------------------------------------------------------------------------------------------- */

static bool is_impossible(uint64_t a)
{
	return a & ((1 << UNIT_BITS) - 1) || a >> ALLOCS_ADDRESS_BITS;
}

static NOINLINE struct allocs_region *region_new(uint64_t address)
{
	_Atomic(struct allocs_region *) *at = &allocs_regions[address >> ALLOCS_REGION_BITS & (ALLOCS_REGIONS - 1)];
	struct allocs_region *r = load_acquire(at), *fresh; /* pairs with the CAS below */

	if (r)
		return r;
	fresh = os_map(sizeof(*fresh)); /* 2 MiB of addresses, touched page by page */
	if (!fresh)
		return NULL;
	if (cas_acq_rel(at, &r, fresh))
		return fresh;
	os_unmap(fresh, sizeof(*fresh)); /* another thread was first; r is its region */
	return r;
}

/* The word of the address's page; NULL if there is none. */
static ALWAYS_INLINE _Atomic uint64_t *page_of(uint64_t address)
{
	/* acquire, pairs with the CAS in region_new */
	struct allocs_region *r = load_acquire(&allocs_regions[address >> ALLOCS_REGION_BITS & (ALLOCS_REGIONS - 1)]);

	return LIKELY(r != NULL) ? &r->page[address >> ALLOCS_PAGE_BITS & (ALLOCS_REGION_PAGES - 1)] : NULL;
}

static struct entry *find_in_page(uint64_t address)
{
	_Atomic uint64_t *page = page_of(address);
	uint64_t word = page ? load_acquire(page) : 0; /* pairs with the release in record_add */
	unsigned off = off_of(address);
	struct entry *e;

	if (UNLIKELY(!word) || UNLIKELY(is_impossible(address)))
		return NULL;
	e = find(window_of(record_of(word), cap_of(word), off), off);
	if (LIKELY(e != NULL) || !(word & MORE))
		return e;
	for (struct record *r = next_of(record_of(word)); r && !e; r = next_of(r))
		e = find(window_of(r, (unsigned)r->cap, off), off);
	return e;
}

/* The first record is full where the address belongs, or the page has none, or several. */
static NOINLINE bool put_slowly(_Atomic uint64_t *page, unsigned off, const struct block *block, struct block *ret_was,
                                bool *ret_replaced)
{
	for (;;) {
		uint64_t word = load_acquire(page); /* pairs with the release in record_add */
		struct entry *room = NULL;

		for (struct record *r = record_of(word); r; r = next_of(r)) {
			struct entry *window = window_of(r, (unsigned)r->cap, off), *e = find(window, off);

			if (e) {
				*ret_was = block_of(load_relaxed(&e->head), load_relaxed(&e->size));
				*ret_replaced = true;
				store_relaxed(&e->head, head_make(off, block));
				store_relaxed(&e->size, size_make(block));
				return true;
			}
			room = room ? room : find_free(window);
		}
		if (room && claim(room, off, block))
			return true;
		if (!room && !record_add(page, word, block->bytes))
			return false;
	}
}

static NOINLINE bool put_sparse(uint64_t a, const struct block *block, struct block *ret_was, bool *ret_replaced)
{
	_Atomic uint64_t *page = page_of(a);

	if (!sparse_put(a, block, ret_was, ret_replaced))
		return false;
	if (!*ret_replaced)
		add_relaxed(page, 1); /* relaxed: who frees the address was handed it */
	return true;
}

bool allocs_put(const void *address, const struct block *block, struct block *ret_was, bool *ret_replaced)
{
	uint64_t a = (uint64_t)address, word;
	_Atomic uint64_t *page = page_of(a);
	struct entry *window;

	*ret_replaced = false;
	if (UNLIKELY(is_impossible(a)))
		return false;
	if (UNLIKELY(!page)) {
		if (!region_new(a))
			return false;
		page = page_of(a);
	}
	if (UNLIKELY(sparse))
		return put_sparse(a, block, ret_was, ret_replaced);
	word = load_acquire(page); /* pairs with the release in record_add */
	if (LIKELY(word != 0) && LIKELY(!(word & MORE))) {
		window = window_of(record_of(word), cap_of(word), off_of(a));
		/* | not ||: three loads and one branch */
		if (LIKELY(!(is_named(&window[1], off_of(a)) | is_named(&window[2], off_of(a)) |
		             is_named(&window[3], off_of(a)))) &&
		    LIKELY(load_relaxed(&window->head) == 0) && LIKELY(claim(window, off_of(a), block)))
			return true;
	}
	return put_slowly(page, off_of(a), block, ret_was, ret_replaced);
}

static NOINLINE bool take_sparse(uint64_t a, struct block *ret_block)
{
	if (!sparse_take(a, ret_block))
		return false;
	sub_relaxed(page_of(a), 1);
	return true;
}

bool allocs_take(const void *address, struct block *ret_block)
{
	struct entry *e;

	if (UNLIKELY(sparse))
		return take_sparse((uint64_t)address, ret_block);
	e = find_in_page((uint64_t)address);
	if (UNLIKELY(!e))
		return false;
	*ret_block = block_of(load_relaxed(&e->head), load_relaxed(&e->size));
	clear(e);
	return true;
}

bool allocs_knows(const void *address)
{
	struct block unused;

	return sparse ? sparse_find((uint64_t)address, &unused) : find_in_page((uint64_t)address) != NULL;
}

/* The entry of the largest place below `off` in the page's records; 0 if there is none. */
static uint64_t last_below(uint64_t word, unsigned off, uint64_t *ret_size)
{
	uint64_t best = 0;

	for (struct record *r = record_of(word); r; r = next_of(r)) {
		for (unsigned i = 0; i < entries_of(r->cap); i++) {
			uint64_t head = load_relaxed(&r->entry[i].head);

			if (head && (head & NAME_MASK) < name_of(off) && (head & NAME_MASK) >= (best & NAME_MASK)) {
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
	unsigned off = off_of(a) + ((a & ((1 << UNIT_BITS) - 1)) != 0); /* inside the unit: its own block counts too */

	if (a >> ALLOCS_ADDRESS_BITS || sparse)
		return false;
	for (unsigned i = 0; i < PAGES && at > 0; i++, at--, off = 1 << OFF_BITS) {
		_Atomic uint64_t *page = page_of(at << ALLOCS_PAGE_BITS);
		uint64_t word = page ? load_acquire(page) : 0, size = 0; /* pairs with the release in record_add */
		uint64_t head = word ? last_below(word, off, &size) : 0;

		if (!head)
			continue;
		*ret_block = block_of(head, size);
		*ret_start = at << ALLOCS_PAGE_BITS | (head & NAME_MASK) >> 1 << UNIT_BITS;
		return a - *ret_start < ret_block->bytes;
	}
	return false;
}

void allocs_share(void)
{
	shared = true;
}

void allocs_fork_prepare(void)
{
	lock_enter(&pool_lock);
	sparse_fork_prepare();
}

void allocs_fork_done(void)
{
	sparse_fork_done();
	lock_leave(&pool_lock);
}

uint64_t allocs_memory(void)
{
	return chunk_total;
}

static uint64_t check_page(uint64_t word, UNUSED uint64_t address) /* asserts use it */
{
	uint64_t seen = 0;

	if (sparse)
		return word;
	for (struct record *r = record_of(word); r; r = next_of(r)) {
		for (unsigned i = 0; i < entries_of(r->cap); i++) {
			uint64_t head = load_relaxed(&r->entry[i].head);

			if (head == 0)
				continue;
			seen++;
			/* I1, and I2: another one would be found first, unless this one is first itself */
			assert(find_in_page(address + ((head & NAME_MASK) >> 1 << UNIT_BITS)) == &r->entry[i]);
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
