/* The files that results are written to when the run is over: opened before it, so that a place that cannot be written is
 * known before an hour is spent. Ownership: outputs_done() closes. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include "buf.h"
#include "cli.h"
#include "compiler.h"
#include "err.h"

struct catalog;
struct out_rows;
struct request_log;
struct result;
struct verdict;

enum { OUTPUTS_MAX = 16 };

struct outputs {
	struct output {
		const char *path;
		FILE *file;
		int form;
		bool begun;  /* single requests: the head is written */
		int failure; /* positive errno: single requests could not be written */
	} items[OUTPUTS_MAX];
	size_t count;
	struct buf rows;     /* on their way to a file */
	const char *results; /* path of the results file, or NULL: it is written while the run goes on */
};

/* `out`: "json=FILE", ...; `summary`: FILE or NULL. */
int outputs_open(const struct cli_list *out, const char *summary, struct outputs *ret_outputs,
                 struct err *err) MUST_USE;
/* Is there one of single requests? */
bool outputs_want_rows(const struct outputs *o);
/* Writes what one worker has logged, as far as it is there. Failures are told by outputs_write(). */
void outputs_rows(struct outputs *o, struct request_log *log, struct catalog *catalog, struct out_rows *about);
/* Writes and closes all. 0, or the first failure; all are tried. */
int outputs_write(struct outputs *o, const struct result *r, const struct verdict *v, struct err *err) MUST_USE;
void outputs_done(struct outputs *o);
