/* The list of ranges that are ours: none is lost, none stays. */
#include <pthread.h>

#include "os_linux.h"
#include "t.h"

enum { RANGES = 300, THREADS = 4, ROUNDS = 2000 };

static const void *wanted;
static unsigned times;

static void see(void *context, uintptr_t start, uintptr_t end)
{
	(void)context;
	times += start == (uintptr_t)wanted && end == start + 4096;
}

static unsigned listed(const void *at)
{
	wanted = at;
	times = 0;
	assert_true(os_own_each(see, NULL));
	return times;
}

static void every_mapping_is_listed_once(void **state)
{
	void *at[RANGES];

	(void)state;
	for (unsigned i = 0; i < RANGES; i++)
		assert_non_null(at[i] = os_map(4096));
	for (unsigned i = 0; i < RANGES; i++)
		assert_int_equal(listed(at[i]), 1);
	for (unsigned i = 0; i < RANGES; i += 3)
		os_unmap(at[i], 4096);
	for (unsigned i = 0; i < RANGES; i++)
		assert_int_equal(listed(at[i]), i % 3 != 0);
	for (unsigned i = 0; i < RANGES; i++)
		if (i % 3 == 0)
			assert_non_null(at[i] = os_map(4096));
	for (unsigned i = 0; i < RANGES; i++) {
		assert_int_equal(listed(at[i]), 1);
		os_unmap(at[i], 4096);
	}
}

static void *map_and_unmap(void *kept)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		void *at = os_map(4096);

		os_unmap(at, 4096);
	}
	*(void **)kept = os_map(4096);
	return NULL;
}

static void threads_lose_none(void **state)
{
	pthread_t thread[THREADS];
	void *kept[THREADS];

	(void)state;
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, map_and_unmap, &kept[i]), 0);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(listed(kept[i]), 1);
		os_unmap(kept[i], 4096);
		assert_int_equal(listed(kept[i]), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_mapping_is_listed_once),
		cmocka_unit_test(threads_lose_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
