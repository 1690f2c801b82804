#include "threads.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "compiler.h"
#include "live.h"
#include "losses.h"
#include "os_linux.h"
#include "say.h"
#include "units.h"

_Thread_local struct tls tls_self;

static _Atomic(struct thread *) all;
static _Atomic uint32_t record_count;
static struct thread_record *_Atomic records; /* THREADS_MAX_RECORDS of them, touched as they are used */
static struct thread_heap *_Atomic heaps;     /* likewise, in the live file */
static struct lock groups_lock;               /* the making of groups; rank: inside counters_lock */
static _Atomic bool adopted;                  /* threads_adopt() was called */

/* Guards `ended` (counters of ended threads) and the step from ENDED to FREE. Rank: below the snapshot's own lock. */
static struct lock counters_lock;
static struct counters ended = { .owner = LIVE_ENDED };

/* For events of threads past their end: one struct, one lock. */
static struct lock late_lock;
static struct thread *late;

static struct thread_record *record_table(void)
{
	/* acquire, pairs with the CAS below */
	struct thread_record *t = load_acquire(&records), *mine;

	if (t)
		return t;
	mine = os_map(THREADS_MAX_RECORDS * sizeof(*mine));
	if (!mine)
		return NULL;
	memcpy(mine[0].name, "(more threads)", 15);
	if (cas_acq_rel(&records, &t, mine)) {
		store_release(&record_count, 1); /* record 0 is the shared one */
		return mine;
	}
	os_unmap(mine, THREADS_MAX_RECORDS * sizeof(*mine));
	return t;
}

static struct thread_heap *heap_table(void)
{
	const size_t bytes = THREADS_MAX_RECORDS * sizeof(struct thread_heap);
	struct thread_heap *t = load_acquire(&heaps), *mine; /* acquire, pairs with the CAS below */

	if (t)
		return t;
	mine = live_map(LIVE_THREADS, 0, bytes);
	if (!mine)
		return NULL;
	if (cas_acq_rel(&heaps, &t, mine)) {
		live_activate(mine);
		return mine;
	}
	live_unmap(mine, bytes);
	return t;
}

/* The record of threads called `name` that have none of their own; 0 when there are too many names. */
static uint32_t group_of(struct thread_record *table, const char *name)
{
	uint32_t i = THREADS_MAX_RECORDS - THREADS_GROUPS;

	if (!lock_try_for(&groups_lock, 1000)) /* held by this very thread, if this is a signal handler */
		return 0;
	while (i < load_relaxed(&record_count) && strncmp(table[i].name, name, THREAD_NAME_BYTES) != 0)
		i++;
	if (i == THREADS_MAX_RECORDS) {
		i = 0;
	} else if (i == load_relaxed(&record_count)) {
		memcpy(table[i].name, name, THREAD_NAME_BYTES);
		table[i].start_ns = os_now_ns();
		table[i].group = true;
		store_release(&record_count, i + 1); /* pairs with the acquire of readers: the name is there */
	}
	lock_leave(&groups_lock);
	return i;
}

/* A new thread has the name of the one that made it, until it gives itself another. */
static uint32_t record_shared(struct thread_record *table, pid_t tid)
{
	char name[THREAD_NAME_BYTES] = { 0 };

	loss_add(LOSS_THREADS_FOLDED, 1);
	if (tid == os_tid())
		(void)os_call(SYS_prctl, PR_GET_NAME, (long)name, 0, 0, 0, 0); /* keeps zeros on failure */
	return name[0] ? group_of(table, name) : 0;
}

static uint32_t record_new(pid_t tid)
{
	struct thread_record *table = record_table();
	uint32_t i;

	if (!table) {
		loss_add(LOSS_THREADS_FAILED, 1);
		return 0;
	}
	i = load_relaxed(&record_count);
	do {
		if (i >= THREADS_MAX_RECORDS - THREADS_GROUPS)
			return record_shared(table, tid);
	} while (
	        !cas_acq_rel(&record_count, &i, i + 1)); /* a reader that sees i + 1 may see zeros: an unnamed thread */
	table[i].tid = tid;
	table[i].start_ns = os_now_ns();
	return i;
}

static struct thread *thread_new(void)
{
	struct thread *th = load_acquire(&all), *head;

	for (; th; th = th->next) {
		uint32_t expected = THREAD_FREE;

		if (load_relaxed(&th->use) == THREAD_FREE && cas_acq_rel(&th->use, &expected, THREAD_LIVE))
			return th;
	}
	th = os_map(sizeof(*th));
	if (!th)
		return NULL;
	store_relaxed(&th->use, THREAD_LIVE);
	store_relaxed(&th->perf_fd, -1);
	th->timer_id = -1;
	head = load_relaxed(&all);
	do
		th->next = head;
	while (!cas_acq_rel(&all, &head, th)); /* release: pairs with the acquire of threads_first */
	return th;
}

static struct thread *thread_make(pid_t tid, uintptr_t stack_lo, uintptr_t stack_hi)
{
	struct thread *th = thread_new();

	if (!th) {
		loss_add(LOSS_THREADS_FAILED, 1);
		return NULL;
	}
	th->tid = tid;
	th->record = record_new(tid);
	counters_set_owner(&th->counters, th->record);
	th->stack_lo = stack_lo;
	th->stack_hi = stack_hi;
	th->probe_gap = 0;
	th->random = 0; /* a countdown is drawn before the first charge, or the first block would always be a sample */
	th->last_alloc = NULL;
	th->pending = th->pending_high = 0;
	capture_reset(&th->capture);
	th->cpu_memo.depth = 0;
	th->deferred_depth = 0;
	th->sampled = false;
	store_relaxed(&th->http_now, 0);
	store_relaxed(&th->http_last, 0);
	store_relaxed(&th->database_row, 0);
	store_relaxed(&th->http_connections, 0);
	store_relaxed(&th->http_ended, 0);
	th->http_told = false;
	return th;
}

extern void *__libc_stack_end; /* ld.so: the stack pointer that the program began with */

#define STACK_MAX ((uintptr_t)512 << 20)

/* The main thread's stack, as far as it may grow; the limit is asked for once, when its first hook runs. */
static void main_stack(uintptr_t *ret_lo, uintptr_t *ret_hi)
{
	struct rlimit limit = { 8 << 20, 8 << 20 };
	uintptr_t bytes;

	(void)os_call(SYS_prlimit64, 0, RLIMIT_STACK, 0, (long)&limit, 0, 0); /* keeps the guess on failure */
	bytes = limit.rlim_cur > STACK_MAX ? STACK_MAX : (uintptr_t)limit.rlim_cur;
	*ret_hi = (uintptr_t)__libc_stack_end;
	*ret_lo = *ret_hi - bytes;
}

static_assert(sizeof(struct sample) == sizeof(struct live_sample), "layout");
static_assert(offsetof(struct sample, stack) == offsetof(struct live_sample, stack), "layout");
static_assert(offsetof(struct sample, record) == offsetof(struct live_sample, thread), "layout");
static_assert(offsetof(struct sample, weight) == offsetof(struct live_sample, weight), "layout");

/* ---- stacks of threads that ended --------------------------------------------------------------------------------- */

enum { DEAD_STACKS = 1024 };
static struct lock dead_lock; /* rank: innermost */
static struct {
	uintptr_t lo, tp, hi; /* hi 0: free */
} dead[DEAD_STACKS];
static uint32_t dead_next;

/* Where libc's descriptor of the thread ends, at the top of its stack (hook_thread.c). */
static uintptr_t stack_end(uintptr_t thread_pointer)
{
	return (thread_pointer + 4096) & ~(uintptr_t)4095;
}

/* The first thread's descriptor is elsewhere, and above its stack are the program's arguments. */
static void stack_died(uintptr_t lo, uintptr_t hi, bool first)
{
	if (!hi)
		return;
	lock_enter(&dead_lock);
	dead[dead_next % DEAD_STACKS].lo = lo;
	dead[dead_next % DEAD_STACKS].tp = hi;
	dead[dead_next++ % DEAD_STACKS].hi = first ? hi : stack_end(hi);
	lock_leave(&dead_lock);
}

static void stack_lives(uintptr_t lo, uintptr_t hi)
{
	if (!hi)
		return;
	lock_enter(&dead_lock);
	for (uint32_t i = 0; i < DEAD_STACKS && i < dead_next; i++)
		if (dead[i].lo < hi && lo < dead[i].hi)
			dead[i].hi = 0;
	lock_leave(&dead_lock);
}

void threads_each_dead_stack(void (*visit)(void *context, uintptr_t lo, uintptr_t tp, uintptr_t hi), void *context)
{
	for (uint32_t i = 0; i < DEAD_STACKS && i < dead_next; i++)
		if (dead[i].hi)
			visit(context, dead[i].lo, dead[i].tp, dead[i].hi);
}

struct thread *threads_attach(struct tls *t, uintptr_t stack_lo, uintptr_t stack_hi)
{
	pid_t tid = os_tid();
	struct thread *th = load_relaxed(&adopted) ? threads_find(tid) : NULL; /* relaxed: written before main() */

	if (stack_hi == 0 && tid == os_pid())
		main_stack(&stack_lo, &stack_hi);
	if (!th)
		th = thread_make(tid, stack_lo, stack_hi);
	if (tid != os_pid())
		stack_lives(stack_lo, stack_hi);
	t->thread = th;
	return th;
}

struct thread *threads_adopt(pid_t tid)
{
	store_relaxed(&adopted, true);
	return thread_make(tid, 0, 0);
}

static void record_end(struct thread *th)
{
	struct thread_record *r = &load_acquire(&records)[th->record];

	if (th->record == 0 || r->group)
		return;
	(void)os_call(SYS_prctl, PR_GET_NAME, (long)r->name, 0, 0, 0, 0); /* 16 bytes; keeps zeros on failure */
	r->cpu_ns = os_thread_cpu_ns(th->tid);
	r->end_ns = os_now_ns();
}

/* Adds what `c` has allocated to record `i`. */
static void heap_add(uint32_t i, const struct counters *c)
{
	uint64_t count = 0, bytes = 0;
	struct thread_heap *heap;

	counters_total(c, &count, &bytes);
	heap = count ? threads_heap_make(i) : NULL;
	if (!heap)
		return;
	own_add(&heap->ended_count, count);
	own_add(&heap->ended_bytes, bytes);
}

/* counters_lock held; the owner is gone, or calls this. */
static void merge_ended(struct thread *th)
{
	heap_add(th->record, &th->counters);
	if (!counters_merge(&ended, &th->counters, th->record))
		loss_add(LOSS_THREADS_FAILED, 1);
	counters_done(&th->counters);
	th->tid = 0;
	store_release(&th->use, THREAD_FREE); /* pairs with the CAS in thread_new */
}

void threads_end(struct tls *t)
{
	struct thread *th = t->thread;

	t->ended = true;
	t->thread = NULL;
	signal_fence();
	if (!th)
		return;
	store_relaxed(&th->database_row, 0); /* it may have been cancelled in a call */
	record_end(th);
	stack_died(th->stack_lo, th->stack_hi, th->tid == os_pid());
	if (lock_try(&counters_lock)) {
		merge_ended(th);
		lock_leave(&counters_lock);
	} else {
		store_release(&th->use, THREAD_ENDED); /* a snapshot is reading: it merges when it is done */
	}
}

struct thread *threads_enter_slowly(struct tls *t)
{
	if (!t->ended)
		return threads_attach(t, 0, 0);
	lock_enter(&late_lock);
	if (!late) {
		late = thread_new();
		if (late)
			late->record = 0;
	}
	if (!late)
		lock_leave(&late_lock);
	return late;
}

void threads_leave_late(struct thread *th)
{
	if (th == late)
		lock_leave(&late_lock);
}

struct thread *threads_first(void)
{
	return load_acquire(&all); /* pairs with the CAS in thread_new */
}

struct thread *threads_find(pid_t tid)
{
	struct thread *th = threads_first();

	while (th && !(load_acquire(&th->use) == THREAD_LIVE && th->tid == tid))
		th = th->next;
	return th;
}

struct thread_heap *threads_heap(uint32_t i)
{
	struct thread_heap *table = load_acquire(&heaps); /* pairs with the CAS in heap_table */

	return table && i < THREADS_MAX_RECORDS ? &table[i] : NULL;
}

struct thread_heap *threads_heap_make(uint32_t i)
{
	struct thread_heap *table = heap_table();

	return LIKELY(table != NULL) && i < THREADS_MAX_RECORDS ? &table[i] : NULL;
}

uint32_t threads_record_count(void)
{
	return load_acquire(&record_count);
}

/* "/proc/self/task/TID/comm" -> name. */
static void read_name(pid_t tid, char *ret_name)
{
	char path[64] = "/proc/self/task/", digits[21], text[THREAD_NAME_BYTES + 2];
	ssize_t n;

	strcat(path, say_number(digits, (uint64_t)tid));
	strcat(path, "/comm");
	n = os_read_file(path, text, sizeof(text));
	if (n <= 0)
		return;
	if (text[n - 1] == '\n')
		text[n - 1] = '\0';
	memcpy(ret_name, text, THREAD_NAME_BYTES - 1);
	ret_name[THREAD_NAME_BYTES - 1] = '\0';
}

struct thread_record threads_record(uint32_t i)
{
	struct thread_record *table = load_acquire(&records);
	struct thread_record r = { 0 };

	if (table && i < THREADS_MAX_RECORDS)
		r = table[i];
	if (r.tid && !r.end_ns) {
		read_name(r.tid, r.name);
		r.cpu_ns = os_thread_cpu_ns(r.tid);
	}
	return r;
}

const struct counters *threads_lock_counters(void)
{
	lock_enter(&counters_lock);
	return &ended;
}

struct counters *threads_ended_counters(void)
{
	return &ended;
}

static void free_old_rings(struct thread *th)
{
	for (unsigned i = 0; i < THREAD_OLD_RINGS; i++) {
		/* acquire, pairs with the release in samples.c: the owner is out of it */
		uintptr_t old = load_relaxed(&th->ring_old[i]) ? exchange_acquire(&th->ring_old[i], 0) : 0;

		if (old)
			live_unmap(ring_of(old).sample, ring_bytes(old));
	}
}

void threads_unlock_counters(void)
{
	for (struct thread *th = threads_first(); th; th = th->next) {
		if (load_acquire(&th->use) == THREAD_ENDED) /* pairs with the release in threads_end */
			merge_ended(th);
		else
			counters_free_old(&th->counters);
		free_old_rings(th);
	}
	lock_leave(&counters_lock);
}

void threads_fork_prepare(void)
{
	lock_enter(&late_lock);
}

void threads_fork_parent(void)
{
	lock_leave(&late_lock);
}

static void heaps_fork_child(uint32_t records_were, bool forget)
{
	struct thread_heap *table = load_acquire(&heaps);

	if (forget)
		store_release(&heaps, NULL);
	else if (table)
		memset(table, 0, records_were * sizeof(*table));
}

void threads_settled(int64_t live_count, int64_t live_bytes)
{
	struct thread_heap *heap = live_count ? threads_heap_make(0) : threads_heap(0);

	if (heap) {
		store_relaxed(&heap->live_count, live_count);
		store_relaxed(&heap->live_bytes, live_bytes);
	}
	heap_add(0, &ended);
}

static void begin_anew(struct thread *th, bool forget)
{
	uintptr_t ring = exchange_acq_rel(&th->ring, 0); /* one thread: orders nothing */

	if (forget) {
		counters_forget(&th->counters);
		for (unsigned i = 0; i < THREAD_OLD_RINGS; i++)
			store_relaxed(&th->ring_old[i], 0);
	} else {
		counters_done(&th->counters);
		free_old_rings(th);
		if (ring)
			live_unmap(ring_of(ring).sample, ring_bytes(ring));
	}
	store_relaxed(&th->ring_head, 0);
	th->record = 0;
	counters_set_owner(&th->counters, 0);
	th->sampled = false;
}

void threads_fork_child(struct tls *t, bool forget)
{
	struct thread_record *table = load_acquire(&records);
	uint32_t n;

	lock_leave(&late_lock);
	/* The lock may have been held by a thread that does not exist here. */
	store_release(&counters_lock.word, 0);
	store_release(&groups_lock.word, 0);
	store_release(&dead_lock.word, 0);
	n = load_relaxed(&record_count);
	if (table) {
		memset(table + 1, 0, (n - 1) * sizeof(*table));
		memcpy(table[0].name, "(before fork)", 14);
	}
	store_release(&record_count, table ? 1 : 0);
	for (struct thread *th = threads_first(); th; th = th->next) {
		th->http_spare = 0; /* requests.c counts them as free here, and its rows are new */
		th->http_route.row = NULL;
		if (load_relaxed(&th->use) == THREAD_FREE && !load_relaxed(&th->ring))
			continue;
		begin_anew(th, forget);
		if (th != t->thread && th != late) {
			th->tid = 0;
			th->probes = (struct probe_cache){ 0, 0 }; /* perhaps half changed */
			store_relaxed(&th->use, THREAD_FREE);
		}
	}
	if (forget)
		counters_forget(&ended);
	else
		counters_done(&ended);
	heaps_fork_child(n, forget);
	if (t->thread) {
		t->thread->tid = os_tid();
		t->thread->record = record_new(t->thread->tid);
		counters_set_owner(&t->thread->counters, t->thread->record);
		t->thread->deferred_depth = 0;
		t->thread->random = 0; /* children of one parent must not draw the same blocks */
	}
}
