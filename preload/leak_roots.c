/*
 * leak_roots.c - the memory of a process, as roots.
 *
 * Roots      every private mapping that can be read, written or not (a program may have protected it since), and shared ones that
 *            can be written. Of private ones only pages that were written: leak_pages.c tells; what a file still
 *            backs holds no pointer to the heap, and what was never touched holds nothing.
 * Not        the allocator's own memory, where every block once had its address: with glibc its heap, the 64 MiB windows of
 *            other arenas, and what it mapped for single blocks, each told by the words before a block (malloc/malloc.c:
 *            chunk layout; arena.c: HEAP_MAX_SIZE). With another allocator each anonymous mapping that has one of its
 *            blocks. What the program mapped itself beside one, in the same line of maps, stays a root with glibc.
 *            Stacks below the stack pointer, and those of threads that ended. Ours.
 * Blocks     inside a root, of pools, are blocks all the same: what they hold is searched when they are reached.
 */
#include "leak_roots.h"

#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>

#include "compiler.h"
#include "leak_index.h"
#include "leak_pages.h"
#include "os_linux.h"
#include "sort.h"

enum { MAPS_BYTES_MAX = 64 << 20, COPY_BYTES = 64 << 10, WORD = 8 };
enum { CHUNK_MAPPED = 2, CHUNK_OTHER_ARENA = 4, CHUNK_FLAGS = 7 }; /* glibc malloc/malloc.c */
#define ARENA_BYTES (UINT64_C(64) << 20)                           /* glibc arena.c: HEAP_MAX_SIZE, 64-bit */
/* Shared memory that is searched: it can only hide a leak, and may be a database. */
#define SHARED_MAX (UINT64_C(1) << 30)
/* Private memory that is searched without the kernel's word for what was written. */
#define UNTOLD_MAX (UINT64_C(64) << 30)

static struct leak_map *maps;
static size_t map_count, last_map;
static struct leak_range *readable;
static size_t readable_count;
static struct leak_range *excluded;
static size_t excluded_count, excluded_room;
static struct leak_range *programs; /* mapped by the program, by address */
static size_t programs_count, programs_room;
static const struct leak_map *excluded_map;
static bool heap_excluded, incomplete;
static uint64_t searched, unread, shared_searched;
static struct leak_pages pages;

/* ---- /proc/self/maps ---------------------------------------------------------------------------------------------- */

static const char *hex(const char *at, const char *end, uint64_t *ret)
{
	const char *first = at;

	for (*ret = 0; at < end; at++) {
		unsigned c = (unsigned char)*at;

		if (c - '0' < 10)
			*ret = *ret << 4 | (c - '0');
		else if (c - 'a' < 6)
			*ret = *ret << 4 | (c - 'a' + 10);
		else
			break;
	}
	return at > first ? at : NULL;
}

static bool begins(const char *at, const char *end, const char *with)
{
	size_t n = strlen(with);

	return (size_t)(end - at) >= n && memcmp(at, with, n) == 0;
}

/* The path, behind four more fields; `line` if there is none. */
static const char *path_of(const char *at, const char *line)
{
	for (int field = 0; field < 4; field++) {
		while (at < line && *at != ' ')
			at++;
		while (at < line && *at == ' ')
			at++;
	}
	return at;
}

static void classify(const char *path, const char *end, struct leak_map *m)
{
	m->anonymous = path == end || *path == '[';
	m->heap = begins(path, end, "[heap]");
	m->in_memory = begins(path, end, "/dev/zero") || begins(path, end, "/dev/shm/") || begins(path, end, "/SYSV") ||
	               begins(path, end, "/memfd:");
	m->skipped = begins(path, end, "[v") || begins(path, end, "anon_inode:") ||
	             (begins(path, end, "/dev/") && !begins(path, end, "/dev/shm/") && !begins(path, end, "/dev/zero"));
}

const char *leak_map_parse(const char *text, const char *end, struct leak_map *ret)
{
	const char *line = memchr(text, '\n', (size_t)(end - text)), *at;

	if (!line)
		return NULL;
	at = hex(text, line, &ret->start);
	if (!at || *at != '-')
		return NULL;
	at = hex(at + 1, line, &ret->end);
	if (!at || line - at < 5 || *at != ' ' || ret->end < ret->start)
		return NULL;
	ret->readable = at[1] == 'r';
	ret->writable = at[2] == 'w';
	ret->shared = at[4] == 's';
	classify(path_of(at + 1, line), line, ret);
	return line + 1;
}

/* The whole file; its length, or -errno. */
static long read_maps(char *to)
{
	int fd = os_open("/proc/self/maps", O_RDONLY, 0);
	long n = fd, got = 0;

	if (fd < 0)
		return fd;
	while (got < MAPS_BYTES_MAX && (n = os_read(fd, to + got, (size_t)(MAPS_BYTES_MAX - got))) > 0)
		got += n;
	os_close(fd);
	return n < 0 ? n : got;
}

static size_t count_lines(const char *text, long n)
{
	size_t lines = 0;

	for (long i = 0; i < n; i++)
		lines += text[i] == '\n';
	return lines;
}

static void note_readable(const struct leak_map *m)
{
	if (!m->readable || m->skipped)
		return;
	if (readable_count && readable[readable_count - 1].end == m->start)
		readable[readable_count - 1].end = m->end;
	else
		readable[readable_count++] = (struct leak_range){ m->start, m->end };
}

bool leak_roots_begin(void)
{
	char *text = os_map(MAPS_BYTES_MAX);
	long n = text ? read_maps(text) : -1;
	size_t lines = n > 0 ? count_lines(text, n) : 0;

	map_count = readable_count = excluded_count = last_map = programs_count = 0;
	excluded_map = NULL;
	searched = unread = shared_searched = 0;
	heap_excluded = incomplete = false;
	maps = lines ? os_map(lines * sizeof(*maps)) : NULL;
	readable = lines ? os_map(lines * sizeof(*readable)) : NULL;
	if (maps && readable) {
		const char *at = text;

		while (map_count < lines && (at = leak_map_parse(at, text + n, &maps[map_count])))
			note_readable(&maps[map_count++]);
	}
	return map_count > 0; /* `text` stays: it is in the list */
}

const struct leak_range *leak_roots_readable(size_t *ret_count)
{
	*ret_count = readable_count;
	return readable;
}

static const struct leak_map *map_of(uint64_t address)
{
	size_t lo = 0, hi = map_count;

	if (address >= maps[last_map].start && address < maps[last_map].end)
		return &maps[last_map];
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (maps[mid].start <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo || address >= maps[lo - 1].end)
		return NULL;
	last_map = lo - 1;
	return &maps[last_map];
}

/* ---- what is no root ---------------------------------------------------------------------------------------------- */

void leak_roots_exclude(uint64_t start, uint64_t end)
{
	if (start >= end)
		return;
	if (excluded_count && excluded[excluded_count - 1].start == start && excluded[excluded_count - 1].end == end)
		return; /* told for each block of it */
	if (excluded_count == excluded_room) {
		size_t room = excluded_room ? 2 * excluded_room : 4096;
		struct leak_range *bigger = os_map(room * sizeof(*bigger));

		if (!bigger) {
			incomplete = true;
			return;
		}
		if (excluded)
			memcpy(bigger, excluded, excluded_count * sizeof(*excluded));
		os_unmap(excluded, excluded_room * sizeof(*excluded));
		excluded = bigger;
		excluded_room = room;
	}
	excluded[excluded_count++] = (struct leak_range){ start, end };
}

void leak_roots_programs(uint64_t start, uint64_t end)
{
	if (programs_count == programs_room) {
		size_t room = programs_room ? 2 * programs_room : 1024;
		struct leak_range *bigger = os_map(room * sizeof(*bigger));

		if (!bigger) {
			incomplete = true;
			return;
		}
		if (programs)
			memcpy(bigger, programs, programs_count * sizeof(*programs));
		os_unmap(programs, programs_room * sizeof(*programs));
		programs = bigger;
		programs_room = room;
	}
	programs[programs_count++] = (struct leak_range){ start, end };
}

static void exclude_part(const struct leak_map *m, uint64_t start, uint64_t end)
{
	leak_roots_exclude(start > m->start ? start : m->start, end < m->end ? end : m->end);
}

/* The mapping without what the program has mapped in it. */
static void exclude_rest(const struct leak_map *m)
{
	uint64_t at = m->start;

	if (excluded_map == m)
		return; /* told for each block of it */
	excluded_map = m;
	for (size_t i = 0; i < programs_count && programs[i].start < m->end; i++) {
		if (programs[i].end <= at)
			continue;
		leak_roots_exclude(at, programs[i].start);
		at = programs[i].end;
	}
	leak_roots_exclude(at, m->end);
}

static NO_SANITIZE void block_of_libc(uint64_t address, const struct leak_map *m)
{
	const uint64_t *chunk = (const uint64_t *)address - 2; /* size of what is before, own size and flags */
	uint64_t size = chunk[1] & ~(uint64_t)CHUNK_FLAGS, window;

	if (chunk[1] & CHUNK_MAPPED) {
		exclude_part(m, (uint64_t)chunk - chunk[0], (uint64_t)chunk + size);
	} else if (chunk[1] & CHUNK_OTHER_ARENA) {
		window = address / ARENA_BYTES * ARENA_BYTES;
		exclude_part(m, window, window + ARENA_BYTES);
	} else {
		exclude_part(m, m->start, m->end); /* the first arena, where brk(2) gave no more */
	}
}

void leak_roots_block(uint64_t address, bool libc)
{
	const struct leak_map *m = map_of(address);

	if (!m || !m->readable || m->skipped)
		return;
	if (m->heap)
		heap_excluded = true;
	else if (libc && address % 16 == 0 && address - 2 * WORD >= m->start)
		block_of_libc(address, m);
	else if (!libc && m->anonymous && !m->shared)
		exclude_rest(m);
}

/* glibc malloc/malloc.c: struct malloc_state, since 2.27. A list is a pair of words, first and last chunk; an empty one leads to 16
 * bytes before itself, and many always are. Behind the lists `next` closes a ring of all arenas. */
enum {
	ARENA_LISTS = 112,
	ARENA_LIST_WORDS = 254,
	ARENA_NEXT = ARENA_LISTS + ARENA_LIST_WORDS * WORD + 16,
	ARENA_SIZE = ARENA_NEXT + 40,
	ARENAS_MAX = 1 << 16
};

static NO_SANITIZE uint64_t word_at(uint64_t address)
{
	return *(const uint64_t *)address;
}

static bool is_empty_list(uint64_t address)
{
	return word_at(address) == address - 16 && word_at(address + WORD) == address - 16;
}

static bool is_readable(uint64_t address, uint64_t bytes)
{
	const struct leak_map *m = map_of(address);

	return m && m->readable && !m->skipped && address + bytes <= m->end;
}

/* From next to next, back to where it began. Only the beginning of an arena has it: a few lists away from there, pairs of words look
 * alike, and what is in front of the arena is libc's own data, of which every word counts. */
static bool is_in_ring(uint64_t at)
{
	uint64_t next = word_at(at + ARENA_NEXT);

	for (unsigned i = 0; i < ARENAS_MAX && next != at; i++) {
		if (next % 16 != 0 || !is_readable(next, ARENA_SIZE))
			return false;
		next = word_at(next + ARENA_NEXT);
	}
	return next == at;
}

static bool is_arena(uint64_t at)
{
	unsigned empty = 0;

	for (unsigned i = 0; i < ARENA_LIST_WORDS; i += 2)
		empty += is_empty_list(at + ARENA_LISTS + i * WORD);
	return empty >= ARENA_LIST_WORDS / 8 && is_in_ring(at);
}

bool leak_roots_arena(uint64_t start, uint64_t end)
{
	const struct leak_map *m = map_of(start);

	for (uint64_t at = (start + 15) / 16 * 16; m && m->readable && at + ARENA_SIZE <= end; at += 16) {
		if (!map_of(at) || !map_of(at + ARENA_SIZE) || !is_arena(at))
			continue;
		leak_roots_exclude(at, at + ARENA_SIZE);
		return true;
	}
	return false;
}

bool leak_roots_is_heap(uint64_t address)
{
	const struct leak_map *m = map_of(address);

	if (!m || !m->readable || m->skipped || !m->anonymous)
		return false;
	if (m->heap)
		return true;
	for (size_t i = 0; i < excluded_count; i++)
		if (address >= excluded[i].start && address < excluded[i].end)
			return true;
	return leak_index_any(address & ~UINT64_C(4095), (address | 4095) + 1);
}

/* An arena of glibc's in which nothing lives: its window begins with a struct heap_info, whose first word leads to the arena, and
 * the first window's arena stands behind that (arena.c). */
static NO_SANITIZE bool is_empty_arena(const struct leak_map *m)
{
	uint64_t first;

	if (!m->anonymous || m->shared || !m->writable || m->start % ARENA_BYTES)
		return false;
	first = *(const uint64_t *)m->start;
	return first - m->start < 256;
}

static void sort_excluded(void)
{
	size_t n = 0;

	for (size_t i = 0; i < map_count; i++)
		if ((maps[i].heap && heap_excluded) || is_empty_arena(&maps[i]))
			exclude_part(&maps[i], maps[i].start,
			             maps[i].start + ARENA_BYTES > maps[i].end || maps[i].heap
			                     ? maps[i].end
			                     : maps[i].start + ARENA_BYTES);
	sort_rows(excluded, excluded_count);
	for (size_t i = 0; i < excluded_count; i++) {
		if (n && excluded[i].start <= excluded[n - 1].end) {
			if (excluded[i].end > excluded[n - 1].end)
				excluded[n - 1].end = excluded[i].end;
		} else {
			excluded[n++] = excluded[i];
		}
	}
	excluded_count = n;
}

/* ---- searching ---------------------------------------------------------------------------------------------------- */

static void (*search_piece)(uint64_t start, uint64_t end);

/* Without what stands in blocks, in memory that has some. */
static void search_between(uint64_t start, uint64_t end)
{
	uint64_t from = start;

	for (uint64_t at = start; at < end;) {
		struct leak_at block = leak_index_find(at);
		uint64_t past = block.page ? leak_index_end(block) : 0;

		if (past <= at) {
			at += WORD;
			continue;
		}
		if (from < at)
			search_piece(from, at);
		from = at = past < end ? past : end;
	}
	if (from < end)
		search_piece(from, end);
}

static void search_pages(uint64_t start, uint64_t end)
{
	searched += end - start;
	if (!leak_index_any(start, end)) {
		search_piece(start, end);
		return;
	}
	for (uint64_t at = start; at < end;) {
		uint64_t next = ((at >> LEAK_PAGE_BITS) + 1) << LEAK_PAGE_BITS;

		next = next < end ? next : end;
		if (leak_index_any(at, next))
			search_between(at, next);
		else
			search_piece(at, next);
		at = next;
	}
}

static void search_written(void *context, uint64_t start, uint64_t end)
{
	(void)context;
	search_pages(start, end);
}

static bool search_copy(uint64_t at, size_t bytes)
{
	static uint64_t copy[COPY_BYTES / WORD];

	if (!os_read_memory((const void *)at, copy, bytes))
		return false;
	searched += bytes;
	search_piece((uint64_t)copy, (uint64_t)copy + bytes);
	return true;
}

/* A file may be shorter than its mapping. */
static void search_single_pages(uint64_t at, size_t bytes)
{
	uint64_t page = getauxval(AT_PAGESZ), end = at + bytes; /* reads a table */

	for (uint64_t next; at < end; at = next) {
		next = (at / page + 1) * page < end ? (at / page + 1) * page : end;
		if (!search_copy(at, next - at))
			unread += next - at;
	}
}

/* Copies, as memory of files may be gone. */
static void search_copied(uint64_t start, uint64_t end)
{
	for (uint64_t at = start; at < end; at += COPY_BYTES) {
		size_t bytes = end - at < COPY_BYTES ? end - at : COPY_BYTES;

		if (!search_copy(at, bytes))
			search_single_pages(at, bytes);
	}
}

static void search_private(const struct leak_map *m, uint64_t start, uint64_t end)
{
	uint64_t left_out;

	if (leak_pages_each(&pages, LEAK_PAGES_WRITTEN, start, end, search_written, NULL, &left_out)) {
		unread += left_out;
		return;
	}
	if (end - start > UNTOLD_MAX) { /* a reservation, which is not to be filled by looking at it */
		unread += end - start - UNTOLD_MAX;
		end = start + UNTOLD_MAX;
	}
	if (m->anonymous)
		search_pages(start, end);
	else
		search_copied(start, end);
}

static void search_shared(void *context, uint64_t start, uint64_t end)
{
	uint64_t most = SHARED_MAX - shared_searched, bytes = end - start < most ? end - start : most;

	(void)context;
	unread += end - start - bytes;
	shared_searched += bytes;
	search_copied(start, start + bytes);
}

static void search_map(const struct leak_map *m, uint64_t start, uint64_t end)
{
	uint64_t left_out;

	if (start >= end)
		return;
	if (!m->shared)
		search_private(m, start, end);
	else if (!m->writable)
		return;
	else if (m->in_memory && leak_pages_shared(start, end, search_shared, NULL, &left_out))
		unread += left_out;
	else
		search_shared(NULL, start, end);
}

void leak_roots_search(void (*search)(uint64_t start, uint64_t end), bool heap_too)
{
	size_t next = 0;

	search_piece = search;
	if (heap_too)
		heap_excluded = false;
	sort_excluded();
	leak_pages_open(&pages);
	for (size_t i = 0; i < map_count; i++) {
		uint64_t at = maps[i].start;

		if (!maps[i].readable || maps[i].skipped)
			continue;
		while (next < excluded_count && excluded[next].end <= at)
			next++;
		for (size_t e = next; e < excluded_count && excluded[e].start < maps[i].end; e++) {
			search_map(&maps[i], at, excluded[e].start);
			at = excluded[e].end > at ? excluded[e].end : at;
		}
		search_map(&maps[i], at, maps[i].end);
	}
	leak_pages_close(&pages);
	if (incomplete)
		unread++;
}

uint64_t leak_roots_bytes(void)
{
	return searched;
}

uint64_t leak_roots_unread(void)
{
	return unread;
}
