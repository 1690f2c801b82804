/*
 * hook_api.c - what the program tells us by perfprobe.h.
 */
#include <errno.h>
#include <limits.h>
#include <stddef.h>

#include "compiler.h"
#include "helper.h"
#include "hook_alloc.h"
#include "leaks.h"
#include "losses.h"
#include "marks.h"
#include "os_linux.h"
#include "requests.h"
#include "sockets.h"
#include "threads.h"
#include "units.h"

/* There they are weak, for programs; here they are defined. */
#define PERFPROBE_WEAK_ EXPORT
#include "perfprobe.h"

static bool heap_enter(struct tls *t)
{
	return state_get() >= STATE_STOPPED && recorder_mode != HEAP_OFF && hook_enter(t);
}

EXPORT void perfprobe_1_pool_destroy(const void *pool)
{
	struct tls *t = &tls_self;

	if (!pool || !heap_enter(t))
		return;
	recorder_pool_destroy(t, pool);
	hook_leave(t);
}

EXPORT void perfprobe_1_pool_create(const void *pool)
{
	perfprobe_1_pool_destroy(pool);
}

EXPORT void perfprobe_1_pool_memory(const void *pool, const void *block)
{
	struct tls *t = &tls_self;

	if (!pool || !block || !heap_enter(t))
		return;
	recorder_pool_memory(t, block);
	hook_leave(t);
}

EXPORT void perfprobe_1_pool_alloc(const void *pool, const void *block, size_t bytes)
{
	struct tls *t = &tls_self;

	if (!pool || !block || !heap_enter(t))
		return;
	if (state_get() == STATE_RUNNING && recorder_wants(t, bytes))
		recorder_pool_alloc(t, pool, block, bytes, HOOK_FRAME());
	hook_leave(t);
}

EXPORT void perfprobe_1_pool_free(const void *pool, const void *block)
{
	struct tls *t = &tls_self;

	if (!pool || !block || !heap_enter(t))
		return;
	recorder_pool_free(t, pool, block);
	hook_leave(t);
}

/* For what changes requests; *ret_thread may be NULL. False: requests are not followed, or a signal handler met us in there. */
static bool requests_enter(struct tls *t, struct thread **ret_thread)
{
	if (state_get() < STATE_STOPPED || !load_relaxed(&sockets_on))
		return false;
	if (!guard_enter(t, GUARD_NET)) {
		loss_add(LOSS_HTTP_NESTED, 1);
		return false;
	}
	if (!t->thread && !t->ended)
		(void)threads_attach(t, 0, 0); /* a failure is counted there */
	*ret_thread = t->thread;
	return true;
}

EXPORT uint64_t perfprobe_1_current(void)
{
	const struct thread *th = load_relaxed(&sockets_on) ? tls_self.thread : NULL;

	return th ? load_relaxed(&th->http_now) : 0;
}

EXPORT void perfprobe_1_adopt(uint64_t request)
{
	struct tls *t = &tls_self;
	struct thread *th;

	if (!requests_enter(t, &th))
		return;
	if (th)
		requests_adopt(th, request, os_now_ns());
	guard_leave(t, GUARD_NET);
}

EXPORT uint64_t perfprobe_1_begin(const char *name)
{
	struct tls *t = &tls_self;
	struct thread *th;
	uint64_t request;

	if (!name || !requests_enter(t, &th))
		return 0;
	request = requests_work_begin(th, name, os_now_ns());
	guard_leave(t, GUARD_NET);
	return request;
}

EXPORT void perfprobe_1_end(uint64_t request)
{
	struct tls *t = &tls_self;
	struct thread *th;

	if (!request || !requests_enter(t, &th))
		return;
	requests_work_end(th, request, os_now_ns());
	guard_leave(t, GUARD_NET);
}

EXPORT void perfprobe_1_mark(const char *name)
{
	const struct thread *th = tls_self.thread;

	if (name && state_get() >= STATE_STOPPED)
		marks_add(name, th ? th->record : 0);
}

EXPORT int perfprobe_1_snapshot(const char *name)
{
	if (state_get() < STATE_STOPPED)
		return -ENOSYS;
	if (name)
		perfprobe_1_mark(name);
	recorder_settle(); /* while there may be one thread */
	if (!helper_start(start_config()))
		return -EAGAIN;
	return helper_dump("request", 30 * NS_PER_S);
}

EXPORT int perfprobe_1_leaks(void)
{
	const struct leaks_result *r;
	int rc;

	if (state_get() < STATE_STOPPED)
		return -ENOSYS;
	recorder_settle();
	if (!helper_start(start_config()))
		return -EAGAIN;
	rc = helper_leaks_now(120 * NS_PER_S);
	r = leaks_last();
	if (rc < 0)
		return rc;
	return !r || r->state ? -EAGAIN : r->count < INT_MAX ? (int)r->count : INT_MAX;
}

EXPORT void perfprobe_1_start(void)
{
	state_change(STATE_STOPPED, STATE_RUNNING);
}

EXPORT void perfprobe_1_stop(void)
{
	state_change(STATE_RUNNING, STATE_STOPPED);
}
