/* Tests of the analyzer's database.c and view_database.c on the example: rows by time, each request's calls, as text. */
#include "t.h"

#include "buf.h"
#include "database.h"
#include "snapshot_build.h"
#include "view.h"
#include "view_database.h"

static void rows_by_time(void **state)
{
	struct database_rows rows = { 0 };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(database_rows(build_example(), &rows, &err), 0);
	assert_int_equal(rows.count, 2); /* the third has no call that is done */
	assert_string_equal(rows.rows[0].row->table, "log");
	assert_string_equal(rows.rows[1].row->table, "public.users");
	assert_int_equal(rows.rows[0].row->max_ns, 1200000000);
	assert_true(rows.rows[1].p50_ns <= rows.rows[1].p99_ns && rows.rows[1].p99_ns <= 15000);
	database_rows_done(&rows);
}

static void text_of(uint64_t request, uint64_t start_ns, uint64_t ns, bool all, const char *want)
{
	const struct model *m = build_example();
	struct buf out = { 0 };
	const struct view v = { &out, false };
	struct database_request r = { 0 };
	struct err err = { 0 };

	assert_int_equal(database_request(m, request, &r, &err), 0);
	view_database_request(&v, m, &r, start_ns, ns, all);
	buf_add_char(&out, '\0');
	assert_string_equal(out.data, want);
	database_request_done(&r);
	buf_done(&out);
}

static void requests(void **state)
{
	(void)state;
	text_of(4, 0, 1500000000, false, "            1.20 s in 1 database call: INSERT log 1.20 s\n");
	text_of(3, 0, 100, false, "            300 ns in 1 database call: SELECT public.users 300 ns (1 failed)\n");
	text_of(6, 5000, 9000, true,
	        "            3 us in 1 database call, 1 of them not done yet: BEGIN 3 us\n"
	        "                      3 us  BEGIN, after 200 ns (not done yet)\n");
	text_of(99, 0, 1, true, "");
}

/* The three longest in the order of their begins; with all of them, all. */
static void the_longest_calls(void **state)
{
	static const struct model_database_span more[] = {
		{ 1010, 50, 7, 0, 1, false, false }, { 1100, 9, 7, 0, 0, false, false },
		{ 1120, 60, 7, 0, 0, false, false }, { 1200, 9, 7, 0, 0, true, false },
		{ 1300, 9, 7, 0, 1, false, false },
	};
	static const char line[] = "            137 ns in 5 database calls, some at the same time: "
	                           "SELECT public.users 78 ns in 3 (1 failed), INSERT log 59 ns in 2\n";
	struct model m = *build_example();
	struct database_request r = { 0 };
	struct buf out = { 0 };
	const struct view v = { &out, false };
	struct err err = { 0 };

	(void)state;
	m.database.spans = (struct model_database_span *)(uintptr_t)more;
	m.database.span_count = ARRAY_LEN(more);
	assert_int_equal(database_request(&m, 7, &r, &err), 0);
	view_database_request(&v, &m, &r, 1000, 100, false);
	buf_add_char(&out, '\0');
	assert_memory_equal(out.data, line, sizeof(line) - 1);
	assert_string_equal(out.data + sizeof(line) - 1,
	                    "                     50 ns  INSERT log, after 10 ns\n"
	                    "                      9 ns  SELECT public.users, after 100 ns\n"
	                    "                     60 ns  SELECT public.users, after 120 ns\n");
	out.len = 0;
	view_database_request(&v, &m, &r, 1000, 100, true);
	buf_add_char(&out, '\0');
	assert_non_null(strstr(out.data, "9 ns  SELECT public.users, after 200 ns (failed)\n"));
	assert_non_null(strstr(out.data, "9 ns  INSERT log, after 300 ns\n"));
	database_request_done(&r);
	buf_done(&out);
}

/* Calls of one row are one use; uses are ordered by time. */
static void several_calls(void **state)
{
	static const struct model_database_span more[] = {
		{ 10, 5, 7, 0, 0, false, false },
		{ 20, 100, 7, 0, 1, false, false },
		{ 30, 6, 7, 1, 0, true, false },
		{ 40, 1, 8, 0, 0, false, false },
	};
	struct model m = *build_example();
	struct database_request r = { 0 };
	struct err err = { 0 };

	(void)state;
	m.database.spans = (struct model_database_span *)(uintptr_t)more;
	m.database.span_count = ARRAY_LEN(more);
	assert_int_equal(database_request(&m, 7, &r, &err), 0);
	assert_int_equal(r.span_count, 3);
	assert_int_equal(r.use_count, 2);
	assert_int_equal(r.ns, 111);
	assert_int_equal(r.failed, 1);
	assert_true(r.uses[0].row == &m.database.rows[1] && r.uses[0].calls == 1 && r.uses[0].ns == 100);
	assert_true(r.uses[1].calls == 2 && r.uses[1].ns == 11 && r.uses[1].failed == 1);
	database_request_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_by_time),
		cmocka_unit_test(requests),
		cmocka_unit_test(the_longest_calls),
		cmocka_unit_test(several_calls),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
