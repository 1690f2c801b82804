/*
 * allocs_sparse.c - one hash table: open addressing, a power of two, at most half full; entries move back into the gap that a
 * removed one leaves (Knuth 6.4, algorithm R). Its size follows the most blocks there ever were: live bytes / interval.
 */
#include "allocs_sparse.h"

#include <stddef.h>

#include "lock.h"
#include "os_linux.h"

#ifdef NDEBUG
enum { FIRST_SLOTS = 256 };
#else
enum { FIRST_SLOTS = 4 }; /* growth runs in every test */
#endif

struct slot {
	uint64_t address; /* 0: free */
	struct block block;
};

static struct lock table_lock; /* rank: as the pool of allocs.c */
static struct slot *slots;
static uint64_t mask, used;

static uint64_t home_of(uint64_t address)
{
	return (address * UINT64_C(0x9e3779b97f4a7c15)) >> 20 & mask; /* Fibonacci hashing, Knuth 6.4 */
}

/* The slot that holds the address, or the free one where it belongs. Lock held; there is a table. */
static struct slot *find(uint64_t address)
{
	uint64_t i = home_of(address);

	while (slots[i].address && slots[i].address != address)
		i = (i + 1) & mask;
	return &slots[i];
}

/* Lock held. */
static bool make_room(void)
{
	uint64_t old_count = slots ? mask + 1 : 0, count = slots ? 2 * old_count : FIRST_SLOTS;
	struct slot *old = slots, *fresh;

	if (old && used < old_count / 2)
		return true;
	fresh = os_map(count * sizeof(*fresh));
	if (!fresh)
		return old && used + 1 < old_count;
	slots = fresh;
	mask = count - 1;
	for (uint64_t i = 0; i < old_count; i++)
		if (old[i].address)
			*find(old[i].address) = old[i];
	if (old)
		os_unmap(old, old_count * sizeof(*old));
	return true;
}

bool sparse_put(uint64_t address, const struct block *block, struct block *ret_was, bool *ret_replaced)
{
	struct slot *s;
	bool room;

	lock_enter(&table_lock);
	room = make_room();
	if (room) {
		s = find(address);
		*ret_replaced = s->address != 0;
		if (s->address)
			*ret_was = s->block;
		else
			used++;
		*s = (struct slot){ address, *block };
	}
	lock_leave(&table_lock);
	return room;
}

static void remove_slot(struct slot *s)
{
	uint64_t gap = (uint64_t)(s - slots), at = gap;

	while (slots[at = (at + 1) & mask].address) {
		uint64_t home = home_of(slots[at].address);

		if (((at - home) & mask) >= ((at - gap) & mask)) {
			slots[gap] = slots[at];
			gap = at;
		}
	}
	slots[gap].address = 0;
	used--;
}

static bool look(uint64_t address, struct block *ret_block, bool take)
{
	struct slot *s;
	bool found = false;

	lock_enter(&table_lock);
	if (slots) {
		s = find(address);
		found = s->address != 0;
		if (found)
			*ret_block = s->block;
		if (found && take)
			remove_slot(s);
	}
	lock_leave(&table_lock);
	return found;
}

bool sparse_take(uint64_t address, struct block *ret_block)
{
	return look(address, ret_block, true);
}

bool sparse_find(uint64_t address, struct block *ret_block)
{
	return look(address, ret_block, false);
}

void sparse_each(void (*visit)(void *context, uint64_t address, const struct block *block), void *context)
{
	for (uint64_t i = 0; slots && i <= mask; i++)
		if (slots[i].address)
			visit(context, slots[i].address, &slots[i].block);
}

void sparse_fork_prepare(void)
{
	lock_enter(&table_lock);
}

bool sparse_hold(uint64_t patience_ns)
{
	return lock_within(&table_lock, patience_ns);
}

void sparse_fork_done(void)
{
	lock_leave(&table_lock);
}
