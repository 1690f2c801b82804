/*
 * mappings.c - a table of ranges, not of addresses: munmap and MAP_FIXED take out parts, of several ranges at once.
 *
 * Shape      an array sorted by start; found by halving, changed by moving what follows. The kernel lets a process have 65530
 *            mappings, and a call of it costs more than the move.
 * Invariants I1  start < end; ranges are disjoint and ascend.
 *            I2  live_bytes is the sum of their lengths.
 *            mappings_check() asserts them.
 */
#include "mappings.h"

#include <assert.h>
#include <string.h>

#include "compiler.h"
#include "lock.h"
#include "losses.h"
#include "os_linux.h"
#include "units.h"

enum { FIRST_RANGES = 1 << 10, LAST_RANGES = 1 << 20 };

static struct lock lock; /* rank: inside all others */
static struct mapping *ranges;
static size_t count, room;
static struct mappings_totals totals;

/* The first range that ends behind the address. */
static size_t find(uintptr_t address)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ranges[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool make_room(void)
{
	size_t bigger_room = room ? room * 2 : FIRST_RANGES;
	struct mapping *bigger;

	if (count < room)
		return true;
	bigger = bigger_room <= LAST_RANGES ? os_map(bigger_room * sizeof(*bigger)) : NULL;
	if (!bigger) {
		loss_add(LOSS_MMAP_UNTRACKED, 1);
		return false;
	}
	if (count)
		memcpy(bigger, ranges, count * sizeof(*ranges));
	os_unmap(ranges, room * sizeof(*ranges));
	ranges = bigger;
	room = bigger_room;
	return true;
}

static void insert(size_t i, struct mapping m)
{
	if (m.start >= m.end || !make_room())
		return;
	memmove(&ranges[i + 1], &ranges[i], (count - i) * sizeof(*ranges));
	ranges[i] = m;
	count++;
	totals.live_bytes += m.end - m.start;
}

static void keep(struct mappings_taken *taken, struct mapping m)
{
	if (taken->count < MAPPINGS_TAKEN)
		taken->part[taken->count++] = m;
	taken->bytes += m.end - m.start;
}

static void take(uintptr_t start, uintptr_t end, struct mappings_taken *taken)
{
	size_t first = find(start), last = first;
	struct mapping before, after;

	while (last < count && ranges[last].start < end)
		last++;
	if (first == last)
		return;
	before = ranges[first];
	after = ranges[last - 1];
	for (size_t i = first; i < last; i++) {
		struct mapping m = ranges[i];

		totals.live_bytes -= m.end - m.start;
		m.start = m.start < start ? start : m.start;
		m.end = m.end > end ? end : m.end;
		keep(taken, m);
	}
	memmove(&ranges[first], &ranges[last], (count - last) * sizeof(*ranges));
	count -= last - first;
	before.end = start;
	after.start = end;
	insert(first, after);
	insert(first, before);
}

static void put(uintptr_t start, uintptr_t end, uint32_t stack)
{
	insert(find(start), (struct mapping){ start, end, stack });
	if (totals.live_bytes > totals.peak_bytes) {
		totals.peak_bytes = totals.live_bytes;
		totals.peak_ns = os_now_ns();
	}
}

static uintptr_t end_of(uintptr_t start, size_t bytes)
{
	return bytes > UINTPTR_MAX - start ? UINTPTR_MAX : start + bytes;
}

void mappings_add(uintptr_t start, size_t bytes, uint32_t stack)
{
	struct mappings_taken replaced = { .count = 0 };

	lock_enter(&lock);
	take(start, end_of(start, bytes), &replaced);
	totals.unmapped_bytes += replaced.bytes;
	totals.mapped_bytes += bytes;
	put(start, end_of(start, bytes), stack);
	lock_leave(&lock);
}

void mappings_forget(uintptr_t start, size_t bytes, struct mappings_taken *ret_taken)
{
	ret_taken->count = 0;
	ret_taken->bytes = 0;
	lock_enter(&lock);
	take(start, end_of(start, bytes), ret_taken);
	totals.unmapped_bytes += ret_taken->bytes;
	lock_leave(&lock);
}

void mappings_restore(const struct mappings_taken *taken)
{
	uint64_t restored = 0;

	lock_enter(&lock);
	for (unsigned i = 0; i < taken->count; i++) {
		const struct mapping *m = &taken->part[i];

		put(m->start, m->end, m->stack);
		restored += m->end - m->start;
	}
	totals.unmapped_bytes -= restored;
	lock_leave(&lock);
	if (restored < taken->bytes)
		loss_add(LOSS_MMAP_UNTRACKED, 1);
}

void mappings_each(void (*visit)(void *context, uintptr_t start, uintptr_t end), void *context)
{
	for (size_t i = 0; i < count; i++)
		visit(context, ranges[i].start, ranges[i].end);
}

size_t mappings_count(void)
{
	return *(volatile size_t *)&count; /* a hint */
}

bool mappings_copy(struct mapping_row *rows, size_t row_room, size_t *ret_count, struct mappings_totals *ret_totals)
{
	size_t n;

	if (!lock_within(&lock, NS_PER_S / 2))
		return false; /* its holder may be waiting for this snapshot, in a signal handler */
	n = count < row_room ? count : row_room;
	for (size_t i = 0; i < n; i++)
		rows[i] = (struct mapping_row){ ranges[i].stack, ranges[i].end - ranges[i].start };
	*ret_totals = totals;
	lock_leave(&lock);
	*ret_count = n;
	return true;
}

void mappings_fork_prepare(void)
{
	lock_enter(&lock);
}

bool mappings_hold(uint64_t patience_ns)
{
	return lock_within(&lock, patience_ns);
}

void mappings_fork_done(void)
{
	lock_leave(&lock);
}

uint64_t mappings_check(void)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++) {
		assert(ranges[i].start < ranges[i].end);
		assert(i == 0 || ranges[i - 1].end <= ranges[i].start);
		sum += ranges[i].end - ranges[i].start;
	}
	assert(sum == totals.live_bytes);
	return sum;
}
