/* Tests of by_thread.c: sums, order, and what becomes one row. */
#include "t.h"

#include <errno.h>

#include "by_thread.h"
#include "model.h"
#include "snapshot_build.h"

static struct model_thread threads[] = {
	{ 10, "main", 1, 0, 0 },   { 11, "worker", 1, 5, 0 }, { 12, "worker", 1, 6, 0 },
	{ 13, "worker", 1, 0, 0 }, { 0, "worker", 1, 0, 0 },  { 14, "idle", 1, 0, 0 },
};
static struct model_heap_thread heap[] = {
	{ 0, 1, 1, 500, 500 }, { 1, 2, 1, 200, 100 }, { 2, 4, 2, 400, 300 }, { 3, 8, 8, 50, 50 }, { 4, 16, 1, 100, 20 },
};
static struct model_cpu_row off[] = { { 1, 3, 70 }, { 2, 1, 5 }, { 2, 2, 6 }, { 3, 5, 1 } };
static struct model_cpu_row cpu[] = { { 0, 1, 5 }, { 1, 0, 3 }, { 1, 2, 4 } };

static struct model model(void)
{
	struct model m = *build_example();

	m.threads = threads;
	m.thread_count = ARRAY_LEN(threads);
	m.heap_threads = heap;
	m.heap_thread_count = ARRAY_LEN(heap);
	m.cpu = cpu;
	m.cpu_count = ARRAY_LEN(cpu);
	m.offcpu =
	        (struct model_offcpu){ .scope = SNAP_OFFCPU_ALL, .why = "", .rows = off, .row_count = ARRAY_LEN(off) };
	return m;
}

static struct by_thread_row *rows_by(enum profile_metric metric, size_t *ret_count)
{
	struct model m = model();
	struct by_thread t;
	struct err err = { 0 };
	uint64_t total = 0;

	assert_int_equal(by_thread(&m, metric, &t, &err), 0);
	for (size_t i = 0; i < t.count; i++)
		total += t.rows[i].value;
	assert_true(t.total == total);
	*ret_count = t.count;
	return t.rows;
}

/* Ended workers and the shared record are one row; the worker that lives has its own, and the idle thread none. */
static void ended_threads_of_a_name_are_one(void **state)
{
	size_t n;
	struct by_thread_row *rows = rows_by(METRIC_ALLOC, &n);

	(void)state;
	assert_int_equal(n, 4);
	assert_string_equal(rows[0].name, "worker");
	assert_true(rows[0].ended && rows[0].tid == 0 && rows[0].threads == 3);
	assert_true(rows[0].value == 700 && rows[0].alloc_bytes == 700 && rows[0].live_bytes == 420);
	assert_true(rows[0].alloc_count == 22 && rows[0].live_count == 4 && rows[0].cpu_samples == 9);
	assert_true(rows[1].tid == 10 && rows[1].value == 500 && rows[1].threads == 1 && !rows[1].ended);
	assert_true(rows[0].off_cpu_samples == 11);
	assert_true(rows[2].tid == 13 && rows[2].value == 50);
	assert_true(rows[3].tid == 14 && rows[3].value == 0 && rows[3].off_cpu_samples == 1); /* it only waits */
	free(rows);
}

static void values_are_the_metric(void **state)
{
	static const struct {
		const char *name;
		enum profile_metric metric;
		uint64_t first_tid, first;
	} cases[] = {
		{ "cpu", METRIC_CPU, 0, 9 },
		{ "live", METRIC_LIVE, 10, 500 },
		{ "live-count", METRIC_LIVE_COUNT, 13, 8 },
		{ "alloc-count", METRIC_ALLOC_COUNT, 0, 22 },
		{ "off-cpu", METRIC_OFF_CPU, 13, 70 },
		{ "wall", METRIC_WALL, 13, 70 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t n;
		struct by_thread_row *rows = rows_by(cases[i].metric, &n);

		T_CHECK(cases[i].name, rows[0].tid == cases[i].first_tid && rows[0].value == cases[i].first);
		free(rows);
	}
}

static void what_is_not_recorded_is_said(void **state)
{
	struct model m = model();
	struct by_thread t = { NULL, 0, 0 };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(by_thread(&m, METRIC_PEAK, &t, &err), -EINVAL);
	assert_non_null(strstr(err.text, "'peak' is not recorded by thread"));
	m.offcpu.scope = SNAP_OFFCPU_REQUESTS;
	assert_int_equal(by_thread(&m, METRIC_WALL, &t, &err), -ENODATA);
	assert_non_null(strstr(err.text, "PERFPROBE_CLOCK=wall"));
	m.offcpu.row_count = 0;
	assert_int_equal(by_thread(&m, METRIC_OFF_CPU, &t, &err), -ENODATA);
	m.heap_detail_one_in = 0;
	assert_int_equal(by_thread(&m, METRIC_LIVE, &t, &err), -ENODATA);
	assert_non_null(strstr(err.text, "PERFPROBE_DETAIL"));
	m.heap_thread_count = 0;
	assert_int_equal(by_thread(&m, METRIC_ALLOC, &t, &err), -ENODATA);
	assert_null(t.rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ended_threads_of_a_name_are_one),
		cmocka_unit_test(values_are_the_metric),
		cmocka_unit_test(what_is_not_recorded_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
