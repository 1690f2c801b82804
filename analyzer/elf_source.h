/* The files that describe one module: the object itself and, where it is stripped, its separate debug file.
 * Only local files, and only with the recorded build-id. Hosted programs; one thread at a time. */
#pragma once
#include <libelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_source {
	Elf *main, *debug;     /* debug: NULL if there is none */
	int main_fd, debug_fd; /* -1: none */
	char debug_path[512];
};
struct buf;

/* Opens `path` if its build-id is id[0..id_bytes) (any, if id_bytes is 0), and looks for its debug file under
 * /usr/lib/debug and beside it. False: `why` says it in a few words. Done with elf_source_done(). */
bool elf_source_open(const char *path, const uint8_t *id, size_t id_bytes, struct elf_source *ret, char *why,
                     size_t why_size);
/* The vdso of this very process, if it is the recorded one. */
bool elf_source_open_vdso(const uint8_t *id, size_t id_bytes, struct elf_source *ret, char *why, size_t why_size);
void elf_source_done(struct elf_source *s);
/* Appends what tells these files, and the program that reads them, from all others; false if that cannot be said. */
bool elf_source_identity(const struct elf_source *s, struct buf *out);
