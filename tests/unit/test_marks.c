/* Tests of marks.c: names are cut, the newest are kept. */
#include "t.h"

#include "losses.h"
#include "marks.h"

static void test_newest_are_kept(void **state)
{
	static const char long_name[] = "0123456789012345678901234567890123456789012345678901234567890123456789";
	struct mark m;

	(void)state;
	marks_fork_child();
	assert_false(marks_get(0, &m));
	marks_add(long_name, 7);
	assert_int_equal(marks_count(), 1);
	assert_true(marks_get(0, &m));
	assert_int_equal(strlen(m.name), MARK_NAME_BYTES - 1);
	assert_memory_equal(m.name, long_name, MARK_NAME_BYTES - 1);
	assert_true(m.thread == 7 && m.time_ns > 0);
	for (unsigned i = 0; i < MARKS_MAX; i++)
		marks_add("", i);
	assert_int_equal(marks_count(), MARKS_MAX + 1);
	assert_false(marks_get(0, &m));
	assert_true(marks_get(1, &m) && m.thread == 0 && m.name[0] == '\0');
	assert_true(marks_get(MARKS_MAX, &m) && m.thread == MARKS_MAX - 1);
	assert_false(marks_get(MARKS_MAX + 1, &m));
	assert_int_equal(load_relaxed(&losses_count[LOSS_MARKS]), 1);
	marks_fork_child();
	assert_int_equal(marks_count(), 0);
	assert_false(marks_get(1, &m));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_newest_are_kept) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
