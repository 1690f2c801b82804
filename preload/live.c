/*
 * live.c - tables in a file that outlives the process.
 *
 * Shape      one file: the header (live_layout.h), then a chunk for each table, appended. Every chunk is allocated on the disk
 *            before it is mapped, because a full disk found out by a store is SIGBUS in the host. No descriptor is kept:
 *            programs that close all of theirs would hand its number to a socket; the file is opened by name each time, and
 *            must be the one that was made.
 * Concurrency  slots and file offsets are taken by one atomic addition each; a slot is written before its `kind` is set.
 *            Nothing waits, so hooks and signal handlers may map.
 * Fallback   a chunk that the file has no room for is anonymous, and header.missing says how many those are.
 */
#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "arch.h"
#include "atomic.h"
#include "compiler.h"
#include "os_linux.h"

enum { PAGE = ARCH_PAGE_MAX, RESIDENT_PAGES = 4096, LAST_ERROR = 4095 };

/* Where each slot's memory is in this process; NULL: not mapped here. */
static void *_Atomic place[LIVE_CHUNKS];
static struct live_header dummy;
static struct live_header *header = &dummy;
static _Atomic uint8_t taken[LIVE_CHUNKS];
static _Atomic uint32_t slots;    /* all that were ever taken are below this */
static _Atomic uint64_t file_end; /* next free offset */
static _Atomic uint64_t serials;
static char path[PATH_MAX];
static dev_t file_dev;
static ino_t file_ino;
static bool is_open;
static bool pending; /* a forked child without a file yet: chunks are listed in `dummy`, and anonymous */
static int frame_slot = -1, frame_next = -1;

static size_t whole_pages(size_t bytes)
{
	return (bytes + PAGE - 1) & ~(size_t)(PAGE - 1);
}

/* ---- the file ----------------------------------------------------------------------------------------------------- */

static int open_again(void)
{
	struct stat st;
	int fd = os_open(path, O_RDWR | O_NOFOLLOW, 0);

	if (fd < 0)
		return fd;
	if (os_fstat(fd, &st) < 0 || st.st_dev != file_dev || st.st_ino != file_ino) {
		os_close(fd);
		return -ESTALE;
	}
	return fd;
}

/* Beyond RLIMIT_FSIZE the kernel does not only refuse, it sends SIGXFSZ. */
static bool within_limit(uint64_t end)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	(void)os_call(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&limit, 0, 0); /* keeps the guess on failure */
	return limit.rlim_cur == RLIM_INFINITY || end <= limit.rlim_cur;
}

/* The range of the file on the disk and in memory; NULL if it cannot be had. */
static void *map_range(int fd, uint64_t offset, size_t bytes)
{
	long at;

	if (!within_limit(offset + bytes) || os_call(SYS_fallocate, fd, 0, (long)offset, (long)bytes, 0, 0) < 0)
		return NULL;
	at = os_call(SYS_mmap, 0, (long)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (long)offset);
	if (at < 0 && at >= -LAST_ERROR)
		return NULL;
	(void)os_call(SYS_madvise, at, (long)bytes, MADV_DONTDUMP, 0, 0,
	              0); /* best effort: a core dump is about the host */
	return (void *)at;
}

/* A new file and its header. 0 or -errno. */
static int make_file(int dir_fd, const char *name, struct live_header **ret_header)
{
	struct live_header *h = NULL;
	size_t bytes = whole_pages(sizeof(*h));
	struct stat st;
	int fd = os_openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600), rc = -ENOSPC;

	if (fd < 0)
		return fd;
	if (os_fstat(fd, &st) == 0)
		h = map_range(fd, 0, bytes);
	os_close(fd);
	if (!h) {
		(void)os_unlinkat(dir_fd, name); /* it is empty */
		return rc;
	}
	file_dev = st.st_dev;
	file_ino = st.st_ino;
	store_relaxed(&file_end, bytes);
	*ret_header = h;
	return 0;
}

static void set_path(const char *dir, const char *name)
{
	size_t dir_len = strnlen(dir, sizeof(path) - 2), name_len = strnlen(name, sizeof(path) - 2 - dir_len);

	memcpy(path, dir, dir_len);
	path[dir_len] = '/';
	memcpy(path + dir_len + 1, name, name_len);
	path[dir_len + 1 + name_len] = '\0';
}

static void finish_header(struct live_header *h)
{
	uint64_t magic;

	h->version = LIVE_VERSION;
	h->chunk_bytes = sizeof(struct live_chunk);
	h->node_bytes = sizeof(struct live_node);
	h->counter_bytes = sizeof(struct live_counter);
	h->detail_bytes = sizeof(struct live_detail);
	h->sample_bytes = sizeof(struct live_sample);
	memcpy(&magic, LIVE_MAGIC, sizeof(magic));
	publish_plain((uint64_t *)(void *)h->magic, magic); /* an outside reader that sees the magic sees the rest */
}

int live_open(int dir_fd, const char *dir, const char *name)
{
	struct live_header *h;
	int rc = make_file(dir_fd, name, &h);

	if (rc < 0)
		return rc;
	set_path(dir, name);
	finish_header(h);
	header = h;
	is_open = true;
	return 0;
}

bool live_is_open(void)
{
	return is_open;
}

struct live_header *live_header(void)
{
	return header;
}

/* ---- chunks ------------------------------------------------------------------------------------------------------- */

/* A slot for a chunk, its content but not its kind filled in; -1: there are too many. */
static int take_slot(uint32_t owner, uint64_t offset, size_t bytes)
{
	uint32_t i = 0, high;
	uint8_t no = 0;

	while (i < LIVE_CHUNKS && (load_relaxed(&taken[i]) || !cas_relaxed(&taken[i], &no, 1))) {
		no = 0;
		i++;
	}
	if (i == LIVE_CHUNKS)
		return -1;
	header->chunk[i] = (struct live_chunk){
		.offset = offset, .bytes = bytes, .owner = owner, .serial = add_relaxed(&serials, 1) + 1
	};
	high = load_relaxed(&slots);
	while (high <= i && !cas_relaxed(&slots, &high, i + 1))
		continue;
	return (int)i;
}

static void set_kind(int slot, enum live_kind kind)
{
	/* the outside reader, if the process is killed here, sees a whole slot */
	publish_plain(&header->chunk[slot].kind, (uint32_t)kind);
}

static void *map_in_file(enum live_kind kind, uint32_t owner, size_t bytes)
{
	uint64_t offset;
	int fd = open_again(), slot;
	void *at;

	if (fd < 0)
		return NULL;
	offset = add_relaxed(&file_end, bytes);
	at = map_range(fd, offset, bytes);
	os_close(fd);
	if (!at)
		return NULL;
	slot = take_slot(owner, offset, bytes);
	if (slot < 0) {
		os_unmap(at, bytes);
		return NULL;
	}
	store_release(&place[slot], at); /* pairs with the acquire in slot_of */
	set_kind(slot, kind);
	return at;
}

/* -1: anonymous. */
static int slot_of(const void *at)
{
	for (uint32_t i = load_relaxed(&slots); i > 0; i--)
		if (load_acquire(&place[i - 1]) == at)
			return (int)(i - 1);
	return -1;
}

/* Anonymous, and listed, so that it can move to a file. */
static void *map_listed(enum live_kind kind, uint32_t owner, size_t bytes)
{
	void *at = os_map(bytes);
	int slot = at ? take_slot(owner, 0, bytes) : -1;

	if (slot >= 0) {
		store_release(&place[slot], at); /* as in map_in_file */
		set_kind(slot, kind);
	}
	return at;
}

void *live_map(enum live_kind kind, uint32_t owner, size_t bytes)
{
	void *at;

	bytes = whole_pages(bytes);
	if (!is_open)
		return pending ? map_listed(kind, owner, bytes) : os_map(bytes);
	at = map_in_file(kind, owner, bytes);
	if (!at) {
		at = os_map(bytes);
		count_plain(&header->missing);
	}
	return at;
}

/* Gives a range of the file back to the disk; the offsets are not used again. Best effort. */
static void punch(uint64_t offset, uint64_t bytes)
{
	int fd = open_again();

	if (fd < 0)
		return;
	(void)os_call(SYS_fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (long)offset, (long)bytes, 0, 0);
	os_close(fd);
}

void live_unmap(void *at, size_t bytes)
{
	int slot = at && (is_open || pending) ? slot_of(at) : -1;

	bytes = whole_pages(bytes);
	if (slot >= 0) {
		set_kind(slot, LIVE_FREE);
		store_relaxed(&place[slot], NULL);
		if (is_open)
			punch(header->chunk[slot].offset, bytes);
		store_release(&taken[slot], 0); /* pairs with nothing: the slot's words are its next taker's alone */
	}
	os_unmap(at, bytes);
}

void live_activate(const void *at)
{
	int slot = is_open || pending ? slot_of(at) : -1;

	if (slot < 0)
		return;
	publish_plain(&header->chunk[slot].active, 1u); /* as in set_kind */
}

void live_set_owner(const void *at, uint32_t owner)
{
	int slot = is_open || pending ? slot_of(at) : -1;

	if (slot >= 0)
		publish_plain(&header->chunk[slot].owner, owner);
}

/* ---- frames ------------------------------------------------------------------------------------------------------- */

int live_frame_begin(size_t bytes, uint64_t *ret_offset)
{
	uint64_t offset;
	int fd = is_open ? open_again() : -ENOENT;

	bytes = whole_pages(bytes);
	if (fd < 0)
		return fd;
	offset = add_relaxed(&file_end, bytes);
	if (!within_limit(offset + bytes) || os_call(SYS_fallocate, fd, 0, (long)offset, (long)bytes, 0, 0) < 0 ||
	    (frame_next = take_slot(0, offset, bytes)) < 0) {
		os_close(fd);
		frame_next = -1;
		return -ENOSPC;
	}
	*ret_offset = offset;
	return fd;
}

void live_frame_done(bool good)
{
	int old = good ? frame_slot : frame_next;

	if (frame_next < 0)
		return;
	if (good) {
		header->chunk[frame_next].active = 1;
		set_kind(frame_next, LIVE_FRAME);
		frame_slot = frame_next;
	}
	frame_next = -1;
	if (old >= 0) {
		set_kind(old, LIVE_FREE);
		punch(header->chunk[old].offset, header->chunk[old].bytes);
		store_release(&taken[old], 0); /* as in live_unmap */
	}
}

/* ---- end and fork ------------------------------------------------------------------------------------------------- */

void live_remove(void)
{
	int fd = is_open ? open_again() : -1;

	if (fd < 0)
		return; /* not there, or another file by now */
	os_close(fd);
	(void)os_unlinkat(AT_FDCWD, path); /* nothing is left to be done about a failure */
}

/* What of `from` is in memory goes to `to`, which is all zeros: pages never touched are not read. */
static void copy_resident(void *to, const void *from, size_t bytes)
{
	static uint8_t
	        resident[RESIDENT_PAGES]; /* one thread: the forking one, under its locks, or a child's only one */
	size_t page = getauxval(AT_PAGESZ), window = RESIDENT_PAGES * page;

	for (size_t done = 0; done < bytes; done += window) {
		size_t part = bytes - done < window ? bytes - done : window;
		const char *at = (const char *)from + done;

		if (os_call(SYS_mincore, (long)at, (long)part, (long)resident, 0, 0, 0) < 0)
			memset(resident, 1, part / page);
		for (size_t p = 0; p < part / page; p++)
			if (resident[p] & 1)
				memcpy((char *)to + done + p * page, at + p * page, page);
	}
}

/* The table of slot `i`, at its address, in other memory: `fresh`, which has its content. */
static void put_in_place(uint32_t i, void *fresh)
{
	void *old = load_relaxed(&place[i]);
	uint64_t bytes = header->chunk[i].bytes;

	/* Cannot fail: both ranges are ours and of one size. */
	(void)os_call(SYS_mremap, (long)fresh, (long)bytes, (long)bytes, MREMAP_MAYMOVE | MREMAP_FIXED, (long)old, 0);
}

/* What the table of slot `i` has goes to `to`. In a child, rings start anew. */
static void copy_table(uint32_t i, void *to, bool rings)
{
	if (rings || header->chunk[i].kind != LIVE_RING)
		copy_resident(to, load_relaxed(&place[i]), header->chunk[i].bytes);
}

/* Bytes of the header up to the last chunk that was ever in use. */
static size_t header_used(void)
{
	return offsetof(struct live_header, chunk) + load_relaxed(&slots) * sizeof(struct live_chunk);
}

/* Made in the parent before the fork, while the forking thread counts nothing: what is copied afterwards, from the shared
 * file, has the parent's next events in it too, and numbers of stacks that the child gives to others. */
static struct {
	const void *of; /* the table, as it was listed; NULL: no copy */
	void *fresh;
	size_t bytes;
} copies[LIVE_CHUNKS];
static uint32_t copy_count;

void live_fork_prepare(void)
{
	copy_count = is_open ? load_relaxed(&slots) : 0;
	for (uint32_t i = 0; i < copy_count; i++) {
		copies[i].of = load_acquire(&place[i]); /* pairs with the release in map_in_file */
		copies[i].bytes = header->chunk[i].bytes;
		copies[i].fresh = copies[i].of ? os_map(copies[i].bytes) : NULL;
		if (copies[i].fresh)
			copy_table(i, copies[i].fresh, false);
	}
}

void live_fork_parent(void)
{
	for (uint32_t i = 0; i < copy_count; i++)
		if (copies[i].fresh)
			os_unmap(copies[i].fresh, copies[i].bytes);
	copy_count = 0;
}

/* A copy of slot `i`'s table: the one made before, or, of a table that another thread made in between, one made now. */
static void *copy_for_child(uint32_t i)
{
	bool same =
	        i < copy_count && copies[i].of == load_relaxed(&place[i]) && copies[i].bytes == header->chunk[i].bytes;
	void *fresh = same ? copies[i].fresh : NULL;

	if (fresh)
		return fresh;
	fresh = os_map(header->chunk[i].bytes);
	if (fresh)
		copy_table(i, fresh, false);
	return fresh;
}

void live_fork_child(void)
{
	struct live_header *parent = header;

	if (!is_open && !pending)
		return;
	if (is_open) {
		memcpy(&dummy, parent, header_used()); /* tables made since the copy; the list itself is as good now */
		header = &dummy;
	}
	for (uint32_t i = 0; is_open && i < load_relaxed(&slots); i++) {
		void *fresh;

		if (!load_relaxed(&place[i]))
			continue;
		fresh = copy_for_child(i);
		if (fresh) {
			put_in_place(i, fresh);
		} else { /* no memory at all: the table is lost, and the parent's must not be written to */
			(void)os_call(SYS_mmap, (long)load_relaxed(&place[i]), (long)header->chunk[i].bytes,
			              PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE,
			              -1, 0);
		}
	}
	if (is_open)
		os_unmap(parent, whole_pages(sizeof(*parent)));
	copy_count = 0;
	header->missing = 0;
	is_open = false;
	pending = true;
	frame_slot = frame_next = -1;
}

bool live_is_pending(void)
{
	return pending;
}

/* Into the file; false: it stays where it is, and the file does not have it. */
static bool move_to_file(int fd, uint32_t i)
{
	struct live_chunk *c = &header->chunk[i];
	uint64_t offset = add_relaxed(&file_end, c->bytes);
	void *fresh = map_range(fd, offset, c->bytes);

	if (!fresh)
		return false;
	copy_table(i, fresh, true);
	put_in_place(i, fresh);
	c->offset = offset;
	return true;
}

int live_open_late(int dir_fd, const char *dir, const char *name)
{
	struct live_header *h;
	int rc = make_file(dir_fd, name, &h), fd;

	if (rc < 0) {
		pending = false;
		return rc;
	}
	set_path(dir, name);
	fd = open_again();
	for (uint32_t i = 0; i < load_relaxed(&slots); i++) {
		if (load_relaxed(&place[i]) && fd >= 0 && move_to_file(fd, i))
			continue;
		header->missing += load_relaxed(&place[i]) != NULL;
		header->chunk[i].kind = LIVE_FREE;
		store_relaxed(&place[i], NULL);
		store_relaxed(&taken[i], 0);
	}
	if (fd >= 0)
		os_close(fd);
	memcpy(h, header, header_used());
	memset(h->magic, 0, sizeof(h->magic));
	finish_header(h);
	header = h;
	is_open = true;
	pending = false;
	return 0;
}
