/* The files that results are written to when the run is over: opened before it, so that a place that cannot be written is
 * known before an hour is spent. Ownership: outputs_done() closes. */
#pragma once
#include <stddef.h>
#include <stdio.h>
#include "cli.h"
#include "compiler.h"
#include "err.h"

struct result;
struct verdict;

enum { OUTPUTS_MAX = 16 };

struct outputs {
	struct output {
		const char *path;
		FILE *file;
		int form;
	} items[OUTPUTS_MAX];
	size_t count;
	const char *results; /* path of the results file, or NULL: it is written while the run goes on */
};

/* `out`: "json=FILE", ...; `summary`: FILE or NULL. */
int outputs_open(const struct cli_list *out, const char *summary, struct outputs *ret_outputs,
                 struct err *err) MUST_USE;
/* Writes and closes all. 0, or the first failure; all are tried. */
int outputs_write(struct outputs *o, const struct result *r, const struct verdict *v, struct err *err) MUST_USE;
void outputs_done(struct outputs *o);
