/* The files that describe one module: the object itself, its separate debug file, and what that shares with others.
 * Only with the recorded build-id. Hosted programs; one thread at a time. */
#pragma once
#include <libelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct elf_places;

enum { ELF_PATH_SHOWN = 512, ELF_MINI_MAX_BYTES = 64 << 20 };

struct elf_source {
	Elf *main, *debug, *alt;        /* NULL: there is none. main or debug is there */
	Elf *mini;                      /* what .gnu_debugdata holds, once it is loaded */
	int main_fd, debug_fd, alt_fd;  /* -1: none */
	char main_path[ELF_PATH_SHOWN]; /* for display */
	char debug_path[ELF_PATH_SHOWN];
	char alt_path[ELF_PATH_SHOWN]; /* where it is, or else the name it is wanted by */
	char link[128];                /* what .gnu_debuglink names */
	bool alt_wanted;
	unsigned char *mini_bytes;
};

/* Opens the files of `path`, as recorded, if its build-id is id[0..id_bytes) (any, if id_bytes is 0). They are looked for
 * where `places` says (NULL: at that path, beside it and under /usr/lib/debug). Where only the debug file is found, it is
 * used alone. False: `why` says it in a few words. Done with elf_source_done(). */
bool elf_source_open(const struct elf_places *places, const char *path, const uint8_t *id, size_t id_bytes,
                     struct elf_source *ret, char *why, size_t why_size);
/* The vdso of this very process, if it is the recorded one. */
bool elf_source_open_vdso(const uint8_t *id, size_t id_bytes, struct elf_source *ret, char *why, size_t why_size);
void elf_source_done(struct elf_source *s);
/* MiniDebugInfo: a table of the functions that are not exported, packed in the file itself. */
void elf_source_load_mini(struct elf_source *s);
/* Appends what tells these files, and the program that reads them, from all others; false if that cannot be said. */
bool elf_source_identity(const struct elf_source *s, struct buf *out);
