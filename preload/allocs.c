/*
 * allocs.c - the table of live blocks.
 *
 * Shape      shards by hash of the address; each an open-addressing table with linear probing and backward-shift
 *            deletion, its own lock, its own growth. Before them one byte per hash: how many blocks hash there.
 * Invariants I1  every stored address is reachable from its home slot without passing an empty slot.
 *            I2  a shard is at most three quarters full.
 *            I3  filter[h] >= number of stored blocks that hash to h (it sticks at 255).
 *            allocs_check() asserts them.
 * Cost       two uncontended locked operations and about one cache miss an operation; 24 bytes an entry.
 * Growth     doubles one shard under its lock: with 256 shards a million blocks are moved in steps of about 4000.
 * Not chosen a shadow of the address space (8 bytes for each 16): fastest, but it costs half the heap: docs/adr/0003.
 */
#include "allocs.h"

#include <assert.h>
#include <string.h>

#include "atomic.h"
#include "compiler.h"
#include "lock.h"
#include "os_linux.h"

#ifdef NDEBUG
enum { SHARD_BITS = 8, FIRST_SLOTS = 64 };
#else
enum { SHARD_BITS = 1, FIRST_SLOTS = 8 };
#endif
enum { SHARDS = 1 << SHARD_BITS, FILTER_BITS = 17, FILTER_STUCK = 255 };

struct entry {
	uint64_t address; /* 0 = empty */
	uint64_t bytes : 40;
	uint64_t born : 24;
	uint32_t stack;
	float weight;
};

struct shard {
	struct lock lock;
	uint32_t mask; /* 0: no table yet */
	uint32_t used;
	struct entry *slot;
	char pad[64 - 24];
};

static struct shard shards[SHARDS];
static _Atomic uint8_t filter[1 << FILTER_BITS];

/* Allocators align to 16: the low bits say nothing. The multiplier is splitmix64's. */
static uint64_t hash_of(uint64_t address)
{
	uint64_t h = (address >> 4) * UINT64_C(0xbf58476d1ce4e5b9);

	return h ^ h >> 29;
}

static struct shard *shard_of(uint64_t hash)
{
	return &shards[hash >> (64 - SHARD_BITS)];
}

static void filter_add(uint64_t hash, int by)
{
	_Atomic uint8_t *f = &filter[hash >> 20 & ((1 << FILTER_BITS) - 1)];
	uint8_t seen = load_relaxed(f);

	/* Relaxed: the program itself orders the malloc before the free that asks. A full byte stays full: then
	 * allocs_maybe() only guesses worse. */
	while (seen != FILTER_STUCK && !cas_relaxed(f, &seen, (uint8_t)(seen + by)))
		continue;
}

bool allocs_maybe(const void *address)
{
	return load_relaxed(&filter[hash_of((uint64_t)address) >> 20 & ((1 << FILTER_BITS) - 1)]) != 0;
}

/* The slot that holds the address, or the empty one where it belongs. */
static struct entry *find(const struct shard *s, uint64_t address, uint64_t hash)
{
	uint32_t i = (uint32_t)hash;

	while (s->slot[i & s->mask].address != 0 && s->slot[i & s->mask].address != address)
		i++;
	return &s->slot[i & s->mask];
}

static size_t table_bytes(uint32_t mask)
{
	return ((size_t)mask + 1) * sizeof(struct entry);
}

static bool make_room(struct shard *s)
{
	struct entry *old = s->slot;
	uint32_t old_mask = s->mask;
	uint64_t slots = old ? ((uint64_t)old_mask + 1) * 2 : FIRST_SLOTS;
	struct entry *slot;

	if (old && (uint64_t)(s->used + 1) * 4 <= ((uint64_t)old_mask + 1) * 3)
		return true;
	if (slots > UINT64_C(1) << 31)
		return false;
	slot = os_map(table_bytes((uint32_t)(slots - 1)));
	if (!slot)
		return old && s->used < old_mask; /* denser than I2 allows, while there is no memory */
	s->slot = slot;
	s->mask = (uint32_t)(slots - 1);
	for (uint64_t i = 0; old && i <= old_mask; i++)
		if (old[i].address)
			*find(s, old[i].address, hash_of(old[i].address)) = old[i];
	if (old)
		os_unmap(old, table_bytes(old_mask));
	return true;
}

static struct block block_of(const struct entry *e)
{
	return (struct block){ .bytes = e->bytes, .stack = e->stack, .born = e->born, .weight = e->weight };
}

bool allocs_put(const void *address, const struct block *block, struct block *ret_was, bool *ret_replaced)
{
	uint64_t hash = hash_of((uint64_t)address);
	struct shard *s = shard_of(hash);
	bool stored = false;
	struct entry *e;

	*ret_replaced = false;
	lock_enter(&s->lock);
	if (make_room(s)) {
		e = find(s, (uint64_t)address, hash);
		if (e->address) {
			*ret_was = block_of(e);
			*ret_replaced = true;
		} else {
			s->used++;
			filter_add(hash, 1);
		}
		e->address = (uint64_t)address;
		e->bytes = block->bytes & ((UINT64_C(1) << 40) - 1);
		e->born = block->born & 0xffffff;
		e->stack = block->stack;
		e->weight = block->weight;
		stored = true;
	}
	lock_leave(&s->lock);
	return stored;
}

/* Knuth 6.4 algorithm R: close the gap, so that no probe sequence is cut. */
static void remove_at(struct shard *s, uint32_t gap)
{
	uint32_t i = gap;

	for (;;) {
		uint32_t home;

		i = (i + 1) & s->mask;
		if (!s->slot[i].address)
			break;
		home = (uint32_t)hash_of(s->slot[i].address) & s->mask;
		if (((i - home) & s->mask) >= ((i - gap) & s->mask)) {
			s->slot[gap] = s->slot[i];
			gap = i;
		}
	}
	memset(&s->slot[gap], 0, sizeof(s->slot[gap]));
}

bool allocs_take(const void *address, struct block *ret_block)
{
	uint64_t hash = hash_of((uint64_t)address);
	struct shard *s = shard_of(hash);
	bool found = false;

	lock_enter(&s->lock);
	if (s->slot) {
		struct entry *e = find(s, (uint64_t)address, hash);

		if (e->address) {
			*ret_block = block_of(e);
			remove_at(s, (uint32_t)(e - s->slot));
			s->used--;
			filter_add(hash, -1);
			found = true;
		}
	}
	lock_leave(&s->lock);
	return found;
}

uint64_t allocs_count(void)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < SHARDS; i++) {
		lock_enter(&shards[i].lock);
		n += shards[i].used;
		lock_leave(&shards[i].lock);
	}
	return n;
}

void allocs_fork_prepare(void)
{
	for (uint32_t i = 0; i < SHARDS; i++)
		lock_enter(&shards[i].lock);
}

void allocs_fork_done(void)
{
	for (uint32_t i = 0; i < SHARDS; i++)
		lock_leave(&shards[i].lock);
}

uint64_t allocs_check(void)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < SHARDS; i++) {
		struct shard *s = &shards[i];
		uint32_t used = 0;

		lock_enter(&s->lock);
		for (uint64_t j = 0; s->slot && j <= s->mask; j++) {
			uint64_t address = s->slot[j].address;

			if (!address)
				continue;
			used++;
			assert(find(s, address, hash_of(address)) == &s->slot[j]); /* I1 */
			assert(allocs_maybe((const void *)address));               /* I3 */
		}
		assert(used == s->used);
		assert(!s->slot || (uint64_t)s->used * 4 <= ((uint64_t)s->mask + 1) * 3); /* I2 */
		n += used;
		lock_leave(&s->lock);
	}
	return n;
}
