/*
 * leak_mark.c - marking.
 *
 * Two queues hide the memory's latency (Cher, Hosking and Vitek, "Software prefetching for mark-sweep garbage collection",
 * 2004): a word that may point to a block waits in `words` while the block's bits come, and a block that was reached waits in
 * `near` while its content does. What is beyond them is on a stack.
 *
 * Rest       a block that no other unreached block points to is the head of what it leads to. What is left then are cycles and
 *            what hangs from them. They are walked twice. First from each that was not walked yet, by address: the lowest of a
 *            cycle that nothing leads to begins a walk, as only the cycle itself leads there. Then from where these walks began,
 *            the last one first: a walk that began in something that another leads to is met by that one's, which began later,
 *            or it would have been met already. So every head is the lowest of such a cycle.
 */
#include "leak_mark.h"

#include "compiler.h"
#include "leak_index.h"
#include "os_linux.h"

enum {
	WORDS = 32,
	NEAR = 16,
	LINE = 64,
	AHEAD = 1024 /* bytes of a block; beyond it the processor has seen the direction */
};
enum { WORD = 8, PACK_BITS = 9 };
#define NOBODY UINT32_MAX

static const struct leak_range *ranges;
static size_t range_count;
static unsigned step = WORD;
static uint64_t gone, bytes_read;
static uint64_t lowest, span;

static uint64_t *stack; /* packed struct leak_at */
static uint64_t depth, stack_room;
static uint64_t words[WORDS], near[NEAR];
static unsigned words_head, words_count, near_head, near_count;

static uint32_t *owner;
static uint64_t *begun; /* where first walks of cycles began, packed */
static uint64_t owner_room;
static uint32_t head_now; /* whose what is reached is; NOBODY: that is not asked yet */

/* ---- what can be read --------------------------------------------------------------------------------------------- */

/* Is all of it in one range? */
static bool is_readable(uint64_t start, uint64_t end)
{
	size_t lo = 0, hi = range_count;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (ranges[mid].start <= start)
			lo = mid + 1;
		else
			hi = mid;
	}
	while (lo && start < end && ranges[lo - 1].end > start) {
		start = ranges[lo - 1].end;
		if (lo == range_count || ranges[lo].start != start)
			break;
		lo++;
	}
	return start >= end;
}

static void see_page(void *context, struct leak_page *page)
{
	(void)context;
	page->mapped = is_readable(page->address, page->address + (1 << LEAK_PAGE_BITS));
	if (page->mapped)
		return;
	for (unsigned i = 0; i < LEAK_GROUPS; i++) {
		gone += (uint64_t)__builtin_popcountll(page->group[i].start);
		page->group[i].start = 0;
	}
}

bool leak_mark_begin(const struct leak_range *readable, size_t count, unsigned bytes)
{
	ranges = readable;
	range_count = count;
	step = bytes;
	leak_index_each_page(see_page, NULL);
	lowest = leak_index_lowest();
	span = leak_index_highest() - lowest;
	stack_room = leak_index_blocks() + 1;
	stack = os_map(stack_room * sizeof(*stack)); /* taken page by page as it grows */
	return stack != NULL;
}

uint64_t leak_mark_gone(void)
{
	return gone;
}

/* ---- reaching ----------------------------------------------------------------------------------------------------- */

static uint64_t pack(struct leak_at at)
{
	return (uint64_t)at.page << PACK_BITS | at.place;
}

static struct leak_at unpack(uint64_t packed)
{
	return (struct leak_at){ (struct leak_page *)(packed >> PACK_BITS), packed & ((1 << PACK_BITS) - 1) };
}

static void push(struct leak_at at)
{
	if (depth < stack_room) /* each block is on it once at most */
		stack[depth++] = pack(at);
}

static ALWAYS_INLINE void reach(struct leak_at at)
{
	struct leak_group *g;
	uint64_t bit;

	if (!at.page)
		return;
	g = leak_group(at);
	bit = leak_bit(at);
	if (g->reached & bit)
		return;
	g->reached |= bit;
	push(at);
	if (UNLIKELY(owner != NULL))
		owner[leak_index_number(at)] = head_now;
}

/* It may lead to a block. */
static NOINLINE void pointer_seen(uint64_t value)
{
	leak_index_prefetch(value);
	if (words_count == WORDS) {
		uint64_t oldest = words[words_head];

		words[words_head] = value;
		words_head = (words_head + 1) % WORDS;
		reach(leak_index_find(oldest));
		return;
	}
	words[(words_head + words_count++) % WORDS] = value;
}

static ALWAYS_INLINE void word_seen(uint64_t value)
{
	if (UNLIKELY(value - lowest <= span))
		pointer_seen(value);
}

static NO_SANITIZE void read_words(uint64_t start, uint64_t end)
{
	const uint64_t low = lowest, width = span; /* in registers: this is most of what marking does */

	for (uint64_t at = (start + WORD - 1) / WORD * WORD; at + WORD <= end; at += WORD) {
		uint64_t value = *(const uint64_t *)at;

		if (UNLIKELY(value - low <= width))
			pointer_seen(value);
	}
}

static NO_SANITIZE void read_everywhere(uint64_t start, uint64_t end)
{
	for (uint64_t at = start; at + WORD <= end; at++) {
		uint64_t value;

		__builtin_memcpy(&value, (const void *)at, sizeof(value));
		word_seen(value);
	}
}

static void read_range(uint64_t start, uint64_t end)
{
	if (LIKELY(step == WORD))
		read_words(start, end);
	else
		read_everywhere(start, end);
}

/* The part of the block that can be read. */
static void read_block(struct leak_at at)
{
	uint64_t start = leak_address(at), end = leak_index_end(at);

	if (start >> LEAK_PAGE_BITS != (end - 1) >> LEAK_PAGE_BITS && !is_readable(start, end))
		end = ((start >> LEAK_PAGE_BITS) + 1) << LEAK_PAGE_BITS;
	bytes_read += end - start;
	read_range(start, end);
}

static bool flush_words(void)
{
	bool some = words_count;

	while (words_count) {
		uint64_t oldest = words[words_head];

		words_head = (words_head + 1) % WORDS;
		words_count--;
		reach(leak_index_find(oldest));
	}
	return some;
}

uint64_t leak_mark_follow(void)
{
	for (;;) {
		while (depth && near_count < NEAR) {
			uint64_t packed = stack[--depth], start = leak_address(unpack(packed));
			uint64_t end = leak_index_end(unpack(packed));

			for (uint64_t line = start; line < end && line < start + AHEAD; line += LINE)
				__builtin_prefetch((const void *)line);
			near[(near_head + near_count++) % NEAR] = packed;
		}
		if (near_count) {
			uint64_t packed = near[near_head];

			near_head = (near_head + 1) % NEAR;
			near_count--;
			read_block(unpack(packed));
		} else if (!flush_words()) {
			return bytes_read;
		}
	}
}

void leak_mark_reach(uint64_t address)
{
	reach(leak_index_find(address));
}

void leak_mark_roots(uint64_t start, uint64_t end)
{
	read_range(start, end);
}

void leak_mark_words(const void *at, size_t bytes)
{
	for (size_t i = 0; i + WORD <= bytes; i += WORD) {
		uint64_t value;

		__builtin_memcpy(&value, (const uint8_t *)at + i, sizeof(value));
		word_seen(value);
	}
}

NO_SANITIZE void leak_mark_mentioned(uint64_t start, uint64_t end)
{
	for (uint64_t at = (start + WORD - 1) / WORD * WORD; at + WORD <= end; at += step) {
		struct leak_at block, own;
		uint64_t value;

		__builtin_memcpy(&value, (const void *)at, sizeof(value));
		if (LIKELY(value - lowest > span))
			continue;
		block = leak_index_find(value);
		if (!block.page)
			continue;
		own = leak_index_find(at);
		if (own.page != block.page || own.place != block.place)
			leak_group(block)->reached |= leak_bit(block);
	}
}

/* ---- the rest ----------------------------------------------------------------------------------------------------- */

static NO_SANITIZE void note_pointed(void *context, struct leak_at from)
{
	uint64_t start = leak_address(from), end = leak_index_end(from);

	(void)context;
	if (start >> LEAK_PAGE_BITS != (end - 1) >> LEAK_PAGE_BITS && !is_readable(start, end))
		return;
	for (uint64_t at = start; at + WORD <= end; at += step) {
		struct leak_at to;
		uint64_t value;

		__builtin_memcpy(&value, (const void *)at, sizeof(value));
		if (value - lowest > span)
			continue;
		to = leak_index_find(value);
		if (to.page && (to.page != from.page || to.place != from.place))
			leak_group(to)->pointed |= leak_bit(to);
	}
}

static void walk_from(struct leak_at head)
{
	head_now = leak_index_number(head);
	reach(head);
	(void)leak_mark_follow();
}

static void walk_unpointed(void *context, struct leak_at at)
{
	(void)context;
	if (!(leak_group(at)->pointed & leak_bit(at)))
		walk_from(at);
}

static void walk_first(void *context, struct leak_at at)
{
	uint64_t *count = context;

	if (leak_group(at)->reached & leak_bit(at))
		return;
	begun[(*count)++] = pack(at);
	head_now = NOBODY;
	reach(at);
	(void)leak_mark_follow();
}

static void forget_first(void *context, struct leak_at at)
{
	(void)context;
	if (owner[leak_index_number(at)] == NOBODY)
		leak_group(at)->reached &= ~leak_bit(at);
}

static void walk_cycles(void)
{
	uint64_t count = 0;

	leak_index_each(walk_first, &count);
	leak_index_each(forget_first, NULL);
	while (count) {
		struct leak_at at = unpack(begun[--count]);

		if (!(leak_group(at)->reached & leak_bit(at)))
			walk_from(at);
	}
}

uint32_t leak_mark_rest(bool *ret_failed)
{
	uint32_t count = leak_index_drop_reached();

	owner_room = count + UINT64_C(1);
	owner = os_map(owner_room * sizeof(*owner));
	begun = os_map(owner_room * sizeof(*begun)); /* taken page by page: mostly there are few cycles */
	*ret_failed = !owner || !begun;
	if (*ret_failed)
		return 0;
	for (uint32_t i = 0; i < count; i++)
		owner[i] = NOBODY;
	leak_index_each(note_pointed, NULL);
	leak_index_each(walk_unpointed, NULL);
	walk_cycles();
	return count;
}

uint32_t leak_mark_owner(uint32_t number)
{
	return owner[number];
}

void leak_mark_reset(void)
{
	os_unmap(stack, stack_room * sizeof(*stack));
	os_unmap(owner, owner_room * sizeof(*owner));
	stack = NULL;
	os_unmap(begun, owner_room * sizeof(*begun));
	owner = NULL;
	begun = NULL;
	depth = bytes_read = gone = 0;
	words_count = near_count = 0;
}
