/* Keeping the live file: made at the start, its header and frame kept up to date, gone when the last profile is written.
 * Errors     a file that cannot be had is said once; the recording goes on in anonymous memory. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "config.h"

/* Makes COMM.PID.live, if PERFPROBE_LIVE says so. Before the first table is made, after dump_init(). [init] */
void live_keep_open(const struct config *config);
/* Brings it up to date: about ten times a second. [helper] */
void live_keep_tick(uint64_t now_ns);
/* In a forked child, which records on. */
void live_keep_fork_child(void);
/* The child stays: a file of its own, if it has none yet. Only while one thread runs: from its first sample (outside the
 * recorder's tables), or before it makes its first thread. [handler, hook] */
void live_keep_stay(void);
