/* The leak check: which blocks can nobody reach any more? In a copy of the process, while it goes on.
 * Context    [helper] unless said otherwise. One check at a time.
 * Errors     a check that cannot be made says why (state, note), and no rows mean nothing then. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "config.h"

enum { LEAKS_NOTE_BYTES = 400 };

struct leaks_row {
	uint32_t stack, owner, kind; /* docs/snapshot-format.md, section LEAKS */
	uint64_t count, bytes, confirmed_count, confirmed_bytes, samples, first_ns, last_ns;
	double variance; /* of bytes, in sampled mode */
};

struct leaks_result {
	uint32_t state; /* 0 done, 1 not */
	const char *method;
	char note[LEAKS_NOTE_BYTES];
	uint32_t checks;
	uint64_t time_ns, pause_ns, check_ns, cpu_ns, memory_bytes;
	uint64_t threads, threads_missed, blocks, block_bytes, root_bytes, unread_bytes;
	const struct leaks_row *rows; /* by stack, kind, owner */
	size_t count;
};

void leaks_init(const struct config *config); /* [init] */

/* Begins so many checks, `gap_ns` apart; at the end of the program one is enough where no other thread runs. False: one is under
 * way. The program stands still for milliseconds, the rest takes up to seconds, in steps: leaks_step() goes on, and is true when
 * all is done. No step waits for the search. [helper] */
bool leaks_begin(unsigned checks, uint64_t gap_ns, bool at_exit);
bool leaks_step(void);
/* Ends a check under way: nothing of it is left, no process and no result. [helper] */
void leaks_cancel(void);
/* The thread waits for the next check, with its registers above `sp` on its stack. 0, 0: none does. [any thread] */
void leaks_set_waiter(pid_t tid, uint64_t sp);
/* What the last one found; NULL: none was made. Valid until the next. [helper, snapshot] */
const struct leaks_result *leaks_last(void);
/* A check has begun and is not done: leaks_last() is of what is known so far. [helper] */
bool leaks_is_under_way(void);

/* [start, end) holds pointers of the program's that must count, wherever it is. False: too many. [any thread, hooks] */
bool leaks_root_add(const void *start, size_t bytes);
/* False: it was not added. */
bool leaks_root_remove(const void *start, size_t bytes);
/* The live block that holds the address is never a leak, nor what it leads to. False: too many. [any thread, hooks] */
bool leaks_ignore(const void *address);

void leaks_fork_child(void);
