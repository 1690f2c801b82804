#include "samples.h"

#include <string.h>

#include "losses.h"
#include "threads.h"

void samples_record(struct thread *th, const uintptr_t *pcs, size_t depth, uint64_t time_ns, uint16_t weight,
                    bool in_handler)
{
	uint32_t stack = stacks_intern(&th->cpu_memo, pcs, depth, in_handler);
	struct counter *c = counters_at(&th->counters, counters_key(stack));
	uint64_t head = load_relaxed(&th->ring_head); /* relaxed: only the owner writes */

	if (!c) {
		loss_add(LOSS_CPU_DROPPED, weight);
		return;
	}
	own_add(&c->cpu_samples, weight);
	if (!th->ring)
		return;
	if (head > th->ring_mask)
		loss_add(LOSS_CPU_RING, th->ring[head & th->ring_mask].weight);
	th->ring[head & th->ring_mask] = (struct sample){ time_ns, stack, (uint16_t)th->record, weight };
	store_release(&th->ring_head, head + 1); /* pairs with the acquire of the snapshot: the sample is complete */
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
