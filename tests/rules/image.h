/* A program or library laid out in memory as the loader would, its bytes untouched by relocation, and its list of FDEs as libdw
 * reads them from the section .eh_frame. The vDSO is written to a file first. Tests. */
#pragma once
#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An FDE covers [start, end), addresses as in the file. */
struct fde {
	uint64_t start, end;
};
struct function {
	uint64_t start, end;
	const char *name;
};

struct image {
	const char *path;
	int fd;
	Elf *elf;
	Dwarf_CFI *cfi;
	uint8_t *memory; /* segments between them: nothing readable */
	size_t size;
	uint64_t first;     /* the file's address of memory[0] */
	const uint8_t *hdr; /* PT_GNU_EH_FRAME in memory */
	uint64_t index_entries;
	struct fde *fdes; /* sorted by start */
	size_t fde_count, outside;
	struct function *functions; /* sorted by start */
	size_t function_count;
};

/* "[vdso]" is this process's, "[made N]" one of made.h. 1: opened; 0: there is no such object, or none with call frame information for this
 * processor; negative: broken, and said so on stderr. */
int image_open(struct image *im, const char *path);
void image_close(struct image *im);
/* A file's address in memory. */
static inline uintptr_t image_at(const struct image *im, uint64_t address)
{
	return (uintptr_t)im->memory + (uintptr_t)(address - im->first);
}
/* Is the address in an FDE of the list? */
bool image_covers(const struct image *im, uint64_t address);
/* The function's name, or "?". */
const char *image_function(const struct image *im, uint64_t address);
