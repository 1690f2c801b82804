/*
 * real.c - who comes after us.
 *
 * dlsym(RTLD_NEXT) gives the next definition in the process's search order: jemalloc's malloc where the program is linked
 * with it, else libc's. dlsym may itself allocate; those blocks come from the bootstrap memory below and are recognised
 * for ever, because libc frees some of them at the very end.
 */
#include "real.h"

#include <dlfcn.h>
#include <string.h>
#include <sys/syscall.h>

#include "lock.h"
#include "objects.h"
#include "os_linux.h"
#include "say.h"

enum { MORE_BYTES = 1 << 20, REGIONS = 64, HEADER = 16 };
enum { UNKNOWN, LOOKING, KNOWN };
enum need { OPTIONAL, REQUIRED };

struct real real;
_Atomic int real_state_ = UNKNOWN;
bool real_behind = true;
struct real_front real_front;
bool real_knows_usable, real_knows_usable_of_new;

static pid_t looker; /* the thread that looks up; valid while LOOKING */

/* Regions of bootstrap memory; the first needs no system call. Written under the lock, read without it. */
_Alignas(64) unsigned char bootstrap_first[BOOTSTRAP_FIRST_BYTES];
static struct region {
	unsigned char *at;
	size_t bytes, used;
} regions[REGIONS] = { { bootstrap_first, BOOTSTRAP_FIRST_BYTES, 0 } };
_Atomic uint32_t bootstrap_regions = 1;
static struct lock bootstrap_lock;

/* Where this very library begins and ends: made by the linker (ld's "provided" symbols). */
extern const char __ehdr_start[] HIDDEN, _end[] HIDDEN;

static void *find(const char *name, enum need need)
{
	void *at = objects_define_after_us(name) ? dlsym(RTLD_NEXT, name) : NULL;

	if ((uintptr_t)at >= (uintptr_t)__ehdr_start && (uintptr_t)at < (uintptr_t)_end)
		at = NULL; /* ourselves again: the library was given twice, or found under another name */
	if (!at && need == REQUIRED) {
		say_init();
		say("this libc has no function ", name, ": perfprobe cannot run here", NULL);
		(void)os_call(SYS_exit_group, 127, 0, 0, 0, 0, 0);
	}
	return at;
}

/* Not the program's: a sanitizer's would begin the sanitizer, which calls our hooks while they look for theirs. */
static int (*next_dladdr)(const void *at, Dl_info *ret_info);

static bool same_object(const void *a, const void *b)
{
	Dl_info one, other;

	return a && b && next_dladdr && next_dladdr(a, &one) && next_dladdr(b, &other) &&
	       one.dli_fbase == other.dli_fbase;
}

void real_joined_by(const void *function)
{
	if (!same_object(function, (void *)real.malloc_usable_size))
		real_knows_usable = real_knows_usable_of_new = false;
}

bool real_resolve(void)
{
	int expected = UNKNOWN;

	if (!cas_acq_rel(&real_state_, &expected, LOOKING)) {
		if (expected == LOOKING && looker == os_tid())
			return false;
		while (load_acquire(&real_state_) != KNOWN) /* pairs with the release below */
			os_yield();
		return true;
	}
	looker = os_tid();
#define HOOK(need, returns, name, params, args) *(void **)&real.name = find(#name, need);
#include "hooks.def"
#undef HOOK
	*(void **)&next_dladdr = find("dladdr", OPTIONAL);
	real_knows_usable = same_object((void *)real.malloc, (void *)real.malloc_usable_size);
	real_knows_usable_of_new = same_object((void *)real._Znwm, (void *)real.malloc_usable_size);
	store_release(&real_state_, KNOWN); /* pairs with the acquire in real_ready */
	return true;
}

/* Lock held. */
static struct region *region_with_room(size_t bytes)
{
	uint32_t n = load_relaxed(&bootstrap_regions); /* relaxed: only lock holders write */
	struct region *r = &regions[n - 1];
	size_t size = bytes > MORE_BYTES ? (bytes + 4095) & ~(size_t)4095 : MORE_BYTES;

	if (r->bytes - r->used >= bytes)
		return r;
	if (n == REGIONS)
		return NULL;
	r++;
	r->at = os_map(size);
	if (!r->at)
		return NULL;
	r->bytes = size;
	store_release(&bootstrap_regions, n + 1); /* pairs with the acquire in bootstrap_owns_more */
	return r;
}

void *bootstrap_alloc(size_t align, size_t size)
{
	void *block = NULL;
	struct region *r;
	size_t room;

	if (align < HEADER)
		align = HEADER;
	if (size > SIZE_MAX / 2 || align > SIZE_MAX / 4)
		return NULL;
	room = size + align + HEADER;
	lock_enter(&bootstrap_lock);
	r = region_with_room(room);
	if (r) {
		unsigned char *at = r->at + r->used + HEADER;

		at += (size_t)(-(uintptr_t)at & (align - 1));
		memcpy(at - HEADER, &size, sizeof(size));
		r->used = ((size_t)(at - r->at) + size + HEADER - 1) & ~(size_t)(HEADER - 1);
		if (r->used > r->bytes)
			r->used = r->bytes;
		block = at;
	}
	lock_leave(&bootstrap_lock);
	return block;
}

bool bootstrap_owns_more(const void *at)
{
	uint32_t n = load_acquire(&bootstrap_regions); /* pairs with the release in region_with_room */

	for (uint32_t i = 0; i < n; i++)
		if ((uintptr_t)at - (uintptr_t)regions[i].at < regions[i].bytes)
			return true;
	return false;
}

size_t bootstrap_size(const void *at)
{
	size_t size;

	memcpy(&size, (const unsigned char *)at - HEADER, sizeof(size));
	return size;
}
