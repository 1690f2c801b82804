/*
 * hook_thread.c - threads the program makes: attached before their first instruction, sampled, and counted up at their end.
 *
 * The end is seen by a thread-specific key whose destructor asks to be run again in every round but the last, so that it
 * comes after the destructors of the program's own keys, which free memory.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <threads.h>

#include "allocs.h"
#include "compiler.h"
#include "finish.h"
#include "helper.h"
#include "hook_thread.h"
#include "leaks.h"
#include "live_keep.h"
#include "os_linux.h"
#include "real.h"
#include "recorder.h"
#include "requests.h"
#include "sampler.h"
#include "start.h"
#include "state.h"
#include "threads.h"

enum { STACK_SLACK = 32 << 10, DEFAULT_STACK = 2 << 20 };

static pthread_key_t end_key;
static bool have_key;

/* What the new thread needs. In memory of ours, and where the leak check looks: nobody else may hold its argument. */
struct birth {
	_Atomic uint32_t used;
	union {
		void *(*posix)(void *);
		thrd_start_t c11;
	} start;
	void *arg;
	size_t stack_bytes;
	bool prof_blocked; /* masks are inherited, and so is what the program believes of them */
	uint64_t prof_mask;
};

enum { BIRTHS = 256 }; /* threads that were made and do not run yet */
static struct birth births[BIRTHS];

/* NULL: all are in use. */
static struct birth *birth_new(void)
{
	static _Atomic uint32_t next;

	for (unsigned i = 0; i < BIRTHS; i++) {
		struct birth *b = &births[add_relaxed(&next, 1) % BIRTHS];
		uint32_t none = 0;

		if (!load_relaxed(&b->used) &&
		    cas_acq_rel(&b->used, &none, 1)) /* pairs with the release in birth_free */
			return b;
	}
	return NULL;
}

static void birth_free(struct birth *b)
{
	b->arg = NULL;
	store_release(&b->used, 0);
}

static void on_end(void *rounds)
{
	struct tls *t = &tls_self;
	uintptr_t round = (uintptr_t)rounds;

	if (round < PTHREAD_DESTRUCTOR_ITERATIONS && pthread_setspecific(end_key, (void *)(round + 1)) == 0)
		return;
	if (state_get() < STATE_STOPPED)
		return; /* the recording ended before */
	sampler_thread_stop(t);
	if (t->thread && load_relaxed(&t->thread->http_now))
		requests_leave(t->thread, os_now_ns());
	if (guard_enter(t, GUARD_ALLOC)) {
		recorder_thread_end(t);
		guard_leave(t, GUARD_ALLOC);
	}
}

void hook_thread_init(void)
{
	have_key = pthread_key_create(&end_key, on_end) == 0;
	(void)leaks_root_add(births, sizeof(births)); /* there is room at start */
}

/* glibc puts the thread's descriptor, to which the thread pointer leads, at the top of its stack, whoever made the stack
 * (nptl/allocatestack.c). What lies above is not read; below, the size less what else stands there. */
static void stack_bounds(size_t bytes, uintptr_t *ret_lo, uintptr_t *ret_hi)
{
	uintptr_t top = (uintptr_t)__builtin_thread_pointer(), here = (uintptr_t)__builtin_frame_address(0);

	*ret_lo = *ret_hi = 0;
	if (bytes <= STACK_SLACK || here >= top || top - here > bytes)
		return;
	*ret_hi = top;
	*ret_lo = top - (bytes - STACK_SLACK);
}

static size_t default_stack_bytes(void)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	(void)os_call(SYS_prlimit64, 0, RLIMIT_STACK, 0, (long)&limit, 0, 0); /* keeps the guess on failure */
	return limit.rlim_cur == RLIM_INFINITY ? DEFAULT_STACK : (size_t)limit.rlim_cur;
}

static void begin(size_t stack_bytes)
{
	struct tls *t = &tls_self;
	uintptr_t lo, hi;

	if (state_get() < STATE_STOPPED || !guard_enter(t, GUARD_ALLOC))
		return;
	stack_bounds(stack_bytes, &lo, &hi);
	if (!t->thread && !t->ended)
		(void)threads_attach(t, lo, hi); /* a failure is counted there */
	sampler_thread_start(t);
	if (have_key)
		(void)pthread_setspecific(
		        end_key, (void *)1); /* on failure its counters stay with its record: nothing is lost */
	guard_leave(t, GUARD_ALLOC);
}

static struct birth take_birth(struct birth *b)
{
	struct birth copy = *b;

	birth_free(b);
	tls_self.prof_blocked = copy.prof_blocked;
	tls_self.prof_mask = copy.prof_mask;
	begin(copy.stack_bytes);
	return copy;
}

static void *posix_main(void *arg)
{
	struct birth b = take_birth(arg);

	return b.start.posix(b.arg);
}

static int c11_main(void *arg)
{
	struct birth b = take_birth(arg);

	return b.start.c11(b.arg);
}

static struct birth *give_birth(const pthread_attr_t *attr, void *arg)
{
	struct birth *b = birth_new();

	if (!b)
		return NULL;
	b->arg = arg;
	b->stack_bytes = 0;
	b->prof_blocked = tls_self.prof_blocked;
	b->prof_mask = tls_self.prof_mask;
	if (!attr || pthread_attr_getstacksize(attr, &b->stack_bytes) != 0)
		b->stack_bytes = default_stack_bytes();
	return b;
}

/* The process has shown that it stays: a forked child gets its helper. A sample that falls into the move of its tables waits: it would be counted in a
 * table that is not listed yet, or in a page that was copied already. */
static void stay(void)
{
	struct tls *t = &tls_self;

	recorder_settle();
	if (!guard_enter(t, GUARD_TABLE))
		return;
	live_keep_stay();
	guard_leave(t, GUARD_TABLE);
	if (state_get() >= STATE_STOPPED && finish_is_this_process())
		(void)helper_start(
		        start_config()); /* where no thread can be made, the end of the program writes its profile */
}

EXPORT int pthread_create(pthread_t *ret, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
	struct birth *b;
	int rc;

	if (!real_ready() || !real.pthread_create)
		return ENOSYS;
	b = start_recorder() ? give_birth(attr, arg) : NULL;
	allocs_share();
	stay();
	if (!b)
		return real.pthread_create(ret, attr, start, arg);
	b->start.posix = start;
	rc = real.pthread_create(ret, attr, posix_main, b);
	if (rc != 0)
		birth_free(b);
	return rc;
}

EXPORT int thrd_create(thrd_t *ret, thrd_start_t start, void *arg)
{
	struct birth *b;
	int rc;

	if (!real_ready() || !real.thrd_create)
		return thrd_error;
	b = start_recorder() ? give_birth(NULL, arg) : NULL;
	allocs_share();
	stay();
	if (!b)
		return real.thrd_create(ret, start, arg);
	b->start.c11 = start;
	rc = real.thrd_create(ret, c11_main, b);
	if (rc != thrd_success)
		birth_free(b);
	return rc;
}
