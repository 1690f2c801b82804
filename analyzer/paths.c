#include "paths.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20 };

static uint32_t hash_of(uint32_t parent, uint32_t item)
{
	uint64_t h = ((uint64_t)parent << 32 | item) * UINT64_C(0x9e3779b97f4a7c15);

	return (uint32_t)((h ^ h >> 29) * UINT64_C(0xbf58476d1ce4e5b9) >> 32);
}

/* Zeroed. Large tables on large pages: half the time of filling one is page faults and misses of the TLB. */
static void *table(size_t count, size_t size)
{
	size_t bytes = count * size; /* at most 2^33 slots of 8 bytes */
	void *at = NULL;

	if (bytes < 4 * (size_t)HUGE_PAGE)
		return calloc(count, size);
	bytes = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
	if (posix_memalign(&at, HUGE_PAGE, bytes) != 0)
		return NULL;
	(void)madvise(at, bytes, MADV_HUGEPAGE); /* or small ones */
	memset(at, 0, bytes);
	return at;
}

static int more_slots(struct paths *t, size_t slot_count)
{
	struct path_slot *slots = table(slot_count, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < t->slot_count; i++) {
		size_t at = t->slots[i].hash & (slot_count - 1);

		if (!t->slots[i].node)
			continue;
		while (slots[at].node)
			at = (at + 1) & (slot_count - 1);
		slots[at] = t->slots[i];
	}
	free(t->slots);
	t->slots = slots;
	t->slot_count = slot_count;
	return 0;
}

static int more_nodes(struct paths *t, size_t cap)
{
	struct path_node *nodes;

	if (cap <= t->cap)
		return 0;
	nodes = table(cap, sizeof(*nodes));
	if (!nodes)
		return -ENOMEM;
	if (t->nodes)
		memcpy(nodes, t->nodes, (t->count + 1) * sizeof(*nodes));
	free(t->nodes);
	t->nodes = nodes;
	t->cap = cap;
	return 0;
}

int paths_reserve(struct paths *t, size_t count)
{
	size_t slots = t->slot_count ? t->slot_count : 1024;

	if (count >= UINT32_MAX)
		return -ENOMEM;
	while (slots < count + count / 3 + 1)
		slots *= 2;
	if (slots > t->slot_count && more_slots(t, slots) < 0)
		return -ENOMEM;
	return more_nodes(t, count + 1);
}

int64_t paths_add(struct paths *t, uint32_t parent, uint32_t item)
{
	uint32_t hash = hash_of(parent, item);
	size_t at;

	if (t->count + 1 >= t->cap && paths_reserve(t, t->cap ? t->cap * 2 : 512) < 0)
		return PATHS_FAILED;
	at = hash & (t->slot_count - 1);
	for (; t->slots[at].node; at = (at + 1) & (t->slot_count - 1)) {
		const struct path_node *n = &t->nodes[t->slots[at].node];

		if (t->slots[at].hash == hash && n->parent == parent && n->item == item)
			return t->slots[at].node;
	}
	t->slots[at] = (struct path_slot){ hash, (uint32_t)++t->count };
	t->nodes[t->count] = (struct path_node){ parent, item };
	return (int64_t)t->count;
}

void paths_expect(const struct paths *t, uint32_t parent, uint32_t item)
{
	if (t->slot_count)
		__builtin_prefetch(&t->slots[hash_of(parent, item) & (t->slot_count - 1)], 1);
}

void paths_done(struct paths *t)
{
	free(t->nodes);
	free(t->slots);
	*t = (struct paths){ 0 };
}
