/*
 * misuse.c - rows of misuse, and the search for the first of two frees.
 *
 * Why a ring  a freed block leaves the table of live blocks at once, or the table would grow with every free. What was
 *             freed lately is in the rings of the threads, 256 frees each; older than that, the free of an address that
 *             is no block is "no block: unknown".
 * First free  its whole stack would cost a walk at every free, as much as the allocation's. The ring keeps the address of
 *             the call to free; as soon as blocks of one allocation stack were freed twice, frees of that stack's blocks
 *             are kept whole, so that the next time both are complete. PERFPROBE_FREE_STACKS=on keeps all of them.
 * Cost        docs/adr/0009.
 */
#include "misuse.h"

#include <assert.h>
#include <dlfcn.h>

#include "capture.h"
#include "compiler.h"
#include "live.h"
#include "lock.h"
#include "losses.h"
#include "os_linux.h"
#include "say.h"
#include "stacks.h"
#include "unwind.h"

#pragma weak _dl_find_object

enum { ROWS_BYTES = MISUSE_MAX_ROWS * sizeof(struct misuse) };
enum { WATCHED = 16, STRANGERS = 2048, STRANGER_PROBES = 32 };

_Atomic bool misuse_watching;

static _Atomic(struct misuse *) rows; /* MISUSE_MAX_ROWS of them, in the live file; NULL: none yet */
static struct lock rows_lock;         /* over rows but their counts, and what follows; rank: inside the threads' */
static uint32_t watched[WATCHED];
static uint32_t watched_count;
static _Atomic bool watch_all, verbose; /* options: order nothing */

/* Blocks that were not recorded; an address or 0. More than fit: from then on an unknown address says nothing. */
static _Atomic uint64_t strangers[STRANGERS];
static _Atomic bool missed_some;

/* The live file's readers know a row by live_layout.h. */
static_assert(sizeof(struct misuse) == sizeof(struct live_misuse), "layout");
static_assert(offsetof(struct misuse, kind) == offsetof(struct live_misuse, kind), "layout");
static_assert(offsetof(struct misuse, allocated) == offsetof(struct live_misuse, allocated), "layout");
static_assert(offsetof(struct misuse, thread) == offsetof(struct live_misuse, thread), "layout");
static_assert(offsetof(struct misuse, time_ns) == offsetof(struct live_misuse, time_ns), "layout");

static const char *const allocated_by[] = {
#define NAME(value, name, alloc, freed) alloc,
	SNAP_FAMILIES(NAME)
#undef NAME
};
static const char *const freed_by[] = {
#define NAME(value, name, alloc, freed) freed,
	SNAP_FAMILIES(NAME)
#undef NAME
};

void misuse_init(const struct config *config)
{
	store_relaxed(&verbose, config->verbose > 0);
	store_relaxed(&watch_all, config->free_stacks != 0);
	store_relaxed(&misuse_watching, config->free_stacks || watched_count > 0);
}

void misuse_fork_child(bool forget)
{
	struct misuse *was = exchange_acq_rel(&rows, NULL); /* one thread: orders nothing */

	store_release(&rows_lock.word, 0); /* its holder does not exist here */
	if (was && !forget)
		live_unmap(was, ROWS_BYTES);
}

/* ---- blocks that were not recorded --------------------------------------------------------------------------------- */

static _Atomic uint64_t *stranger_slot(uint64_t address, unsigned probe)
{
	return &strangers[((address * UINT64_C(0x9e3779b97f4a7c15) >> 40) + probe) % STRANGERS];
}

void misuse_stranger(const void *address)
{
	address = arch_data_address(address);
	for (unsigned i = 0; i < STRANGER_PROBES; i++) {
		_Atomic uint64_t *slot = stranger_slot((uint64_t)address, i);
		uint64_t seen = load_relaxed(slot);

		/* relaxed: who frees the address got it from who was given it */
		if (seen == (uint64_t)address || (!seen && cas_relaxed(slot, &seen, (uint64_t)address)))
			return;
	}
	store_relaxed(&missed_some, true);
}

void misuse_unsure(void)
{
	store_relaxed(&missed_some, true);
}

bool misuse_stranger_gone(const void *address)
{
	address = arch_data_address(address);
	for (unsigned i = 0; i < STRANGER_PROBES; i++) {
		_Atomic uint64_t *slot = stranger_slot((uint64_t)address, i);

		if (load_relaxed(slot) == (uint64_t)address) {
			store_relaxed(slot, 0); /* searches go on past empty slots */
			return true;
		}
	}
	return false;
}

/* ---- rows --------------------------------------------------------------------------------------------------------- */

/* A stack of which only the innermost frame is known: below the mark of a truncated one. */
static bool is_caller_only(uint32_t stack)
{
	uint32_t parent = stack ? stacks_parent(stack) : 0;

	return parent && stacks_parent(parent) == 0 && stacks_pc(parent) == SNAP_PC_TRUNCATED;
}

/* The same free, of which one row knows more: "a better first_freed". */
static bool same_first(uint32_t known, uint32_t now)
{
	if (known == now)
		return true;
	return known && now && stacks_pc(known) == stacks_pc(now) && (is_caller_only(known) || is_caller_only(now));
}

static bool same_row(const struct misuse *a, const struct misuse *b)
{
	return a->kind == b->kind && a->allocated_by == b->allocated_by && a->freed_by == b->freed_by &&
	       a->no_block == b->no_block && a->allocated == b->allocated && a->freed == b->freed &&
	       same_first(a->first_freed, b->first_freed);
}

static char *hex(char *out, uint64_t value)
{
	char *at = out + 19;

	*--at = '\0';
	do {
		*--at = "0123456789abcdef"[value & 15];
		value >>= 4;
	} while (value);
	*--at = 'x';
	*--at = '0';
	return at;
}

static void say_row(const struct misuse *m)
{
	static const char *const no_block[SNAP_NO_BLOCK_COUNT] = { "no block that is known", "on the stack",
		                                                   "in a loaded object", "inside a block",
		                                                   "no memory" };
	char address[20], allocated[20], first[20], freed[20];
	const char *at = hex(address, m->address);
	const char *a = m->allocated ? hex(allocated, stacks_pc(m->allocated)) : "?";
	const char *f = m->first_freed ? hex(first, stacks_pc(m->first_freed)) : "?";
	const char *now = m->freed ? hex(freed, stacks_pc(m->freed)) : "?";

	if (m->kind == SNAP_MISUSE_MISMATCH)
		say("misuse: ", at, ", allocated by ", allocated_by[m->allocated_by], " at ", a, ", is freed by ",
		    freed_by[m->freed_by], " at ", now, NULL);
	else if (m->kind == SNAP_MISUSE_DOUBLE_FREE)
		say("misuse: ", at, " is freed twice: allocated at ", a, ", freed at ", f, ", now by ",
		    freed_by[m->freed_by], " at ", now, NULL);
	else
		say("misuse: ", at, " (", no_block[m->no_block], ") is freed by ", freed_by[m->freed_by], " at ", now,
		    NULL);
}

/* The row for `m`: the one that is there, or the first free one; NULL: there is none. Lock held. */
static struct misuse *row_for(const struct misuse *m)
{
	struct misuse *table = load_relaxed(&rows); /* relaxed: only lock holders write */

	if (!table) {
		table = live_map(LIVE_MISUSE, 0, ROWS_BYTES);
		if (!table)
			return NULL;
		live_activate(table);
		store_release(&rows, table); /* pairs with the acquire in misuse_count */
	}
	for (unsigned i = 0; i < MISUSE_MAX_ROWS; i++) /* filled in order, never taken out */
		if (!load_relaxed(&table[i].count) || same_row(&table[i], m))
			return &table[i];
	return NULL;
}

static void add(const struct misuse *m)
{
	struct misuse *row;
	bool fresh = false;

	lock_enter(&rows_lock);
	row = row_for(m);
	if (row && load_relaxed(&row->count)) {
		if (is_caller_only(row->first_freed))
			row->first_freed = m->first_freed;
		add_relaxed(&row->count, 1);
	} else if (row) {
		fresh = true;
		*row = *m;
		store_release(&row->count, 1); /* pairs with the acquire of the snapshot: the row is complete */
	} else {
		loss_add(LOSS_MISUSE_FULL, 1);
	}
	lock_leave(&rows_lock);
	if (fresh && load_relaxed(&verbose))
		say_row(m);
}

uint32_t misuse_count(void)
{
	struct misuse *table = load_acquire(&rows); /* pairs with the release in row_for */
	uint32_t n = 0;

	while (table && n < MISUSE_MAX_ROWS && load_acquire(&table[n].count)) /* pairs with the release in add() */
		n++;
	return n;
}

const struct misuse *misuse_at(uint32_t i)
{
	return &load_acquire(&rows)[i];
}

/* ---- frees -------------------------------------------------------------------------------------------------------- */

static bool is_watched(uint32_t stack)
{
	uint32_t n = watched_count; /* grows only, and a stale look costs one whole stack */

	for (uint32_t i = 0; i < n && i < WATCHED; i++)
		if (watched[i] == stack)
			return true;
	return load_relaxed(&watch_all);
}

static void watch(uint32_t stack)
{
	lock_enter(&rows_lock);
	if (watched_count < WATCHED && !is_watched(stack)) {
		watched[watched_count] = stack;
		watched_count++;
		store_relaxed(&misuse_watching, true);
	}
	lock_leave(&rows_lock);
}

static uint32_t stack_at(struct thread *th, const void *frame)
{
	struct unwind_start start = unwind_from_frame(frame, th->stack_lo, th->stack_hi);

	return capture_stack(&th->capture, &start);
}

void misuse_freed_watched(struct thread *th, const void *address, uint32_t stack, const void *frame)
{
	struct freed *f = &th->freed[(load_relaxed(&th->freed_head) - 1) % THREAD_FREED];
	bool whole = is_watched(stack);
	uint64_t caller = whole ? stack_at(th, frame) : arch_frame_pc(frame);

	store_relaxed(&f->address, 0); /* a reader between the two words finds nothing */
	store_relaxed(&f->caller, caller | (uint64_t)(stack >> 16 | (whole ? MISUSE_STACK_IS_WHOLE : 0))
	                                           << MISUSE_STACK_SHIFT);
	store_relaxed(&f->address, (uint64_t)address | (uint64_t)stack << MISUSE_STACK_SHIFT);
}

#define ADDRESS_MASK ((UINT64_C(1) << MISUSE_STACK_SHIFT) - 1)

/* The newest free of the address in one thread's ring. */
static bool find_in(const struct thread *th, uint64_t address, uint64_t *ret_caller, uint32_t *ret_stack)
{
	uint32_t head = load_relaxed(&th->freed_head);

	for (uint32_t i = 1; i <= THREAD_FREED; i++) {
		const struct freed *f = &th->freed[(head - i) % THREAD_FREED];
		uint64_t first = load_relaxed(&f->address), caller = load_relaxed(&f->caller);

		if ((first & ADDRESS_MASK) != address || load_relaxed(&f->address) != first)
			continue;
		*ret_caller = caller;
		*ret_stack = (uint32_t)(first >> MISUSE_STACK_SHIFT |
		                        (caller >> MISUSE_STACK_SHIFT & (MISUSE_STACK_IS_WHOLE - 1)) << 16);
		return true;
	}
	return false;
}

static uint32_t first_free(uint64_t caller)
{
	uint64_t value = caller & ADDRESS_MASK;

	if (caller >> MISUSE_STACK_SHIFT & MISUSE_STACK_IS_WHOLE)
		return (uint32_t)value;
	return stacks_child(stacks_child(0, SNAP_PC_TRUNCATED, false), (uintptr_t)value - 1, false);
}

static struct misuse row_make(struct thread *th, const void *address, enum snap_family by, const void *frame)
{
	return (struct misuse){ .freed_by = by,
		                .freed = stack_at(th, frame),
		                .thread = th->record,
		                .address = (uint64_t)address,
		                .time_ns = os_now_ns() };
}

void misuse_mismatch(struct thread *th, const void *address, const struct block *block, enum snap_family by,
                     const void *frame)
{
	struct misuse m = row_make(th, address, by, frame);

	m.kind = SNAP_MISUSE_MISMATCH;
	m.allocated_by = (enum snap_family)block->family;
	m.allocated = block->stack;
	m.bytes = block->bytes;
	add(&m);
}

static enum snap_no_block classify(const struct thread *th, const void *address, struct misuse *m)
{
	struct dl_find_object found;
	struct block around;
	uint64_t start;

	if ((uintptr_t)address - th->stack_lo < th->stack_hi - th->stack_lo)
		return SNAP_NO_BLOCK_STACK;
	if (_dl_find_object && _dl_find_object((void *)(uintptr_t)address, &found) == 0)
		return SNAP_NO_BLOCK_STATIC;
	if (allocs_find_around(address, &around, &start)) {
		m->allocated = around.stack;
		m->allocated_by = (enum snap_family)around.family;
		m->bytes = around.bytes;
		return SNAP_NO_BLOCK_INSIDE;
	}
	return os_readable(address) ? SNAP_NO_BLOCK_UNKNOWN : SNAP_NO_BLOCK_UNMAPPED;
}

/* A double free is only told from the free of a stranger that was given the address meanwhile while strangers are all known. */
static bool freed_before(struct misuse *m)
{
	uint64_t caller;

	if (load_relaxed(&missed_some))
		return false;
	for (const struct thread *other = threads_first(); other; other = other->next) {
		if (!find_in(other, m->address, &caller, &m->allocated))
			continue;
		m->first_freed = first_free(caller);
		return true;
	}
	return false;
}

void misuse_unknown(struct thread *th, const void *address, enum snap_family by, const void *frame)
{
	struct misuse m;

	if (misuse_stranger_gone(address))
		return;
	m = row_make(th, address, by, frame);
	if (freed_before(&m)) {
		m.kind = SNAP_MISUSE_DOUBLE_FREE;
		watch(m.allocated);
		add(&m);
		return;
	}
	m.kind = SNAP_MISUSE_NO_BLOCK;
	m.no_block = classify(th, address, &m);
	if (m.no_block != SNAP_NO_BLOCK_UNKNOWN || !load_relaxed(&missed_some))
		add(&m);
}
