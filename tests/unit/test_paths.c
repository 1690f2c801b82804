#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "paths.h"

static void equal_paths_are_one(void **state)
{
	struct paths t = { 0 };
	int64_t a, b;

	(void)state;
	a = paths_add(&t, 0, 7);
	b = paths_add(&t, (uint32_t)a, 7);
	assert_int_equal(a, 1);
	assert_int_equal(b, 2);
	assert_int_equal(paths_add(&t, 0, 7), a);
	assert_int_equal(paths_add(&t, (uint32_t)a, 7), b);
	assert_int_equal(paths_add(&t, (uint32_t)b, 7), 3);
	assert_int_equal(t.count, 3);
	assert_int_equal(t.nodes[2].parent, 1);
	assert_int_equal(t.nodes[2].item, 7);
	paths_done(&t);
	assert_null(t.nodes);
}

/* Against what must come out: a number that says how it was made. With growing, and with room made before. */
static void many(void **state)
{
	enum { WIDE = 700, DEEP = 300 };

	(void)state;
	for (int reserved = 0; reserved < 2; reserved++) {
		struct paths t = { 0 };

		paths_expect(&t, 1, 2); /* harmless while there is nothing */
		if (reserved)
			assert_int_equal(paths_reserve(&t, WIDE * DEEP), 0);
		for (int again = 0; again < 2; again++)
			for (uint32_t i = 0; i < WIDE; i++)
				for (uint32_t k = 0, at = 0; k < DEEP; k++) {
					int64_t n = paths_add(&t, at, k == 0 ? i : k);

					assert_int_equal(n, i * DEEP + k + 1);
					paths_expect(&t, at, k);
					at = (uint32_t)n;
				}
		assert_int_equal(t.count, WIDE * DEEP);
		for (size_t i = 1; i <= t.count; i++)
			assert_true(t.nodes[i].parent < i && (t.nodes[i].parent == 0) == (i % DEEP == 1));
		paths_done(&t);
	}
}

/* Pairs of numbers that are no paths. */
static void any_pairs(void **state)
{
	struct paths t = { 0 };

	(void)state;
	assert_int_equal(paths_add(&t, UINT32_MAX, UINT32_MAX), 1);
	assert_int_equal(paths_add(&t, UINT32_MAX, 0), 2);
	assert_int_equal(paths_add(&t, 0, UINT32_MAX), 3);
	assert_int_equal(paths_add(&t, UINT32_MAX, UINT32_MAX), 1);
	assert_int_equal(paths_reserve(&t, UINT32_MAX), -12); /* -ENOMEM */
	assert_int_equal(paths_add(&t, UINT32_MAX, 0), 2);
	paths_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_paths_are_one),
		cmocka_unit_test(many),
		cmocka_unit_test(any_pairs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
