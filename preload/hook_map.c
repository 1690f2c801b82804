/*
 * hook_map.c - memory that the program maps by itself, where PERFPROBE_MMAP=on; else every call goes straight on.
 *
 * Not counted what an allocator maps for itself inside an allocation call (GUARD_ALLOC), and what libc maps without calling
 *             mmap by its name: thread stacks, malloc's own, loaded objects.
 * Early       allocators call these before anything of ours or libc's is ready: no TLS of ours is touched before the
 *             constructor has turned recording on, and where the next definition is not known the kernel is called.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "compiler.h"
#include "hook_alloc.h"
#include "hook_map.h"
#include "leak_unforked.h"
#include "leaks.h"
#include "mappings.h"
#include "os_linux.h"
#include "real.h"

static _Atomic bool recording; /* set once, by the constructor */

void hook_map_init(const struct config *config)
{
	/* In full mode the leak check must know the program's own memory from an allocator's (leak_roots.c). */
	store_relaxed(&recording, config->mmap != 0 || (config->heap == HEAP_FULL && !real_is_libc));
}

static ALWAYS_INLINE bool is_recording(void)
{
	return UNLIKELY(load_relaxed(&recording)) && state_get() >= STATE_STOPPED;
}

static uintptr_t page_bytes(void)
{
	return getauxval(AT_PAGESZ); /* reads a table */
}

static size_t whole_pages(size_t bytes)
{
	return (bytes + page_bytes() - 1) & ~(page_bytes() - 1);
}

/* ---- events ------------------------------------------------------------------------------------------------------- */

static void forget(uintptr_t at, size_t bytes, struct mappings_taken *ret_taken)
{
	struct tls *t = &tls_self;

	ret_taken->count = 0;
	ret_taken->bytes = 0;
	if (at % page_bytes() || !bytes || !guard_enter(t, GUARD_TABLE))
		return; /* the kernel refuses it; or a signal handler: the next mapping there replaces what is known */
	mappings_forget(at, whole_pages(bytes), ret_taken);
	recorder_table_leave(t);
}

static void restore(const struct mappings_taken *taken)
{
	struct tls *t = &tls_self;

	if (!taken->bytes || !guard_enter(t, GUARD_TABLE))
		return;
	mappings_restore(taken);
	recorder_table_leave(t);
}

/* ---- hooks -------------------------------------------------------------------------------------------------------- */

static void *next_mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	long rc;

	if (UNLIKELY(leak_unforked_any()) && (flags & MAP_FIXED) &&
	    (flags & MAP_FIXED_NOREPLACE) != MAP_FIXED_NOREPLACE)
		leak_unforked_remove(at, whole_pages(bytes));
	if (real_known() && real.mmap)
		return real.mmap(at, bytes, prot, flags, fd, offset);
	rc = os_call(SYS_mmap, (long)at, (long)bytes, prot, flags, fd, offset);
	if (rc < 0 && rc > -4096) {
		errno = (int)-rc;
		return MAP_FAILED;
	}
	return (void *)rc;
}

static void *map(void *at, size_t bytes, int prot, int flags, int fd, off_t offset, const void *frame)
{
	struct tls *t = &tls_self;
	struct mappings_taken taken = { .count = 0 };
	bool fixed = (flags & MAP_FIXED) && (flags & MAP_FIXED_NOREPLACE) != MAP_FIXED_NOREPLACE;
	bool outer;
	void *got;

	if (fixed)
		forget((uintptr_t)at, bytes, &taken);
	outer = state_get() == STATE_RUNNING && guard_enter(t, GUARD_ALLOC);
	got = next_mmap(at, bytes, prot, flags, fd, offset);
	if (got == MAP_FAILED)
		restore(&taken);
	else if (outer)
		recorder_map(t, (uintptr_t)got, whole_pages(bytes), frame);
	if (outer)
		guard_leave(t, GUARD_ALLOC);
	return got;
}

EXPORT void *mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	if (!is_recording())
		return next_mmap(at, bytes, prot, flags, fd, offset);
	return map(at, bytes, prot, flags, fd, offset, HOOK_FRAME());
}

/* off_t has 64 bits: one function, two names. */
EXPORT void *mmap64(void *at, size_t bytes, int prot, int flags, int fd, off64_t offset)
{
	if (!is_recording())
		return next_mmap(at, bytes, prot, flags, fd, offset);
	return map(at, bytes, prot, flags, fd, offset, HOOK_FRAME());
}

static int next_munmap(void *at, size_t bytes)
{
	long rc;

	/* Before the call, since the addresses are another's after it. One that the kernel refuses is a mistake of the program's. */
	if (UNLIKELY(leak_unforked_any()) && (uintptr_t)at % page_bytes() == 0)
		leak_unforked_remove(at, whole_pages(bytes));
	if (real_known() && real.munmap)
		return real.munmap(at, bytes);
	rc = os_call(SYS_munmap, (long)at, (long)bytes, 0, 0, 0, 0);
	if (rc < 0)
		errno = (int)-rc;
	return rc < 0 ? -1 : 0;
}

EXPORT int munmap(void *at, size_t bytes)
{
	struct mappings_taken taken;
	int rc;

	if (!is_recording())
		return next_munmap(at, bytes);
	forget((uintptr_t)at, bytes, &taken);
	rc = next_munmap(at, bytes);
	if (rc < 0)
		restore(&taken);
	return rc;
}

static void *next_mremap(void *old, size_t old_bytes, size_t bytes, int flags, void *at)
{
	bool any = leak_unforked_any();
	void *got;
	long rc;

	if (UNLIKELY(any) && flags & MREMAP_FIXED)
		leak_unforked_remove(at, whole_pages(bytes));
	if (real_known() && real.mremap) {
		got = real.mremap(old, old_bytes, bytes, flags, at);
	} else {
		rc = os_call(SYS_mremap, (long)old, (long)old_bytes, (long)bytes, flags, (long)at, 0);
		got = rc < 0 && rc > -4096 ? MAP_FAILED : (void *)rc;
		if (got == MAP_FAILED)
			errno = (int)-rc;
	}
	if (UNLIKELY(any) && got != MAP_FAILED)
		leak_unforked_moved(old, whole_pages(old_bytes), got, whole_pages(bytes));
	return got;
}

/* As realloc: the mapping is the caller's from now on. */
static void *remap(void *old, size_t old_bytes, size_t bytes, int flags, void *at, const void *frame)
{
	struct tls *t = &tls_self;
	struct mappings_taken moved = { .count = 0 }, replaced = { .count = 0 };
	bool known, outer;
	void *got;

	if (flags & MREMAP_FIXED)
		forget((uintptr_t)at, bytes, &replaced);
	if (!(flags & MREMAP_DONTUNMAP)) /* else the old range stays mapped, empty; so it does with old_bytes 0 */
		forget((uintptr_t)old, old_bytes, &moved);
	known = moved.bytes || flags & MREMAP_DONTUNMAP || !old_bytes;
	outer = guard_enter(t, GUARD_ALLOC);
	got = next_mremap(old, old_bytes, bytes, flags, at);
	if (got == MAP_FAILED) {
		restore(&moved);
		restore(&replaced);
	} else if (outer && (known || state_get() == STATE_RUNNING)) {
		recorder_map(t, (uintptr_t)got, whole_pages(bytes), frame);
	}
	if (outer)
		guard_leave(t, GUARD_ALLOC);
	return got;
}

EXPORT void *mremap(void *old, size_t old_bytes, size_t bytes, int flags, ...)
{
	void *at = NULL;
	va_list args;

	va_start(args, flags);
	if (flags & MREMAP_FIXED || flags & MREMAP_DONTUNMAP)
		at = va_arg(args, void *);
	va_end(args);
	if (!is_recording())
		return next_mremap(old, old_bytes, bytes, flags, at);
	return remap(old, old_bytes, bytes, flags, at, HOOK_FRAME());
}

/* ---- for the leak check ------------------------------------------------------------------------------------------- */

/* The check works on a copy that fork makes (leak_stop.c). */
EXPORT int madvise(void *at, size_t bytes, int advice)
{
	int rc;

	if (real_known() && real.madvise) {
		rc = real.madvise(at, bytes, advice);
	} else {
		rc = (int)os_call(SYS_madvise, (long)at, (long)bytes, advice, 0, 0, 0);
		if (rc < 0) {
			errno = -rc;
			rc = -1;
		}
	}
	if (rc == 0 && (advice == MADV_DONTFORK || advice == MADV_WIPEONFORK))
		leak_unforked_add(at, whole_pages(bytes), advice == MADV_WIPEONFORK);
	else if (rc == 0 && (advice == MADV_DOFORK || advice == MADV_KEEPONFORK))
		leak_unforked_remove(at, whole_pages(bytes));
	return rc;
}

/* What the program has from sbrk() stands in the middle of malloc's memory, which is no root. Allocators call it too. */
EXPORT void *sbrk(intptr_t increment)
{
	void *was;

	if (!real_ready() || !real.sbrk) {
		errno = ENOMEM;
		return (void *)-1;
	}
	was = real.sbrk(increment);
	if (was != (void *)-1 && increment > 0 && real_is_libc && state_get() >= STATE_STOPPED && !tls_self.guard)
		(void)leaks_root_add(was, (size_t)increment);
	return was;
}
