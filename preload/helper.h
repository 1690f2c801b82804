/* The helper: one kernel thread of ours that writes snapshots and keeps the recorder's slow clock.
 * It is made by clone(2) and unknown to libc, so that libc goes on treating a single-threaded program as one (malloc and
 * stdio take locks once a second pthread was made), and so that it can be made anywhere, in a signal handler too.
 * It has a table of descriptors of its own: what it opens takes no number that the program counts on (the lowest free one),
 * is not inherited by children, and is to be had when the program has used up its own. (Before Linux 5.9 it shares them.)
 * It has the rights of the thread that made it; a program that changes its own, or its namespaces, has the helper ended
 * before and made anew after (hook_rights.c).
 * It blocks every signal, never calls a libc function that allocates, locks or looks at its thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "config.h"

/* Starts it if it does not run. [any thread, hooks and handlers included] False: no memory or no thread to be had. */
bool helper_start(const struct config *config);
/* Has it write a profile, and waits for that at most `patience_ns`. 0, -errno, or -ETIMEDOUT. [any, handlers included] */
int helper_dump(const char *reason, uint64_t patience_ns);
/* Has it look for leaks as at the end of the program, without a profile: the next one has what it found. As helper_dump(). */
int helper_check_leaks(uint64_t patience_ns);
/* Has it look for leaks and write a profile, soon. As helper_dump(). */
int helper_leaks_now(uint64_t patience_ns);
/* Ends it, and is back when the kernel has forgotten it; helper_resume() makes it anew. Does nothing where none runs, and at
 * most two seconds. True: helper_resume() is due. [any thread, not handlers] */
bool helper_pause(void);
void helper_resume(void);
/* Has `sig` sent to the calling thread a moment later. [handlers] False: there is no helper. */
bool helper_send_soon(int sig);
/* A profile called "signal", soon. [signal handler, any thread] */
void helper_ask_by_signal(void);
/* In a forked child: there is none. */
void helper_fork_child(void);
