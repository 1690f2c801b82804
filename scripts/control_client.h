/* Talking to profiled processes from outside: finding them in /proc, and their control sockets.
 * The socket is /tmp/perfprobe-UID/PID.sock, UID the process's effective user; the directory must be that user's own and
 * closed to others. One request line, answer lines until the end; the first is "ok ..." or "error ...".
 * Context    hosted programs, main thread. Errors: -errno with one sentence. */
#pragma once
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>
#include "compiler.h"
#include "err.h"

/* Prints one line for each process that has the library mapped and is the caller's (root: anybody's). Returns how many. */
int control_client_list(FILE *out, struct err *err) MUST_USE;

/* Sends `line` (without newline) to process `pid` and copies the answer to `out`. 0 if the process answered ok. */
int control_client_send(pid_t pid, const char *line, FILE *out, struct err *err) MUST_USE;
