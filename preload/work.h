/* What each thread works on now, shown in the live file: whoever reads it after a kill cannot ask the threads. The threads' own
 * words (struct thread) are what this process goes by.
 * Context    [hook]; only the thread itself shows what it does.
 * Errors     without memory it is not shown. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct thread;

/* A request since then; 0: none any more. */
void work_show_request(struct thread *th, uint64_t id, uint64_t since_ns, bool shared);
/* A call of the database's `row`, for a request; row 0: none any more. */
void work_show_call(struct thread *th, uint32_t row, uint64_t since_ns, uint64_t request);
/* In a forked child; what its thread works on is shown anew. */
void work_fork_child(struct thread *self);
