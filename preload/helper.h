/* The helper: one kernel thread of ours that writes snapshots and keeps the recorder's slow clock.
 * It is made by clone(2) and unknown to libc, so that libc goes on treating a single-threaded program as one (malloc and
 * stdio take locks once a second pthread was made), and so that it can be made anywhere, in a signal handler too.
 * It blocks every signal, never calls a libc function that allocates, locks or looks at its thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "config.h"

/* Starts it if it does not run. [any thread, hooks and handlers included] False: no memory or no thread to be had. */
bool helper_start(const struct config *config);
/* Has it write a profile, and waits for that at most `patience_ns`. 0, -errno, or -ETIMEDOUT. [any, handlers included] */
int helper_dump(const char *reason, uint64_t patience_ns);
/* In a forked child: there is none. */
void helper_fork_child(void);
