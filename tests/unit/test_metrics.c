/* Tests of metrics.c, failure.c and verdict.c: sums, k6's idea of failure, names, and what makes a run doubtful. */
#include "t.h"

#include <errno.h>

#include "engine.h"
#include "metrics.h"
#include "series.h"
#include "verdict.h"

static void merging_adds(void **state)
{
	struct metrics a, b;

	(void)state;
	assert_int_equal(metrics_init(&a), 0);
	assert_int_equal(metrics_init(&b), 0);
	a.attempts = 10, a.in_window = 9, a.responses = 8, a.interrupted = 7, a.bytes_in = 6, a.bytes_out = 5;
	a.connected = 4, a.reopened = 3, a.status[200] = 8, a.failures[FAILURE_RESET] = 2;
	b.attempts = 100, b.in_window = 90, b.responses = 80, b.interrupted = 70, b.bytes_in = 60, b.bytes_out = 50;
	b.connected = 40, b.reopened = 30, b.status[200] = 50, b.status[500] = 30, b.failures[FAILURE_MALFORMED] = 20;
	b.problems[HTTP1_PROBLEM_CHUNK] = 20;
	histogram_record(&b.trends[TREND_WAITING], 5);
	metrics_merge(&a, &b);
	assert_int_equal(a.attempts, 110);
	assert_int_equal(a.in_window, 99);
	assert_int_equal(a.responses, 88);
	assert_int_equal(a.interrupted, 77);
	assert_int_equal(a.bytes_in, 66);
	assert_int_equal(a.bytes_out, 55);
	assert_int_equal(a.connected, 44);
	assert_int_equal(a.reopened, 33);
	assert_int_equal(a.status[200], 58);
	assert_int_equal(a.status[500], 30);
	assert_int_equal(a.problems[HTTP1_PROBLEM_CHUNK], 20);
	assert_int_equal(a.trends[TREND_WAITING].count, 1);
	assert_int_equal(a.trends[TREND_DURATION].count, 0);
	assert_int_equal(metrics_failures(&a), 22);
	assert_int_equal(metrics_unsuccessful(&a), 52);
	metrics_done(&a);
	metrics_done(&b);
}

static void unsuccessful_is_outside_200_to_399(void **state)
{
	struct metrics m;

	(void)state;
	assert_int_equal(metrics_init(&m), 0);
	m.status[199] = 1, m.status[200] = 10, m.status[399] = 100, m.status[400] = 1000, m.status[999] = 10000;
	assert_int_equal(metrics_unsuccessful(&m), 11001);
	metrics_done(&m);
}

static void errno_values(void **state)
{
	(void)state;
	assert_int_equal(failure_from_errno(ECONNREFUSED), FAILURE_REFUSED);
	assert_int_equal(failure_from_errno(ECONNRESET), FAILURE_RESET);
	assert_int_equal(failure_from_errno(EPIPE), FAILURE_RESET);
	assert_int_equal(failure_from_errno(EMFILE), FAILURE_DESCRIPTORS);
	assert_int_equal(failure_from_errno(EADDRNOTAVAIL), FAILURE_PORTS);
	assert_int_equal(failure_from_errno(ENETUNREACH), FAILURE_UNREACHABLE);
	assert_int_equal(failure_from_errno(EIO), FAILURE_OTHER);
	assert_string_equal(failure_key(FAILURE_REFUSED), "refused");
	assert_string_equal(metrics_trend_key(TREND_DURATION), "http_req_duration");
}

static void verdicts(void **state)
{
	struct plan plan = { .threads = 2, .connections = 2 };
	struct result r = { .plan = &plan, .elapsed_ns = 1000 };
	struct verdict v;

	(void)state;
	assert_int_equal(metrics_init(&r.metrics), 0);
	verdict_judge(&r, &v);
	assert_int_equal(v.kind, VERDICT_INVALID);
	assert_int_equal(v.count, 1);
	r.metrics.responses = r.metrics.attempts = 100;
	r.busy_ns[0] = r.busy_ns[1] = 899;
	verdict_judge(&r, &v);
	assert_int_equal(v.kind, VERDICT_VALID);
	assert_int_equal(v.count, 0);
	r.busy_ns[1] = 901;
	r.metrics.failures[FAILURE_PORTS] = 3;
	verdict_judge(&r, &v);
	assert_int_equal(v.kind, VERDICT_SUSPECT);
	assert_int_equal(v.count, 2);
	assert_string_equal(verdict_name(v.kind), "SUSPECT");
	r.metrics.failures[FAILURE_PORTS] = 6; /* more than one in 20 */
	verdict_judge(&r, &v);
	assert_int_equal(v.kind, VERDICT_INVALID);
	metrics_done(&r.metrics);
}

static void verdicts_of_times(void **state)
{
	struct plan plan = { .threads = 1, .connections = 2, .schedule.model = SCHEDULE_OPEN };
	struct result r = { .plan = &plan, .elapsed_ns = 1000, .cpus = 2 };
	struct series_set series = { 0 };
	struct verdict v;

	(void)state;
	assert_int_equal(metrics_init(&r.metrics), 0);
	r.metrics.responses = r.metrics.attempts = 1000;
	r.series = &series;
	for (int i = 0; i < 1000; i++) {
		histogram_record(&r.metrics.trends[TREND_DURATION], 100000000);
		histogram_record(&r.metrics.trends[TREND_LATENESS], i < 980 ? 10 : 4000000);
	}
	verdict_judge(&r, &v); /* 4 ms is less than a twentieth of 100 ms */
	assert_int_equal(v.kind, VERDICT_VALID);
	for (int i = 0; i < 20; i++)
		histogram_record(&r.metrics.trends[TREND_LATENESS], 6000000);
	verdict_judge(&r, &v);
	assert_int_equal(v.kind, VERDICT_SUSPECT);
	assert_non_null(strstr(v.reasons[0], "late"));
	histogram_clear(&r.metrics.trends[TREND_LATENESS]);
	r.metrics.failures[FAILURE_TIMEOUT] = 10; /* hung: said, and no fault of the driver's */
	verdict_judge(&r, &v);
	assert_true(v.kind == VERDICT_VALID && v.count == 1 && strstr(v.reasons[0], "10 of 1000 attempts hung"));
	r.metrics.failures[FAILURE_TIMEOUT] = 0;
	r.machine_busy = 0.99;
	r.cpu_user_ns = 500;
	verdict_judge(&r, &v);
	assert_int_equal(v.kind, VERDICT_VALID); /* the target is elsewhere */
	r.target_is_local = true;
	verdict_judge(&r, &v);
	assert_int_equal(v.kind, VERDICT_SUSPECT);
	r.target_is_local = false;
	series_get(&series, "iterations", SERIES_COUNTER, SERIES_DEFAULT, NULL, 0)->sum = 96;
	series_get(&series, "dropped_iterations", SERIES_COUNTER, SERIES_DEFAULT, NULL, 0)->sum = 4;
	verdict_judge(&r, &v);
	assert_int_equal(v.kind, VERDICT_SUSPECT);
	series_get(&series, "dropped_iterations", SERIES_COUNTER, SERIES_DEFAULT, NULL, 0)->sum = 10;
	verdict_judge(&r, &v);
	assert_int_equal(v.kind, VERDICT_INVALID);
	series_set_done(&series);
	metrics_done(&r.metrics);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(merging_adds),      cmocka_unit_test(unsuccessful_is_outside_200_to_399),
		cmocka_unit_test(errno_values),      cmocka_unit_test(verdicts),
		cmocka_unit_test(verdicts_of_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
