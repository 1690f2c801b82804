/*
 * hook_cxx.c - C++'s operators new and delete: which family a block belongs to.
 *
 * The operators of libstdc++ call malloc and free by name, and those hooks make the events. What is added here:
 * new        tells the malloc inside whose block it makes (tls.origin), and makes the event itself where the next operator
 *            does not call malloc by name (jemalloc, tcmalloc, mimalloc).
 * delete     makes the event, and tells the free inside that the block is forgotten already (tls.deleting).
 * Exceptions an operator new may throw through these frames, so nothing is held while the real one runs: no guard, no lock.
 *            A mark left behind by an exception is believed for a block of the same size from a deeper frame only.
 * Replaced   operators that the program defines itself stand in front of ours. Then ours stay out of the way: the
 *            program's new may be a pool's, and only some of the forms may be replaced.
 * Absent     in a program without C++ at its start, the operators come with a plugin, out of the reach of RTLD_NEXT.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>

#include "compiler.h"
#include "hook_alloc.h"
#include "real.h"

/* The forms, by the C++ ABI's names (Itanium C++ ABI 5.1.5): n/d, w/l plain and a/a array, then the parameters. */
/* clang-format off */
#define CXX_NAMES(X) \
	X(_Znwm) X(_Znam) \
	X(_ZnwmRKSt9nothrow_t) X(_ZnamRKSt9nothrow_t) \
	X(_ZnwmSt11align_val_t) X(_ZnamSt11align_val_t) \
	X(_ZnwmSt11align_val_tRKSt9nothrow_t) X(_ZnamSt11align_val_tRKSt9nothrow_t) \
	X(_ZdlPv) X(_ZdaPv) \
	X(_ZdlPvm) X(_ZdaPvm) \
	X(_ZdlPvRKSt9nothrow_t) X(_ZdaPvRKSt9nothrow_t) \
	X(_ZdlPvSt11align_val_t) X(_ZdaPvSt11align_val_t) \
	X(_ZdlPvmSt11align_val_t) X(_ZdaPvmSt11align_val_t) \
	X(_ZdlPvSt11align_val_tRKSt9nothrow_t) X(_ZdaPvSt11align_val_tRKSt9nothrow_t)
/* clang-format on */

/* No header declares them to C. */
#define HOOK_CXX(returns, name, params) EXPORT returns name params;
HOOK_CXX(void *, _Znwm, (size_t size))
HOOK_CXX(void *, _Znam, (size_t size))
HOOK_CXX(void *, _ZnwmRKSt9nothrow_t, (size_t size, const void *tag))
HOOK_CXX(void *, _ZnamRKSt9nothrow_t, (size_t size, const void *tag))
HOOK_CXX(void *, _ZnwmSt11align_val_t, (size_t size, size_t align))
HOOK_CXX(void *, _ZnamSt11align_val_t, (size_t size, size_t align))
HOOK_CXX(void *, _ZnwmSt11align_val_tRKSt9nothrow_t, (size_t size, size_t align, const void *tag))
HOOK_CXX(void *, _ZnamSt11align_val_tRKSt9nothrow_t, (size_t size, size_t align, const void *tag))
HOOK_CXX(void, _ZdlPv, (void *ptr))
HOOK_CXX(void, _ZdaPv, (void *ptr))
HOOK_CXX(void, _ZdlPvm, (void *ptr, size_t size))
HOOK_CXX(void, _ZdaPvm, (void *ptr, size_t size))
HOOK_CXX(void, _ZdlPvRKSt9nothrow_t, (void *ptr, const void *tag))
HOOK_CXX(void, _ZdaPvRKSt9nothrow_t, (void *ptr, const void *tag))
HOOK_CXX(void, _ZdlPvSt11align_val_t, (void *ptr, size_t align))
HOOK_CXX(void, _ZdaPvSt11align_val_t, (void *ptr, size_t align))
HOOK_CXX(void, _ZdlPvmSt11align_val_t, (void *ptr, size_t size, size_t align))
HOOK_CXX(void, _ZdaPvmSt11align_val_t, (void *ptr, size_t size, size_t align))
HOOK_CXX(void, _ZdlPvSt11align_val_tRKSt9nothrow_t, (void *ptr, size_t align, const void *tag))
HOOK_CXX(void, _ZdaPvSt11align_val_tRKSt9nothrow_t, (void *ptr, size_t align, const void *tag))

enum { UNKNOWN, ACTIVE, PASSIVE };
static _Atomic int cxx_state = UNKNOWN;

/* Does the program define one of the operators itself, or another library in front of us? */
static bool replaced(void)
{
#define CXX_IS_OURS(name) (dlsym(RTLD_DEFAULT, #name) == (void *)(name)) &&
	return !(CXX_NAMES(CXX_IS_OURS) true);
}

/* Operators that were not there when the others were looked up. The first call of one; the guard is held, as dlopen and
 * dlsym may allocate. */
static void find_late(void)
{
	static const char *const libraries[] = { "libstdc++.so.6", "libc++abi.so.1", "libc++.so.1" };

	for (size_t i = 0; i < ARRAY_LEN(libraries); i++) {
		void *handle = dlopen(libraries[i], RTLD_LAZY | RTLD_NOLOAD);

		if (!handle)
			continue;
#define CXX_FIND(name)  \
	if (!real.name) \
		*(void **)&real.name = dlsym(handle, #name);
		CXX_NAMES(CXX_FIND)
	} /* the handle is kept: so is the library */
}

static NOINLINE bool decide(void)
{
	struct tls *t = &tls_self;
	bool outer = guard_enter(t, GUARD_ALLOC), ours = guard_enter(t, GUARD_OURS);

	if (!real._Znwm || !real._ZdlPv)
		find_late();
	store_relaxed(&cxx_state, replaced() ? PASSIVE : ACTIVE); /* relaxed: everybody comes to the same answer */
	if (ours)
		guard_leave(t, GUARD_OURS);
	if (outer)
		guard_leave(t, GUARD_ALLOC);
	return load_relaxed(&cxx_state) == ACTIVE;
}

static ALWAYS_INLINE bool active(void)
{
	int now = load_relaxed(&cxx_state);

	return LIKELY(now != UNKNOWN) ? now == ACTIVE : real_ready() && decide();
}

/* ---- new ---------------------------------------------------------------------------------------------------------- */

struct pending {
	bool ours;
	uint64_t allocs;
};

static ALWAYS_INLINE struct pending new_begin(struct tls *t, size_t size, size_t align, enum snap_family family,
                                              const void *frame)
{
	struct pending p = { active(), t->allocs };

	/* One operator calls another, which then has nothing to add. */
	if (t->origin.family && t->origin.size == size && t->origin.frame > frame)
		p.ours = false;
	if (p.ours) {
		t->origin.frame = frame;
		t->origin.size = size;
		t->origin.slack = align;
		t->origin.family = family;
	}
	return p;
}

/* The real operator did not call malloc by name. */
static NOINLINE void new_unseen(struct tls *t, void *block, size_t size, enum snap_family family, const void *frame)
{
	if (t->guard & GUARD_ALLOC || !real_ready() || bootstrap_owns(block))
		return;
	t->own_new = true;
	(void)hook_allocated(t, hook_enter(t), block, size, family, frame);
	t->own_new = false;
}

static ALWAYS_INLINE void *new_end(struct tls *t, struct pending p, void *block, size_t size, enum snap_family family,
                                   const void *frame)
{
	if (p.ours) {
		t->origin.family = 0;
		if (UNLIKELY(t->allocs == p.allocs) && block)
			new_unseen(t, block, size, family, frame);
	}
	return block;
}

/* `call`: the next operator. */
#define NEW(name, family, size, call)                                                                             \
	struct tls *t = &tls_self;                                                                                \
	const void *frame = HOOK_FRAME();                                                                         \
	struct pending p = new_begin(t, size, size == 0, SNAP_FAMILY_##family, frame);                            \
	void *block = LIKELY(real.name != NULL) ? real.name call : malloc(size ? size : 1); /* no C++ anywhere */ \
	return new_end(t, p, block, size, SNAP_FAMILY_##family, frame)

#define NEW_ALIGNED(name, family, size, align, call)                                           \
	struct tls *t = &tls_self;                                                             \
	const void *frame = HOOK_FRAME();                                                      \
	struct pending p = new_begin(t, size, align, SNAP_FAMILY_##family, frame);             \
	void *block = LIKELY(real.name != NULL) ? real.name call : aligned_alloc(align, size); \
	return new_end(t, p, block, size, SNAP_FAMILY_##family, frame)

void *_Znwm(size_t size)
{
	NEW(_Znwm, NEW, size, (size));
}

void *_Znam(size_t size)
{
	NEW(_Znam, NEW_ARRAY, size, (size));
}

void *_ZnwmRKSt9nothrow_t(size_t size, const void *tag)
{
	NEW(_ZnwmRKSt9nothrow_t, NEW, size, (size, tag));
}

void *_ZnamRKSt9nothrow_t(size_t size, const void *tag)
{
	NEW(_ZnamRKSt9nothrow_t, NEW_ARRAY, size, (size, tag));
}

void *_ZnwmSt11align_val_t(size_t size, size_t align)
{
	NEW_ALIGNED(_ZnwmSt11align_val_t, NEW_ALIGNED, size, align, (size, align));
}

void *_ZnamSt11align_val_t(size_t size, size_t align)
{
	NEW_ALIGNED(_ZnamSt11align_val_t, NEW_ARRAY_ALIGNED, size, align, (size, align));
}

void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *tag)
{
	NEW_ALIGNED(_ZnwmSt11align_val_tRKSt9nothrow_t, NEW_ALIGNED, size, align, (size, align, tag));
}

void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *tag)
{
	NEW_ALIGNED(_ZnamSt11align_val_tRKSt9nothrow_t, NEW_ARRAY_ALIGNED, size, align, (size, align, tag));
}

/* ---- delete ------------------------------------------------------------------------------------------------------- */

/* Forgets the block before the real operator may give it away; true if delete_end() must follow. */
static ALWAYS_INLINE bool delete_begin(struct tls *t, void *ptr, enum snap_family family, const void *frame)
{
	if (!ptr || t->deleting == ptr || !active() || t->guard & GUARD_ALLOC || bootstrap_owns(ptr))
		return false;
	if (!allocs_maybe(ptr) && recorder_mode != HEAP_FULL)
		return false;
	if (!hook_enter(t))
		return false;
	recorder_free(t, ptr, family, frame);
	hook_leave(t);
	t->deleting = ptr;
	return true;
}

#define DELETE(name, family, call)                                            \
	struct tls *t = &tls_self;                                            \
	bool ours = delete_begin(t, ptr, SNAP_FAMILY_##family, HOOK_FRAME()); \
                                                                              \
	if (LIKELY(real.name != NULL))                                        \
		real.name call;                                               \
	else                                                                  \
		free(ptr);                                                    \
	if (ours)                                                             \
	t->deleting = NULL

void _ZdlPv(void *ptr)
{
	DELETE(_ZdlPv, NEW, (ptr));
}

void _ZdaPv(void *ptr)
{
	DELETE(_ZdaPv, NEW_ARRAY, (ptr));
}

void _ZdlPvm(void *ptr, size_t size)
{
	DELETE(_ZdlPvm, NEW, (ptr, size));
}

void _ZdaPvm(void *ptr, size_t size)
{
	DELETE(_ZdaPvm, NEW_ARRAY, (ptr, size));
}

void _ZdlPvRKSt9nothrow_t(void *ptr, const void *tag)
{
	DELETE(_ZdlPvRKSt9nothrow_t, NEW, (ptr, tag));
}

void _ZdaPvRKSt9nothrow_t(void *ptr, const void *tag)
{
	DELETE(_ZdaPvRKSt9nothrow_t, NEW_ARRAY, (ptr, tag));
}

void _ZdlPvSt11align_val_t(void *ptr, size_t align)
{
	DELETE(_ZdlPvSt11align_val_t, NEW_ALIGNED, (ptr, align));
}

void _ZdaPvSt11align_val_t(void *ptr, size_t align)
{
	DELETE(_ZdaPvSt11align_val_t, NEW_ARRAY_ALIGNED, (ptr, align));
}

void _ZdlPvmSt11align_val_t(void *ptr, size_t size, size_t align)
{
	DELETE(_ZdlPvmSt11align_val_t, NEW_ALIGNED, (ptr, size, align));
}

void _ZdaPvmSt11align_val_t(void *ptr, size_t size, size_t align)
{
	DELETE(_ZdaPvmSt11align_val_t, NEW_ARRAY_ALIGNED, (ptr, size, align));
}

void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *ptr, size_t align, const void *tag)
{
	DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, NEW_ALIGNED, (ptr, align, tag));
}

void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *ptr, size_t align, const void *tag)
{
	DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, NEW_ARRAY_ALIGNED, (ptr, align, tag));
}
