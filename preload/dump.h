/* Writing profiles: where to, under which number, one at a time, and what the user is told.
 * Context    [helper] or a thread on its way out; never a hook of a running program. System calls, up to seconds. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "config.h"

/* Remembers the directory as an absolute name: the program may change its own. [init] */
void dump_init(const struct config *config);
/* Engines, for the file. [init] */
void dump_set_unwind_engine(const char *name);
/* The clock pair that recording starts with; also in a forked child. */
void dump_set_start(void);

/* Writes COMM.PID.SEQ.REASON.snap. 0 or -errno; a failure is said once a cause and counted. -EBUSY: another one is being
 * written and was not done within `patience_ns`. */
int dump_write(const char *reason, uint64_t patience_ns);

/* In a forked child: a dump under way belongs to the parent. */
void dump_fork_child(void);
