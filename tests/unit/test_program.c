/* Tests of program.c. That a program does not begin in libc is seen by the end-to-end tests: this one does. */
#include "t.h"

#include "program.h"

static void this_program_begins_in_libc(void **state)
{
	(void)state;
	assert_true(program_begins_in_libc());
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(this_program_begins_in_libc) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
