/* Where functions begin in a module without names for them: the search table of .eh_frame_hdr, which stripped files keep.
 * Hosted programs; one thread at a time. Untrusted input: what does not fit counts as not there. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_source;

struct elf_start {
	uint64_t start, end; /* file addresses; end 0: not known */
};

struct elf_starts {
	struct elf_start *list; /* sorted */
	size_t count;
};

/* false when memory runs out. */
bool elf_starts_load(struct elf_starts *t, const struct elf_source *source);
/* The begin of the function around `address`; false if none is known. */
bool elf_starts_find(const struct elf_starts *t, uint64_t address, uint64_t *ret_start);
void elf_starts_done(struct elf_starts *t);
