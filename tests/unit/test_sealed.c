/* Tests of sealed.h: two writers never meet in a row, and nobody takes a row that is being written for a whole one. */
#include "t.h"

#include <pthread.h>

#include "sealed.h"

enum { WORDS = 14, WRITERS = 3, ROUNDS = 100000 };

struct row {
	_Atomic uint64_t number;
	uint64_t word[WORDS];
	_Atomic uint64_t again;
};

static struct row row;
static _Atomic uint64_t numbers, written;
static _Atomic uint32_t busy;

static void one_writes_at_a_time(void **state)
{
	uint64_t before, copy[WORDS];

	(void)state;
	memset(&row, 0, sizeof(row));
	assert_false(sealed_copy(&row.number, copy, row.word, sizeof(copy)));
	assert_true(sealed_begin(&row.number, &row.again, &before) && before == 0);
	assert_true(load_relaxed(&row.number) == LIVE_WRITING && load_relaxed(&row.again) == LIVE_WRITING);
	assert_false(sealed_begin(&row.number, &row.again, &before)); /* who comes meanwhile, in a handler too */
	assert_false(sealed_copy(&row.number, copy, row.word, sizeof(copy)));
	row.word[3] = 77;
	sealed_end(&row.number, &row.again, 5);
	assert_true(sealed_copy(&row.number, copy, row.word, sizeof(copy)) && copy[3] == 77);
	assert_true(load_relaxed(&row.again) == 5);
	assert_true(sealed_begin(&row.number, &row.again, &before) && before == 5);
	sealed_end(&row.number, &row.again, 6);
}

static void *write_often(void *unused)
{
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t n = add_relaxed(&numbers, 1) + 1, before;

		if (!sealed_begin(&row.number, &row.again, &before))
			continue;
		if (add_relaxed(&busy, 1) != 0)
			abort(); /* two at once */
		for (int k = 0; k < WORDS; k++)
			__atomic_store_n(&row.word[k], n, __ATOMIC_RELAXED);
		sub_relaxed(&busy, 1);
		sealed_end(&row.number, &row.again, n);
		add_relaxed(&written, 1);
	}
	return unused;
}

/* As a reader in another process goes through the row: in the order of its addresses, and but once. */
static bool looks_whole(uint64_t copy[WORDS + 2])
{
	for (int k = 0; k < WORDS + 2; k++)
		copy[k] = __atomic_load_n((uint64_t *)(void *)&row + k, __ATOMIC_ACQUIRE);
	return copy[0] && copy[0] == copy[WORDS + 1] && copy[0] != LIVE_WRITING;
}

static void torn_rows_are_known(void **state)
{
	uint64_t copy[WORDS + 2], whole = 0;
	pthread_t threads[WRITERS];

	(void)state;
	memset(&row, 0, sizeof(row));
	for (int i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_often, NULL), 0);
	while (load_relaxed(&numbers) < WRITERS * ROUNDS) {
		if (!looks_whole(copy))
			continue;
		whole++;
		for (int k = 1; k <= WORDS; k++)
			assert_int_equal(copy[k], copy[0]);
	}
	for (int i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_true(load_relaxed(&written) > 0 && looks_whole(copy));
	print_message("%llu of %d written, %llu seen whole\n", (unsigned long long)load_relaxed(&written),
	              WRITERS * ROUNDS, (unsigned long long)whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_writes_at_a_time),
		cmocka_unit_test(torn_rows_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
