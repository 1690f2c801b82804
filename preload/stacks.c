/*
 * stacks.c - the tree of call stacks.
 *
 * Callers    recorder.c and sampler.c, inside malloc hooks and the sampling signal's handler: no malloc, no stdio.
 * Shape      nodes in segments:   segment[id >> 16] ---> node[id & 0xffff] = { parent, pc }
 *            an index of ids:     slot[hash(parent, pc) + probe] = id, open addressing, power of two, at most half full
 * Invariants I1  a node is complete before its id is stored in a slot or counted, and never changes again.
 *            I2  parent(id) < id; parent 0 is the root.
 *            I3  (parent, pc) is unique.
 *            I4  a table is never changed after a larger one replaced it; replaced tables stay mapped, because a reader
 *                may still be in one. Their sizes are geometric: together less than the newest.
 * Readers    take no lock: a miss in an old table only leads them to the insert path, which looks again under the lock.
 * Cost       shared prefix with the memo: one compare a frame. Else one probe a frame; a new node one lock.
 * Not chosen whole stacks as units (jemalloc, gperftools): a deep stack that differs in one frame is stored again.
 */
#include "stacks.h"

#include <assert.h>

#include "atomic.h"
#include "compiler.h"
#include "live.h"
#include "lock.h"
#include "losses.h"
#include "os_linux.h"
#include "snapshot_layout.h"

#ifdef NDEBUG
enum { SEGMENT_BITS = 16, FIRST_TABLE = 4096 };
#else
enum { SEGMENT_BITS = 8, FIRST_TABLE = 16 }; /* small, so that growth and full paths run in every test */
#endif
enum { SEGMENT_NODES = 1 << SEGMENT_BITS, SEGMENTS = 4096, HANDLER_SPINS = 2000, NONE = SEGMENTS };

struct table {
	uint32_t mask;
	_Atomic uint32_t slot[];
};

static _Atomic(struct live_node *) segments[SEGMENTS];
static _Atomic(struct table *) table_now;
static _Atomic uint32_t count;
static struct lock insert_lock;
static uint32_t borrowed = NONE; /* in a forked child: the number of the parent's segment that gets the next node */

static const struct live_node *node_at(uint32_t id)
{
	/* acquire, pairs with the release in node_new: a segment's pointer is stored before any id in it is known */
	struct live_node *segment = load_acquire(&segments[id >> SEGMENT_BITS]);

	return &segment[id & (SEGMENT_NODES - 1)];
}

/* splitmix64's finalizer over both halves (Steele, Lea, Flood 2014): every bit of the pc reaches the low bits. */
static uint32_t hash_of(uint32_t parent, uintptr_t pc)
{
	uint64_t h = pc ^ (uint64_t)parent * UINT64_C(0x9e3779b97f4a7c15);

	h = (h ^ h >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	h = (h ^ h >> 27) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t)(h ^ h >> 31);
}

static uint32_t table_find(struct table *t, uint32_t parent, uintptr_t pc)
{
	for (uint32_t i = hash_of(parent, pc);; i++) {
		/* acquire, pairs with the release in table_put: seeing the id means seeing the node (I1) */
		uint32_t id = load_acquire(&t->slot[i & t->mask]);
		const struct live_node *n;

		if (id == 0)
			return 0;
		n = node_at(id);
		if (n->pc == pc && n->parent == parent)
			return id;
	}
}

static void table_put(struct table *t, uint32_t parent, uintptr_t pc, uint32_t id)
{
	uint32_t i = hash_of(parent, pc);

	while (load_relaxed(&t->slot[i & t->mask]) != 0) /* relaxed: only lock holders write */
		i++;
	store_release(&t->slot[i & t->mask], id); /* pairs with the acquire in table_find */
}

/* A table with room for one more than `used` nodes; NULL without memory. Lock held. */
static struct table *table_with_room(uint32_t used)
{
	struct table *old = load_relaxed(&table_now); /* relaxed: only lock holders write */
	uint32_t slots = old ? (old->mask + 1) : FIRST_TABLE / 2;
	struct table *t;

	if (old && used < slots / 2)
		return old;
	slots *= 2;
	t = os_map(sizeof(*t) + (size_t)slots * sizeof(t->slot[0]));
	if (!t)
		return old && used + 1 < old->mask ? old : NULL;
	t->mask = slots - 1;
	for (uint32_t id = 1; id <= used; id++)
		table_put(t, node_at(id)->parent, node_at(id)->pc, id);
	store_release(&table_now, t); /* pairs with the acquire in child_of */
	return t;
}

bool stacks_own(void)
{
	uint32_t next = load_relaxed(&count) + 1; /* relaxed: the lock is held, or nobody else runs */
	struct live_node *segment = load_relaxed(&segments[next >> SEGMENT_BITS]);

	if (borrowed == NONE)
		return true;
	if (segment && !live_own(segment, (next & (SEGMENT_NODES - 1)) * sizeof(*segment)))
		return false;
	borrowed = NONE;
	return true;
}

/* Lock held. */
static uint32_t node_new(uint32_t parent, uintptr_t pc)
{
	uint32_t used = load_relaxed(&count); /* relaxed: only lock holders write */
	uint32_t id = used + 1;
	struct table *t;
	struct live_node *segment;

	if (id >= SNAP_MAX_STACKS || id >> SEGMENT_BITS >= SEGMENTS)
		return 0;
	t = table_with_room(used);
	if (!t)
		return 0;
	segment = load_relaxed(&segments[id >> SEGMENT_BITS]);
	if (UNLIKELY(id >> SEGMENT_BITS == borrowed) && !stacks_own())
		return 0;
	if (!segment) {
		segment = live_map(LIVE_NODES, id >> SEGMENT_BITS, SEGMENT_NODES * sizeof(*segment));
		if (!segment)
			return 0;
		live_activate(segment);
		store_release(&segments[id >> SEGMENT_BITS], segment); /* pairs with the acquire in node_at */
	}
	segment[id & (SEGMENT_NODES - 1)].parent = parent;
	segment[id & (SEGMENT_NODES - 1)].pc = pc; /* last: an outside reader takes a node without pc for none */
	store_release(&count, id);                 /* pairs with the acquire in stacks_count */
	table_put(t, parent, pc, id);
	return id;
}

uint32_t stacks_child(uint32_t parent, uintptr_t pc, bool in_handler)
{
	/* acquire, pairs with the release in table_with_room: the table's ids are in place */
	struct table *t = load_acquire(&table_now);
	uint32_t id = t ? table_find(t, parent, pc) : 0;

	if (id)
		return id;
	if (in_handler) {
		if (!lock_try_for(&insert_lock, HANDLER_SPINS)) {
			loss_add(LOSS_STACKS_BUSY, 1);
			return 0;
		}
	} else {
		lock_enter(&insert_lock);
	}
	t = load_relaxed(&table_now); /* relaxed: the lock orders it */
	id = t ? table_find(t, parent, pc) : 0;
	if (!id) {
		id = node_new(parent, pc);
		if (!id)
			loss_add(LOSS_STACKS_FULL, 1);
	}
	lock_leave(&insert_lock);
	return id;
}

uint32_t stacks_intern(struct stack_memo *memo, const uintptr_t *pcs, size_t depth, bool in_handler)
{
	uint32_t parent = 0, i = 0;

	if (depth > STACKS_MAX_DEPTH)
		depth = STACKS_MAX_DEPTH; /* callers mark what they cut; this only bounds the memo */
	while (i < depth && i < memo->depth && memo->pc[i] == pcs[depth - 1 - i]) {
		parent = memo->id[i];
		i++;
	}
	memo->depth = i;
	for (; i < depth; i++) {
		uintptr_t pc = pcs[depth - 1 - i];
		uint32_t id = stacks_child(parent, pc, in_handler);

		if (!id)
			return 0;
		memo->pc[i] = pc;
		memo->id[i] = id;
		memo->depth = i + 1;
		parent = id;
	}
	return parent;
}

uint32_t stacks_segment_nodes(void)
{
	return SEGMENT_NODES;
}

uint32_t stacks_count(void)
{
	return load_acquire(&count); /* pairs with the release in node_new: nodes up to it are complete */
}

uint32_t stacks_parent(uint32_t id)
{
	return node_at(id)->parent;
}

uintptr_t stacks_pc(uint32_t id)
{
	return node_at(id)->pc;
}

void stacks_fork_prepare(void)
{
	lock_enter(&insert_lock);
}

void stacks_fork_done(void)
{
	lock_leave(&insert_lock);
}

void stacks_fork_child(void)
{
	borrowed = (load_relaxed(&count) + 1) >> SEGMENT_BITS;
	lock_leave(&insert_lock);
}

uint32_t stacks_check(void)
{
	uint32_t n = stacks_count();
	UNUSED struct table *t = load_acquire(&table_now); /* only asserts read it */

	for (uint32_t id = 1; id <= n; id++) {
		assert(stacks_parent(id) < id);                                /* I2 */
		assert(table_find(t, stacks_parent(id), stacks_pc(id)) == id); /* I3 */
	}
	return n;
}
