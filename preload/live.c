/*
 * live.c - tables in a file that outlives the process.
 *
 * Shape      one file: the header (live_layout.h), then chunks, a chunk for each table. Small ones are cut from extents of a
 *            megabyte, which are mapped once, so that a thread's tables cost no system call; what is given back serves the
 *            next of its size. Large ones and nodes have a mapping of their own, and are given back to the disk. Everything is
 *            allocated on the disk before it is mapped, because a full disk found out by a store is SIGBUS in the host. No
 *            descriptor is kept: programs that close all of theirs would hand its number to a socket; the file is opened by
 *            name each time, and must be the one that was made.
 * When       the file is made for the first table, or when the process has lived for some milliseconds: most processes end
 *            sooner.
 * Concurrency  slots, extents and offsets are taken by compare-and-swap; a slot is written before its `kind` is set.
 *            Nothing waits, so hooks and signal handlers may map; only while one thread makes the file the others wait, and that
 *            one takes no signals.
 * Fallback   a chunk that the file has no room for is anonymous, and header.missing says how many those are.
 * fork       a child keeps of its parent's file only the stack tree, and that to read: complete nodes never change. The
 *            segment that would get the next node becomes the child's own when it gets it (live_own). Large tables to which there
 *            are pointers everywhere are replaced where they are (live_renew).
 */
#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "arch.h"
#include "atomic.h"
#include "compiler.h"
#include "os_linux.h"

enum { PAGE = ARCH_PAGE_MAX, LAST_ERROR = 4095, EXTENTS = 1024, EXTENT_BYTES = 1 << 20, FIRST_BYTES = 512 << 10 };

/* A range of the file that is mapped once; chunks are cut from it. */
struct extent {
	uint8_t *base;
	uint64_t offset;
	uint32_t bytes;
	_Atomic uint32_t used;
};

enum file_state {
	FILE_NONE,   /* tables are anonymous */
	FILE_WANTED, /* it is made when the first table is */
	FILE_OPENING,
	FILE_OPEN,
	FILE_LATE /* a forked child that has not stayed yet: chunks are listed in `dummy`, and anonymous */
};

enum slot_state {
	SLOT_FREE,
	SLOT_OWN,      /* in use; its memory is a mapping of its own */
	SLOT_PIECE,    /* in use; cut from an extent */
	SLOT_SPARE,    /* such a piece that nobody uses */
	SLOT_BORROWED, /* the parent's, to be read */
};

static _Atomic uint32_t file_state;
static bool (*make_now)(void);
/* Where each slot's memory is in this process; NULL: not mapped here. */
static void *_Atomic place[LIVE_CHUNKS];
static struct live_header dummy;
static struct live_header *header = &dummy;
static _Atomic uint8_t slot_state[LIVE_CHUNKS];
static _Atomic uint8_t piece_pages[LIVE_CHUNKS]; /* of a piece, for good */
static _Atomic uint32_t slots;                   /* all that were ever taken are below this */
static _Atomic uint32_t spares;                  /* slots in SLOT_SPARE, about */
static _Atomic uint64_t file_end;                /* next free offset */
static _Atomic uint64_t serials;
static struct extent extents[EXTENTS];
static _Atomic uint32_t extent_count;
static _Atomic(struct extent *) extent_now;
static char path[PATH_MAX];
static dev_t file_dev;
static ino_t file_ino;
static int frame_slot = -1, frame_next = -1;

static bool is_state(enum file_state state)
{
	return load_acquire(&file_state) == (uint32_t)state; /* pairs with the release of whoever made the file */
}

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
	(void)os_own((void *)at, bytes);
	(void)os_call(SYS_madvise, at, (long)bytes, MADV_DONTDUMP, 0, 0,
	              0); /* best effort: a core dump is about the host */
	return (void *)at;
}

/* A new file and its header, behind which there is room for the first tables, if there is room for that. 0 or -errno. */
static int make_file(int dir_fd, const char *name, struct live_header **ret_header)
{
	size_t bytes = FIRST_BYTES, used = whole_pages(sizeof(struct live_header)), least = used + 2 * LIVE_FRAME_BYTES;
	struct live_header *h = NULL;
	struct stat st;
	int fd = os_openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);

	if (fd < 0)
		return fd;
	if (os_fstat(fd, &st) == 0) {
		h = map_range(fd, 0, bytes);
		if (!h)
			h = map_range(fd, 0, bytes = least);
	}
	os_close(fd);
	if (!h) {
		(void)os_unlinkat(dir_fd, name); /* it is empty */
		return -ENOSPC;
	}
	file_dev = st.st_dev;
	file_ino = st.st_ino;
	store_relaxed(&file_end, bytes);
	extents[0].base = (uint8_t *)h;
	extents[0].offset = 0;
	extents[0].bytes = (uint32_t)bytes;
	store_relaxed(&extents[0].used, (uint32_t)used);
	store_relaxed(&extent_count, 1);
	store_release(&extent_now, &extents[0]); /* pairs with the acquire in piece() */
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
	h->sample_bytes = sizeof(struct live_sample);
	h->minor = LIVE_MINOR;
	h->misuse_bytes = sizeof(struct live_misuse);
	h->detail_bytes = sizeof(struct live_detail);
	memcpy(&magic, LIVE_MAGIC, sizeof(magic));
	publish_plain((uint64_t *)(void *)h->magic, magic); /* an outside reader that sees the magic sees the rest */
}

void live_want(bool (*make)(void))
{
	make_now = make;
	store_release(&file_state, FILE_WANTED); /* nobody else runs yet */
}

/* The file is made, by this thread or by another that is at it. */
void live_make(void)
{
	uint64_t all = ~UINT64_C(0), was = 0;
	uint32_t wanted = FILE_WANTED;

	if (cas_acq_rel(&file_state, &wanted, FILE_OPENING)) { /* pairs with itself: one thread wins */
		/* A handler on this thread that needs a table would wait for itself. */
		(void)os_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&was, sizeof(all), 0, 0);
		store_release(&file_state, make_now() ? FILE_OPEN : FILE_NONE); /* pairs with is_state */
		(void)os_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&was, 0, sizeof(all), 0, 0);
	}
	while (is_state(FILE_OPENING))
		os_yield();
}

bool live_is_open(void)
{
	return is_state(FILE_OPEN);
}

uint64_t live_bytes(void)
{
	return live_is_open() ? load_relaxed(&file_end) : 0;
}

struct live_header *live_header(void)
{
	return header;
}

/* ---- chunks ------------------------------------------------------------------------------------------------------- */

static void list(uint32_t i, uint32_t owner, uint64_t offset, size_t bytes)
{
	header->chunk[i] = (struct live_chunk){
		.offset = offset, .bytes = bytes, .owner = owner, .serial = add_relaxed(&serials, 1) + 1
	};
}

/* A slot for a chunk, its content but not its kind filled in; -1: there are too many. */
static int take_slot(enum slot_state state, uint32_t owner, uint64_t offset, size_t bytes)
{
	uint32_t i = 0, high;
	uint8_t no = SLOT_FREE;

	while (i < LIVE_CHUNKS &&
	       (load_relaxed(&slot_state[i]) != SLOT_FREE || !cas_relaxed(&slot_state[i], &no, (uint8_t)state))) {
		no = SLOT_FREE;
		i++;
	}
	if (i == LIVE_CHUNKS)
		return -1;
	list(i, owner, offset, bytes);
	store_relaxed(&piece_pages[i], (uint8_t)(bytes / PAGE)); /* of a piece; else nobody asks */
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

static void put_slot(int slot)
{
	store_release(&slot_state[slot],
	              SLOT_FREE); /* pairs with nothing: the slot's words are its next taker's alone */
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

/* The next bytes of the file, on the disk and in memory. */
static void *map_more(size_t bytes, uint64_t *ret_offset)
{
	int fd = open_again();
	void *at;

	if (fd < 0)
		return NULL;
	*ret_offset = add_relaxed(&file_end, bytes);
	at = map_range(fd, *ret_offset, bytes);
	os_close(fd);
	return at;
}

/* Another extent than `seen` is to be cut from. False: there is no room for one. */
static bool extent_add(struct extent *seen)
{
	uint32_t i = load_relaxed(&extent_count);
	struct extent *e;

	do
		if (i >= EXTENTS) /* of a gigabyte together */
			return false;
	while (!cas_relaxed(&extent_count, &i, i + 1));
	e = &extents[i];
	e->base = map_more(EXTENT_BYTES, &e->offset);
	if (!e->base)
		return false;
	e->bytes = EXTENT_BYTES;
	if (cas_acq_rel(&extent_now, &seen, e)) /* release: pairs with the acquire in piece() */
		return true;
	os_unmap(e->base, EXTENT_BYTES); /* another thread's is there */
	punch(e->offset, EXTENT_BYTES);
	e->base = NULL;
	return true;
}

/* `bytes` of an extent; NULL: it has no more. */
static void *cut(struct extent *e, size_t bytes, uint64_t *ret_offset)
{
	uint32_t used = load_relaxed(&e->used);

	do
		if (bytes > e->bytes - used)
			return NULL;
	while (!cas_relaxed(&e->used, &used, used + (uint32_t)bytes));
	*ret_offset = e->offset + used;
	return e->base + used;
}

static void *piece(enum live_kind kind, uint32_t owner, size_t bytes)
{
	void *at = NULL;
	uint64_t offset;
	int slot;

	do {
		struct extent *e = load_acquire(&extent_now); /* pairs with the CAS in extent_add */

		at = cut(e, bytes, &offset);
		if (!at && !extent_add(e))
			return NULL;
	} while (!at);
	slot = take_slot(SLOT_PIECE, owner, offset, bytes);
	if (slot < 0)
		return NULL;             /* too many chunks: the piece is lost with the rest */
	store_release(&place[slot], at); /* pairs with the acquire in slot_of */
	set_kind(slot, kind);
	return at;
}

/* A piece of that size which was given back. */
static void *spare(enum live_kind kind, uint32_t owner, size_t bytes)
{
	uint32_t n = load_relaxed(&spares) ? load_relaxed(&slots) : 0;

	for (uint32_t i = 0; i < n; i++) {
		uint8_t yes = SLOT_SPARE;
		void *at;

		/* acquire, pairs with the release in live_unmap: the slot is as it was left */
		if (load_relaxed(&slot_state[i]) != SLOT_SPARE || load_relaxed(&piece_pages[i]) != bytes / PAGE ||
		    !cas_acq_rel(&slot_state[i], &yes, SLOT_PIECE))
			continue;
		sub_relaxed(&spares, 1);
		at = load_relaxed(&place[i]);
		memset(at, 0, bytes);
		list(i, owner, header->chunk[i].offset, bytes);
		set_kind((int)i, kind);
		return at;
	}
	return NULL;
}

static void *map_own(enum live_kind kind, uint32_t owner, size_t bytes)
{
	uint64_t offset;
	void *at = map_more(bytes, &offset);
	int slot = at ? take_slot(SLOT_OWN, owner, offset, bytes) : -1;

	if (slot < 0) {
		os_unmap(at, bytes);
		return NULL;
	}
	store_release(&place[slot], at); /* pairs with the acquire in slot_of */
	set_kind(slot, kind);
	return at;
}

static void *map_in_file(enum live_kind kind, uint32_t owner, size_t bytes)
{
	void *at = NULL;

	if (bytes <= LIVE_PIECE_MAX && kind != LIVE_NODES) { /* nodes can be put elsewhere in a child */
		at = spare(kind, owner, bytes);
		if (!at)
			at = piece(kind, owner, bytes);
	}
	return at ? at : map_own(kind, owner, bytes);
}

/* -1: anonymous. */
static int slot_of(const void *at)
{
	uint32_t state = load_acquire(&file_state); /* as in is_state */

	if (!at || (state != FILE_OPEN && state != FILE_LATE))
		return -1;
	for (uint32_t i = load_relaxed(&slots); i > 0; i--)
		if (load_acquire(&place[i - 1]) == at && load_relaxed(&slot_state[i - 1]) != SLOT_SPARE)
			return (int)(i - 1);
	return -1;
}

/* Anonymous, and listed, so that it can move to a file. */
static void *map_listed(enum live_kind kind, uint32_t owner, size_t bytes)
{
	void *at = os_map(bytes);
	int slot = at ? take_slot(SLOT_OWN, owner, 0, bytes) : -1;

	if (slot >= 0) {
		store_release(&place[slot], at); /* as in map_own */
		set_kind(slot, kind);
	}
	return at;
}

void *live_map(enum live_kind kind, uint32_t owner, size_t bytes)
{
	void *at;

	bytes = whole_pages(bytes);
	live_make();
	if (is_state(FILE_LATE))
		return map_listed(kind, owner, bytes);
	if (!is_state(FILE_OPEN))
		return os_map(bytes);
	at = map_in_file(kind, owner, bytes);
	if (!at) {
		at = os_map(bytes);
		count_plain(&header->missing);
	}
	return at;
}

void live_unmap(void *at, size_t bytes)
{
	int slot = slot_of(at);

	bytes = whole_pages(bytes);
	if (slot >= 0) {
		set_kind(slot, LIVE_FREE);
		if (load_relaxed(&slot_state[slot]) == SLOT_PIECE) {
			add_relaxed(&spares, 1);
			store_release(&slot_state[slot], SLOT_SPARE); /* pairs with the CAS in spare() */
			return;
		}
		store_relaxed(&place[slot], NULL);
		if (is_state(FILE_OPEN))
			punch(header->chunk[slot].offset, bytes);
		put_slot(slot);
	}
	os_unmap(at, bytes);
}

void live_activate(const void *at)
{
	int slot = slot_of(at);

	if (slot >= 0)
		publish_plain(&header->chunk[slot].active, 1u); /* as in set_kind */
}

void live_retire(const void *at)
{
	int slot = slot_of(at);

	if (slot >= 0)
		set_kind(slot, LIVE_FREE);
}

void live_set_owner(const void *at, uint32_t owner)
{
	int slot = slot_of(at);

	if (slot >= 0)
		publish_plain(&header->chunk[slot].owner, owner);
}

/* ---- frames ------------------------------------------------------------------------------------------------------- */

static void reserve_frames(void)
{
	for (int i = 0; i < 2; i++) {
		uint64_t offset;
		void *at = cut(&extents[0], LIVE_FRAME_BYTES, &offset);
		int slot = at ? take_slot(SLOT_PIECE, 0, offset, LIVE_FRAME_BYTES) : -1;

		if (slot < 0)
			return;
		store_relaxed(&place[slot], at);
		add_relaxed(&spares, 1);
		store_release(&slot_state[slot], SLOT_SPARE); /* as in live_unmap */
	}
}

/* A slot for a frame; -1: no room. */
static int frame_slot_new(int fd, size_t bytes)
{
	void *at = bytes <= LIVE_PIECE_MAX ? spare(LIVE_FREE, 0, bytes) : NULL;
	uint64_t offset;

	if (!at && bytes <= LIVE_PIECE_MAX)
		at = piece(LIVE_FREE, 0, bytes);
	if (at)
		return slot_of(at);
	offset = add_relaxed(&file_end, bytes);
	if (!within_limit(offset + bytes) || os_call(SYS_fallocate, fd, 0, (long)offset, (long)bytes, 0, 0) < 0)
		return -1;
	return take_slot(SLOT_OWN, 0, offset, bytes);
}

static void frame_slot_free(int slot)
{
	struct live_chunk c = header->chunk[slot];

	if (load_relaxed(&slot_state[slot]) == SLOT_PIECE) {
		live_unmap(load_relaxed(&place[slot]), c.bytes);
		return;
	}
	set_kind(slot, LIVE_FREE);
	punch(c.offset, c.bytes);
	put_slot(slot);
}

int live_frame_begin(size_t bytes, uint64_t *ret_offset)
{
	int fd = live_is_open() ? open_again() : -ENOENT;

	if (fd < 0)
		return fd;
	frame_next = frame_slot_new(fd, whole_pages(bytes));
	if (frame_next < 0) {
		os_close(fd);
		return -ENOSPC;
	}
	*ret_offset = header->chunk[frame_next].offset;
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
	if (old >= 0)
		frame_slot_free(old);
}

/* ---- end and fork ------------------------------------------------------------------------------------------------- */

int live_open(int dir_fd, const char *dir, const char *name)
{
	struct live_header *h;
	int rc = make_file(dir_fd, name, &h);

	if (rc < 0)
		return rc;
	set_path(dir, name);
	memcpy(h, header, offsetof(struct live_header, chunk));
	finish_header(h);
	header = h;
	reserve_frames();
	return 0;
}

void live_remove(void)
{
	uint32_t wanted = FILE_WANTED;
	int fd;

	if (cas_relaxed(&file_state, &wanted, FILE_NONE))
		return; /* it was never made, and will not be */
	live_make();    /* another thread may be at it */
	fd = live_is_open() ? open_again() : -1;
	if (fd < 0)
		return; /* not there, or another file by now */
	os_close(fd);
	(void)os_unlinkat(AT_FDCWD, path); /* nothing is left to be done about a failure */
}

/* The table of slot `i`, at its address, in other memory: `fresh`, which has its content. */
static void put_in_place(uint32_t i, void *fresh)
{
	void *old = load_relaxed(&place[i]);
	uint64_t bytes = header->chunk[i].bytes;

	/* Cannot fail: both ranges are ours and of one size. */
	(void)os_call(SYS_mremap, (long)fresh, (long)bytes, (long)bytes, MREMAP_MAYMOVE | MREMAP_FIXED, (long)old, 0);
	os_disown(fresh);
}

/* The parent's list becomes the child's: what it borrows. */
static void keep_nodes(const struct live_header *parent)
{
	uint32_t n = load_relaxed(&slots), kept = 0;

	memcpy(&dummy, parent, offsetof(struct live_header, chunk));
	memset(dummy.magic, 0, sizeof(dummy.magic));
	for (uint32_t i = 0; i < n; i++) {
		bool nodes = parent->chunk[i].kind == LIVE_NODES && load_relaxed(&place[i]);

		if (nodes) {
			dummy.chunk[i] = parent->chunk[i];
			kept = i + 1;
		}
		store_relaxed(&slot_state[i], nodes ? SLOT_BORROWED : SLOT_FREE);
		if (!nodes)
			store_relaxed(&place[i], NULL);
	}
	store_relaxed(&slots, kept);
	store_relaxed(&spares, 0);
	header = &dummy;
}

bool live_fork_child(void)
{
	uint32_t state = load_relaxed(&file_state);
	bool had_file = header != &dummy;

	if (state == FILE_NONE || state == FILE_LATE)
		return false;
	if (had_file)
		keep_nodes(header);
	store_relaxed(&extent_now, NULL);
	header->missing = 0;
	frame_slot = frame_next = -1;
	store_relaxed(&file_state, FILE_LATE);
	return had_file;
}

bool live_own(void *at, size_t used)
{
	int slot = slot_of(at);
	void *fresh;

	if (slot < 0 || load_relaxed(&slot_state[slot]) != SLOT_BORROWED)
		return true;
	fresh = os_map(header->chunk[slot].bytes);
	if (!fresh)
		return false;
	memcpy(fresh, at, used);
	put_in_place((uint32_t)slot, fresh);
	store_relaxed(&slot_state[slot], SLOT_OWN);
	return true;
}

void live_renew(enum live_kind kind, void *at, size_t bytes, void (*keep)(void *fresh, const void *old))
{
	int slot = slot_of(at);
	void *fresh;

	bytes = whole_pages(bytes);
	fresh = os_map(bytes);
	if (fresh) {
		if (keep)
			keep(fresh, at);
		/* Cannot fail: both ranges are ours and of one size. */
		(void)os_call(SYS_mremap, (long)fresh, (long)bytes, (long)bytes, MREMAP_MAYMOVE | MREMAP_FIXED,
		              (long)at, 0);
		os_disown(fresh);
	} else { /* needs no memory yet */
		(void)os_call(SYS_mmap, (long)at, (long)bytes, PROT_READ | PROT_WRITE,
		              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	}
	if (!is_state(FILE_LATE))
		return;
	if (slot < 0)
		slot = take_slot(SLOT_OWN, 0, 0, bytes);
	if (slot < 0)
		return;
	store_release(&place[slot], at); /* as in map_own */
	header->chunk[slot].active = 1;
	set_kind(slot, kind);
}

bool live_is_pending(void)
{
	return is_state(FILE_LATE);
}

/* Into a range that is all zeros: pages that are zeros stay holes of memory. */
static void copy_pages(void *to, const void *from, size_t bytes)
{
	static const uint8_t zeros[PAGE];

	for (size_t at = 0; at < bytes; at += PAGE)
		if (memcmp((const char *)from + at, zeros, PAGE) != 0)
			memcpy((char *)to + at, (const char *)from + at, PAGE);
}

/* Into the file; false: it stays where it is, and the file does not have it. */
static bool move_to_file(int fd, uint32_t i)
{
	struct live_chunk *c = &header->chunk[i];
	uint64_t offset = add_relaxed(&file_end, c->bytes);
	void *fresh = map_range(fd, offset, c->bytes);

	if (!fresh)
		return false;
	copy_pages(fresh, load_relaxed(&place[i]), c->bytes);
	put_in_place(i, fresh);
	c->offset = offset;
	store_relaxed(&slot_state[i], SLOT_OWN);
	return true;
}

/* A table that the new file has no room for is on its own from now on. */
static void leave_outside(uint32_t i)
{
	header->missing++;
	header->chunk[i].kind = LIVE_FREE;
	store_relaxed(&place[i], NULL);
	put_slot((int)i);
}

static void unmap_parents_extents(void)
{
	uint32_t n = load_relaxed(&extent_count);

	for (uint32_t i = 0; i < n && i < EXTENTS; i++)
		if (extents[i].base)
			os_unmap(extents[i].base, extents[i].bytes);
	memset(extents, 0, n * sizeof(extents[0]));
	store_relaxed(&extent_count, 0);
}

int live_open_late(int dir_fd, const char *dir, const char *name)
{
	struct live_header *h;
	int rc, fd;

	unmap_parents_extents();
	rc = make_file(dir_fd, name, &h);
	if (rc < 0) {
		store_relaxed(&file_state, FILE_NONE);
		return rc;
	}
	set_path(dir, name);
	fd = open_again();
	for (uint32_t i = 0; i < load_relaxed(&slots); i++)
		if (load_relaxed(&place[i]) && (fd < 0 || !move_to_file(fd, i)))
			leave_outside(i);
	if (fd >= 0)
		os_close(fd);
	memcpy(h, header, offsetof(struct live_header, chunk) + load_relaxed(&slots) * sizeof(struct live_chunk));
	finish_header(h);
	header = h;
	reserve_frames();
	store_release(&file_state, FILE_OPEN); /* pairs with is_state */
	return 0;
}
