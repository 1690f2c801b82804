/* Tests of view_heap.c: ranges of lifetimes, and how they are told. */
#include "t.h"

#include "view_heap.h"

static void ranges_meet(void **state)
{
	(void)state;
	assert_true(lifetime_end_ns(0) == 1024);
	for (unsigned i = 1; i + 1 < SNAP_LIFETIMES; i++)
		assert_true(lifetime_end_ns(i) == 4 * lifetime_end_ns(i - 1));
	assert_true(lifetime_end_ns(SNAP_LIFETIMES - 1) == 0);
}

static const struct {
	const char *name, *line, *json;
	struct profile_heap heap;
} cases[] = {
	{ "nothing freed", "", "{\"largest_bytes\":5,\"slop_bytes\":3,\"lifetimes\":[]}", { 5, 3, { 0 } } },
	{ "all at once",
	  "  freed ones lived less than 1.02 us\n",
	  "{\"largest_bytes\":0,\"slop_bytes\":0,\"lifetimes\":[{\"from_ns\":0,\"below_ns\":1024,\"count\":7}]}",
	  { 0, 0, { 7 } } },
	{ "spread",
	  "  freed ones lived 1.02 us to 1.05 ms, half of them less than 4.1 us\n",
	  "{\"largest_bytes\":0,\"slop_bytes\":0,\"lifetimes\":[{\"from_ns\":1024,\"below_ns\":4096,\"count\":3},"
	  "{\"from_ns\":262144,\"below_ns\":1048576,\"count\":2}]}",
	  { 0, 0, { [1] = 2.6, [5] = 2 } } },
	{ "for ever",
	  "  freed ones lived more than 19h32m48s\n",
	  "{\"largest_bytes\":0,\"slop_bytes\":0,\"lifetimes\":[{\"from_ns\":70368744177664,\"below_ns\":null,"
	  "\"count\":1}]}",
	  { 0, 0, { [SNAP_LIFETIMES - 1] = 1 } } },
};

static void lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out = { 0 };
		struct view v = { &out, false };

		view_lifetime_line(&v, &cases[i].heap, 2);
		buf_add_char(&out, '\0');
		T_STR(cases[i].name, out.data, cases[i].line);
		buf_done(&out);
	}
}

static void objects(void **state)
{
	struct profile p = { .followed = true };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out = { 0 };
		struct json j;

		json_init(&j, &out);
		json_object_begin(&j);
		view_heap_json(&j, &p, &cases[i].heap);
		json_object_end(&j);
		buf_add_char(&out, '\0');
		T_STR(cases[i].name, out.data, cases[i].json);
		buf_done(&out);
	}
}

static void quantiles(void **state)
{
	const double lifetime[SNAP_LIFETIMES] = { [2] = 1, [3] = 2, [9] = 1 };

	(void)state;
	assert_int_equal(lifetime_quantile(lifetime, 0), 2);
	assert_int_equal(lifetime_quantile(lifetime, 0.25), 2);
	assert_int_equal(lifetime_quantile(lifetime, 0.5), 3);
	assert_int_equal(lifetime_quantile(lifetime, 1), 9);
}

/* What was not followed is not told as 0. */
static void what_is_not_known_is_left_out(void **state)
{
	const struct profile_heap h = { .largest = 100 };
	struct profile p = { .followed = false };
	struct buf out = { 0 };
	struct view v = { &out, false };

	(void)state;
	view_heap_text(&v, &p, &h);
	p.followed = true;
	view_heap_text(&v, &p, &h);
	buf_add_char(&out, '\0');
	assert_string_equal(out.data, ", largest 100 B, largest 100 B, slop 0 B");
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_meet),
		cmocka_unit_test(lines),
		cmocka_unit_test(objects),
		cmocka_unit_test(quantiles),
		cmocka_unit_test(what_is_not_known_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
