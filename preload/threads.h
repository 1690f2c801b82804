/* What the recorder keeps for each thread, and the list of threads that were seen.
 * Context    [hook] unless said otherwise.
 * Ownership  a struct thread belongs to one live thread; it is never unmapped, and is used again after its thread ended
 *            and its counters were merged. Records (tid, name, times) are kept for the snapshot. When they run out, threads
 *            share one for each name, of the last THREADS_GROUPS, and then record 0. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "capture.h"
#include "counters.h"
#include "guard.h"
#include "http.h"
#include "lock.h"
#include "probes.h"
#include "stacks.h"

enum { THREADS_MAX_RECORDS = 4096, THREADS_GROUPS = 64, THREAD_NAME_BYTES = 16 };

struct thread_record {
	pid_t tid;
	char name[THREAD_NAME_BYTES]; /* at its end; a live thread's is asked for */
	uint64_t start_ns, end_ns;    /* end 0: alive */
	uint64_t cpu_ns;              /* at its end */
	bool group;                   /* threads of one name; tid 0, never ends */
};

/* What the threads of one record did with the heap, where it is not in the counters of one that lives. */
struct thread_heap {
	_Atomic uint64_t ended_count, ended_bytes; /* allocated by those that have ended; counters_lock held */
	_Atomic int64_t live_count, live_bytes;    /* allocated by them and still alive: of probes, by whoever frees */
};

/* One CPU sample with its time, in a thread's ring. */
struct sample {
	uint64_t time_ns;
	uint32_t stack;
	uint16_t record, weight;
};

/* A thread's ring begins small and doubles while samples of the window would be overwritten. Pages are aligned, so the low
 * bits of its address hold the logarithm of its entries. */
struct ring {
	struct sample *sample;
	uint64_t mask;
};
enum { THREAD_FIRST_RING_BITS = 8, THREAD_MAX_RING_BITS = 20, THREAD_OLD_RINGS = 16 };

static inline struct ring ring_of(uintptr_t word)
{
	return (struct ring){ (struct sample *)(word & ~(uintptr_t)4095), (UINT64_C(1) << (word & 4095)) - 1 };
}

static inline size_t ring_bytes(uintptr_t word)
{
	return sizeof(struct sample) << (word & 4095);
}

/* A block that was freed lately (misuse.h). */
struct freed {
	_Atomic uint64_t address, caller;
};
enum { THREAD_FREED = 256 };

/* What the last answer of this thread was, and its row of routes; NULL: none. */
struct request_route;
enum { ROUTE_MEMO_PATH = 64 };
struct route_memo {
	struct request_route *row;
	uint16_t status;
	uint8_t method, cut, path_bytes;
	char path[ROUTE_MEMO_PATH];
};

enum thread_use { THREAD_FREE, THREAD_LIVE, THREAD_ENDED /* counters not merged yet */ };

struct thread {
	struct thread *next; /* list of all; written before publication */
	_Atomic uint32_t use;
	pid_t tid;
	uint32_t record;
	uintptr_t stack_lo, stack_hi;

	/* recorder.c */
	uint64_t last_seq; /* tls.allocs at the last allocation that was stored */
	const void *last_alloc;
	int64_t pending, pending_high; /* live bytes not added to the process's total yet, and their highest value */
	uint64_t probe_gap;            /* allocations until the next probe */
	struct counters counters;
	_Atomic uint32_t freed_head; /* misuse.c: frees so far; the next goes to freed[freed_head % THREAD_FREED] */
	uint32_t deferred_depth;     /* samples.c: of deferred_pcs: a sample that fell into the recorder; 0 = none */
	struct capture capture;
	uint64_t random;
	struct probe_cache probes; /* its next owner's too */

	/* A block that realloc() is moving, and which is in no table meanwhile: for the leak check (leaks.c). 0: none is. */
	_Atomic uintptr_t moving;
	_Atomic size_t moving_bytes;

	/* misuse.c */
	struct freed freed[THREAD_FREED];

	/* samples.c */
	_Atomic uintptr_t ring;                       /* struct ring as one word; 0: none */
	_Atomic uintptr_t ring_old[THREAD_OLD_RINGS]; /* replaced, kept until no reader can be in them */
	_Atomic uint64_t ring_head;                   /* samples ever written; the slot is head & mask */
	struct stack_memo cpu_memo;
	uintptr_t cpu_pcs[STACKS_MAX_DEPTH];
	uint16_t deferred_weight;
	uint64_t deferred_ns;
	uintptr_t deferred_pcs[STACKS_MAX_DEPTH];

	/* requests.c; written by the owner, but for http_last and http_ended */
	_Atomic uint64_t http_now, http_since; /* the request it works on; 0: none */
	_Atomic uint32_t http_shared;          /* struct request_span */
	_Atomic uint64_t http_start;           /* when the request in http_last began */
	_Atomic uint64_t http_last;            /* the last one it worked on that is not answered */
	_Atomic uint32_t http_connections;  /* that it read a request from and that wait for an answer, and those in: */
	_Atomic uint32_t http_ended;        /* of them: which others have answered */
	uint64_t http_samples;              /* ring_head at http_since */
	struct http_memo http_in, http_out; /* sockets.c: heads that came before; its next owner's too */
	struct route_memo http_route;       /* requests.c: the last answer's; likewise */
	uint32_t http_spare;                /* a number for its next request; its next owner's too. 0: none */
	bool http_told;                     /* the program said so (perfprobe_adopt): a wait does not end it */

	/* offcpu.c; the helper's */
	uint64_t offcpu_looked_ns, offcpu_cpu_ns, offcpu_due_ns; /* the last look; 0: none */
	uint32_t offcpu_stack;                                   /* where it waited then; 0: it ran */
	uint32_t offcpu_record;                                  /* whose it was then */

	/* database.c; written by the owner */
	_Atomic uint64_t database_since, database_request; /* the database call it is in */
	_Atomic uint32_t database_row;                     /* 0: none */

	/* sampler.c */
	_Atomic int perf_fd; /* -1: none */
	uint64_t perf_id;
	void *perf_ring;              /* kernel_frames.h; NULL: none */
	int timer_id;                 /* kernel timer; -1: none */
	bool sampled;                 /* an engine was armed for this thread */
	bool first_sample;            /* the next sample is the first: its period was random */
	bool perf_first;              /* the event still has its random first period */
	_Atomic uint64_t cpu_seen_ns; /* CPU time of the thread at the last sample; relaxed: the helper reads it */
	uint64_t cpu_checked_ns;      /* ... when the helper looked last */
	int64_t cpu_due_ns;           /* CPU time not yet paid for by samples, less than half a period either way */
};

/* Connections that it read a request from and that wait for an answer. [any thread: a figure of this moment] */
static inline uint32_t threads_connections(const struct thread *th)
{
	uint32_t ended = load_relaxed(&th->http_ended), all = load_relaxed(&th->http_connections);

	return all > ended ? all - ended : 0;
}

/* A struct thread for the calling thread, now in t->thread; its stack, or 0, 0: not known (the main thread's is). NULL without memory (counted). */
struct thread *threads_attach(struct tls *t, uintptr_t stack_lo, uintptr_t stack_hi);
/* A struct thread for a thread that existed before us; it finds it by its tid when it first needs one. NULL without
 * memory (counted). [init] */
struct thread *threads_adopt(pid_t tid);
/* The calling thread ends: its counters join those of ended threads. Sampling is off for it already. */
void threads_end(struct tls *t);

/* The calling thread's struct thread; for one past its end the shared one, locked until threads_leave(). May be NULL. */
struct thread *threads_enter_slowly(struct tls *t);
void threads_leave_late(struct thread *th);

static ALWAYS_INLINE struct thread *threads_enter(struct tls *t)
{
	return LIKELY(t->thread != NULL) ? t->thread : threads_enter_slowly(t);
}

static ALWAYS_INLINE void threads_leave(struct tls *t, struct thread *th)
{
	if (UNLIKELY(t->thread != th))
		threads_leave_late(th);
}

/* All, in no order; stays valid. [any thread] */
struct thread *threads_first(void);
/* The one whose owner has this tid, or NULL. */
struct thread *threads_find(pid_t tid);

uint32_t threads_record_count(void);
/* Copy of record `i`, with the present name and CPU time of a live thread. [any thread; system calls] */
struct thread_record threads_record(uint32_t i);

/* Of record `i`; NULL: nothing was added to any yet. */
struct thread_heap *threads_heap(uint32_t i);
/* To add to it; NULL without memory: threads are not told apart. Not before it is needed: the first table makes the live file. */
struct thread_heap *threads_heap_make(uint32_t i);

/* Calls `visit` with every stack that a thread ended on and that none is known to have taken over: what libc keeps for the
 * next, with all that the last one left there. `tp`: where its thread pointer led. Nobody else runs, or may be missed. */
void threads_each_dead_stack(void (*visit)(void *context, uintptr_t lo, uintptr_t tp, uintptr_t hi), void *context);

/* Counters of ended threads, and the right to read all counters: taken by the snapshot. [any thread but hooks] */
const struct counters *threads_lock_counters(void);
/* Merges what ended meanwhile and gives back memory that no reader can be in. */
void threads_unlock_counters(void);

/* Counters of ended threads, for who is sure that nobody else runs. */
struct counters *threads_ended_counters(void);
/* In a forked child that has counted what it inherited: it belongs to record 0; so much of it is probes. One thread runs. */
void threads_settled(int64_t live_count, int64_t live_bytes);

/* Around fork(): prepare in the parent, then done in the parent; child in the child, where only the caller lives on. It begins
 * without counters and samples; `forget`: they are in its parent's memory, and not to be unmapped. */
void threads_fork_prepare(void);
void threads_fork_parent(void);
void threads_fork_child(struct tls *t, bool forget);
