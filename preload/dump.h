/* Writing profiles: where to, under which number, one at a time, and what the user is told.
 * Context    [helper] or a thread on its way out; never a hook of a running program. System calls, up to seconds. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "config.h"
#include "snapshot_write.h"

/* Remembers the directory as an absolute name: the program may change its own. [init] */
void dump_init(const struct config *config);
/* Engines, for the file. [init] */
void dump_set_unwind_engine(const char *name);
/* How the heap is recorded besides its mode: calls of another allocator's functions come by us. */
void dump_set_heap_redirected(const char *library, unsigned names, unsigned references);
const char *dump_heap_note(void); /* "", or ", ..." */
/* The clock pair that recording starts with; also in a forked child. */
void dump_set_start(void);

/* Writes COMM.PID.SEQ.REASON.snap. 0 or -errno; a failure is said once a cause and counted. -EBUSY: another one is being
 * written and was not done within `patience_ns`. */
int dump_write(const char *reason, uint64_t patience_ns);
/* The same; `because` says in words what called for it, and stands in the file. */
int dump_write_because(const char *reason, const char *because, uint64_t patience_ns, char *ret_path, size_t path_size);
/* The same without words; ret_path gets the file's name. */
int dump_write_named(const char *reason, uint64_t patience_ns, char *ret_path, size_t path_size);
/* The right to write profiles, for who changes what they say. False: somebody else had it for so long. */
bool dump_hold(uint64_t patience_ns);
void dump_release(void);
/* Profiles go to `path` from now on, which begins with '/' and is shorter than PATH_MAX. 0; or -errno if it cannot be written,
 * and nothing changed. The right is held. */
int dump_set_dir(const char *path);
/* The directory asked for, and how many profiles were written. [helper] */
const char *dump_dir(void);
uint64_t dump_count(void);

/* What a profile of that reason says of the recording; sequence 0. */
struct snapshot_about dump_about(const char *reason);
/* The directory that can be written; its name in `path`. Descriptor, the caller's, or -errno. [any thread; system calls] */
int dump_open_dir(char *path, size_t size);

/* In a forked child: a dump under way belongs to the parent. */
void dump_fork_child(void);
