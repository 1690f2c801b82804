/* The live file of a running process, and what /proc says of it. Nothing is asked of the process itself.
 * Errors       0 or -errno with a sentence. Hosted programs, any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "compiler.h"
#include "err.h"

/* The file that the process has mapped, by whatever name; opened for reading. `ret_path` (of `size` bytes): its name there. */
int live_find(pid_t pid, char *ret_path, size_t size, int *ret_fd, struct err *err) MUST_USE;

struct live_process {
	bool runs;          /* a zombie does not */
	uint64_t started;   /* in ticks since the boot: tells it from another of the same number */
	uint64_t rss_bytes; /* 0: not known */
	uint64_t threads;
};
void live_find_process(pid_t pid, struct live_process *ret);
