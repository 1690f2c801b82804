/*
 * recorder.c - what happens at an allocation and at a free.
 *
 * full mode     each block is stored.
 * sampled mode  a countdown of bytes per thread; the block that takes it below zero is stored and the countdown is drawn
 *               anew (poisson.h). It counts 1/p times, which follows from its size, so that is not stored. A free first asks
 *               whether the block's page has a stored one.
 * peak          each thread adds its live bytes to the process's total when they moved by more than 1/1024 of the peak (at
 *               least 4 KiB); between, it remembers its own highest value, so that a single-threaded program's peak is exact. When
 *               the total passes the last mark by 1/64, the epoch moves on and each counter keeps what was live
 *               (counters.h): "live at the peak" per stack, without touching the stacks that did not change.
 */
#include "recorder.h"

#include "compiler.h"
#include "losses.h"
#include "misuse.h"
#include "os_linux.h"
#include "poisson.h"
#include "samples.h"
#include "threads.h"
#include "unwind.h"
#include "units.h"

enum { PENDING_MIN = 4096 };

enum config_heap recorder_mode = HEAP_OFF;
static uint64_t interval = 1;
static uint64_t seed;
static bool seed_given;
static uint64_t start_ns;
static _Atomic uint32_t tenths;
static _Atomic uint64_t threads_seeded;
static int64_t total_at_fork;
static bool inherits; /* a forked child that has not counted yet what it inherited */

static _Atomic int64_t live_total;
static _Atomic int64_t peak_high; /* highest total seen */
static _Atomic int64_t peak_mark; /* the total at which the epoch last moved */
static _Atomic uint64_t peak_ns;
static _Atomic int64_t pending_limit = PENDING_MIN; /* peak / 1024, at least PENDING_MIN */

void recorder_init(const struct config *config)
{
	recorder_mode = (enum config_heap)config->heap;
	interval = config->heap_interval;
	seed_given = config->seed != 0;
	seed = config->seed ? config->seed : os_now_ns() ^ (uint64_t)os_pid() << 32;
	start_ns = os_now_ns();
	misuse_init(config);
}

void recorder_tick(uint64_t now_ns)
{
	store_relaxed(&tenths, (uint32_t)((now_ns - start_ns) / (NS_PER_S / 10)));
}

/* ---- totals and peak ---------------------------------------------------------------------------------------------- */

static void atomic_raise(_Atomic int64_t *to, int64_t value)
{
	int64_t seen = load_relaxed(to);

	while (seen < value && !cas_relaxed(to, &seen, value))
		continue;
}

static NOINLINE void pending_flush(struct thread *th)
{
	int64_t before = add_relaxed(&live_total, th->pending);
	int64_t high = before + th->pending_high;
	int64_t mark = load_relaxed(&peak_mark);

	th->pending = th->pending_high = 0;
	if (high <= load_relaxed(&peak_high))
		return;
	atomic_raise(&peak_high, high);
	store_relaxed(&peak_ns, os_now_ns());
	if (high / 1024 > PENDING_MIN)
		store_relaxed(&pending_limit, high / 1024);
	if (high > mark + mark / 64 && cas_relaxed(&peak_mark, &mark, high))
		add_relaxed(&counters_epoch_now, 1);
}

static void live_changed(struct thread *th, int64_t delta)
{
	int64_t limit = load_relaxed(&pending_limit);

	th->pending += delta;
	if (th->pending > th->pending_high)
		th->pending_high = th->pending;
	if (UNLIKELY(th->pending > limit || th->pending < -limit))
		pending_flush(th);
}

void recorder_thread_end(struct tls *t)
{
	if (t->thread)
		pending_flush(t->thread);
	threads_end(t);
}

struct recorder_totals recorder_totals(void)
{
	struct recorder_totals totals;
	int64_t high = load_relaxed(&peak_high), live = load_relaxed(&live_total);

	/* What single threads still hold back, read while they run: within 1/1024 of the peak each. */
	for (struct thread *th = threads_first(); th; th = th->next)
		if (load_relaxed(&th->use) != THREAD_FREE && live + th->pending_high > high)
			high = live + th->pending_high;
	totals.peak_bytes = high > 0 ? (uint64_t)high : 0;
	totals.peak_ns = load_relaxed(&peak_ns);
	return totals;
}

/* ---- blocks ------------------------------------------------------------------------------------------------------- */

/* What a block stands for: itself in full mode, 1/p blocks of its size in sampled mode. Both are functions of the size
 * alone, so that a free takes out exactly what its allocation put in. */
struct share {
	uint64_t count, bytes;
};

static struct share share_of(const struct block *b)
{
	struct share s = { 1, b->bytes };
	double weight;

	if (LIKELY(recorder_mode == HEAP_FULL))
		return s;
	weight = poisson_weight(b->bytes, interval);
	s.count = (uint64_t)(weight * RECORDER_COUNT_SCALE + 0.5);
	s.bytes = (uint64_t)(weight * (double)b->bytes + 0.5);
	return s;
}

/* ---- a forked child ------------------------------------------------------------------------------------------------ */

/* The child's table of live blocks is as it was at the instant of the fork, whatever other threads did meanwhile: counters
 * in shared memory are not, and a copy of them made before would be older. So the child begins without counters; what was
 * live at the fork is what is live now, less what it allocated and plus what it freed since. */
void recorder_fork_child(bool forget)
{
	if (!seed_given)
		seed ^= (uint64_t)os_pid() << 32;
	inherits = recorder_mode != HEAP_OFF;
	total_at_fork = load_relaxed(&live_total);
	if (tls_self.thread) { /* the only one left; what the others held back is counted when the child settles */
		total_at_fork += tls_self.thread->pending;
		store_relaxed(&live_total, total_at_fork);
		tls_self.thread->pending = tls_self.thread->pending_high = 0;
	}
	store_relaxed(&peak_high, load_relaxed(&live_total));
	store_relaxed(&peak_mark, load_relaxed(&live_total));
	store_relaxed(&peak_ns, os_now_ns());
	add_relaxed(&counters_epoch_now, 1);
	misuse_fork_child(forget);
}

struct settling {
	struct counters *to;
	int64_t live; /* bytes at the fork */
};

static void settle_block(void *context, const struct block *b)
{
	struct settling *s = context;
	struct counter *c = counters_at(s->to, counters_key(b->stack));
	struct share share = share_of(b);

	if (!c) {
		loss_add(LOSS_HEAP_UNTRACKED, 1);
		return;
	}
	own_add(&c->alloc_count, share.count);
	own_add(&c->alloc_bytes, share.bytes);
	s->live += (int64_t)share.bytes;
}

static void settle_since(void *context, const struct counter *since)
{
	struct settling *s = context;
	uint64_t count = load_relaxed(&since->alloc_count) - load_relaxed(&since->free_count);
	uint64_t bytes = load_relaxed(&since->alloc_bytes) - load_relaxed(&since->free_bytes);
	struct counter *c = count || bytes ? counters_at(s->to, load_relaxed(&since->key)) : NULL;

	if (!c)
		return; /* nothing changed, or settle_block counted the loss */
	own_add(&c->alloc_count, -count);
	own_add(&c->alloc_bytes, -bytes);
	s->live -= (int64_t)bytes;
}

void recorder_settle(void)
{
	struct tls *t = &tls_self;
	struct settling s = { .to = threads_ended_counters() };

	if (!inherits || t->guard & GUARD_ALLOC || !guard_enter(t, GUARD_TABLE))
		return;
	inherits = false;
	allocs_each(settle_block, &s);
	for (struct thread *th = threads_first(); th; th = th->next)
		if (load_relaxed(&th->use) != THREAD_FREE)
			counters_each(&th->counters, settle_since, &s);
	/* The total was without what other threads held back. */
	add_relaxed(&live_total, s.live - total_at_fork);
	add_relaxed(&peak_high, s.live - total_at_fork);
	guard_leave(t, GUARD_TABLE);
}

static void count_alloc(struct thread *th, const struct block *b)
{
	struct counter *c = counters_at(&th->counters, counters_key(b->stack));
	struct share share = share_of(b);

	if (!c) {
		loss_add(LOSS_HEAP_UNTRACKED, 1);
		return;
	}
	counter_touch(c);
	own_add(&c->alloc_count, share.count);
	own_add(&c->alloc_bytes, share.bytes);
	live_changed(th, (int64_t)share.bytes);
}

static void count_free(struct thread *th, const struct block *b, bool temporary)
{
	struct counter *c = counters_at(&th->counters, counters_key(b->stack));
	struct share share = share_of(b);

	if (!c) {
		loss_add(LOSS_HEAP_UNTRACKED, 1);
		return;
	}
	counter_touch(c);
	own_add(&c->free_count, share.count);
	own_add(&c->free_bytes, share.bytes);
	if (temporary)
		own_add(&c->temporary_count, share.count);
	live_changed(th, -(int64_t)share.bytes);
}

/* Guarded part of an event: tables may change. */
static void table_leave(struct tls *t, struct thread *th)
{
	guard_leave(t, GUARD_TABLE);
	if (UNLIKELY(th->deferred_depth))
		samples_flush(t, th);
}

static NOINLINE void store_block(struct tls *t, struct thread *th, const void *address, size_t size,
                                 enum snap_family family, const void *frame)
{
	struct unwind_start start = unwind_from_frame(frame, th->stack_lo, th->stack_hi);
	struct block block = { .bytes = size, .born = load_relaxed(&tenths), .family = family }, was;
	bool replaced;

	if (!guard_enter(t, GUARD_TABLE)) {
		loss_add(LOSS_HEAP_NESTED, 1); /* a signal handler that allocates */
		misuse_stranger(address);
		return;
	}
	block.stack = capture_stack(&th->capture, &start);
	if (allocs_put(address, &block, &was, &replaced)) {
		if (replaced) {
			loss_add(LOSS_HEAP_REUSED, 1);
			count_free(th, &was, false);
		}
		count_alloc(th, &block);
	} else {
		loss_add(LOSS_HEAP_UNTRACKED, 1);
		misuse_stranger(address);
	}
	th->last_alloc = address;
	th->last_seq = t->allocs;
	table_leave(t, th);
}

/* The thread's countdown ran out: is this block a sample? Draws the next gap. */
static bool draw(struct tls *t, struct thread *th, size_t size)
{
	if (UNLIKELY(th->random == 0)) {
		/* Its first allocation: nothing was drawn yet, so this block is charged only now. */
		th->random = seed + add_relaxed(&threads_seeded, 1) * UINT64_C(0xd1342543de82ef95);
		t->countdown = poisson_gap(&th->random, interval) - (int64_t)size - 1;
		if (t->countdown > 0)
			return false;
	}
	t->countdown = poisson_gap(&th->random, interval);
	return true;
}

void recorder_alloc(struct tls *t, const void *address, size_t size, enum snap_family family, const void *frame)
{
	struct thread *th = threads_enter(t);

	if (UNLIKELY(!th)) {
		loss_add(LOSS_HEAP_UNTRACKED, 1);
		misuse_stranger(address);
		return;
	}
	if (recorder_mode == HEAP_FULL || draw(t, th, size))
		store_block(t, th, address, size, family, frame);
	threads_leave(t, th);
}

/* Is the free of a block that is not known worth a look? Not in sampled mode, where most blocks are not known. */
static bool all_known(void)
{
	return recorder_mode == HEAP_FULL;
}

void recorder_free(struct tls *t, const void *address, enum snap_family freed_by, const void *frame)
{
	struct thread *th = threads_enter(t);
	struct block block;

	if (UNLIKELY(!th)) {
		loss_add(LOSS_HEAP_UNTRACKED, 1);
		return;
	}
	if (LIKELY(guard_enter(t, GUARD_TABLE))) {
		if (LIKELY(allocs_take(address, &block))) {
			misuse_freed(th, address, block.stack, frame);
			count_free(th, &block, th->last_alloc == address && th->last_seq == t->allocs);
			if (UNLIKELY(!misuse_matches(block.family, freed_by)))
				misuse_mismatch(th, address, &block, freed_by, frame);
		} else if (all_known()) {
			misuse_unknown(th, address, freed_by, frame);
		}
		table_leave(t, th);
	}
	threads_leave(t, th);
}

void recorder_misused(struct tls *t, const void *address, const struct block *block, enum snap_family freed_by,
                      const void *frame)
{
	struct thread *th = threads_enter(t);

	if (!th)
		return;
	if (guard_enter(t, GUARD_TABLE)) {
		if (block)
			misuse_mismatch(th, address, block, freed_by, frame);
		else if (all_known())
			misuse_unknown(th, address, freed_by, frame);
		table_leave(t, th);
	}
	threads_leave(t, th);
}

bool recorder_take(struct tls *t, const void *address, struct block *ret_block)
{
	bool found;

	if (!allocs_maybe(address))
		return false;
	if (!guard_enter(t, GUARD_TABLE))
		return false;
	found = allocs_take(address, ret_block);
	guard_leave(t, GUARD_TABLE);
	if (t->thread && UNLIKELY(t->thread->deferred_depth))
		samples_flush(t, t->thread);
	return found;
}

void recorder_freed(struct tls *t, const void *address, const struct block *block, const void *frame)
{
	struct thread *th = threads_enter(t);

	if (!th) {
		loss_add(LOSS_HEAP_UNTRACKED, 1);
		return;
	}
	if (guard_enter(t, GUARD_TABLE)) {
		bool temporary = th->last_alloc == address && th->last_seq == t->allocs;

		misuse_freed(th, address, block->stack, frame);
		count_free(th, block, temporary);
		table_leave(t, th);
	}
	threads_leave(t, th);
}

void recorder_restore(struct tls *t, const void *address, const struct block *block)
{
	struct block was;
	bool replaced;

	if (!guard_enter(t, GUARD_TABLE))
		return;
	if (!allocs_put(address, block, &was, &replaced))
		loss_add(LOSS_HEAP_UNTRACKED, 1);
	guard_leave(t, GUARD_TABLE);
	if (t->thread && UNLIKELY(t->thread->deferred_depth))
		samples_flush(t, t->thread);
}
