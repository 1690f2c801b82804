/* Named points in time, told by the program (perfprobe.h).
 * Context    [any thread, handlers included]: no lock. Names are cut to MARK_NAME_BYTES - 1 bytes.
 * Errors     none are returned: the oldest is overwritten, and counted (marks.overwritten). */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { MARKS_MAX = 1024, MARK_NAME_BYTES = 48 };

struct mark {
	uint64_t time_ns;
	uint32_t thread; /* record */
	char name[MARK_NAME_BYTES];
};

void marks_add(const char *name, uint32_t thread);
/* Marks ever made, and copies of the newest: number `i` of them, from 0. False: it is gone, or being written. [snapshot] */
uint64_t marks_count(void);
bool marks_get(uint64_t i, struct mark *ret_mark);
/* In a forked child: marks are the parent's. */
void marks_fork_child(void);
