/* CPU samples: an event per thread, a signal at each period of its CPU time, a stack in the handler.
 * Context    [init], the thread itself, or the helper, as each function says.
 * Errors     a thread that cannot be sampled is counted (cpu.thread_unsampled); the host goes on. */
#pragma once
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include "config.h"
#include "guard.h"
#include "snapshot_layout.h"

enum { SAMPLER_SIGNAL = SIGPROF };

struct sampler_engine {
	const char *name;   /* "perf_event", "timer", "off" */
	const char *why;    /* one sentence, or "" */
	uint64_t period_ns; /* of CPU time; 0: off */
};

/* What sampling itself took, and how well it kept time, since the start. */
struct sampler_figures {
	uint64_t most_ns;
	uint64_t range[SNAP_SAMPLER_RANGES];
};
/* The time in the handler, with what it waited for a processor; by how much CPU time between two samples was more or less than the
 * period. [any thread] */
void sampler_figures(struct sampler_figures *ret_handler, struct sampler_figures *ret_late);

/* Chooses the engine and installs the handler. [init] */
void sampler_init(const struct config *config);
const struct sampler_engine *sampler_engine(void);

/* The calling thread, which is attached, is sampled from now on. [thread] */
void sampler_thread_start(struct tls *t);
/* ... and no longer. [thread] */
void sampler_thread_stop(struct tls *t);
/* Around exec: off, with nothing pending; on again if it failed. [thread] */
void sampler_thread_pause(struct tls *t);
void sampler_thread_resume(struct tls *t);
/* Starts sampling of threads that existed before us. [init] */
void sampler_adopt_threads(void);
/* Has threads that ran on without a sample look after their event, which the program may have closed. [helper, about once a
 * second] */
void sampler_check(void);
/* Ends sampling for good: the process ends, or a child is not followed. [any thread] */
void sampler_stop_all(void);

/* As sampler_stop_all(), and no thread has an event any more; the caller is `t`. [thread] */
void sampler_disarm_all(struct tls *t);

/* Is the handler installed, so that the program must not block or replace the signal? [hook] */
bool sampler_uses_signal(void);
/* What the program wants done with the signal, when it is not one of ours. NULL act: only read. [hook] */
void sampler_app_action(const struct sigaction *act, struct sigaction *ret_old);

/* From now on samples are taken on a thread's alternate stack, where it has one. [hook] */
void sampler_use_alternate_stacks(void);

/* The program blocks the signal in the calling thread, as far as it knows; we do not, so one of its own is kept for it until
 * it unblocks or takes it. [hook] */
void sampler_app_blocks(struct tls *t, bool blocks);
/* The calling thread waits for the signal by sigwait(3) and its like, or no longer. True if one was kept: it is taken. [hook] */
bool sampler_app_waits(bool waits);
/* A wait of the program's took this signal: was it ours? Then sampling goes on, one sample later. [hook] */
bool sampler_swallow(const siginfo_t *info);

/* Called once from the next sample of each process: work that needs no particular thread, but a running one. [init] */
void sampler_on_first_sample(void (*fn)(void));

/* fork: the signal is held off, or a large process's fork would be restarted by it for ever. */
void sampler_fork_prepare(struct tls *t);
void sampler_fork_parent(struct tls *t);
void sampler_fork_child(void);                              /* before threads_fork_child() */
void sampler_fork_child_resume(struct tls *t, bool follow); /* after it */
