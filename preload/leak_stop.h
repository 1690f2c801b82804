/* A picture of the process at one moment: all its threads are held, their registers read, and a process made that has a copy of
 * the memory; then they go on. research: LeakSanitizer's stop-the-world, Redis's background save.
 * Context    [helper]: a thread that libc does not know, and that is not held itself.
 * Errors     -EPERM and others of ptrace(2): nothing was done, and another way may be tried.
 * Effects    a held thread's system call may end with EINTR where signal(7) says so of stops. No SIGCHLD, no descriptor. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct leak_held {
	pid_t tid;       /* 0: it has ended meanwhile */
	uint32_t signal; /* was on its way to it: goes on its way again */
	uint64_t sp;
	uint64_t regs;  /* offset in `regs` */
	uint32_t bytes; /* of registers; 0: they are not known */
};

struct leak_stop {
	struct leak_held *held;
	uint32_t count;            /* of held[] */
	uint32_t standing, missed; /* threads that stood still, and that did not */
	uint8_t *regs;
	uint64_t regs_used;
	uint64_t pause_ns; /* from the first thread that was held to the last that goes on */
	pid_t process;     /* whose threads they are */
	uint64_t taken_ns; /* when the picture was taken, os_now_ns() */
	int status;        /* of the process, as wait(2) has it */
	bool late;         /* it took longer than it was given, and was ended */
};

enum leak_stop_way { LEAK_STOP_PTRACE, LEAK_STOP_SIGNALS };

/* A thread that stands still by itself, with its registers above `sp` on its stack. tid 0: none does. */
struct leak_waiter {
	pid_t tid;
	uint64_t sp;
};

/* The process that traces this one already, a debugger perhaps, and its name, cut to `size`; 0: nobody does, or it cannot be read. */
pid_t leak_stop_tracer(char *ret_name, size_t size);
/* Holds the threads but the caller, and has `mark` run on a copy of the memory, which is given `patience_ns` at most. `hurry`: not
 * as idle work, since the program waits for it. `before`: while they are
 * held. Back when the threads go on. 0 or -errno. leak_stop_done() afterwards. */
int leak_stop(struct leak_stop *s, enum leak_stop_way way, bool hurry, struct leak_waiter waiter, uint64_t patience_ns,
              void (*before)(void), void (*mark)(const struct leak_stop *s));
/* Has the copy come to its end? After leak_stop() returned 0. */
bool leak_stop_ended(void);
/* Ends the copy now, and is back when it is gone. */
void leak_stop_cancel(void);
void leak_stop_done(struct leak_stop *s);
