/* Tests of samples.c: a thread's ring begins small, doubles while samples of the window would be lost, and no further. */
#include "t.h"

#include "losses.h"
#include "samples.h"
#include "threads.h"

enum { SECOND = 1000000000, FIRST = 1 << THREAD_FIRST_RING_BITS };

static void take(struct thread *th, uint64_t n, uint64_t from_ns, uint64_t step_ns)
{
	const uintptr_t pcs[] = { 0x1000, 0x2000 };

	for (uint64_t i = 0; i < n; i++)
		samples_record(th, pcs, 2, from_ns + i * step_ns, 1, false);
}

static uint64_t entries(const struct thread *th)
{
	return ring_of(load_relaxed(&th->ring)).mask + 1;
}

static uint64_t lost(void)
{
	return load_relaxed(&losses_count[LOSS_CPU_RING]);
}

/* The newest n samples stand where their numbers say. */
static void newest_are_there(const struct thread *th, uint64_t n, uint64_t last_ns, uint64_t step_ns)
{
	struct ring r = ring_of(load_relaxed(&th->ring));
	uint64_t head = load_relaxed(&th->ring_head);

	for (uint64_t i = 1; i <= n; i++)
		assert_true(r.sample[(head - i) & r.mask].time_ns == last_ns - (i - 1) * step_ns);
}

static void rings_grow_as_they_are_used(void **state)
{
	static struct thread busy, idle;
	uint64_t before = lost(), start = 100 * (uint64_t)SECOND;

	(void)state;
	samples_init(4 * FIRST - 10, 10 * (uint64_t)SECOND);
	assert_true(load_relaxed(&busy.ring) == 0); /* none before the first sample */
	take(&busy, FIRST, start, 1000);
	assert_true(entries(&busy) == FIRST);
	take(&busy, 1, start + FIRST * 1000, 1000);
	assert_true(entries(&busy) == 2 * FIRST && lost() == before);
	newest_are_there(&busy, FIRST + 1, start + FIRST * 1000, 1000);
	take(&busy, 3 * FIRST - 1, start + (FIRST + 1) * 1000, 1000);
	assert_true(entries(&busy) == 4 * FIRST && lost() == before);
	newest_are_there(&busy, 4 * FIRST, start + (4 * FIRST - 1) * 1000, 1000);
	take(&busy, 5, start + 4 * FIRST * 1000, 1000); /* as large as it gets: the oldest are lost, and counted */
	assert_true(entries(&busy) == 4 * FIRST && lost() == before + 5);
	newest_are_there(&busy, 4 * FIRST, start + (4 * FIRST + 4) * 1000, 1000);

	before = lost();
	take(&idle, 3 * FIRST, start, SECOND); /* what is overwritten is older than the window */
	assert_true(entries(&idle) == FIRST && lost() == before);
	newest_are_there(&idle, FIRST, start + (3 * FIRST - 1) * (uint64_t)SECOND, SECOND);
}

/* From a head that is no multiple of the ring's size: the thread was slow at first, then busy. */
static void growing_in_the_middle_keeps_the_order(void **state)
{
	static struct thread th;
	uint64_t start = 100 * (uint64_t)SECOND, busy = start + 1000 * (uint64_t)SECOND;

	(void)state;
	samples_init(4 * FIRST, 10 * (uint64_t)SECOND);
	take(&th, FIRST + 77, start, SECOND);
	assert_true(entries(&th) == FIRST);
	take(&th, 2 * FIRST, busy, 1000);
	assert_true(entries(&th) == 2 * FIRST);
	newest_are_there(&th, 2 * FIRST, busy + (2 * FIRST - 1) * 1000, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rings_grow_as_they_are_used),
		cmocka_unit_test(growing_in_the_middle_keeps_the_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
