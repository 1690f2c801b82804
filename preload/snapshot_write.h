/* The recording -> a .snap file (docs/snapshot-format.md). No malloc, no stdio, memory by mmap.
 * Context    the helper thread; a thread that ends the process; the handler of a signal that ends it. One at a time:
 *            callers hold snapshot_lock. Needs about 16 KiB of stack.
 * Errors     0 or -errno; the file appears complete or not at all. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "config.h"

/* Why and by whom; everything else is read from the recorder's modules. */
struct snapshot_about {
	const struct config *config;
	const char *reason;  /* of snapshot-format.md */
	const char *because; /* what called for it, in words; "": nothing but who asked */
	const char *engine_cpu, *engine_cpu_why, *engine_heap, *engine_unwind;
	uint64_t start_ns, start_wall_ns;
	uint64_t period_ns; /* CPU time a sample stands for; 0 = CPU sampling is off */
	uint32_t sequence;
};

/* Writes COMM.PID.SEQ.REASON.snap in the directory; ret_path gets its full name. `dir_fd` is open, `dir_path` its name. */
int snapshot_write(const struct snapshot_about *about, int dir_fd, const char *dir_path, char *ret_path,
                   size_t path_size);

/* The sections up to THREADS, as a snapshot in `room` bytes at `offset` of `fd`. -ENOSPC: it needs more. [helper] */
int snapshot_write_frame(const struct snapshot_about *about, int fd, uint64_t offset, size_t room);
