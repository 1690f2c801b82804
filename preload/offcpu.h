/* Off-CPU samples: what threads that do not run are waiting for.
 *
 * The helper looks at them from outside: the kernel says where a waiting thread is (/proc/self/task/TID/syscall, proc(5)), and its
 * stack is read as a copy (unwind_copy.h). No signal is sent, so no call of the program's is interrupted, and nobody is woken.
 * Context    [helper], unless said otherwise.
 * Errors     where it cannot be done there are no samples, and offcpu_why() says why. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "config.h"

/* Whom: nobody; the threads that work on requests which are slow already; all. Never renumber: snapshot-format.md. */
enum offcpu_scope { OFFCPU_NONE, OFFCPU_REQUESTS, OFFCPU_ALL };

struct offcpu_sample {
	uint64_t time_ns;
	uint32_t stack;
	uint16_t record, weight; /* of the thread; in periods */
	uint64_t request;        /* that the thread works on; 0: none is known */
};

/* Samples of one stack and thread since the start. */
struct offcpu_row {
	uint64_t key; /* stack << 32 | record */
	uint64_t samples;
};

void offcpu_init(const struct config *config); /* [init] */
/* Looks at whom there is to look at. The time until the next look that is wanted, in ns. */
uint64_t offcpu_tick(uint64_t now_ns);
enum offcpu_scope offcpu_scope(void);
/* "", or why there are no samples. [any thread] */
const char *offcpu_why(void);
/* What one sample stands for, in ns. */
uint64_t offcpu_period_ns(void);

/* Copies, for a snapshot, of at most `room`; how many. [any thread that writes one] */
size_t offcpu_rows(struct offcpu_row *ret_rows, size_t room);
size_t offcpu_samples(struct offcpu_sample *ret_samples, size_t room, uint64_t oldest_ns);
/* How many there may be. */
size_t offcpu_row_count(void);
size_t offcpu_sample_count(void);

/* Before code is unmapped, and after it: no stack with it is walked meanwhile. [hook] */
void offcpu_hold(void);
void offcpu_release(void);
void offcpu_fork_child(void);
