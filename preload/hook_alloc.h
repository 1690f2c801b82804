/* What the hooks of allocators share (hook_alloc.c, hook_cxx.c): guard, real call, one event. [hook] */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "arch.h"
#include "compiler.h"
#include "leaks.h"
#include "losses.h"
#include "misuse.h"
#include "recorder.h"
#include "start.h"
#include "state.h"
#include "threads.h"

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

static ALWAYS_INLINE void hook_record(struct tls *t, void *block, size_t size, enum snap_family family,
                                      const void *frame)
{
	recorder_alloc(t, block, size, family, frame);
	if (UNLIKELY(t->unleakable) && !leaks_ignore(block))
		loss_add(LOSS_LEAKS_IGNORED_FULL, 1);
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
			hook_record(t, block, size, family, frame);
	}
	hook_leave(t);
	return block;
}

/* The same for what is called malloc: inside an operator new it makes that operator's block. */
NOINLINE void *hook_allocated_in_new(struct tls *t, bool outer, void *block, size_t size, const void *frame);
static ALWAYS_INLINE void *hook_malloced(struct tls *t, bool outer, void *block, size_t size, const void *frame)
{
	/* The first allocation of this size inside an operator new is the operator's own (hook_cxx.c), which may have made a 0
	 * a 1, or the size a multiple of the alignment. The frame is compared too: an operator that left by an exception has
	 * left its mark behind. */
	if (UNLIKELY(t->origin.family))
		return hook_allocated_in_new(t, outer, block, size, frame);
	return hook_allocated(t, outer, block, size, SNAP_FAMILY_MALLOC, frame);
}

/* Before the real free. True if GUARD_ALLOC is held now, and hook_leave() must follow. */
static ALWAYS_INLINE bool hook_forget(struct tls *t, void *ptr, enum snap_family family, const void *frame)
{
	if (UNLIKELY(t->deleting == ptr))
		return false; /* forgotten by the operator delete that called */
	/* Without a count of what is the allocator's own. */
	if ((UNLIKELY(t->guard & GUARD_ALLOC) && !allocs_knows(ptr)) || !hook_enter(t)) {
		(void)misuse_stranger_gone(ptr);
		return false;
	}
	recorder_free(t, ptr, family, frame);
	return true;
}

/* A realloc under way. */
struct hook_moving {
	struct block was;
	bool outer, known;
};

/* Before the real realloc. */
static ALWAYS_INLINE struct hook_moving hook_moving(struct tls *t, void *old, const void *frame)
{
	struct hook_moving m;

	m.outer = hook_enter(t);
	m.known = false;
	if (!m.outer) {
		if (old)
			(void)misuse_stranger_gone(old);
		return m;
	}
	m.known = old && recorder_take(t, old, &m.was);
	if (old && UNLIKELY(!m.known || !misuse_matches(m.was.family, SNAP_FAMILY_REALLOC)))
		recorder_misused(t, old, m.known ? &m.was : NULL, SNAP_FAMILY_REALLOC, frame);
	return m;
}

/* After it. `gone`: if it answered NULL, the old block was freed nevertheless. */
static ALWAYS_INLINE void *hook_moved(struct tls *t, struct hook_moving *m, void *old, void *now, size_t size,
                                      bool gone, const void *frame)
{
	void *made;

	if (!m->outer) {
		hook_unseen(now);
		return now;
	}
	if (now || gone) {
		if (m->known)
			recorder_freed(t, old, &m->was, frame);
	} else if (m->known) {
		recorder_restore(t, old, &m->was); /* failed: the old block lives on */
	} else if (old) {
		hook_unseen(old);
	}
	made = hook_malloced(t, true, now, size, frame);
	if (t->thread)
		store_relaxed(&t->thread->moving, 0);
	return made;
}
