/* The functions that an ELF file defines, those that it does not export included: .symtab, where it was not stripped off.
 * The file is read, never mapped: one that is cut short meanwhile is an error, not SIGBUS. No number in it is believed before it
 * is compared with the file's size.
 * Context    [any thread, not in a hook or handler]: system calls; no allocation, no lock. */
#pragma once
#include <link.h>
#include <stdint.h>
#include "compiler.h"
#include "sort.h"

enum {
	SYMTAB_NAMES = 64,        /* that can be looked for */
	SYMTAB_NAME_BYTES = 64,   /* of one, at most */
	SYMTAB_CHUNK = 24 * 2700, /* read at once; whole symbols */
	SYMTAB_ENDS = 2048,       /* places in the string table where a name begins */
};

/* A search; about 100 KiB, of which a stripped file needs a page. The caller zeroes it and fills in the first three. */
struct symtab {
	const char *const *names;
	unsigned name_count;
	uint64_t budget; /* bytes that may be read; what was read is taken off */
	/* private */
	int fd;
	unsigned end_count;
	uint64_t file_bytes;
	size_t length[SYMTAB_NAMES];
	uint64_t by_last[256]; /* names that end in this character, a bit each */
	_Alignas(16) unsigned char buffer[SYMTAB_NAME_BYTES + SYMTAB_CHUNK];
	struct sort_row ends[SYMTAB_ENDS]; /* offset in the string table, number of the name */
};

/* Finds which names are defined as functions: bit i is names[i]. The file must have the program headers `phdr`, those of the
 * object in memory; else it is another file. 0, also where there is no .symtab; -ENOEXEC: another file, or damaged; -EFBIG: its
 * tables are larger than the budget; or -errno. */
MUST_USE int symtab_find(struct symtab *s, int fd, const ElfW(Phdr) * phdr, unsigned phdr_count, uint64_t *ret_found);
