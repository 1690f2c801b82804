/*
 * leak_index.c - blocks as bits.
 *
 * Shape      regions[addr >> 30] ---> slot[addr >> 12 & ...] ---> pages, in segments that do not move. A page of the address
 *            space has a struct leak_page if a block begins in it, or a small one reaches into it.
 * Large      blocks are in a sorted list besides, and only their first page has a leak_page: a gigabyte in one block costs
 *            nothing.
 * Look-up    the last start at or before the place, and the first end at or after that: the sizes are not asked for, so the
 *            table of live blocks is not touched.
 * Numbers    32 bytes for 512 of the heap, 7 % of it where it is in small blocks.
 */
#include "leak_index.h"

#include <stddef.h>

#include "compiler.h"
#include "os_linux.h"
#include "sort.h"

enum { REGION_BITS = 30, REGIONS = 1 << (47 - REGION_BITS + 1), REGION_PAGES = 1 << (REGION_BITS - LEAK_PAGE_BITS) };
enum { SEGMENT_BITS = 10, SEGMENT = 1 << SEGMENT_BITS, SEGMENTS = 1 << 18 };
enum { PLACES = 1 << (LEAK_PAGE_BITS - LEAK_UNIT_BITS) };
#define LARGE_BYTES (UINT64_C(64) << 10)

struct region {
	uint32_t slot[REGION_PAGES]; /* 0: none */
};

struct large {
	uint64_t start, end; /* end in whole units */
};

static struct region *regions[REGIONS];
static struct leak_page **segments;
static uint32_t pages; /* slot 0 is not used */
static struct large *larges;
static uint64_t large_count, large_room;
static uint64_t lowest = UINT64_MAX, highest, blocks;
bool (*leak_index_ends_apart)(uint64_t start);

/* ---- pages -------------------------------------------------------------------------------------------------------- */

static struct leak_page *page_find(uint64_t address)
{
	struct region *r = address >> REGION_BITS < REGIONS ? regions[address >> REGION_BITS] : NULL;
	uint32_t slot = r ? r->slot[address >> LEAK_PAGE_BITS & (REGION_PAGES - 1)] : 0;

	return slot ? &segments[slot >> SEGMENT_BITS][slot & (SEGMENT - 1)] : NULL;
}

static struct leak_page *page_new(uint32_t *slot, uint64_t address)
{
	uint32_t number = pages ? pages : 1;
	struct leak_page *page;

	if (!segments && !(segments = os_map(SEGMENTS * sizeof(*segments))))
		return NULL;
	if (number >> SEGMENT_BITS >= SEGMENTS)
		return NULL;
	if (!segments[number >> SEGMENT_BITS]) {
		segments[number >> SEGMENT_BITS] = os_map(SEGMENT * sizeof(*page));
		if (!segments[number >> SEGMENT_BITS])
			return NULL;
		os_populate(segments[number >> SEGMENT_BITS], SEGMENT * sizeof(*page));
	}
	page = &segments[number >> SEGMENT_BITS][number & (SEGMENT - 1)];
	page->address = address >> LEAK_PAGE_BITS << LEAK_PAGE_BITS;
	*slot = number;
	pages = number + 1;
	return page;
}

static struct leak_page *page_make(uint64_t address)
{
	struct region **r = &regions[address >> REGION_BITS];
	uint32_t *slot;

	if (!*r && !(*r = os_map(sizeof(**r))))
		return NULL;
	slot = &(*r)->slot[address >> LEAK_PAGE_BITS & (REGION_PAGES - 1)];
	return *slot ? &segments[*slot >> SEGMENT_BITS][*slot & (SEGMENT - 1)] : page_new(slot, address);
}

static unsigned place_of(uint64_t address)
{
	return (unsigned)(address >> LEAK_UNIT_BITS) & (PLACES - 1);
}

/* ---- adding ------------------------------------------------------------------------------------------------------- */

static bool add_large(uint64_t start, uint64_t end)
{
	if (large_count == large_room) {
		uint64_t room = large_room ? 2 * large_room : 1024;
		struct large *bigger = os_map(room * sizeof(*bigger));

		if (!bigger)
			return false;
		for (uint64_t i = 0; i < large_count; i++)
			bigger[i] = larges[i];
		os_unmap(larges, large_room * sizeof(*larges));
		larges = bigger;
		large_room = room;
	}
	larges[large_count++] = (struct large){ start, end };
	return true;
}

bool leak_index_add(uint64_t address, uint64_t bytes)
{
	uint64_t start = address >> LEAK_UNIT_BITS << LEAK_UNIT_BITS, last, end;
	struct leak_page *page;
	uint64_t bit = UINT64_C(1) << place_of(address) % 64;

	if (address >> REGION_BITS >= REGIONS || bytes >= UINT64_C(1) << 47)
		return true; /* no address that a process has */
	last = bytes ? (address + bytes - 1) >> LEAK_UNIT_BITS << LEAK_UNIT_BITS : start;
	end = last + (1 << LEAK_UNIT_BITS);
	page = page_make(start);
	if (!page)
		return false;
	if (page->group[place_of(start) / 64].start & bit)
		return true; /* begins in the same unit as another */
	page->group[place_of(start) / 64].start |= bit;
	lowest = start < lowest ? start : lowest;
	highest = end > highest ? end : highest;
	blocks++;
	if (end - start >= LARGE_BYTES)
		return add_large(start, end);
	while (page->address != last >> LEAK_PAGE_BITS << LEAK_PAGE_BITS) {
		page = page_make(page->address + (1 << LEAK_PAGE_BITS));
		if (!page)
			return false;
		page->from = start;
	}
	page->group[place_of(last) / 64].end |= UINT64_C(1) << place_of(last) % 64;
	return true;
}

void leak_index_whole(void)
{
	sort_rows(larges, large_count);
}

/* ---- look-up ------------------------------------------------------------------------------------------------------ */

static const struct large *large_at(uint64_t value)
{
	uint64_t lo = 0, hi = large_count;

	while (lo < hi) {
		uint64_t mid = (lo + hi) / 2;

		if (larges[mid].start <= value)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && value < larges[lo - 1].end ? &larges[lo - 1] : NULL;
}

struct leak_at leak_index_at(uint64_t address)
{
	struct leak_at at = { page_find(address), place_of(address) };

	if (at.page && !(leak_group(at)->start & leak_bit(at)))
		at.page = NULL;
	return at;
}

/* The first end in the page from `place` on; PLACES: none. */
static ALWAYS_INLINE unsigned end_in_page(const struct leak_page *page, unsigned place)
{
	uint64_t bits = page->group[place / 64].end >> place % 64;

	if (bits)
		return place + (unsigned)__builtin_ctzll(bits);
	for (unsigned i = place / 64 + 1; i < LEAK_GROUPS; i++)
		if (page->group[i].end)
			return i * 64 + (unsigned)__builtin_ctzll(page->group[i].end);
	return PLACES;
}

/* The last start in the page up to `place`; PLACES: none. */
static ALWAYS_INLINE unsigned start_in_page(const struct leak_page *page, unsigned place)
{
	uint64_t bits = page->group[place / 64].start << (63 - place % 64);

	if (bits)
		return place - (unsigned)__builtin_clzll(bits);
	for (unsigned i = place / 64; i > 0; i--)
		if (page->group[i - 1].start)
			return i * 64 - 1 - (unsigned)__builtin_clzll(page->group[i - 1].start);
	return PLACES;
}

static ALWAYS_INLINE struct leak_at find_inside(uint64_t value)
{
	struct leak_page *page = page_find(value);
	unsigned place = place_of(value), start;
	const struct large *l;

	if (LIKELY(page != NULL)) {
		start = start_in_page(page, place);
		if (LIKELY(start < PLACES))
			return (struct leak_at){ end_in_page(page, start) >= place ? page : NULL, start };
		if (page->from)
			return end_in_page(page, 0) >= place ? leak_index_at(page->from) : (struct leak_at){ NULL, 0 };
	}
	l = large_at(value);
	return l ? leak_index_at(l->start) : (struct leak_at){ NULL, 0 };
}

struct leak_at leak_index_find(uint64_t value)
{
	struct leak_at at = { NULL, 0 };

	if (value < lowest || value > highest)
		return at;
	at = find_inside(value);
	if (at.page || value % (1 << LEAK_UNIT_BITS))
		return at;
	at = find_inside(value - 1);
	if (at.page && UNLIKELY(leak_index_ends_apart != NULL) && leak_index_ends_apart(leak_address(at)))
		at.page = NULL;
	return at;
}

void leak_index_prefetch(uint64_t value)
{
	const struct leak_page *page = page_find(value);

	if (page)
		__builtin_prefetch(&page->group[place_of(value) / 64]);
}

struct leak_page *leak_index_page(uint64_t address)
{
	return page_find(address);
}

uint64_t leak_index_end(struct leak_at at)
{
	const struct leak_page *page = at.page;
	uint64_t address = leak_address(at);
	unsigned end = end_in_page(page, at.place);
	const struct large *l;

	if (LIKELY(end < PLACES))
		return page->address + (uint64_t)(end + 1) * (1 << LEAK_UNIT_BITS);
	l = large_at(address);
	if (l && l->start == address)
		return l->end;
	do
		page = page_find(page->address + (1 << LEAK_PAGE_BITS));
	while (page && page->from == address && (end = end_in_page(page, 0)) == PLACES);
	return page && page->from == address ? page->address + (uint64_t)(end + 1) * (1 << LEAK_UNIT_BITS) : address;
}

/* ---- all of them -------------------------------------------------------------------------------------------------- */

void leak_index_each_page(void (*visit)(void *context, struct leak_page *page), void *context)
{
	for (unsigned i = 0; i < REGIONS; i++)
		for (unsigned p = 0; regions[i] && p < REGION_PAGES; p++)
			if (regions[i]->slot[p])
				visit(context, page_find((uint64_t)i << REGION_BITS | (uint64_t)p << LEAK_PAGE_BITS));
}

static void drop_in_page(void *context, struct leak_page *page)
{
	uint32_t *count = context;

	page->numbers = *count;
	for (unsigned i = 0; i < LEAK_GROUPS; i++) {
		page->group[i].start &= ~page->group[i].reached;
		page->group[i].reached = 0;
		*count += (uint32_t)__builtin_popcountll(page->group[i].start);
	}
}

uint32_t leak_index_drop_reached(void)
{
	uint32_t count = 0;

	leak_index_each_page(drop_in_page, &count);
	return count;
}

uint32_t leak_index_number(struct leak_at at)
{
	uint32_t n = at.page->numbers;

	for (unsigned i = 0; i < at.place / 64; i++)
		n += (uint32_t)__builtin_popcountll(at.page->group[i].start);
	return n + (uint32_t)__builtin_popcountll(leak_group(at)->start & (leak_bit(at) - 1));
}

struct visiting {
	void (*visit)(void *context, struct leak_at at);
	void *context;
};

static void visit_page(void *context, struct leak_page *page)
{
	const struct visiting *v = context;

	for (unsigned i = 0; i < LEAK_GROUPS; i++)
		for (uint64_t bits = page->group[i].start; bits; bits &= bits - 1)
			v->visit(v->context, (struct leak_at){ page, i * 64 + (unsigned)__builtin_ctzll(bits) });
}

void leak_index_each(void (*visit)(void *context, struct leak_at at), void *context)
{
	struct visiting v = { visit, context };

	leak_index_each_page(visit_page, &v);
}

uint64_t leak_index_lowest(void)
{
	return lowest;
}

uint64_t leak_index_highest(void)
{
	return highest;
}

uint64_t leak_index_blocks(void)
{
	return blocks;
}

bool leak_index_any(uint64_t start, uint64_t end)
{
	const struct region *r;

	if (start > highest || end <= lowest)
		return false;
	start = start >> LEAK_PAGE_BITS << LEAK_PAGE_BITS;
	for (uint64_t at = start; at < end && at >> REGION_BITS < REGIONS; at += 1 << LEAK_PAGE_BITS) {
		r = regions[at >> REGION_BITS];
		if (!r)
			at = (((at >> REGION_BITS) + 1) << REGION_BITS) - (1 << LEAK_PAGE_BITS);
		else if (r->slot[at >> LEAK_PAGE_BITS & (REGION_PAGES - 1)])
			return true;
	}
	return false;
}

void leak_index_reset(void)
{
	for (unsigned i = 0; i < REGIONS; i++) {
		os_unmap(regions[i], sizeof(*regions[i]));
		regions[i] = NULL;
	}
	for (unsigned i = 0; segments && i < SEGMENTS; i++)
		os_unmap(segments[i], SEGMENT * sizeof(struct leak_page));
	os_unmap(segments, SEGMENTS * sizeof(*segments));
	os_unmap(larges, large_room * sizeof(*larges));
	segments = NULL;
	larges = NULL;
	pages = 0;
	large_count = large_room = blocks = highest = 0;
	lowest = UINT64_MAX;
}
