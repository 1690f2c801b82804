/* Per-stack counters of one thread. Only the owner writes, with plain stores; the snapshot reads while it does.
 * Context    [hook] and signal handlers of the owner under GUARD_TABLE; readers hold the snapshot lock.
 * Units      counts in 1/65536 in sampled mode and in whole numbers in full mode (recorder.h), bytes, samples. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "atomic.h"
#include "compiler.h"
#include "snapshot_layout.h"

struct counter {
	_Atomic uint64_t
	        key; /* 0 = free slot; else stack id + 1, in the low 32 bits; retired CPU rows add the thread above */
	_Atomic uint32_t epoch; /* of peak_*; older than counters_epoch(): what is live now was live then */
	uint32_t detail;        /* its place among the table's details, written before the key */
	_Atomic uint64_t alloc_count, alloc_bytes, free_count, free_bytes, temporary_count;
	_Atomic int64_t peak_count, peak_bytes; /* live at the start of `epoch`; a thread's part may be negative */
	_Atomic uint64_t cpu_samples;
	_Atomic uint64_t largest; /* bytes asked for by one allocation */
};

/* Of the blocks that probes.h follows, each for those it stands for. */
struct counter_detail {
	_Atomic int64_t slop_bytes; /* of live blocks; a thread's part may be negative */
	_Atomic uint64_t lifetime[SNAP_LIFETIMES];
};

/* At most half of the slots are used, and as many details follow them. */
struct counter_table {
	uint32_t mask, used;
	struct counter_table *older; /* replaced, kept until no reader can be in it */
	struct counter slot[];
};

struct counters {
	_Atomic(struct counter_table *) now;
	uint64_t made;  /* how often `now` was made anew: pointers to counters from before are no good. Owner only */
	uint32_t owner; /* in the live file: the thread's record, or LIVE_ENDED */
};

/* Whose they are from now on. Owner, or nobody runs. */
void counters_set_owner(struct counters *c, uint32_t owner);

static inline uint32_t counters_slot(uint64_t key)
{
	return (uint32_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 32); /* Fibonacci hashing, Knuth 6.4 */
}

/* The counter for `key`, made if need be. NULL without memory. Owner only. */
static ALWAYS_INLINE struct counter *counters_at(struct counters *c, uint64_t key);
struct counter *counters_find(struct counters *c, uint64_t key); /* not at its home */

/* The details of a counter in its table `t`: counters.now. Owner; readers likewise. */
static inline struct counter_detail *counter_detail_of(struct counter_table *t, const struct counter *c)
{
	return (struct counter_detail *)&t->slot[t->mask + 1] + c->detail;
}

/* Which range of SNAP_LIFETIMES. */
static inline unsigned counters_lifetime(uint64_t age_ns)
{
	unsigned bits =
	        64 - (unsigned)__builtin_clzll(age_ns / SNAP_LIFETIME_NS << 1 | 1); /* 1: below the first bound */
	unsigned range = bits / 2;

	return range < SNAP_LIFETIMES ? range : SNAP_LIFETIMES - 1;
}

static ALWAYS_INLINE struct counter *counters_at(struct counters *c, uint64_t key)
{
	struct counter_table *t = load_relaxed(&c->now); /* relaxed: only the owner writes */
	struct counter *at = LIKELY(t != NULL) ? &t->slot[counters_slot(key) & t->mask] : NULL;

	return LIKELY(at && load_relaxed(&at->key) == key) ? at : counters_find(c, key);
}

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
/* Adds up what all its stacks allocated. Reader. */
void counters_total(const struct counters *c, uint64_t *add_count, uint64_t *add_bytes);
/* Unmaps replaced tables (no reader, owner not in a hook or the reader itself), or all of them. */
void counters_free_old(struct counters *c);
void counters_done(struct counters *c);
/* In a forked child, whose parent's they were: as new, and nothing is unmapped. */
void counters_forget(struct counters *c);
