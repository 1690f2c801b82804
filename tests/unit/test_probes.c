/* Tests of probes.c, and of what the recorder makes of them: numbers are given once, and estimates add up. */
#include "t.h"

#include <math.h>
#include <pthread.h>

#include "config.h"
#include "probes.h"
#include "recorder.h"
#include "threads.h"

enum { MANY = 3000 };

static void numbers_are_given_once(void **state)
{
	struct probe_cache cache = { 0, 0 };
	static uint32_t got[MANY];
	static uint8_t seen[1 << 20];

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		memset(seen, 0, sizeof(seen));
		for (unsigned i = 0; i < MANY; i++) {
			got[i] = probes_take(&cache);
			assert_true(got[i] > 0 && got[i] < sizeof(seen) && !seen[got[i]]++);
			probes_at(got[i])->born_ns = got[i];
		}
		for (unsigned i = 0; i < MANY; i++) {
			assert_true(probes_at(got[i])->born_ns == got[i]);
			probes_give(&cache, got[i]);
		}
	}
	assert_true(cache.count < 200); /* the rest is for all */
}

/* One takes, the other gives: what the other collects comes back to the first. */
static void a_consumer_gives_back(void **state)
{
	struct probe_cache producer = { 0, 0 }, consumer = { 0, 0 };
	uint32_t highest = 0, first = 0;

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		uint32_t number = probes_take(&producer);

		if (i == MANY)
			first = highest;
		highest = number > highest ? number : highest;
		probes_give(&consumer, number);
	}
	assert_true(first > 0 && highest <= first); /* no new ones are made */
}

static void *take_and_give(void *unused)
{
	struct probe_cache cache = { 0, 0 };
	uint32_t mine[40];

	for (unsigned round = 0; round < 2000; round++) {
		for (unsigned i = 0; i < ARRAY_LEN(mine); i++) {
			mine[i] = probes_take(&cache);
			probes_at(mine[i])->born_ns = (uint64_t)&cache + i;
		}
		for (unsigned i = 0; i < ARRAY_LEN(mine); i++) {
			if (probes_at(mine[i])->born_ns != (uint64_t)&cache + i)
				return "somebody else had it too";
			probes_give(&cache, mine[i]);
		}
	}
	return unused;
}

static void threads_do_not_share_one(void **state)
{
	pthread_t thread[3];
	void *failed;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(thread); i++)
		assert_int_equal(pthread_create(&thread[i], NULL, take_and_give, NULL), 0);
	for (unsigned i = 0; i < ARRAY_LEN(thread); i++) {
		assert_int_equal(pthread_join(thread[i], &failed), 0);
		assert_null(failed);
	}
}

/* ---- through the recorder ----------------------------------------------------------------------------------------- */

static const void *address(uint64_t n)
{
	return (const void *)(UINT64_C(0x620000000000) + n * 64); /* never read: only a name */
}

static __attribute__((noinline)) void make(uint64_t n, size_t size)
{
	(void)recorder_wants(&tls_self, size);
	recorder_alloc(&tls_self, address(n), size, SNAP_FAMILY_MALLOC, __builtin_frame_address(0));
	__asm__ volatile("");
}

static __attribute__((noinline)) void drop(uint64_t n)
{
	recorder_free(&tls_self, address(n), SNAP_FAMILY_MALLOC, __builtin_frame_address(0));
	__asm__ volatile("");
}

struct told {
	uint64_t lifetimes;
	int64_t live_count, live_bytes;
};

static struct told told(void)
{
	struct counter_table *t = load_relaxed(&tls_self.thread->counters.now);
	const struct thread_heap *heap = threads_heap(tls_self.thread->record);
	struct told sum = { 0, load_relaxed(&heap->live_count), load_relaxed(&heap->live_bytes) };

	for (uint32_t i = 0; i <= t->mask; i++)
		for (unsigned k = 0; load_relaxed(&t->slot[i].key) && k < SNAP_LIFETIMES; k++)
			sum.lifetimes += load_relaxed(&counter_detail_of(t, &t->slot[i])->lifetime[k]);
	return sum;
}

static struct told run(uint64_t detail, unsigned blocks, uint64_t seed)
{
	struct config config = { .heap = HEAP_FULL, .detail = detail, .seed = seed };
	struct told before = { 0 }, after;

	recorder_init(&config);
	if (tls_self.thread) {
		tls_self.thread->random = tls_self.thread->probe_gap = 0;
		before = told();
	}
	for (unsigned i = 0; i < blocks; i++)
		make(i, 100 + i % 8);
	for (unsigned i = 0; i < blocks; i++)
		if (i % 4)
			drop(i);
	after = told();
	after.lifetimes -= before.lifetimes;
	after.live_count -= before.live_count;
	after.live_bytes -= before.live_bytes;
	for (unsigned i = 0; i < blocks; i += 4)
		drop(i);
	assert_true(told().live_count == before.live_count && told().live_bytes == before.live_bytes);
	return after;
}

static void every_block_is_counted_if_asked(void **state)
{
	struct told t;

	(void)state;
	t = run(1, 1000, 1);
	assert_int_equal(t.lifetimes, 750);
	assert_int_equal(t.live_count, 250);
	assert_int_equal(t.live_bytes, 125 * 100 + 125 * 104);
	t = run(0, 1000, 1);
	assert_true(t.lifetimes == 0 && t.live_count == 0 && t.live_bytes == 0);
}

/* Of n blocks one in 16 is followed and counts for 16: the deviation is 16 sqrt(n p (1 - p)), less for regular gaps.
 * (The stack's first 256 are behind it.) The blocks that stay are every fourth, a pattern that fixed gaps would miss. */
static void estimates_add_up(void **state)
{
	const double n = 20000, sigma = 16 * sqrt(n * 0.25 / 16), sigma_freed = 16 * sqrt(n * 0.75 / 16);
	double live = 0, freed = 0, bytes = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct told t = run(16, (unsigned)n, seed);

		assert_true(fabs((double)t.live_count - n / 4) < 4.5 * sigma);
		assert_true(fabs((double)t.lifetimes - n * 3 / 4) < 4.5 * sigma_freed);
		live += (double)t.live_count;
		freed += (double)t.lifetimes;
		bytes += (double)t.live_bytes;
	}
	assert_true(fabs(live / 20 - n / 4) < 3.5 * sigma / sqrt(20));
	assert_true(fabs(freed / 20 - n * 3 / 4) < 3.5 * sigma_freed / sqrt(20));
	assert_true(fabs(bytes / 20 - n / 4 * 102) < 3.5 * 102 * sigma / sqrt(20));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_given_once),   cmocka_unit_test(a_consumer_gives_back),
		cmocka_unit_test(threads_do_not_share_one), cmocka_unit_test(every_block_is_counted_if_asked),
		cmocka_unit_test(estimates_add_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
