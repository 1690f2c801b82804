/* Per-stack counters of one thread. Only the owner writes, with plain stores; the snapshot reads while it does.
 * Context    [hook] and signal handlers of the owner under GUARD_TABLE; readers hold the snapshot lock.
 * Units      counts in 1/65536 in sampled mode and in whole numbers in full mode (recorder.h), bytes, samples. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "atomic.h"

struct counter {
	_Atomic uint64_t
	        key; /* 0 = free slot; else stack id + 1, in the low 32 bits; retired CPU rows add the thread above */
	_Atomic uint32_t epoch; /* of peak_*; older than counters_epoch(): what is live now was live then */
	uint32_t unused;
	_Atomic uint64_t alloc_count, alloc_bytes, free_count, free_bytes, temporary_count;
	_Atomic int64_t peak_count, peak_bytes; /* live at the start of `epoch`; a thread's part may be negative */
	_Atomic uint64_t cpu_samples;
};

struct counter_table {
	uint32_t mask, used;
	struct counter_table *older; /* replaced, kept until no reader can be in it */
	struct counter slot[];
};

struct counters {
	_Atomic(struct counter_table *) now;
	struct counter *last; /* in `now`: what the owner asked for last, and mostly asks for again */
	uint32_t owner;       /* in the live file: the thread's record, or LIVE_ENDED */
};

/* Whose they are from now on. Owner, or nobody runs. */
void counters_set_owner(struct counters *c, uint32_t owner);

/* The counter for `key`, made if need be. NULL without memory. Owner only. */
struct counter *counters_at(struct counters *c, uint64_t key);

static inline uint64_t counters_key(uint32_t stack)
{
	return (uint64_t)stack + 1;
}

/* The newest peak's number; changes whenever the process's live bytes pass the highest so far by 1/64. */
extern _Atomic uint32_t counters_epoch_now __attribute__((visibility("hidden")));

/* Before the first change in a new epoch, keep what was live at its start. Owner only. */
static inline void counter_touch(struct counter *c)
{
	uint32_t epoch = load_relaxed(&counters_epoch_now); /* relaxed: late by an event is within the stated error */

	if (load_relaxed(&c->epoch) != epoch) {
		store_relaxed(&c->peak_count, (int64_t)(load_relaxed(&c->alloc_count) - load_relaxed(&c->free_count)));
		store_relaxed(&c->peak_bytes, (int64_t)(load_relaxed(&c->alloc_bytes) - load_relaxed(&c->free_bytes)));
		store_relaxed(&c->epoch, epoch);
	}
}

/* Adds `from` to `to` (owner of `to`; nobody changes `from`), CPU samples only under `cpu_thread` if it is not 0:
 * then they go to the row of that thread. False without memory: something was not added. */
bool counters_merge(struct counters *to, const struct counters *from, uint32_t cpu_thread);
/* Calls `visit` with every counter. Nobody changes them. */
void counters_each(const struct counters *c, void (*visit)(void *context, const struct counter *counter),
                   void *context);
/* Unmaps replaced tables (no reader, owner not in a hook or the reader itself), or all of them. */
void counters_free_old(struct counters *c);
void counters_done(struct counters *c);
/* In a forked child, whose parent's they were: as new, and nothing is unmapped. */
void counters_forget(struct counters *c);
