/* Tests of schedule.c: ends, shares that add up, batches that empty the store exactly. */
#include "t.h"

#include "schedule.h"

static void ends(void **state)
{
	const struct schedule ten = { .duration_ns = 10 }, number = { .attempts = 5 },
	                      huge = { .duration_ns = UINT64_MAX };

	(void)state;
	assert_int_equal(schedule_end_ns(&ten, 100), 110);
	assert_true(schedule_end_ns(&number, 100) == UINT64_MAX);
	assert_true(schedule_end_ns(&huge, 100) == UINT64_MAX);
}

static void shares_add_up_and_differ_by_one(void **state)
{
	(void)state;
	for (uint64_t total = 0; total < 70; total++) {
		for (uint64_t parts = 1; parts < 20; parts++) {
			uint64_t sum = 0;

			for (uint64_t i = 0; i < parts; i++) {
				uint64_t share = schedule_share(total, parts, i);

				assert_true(share == total / parts || share == total / parts + 1);
				sum += share;
			}
			assert_int_equal(sum, total);
		}
	}
}

static void batches_empty_the_store(void **state)
{
	static const uint64_t totals[] = { 1, 2, 63, 64, 1000, 123457 }, workers[] = { 1, 2, 7, 256 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(totals); i++) {
		for (size_t j = 0; j < ARRAY_LEN(workers); j++) {
			uint64_t left = totals[i];

			while (left > 0) {
				uint64_t batch = schedule_batch(left, workers[j]);

				assert_true(batch >= 1 && batch <= left && batch <= 256);
				/* One worker's batch leaves the others theirs. */
				assert_true(batch == 1 || batch * workers[j] <= left / 8);
				left -= batch;
			}
		}
	}
	assert_int_equal(schedule_batch(0, 3), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends),
		cmocka_unit_test(shares_add_up_and_differ_by_one),
		cmocka_unit_test(batches_empty_the_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
