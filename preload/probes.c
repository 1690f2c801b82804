/*
 * probes.c - numbered records in segments that never move.
 *
 * Unused ones are in lists by number, linked through `slop`: one shared list under a lock, and one for each thread. A thread
 * that frees what others allocate collects them, so what is too many goes back to the shared list, BATCH at a time.
 */
#include "probes.h"

#include "atomic.h"
#include "compiler.h"
#include "lock.h"
#include "os_linux.h"

#ifdef NDEBUG
enum { SEGMENT_BITS = 12, BATCH = 32 };
#else
enum { SEGMENT_BITS = 8, BATCH = 4 }; /* segments of whole pages all the same */
#endif
enum { SEGMENT = 1 << SEGMENT_BITS, SEGMENTS = 1 << 15 };

static struct lock probes_lock; /* rank: innermost */
static _Atomic(struct probe *) segments[SEGMENTS];
static uint32_t shared_first;
static uint32_t never_used = 1; /* the lowest number that was never given; 0 is none */

struct probe *probes_at(uint32_t number)
{
	/* acquire, pairs with the release in fresh(): another thread may have made the segment */
	return load_acquire(&segments[number >> SEGMENT_BITS]) + (number & (SEGMENT - 1));
}

/* Lock held. */
static uint32_t fresh(void)
{
	uint32_t segment = never_used >> SEGMENT_BITS;

	if (segment >= SEGMENTS)
		return 0;
	if (!load_relaxed(&segments[segment])) {
		struct probe *at = os_map(SEGMENT * sizeof(*at));

		if (!at)
			return 0;
		store_release(&segments[segment], at);
	}
	return never_used++;
}

static void push(uint32_t *list, uint32_t number)
{
	probes_at(number)->slop = *list;
	*list = number;
}

static uint32_t pop(uint32_t *list)
{
	uint32_t number = *list;

	*list = probes_at(number)->slop;
	return number;
}

static NOINLINE void refill(struct probe_cache *cache)
{
	lock_enter(&probes_lock);
	while (cache->count < BATCH) {
		uint32_t number = shared_first ? pop(&shared_first) : fresh();

		if (!number)
			break;
		push(&cache->first, number);
		cache->count++;
	}
	lock_leave(&probes_lock);
}

static NOINLINE void give_back(struct probe_cache *cache)
{
	lock_enter(&probes_lock);
	for (; cache->count > BATCH; cache->count--)
		push(&shared_first, pop(&cache->first));
	lock_leave(&probes_lock);
}

uint32_t probes_take(struct probe_cache *cache)
{
	if (UNLIKELY(cache->count == 0))
		refill(cache);
	if (UNLIKELY(cache->count == 0))
		return 0;
	cache->count--;
	return pop(&cache->first);
}

void probes_give(struct probe_cache *cache, uint32_t number)
{
	push(&cache->first, number);
	if (UNLIKELY(++cache->count > 2 * BATCH))
		give_back(cache);
}

void probes_fork_prepare(void)
{
	lock_enter(&probes_lock);
}

void probes_fork_done(void)
{
	lock_leave(&probes_lock);
}
