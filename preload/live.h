/* Memory for the recorder's tables: in a file that survives the process, or without a file anonymous.
 * Context    [hook] and signal handlers: system calls, no lock, no libc.
 * Errors     where the file cannot grow, memory is anonymous and the header counts what is missing; NULL only when the
 *            system has no memory at all.
 * fork       most children are made to be replaced by exec: a child's tables first become anonymous memory, and get a file
 *            of their own when it has shown that it stays. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "live_layout.h"

/* Makes the file NAME in the directory (open as dir_fd, called dir) and puts tables in it from now on. 0 or -errno, and then
 * tables are anonymous. Before the first live_map(). [init] */
int live_open(int dir_fd, const char *dir, const char *name);
/* Is there a file? */
bool live_is_open(void);
/* The header, to be kept up to date by whoever knows; a dummy where there is no file. */
struct live_header *live_header(void);

/* Zeroed memory in whole pages for a table of that kind. */
void *live_map(enum live_kind kind, uint32_t owner, size_t bytes);
void live_unmap(void *at, size_t bytes);
/* The table is complete: a reader may count it. */
void live_activate(const void *at);
/* A thread's table changes owner. */
void live_set_owner(const void *at, uint32_t owner);

/* Room for `bytes` of a new frame: descriptor and offset to write it to, or -errno. live_frame_done() makes it the one that
 * counts and gives the last one back; or drops it. One caller at a time. [helper] */
int live_frame_begin(size_t bytes, uint64_t *ret_offset);
void live_frame_done(bool good);

/* The file goes, its content has been written elsewhere. Tables stay as they are. [any thread on its way out] */
void live_remove(void);
/* Around fork(), by the forking thread, which counts nothing meanwhile: copies of all tables, for the child. */
void live_fork_prepare(void);
void live_fork_parent(void);
/* In a forked child: its tables become anonymous memory at the same addresses, and the parent's file is left alone. */
void live_fork_child(void);
/* As live_open(), for a forked child that lives long enough: its tables move to the file. Only one thread runs. */
int live_open_late(int dir_fd, const char *dir, const char *name);
/* May live_open_late() be called? */
bool live_is_pending(void);
