/*
 * leak_unforked.c - ranges that fork leaves out, and a copy of their pages made while the threads are held.
 *
 * Shape      an array of ranges that do not overlap, in no order: a few devices' buffers, or keys. One lock.
 * Limit      RANGES of them and KEEP_BYTES of their written pages, since the program waits while they are copied. What is beyond is
 *            counted, and the report says so.
 */
#include "leak_unforked.h"

#include "atomic.h"
#include "compiler.h"
#include "leak_pages.h"
#include "lock.h"
#include "os_linux.h"
#include "units.h"

enum { RANGES = 1024, KEEP_BYTES = 64 << 20, PIECE = 64 << 10, PAGE = 4096 };
#define PATIENCE_NS (NS_PER_S / 10)

struct range {
	uint64_t start, end;
	bool wiped; /* a forked child has it */
};

static struct lock lock; /* rank: innermost */
static struct range ranges[RANGES];
static _Atomic uint32_t count;   /* relaxed: only the lock's holder writes, and who reads 0 has none of its own */
static _Atomic uint64_t refused; /* bytes of ranges that could not be noted */

static uint8_t *kept; /* NULL: no memory, or nothing to keep */
static size_t kept_bytes;
static uint64_t lost;

bool leak_unforked_any(void)
{
	return load_relaxed(&count) != 0;
}

/* False: the program's signal handler has interrupted the holder, and waits for itself. */
static bool enter(void)
{
	return lock_within(&lock, PATIENCE_NS);
}

/* ---- ranges ------------------------------------------------------------------------------------------------------- */

/* Lock held. */
static void add(uint64_t start, uint64_t end, bool wiped)
{
	uint32_t n = load_relaxed(&count);

	if (n == RANGES) {
		add_relaxed(&refused, end - start);
		return;
	}
	ranges[n] = (struct range){ start, end, wiped };
	store_relaxed(&count, n + 1);
}

/* Lock held. Returns whether something was there, and of which kind. */
static bool cut(uint64_t start, uint64_t end, bool *ret_wiped)
{
	bool found = false;

	for (uint32_t i = load_relaxed(&count); i > 0; i--) {
		struct range r = ranges[i - 1];

		if (r.end <= start || r.start >= end)
			continue;
		found = true;
		*ret_wiped = r.wiped;
		store_relaxed(&count, load_relaxed(&count) - 1);
		ranges[i - 1] = ranges[load_relaxed(&count)];
		if (r.start < start)
			add(r.start, start, r.wiped);
		if (r.end > end)
			add(end, r.end, r.wiped);
	}
	return found;
}

void leak_unforked_add(const void *start, size_t bytes, bool wiped)
{
	bool was;

	if (!enter()) {
		add_relaxed(&refused, bytes);
		return;
	}
	(void)cut((uint64_t)start, (uint64_t)start + bytes, &was); /* of the other kind, or told before */
	if (bytes)
		add((uint64_t)start, (uint64_t)start + bytes, wiped);
	lock_leave(&lock);
}

void leak_unforked_remove(const void *start, size_t bytes)
{
	bool was;

	if (!enter())
		return; /* the range stays: what is there by then can only hide a leak */
	(void)cut((uint64_t)start, (uint64_t)start + bytes, &was);
	lock_leave(&lock);
}

void leak_unforked_moved(const void *from, size_t old_bytes, const void *to, size_t bytes)
{
	bool wiped;

	if (!enter())
		return;
	if (cut((uint64_t)from, (uint64_t)from + old_bytes, &wiped))
		add((uint64_t)to, (uint64_t)to + bytes, wiped);
	lock_leave(&lock);
}

/* ---- their content ------------------------------------------------------------------------------------------------ */

void leak_unforked_prepare(void)
{
	if (leak_unforked_any() && !kept)
		kept = os_map(KEEP_BYTES); /* taken page by page */
}

static void keep_piece(uint64_t at, size_t bytes)
{
	if (!kept || kept_bytes + bytes > KEEP_BYTES) {
		lost += bytes;
		return;
	}
	if (os_read_memory((const void *)at, kept + kept_bytes, bytes)) {
		kept_bytes += bytes;
		return;
	}
	for (size_t done = 0; done < bytes; done += PAGE) /* not all of it can be read: nor by the program */
		if (os_read_memory((const void *)(at + done), kept + kept_bytes, PAGE))
			kept_bytes += PAGE;
}

static void keep_run(void *context, uint64_t start, uint64_t end)
{
	(void)context;
	for (uint64_t at = start; at < end; at += PIECE)
		keep_piece(at, end - at < PIECE ? (size_t)(end - at) : PIECE);
}

/* The lock is not taken: who holds it may be held himself, and then a range is missing or there twice. */
void leak_unforked_keep(void)
{
	struct leak_pages pages;
	uint32_t n = load_relaxed(&count);
	uint64_t unasked;

	kept_bytes = 0;
	lost = load_relaxed(&refused);
	if (!n)
		return;
	leak_pages_open(&pages);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t start = ranges[i].start / PAGE * PAGE, end = (ranges[i].end + PAGE - 1) / PAGE * PAGE;

		if (leak_pages_each(&pages, LEAK_PAGES_ANY, start, end, keep_run, NULL, &unasked))
			lost += unasked;
		else
			keep_run(NULL, start, end - start < KEEP_BYTES ? end : start + KEEP_BYTES);
	}
	leak_pages_close(&pages);
}

const void *leak_unforked_kept(size_t *ret_bytes)
{
	*ret_bytes = kept_bytes;
	return kept;
}

uint64_t leak_unforked_lost(void)
{
	return lost;
}

void leak_unforked_fork_child(void)
{
	store_relaxed(&lock.word, 0); /* its holder does not exist here */
	for (uint32_t i = load_relaxed(&count); i > 0; i--) {
		if (ranges[i - 1].wiped)
			continue;
		store_relaxed(&count, load_relaxed(&count) - 1);
		ranges[i - 1] = ranges[load_relaxed(&count)];
	}
}
