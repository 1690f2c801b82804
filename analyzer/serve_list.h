/* The profiles in one directory: what may be served, and nothing else may. Regular files whose names end in .snap or .live, right in
 * the directory; links are left out wherever they lead. Names are opened relative to the directory that was opened at the start.
 * Ownership  the list owns its names. Context  hosted programs, any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "err.h"

struct serve_file {
	char *name;
	bool live;
	uint64_t version; /* another one: the file is not what it was */
	uint64_t bytes, modified_ns;
};

enum { SERVE_MOST_FILES = 4096 };

struct serve_list {
	struct serve_file *items; /* oldest change first, ties by name */
	size_t count;
	size_t skipped; /* with such names, but no regular files, not readable, or more than SERVE_MOST_FILES */
};

/* The directory's descriptor, or -errno with a sentence. */
int serve_open_directory(const char *path, struct err *err) MUST_USE;
int serve_list_read(int directory, struct serve_list *ret, struct err *err) MUST_USE;
void serve_list_done(struct serve_list *l);
/* NULL: no such name is in the list. */
const struct serve_file *serve_list_find(const struct serve_list *l, const char *name);
/* A descriptor for reading. -ENOENT and the like if it has changed into something else meanwhile. */
int serve_list_open(int directory, const struct serve_file *f) MUST_USE;
