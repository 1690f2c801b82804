/* The page over HTTP on 127.0.0.1, of the profiles in one directory (ADR 0031). Read-only.
 *	/                       the page            /list     {"files": [{name, live, version, bytes, modified_ms}], "skipped"}
 *	/recording?name=NAME    one of the list as the page's JSON (docs/page-format.md)
 * Context  serve_start() starts one thread that answers; the others only wait. Main thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "compiler.h"
#include "err.h"

struct cmd_symbols;
struct serve;

struct serve_options {
	const char *directory;
	uint16_t port;                     /* 0: any that is free */
	bool any_user;                     /* answer other users of the machine too */
	const struct cmd_symbols *symbols; /* must outlive the server */
};

/* -errno with a sentence; else *ret_serve, which serve_stop() ends. */
int serve_start(const struct serve_options *options, struct serve **ret_serve, struct err *err) MUST_USE;
uint16_t serve_port(const struct serve *s);
void serve_stop(struct serve *s);
