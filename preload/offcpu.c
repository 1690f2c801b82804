/*
 * offcpu.c - looks at threads that wait.
 *
 * Look       the thread's CPU time, its place in the kernel, its stack, its CPU time again: where that has not moved, it did not run
 *            meanwhile, so what was read belongs together. A thread whose CPU time is what it was at the last look has waited there
 *            all the time: its stack is known, and the look is one system call.
 * Weight     a sample stands for the time since the last look at its thread, in whole periods, the rest carried over. A thread
 *            that runs gives none: that is the CPU sampler's.
 * Bounds     BUDGET_NS a tick, whatever the number of threads: who had no look this time is first in the next, and his weighs more.
 * Unloading  a thread that waits keeps the code it returns to. It may stop waiting, and another unload that, in the midst of a
 *            walk; dlclose() waits for the walk under way, and no walk begins until it is done.
 */
#include "offcpu.h"

#include <string.h>

#include "atomic.h"
#include "compiler.h"
#include "live.h"
#include "lock.h"
#include "losses.h"
#include "os_linux.h"
#include "requests.h"
#include "say.h"
#include "sealed.h"
#include "stacks.h"
#include "threads.h"
#include "units.h"
#include "unwind.h"
#include "unwind_copy.h"

#define LOOK_NS       (5 * NS_PER_MS) /* the shortest time between two looks */
#define BUDGET_NS     (500 * NS_PER_US)
#define SLOW_LEAST_NS (10 * NS_PER_MS)
#define IDLE_NS       (100 * NS_PER_MS)
#define DEFAULT_HZ    99
enum {
	SLOW_SHARE = 4, /* a request is watched from a quarter of the latency that trips on */
	RING_FIRST = 1 << 10,
	RING_MOST = 1 << 17,
	ROWS_FIRST = 1 << 10,
	ROWS_MOST = 1 << 20,
};

/* In the live file. */
struct sample_table {
	struct live_head head;
	struct live_offcpu_sample at[];
};
struct row_table {
	struct live_head head;
	struct offcpu_row at[];
};
static_assert(sizeof(struct offcpu_row) == sizeof(struct live_offcpu), "layout");

static const struct config *config;
static const char *why = "";
static enum offcpu_scope scope;
static uint64_t period_ns;
static uint64_t next_ns;           /* the next look */
static struct thread *next_thread; /* of all: who is first in it */

/* Guards what follows: the helper adds, whoever writes a snapshot copies. */
static struct lock store_lock;
static struct sample_table *ring;
static uint64_t ring_size, ring_head;
static struct row_table *rows; /* open addressing; key 0 is free, since stack 0 is none */
static uint64_t row_size, row_used;

/* Dekker's: either the walk sees the hold, or who holds sees the walk. */
static _Atomic uint32_t holds, walking;

static struct {
	struct stack_copy copy;
	uintptr_t pcs[STACKS_MAX_DEPTH];
	struct stack_memo memo;
} * work;

/* ---- start --------------------------------------------------------------------------------------------------------- */

/* os_may(). */
static int try_look(void)
{
	static const char word[] = "word";
	char copy[sizeof(word)];
	uintptr_t sp, pc;
	int rc = os_thread_place(os_tid(), &sp, &pc); /* its own: in the call that reads it */

	return rc == 0 && os_read_memory(word, copy, sizeof(copy)) ? 0 : -1;
}

void offcpu_init(const struct config *with)
{
	config = with;
	period_ns = NS_PER_S / (with->cpu_hz ? with->cpu_hz : DEFAULT_HZ);
	if (!unwind_can_step())
		why = "PERFPROBE_UNWIND=libunwind cannot walk another thread's stack";
	else if (!os_may(try_look))
		why = "/proc/self/task/TID/syscall cannot be read here";
	if (*why && with->clock == CLOCK_WALL)
		say("PERFPROBE_CLOCK=wall: waiting threads are not seen: ", why, NULL);
}

enum offcpu_scope offcpu_scope(void)
{
	return scope;
}

const char *offcpu_why(void)
{
	return why;
}

uint64_t offcpu_period_ns(void)
{
	return period_ns;
}

/* ---- what is kept --------------------------------------------------------------------------------------------------- */

static void describe(struct live_head *head, size_t row_bytes, uint64_t rows_in)
{
	head->table = (struct live_table){ sizeof(*head), (uint32_t)row_bytes, (uint32_t)rows_in, 0 };
	head->scope = scope;
	head->period_ns = period_ns;
}

static void set_scope(enum offcpu_scope to)
{
	scope = to;
	if (rows)
		rows->head.scope = to;
}

static size_t samples_bytes(uint64_t size)
{
	return sizeof(*ring) + size * sizeof(ring->at[0]);
}

/* A larger ring with the samples of the old one in their order; lock held. */
static void grow_ring(void)
{
	uint64_t size = ring_size ? 2 * ring_size : RING_FIRST;
	struct sample_table *more = size <= RING_MOST ? live_map(LIVE_OFFCPU_SAMPLES, 0, samples_bytes(size)) : NULL;

	if (!more)
		return;
	describe(&more->head, sizeof(more->at[0]), size);
	for (uint64_t i = ring_head > ring_size ? ring_head - ring_size : 0; i < ring_head; i++)
		more->at[i % size] = ring->at[i % ring_size];
	live_activate(more); /* whole now: an outside reader prefers it */
	live_unmap(ring, samples_bytes(ring_size));
	ring = more;
	ring_size = size;
}

/* As sealed.h has it; this is the only writer. */
static void store(struct live_offcpu_sample *to, const struct offcpu_sample *s)
{
	publish_plain(&to->time_ns, LIVE_WRITING);
	publish_plain(&to->again, LIVE_WRITING);
	atomic_thread_fence(memory_order_release); /* before what follows, for readers outside */
	to->stack = s->stack;
	to->thread = s->record;
	to->weight = s->weight;
	to->request = s->request;
	publish_plain(&to->again, s->time_ns);
	publish_plain(&to->time_ns, s->time_ns);
}

static void keep_sample(const struct offcpu_sample *s)
{
	if (ring_head >= ring_size &&
	    (!ring_size || ring->at[ring_head % ring_size].time_ns + config->window > s->time_ns)) {
		grow_ring();
		if (ring_head >= ring_size)
			loss_add(LOSS_OFFCPU_RING, s->weight);
	}
	if (ring_size)
		store(&ring->at[ring_head++ % ring_size], s);
}

static struct offcpu_row *row_of(struct row_table *t, uint64_t size, uint64_t key)
{
	struct offcpu_row *table = t->at;
	uint64_t i = key * UINT64_C(0x9e3779b97f4a7c15) >> 20;

	while (table[i & (size - 1)].key && table[i & (size - 1)].key != key)
		i++;
	return &table[i & (size - 1)];
}

static size_t rows_bytes(uint64_t size)
{
	return sizeof(*rows) + size * sizeof(rows->at[0]);
}

/* At most three quarters are used; lock held. */
static bool grow_rows(void)
{
	uint64_t size = row_size ? 2 * row_size : ROWS_FIRST;
	struct row_table *more = size <= ROWS_MOST ? live_map(LIVE_OFFCPU, 0, rows_bytes(size)) : NULL;

	if (!more)
		return false;
	describe(&more->head, sizeof(more->at[0]), size);
	for (uint64_t i = 0; i < row_size; i++)
		if (rows->at[i].key)
			*row_of(more, size, rows->at[i].key) = rows->at[i];
	live_activate(more); /* as in grow_ring */
	live_unmap(rows, rows_bytes(row_size));
	rows = more;
	row_size = size;
	return true;
}

static void count(uint64_t key, uint16_t weight)
{
	struct offcpu_row *r;

	if (row_used >= row_size / 4 * 3 && !grow_rows() && row_used + 1 >= row_size) {
		loss_add(LOSS_OFFCPU_FULL, weight);
		return;
	}
	r = row_of(rows, row_size, key);
	row_used += !r->key;
	publish_plain(&r->key, key);
	r->samples += weight;
}

static void record(const struct offcpu_sample *s)
{
	lock_enter(&store_lock);
	count((uint64_t)s->stack << 32 | s->record, s->weight);
	keep_sample(s);
	lock_leave(&store_lock);
}

/* ---- a look --------------------------------------------------------------------------------------------------------- */

static uint32_t walk(const struct thread *th, uintptr_t sp, uintptr_t pc)
{
	struct unwind_start start = unwind_from_wait(pc, sp, th->stack_lo, th->stack_hi, &work->copy);
	uint32_t stack = 0;
	size_t depth;

	stack_copy_init(&work->copy);
	(void)exchange_seq_cst(&walking, 1); /* pairs with offcpu_hold() */
	if (!load_seq_cst(&holds)) {
		depth = unwind_walk(&start, work->pcs, ARRAY_LEN(work->pcs));
		stack = stacks_intern(&work->memo, work->pcs, depth, false);
	}
	store_release(&walking, 0); /* pairs with the acquire in offcpu_hold() */
	return stack;
}

/* Where the thread waits, as a stack; 0: it does not, or it moved. `cpu_ns`: its CPU time before. */
static uint32_t stack_of(const struct thread *th, uint64_t cpu_ns)
{
	uintptr_t sp, pc;
	uint32_t stack;

	if (os_thread_place(th->tid, &sp, &pc) < 0)
		return 0;
	stack = walk(th, sp, pc);
	if (stack && os_thread_cpu_ns(th->tid) != cpu_ns) {
		loss_add(LOSS_OFFCPU_MOVED, 1);
		return 0;
	}
	return stack;
}

/* The request whose answer waits for the thread: it works on it, or it waits and there is only one that it could go on with. */
static uint64_t request_of(const struct thread *th)
{
	uint64_t id = load_relaxed(&th->http_now);

	return id || threads_connections(th) != 1 ? id : load_relaxed(&th->http_last);
}

static void look(struct thread *th, uint64_t now, uint64_t request, bool first)
{
	uint64_t since = first ? period_ns : now - th->offcpu_looked_ns, periods;
	uint64_t cpu = os_thread_cpu_ns(th->tid);

	th->offcpu_looked_ns = now;
	if (!cpu)
		return; /* it is gone */
	if (!th->offcpu_stack || cpu != th->offcpu_cpu_ns) {
		th->offcpu_stack = stack_of(th, cpu);
		th->offcpu_cpu_ns = cpu;
	}
	if (!th->offcpu_stack)
		return;
	periods = (th->offcpu_due_ns + since) / period_ns;
	th->offcpu_due_ns = (th->offcpu_due_ns + since) % period_ns;
	if (periods > UINT16_MAX)
		periods = UINT16_MAX; /* of record 0, which threads share: since another's last look */
	if (!periods)
		return;
	record(&(struct offcpu_sample){ now, th->offcpu_stack, (uint16_t)th->record, (uint16_t)periods, request });
	if (request)
		requests_sampled(request);
}

/* ---- whom ----------------------------------------------------------------------------------------------------------- */

/* How long a request runs before it is watched; 0: none is. */
static uint64_t slow_ns(void)
{
	uint64_t ns = config->latency / SLOW_SHARE;

	return ns && ns < SLOW_LEAST_NS ? SLOW_LEAST_NS : ns;
}

/* The request for which the thread is to be looked at; false: it is not. */
static bool is_wanted(const struct thread *th, uint64_t now, uint64_t *ret_request)
{
	uint64_t slow = slow_ns();

	*ret_request = request_of(th);
	if (scope == OFFCPU_ALL)
		return true;
	return *ret_request && slow && now - load_relaxed(&th->http_start) >= slow &&
	       now > load_relaxed(&th->http_start);
}

static bool is_first(const struct thread *th, uint64_t now)
{
	return !th->offcpu_looked_ns || th->offcpu_record != th->record ||
	       (scope == OFFCPU_REQUESTS && now - th->offcpu_looked_ns > 2 * period_ns + 2 * LOOK_NS);
}

/* From `from` to the end of the list. True: the budget is used up. */
static bool look_on(struct thread *from, uint64_t now, bool *any)
{
	for (struct thread *th = from; th; th = th->next) {
		uint64_t request;
		bool first;

		if (load_acquire(&th->use) != THREAD_LIVE || !is_wanted(th, now, &request))
			continue; /* pairs with the release in threads.c: it is filled in */
		if (os_now_ns() - now > BUDGET_NS) {
			next_thread = th;
			return true;
		}
		*any = true;
		first = is_first(th, now);
		if (first) {
			th->offcpu_record = th->record;
			th->offcpu_stack = 0;
			th->offcpu_due_ns = 0;
		}
		look(th, now, request, first);
	}
	return false;
}

static bool prepare(void)
{
	if (*why || (config->clock != CLOCK_WALL && (!config->http || !config->latency)))
		return false;
	if (!work)
		work = os_map(sizeof(*work));
	return work != NULL;
}

uint64_t offcpu_tick(uint64_t now_ns)
{
	uint64_t between = period_ns > LOOK_NS ? period_ns : LOOK_NS;
	struct thread *from = next_thread;
	bool any = false;

	if (!prepare()) {
		set_scope(OFFCPU_NONE);
		return IDLE_NS;
	}
	set_scope(config->clock == CLOCK_WALL ? OFFCPU_ALL : OFFCPU_REQUESTS);
	if (now_ns < next_ns)
		return next_ns - now_ns;
	next_thread = NULL;
	if (!from || !look_on(from, now_ns, &any))
		(void)look_on(threads_first(), now_ns, &any);
	if (scope == OFFCPU_REQUESTS && !any) {
		between = slow_ns();
		between = between < IDLE_NS ? between : IDLE_NS;
	}
	next_ns = now_ns + between;
	return between;
}

/* ---- snapshot ------------------------------------------------------------------------------------------------------- */

size_t offcpu_row_count(void)
{
	return row_used;
}

size_t offcpu_sample_count(void)
{
	return ring_size;
}

size_t offcpu_rows(struct offcpu_row *ret_rows, size_t room)
{
	size_t n = 0;

	lock_enter(&store_lock);
	for (uint64_t i = 0; i < row_size && n < room; i++)
		if (rows->at[i].key)
			ret_rows[n++] = rows->at[i];
	lock_leave(&store_lock);
	return n;
}

size_t offcpu_samples(struct offcpu_sample *ret_samples, size_t room, uint64_t oldest_ns)
{
	uint64_t i;
	size_t n = 0;

	lock_enter(&store_lock);
	for (i = ring_head > ring_size ? ring_head - ring_size : 0; i < ring_head && n < room; i++) {
		const struct live_offcpu_sample *s = &ring->at[i % ring_size];

		if (s->time_ns >= oldest_ns)
			ret_samples[n++] =
			        (struct offcpu_sample){ s->time_ns, s->stack, s->thread, s->weight, s->request };
	}
	lock_leave(&store_lock);
	return n;
}

/* ---- unloading, fork ------------------------------------------------------------------------------------------------ */

void offcpu_hold(void)
{
	add_seq_cst(&holds, 1); /* pairs with walk() */
	while (load_seq_cst(&walking))
		os_yield(); /* some microseconds */
}

void offcpu_release(void)
{
	sub_release(&holds, 1); /* pairs with the load in walk() */
}

/* The helper may have been anywhere in here; what it kept is the parent's. */
void offcpu_fork_child(void)
{
	store_relaxed(&walking, 0);
	store_relaxed(&holds, 0);
	store_relaxed(&store_lock.word, 0);
	scope = OFFCPU_NONE;
	next_ns = 0;
	next_thread = NULL;
	ring = NULL; /* not given back: it may be half made */
	rows = NULL;
	ring_size = ring_head = row_size = row_used = 0;
	if (work)
		work->memo.depth = 0;
	for (struct thread *th = threads_first(); th; th = th->next)
		th->offcpu_looked_ns = 0;
}
