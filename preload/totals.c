#include "totals.h"

#include "counters.h"
#include "recorder.h"
#include "threads.h"

static void add_counters(struct totals *sum, const struct counters *c)
{
	const struct counter_table *t = load_acquire(&c->now); /* pairs with the release in counters.c grow() */

	for (uint32_t i = 0; t && i <= t->mask; i++) {
		const struct counter *at = &t->slot[i];

		if (!load_acquire(&at->key)) /* pairs with the release in counters_at */
			continue;
		sum->samples += load_relaxed(&at->cpu_samples);
		/* Frees first: what is counted meanwhile then only makes live larger, never negative. */
		sum->free_count += load_relaxed(&at->free_count);
		sum->free_bytes += load_relaxed(&at->free_bytes);
		sum->alloc_count += load_relaxed(&at->alloc_count);
		sum->alloc_bytes += load_relaxed(&at->alloc_bytes);
	}
}

/* A block may be freed by another thread than its own, and that one's counters be read later. */
static uint64_t less(uint64_t all, uint64_t freed)
{
	return all > freed ? all - freed : 0;
}

struct totals totals_count(void)
{
	uint64_t scale = recorder_mode == HEAP_SAMPLED ? RECORDER_COUNT_SCALE : 1;
	struct totals sum = { 0 };

	recorder_settle(); /* a forked child that has not counted what it inherited */
	add_counters(&sum, threads_lock_counters());
	for (const struct thread *th = threads_first(); th; th = th->next)
		add_counters(&sum, &th->counters);
	threads_unlock_counters();
	sum.live_count = less(sum.alloc_count, sum.free_count) / scale;
	sum.live_bytes = less(sum.alloc_bytes, sum.free_bytes);
	sum.alloc_count /= scale;
	sum.free_count /= scale;
	return sum;
}
