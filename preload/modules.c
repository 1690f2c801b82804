/*
 * modules.c - which code was where, and when.
 *
 * /proc/thread-self/maps is read in one go into pages of our own (/proc/self is empty when the first thread has ended);
 * consecutive lines of one file are one object; its program headers are copied out of memory with a call that cannot fault,
 * because another thread may unmap it meanwhile.
 *
 * Plugins come and go, and two may have the same addresses one after the other. A stack has no time, but ids of stacks grow
 * with it: a module knows the newest id from before it came. The earlier one is told of at addresses of its own.
 */
#include "modules.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>

#include "atomic.h"
#include "compiler.h"
#include "lock.h"
#include "losses.h"
#include "os_linux.h"
#include "stacks.h"

enum { MAX_MODULES = 4096, MAPS_BYTES = 4 << 20, MAX_PHDRS = 64, NOTE_BYTES = 4096, ARENA_BYTES = 1 << 16 };

static struct module *table; /* MAX_MODULES, touched as they are used */
static _Atomic uint32_t count;
static struct lock scan_lock;
static uint64_t first_ns;

static char *arena;
static size_t arena_used;

/* The newest stack when a module was last seen to go: what came since has only later ones. */
static _Atomic uint32_t stack_mark;
static uintptr_t next_place = (uintptr_t)1 << 56; /* above any address of a process; scan_lock guards it */
static _Atomic bool some_moved;

/* One line of maps. */
struct line {
	uintptr_t start, end;
	uint64_t offset, inode;
	bool exec;
	const char *path;
	size_t path_len;
};

static const char *parse_hex(const char *s, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (;; s++) {
		unsigned digit = *s >= '0' && *s <= '9'   ? (unsigned)(*s - '0')
		                 : *s >= 'a' && *s <= 'f' ? (unsigned)(*s - 'a' + 10)
		                                          : 16;

		if (digit == 16)
			break;
		value = value << 4 | digit;
	}
	*ret_value = value;
	return s;
}

/* "start-end perms offset dev inode   path\n"; returns the next line, or NULL at the end. proc(5). */
static const char *parse_line(const char *s, struct line *ret_line)
{
	const char *eol = strchr(s, '\n');
	uint64_t start, end, inode = 0;

	if (!eol)
		return NULL; /* cut short: the last line is not complete */
	s = parse_hex(s, &start);
	s = parse_hex(s + 1, &end);
	ret_line->start = (uintptr_t)start;
	ret_line->end = (uintptr_t)end;
	ret_line->exec = s[3] == 'x';
	s = parse_hex(s + 6, &ret_line->offset);
	s++;
	while (s < eol && *s != ' ') /* device */
		s++;
	for (s++; s < eol && *s >= '0' && *s <= '9'; s++)
		inode = inode * 10 + (uint64_t)(*s - '0');
	ret_line->inode = inode;
	while (s < eol && *s == ' ')
		s++;
	ret_line->path = s;
	ret_line->path_len = (size_t)(eol - s);
	return eol + 1;
}

static char *copy_path(const char *path, size_t len)
{
	char *at;

	if (len + 1 > ARENA_BYTES)
		len = ARENA_BYTES - 1;
	if (!arena || arena_used + len + 1 > ARENA_BYTES) {
		arena = os_map(ARENA_BYTES);
		arena_used = 0;
	}
	if (!arena)
		return NULL;
	at = arena + arena_used;
	memcpy(at, path, len);
	at[len] = '\0';
	arena_used += len + 1;
	return at;
}

/* The build-id among the notes at `at`; elf.h, NT_GNU_BUILD_ID. */
static void find_build_id(uintptr_t at, size_t bytes, struct module *m)
{
	static uint8_t notes[NOTE_BYTES]; /* scan_lock guards it */
	size_t i = 0;

	if (bytes > sizeof(notes))
		bytes = sizeof(notes);
	if (!os_read_memory((const void *)at, notes, bytes))
		return;
	while (i + sizeof(Elf64_Nhdr) <= bytes) {
		Elf64_Nhdr note;
		size_t name, desc;

		memcpy(&note, notes + i, sizeof(note));
		name = ((size_t)note.n_namesz + 3) & ~(size_t)3;
		desc = ((size_t)note.n_descsz + 3) & ~(size_t)3;
		i += sizeof(note);
		if (name > bytes - i || desc > bytes - i - name)
			return;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(notes + i, "GNU", 4) == 0) {
			m->build_id_bytes = note.n_descsz < sizeof(m->build_id) ? note.n_descsz : sizeof(m->build_id);
			memcpy(m->build_id, notes + i + name, m->build_id_bytes);
			return;
		}
		i += name + desc;
	}
}

/* Fills bias, end and build-id from the ELF header mapped at m->start. False if it is not one. */
static bool read_elf(struct module *m)
{
	static Elf64_Phdr phdrs[MAX_PHDRS]; /* scan_lock guards it */
	uintptr_t low = UINTPTR_MAX, high = 0;
	Elf64_Ehdr ehdr;

	if (!os_read_memory((const void *)m->start, &ehdr, sizeof(ehdr)) ||
	    memcmp(ehdr.e_ident, ELFMAG, SELFMAG) != 0 || ehdr.e_ident[EI_CLASS] != ELFCLASS64 ||
	    ehdr.e_phentsize != sizeof(Elf64_Phdr) || ehdr.e_phnum > MAX_PHDRS)
		return false;
	if (!os_read_memory((const void *)(m->start + ehdr.e_phoff), phdrs, ehdr.e_phnum * sizeof(Elf64_Phdr)))
		return false;
	for (unsigned i = 0; i < ehdr.e_phnum; i++) {
		if (phdrs[i].p_type != PT_LOAD)
			continue;
		if (phdrs[i].p_vaddr - phdrs[i].p_offset < low && phdrs[i].p_offset == 0)
			low = phdrs[i].p_vaddr;
		if (phdrs[i].p_vaddr + phdrs[i].p_memsz > high)
			high = phdrs[i].p_vaddr + phdrs[i].p_memsz;
	}
	if (low == UINTPTR_MAX)
		return false;
	m->bias = m->start - (low & ~(uintptr_t)4095);
	m->end = (m->bias + high + 4095) & ~(uintptr_t)4095;
	for (unsigned i = 0; i < ehdr.e_phnum && m->build_id_bytes == 0; i++)
		if (phdrs[i].p_type == PT_NOTE)
			find_build_id(m->bias + phdrs[i].p_vaddr, phdrs[i].p_memsz, m);
	return true;
}

static bool same(const struct module *a, const struct module *b, size_t path_len, const char *path)
{
	return !a->moved && a->start == b->start && a->end == b->end && a->inode == b->inode && a->flags == b->flags &&
	       a->build_id_bytes == b->build_id_bytes && memcmp(a->build_id, b->build_id, a->build_id_bytes) == 0 &&
	       strlen(a->path) == path_len && memcmp(a->path, path, path_len) == 0;
}

static void note_module(struct module *found, const char *path, size_t path_len, uint64_t now_ns)
{
	uint32_t n = load_relaxed(&count); /* relaxed: scan_lock is held */

	for (uint32_t i = 0; i < n; i++) {
		if (same(&table[i], found, path_len, path)) {
			table[i].seen = true;
			table[i].unload_ns = 0; /* the same object at the same place again: one entry */
			return;
		}
	}
	found->path = n < MAX_MODULES ? copy_path(path, path_len) : NULL;
	if (!found->path) {
		loss_add(LOSS_MODULES_FULL, 1);
		return;
	}
	found->load_ns = now_ns;
	found->seen = true;
	found->first_stack = n ? load_relaxed(&stack_mark) : 0;
	table[n] = *found;
	store_release(&count, n + 1); /* pairs with the acquire in modules_count */
}

/* One object: its first line, and what read_elf() finds. */
static void note_file(const struct line *l, bool first, uint64_t now_ns)
{
	struct module m = { .start = l->start, .end = l->end, .inode = l->inode };

	if (l->path_len == 6 && memcmp(l->path, "[vdso]", 6) == 0)
		m.flags = SNAP_MODULE_VDSO;
	else if (first)
		m.flags = SNAP_MODULE_MAIN;
	if (read_elf(&m))
		note_module(&m, l->path, l->path_len, now_ns);
}

static void scan_text(const char *s, uint64_t now_ns)
{
	struct module anon = { 0 };
	bool first = true;
	struct line l;

	while ((s = parse_line(s, &l))) {
		bool file = l.path_len > 0 &&
		            (l.path[0] == '/' || memcmp(l.path, "[vdso]", l.path_len < 6 ? l.path_len : 6) == 0);

		if (file && l.offset == 0) {
			note_file(&l, first, now_ns);
			first = false;
		}
		if (!file && l.exec && !(l.path_len && l.path[0] == '[' && l.path[1] == 'v')) {
			if (anon.end == l.start && anon.start) {
				anon.end = l.end;
				continue;
			}
			if (anon.start)
				note_module(&anon, "[anon]", 6, now_ns);
			anon = (struct module){ .start = l.start, .end = l.end, .bias = 0, .flags = SNAP_MODULE_ANON };
			anon.bias = anon.start;
		}
	}
	if (anon.start)
		note_module(&anon, "[anon]", 6, now_ns);
}

static ssize_t read_maps(char *text)
{
	int fd = os_open("/proc/thread-self/maps", O_RDONLY, 0);
	size_t used = 0;
	ssize_t n = 0;

	if (fd < 0)
		return fd;
	while (used + 1 < MAPS_BYTES && (n = os_read(fd, text + used, MAPS_BYTES - 1 - used)) > 0)
		used += (size_t)n;
	os_close(fd);
	text[used] = '\0';
	return n < 0 ? n : (ssize_t)used;
}

void modules_init(void)
{
	first_ns = os_now_ns();
}

/* Those that are gone, and whose addresses module `i` has now. */
static void move_earlier(uint32_t i)
{
	for (struct module *m = table; m < table + i; m++) {
		if (m->moved || !m->unload_ns || m->start >= table[i].end || table[i].start >= m->end)
			continue;
		m->moved = next_place - m->start;
		next_place += m->end - m->start;
		store_release(&some_moved, true); /* pairs with the acquire in modules_address */
	}
}

bool modules_scan(void)
{
	uint64_t now_ns = os_now_ns();
	bool unloaded = false;
	char *text;

	lock_enter(&scan_lock);
	if (!table)
		table = os_map(MAX_MODULES * sizeof(*table));
	text = os_map(MAPS_BYTES);
	if (table && text && read_maps(text) > 0) {
		uint32_t known = load_relaxed(&count); /* relaxed: scan_lock is held */

		for (uint32_t i = 0; i < load_relaxed(&count); i++)
			table[i].seen = false;
		scan_text(text, load_relaxed(&count) ? now_ns : first_ns);
		for (uint32_t i = 0; i < load_relaxed(&count); i++) {
			if (!table[i].seen && !table[i].unload_ns) {
				table[i].unload_ns = now_ns;
				unloaded = true;
			}
		}
		for (uint32_t i = known; i < load_relaxed(&count); i++)
			move_earlier(i);
	}
	if (unloaded)
		modules_unloaded();
	os_unmap(text, MAPS_BYTES);
	lock_leave(&scan_lock);
	return unloaded;
}

void modules_unloaded(void)
{
	store_relaxed(&stack_mark, stacks_count()); /* relaxed: of two threads' that unload at once either is good */
}

uintptr_t modules_address(uint32_t stack, uintptr_t pc)
{
	uint32_t n = modules_count();
	uintptr_t moved = 0;

	if (!load_acquire(&some_moved)) /* pairs with the release in move_earlier */
		return pc;
	for (uint32_t i = 0; i < n; i++)
		if (pc >= table[i].start && pc < table[i].end && (stack > table[i].first_stack || !moved))
			moved = table[i].moved;
	return pc + moved;
}

uint32_t modules_count(void)
{
	return load_acquire(&count);
}

const struct module *modules_at(uint32_t i)
{
	return &table[i];
}

void modules_fork_child(void)
{
	store_release(&scan_lock.word, 0);
}
