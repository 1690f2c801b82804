/*
 * symtab.c - which functions a file on disk defines.
 *
 * Order      the string table first, from front to back, for places where a wanted name stands; symbols are read only if there
 *            is one, so that most files with symbols cost one pass over their names.
 * Tails      linkers store "malloc" as the end of "je_malloc": a name may begin inside another string. So each string's end is
 *            compared with every name, and a symbol is one of ours if its st_name is such a place.
 * Bounds     reads are limited by the file's size and by the budget; places by SYMTAB_ENDS (further ones are not seen: a file
 *            with thousands of strings that end in "malloc" can hide one).
 */
#include "symtab.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "os_linux.h"

static int read_at(struct symtab *s, void *to, size_t bytes, uint64_t offset)
{
	if (offset > s->file_bytes || bytes > s->file_bytes - offset)
		return -ENOEXEC;
	if (bytes > s->budget)
		return -EFBIG;
	s->budget -= bytes;
	return os_pread_all(s->fd, to, bytes, offset);
}

/* ---- headers ------------------------------------------------------------------------------------------------------ */

static int read_header(struct symtab *s, const ElfW(Phdr) * phdr, unsigned phdr_count, ElfW(Ehdr) * ret_header)
{
	size_t bytes = phdr_count * sizeof(*phdr);
	unsigned char *at = s->buffer + sizeof(*ret_header);
	int rc;

	if (bytes > sizeof(s->buffer) - sizeof(*ret_header))
		return -ENOEXEC;
	rc = read_at(s, s->buffer, sizeof(*ret_header) + bytes, 0); /* nearly always one behind the other */
	if (rc < 0)
		return rc;
	memcpy(ret_header, s->buffer, sizeof(*ret_header));
	if (memcmp(ret_header->e_ident, ELFMAG, SELFMAG) != 0 || ret_header->e_phnum != phdr_count ||
	    ret_header->e_phentsize != sizeof(*phdr))
		return -ENOEXEC;
	if (ret_header->e_phoff != sizeof(*ret_header))
		rc = read_at(s, at, bytes, ret_header->e_phoff);
	if (rc == 0 && memcmp(at, phdr, bytes) != 0)
		rc = -ENOEXEC;
	return rc;
}

/* The section headers of the symbol table and of its names. 1: there are; 0: no symbol table. */
static int find_sections(struct symtab *s, const ElfW(Ehdr) * header, ElfW(Shdr) * ret_symbols, ElfW(Shdr) * ret_names)
{
	const unsigned at_once = SYMTAB_CHUNK / sizeof(ElfW(Shdr));
	int rc;

	if (!header->e_shoff || !header->e_shnum)
		return 0;
	if (header->e_shentsize != sizeof(ElfW(Shdr)))
		return -ENOEXEC;
	for (unsigned i = 0; i < header->e_shnum; i += at_once) {
		unsigned n = header->e_shnum - i < at_once ? header->e_shnum - i : at_once;
		const ElfW(Shdr) *section = (const void *)s->buffer;

		rc = read_at(s, s->buffer, n * sizeof(*section), header->e_shoff + i * sizeof(*section));
		if (rc < 0)
			return rc;
		for (unsigned k = 0; k < n; k++, section++) {
			if (section->sh_type != SHT_SYMTAB)
				continue;
			*ret_symbols = *section;
			if (section->sh_entsize != sizeof(ElfW(Sym)) || section->sh_link >= header->e_shnum)
				return -ENOEXEC;
			rc = read_at(s, ret_names, sizeof(*ret_names),
			             header->e_shoff + ret_symbols->sh_link * sizeof(*section));
			if (rc < 0)
				return rc;
			return ret_names->sh_type == SHT_STRTAB ? 1 : -ENOEXEC;
		}
	}
	return 0;
}

/* ---- names -------------------------------------------------------------------------------------------------------- */

static void prepare_names(struct symtab *s)
{
	memset(s->by_last, 0, sizeof(s->by_last));
	for (unsigned i = 0; i < s->name_count; i++) {
		s->length[i] = strlen(s->names[i]);
		s->by_last[(unsigned char)s->names[i][s->length[i] - 1]] |= (uint64_t)1 << i;
	}
}

/* A string ends before `end`, and the table is known from `begin` on, which is its byte `offset`. */
static void compare_end(struct symtab *s, const unsigned char *begin, const unsigned char *end, uint64_t offset)
{
	if (end == begin)
		return;
	for (uint64_t left = s->by_last[end[-1]]; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);
		size_t length = s->length[i], before = (size_t)(end - begin);

		if (length > before || memcmp(end - length, s->names[i], length) != 0 || s->end_count == SYMTAB_ENDS)
			continue;
		s->ends[s->end_count].key = offset + (before - length);
		s->ends[s->end_count++].rest = i;
	}
}

static int find_ends(struct symtab *s, const ElfW(Shdr) * table)
{
	uint64_t at = table->sh_offset, left = table->sh_size, offset = 0;
	size_t kept = 0; /* of what was read before: a name may begin there */

	while (left) {
		size_t n = left < SYMTAB_CHUNK ? (size_t)left : SYMTAB_CHUNK, used = kept + n, keep;
		const unsigned char *p = s->buffer + kept;
		int rc = read_at(s, s->buffer + kept, n, at);

		if (rc < 0)
			return rc;
		while ((p = memchr(p, '\0', (size_t)(s->buffer + used - p)))) {
			compare_end(s, s->buffer, p, offset);
			p++;
		}
		keep = used < SYMTAB_NAME_BYTES ? used : SYMTAB_NAME_BYTES;
		memmove(s->buffer, s->buffer + used - keep, keep);
		offset += used - keep;
		kept = keep;
		at += n;
		left -= n;
	}
	return 0;
}

/* ---- symbols ------------------------------------------------------------------------------------------------------ */

static bool is_function(const ElfW(Sym) * symbol)
{
	return ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && symbol->st_shndx != SHN_UNDEF &&
	       (symbol->st_shndx < SHN_LORESERVE || symbol->st_shndx == SHN_XINDEX);
}

/* The first of the places that is not before `offset`. */
static unsigned place_of(const struct symtab *s, uint64_t offset)
{
	unsigned low = 0, high = s->end_count;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (s->ends[middle].key < offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int find_functions(struct symtab *s, const ElfW(Shdr) * table, uint64_t *found)
{
	uint64_t first = s->ends[0].key, last = s->ends[s->end_count - 1].key;
	uint64_t at = table->sh_offset, left = table->sh_size - table->sh_size % sizeof(ElfW(Sym));

	while (left) {
		size_t n = left < SYMTAB_CHUNK ? (size_t)left : SYMTAB_CHUNK;
		const ElfW(Sym) *symbol = (const void *)s->buffer, *end = (const void *)(s->buffer + n);
		int rc = read_at(s, s->buffer, n, at);

		if (rc < 0)
			return rc;
		for (; symbol < end; symbol++) {
			unsigned i;

			if (symbol->st_name < first || symbol->st_name > last || !is_function(symbol))
				continue;
			i = place_of(s, symbol->st_name);
			if (s->ends[i].key == symbol->st_name)
				*found |= (uint64_t)1 << s->ends[i].rest;
		}
		at += n;
		left -= n;
	}
	return 0;
}

int symtab_find(struct symtab *s, int fd, const ElfW(Phdr) * phdr, unsigned phdr_count, uint64_t *ret_found)
{
	ElfW(Ehdr) header;
	ElfW(Shdr) symbols = { 0 }, names = { 0 };
	uint64_t found = 0;
	struct stat st;
	int rc = os_fstat(fd, &st);

	if (rc < 0)
		return rc;
	if (!S_ISREG(st.st_mode))
		return -ENOEXEC;
	s->fd = fd;
	s->file_bytes = (uint64_t)st.st_size;
	s->end_count = 0;
	rc = read_header(s, phdr, phdr_count, &header);
	if (rc == 0)
		rc = find_sections(s, &header, &symbols, &names);
	if (rc <= 0) {
		if (rc == 0)
			*ret_found = 0;
		return rc;
	}
	if (names.sh_size > s->budget || symbols.sh_size > s->budget - names.sh_size)
		return -EFBIG; /* before any of it is read */
	prepare_names(s);
	rc = find_ends(s, &names);
	if (rc == 0 && s->end_count) {
		sort_rows(s->ends, s->end_count);
		rc = find_functions(s, &symbols, &found);
	}
	if (rc == 0)
		*ret_found = found;
	return rc;
}
