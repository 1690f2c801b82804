/*
 * pools.c - blocks of announced pools.
 *
 * Shape      one array of entries; entry 0 is none. An entry is a block or a pool; a pool's blocks are a ring through the pool's
 *            entry (prev, next), so that a pool is destroyed in the time that its blocks take. Entries are found by a hash
 *            of address and kind through chains. Unused entries are a list through `chain`.
 * Invariants I1  each entry that is used is in the chain of its key's bucket, once.
 *            I2  each block is in its pool's ring, once; a pool without blocks has no entry.
 *            pools_check() asserts them.
 * Growth     a new array of twice the size, all copied, under the lock.
 * Cost       one lock for all pools. Threads that share none of theirs meet there: docs/adr/0015.
 */
#include "pools.h"

#include <assert.h>
#include <string.h>

#include "compiler.h"
#include "lock.h"
#include "os_linux.h"

enum { FIRST_ENTRIES = 1 << 10, LAST_ENTRIES = 1 << 28 };

struct entry {
	uint64_t key; /* address, or pool with the top bit set; 0: unused */
	struct block block;
	uint32_t chain, prev, next;
	uint32_t pool; /* entry of the block's pool */
};

#define POOL_KEY (UINT64_C(1) << 63)

static struct lock lock; /* rank: inside all others */
static struct entry *entries;
static uint32_t *buckets;         /* as many as entries */
static uint32_t entry_count;      /* a power of two */
static uint32_t fresh, free_list; /* entries never used begin at fresh */
static _Atomic uint64_t blocks;   /* read without the lock: are there any? */

static uint32_t bucket_of(uint64_t key)
{
	return (uint32_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (entry_count - 1);
}

static size_t table_bytes(uint32_t count)
{
	return (size_t)count * (sizeof(*entries) + sizeof(*buckets));
}

static bool grow(void)
{
	uint32_t count = entry_count ? entry_count * 2 : FIRST_ENTRIES, old_count = entry_count;
	struct entry *old = entries, *bigger = count <= LAST_ENTRIES ? os_map(table_bytes(count)) : NULL;

	if (!bigger)
		return false;
	if (old)
		memcpy(bigger, old, (size_t)old_count * sizeof(*old));
	else
		fresh = 1;
	entries = bigger;
	buckets = (uint32_t *)(bigger + count);
	entry_count = count;
	for (uint32_t i = 1; i < fresh; i++) {
		uint32_t *bucket = &buckets[bucket_of(entries[i].key)];

		if (!entries[i].key)
			continue; /* in the list of unused ones */
		entries[i].chain = *bucket;
		*bucket = i;
	}
	os_unmap(old, old ? table_bytes(old_count) : 0);
	return true;
}

static uint32_t find(uint64_t key)
{
	uint32_t i = entry_count ? buckets[bucket_of(key)] : 0;

	while (i && entries[i].key != key)
		i = entries[i].chain;
	return i;
}

static uint32_t add(uint64_t key)
{
	uint32_t i = free_list, *bucket;

	if (i) {
		free_list = entries[i].chain;
	} else {
		if (fresh == entry_count && !grow())
			return 0;
		i = fresh++;
	}
	bucket = &buckets[bucket_of(key)];
	entries[i].key = key;
	entries[i].chain = *bucket;
	entries[i].prev = entries[i].next = i;
	*bucket = i;
	return i;
}

static void drop(uint32_t i)
{
	uint32_t *link = &buckets[bucket_of(entries[i].key)];

	while (*link != i)
		link = &entries[*link].chain;
	*link = entries[i].chain;
	entries[entries[i].prev].next = entries[i].next;
	entries[entries[i].next].prev = entries[i].prev;
	entries[i].key = 0;
	entries[i].chain = free_list;
	free_list = i;
}

/* A block, and its pool if it was the last. */
static void drop_block(uint32_t i, struct block *ret_block)
{
	uint32_t pool = entries[i].pool;

	*ret_block = entries[i].block;
	drop(i);
	sub_relaxed(&blocks, 1);
	if (entries[pool].next == pool)
		drop(pool);
}

static uint64_t pool_key(const void *pool)
{
	return (uint64_t)pool | POOL_KEY;
}

static uint64_t block_key(const void *address)
{
	return (uint64_t)address & ~POOL_KEY;
}

bool pools_put(const void *pool, const void *address, const struct block *block, struct block *ret_was,
               bool *ret_replaced)
{
	uint32_t p, i;

	*ret_replaced = false;
	if (!block_key(address))
		return false;
	lock_enter(&lock);
	i = find(block_key(address));
	if (i) {
		drop_block(i, ret_was);
		*ret_replaced = true;
	}
	p = find(pool_key(pool));
	if (!p)
		p = add(pool_key(pool));
	i = p ? add(block_key(address)) : 0;
	if (i) {
		entries[i].block = *block;
		entries[i].pool = p;
		entries[i].prev = p;
		entries[i].next = entries[p].next;
		entries[entries[p].next].prev = i;
		entries[p].next = i;
		add_relaxed(&blocks, 1);
	} else if (p && entries[p].next == p) {
		drop(p);
	}
	lock_leave(&lock);
	return i != 0;
}

bool pools_take(const void *pool, const void *address, struct block *ret_block)
{
	uint32_t i;
	bool found;

	if (!load_relaxed(&blocks)) /* relaxed: who frees a block has it from who put it here */
		return false;
	lock_enter(&lock);
	i = find(block_key(address));
	found = i && entries[entries[i].pool].key == pool_key(pool);
	if (found)
		drop_block(i, ret_block);
	lock_leave(&lock);
	return found;
}

bool pools_take_any(const void *pool, struct block *ret_block)
{
	uint32_t p;

	if (!load_relaxed(&blocks))
		return false;
	lock_enter(&lock);
	p = find(pool_key(pool));
	if (p)
		drop_block(entries[p].next, ret_block);
	lock_leave(&lock);
	return p != 0;
}

bool pools_know(uint64_t address)
{
	return find(address) != 0;
}

bool pools_have_any(void)
{
	return load_relaxed(&blocks) != 0;
}

void pools_each(void (*visit)(void *context, uint64_t address, const struct block *block), void *context)
{
	for (uint32_t i = 1; i < fresh; i++)
		if (entries[i].key && !(entries[i].key & POOL_KEY))
			visit(context, entries[i].key, &entries[i].block);
}

void pools_fork_prepare(void)
{
	lock_enter(&lock);
}

bool pools_hold(uint64_t patience_ns)
{
	return lock_within(&lock, patience_ns);
}

void pools_fork_done(void)
{
	lock_leave(&lock);
}

uint64_t pools_check(void)
{
	uint64_t in_rings = 0, n = 0;

	for (uint32_t i = 1; i < fresh; i++) {
		const struct entry *e = &entries[i];

		if (!e->key)
			continue;
		assert(find(e->key) == i);
		assert(entries[e->next].prev == i && entries[e->prev].next == i);
		if (e->key & POOL_KEY) {
			assert(e->next != i);
			for (uint32_t b = e->next; b != i; b = entries[b].next, in_rings++)
				assert(entries[b].pool == i);
		} else {
			n++;
		}
	}
	assert(n == in_rings && n == load_relaxed(&blocks));
	(void)in_rings;
	return n;
}
