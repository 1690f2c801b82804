/*
 * hook_other.c - the functions of other allocators: which the program would call instead of ours (an allocator that stands
 * before us in the order of look-up), or beside ours (jemalloc's mallocx, tcmalloc's tc_malloc, mimalloc's mi_malloc).
 *
 * Which      others.def. None is exported; redirect.c leads references here, only where a library defines the name.
 * Onward     each calls the definition it stands for, never real.h's: the exported hooks stay what a library in front of us
 *            finds as the next malloc, so that one which hands on what it does not know never comes back here.
 * Nesting    as in hook_alloc.c: GUARD_ALLOC is held over the real call, but where it may throw.
 * Partial    what was allocated before start-up went to the other allocator unseen; a libc that keeps its loader's malloc to
 *            itself goes on doing so. An unknown address then says nothing about misuse.
 */
#include "hook_other.h"

#include <dlfcn.h>
#include <stdint.h>
#include <string.h>

#include "compiler.h"
#include "dump.h"
#include "hidden.h"
#include "hook_alloc.h"
#include "losses.h"
#include "misuse.h"
#include "os_linux.h"
#include "real.h"
#include "redirect.h"
#include "say.h"

/* ---- hooks -------------------------------------------------------------------------------------------------------- */

/* One copy for all. */
static NOINLINE bool forget(struct tls *t, void *ptr, enum snap_family family, const void *frame)
{
	return hook_forget(t, ptr, family, frame);
}

/* The definitions. */
static struct {
#define MAKE(where, name, params, args, size, family)    void *(*name)params;
#define THROW(where, name, params, args, size, family)   void *(*name)params;
#define MOVE(where, name, params, args, old, size, gone) void *(*name)params;
#define INTO(where, name, params, args, ret, size)       int(*name) params;
#define FREE(where, name, params, args, ptr, family)     void(*name) params;
#define UNSEEN(name)
#include "others.def"
	size_t (*xallocx)(void *old, size_t size, size_t extra, int flags);
	void (*mi_heap_destroy)(void *heap);
} theirs;

#define MAKE(where, name, params, args, size, family)                      \
	static void *other_##name params                                   \
	{                                                                  \
		struct tls *t = &tls_self;                                 \
		bool outer = hook_enter(t);                                \
		void *block = theirs.name args;                            \
                                                                           \
		return hook_malloced(t, outer, block, size, HOOK_FRAME()); \
	}
#define THROW(where, name, params, args, size, family)                                                    \
	static void *other_##name params                                                                  \
	{                                                                                                 \
		struct tls *t = &tls_self;                                                                \
		void *block = theirs.name args;                                                           \
                                                                                                          \
		return hook_allocated(t, hook_enter(t), block, size, SNAP_FAMILY_##family, HOOK_FRAME()); \
	}
#define MOVE(where, name, params, args, old, size, gone)                      \
	static void *other_##name params                                      \
	{                                                                     \
		struct tls *t = &tls_self;                                    \
		struct hook_moving m = hook_moving(t, old, HOOK_FRAME());     \
		void *now = theirs.name args;                                 \
                                                                              \
		return hook_moved(t, &m, old, now, size, gone, HOOK_FRAME()); \
	}
#define INTO(where, name, params, args, ret, size)                                          \
	static int other_##name params                                                      \
	{                                                                                   \
		struct tls *t = &tls_self;                                                  \
		bool outer = hook_enter(t);                                                 \
		int rc = theirs.name args;                                                  \
                                                                                            \
		(void)hook_malloced(t, outer, rc == 0 ? *(ret) : NULL, size, HOOK_FRAME()); \
		return rc;                                                                  \
	}
#define FREE(where, name, params, args, ptr, family)                                 \
	static void other_##name params                                              \
	{                                                                            \
		struct tls *t = &tls_self;                                           \
		bool held;                                                           \
                                                                                     \
		if (UNLIKELY(bootstrap_owns(ptr)))                                   \
			return;                                                      \
		held = (ptr) && (recorder_mode == HEAP_FULL || allocs_maybe(ptr)) && \
		       forget(t, ptr, SNAP_FAMILY_##family, HOOK_FRAME());           \
		theirs.name args;                                                    \
		if (held)                                                            \
			hook_leave(t);                                               \
	}
#define UNSEEN(name)
#include "others.def"

/* jemalloc: the block grows or shrinks where it is, to between `size` and `size` + `extra`; or stays. Answers its size. */
static size_t other_xallocx(void *old, size_t size, size_t extra, int flags)
{
	struct tls *t = &tls_self;
	struct hook_moving m = hook_moving(t, old, HOOK_FRAME());
	size_t now = theirs.xallocx(old, size, extra, flags);
	size_t asked = now - size > extra ? size + extra : now;

	(void)hook_moved(t, &m, old, now >= size ? old : NULL, asked, false, HOOK_FRAME());
	return now;
}

static bool (*visit_blocks)(const void *heap, bool blocks,
                            bool (*visitor)(const void *heap, const void *area, void *block, size_t size, void *arg),
                            void *arg);

static bool destroyed(const void *heap, const void *area, void *block, size_t size, void *frame)
{
	struct tls *t = &tls_self;

	(void)heap;
	(void)area;
	(void)size;
	if (block && allocs_knows(block) && forget(t, block, SNAP_FAMILY_MALLOC, frame))
		hook_leave(t);
	return true;
}

/* mimalloc: with the heap go its blocks. */
static void other_mi_heap_destroy(void *heap)
{
	if (visit_blocks && recorder_mode != HEAP_OFF)
		(void)visit_blocks(heap, true, destroyed, (void *)HOOK_FRAME());
	theirs.mi_heap_destroy(heap);
}

/* ---- who answers malloc? ------------------------------------------------------------------------------------------- */

enum { FRONT = true, ANY = false };

static struct redirect table[] = {
#define ROW(where, name)                                 { #name, (void *)other_##name, (void **)&theirs.name, where, 0, 0 },
#define MAKE(where, name, params, args, size, family)    ROW(where, name)
#define THROW(where, name, params, args, size, family)   ROW(where, name)
#define MOVE(where, name, params, args, old, size, gone) ROW(where, name)
#define INTO(where, name, params, args, ret, size)       ROW(where, name)
#define FREE(where, name, params, args, ptr, family)     ROW(where, name)
#define UNSEEN(name)                                     { #name, NULL, NULL, ANY, 0, 0 },
#include "others.def"
	ROW(ANY, xallocx) ROW(ANY, mi_heap_destroy){ "mi_heap_visit_blocks", NULL, (void **)&visit_blocks, ANY, 0, 0 },
};

/* Does a call of the program's malloc come by our hook? Another library in front of us may hand it on. An address tells
 * nothing (a program that is not position-independent has its own for every function), so it is tried: under the guard our
 * hook counts a nested call. */
static bool program_reaches_us(void)
{
	_Atomic uint64_t *nested = &losses_count[LOSS_HEAP_NESTED];
	uint64_t begin = load_relaxed(nested), before;
	void *program = dlopen(NULL, RTLD_LAZY); /* RTLD_DEFAULT would begin with ourselves: we are linked -Bsymbolic */
	void *(*make)(size_t) = NULL, *block;
	void (*drop)(void *) = NULL;
	bool ours;

	if (program) {
		*(void **)&make = dlsym(program, "malloc");
		*(void **)&drop = dlsym(program, "free");
	}
	if (!make || !drop)
		return true;
	before = load_relaxed(nested);
	block = make(1);
	ours = load_relaxed(nested) != before;
	drop(block);                  /* as it came; misuse.c keeps account of nested blocks */
	store_relaxed(nested, begin); /* what was counted meanwhile is our own doing */
	if (!ours)
		real_front.free = drop;
	return ours;
}

static void not_recorded(const char *whose, const char *how)
{
	loss_add(LOSS_HEAP_FOREIGN, 1);
	recorder_heap_off();
	say("the program's malloc is ", whose, how, ": its heap is not recorded", NULL);
}

/* An allocator inside the program, or inside a library. True: nothing of the program's own heap would come by here. */
static bool look_for_hidden(const struct config *config)
{
	struct hidden h;
	char more[24], bytes[24], files[24], us[24];
	uint64_t start_ns = os_now_ns();
	const char *slash, *where;

	hidden_find(&h);
	if (config->verbose)
		say("looked for allocators inside: ", say_number(files, h.files), " files, ",
		    say_number(bytes, h.bytes), " bytes read, ", say_number(us, (os_now_ns() - start_ns) / 1000), " us",
		    NULL);
	if (!h.objects)
		return false;
	if (h.alone) {
		not_recorded(h.allocator ? h.allocator : "its own", ", linked in");
		return true;
	}
	loss_add(LOSS_HEAP_HIDDEN, h.objects);
	if (h.unnamed)
		misuse_unsure();
	slash = strrchr(h.path, '/');
	where = slash ? slash + 1 : *h.path ? h.path : "the program";
	say(h.allocator ? h.allocator : "an allocator", " is linked into ", where, " (", h.function,
	    "): its blocks are not recorded, the rest of the heap is",
	    h.objects > 1 ? "; other objects with an allocator inside: " : "",
	    h.objects > 1 ? say_number(more, h.objects - 1) : "", NULL);
	return false;
}

/* A block that was made by one of these and is freed by a hook would be taken for no block. */
static void look_for_unseen(void)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (table[i].real || !table[i].references)
			continue;
		loss_add(LOSS_HEAP_UNSEEN_CALL, table[i].references);
		say("blocks made by ", table[i].name, " are not recorded", NULL);
		misuse_unsure();
	}
}

static bool malloc_is_found(void)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (table[i].hook == (void *)other_malloc)
			return table[i].definition != 0;
	return false;
}

void hook_other_init(const struct config *config)
{
	struct redirect_result result = { 0 };
	bool ours, any;

	if (config->heap == HEAP_OFF)
		return;
	ours = program_reaches_us();
	if (ours)
		for (size_t i = 0; i < ARRAY_LEN(table); i++)
			if (table[i].in_front)
				table[i].name = ""; /* a library in front that hands on to us is not in our way */
	real_behind = !ours;
	any = redirect_find(table, ARRAY_LEN(table), &result);
	if (!ours && !malloc_is_found()) {
		not_recorded("its own", ", linked in");
		return;
	}
	if (look_for_hidden(config))
		return;
	if (!any)
		return;
	if (!config->redirect) {
		if (!ours)
			not_recorded("another library's", ", and PERFPROBE_REDIRECT=off");
		return;
	}
	for (size_t i = 0; i < result.libraries; i++)
		real_joined_by(result.definition[i]);
	redirect_apply(table, ARRAY_LEN(table), &result);
	if (!result.done || result.refused) {
		if (ours)
			say("calls of ", result.library, " beside malloc cannot be led here: they are not recorded",
			    NULL);
		else if (!result.done)
			not_recorded("another library's", ", and its calls cannot be led here");
		misuse_unsure();
		loss_add(LOSS_HEAP_UNSEEN_CALL, result.refused + !result.done);
		return;
	}
	if (!ours) {
		real_front.realloc = theirs.realloc;
		misuse_unsure();
	}
	look_for_unseen();
	if (!ours || result.references) /* else nobody calls what was prepared for */
		dump_set_heap_redirected(result.library, result.names, result.references);
}
