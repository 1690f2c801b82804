#include "samples.h"

#include <string.h>

#include "compiler.h"
#include "live.h"
#include "losses.h"
#include "threads.h"

static _Atomic unsigned ring_bits_max; /* 0: no samples are kept */
static _Atomic uint64_t window;        /* both may be set while samples come: late by one is no harm */

void samples_init(uint64_t ring_entries, uint64_t window_ns)
{
	unsigned bits = THREAD_FIRST_RING_BITS;

	while (UINT64_C(1) << bits < ring_entries && bits < THREAD_MAX_RING_BITS)
		bits++;
	store_relaxed(&window, window_ns);
	store_relaxed(&ring_bits_max, bits);
}

static _Atomic uintptr_t *place_for_old(struct thread *th)
{
	for (unsigned i = 0; i < THREAD_OLD_RINGS; i++)
		if (!load_acquire(&th->ring_old[i])) /* pairs with the exchange in threads.c */
			return &th->ring_old[i];
	return NULL;
}

/* The ring is full, or not there yet: 0, or the one to write to. */
static uintptr_t ring_next(struct thread *th, uintptr_t old, uint64_t head)
{
	unsigned bits = old ? (unsigned)(old & 4095) + 1 : THREAD_FIRST_RING_BITS;
	_Atomic uintptr_t *keep = place_for_old(th);
	struct ring from = ring_of(old), to;
	uintptr_t fresh;

	if (bits > load_relaxed(&ring_bits_max) || !keep)
		return old;
	to.sample = live_map(LIVE_RING, th->record, sizeof(struct sample) << bits);
	if (!to.sample)
		return old;
	fresh = (uintptr_t)to.sample | bits;
	to = ring_of(fresh);
	for (uint64_t i = old ? head - from.mask - 1 : head; i < head; i++)
		to.sample[i & to.mask] = from.sample[i & from.mask];
	live_activate(to.sample);
	if (old) {
		live_retire(from.sample);
		store_release(keep, old); /* pairs with the exchange in threads.c */
	}
	store_release(&th->ring, fresh); /* pairs with the acquire of the snapshot: it is complete */
	return fresh;
}

static struct sample *slot(uintptr_t word, uint64_t head)
{
	struct ring r = ring_of(word);

	return r.sample ? &r.sample[head & r.mask] : NULL;
}

static void keep(struct thread *th, const struct sample *s)
{
	uint64_t head = load_relaxed(&th->ring_head); /* relaxed: only the owner writes */
	uintptr_t word = load_relaxed(&th->ring);
	uint64_t keep_ns = load_relaxed(&window);
	struct sample *at = slot(word, head);

	if (UNLIKELY(!at || (at->time_ns && at->time_ns + keep_ns > s->time_ns)))
		at = slot(ring_next(th, word, head), head);
	if (!at)
		return; /* samples are counted by stack all the same */
	if (at->time_ns && at->time_ns + keep_ns > s->time_ns)
		loss_add(LOSS_CPU_RING, at->weight);
	*at = *s;
	store_release(&th->ring_head, head + 1); /* pairs with the acquire of the snapshot: the sample is complete */
}

void samples_record(struct thread *th, const uintptr_t *pcs, size_t depth, uint64_t time_ns, uint16_t weight,
                    bool in_handler)
{
	uint32_t stack = stacks_intern(&th->cpu_memo, pcs, depth, in_handler);
	struct counter *c = counters_at(&th->counters, counters_key(stack));

	if (!c) {
		loss_add(LOSS_CPU_DROPPED, weight);
		return;
	}
	own_add(&c->cpu_samples, weight);
	if (load_relaxed(&ring_bits_max))
		keep(th, &(struct sample){ time_ns, stack, (uint16_t)th->record, weight });
}

void samples_defer(struct thread *th, const uintptr_t *pcs, size_t depth, uint64_t time_ns, uint16_t weight)
{
	if (th->deferred_depth) {
		loss_add(LOSS_CPU_DEFERRED_FULL, weight);
		return;
	}
	memcpy(th->deferred_pcs, pcs, depth * sizeof(*pcs));
	th->deferred_ns = time_ns;
	th->deferred_weight = weight;
	signal_fence();
	th->deferred_depth = (uint32_t)depth;
}

void samples_flush(struct tls *t, struct thread *th)
{
	if (!guard_enter(t, GUARD_TABLE))
		return;
	if (th->deferred_depth) {
		samples_record(th, th->deferred_pcs, th->deferred_depth, th->deferred_ns, th->deferred_weight, false);
		signal_fence();
		th->deferred_depth = 0;
	}
	guard_leave(t, GUARD_TABLE);
}
