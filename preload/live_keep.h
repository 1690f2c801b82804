/* Keeping the live file: made when there is something to keep, its header and frame kept up to date, gone when the last profile is written.
 * Errors     a file that cannot be had is said once; the recording goes on in anonymous memory. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "config.h"

/* If PERFPROBE_LIVE says so, COMM.PID.live is made when the first table is. Before that, after dump_init(). [init] */
void live_keep_init(const struct config *config);
/* Makes it, if need be, and brings it up to date: about ten times a second. [helper] */
void live_keep_tick(uint64_t now_ns);
/* In a forked child; true: its tables were its parent's, as live_fork_child() says. */
bool live_keep_fork_child(void);
/* The child stays: a file of its own, if it has none yet. Only while one thread runs: from its first sample (outside the
 * recorder's tables), or before it makes its first thread. [handler, hook] */
void live_keep_stay(void);
