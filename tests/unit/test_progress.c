/* Tests of progress.c: what the block says, that no line is wider than the terminal, and that it takes itself away. */
#include "t.h"

#include "buf.h"
#include "catalog.h"
#include "progress.h"
#include "series.h"
#include "threshold.h"
#include "units.h"

static void fill(struct series_set *set)
{
	const struct series_tag tags[] = { { "name", "x" }, { "error", "timeout" }, { "status", "0" } };
	struct series *s = series_get(set, "http_req_response_time", SERIES_TREND, SERIES_TIME, tags, 1);

	for (uint64_t i = 1; i <= 100; i++)
		histogram_record(&s->trend, i * NS_PER_MS);
	series_get(set, "http_req_failed", SERIES_RATE, SERIES_DEFAULT, tags, 3)->yes = 7;
}

static void what_it_says(void **state)
{
	struct series_set all = { 0 };
	struct buf out = { 0 };
	struct progress p = { .elapsed_ns = 90 * NS_PER_S,
		              .duration_ns = 120 * NS_PER_S,
		              .attempts = 1000,
		              .failures = 7,
		              .in_flight = 3,
		              .users = 4,
		              .rate = 12345,
		              .all = &all,
		              .slice = &all,
		              .columns = 200 };
	unsigned lines = 0;

	(void)state;
	fill(&all);
	progress_draw(&p, 0, &out, &lines);
	assert_false(out.failed);
	assert_int_equal(lines, 6);
	assert_non_null(strstr(out.data, "0:01:30"));
	assert_non_null(strstr(out.data, "75 %  30.0 s left"));
	assert_non_null(strstr(out.data, "12345/s  1000 requests, 7 failed (0.70 %)"));
	assert_non_null(strstr(out.data, "4   users, 3 requests under way"));
	assert_non_null(strstr(out.data, "errors   timeout 7"));
	assert_non_null(strstr(out.data, " max 100"));
	assert_null(strstr(out.data, "\033[31m"));
	p.colour = true;
	buf_clear(&out);
	progress_draw(&p, lines, &out, &lines);
	assert_true(strncmp(out.data, "\033[6A\r", 5) == 0);
	assert_non_null(strstr(out.data, "\033[31m"));
	buf_clear(&out);
	progress_line(&p, &out);
	assert_non_null(strstr(out.data, "0:01:30, 75 %: 1000 requests"));
	assert_ptr_equal(strchr(out.data, '\n'), out.data + out.len - 1);
	buf_clear(&out);
	progress_clear(6, &out);
	assert_string_equal(out.data, "\033[6A\r\033[J");
	buf_done(&out);
	series_set_done(&all);
}

/* Also with a name that would steer the terminal. */
static void no_line_is_too_wide(void **state)
{
	struct series_set all = { 0 };
	struct buf out = { 0 };
	struct thresholds ts = { 0 };
	struct catalog *c = catalog_new();
	struct progress p = {
		.elapsed_ns = NS_PER_S, .of = 1000, .attempts = 10, .all = &all, .slice = &all, .thresholds = &ts
	};

	(void)state;
	fill(&all);
	assert_int_equal(thresholds_add(&ts, c, "http_req_duration{name:\033[2J}: max<1", NULL), 0);
	ts.items[0].failed = ts.items[0].known = true;
	for (p.columns = 2; p.columns < 150; p.columns++) {
		unsigned lines = 0;
		size_t width = 0;

		buf_clear(&out);
		progress_draw(&p, 0, &out, &lines);
		assert_false(out.failed);
		assert_null(strstr(out.data, "\033[2J"));
		for (const char *at = out.data + 1; *at; at++) {
			if (*at == '\033') { /* of the block itself: "\033[K" and "\033[J" */
				at += 2;
				continue;
			}
			width = *at == '\r' ? 0 : *at == '\n' ? 0 : width + 1;
			assert_true(width < p.columns);
		}
		assert_int_equal(lines, 7);
	}
	thresholds_done(&ts);
	catalog_free(c);
	series_set_done(&all);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_it_says),
		cmocka_unit_test(no_line_is_too_wide),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
