/* What else is asked of export_pprof.c: which columns a file of it has. */
#pragma once
#include <stddef.h>

struct profile;
struct export_options;

enum { EXPORT_PPROF_COLUMNS = 6 };
struct export_pprof_column {
	const char *type, *unit; /* "inuse_space", "bytes" */
};
/* The number of columns in `ret`. */
size_t export_pprof_columns(const struct profile *p, const struct export_options *o,
                            struct export_pprof_column ret[EXPORT_PPROF_COLUMNS]);
