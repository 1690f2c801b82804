/* What the hooks of allocators share (hook_alloc.c, hook_cxx.c): guard, real call, one event. [hook] */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "arch.h"
#include "compiler.h"
#include "losses.h"
#include "misuse.h"
#include "recorder.h"
#include "start.h"
#include "state.h"

/* The stack of an event begins in the caller of the hook: its frame address, kept by -fno-omit-frame-pointer. */
#define HOOK_FRAME() ARCH_HOOK_FRAME()

/* May this call be an event? Then GUARD_ALLOC is held and hook_leave() must follow. */
static ALWAYS_INLINE bool hook_enter(struct tls *t)
{
	if (UNLIKELY(state_get() < STATE_STOPPED) && !start_recorder())
		return false;
	if (UNLIKELY(!guard_enter(t, GUARD_ALLOC))) {
		if (!(t->guard & GUARD_OURS))
			loss_add(LOSS_HEAP_NESTED, 1);
		return false;
	}
	return true;
}

static ALWAYS_INLINE void hook_leave(struct tls *t)
{
	guard_leave(t, GUARD_ALLOC);
}

/* A block that is no event: in full mode its free must not be taken for misuse. */
static NOINLINE UNUSED void hook_unseen(const void *block)
{
	if (block && state_get() != STATE_OFF && recorder_mode != HEAP_SAMPLED)
		misuse_stranger(block);
}

/* The end of every hook that allocates. `outer` is what hook_enter() answered. */
static ALWAYS_INLINE void *hook_allocated(struct tls *t, bool outer, void *block, size_t size, enum snap_family family,
                                          const void *frame)
{
	if (UNLIKELY(!outer)) {
		hook_unseen(block);
		return block;
	}
	if (LIKELY(block != NULL)) {
		if (UNLIKELY(state_get() != STATE_RUNNING))
			hook_unseen(block);
		else if (recorder_wants(t, size))
			recorder_alloc(t, block, size, family, frame);
	}
	hook_leave(t);
	return block;
}
