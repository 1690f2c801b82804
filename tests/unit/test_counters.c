/* Tests of counters.c: nothing is lost by growth, merging adds up, all are visited, a forked child forgets. */
#include "t.h"

#include "counters.h"

static struct counter *at(struct counters *c, uint32_t stack)
{
	struct counter *found = counters_at(c, counters_key(stack));

	assert_non_null(found);
	return found;
}

static void growth_keeps_every_count(void **state)
{
	struct counters c = { .now = NULL };

	(void)state;
	for (uint32_t round = 1; round <= 3; round++) {
		for (uint32_t stack = 0; stack < 5000; stack++)
			own_add(&at(&c, stack * 7)->alloc_count, stack + 1);
		for (uint32_t stack = 0; stack < 5000; stack++)
			assert_true(load_relaxed(&at(&c, stack * 7)->alloc_count) == (uint64_t)round * (stack + 1));
		counters_free_old(&c);
	}
	counters_done(&c);
}

static void merge_adds(void **state)
{
	struct counters to = { .now = NULL }, from = { .now = NULL };

	(void)state;
	for (uint32_t stack = 0; stack < 300; stack++) {
		own_add(&at(&from, stack)->alloc_count, 1);
		own_add(&at(&from, stack)->alloc_bytes, 10);
		own_add(&at(&from, stack)->cpu_samples, 3);
		if (stack % 2)
			own_add(&at(&to, stack)->alloc_bytes, 5);
	}
	assert_true(counters_merge(&to, &from, 0));
	for (uint32_t stack = 0; stack < 300; stack++) {
		assert_true(load_relaxed(&at(&to, stack)->alloc_bytes) == (stack % 2 ? 15u : 10u));
		assert_true(load_relaxed(&at(&to, stack)->cpu_samples) == 3);
	}
	counters_done(&to);
	counters_done(&from);
}

static void sum_up(void *context, const struct counter *counter)
{
	uint64_t *sums = context;

	sums[0]++;
	sums[1] += load_relaxed(&counter->key);
	sums[2] += load_relaxed(&counter->alloc_bytes);
}

static void each_visits_all_and_forgotten_ones_are_gone(void **state)
{
	struct counters c = { .now = NULL }, same;
	uint64_t sums[3] = { 0 };

	(void)state;
	for (uint32_t stack = 0; stack < 100; stack++)
		own_add(&at(&c, stack)->alloc_bytes, stack);
	counters_each(&c, sum_up, sums);
	assert_true(sums[0] == 100 && sums[1] == 5050 && sums[2] == 4950);
	same = c;
	counters_forget(&c);
	counters_each(&c, sum_up, sums);
	assert_true(sums[0] == 100);
	assert_true(load_relaxed(&at(&c, 7)->alloc_bytes) == 0);
	assert_true(load_relaxed(&at(&same, 7)->alloc_bytes) == 7); /* whosever they are now */
	counters_done(&c);
	counters_done(&same);
}

/* Peak: a row keeps what was live when the epoch began, once, however often it is touched. */
static void touch_keeps_the_epoch_start(void **state)
{
	struct counters c = { .now = NULL };
	struct counter *row = at(&c, 1);

	(void)state;
	counter_touch(row);
	own_add(&row->alloc_bytes, 100);
	assert_true(load_relaxed(&row->peak_bytes) == 0);
	add_relaxed(&counters_epoch_now, 1);
	counter_touch(row);
	own_add(&row->alloc_bytes, 50);
	counter_touch(row);
	assert_true(load_relaxed(&row->peak_bytes) == 100);
	counters_done(&c);
}

static struct counter_detail *detail(struct counters *c, uint32_t stack)
{
	struct counter *row = at(c, stack);

	return counter_detail_of(load_relaxed(&c->now), row);
}

/* Details go with their counters: through growth, into a sum, and lifetimes end with a fork. */
static void details_stay_with_their_counters(void **state)
{
	struct counters c = { .now = NULL }, sum = { .now = NULL };

	(void)state;
	for (uint32_t stack = 0; stack < 1000; stack++) {
		own_add(&at(&c, stack)->alloc_count, 1);
		own_add(&detail(&c, stack)->slop_bytes, (int64_t)stack - 500);
		own_add(&detail(&c, stack)->lifetime[stack % SNAP_LIFETIMES], stack + 1);
		store_relaxed(&at(&c, stack)->largest, stack + 7);
	}
	store_relaxed(&at(&sum, 3)->largest, 5000);
	for (unsigned round = 1; round <= 2; round++) {
		assert_true(counters_merge(&sum, &c, 0));
		for (uint32_t stack = 0; stack < 1000; stack++) {
			struct counter_detail *d = detail(&sum, stack);

			assert_true(load_relaxed(&d->slop_bytes) == (int64_t)round * ((int64_t)stack - 500));
			for (unsigned k = 0; k < SNAP_LIFETIMES; k++)
				assert_true(load_relaxed(&d->lifetime[k]) ==
				            (k == stack % SNAP_LIFETIMES ? round * (stack + 1) : 0));
			assert_true(load_relaxed(&at(&sum, stack)->largest) == (stack == 3 ? 5000 : stack + 7));
		}
	}
	counters_done(&c);
	counters_done(&sum);
}

static void lifetimes_fall_into_their_ranges(void **state)
{
	uint64_t end = SNAP_LIFETIME_NS;

	(void)state;
	assert_int_equal(counters_lifetime(0), 0);
	for (unsigned i = 0; i + 1 < SNAP_LIFETIMES; i++, end *= 4) {
		assert_int_equal(counters_lifetime(end - 1), i);
		assert_int_equal(counters_lifetime(end), i + 1);
	}
	assert_int_equal(counters_lifetime(UINT64_MAX), SNAP_LIFETIMES - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(growth_keeps_every_count),
		cmocka_unit_test(merge_adds),
		cmocka_unit_test(each_visits_all_and_forgotten_ones_are_gone),
		cmocka_unit_test(touch_keeps_the_epoch_start),
		cmocka_unit_test(details_stay_with_their_counters),
		cmocka_unit_test(lifetimes_fall_into_their_ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
