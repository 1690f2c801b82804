#include "t.h"

#include "export_threads.h"
#include "profile_build.h"

/* Two threads of one kernel id are one; those without samples are left out; each has its own samples, old ones first. */
static void samples_go_to_their_threads(void **state)
{
	const struct fake_sample samples[] = { { 10, 1, 2 }, { 20, 2, 0 }, { 30, 1, 1 } };
	struct profile *p = fake_profile(METRIC_CPU, "a 5\n1|b 4\n3|c 3\n", samples, 3);
	struct export_threads t;

	(void)state;
	p->threads[3].tid = p->threads[0].tid;
	p->threads[0].end_ns = 500;
	p->threads[3].end_ns = 700;
	assert_int_equal(export_threads_get(p, UINT64_MAX, &t), 0);
	assert_int_equal(t.count, 2);
	assert_int_equal(t.items[0].tid, 1000);
	assert_string_equal(t.items[0].name, "thread-0");
	assert_int_equal(t.items[0].end_ns, 700);
	assert_int_equal(t.items[0].samples.total, 8);
	assert_int_equal(t.items[0].samples.untimed, 5);
	assert_int_equal(t.items[0].samples.count, 4);
	assert_int_equal(t.items[0].samples.items[2].time_ns, 10);
	assert_int_equal(t.items[0].samples.items[3].time_ns, 20);
	assert_int_equal(t.items[1].tid, 1001);
	assert_int_equal(t.items[1].samples.total, 4);
	assert_int_equal(t.items[1].end_ns, p->end_ns);
	export_threads_done(&t);
	assert_int_equal(export_threads_get(p, 1001, &t), 0);
	assert_int_equal(t.count, 1);
	assert_int_equal(t.items[0].tid, 1001);
	export_threads_done(&t);
	profile_free(p);
}

static void memory_is_the_process(void **state)
{
	struct profile *p = fake_profile(METRIC_LIVE, "a 5 1\nb 4 1\n", NULL, 0);
	struct export_threads t;

	(void)state;
	assert_int_equal(export_threads_get(p, UINT64_MAX, &t), 0);
	assert_int_equal(t.count, 1);
	assert_int_equal(t.items[0].tid, p->pid);
	assert_string_equal(t.items[0].name, "demo");
	assert_int_equal(t.items[0].samples.total, 9);
	export_threads_done(&t);
	profile_free(p);
}

/* Too many to repeat: one instant as long as its weight. Either way the length is weight x period. */
static void long_runs_are_not_repeated(void **state)
{
	struct export_sample item = { 0, 40, 0 };
	struct export_samples s = { &item, 1, 40, 40 };
	struct export_timeline one, each;

	(void)state;
	assert_int_equal(export_timeline_get(&s, 10000000, false, 1000000000, 0, 39, &one), 0);
	assert_int_equal(export_timeline_get(&s, 10000000, false, 1000000000, 0, 40, &each), 0);
	assert_int_equal(one.count, 2);
	assert_int_equal(one.items[0].weight, 40);
	assert_int_equal(each.count, 41);
	assert_int_equal(each.items[39].weight, 1);
	assert_int_equal(one.items[1].stack, EXPORT_IDLE);
	assert_int_equal(one.items[1].at_us, 400000);
	assert_int_equal(each.items[40].at_us, 400000);
	export_timeline_done(&one);
	export_timeline_done(&each);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(samples_go_to_their_threads),
		cmocka_unit_test(memory_is_the_process),
		cmocka_unit_test(long_runs_are_not_repeated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
