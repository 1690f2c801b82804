/*
 * hook_api.c - what the program tells us by perfprobe.h.
 */
#include <errno.h>
#include <stddef.h>

#include "compiler.h"
#include "helper.h"
#include "hook_alloc.h"
#include "marks.h"
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

EXPORT void perfprobe_1_start(void)
{
	state_change(STATE_STOPPED, STATE_RUNNING);
}

EXPORT void perfprobe_1_stop(void)
{
	state_change(STATE_RUNNING, STATE_STOPPED);
}
