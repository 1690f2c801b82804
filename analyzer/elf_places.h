/* Where the files of a module may be: pure, paths only. Hosted programs; any thread. */
#pragma once
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_debuginfod;

/* What the user said about it. */
struct elf_places {
	const char *sysroot;           /* NULL: none */
	const char *const *debug_dirs; /* before /usr/lib/debug */
	size_t debug_dir_count;
	const char *const *maps; /* OLD=NEW: paths below OLD are below NEW here */
	size_t map_count;
	struct elf_debuginfod *debuginfod; /* servers that may be asked; NULL: none */
};

/* A module, as far as its files are looked for by it. */
struct elf_wanted {
	const char *path; /* as recorded, without " (deleted)" */
	const uint8_t *id;
	size_t id_bytes; /* 0: not known */
};

/* The k-th place for the module's own file, best first; false: there are no more. */
bool elf_places_file(const struct elf_places *p, const struct elf_wanted *w, size_t k, char ret_path[PATH_MAX]);
/* The k-th place for its separate debug file. `object`: where its own file is, "" if it is nowhere; `link`: the name that
 * .gnu_debuglink gives, "" if none. A place may be "": go on. */
bool elf_places_debug(const struct elf_places *p, const struct elf_wanted *w, const char *object, const char *link,
                      size_t k, char ret_path[PATH_MAX]);
/* The k-th place for the file that .gnu_debugaltlink names in `from`; wanted->path is that name, with its build-id. */
bool elf_places_alt(const struct elf_places *p, const struct elf_wanted *w, const char *from, size_t k,
                    char ret_path[PATH_MAX]);
/* The debug file's usual path, whether it is there or not; "" without build-id. */
void elf_places_usual(const struct elf_wanted *w, char ret_path[PATH_MAX]);
