/* Memory for the recorder's tables: in a file that survives the process, or without a file anonymous.
 * Context    [hook] and signal handlers: system calls, no libc; nothing waits but for another thread that makes the file.
 * Errors     where the file cannot grow, memory is anonymous and the header counts what is missing; NULL only when the
 *            system has no memory at all.
 * fork       most children are made to be replaced by exec: a child's tables first become anonymous memory, and get a file
 *            of their own when it has shown that it stays. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "live_layout.h"

/* A file is wanted: `make` is called when the first table is made, or by live_make(), and calls live_open(); it says whether
 * that worked. One thread calls it, once, with all signals blocked. [init] */
void live_want(bool (*make)(void));
/* Makes the file now, if one is wanted and was not made yet. [any thread] */
void live_make(void);
/* Makes the file NAME in the directory (open as dir_fd, called dir), with what live_header() says so far. 0 or -errno, and
 * then tables are anonymous. Only from live_want()'s `make`. */
int live_open(int dir_fd, const char *dir, const char *name);
/* Is there a file? */
bool live_is_open(void);
/* Its size; 0: there is none. [any thread] */
uint64_t live_bytes(void);
/* The header, to be kept up to date by whoever knows; a dummy while there is no file. */
struct live_header *live_header(void);

/* Zeroed memory in whole pages for a table of that kind. */
void *live_map(enum live_kind kind, uint32_t owner, size_t bytes);
void live_unmap(void *at, size_t bytes);
/* The table is complete: a reader may count it. */
void live_activate(const void *at);
/* Another table has its content: outside readers leave it out, those in this process may still be in it. */
void live_retire(const void *at);
/* A thread's table changes owner. */
void live_set_owner(const void *at, uint32_t owner);

/* Room for `bytes` of a new frame: descriptor and offset to write it to, or -errno. live_frame_done() makes it the one that
 * counts and gives the last one back; or drops it. Two of LIVE_FRAME_BYTES have their room from the start, so that a full disk
 * does not leave a file that says nothing. One caller at a time. [helper] */
enum { LIVE_FRAME_BYTES = 28 << 10 };
int live_frame_begin(size_t bytes, uint64_t *ret_offset);
void live_frame_done(bool good);

/* The file goes, its content has been written elsewhere, and none is made from now on. Tables stay as they are. [any thread
 * on its way out] */
void live_remove(void);
/* In a forked child: the parent's file is left alone. True: it had tables there; those are not the child's, but for the
 * stack tree, which may be read. */
bool live_fork_child(void);
/* Before a table of the stack tree, of which `used` bytes are complete, is written to: in a forked child it becomes the
 * child's own. False without memory. */
bool live_own(void *at, size_t used);
/* In a forked child, after live_fork_child(): a table of more than LIVE_PIECE_MAX bytes, complete and without an owner, becomes
 * the child's own at the same address: zeros, but for what `keep` (may be NULL; not called without memory) takes over. */
enum { LIVE_PIECE_MAX = 128 << 10 };
void live_renew(enum live_kind kind, void *at, size_t bytes, void (*keep)(void *fresh, const void *old));
/* For a forked child that lives long enough: a file of its own, as live_open() makes it, to which its tables move. Only one
 * thread runs. */
int live_open_late(int dir_fd, const char *dir, const char *name);
/* May live_open_late() be called? */
bool live_is_pending(void);
