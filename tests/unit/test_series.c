#include "series.h"
#include "t.h"
#include "units.h"

/* A point each 100 ms of an hour's recording: bounded, evenly spaced, from the begin to the end. */
static void a_long_recording_has_a_bounded_series(void **state)
{
	static struct series_point points[SERIES_POINTS + 1];
	uint64_t interval;
	size_t n;

	(void)state;
	series_fork_child();
	for (uint64_t ns = 0; ns < 3600 * NS_PER_S; ns += 100 * NS_PER_MS)
		series_tick(NS_PER_S + ns);
	n = series_get(points, &interval);
	assert_in_range(n, SERIES_POINTS / 2 + 1, SERIES_POINTS + 1);
	assert_int_equal(interval, 6400 * NS_PER_MS); /* 36000 points, 1024 at most: 100 ms x 2^6 */
	assert_int_equal(points[0].time_ns, NS_PER_S);
	for (size_t i = 1; i + 1 < n; i++) {
		assert_int_equal(points[i].time_ns - points[i - 1].time_ns, interval);
		assert_true(points[i].cpu_ns >= points[i - 1].cpu_ns);
	}
	assert_true(points[n - 2].time_ns + interval > 3600 * NS_PER_S);
	assert_true(points[n - 1].time_ns >= points[n - 2].time_ns);
	assert_true(points[n - 1].resident_bytes > 100000);
	series_fork_child();
	assert_int_equal(series_get(points, &interval), 1);
	assert_int_equal(interval, 100 * NS_PER_MS);
}

/* Between points nothing is added. */
static void a_point_waits_for_its_time(void **state)
{
	struct series_point points[SERIES_POINTS + 1];
	uint64_t interval;

	(void)state;
	series_fork_child();
	for (unsigned i = 0; i < 100; i++)
		series_tick(5 * NS_PER_S + i * NS_PER_MS);
	assert_int_equal(series_get(points, &interval), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_long_recording_has_a_bounded_series),
		cmocka_unit_test(a_point_waits_for_its_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
