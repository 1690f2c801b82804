/* Tests of snapshot_name.c: what stands in the name of a profile. */
#include "t.h"

#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "snapshot_name.h"

static void names(void **state)
{
	static const struct {
		const char *comm, *start;
		uint32_t sequence;
		const char *end;
	} rows[] = {
		{ "server", "server", 1, "0001.exit" },
		{ "a b/c.d\n%", "a_b_c_d__", 99, "0099.exit" },
		{ "x:1@y+-_", "x:1@y+-_", 999, "0999.exit" },
		{ "fifteen-letters", "fifteen-letters", 12345, "12345.exit" },
	};
	char name[64], expected[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(prctl(PR_SET_NAME, rows[i].comm, 0, 0, 0), 0);
		(void)snprintf(expected, sizeof(expected), "%s.%d.%s", rows[i].start, getpid(), rows[i].end);
		snapshot_name(name, sizeof(name), rows[i].sequence, "exit");
		assert_string_equal(name, expected);
		expected[strlen(expected) - strlen(rows[i].end) - 1] = '\0';
		snapshot_name_start(name, sizeof(name));
		assert_string_equal(name, expected);
		snapshot_name_comm(name, sizeof(name));
		assert_string_equal(name, rows[i].comm);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
