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
 * probes        what costs more than a count (when a block was born, what the allocator gave for it, which thread holds it) is
 *               kept for some blocks only (probes.h), chosen when they are allocated: all samples in sampled mode; in full
 *               mode a stack's first ones, large ones, and of the others one in PERFPROBE_DETAIL, which then counts for as
 *               many. A block counts the same when it is freed, so what remains adds up: docs/adr/0013.
 */
#include "recorder.h"

#include "arch.h"
#include "compiler.h"
#include "losses.h"
#include "mappings.h"
#include "misuse.h"
#include "os_linux.h"
#include "poisson.h"
#include "pools.h"
#include "probes.h"
#include "real.h"
#include "samples.h"
#include "threads.h"
#include "unwind.h"
#include "units.h"

enum { PENDING_MIN = 4096 };
enum { PROBE_FIRST = 256, PROBE_LARGE = 64 << 10, DETAIL_MAX = 1 << 16 };

enum config_heap recorder_mode = HEAP_OFF;
static uint64_t interval = 1;
static uint64_t seed;
static bool seed_given;
static uint64_t start_ns;
static _Atomic uint32_t tenths;
static uint64_t detail; /* PERFPROBE_DETAIL */
/* Blocks that are probes for certain: a stack's first ones, and those of this size. */
static uint64_t probe_first, probe_from_bytes = UINT64_MAX;
static unsigned generation; /* forks since the first process, modulo 2^15 */
static _Atomic uint64_t threads_seeded;
static int64_t total_at_fork;
static bool inherits; /* a forked child that has not counted yet what it inherited */

static _Atomic int64_t live_total;
static _Atomic int64_t peak_high; /* highest total seen */
static _Atomic int64_t peak_mark; /* the total at which the epoch last moved */
static _Atomic uint64_t peak_ns;
static _Atomic int64_t pending_limit = PENDING_MIN; /* peak / 1024, at least PENDING_MIN */

uint64_t recorder_detail(const struct config *config)
{
	if (config->detail && config->heap != HEAP_FULL)
		return 1;
	return config->detail < DETAIL_MAX ? config->detail : DETAIL_MAX;
}

void recorder_init(const struct config *config)
{
	recorder_mode = (enum config_heap)config->heap;
	interval = config->heap_interval;
	detail = recorder_detail(config);
	probe_first = detail ? PROBE_FIRST : 0;
	probe_from_bytes = detail == 0 ? UINT64_MAX : detail == 1 ? 0 : PROBE_LARGE;
	seed_given = config->seed != 0;
	seed = config->seed ? config->seed : os_now_ns() ^ (uint64_t)os_pid() << 32;
	start_ns = os_now_ns();
	allocs_init(recorder_mode != HEAP_FULL);
	misuse_init(config);
}

void recorder_heap_off(void)
{
	recorder_mode = HEAP_OFF;
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

static ALWAYS_INLINE void live_changed(struct thread *th, int64_t delta)
{
	int64_t limit = load_relaxed(&pending_limit), pending = th->pending + delta;

	th->pending = pending;
	if (pending > th->pending_high)
		th->pending_high = pending;
	if (UNLIKELY((uint64_t)(pending + limit) > 2 * (uint64_t)limit))
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

static NOINLINE struct share sampled_share(uint64_t bytes)
{
	double weight = poisson_weight(bytes, interval);

	return (struct share){ (uint64_t)(weight * RECORDER_COUNT_SCALE + 0.5),
		               (uint64_t)(weight * (double)bytes + 0.5) };
}

static ALWAYS_INLINE struct share share_of(const struct block *b)
{
	return LIKELY(recorder_mode == HEAP_FULL) ? (struct share){ 1, b->bytes } : sampled_share(b->bytes);
}

/* ---- probes ------------------------------------------------------------------------------------------------------- */

/* block.born: the number of a probe << 1 | 1, or tenths of a second since start << 1. */
static ALWAYS_INLINE bool is_probe(const struct block *b)
{
	return b->born & 1;
}

static uint64_t draw_seed(void)
{
	return seed + add_relaxed(&threads_seeded, 1) * UINT64_C(0xd1342543de82ef95);
}

static uint64_t draw_gap(struct thread *th)
{
	return 1 + poisson_random(&th->random) % (2 * detail - 1);
}

/* Full mode: is it this one's turn, one in `detail`? The gaps are uniform with that mean; the first is what is left of one. */
static NOINLINE bool turn_now(struct thread *th)
{
	uint64_t gap, other;

	if (!detail) {
		th->probe_gap = UINT64_MAX;
		return false;
	}
	if (LIKELY(th->random != 0)) {
		th->probe_gap = draw_gap(th);
		return true;
	}
	th->random = draw_seed();
	gap = draw_gap(th);
	other = draw_gap(th);
	th->probe_gap = gap < other ? gap : other;
	return th->probe_gap == 1 && turn_now(th);
}

static ALWAYS_INLINE bool turn(struct thread *th)
{
	if (UNLIKELY(th->probe_gap <= 1))
		return turn_now(th);
	th->probe_gap--;
	return false;
}

static uint32_t slop_of(const void *address, const struct block *b, bool own_new)
{
	size_t usable;

	if (b->family > SNAP_FAMILY_NEW_ARRAY_ALIGNED || !(own_new ? real_knows_usable_of_new : real_knows_usable))
		return 0;
	usable = real.malloc_usable_size((void *)address);
	return usable <= b->bytes ? 0 : usable - b->bytes < UINT32_MAX ? (uint32_t)(usable - b->bytes) : UINT32_MAX;
}

static NOINLINE void probe_begin(struct tls *t, struct thread *th, const void *address, struct block *b, bool weighted)
{
	uint32_t number = probes_take(&th->probes);
	struct probe *p;

	if (!number) {
		loss_add(LOSS_HEAP_PROBES, 1);
		return;
	}
	p = probes_at(number);
	p->slop = slop_of(address, b, t->own_new);
	p->thread = (uint16_t)th->record;
	p->generation = generation & 0x7fffu;
	p->weighted = weighted;
	p->born_ns = os_now_ns(); /* last: what went before is not part of its life */
	b->born = (uint64_t)number << 1 | 1;
}

/* Before the block is stored. `c` is its stack's. */
static ALWAYS_INLINE void probe_maybe(struct tls *t, struct thread *th, const void *address, struct block *b,
                                      const struct counter *c)
{
	bool each = b->bytes >= probe_from_bytes || load_relaxed(&c->alloc_count) < probe_first;

	if (UNLIKELY(each) || UNLIKELY(turn(th)))
		probe_begin(t, th, address, b, !each);
}

struct recorder_share recorder_share_of(const struct block *b)
{
	struct share share = share_of(b);
	struct recorder_share all = { share.count, share.bytes, 0 };

	/* Horvitz-Thompson: the variance of a sum is estimated by the sum of (1 - p) / p^2 of the sampled values' squares. */
	if (recorder_mode == HEAP_SAMPLED)
		all.variance = (double)share.bytes * (double)(share.bytes - b->bytes);
	return all;
}

uint64_t recorder_born_ns(const struct block *b)
{
	return is_probe(b) ? probes_at((uint32_t)(b->born >> 1))->born_ns : start_ns + (b->born >> 1) * (NS_PER_S / 10);
}

uint64_t recorder_live_bytes(void)
{
	int64_t live = load_relaxed(&live_total);

	return live > 0 ? (uint64_t)live : 0;
}

/* What the probe of block `b`, which counts `share`, stands for. */
static struct share probe_share(const struct probe *p, struct share share)
{
	uint64_t times = p->weighted ? detail : 1;

	return (struct share){ share.count * times, share.bytes * times };
}

static uint64_t probe_slop(const struct probe *p, struct share of)
{
	return recorder_mode == HEAP_FULL ? p->slop * of.count
	                                  : (uint64_t)((double)p->slop * (double)of.count / RECORDER_COUNT_SCALE + 0.5);
}

/* Adds the block to what lives, or takes it off. */
static struct counter_detail *probe_count(struct thread *th, struct counter *c, const struct probe *p, struct share of,
                                          int64_t sign)
{
	struct thread_heap *heap = threads_heap_make(p->generation == generation ? p->thread : 0);
	struct counter_detail *d = counter_detail_of(load_relaxed(&th->counters.now), c);

	if (heap) {
		add_relaxed(&heap->live_count, sign * (int64_t)of.count); /* sums: they order nothing */
		add_relaxed(&heap->live_bytes, sign * (int64_t)of.bytes);
	}
	own_add(&d->slop_bytes, sign * (int64_t)probe_slop(p, of));
	return d;
}

static NOINLINE void probe_born(struct thread *th, struct counter *c, const struct block *b, struct share share)
{
	const struct probe *p = probes_at((uint32_t)(b->born >> 1));

	(void)probe_count(th, c, p, probe_share(p, share), 1);
}

static NOINLINE void probe_died(struct thread *th, struct counter *c, const struct block *b, struct share share)
{
	uint32_t number = (uint32_t)(b->born >> 1);
	const struct probe *p = probes_at(number);
	struct share of = probe_share(p, share);
	uint64_t age = os_now_ns() - p->born_ns;
	struct counter_detail *d = probe_count(th, c, p, of, -1);

	own_add(&d->lifetime[counters_lifetime(age)], of.count);
	probes_give(&th->probes, number);
}

/* ---- counting ----------------------------------------------------------------------------------------------------- */

static ALWAYS_INLINE void count_in(struct counter *c, uint64_t count, uint64_t bytes, uint64_t largest)
{
	counter_touch(c);
	own_add(&c->alloc_count, count);
	own_add(&c->alloc_bytes, bytes);
	if (UNLIKELY(largest > load_relaxed(&c->largest)))
		store_relaxed(&c->largest, largest);
}

static ALWAYS_INLINE void count_out(struct counter *c, uint64_t count, uint64_t bytes, bool temporary)
{
	counter_touch(c);
	own_add(&c->free_count, count);
	own_add(&c->free_bytes, bytes);
	if (temporary)
		own_add(&c->temporary_count, count);
}

static ALWAYS_INLINE void count_alloc(struct thread *th, struct counter *c, const struct block *b)
{
	struct share share = share_of(b);

	count_in(c, share.count, share.bytes, b->bytes);
	if (UNLIKELY(is_probe(b)))
		probe_born(th, c, b, share);
	live_changed(th, (int64_t)share.bytes);
}

static ALWAYS_INLINE void count_free(struct thread *th, const struct block *b, bool temporary)
{
	struct counter *c = counters_at(&th->counters, counters_key(b->stack));
	struct share share = share_of(b);

	if (UNLIKELY(!c)) {
		loss_add(LOSS_HEAP_UNTRACKED, 1);
		return;
	}
	count_out(c, share.count, share.bytes, temporary);
	if (UNLIKELY(is_probe(b)))
		probe_died(th, c, b, share);
	live_changed(th, -(int64_t)share.bytes);
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
	generation = (generation + 1) & 0x7fffu;
	misuse_fork_child(forget);
}

struct settling {
	struct counters *to;
	int64_t live;           /* bytes at the fork */
	struct share of_probes; /* what the probes from before the fork stand for */
};

static void settle_probe(struct settling *s, const struct block *b, struct counter *c)
{
	const struct probe *p = probes_at((uint32_t)(b->born >> 1));
	struct share of = probe_share(p, share_of(b));

	own_add(&counter_detail_of(load_relaxed(&s->to->now), c)->slop_bytes, (int64_t)probe_slop(p, of));
	if (p->generation != generation) {
		s->of_probes.count += of.count;
		s->of_probes.bytes += of.bytes;
	}
}

static void settle_block(void *context, uint64_t address, const struct block *b)
{
	struct settling *s = context;
	struct counter *c = counters_at(s->to, counters_key(b->stack));
	struct share share = share_of(b);

	(void)address;
	if (!c) {
		loss_add(LOSS_HEAP_UNTRACKED, 1);
		return;
	}
	own_add(&c->alloc_count, share.count);
	own_add(&c->alloc_bytes, share.bytes);
	if (is_probe(b))
		settle_probe(s, b, c);
	s->live += (int64_t)share.bytes;
}

struct since {
	struct settling *s;
	struct counter_table *in;
};

static void settle_since(void *context, const struct counter *c)
{
	struct since *since = context;
	struct settling *s = since->s;
	uint64_t count = load_relaxed(&c->alloc_count) - load_relaxed(&c->free_count);
	uint64_t bytes = load_relaxed(&c->alloc_bytes) - load_relaxed(&c->free_bytes);
	int64_t slop = load_relaxed(&counter_detail_of(since->in, c)->slop_bytes);
	struct counter *to = count || bytes || slop ? counters_at(s->to, load_relaxed(&c->key)) : NULL;

	if (!to)
		return; /* nothing changed, or settle_block counted the loss */
	own_add(&to->alloc_count, -count);
	own_add(&to->alloc_bytes, -bytes);
	own_add(&counter_detail_of(load_relaxed(&s->to->now), to)->slop_bytes, -slop);
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
	pools_each(settle_block, &s);
	for (struct thread *th = threads_first(); th; th = th->next) {
		struct since since = { &s, load_relaxed(&th->counters.now) };

		if (load_relaxed(&th->use) != THREAD_FREE)
			counters_each(&th->counters, settle_since, &since);
	}
	threads_settled((int64_t)s.of_probes.count, (int64_t)s.of_probes.bytes);
	/* The total was without what other threads held back. */
	add_relaxed(&live_total, s.live - total_at_fork);
	add_relaxed(&peak_high, s.live - total_at_fork);
	guard_leave(t, GUARD_TABLE);
}

/* Guarded part of an event: tables may change. */
static ALWAYS_INLINE void table_leave(struct tls *t, struct thread *th)
{
	guard_leave(t, GUARD_TABLE);
	if (UNLIKELY(th->deferred_depth))
		samples_flush(t, th);
}

/* The address was known: its free was missed. */
static NOINLINE void replaced_block(struct thread *th, const struct block *was)
{
	loss_add(LOSS_HEAP_REUSED, 1);
	count_free(th, was, false);
}

static NOINLINE void lost_block(const void *address, enum loss why)
{
	loss_add(why, 1);
	misuse_stranger(address);
}

static ALWAYS_INLINE void store_block(struct tls *t, struct thread *th, const void *address, size_t size,
                                      enum snap_family family, const void *frame)
{
	struct unwind_start start = unwind_from_frame(frame, th->stack_lo, th->stack_hi);
	struct block block = { .bytes = size, .born = (uint64_t)load_relaxed(&tenths) << 1, .family = family }, was;
	struct counter *c;
	bool replaced = false;

	if (UNLIKELY(!guard_enter(t, GUARD_TABLE))) {
		lost_block(address, LOSS_HEAP_NESTED); /* a signal handler that allocates */
		return;
	}
	block.stack = capture_stack(&th->capture, &start);
	c = counters_at(&th->counters, counters_key(block.stack));
	if (LIKELY(c != NULL))
		probe_maybe(t, th, address, &block, c);
	if (LIKELY(c != NULL) && LIKELY(allocs_put(address, &block, &was, &replaced))) {
		count_alloc(th, c, &block);
		if (UNLIKELY(replaced))
			replaced_block(th, &was);
	} else {
		if (is_probe(&block))
			probes_give(&th->probes, (uint32_t)(block.born >> 1));
		lost_block(address, LOSS_HEAP_UNTRACKED);
	}
	th->last_alloc = address;
	th->last_seq = t->allocs;
	table_leave(t, th);
}

/* The thread's countdown ran out: is this block a sample? Draws the next gap. */
static NOINLINE bool draw(struct tls *t, struct thread *th, size_t size)
{
	if (UNLIKELY(th->random == 0)) {
		/* Its first allocation: nothing was drawn yet, so this block is charged only now. */
		th->random = draw_seed();
		t->countdown = poisson_gap(&th->random, interval) - (int64_t)size - 1;
		if (t->countdown > 0)
			return false;
	}
	t->countdown = poisson_gap(&th->random, interval);
	return true;
}

static NOINLINE void alloc_slowly(struct tls *t, const void *address, size_t size, enum snap_family family,
                                  const void *frame)
{
	struct thread *th = threads_enter(t);

	if (UNLIKELY(!th)) {
		lost_block(address, LOSS_HEAP_UNTRACKED);
		return;
	}
	if (LIKELY(recorder_mode == HEAP_FULL) || draw(t, th, size))
		store_block(t, th, address, size, family, frame);
	threads_leave(t, th);
}

static ALWAYS_INLINE struct counter *counter_of(struct thread *th, struct captured_stack *s)
{
	if (UNLIKELY(s->counter_made != th->counters.made)) {
		s->counter = counters_at(&th->counters, counters_key(s->node));
		s->counter_made = s->counter ? th->counters.made : UINT64_MAX;
	}
	return s->counter;
}

/* What store_block() does in full mode, for a block like most: on a stack that is known, no probe, with an entry where it
 * would be. All of it, or nothing and false. */
static ALWAYS_INLINE bool store_quickly(struct tls *t, struct thread *th, const void *address, size_t size,
                                        enum snap_family family, const void *frame)
{
	struct unwind_start start = unwind_from_frame(frame, th->stack_lo, th->stack_hi);
	struct captured_stack *s = capture_known(&th->capture, &start);
	struct counter *c = LIKELY(s != NULL) ? counter_of(th, s) : NULL;
	struct block block;

	if (UNLIKELY(!c) || UNLIKELY(size >= probe_from_bytes) ||
	    UNLIKELY(load_relaxed(&c->alloc_count) < probe_first) || UNLIKELY(th->probe_gap <= 1))
		return false;
	block = (struct block){
		.bytes = size, .born = (uint64_t)load_relaxed(&tenths) << 1, .stack = s->node, .family = family
	};
	if (UNLIKELY(!allocs_put_quickly(address, &block)))
		return false;
	th->probe_gap--;
	count_in(c, 1, size, size);
	th->last_alloc = address;
	th->last_seq = t->allocs;
	live_changed(th, (int64_t)size);
	return true;
}

void recorder_alloc(struct tls *t, const void *address, size_t size, enum snap_family family, const void *frame)
{
	struct thread *th = t->thread;

	address = arch_data_address(address);
	if (LIKELY(th != NULL) && LIKELY(recorder_mode == HEAP_FULL) && LIKELY(guard_enter(t, GUARD_TABLE))) {
		bool stored = store_quickly(t, th, address, size, family, frame);

		table_leave(t, th);
		if (LIKELY(stored))
			return;
	}
	alloc_slowly(t, address, size, family, frame);
}

/* ---- pools -------------------------------------------------------------------------------------------------------- */

/* As store_block(), but in the pool's table, and no hook will be asked to free it. */
static NOINLINE void store_pool_block(struct tls *t, struct thread *th, const void *pool, const void *address,
                                      size_t size, const void *frame)
{
	struct unwind_start start = unwind_from_frame(frame, th->stack_lo, th->stack_hi);
	struct block block = { .bytes = size,
		               .born = (uint64_t)load_relaxed(&tenths) << 1,
		               .family = SNAP_FAMILY_POOL },
	             was;
	struct counter *c;
	bool replaced = false;

	if (!guard_enter(t, GUARD_TABLE)) {
		loss_add(LOSS_HEAP_NESTED, 1);
		return;
	}
	block.stack = capture_stack(&th->capture, &start);
	c = counters_at(&th->counters, counters_key(block.stack));
	if (c)
		probe_maybe(t, th, address, &block, c);
	if (c && pools_put(pool, address, &block, &was, &replaced)) {
		count_alloc(th, c, &block);
	} else {
		if (is_probe(&block))
			probes_give(&th->probes, (uint32_t)(block.born >> 1));
		loss_add(LOSS_HEAP_UNTRACKED, 1);
	}
	if (replaced)
		replaced_block(th, &was);
	th->last_alloc = address;
	th->last_seq = t->allocs;
	table_leave(t, th);
}

void recorder_pool_alloc(struct tls *t, const void *pool, const void *address, size_t size, const void *frame)
{
	struct thread *th = threads_enter(t);

	address = arch_data_address(address);
	if (UNLIKELY(!th)) {
		loss_add(LOSS_HEAP_UNTRACKED, 1);
		return;
	}
	if (recorder_mode == HEAP_FULL || draw(t, th, size))
		store_pool_block(t, th, pool, address, size, frame);
	threads_leave(t, th);
}

void recorder_pool_free(struct tls *t, const void *pool, const void *address)
{
	struct thread *th = threads_enter(t);
	struct block block;

	address = arch_data_address(address);
	if (UNLIKELY(!th)) {
		loss_add(LOSS_HEAP_UNTRACKED, 1);
		return;
	}
	if (guard_enter(t, GUARD_TABLE)) {
		if (pools_take(pool, address, &block))
			count_free(th, &block, th->last_alloc == address && th->last_seq == t->allocs);
		table_leave(t, th);
	}
	threads_leave(t, th);
}

void recorder_pool_destroy(struct tls *t, const void *pool)
{
	struct thread *th = threads_enter(t);
	struct block block;

	if (UNLIKELY(!th)) {
		loss_add(LOSS_HEAP_UNTRACKED, 1);
		return;
	}
	/* One at a time: a pool may have very many, and a CPU sample waits for table_leave(). */
	for (bool more = true; more && guard_enter(t, GUARD_TABLE);) {
		more = pools_take_any(pool, &block);
		if (more)
			count_free(th, &block, false);
		table_leave(t, th);
	}
	threads_leave(t, th);
}

void recorder_pool_memory(struct tls *t, const void *address)
{
	struct thread *th = threads_enter(t);
	struct block block;

	address = arch_data_address(address);
	if (UNLIKELY(!th))
		return;
	if (guard_enter(t, GUARD_TABLE)) {
		if (allocs_take(address, &block)) {
			count_free(th, &block, false);
			misuse_stranger(address); /* its free is right */
		}
		table_leave(t, th);
	}
	threads_leave(t, th);
}

/* ---- mappings ----------------------------------------------------------------------------------------------------- */

void recorder_table_leave(struct tls *t)
{
	guard_leave(t, GUARD_TABLE);
	if (t->thread && UNLIKELY(t->thread->deferred_depth))
		samples_flush(t, t->thread);
}

void recorder_map(struct tls *t, uintptr_t at, size_t bytes, const void *frame)
{
	struct thread *th = threads_enter(t);
	struct unwind_start start;

	if (UNLIKELY(!th) || !guard_enter(t, GUARD_TABLE)) {
		loss_add(LOSS_MMAP_UNTRACKED, 1);
	} else {
		start = unwind_from_frame(frame, th->stack_lo, th->stack_hi);
		mappings_add(at, bytes, capture_stack(&th->capture, &start));
		table_leave(t, th);
	}
	if (th)
		threads_leave(t, th);
}

/* ---- frees -------------------------------------------------------------------------------------------------------- */

/* Is the free of a block that is not known worth a look? Not in sampled mode, where most blocks are not known. */
static bool all_known(void)
{
	return recorder_mode == HEAP_FULL;
}

/* What free_slowly() does in full mode, for a block like most. All of it, or nothing and false. */
static ALWAYS_INLINE bool forget_quickly(struct tls *t, struct thread *th, const void *address,
                                         enum snap_family freed_by, const void *frame)
{
	struct allocs_entry *e = allocs_find_quickly(address);
	struct counter *c;
	uint64_t head, size;
	uint32_t stack;

	if (UNLIKELY(!e))
		return false;
	head = load_relaxed(&e->head);
	size = load_relaxed(&e->size);
	stack = allocs_stack(head);
	if (UNLIKELY(head >> ALLOCS_BORN_SHIFT & 1) || UNLIKELY(size >> ALLOCS_FAMILY_SHIFT != (uint64_t)freed_by))
		return false; /* a probe; another family's function */
	c = counters_at(&th->counters, counters_key(stack));
	if (UNLIKELY(!c))
		return false;
	allocs_clear(e);
	misuse_freed(th, address, stack, frame);
	count_out(c, 1, allocs_bytes(size), th->last_alloc == address && th->last_seq == t->allocs);
	live_changed(th, -(int64_t)allocs_bytes(size));
	return true;
}

bool recorder_free_quickly(struct tls *t, const void *address, enum snap_family freed_by, const void *frame)
{
	struct thread *th = t->thread;
	bool forgot;

	address = arch_data_address(address);
	if (UNLIKELY(!th) || UNLIKELY(recorder_mode != HEAP_FULL) || UNLIKELY(!guard_enter(t, GUARD_TABLE)))
		return false;
	forgot = forget_quickly(t, th, address, freed_by, frame);
	table_leave(t, th);
	return forgot;
}

static NOINLINE void free_slowly(struct tls *t, const void *address, enum snap_family freed_by, const void *frame)
{
	struct thread *th = threads_enter(t);
	struct block block;

	address = arch_data_address(address);
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

void recorder_free(struct tls *t, const void *address, enum snap_family freed_by, const void *frame)
{
	if (UNLIKELY(!recorder_free_quickly(t, address, freed_by, frame)))
		free_slowly(t, address, freed_by, frame);
}

void recorder_misused(struct tls *t, const void *address, const struct block *block, enum snap_family freed_by,
                      const void *frame)
{
	struct thread *th = threads_enter(t);

	address = arch_data_address(address);
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
	enum { SIZE_UNKNOWN = 1 << 16 };
	struct thread *th = t->thread;
	bool found;

	address = arch_data_address(address);
	if (!allocs_maybe(address))
		return false;
	if (!guard_enter(t, GUARD_TABLE))
		return false;
	if (th) { /* before it is taken out: the leak check may hold this thread at any instruction */
		store_relaxed(&th->moving_bytes, SIZE_UNKNOWN);
		store_release(&th->moving, (uintptr_t)address);
	}
	found = allocs_take(address, ret_block);
	if (th) {
		store_relaxed(&th->moving_bytes, found ? ret_block->bytes : 0);
		store_relaxed(&th->moving, found ? (uintptr_t)address : 0);
	}
	recorder_table_leave(t);
	return found;
}

void recorder_freed(struct tls *t, const void *address, const struct block *block, const void *frame)
{
	struct thread *th = threads_enter(t);

	address = arch_data_address(address);
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

	address = arch_data_address(address);
	if (!guard_enter(t, GUARD_TABLE))
		return;
	if (!allocs_put(address, block, &was, &replaced))
		loss_add(LOSS_HEAP_UNTRACKED, 1);
	recorder_table_leave(t);
}
