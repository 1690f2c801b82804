/* Tests of the exporters' bytes. What other programs make of them is tested from tests/e2e with those programs. */
#include "t.h"

#include <errno.h>
#include <stdio.h>

#include "export.h"
#include "export_samples.h"
#include "profile_build.h"

static char *written(const char *format, const struct profile *p, struct export_options o)
{
	const struct exporter *e = exporter_find(format);
	struct buf out = { 0 };
	struct err err = { 0 };

	assert_non_null(e);
	if (e->write(p, &o, &out, &err) < 0)
		fail_msg("%s: %s", format, err.text);
	return buf_take(&out, NULL);
}

static const struct export_options all = { .tid = EXPORT_ALL_THREADS };

static const struct {
	const char *name, *text, *want;
	bool thread_frames;
} folded[] = {
	{ "largest first, threads joined", "main;a 2\n1|main;a 3\nmain;b 7\n", "main;b 7\nmain;a 5\n", false },
	{ "with threads", "main;a 2\n1|main;a 3\n", "thread-0-1000;main;a 2\nthread-1-1001;main;a 3\n", true },
	{ "separator in a name", "ma\\x3bin 1\n", "ma:in 1\n", false },
	{ "line end in a name", "ma\\x0ain 1\n", "ma in 1\n", false },
	{ "name that ends in a number", "f\\x20\\x31\\x32 1\n", "f_12 1\n", false },
	{ "name that ends in a blank", "f\\x20 1\n", "f 1\n", false },
	{ "name that is a number", "42 1\n", "42 1\n", false },
	{ "empty stack", " 5\n", "[unknown] 5\n", false },
	{ "invalid UTF-8", "f\\xff 1\n", "f\xef\xbf\xbd 1\n", false },
};

static void folded_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(folded); i++) {
		struct profile *p = fake_profile(METRIC_CPU, folded[i].text, NULL, 0);
		char *got = written(
		        "folded", p,
		        (struct export_options){ .tid = EXPORT_ALL_THREADS, .thread_frames = folded[i].thread_frames });

		T_STR(folded[i].name, got, folded[i].want);
		free(got);
		profile_free(p);
	}
}

#define ROOT_FRAME                                                                                      \
	"\"callFrame\":{\"functionName\":\"(root)\",\"scriptId\":\"0\",\"url\":\"\",\"lineNumber\":-1," \
	"\"columnNumber\":-1}"
#define IDLE_FRAME                                                                                      \
	"\"callFrame\":{\"functionName\":\"(idle)\",\"scriptId\":\"0\",\"url\":\"\",\"lineNumber\":-1," \
	"\"columnNumber\":-1}"
#define MAIN_FRAME                                                                               \
	"\"callFrame\":{\"functionName\":\"main\",\"scriptId\":\"1\",\"url\":\"file:///usr/bin/" \
	"demo\",\"lineNumber\":-1,"                                                              \
	"\"columnNumber\":-1}"

/* CPU axis: every sample one period (10 ms), then the idle sample that ends the last one. start_ns is 1 s. */
static void cpuprofile_of_all_threads(void **state)
{
	struct profile *p = fake_profile(METRIC_CPU, "main 2\n1|main;f@/bin/x@/s/f.c@7 1\n", NULL, 0);
	char *got = written("cpuprofile", p, all);

	(void)state;
	assert_string_equal(
	        got,
	        "{\"nodes\":[{\"id\":1," ROOT_FRAME ",\"hitCount\":0,\"children\":[2,4]},{\"id\":2," MAIN_FRAME
	        ",\"hitCount\":2,\"children\":[3]},{\"id\":3,\"callFrame\":{\"functionName\":\"f\",\"scriptId\":\"2\","
	        "\"url\":"
	        "\"file:///s/"
	        "f.c\",\"lineNumber\":6,\"columnNumber\":0},\"hitCount\":1,\"children\":[]},{\"id\":4," IDLE_FRAME
	        ",\"hitCount\":0,\"children\":[]}],\"startTime\":1000000,\"endTime\":1030000,\"samples\":[2,2,3,4],"
	        "\"timeDeltas\":[0,10000,10000,10000],\"losses\":{}}\n");
	free(got);
	profile_free(p);
}

/*
 * By the clock: a sample at T covers [T - 10 ms, T]. Two old samples without a time, then 10.00 s (at once after them),
 * 10.012 s (2 ms late: no gap), 10.5 s (a gap), and the thread lives until 61 s.
 */
static void cpuprofile_of_a_thread_has_gaps(void **state)
{
	const struct fake_sample samples[] = { { UINT64_C(10000000000), 1, 0 },
		                               { UINT64_C(10012000000), 1, 0 },
		                               { UINT64_C(10500000000), 1, 0 } };
	struct profile *p = fake_profile(METRIC_CPU, "main 5\n1|other 9\n", samples, 3);
	char *got = written("cpuprofile", p, (struct export_options){ .tid = 1000 });
	/* Idle: 10.01 -> 10.49 s (480 ms) and 10.50 -> 61 s (50,500 ms), 5098 periods: exactly a multiple of 10 ms. */
	const char *end = "\"startTime\":9970000,\"endTime\":61000000,\"samples\":[2,2,2,2,3,2,3,3],"
	                  "\"timeDeltas\":[0,10000,10000,10000,10000,480000,10000,50500000],\"losses\":{}}\n";
	const char *idle = "{\"id\":3," IDLE_FRAME ",\"hitCount\":5098,\"children\":[]}";

	(void)state;
	assert_non_null(strstr(got, idle));
	assert_non_null(strstr(got, "\"startTime\""));
	assert_string_equal(strstr(got, "\"startTime\""), end);
	free(got);
	profile_free(p);
}

static void cpuprofile_refuses_memory(void **state)
{
	struct profile *p = fake_profile(METRIC_LIVE, "main 5 1\n", NULL, 0);
	struct buf out = { 0 };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(export_cpuprofile(p, &all, &out, &err), -EINVAL);
	assert_non_null(strstr(err.text, "speedscope"));
	assert_non_null(strstr(err.text, "folded"));
	assert_int_equal(out.len, 0);
	profile_free(p);
}

/* A period that is no whole number of microseconds: what is lost in rounding must not add up. */
static void cpuprofile_rounds_without_drift(void **state)
{
	struct profile *p = fake_profile(METRIC_CPU, "main 1000\n", NULL, 0);
	unsigned long long start, end;
	char *got;

	(void)state;
	p->period_ns = 1010101;
	got = written("cpuprofile", p, all);
	assert_int_equal(sscanf(strstr(got, "\"startTime\""), "\"startTime\":%llu,\"endTime\":%llu", &start, &end), 2);
	assert_int_equal(end - start, 1010101000ULL / 1000);
	free(got);
	profile_free(p);
}

static void speedscope_of_two_threads(void **state)
{
	const struct fake_sample samples[] = { { UINT64_C(5000000000), 1, 1 }, { UINT64_C(6000000000), 1, 0 } };
	struct profile *p = fake_profile(METRIC_CPU, "main;a 3\n1|main 1\n", samples, 2);
	char *got = written("speedscope", p, all);

	(void)state;
	assert_string_equal(
	        got,
	        "{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\",\"name\":\"demo, pid 4711: CPU "
	        "time\","
	        "\"exporter\":\"perfprobe@" PERFPROBE_VERSION "\",\"activeProfileIndex\":0,\"shared\":{\"frames\":["
	        "{\"name\":\"main\",\"file\":\"/usr/bin/demo\"},{\"name\":\"a\",\"file\":\"/usr/bin/"
	        "demo\"}]},\"profiles\":["
	        "{\"type\":\"sampled\",\"name\":\"demo: CPU time, all "
	        "threads\",\"unit\":\"nanoseconds\",\"startValue\":0,"
	        "\"endValue\":40000000,\"samples\":[[0,1],[0],[0,1]],\"weights\":[20000000,10000000,10000000]},"
	        "{\"type\":\"sampled\",\"name\":\"thread-0 (tid 1000)\",\"unit\":\"nanoseconds\",\"startValue\":0,"
	        "\"endValue\":30000000,\"samples\":[[0,1]],\"weights\":[30000000]},"
	        "{\"type\":\"sampled\",\"name\":\"thread-1 (tid 1001)\",\"unit\":\"nanoseconds\",\"startValue\":0,"
	        "\"endValue\":10000000,\"samples\":[[0]],\"weights\":[10000000]}],\"losses\":{}}\n");
	free(got);
	profile_free(p);
}

static void speedscope_of_memory(void **state)
{
	static const struct {
		enum profile_metric metric;
		const char *unit;
	} rows[] = { { METRIC_LIVE, "\"unit\":\"bytes\"" }, { METRIC_LIVE_COUNT, "\"unit\":\"none\"" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct profile *p = fake_profile(rows[i].metric, "main 4096 2\n", NULL, 0);
		char *got = written("speedscope", p, all);

		assert_non_null(strstr(got, rows[i].unit));
		T_CHECK(rows[i].unit, strstr(got, i ? "\"weights\":[2]" : "\"weights\":[4096]"));
		free(got);
		profile_free(p);
	}
}

/* Old samples first, every stack's weights add up to its value, and the window never counts more than the stack has. */
static void samples_add_up(void **state)
{
	const struct fake_sample samples[] = { { 10, 2, 1 }, { 20, 1, 0 }, { 30, 9, 1 } };
	struct profile *p = fake_profile(METRIC_CPU, "a 5\nb 4\n", samples, 3);
	struct export_samples s;
	uint64_t sum[2] = { 0 };

	(void)state;
	assert_int_equal(export_samples_get(p, UINT64_MAX, &s), 0);
	assert_int_equal(s.total, 9);
	assert_int_equal(s.untimed, 4);
	for (size_t i = 0; i < s.count; i++) {
		sum[s.items[i].stack] += s.items[i].weight;
		if (i)
			assert_true(s.items[i].time_ns >= s.items[i - 1].time_ns);
	}
	assert_int_equal(sum[0], 5);
	assert_int_equal(sum[1], 4);
	export_samples_done(&s);
	profile_free(p);
}

/* Pieces given to a drain are together what is kept without one, in every format. */
static int gather(void *context, const char *data, size_t len)
{
	buf_add(context, data, len);
	return 0;
}

static void pieces_are_the_whole(void **state)
{
	struct buf text = { 0 };
	struct profile *p;

	(void)state;
	for (unsigned i = 0; i < 3000; i++)
		buf_printf(&text, "main;a_function_with_number_%u;b%u %u 1\n", i, i % 70, 1 + i % 9);
	for (size_t i = 0; i < exporter_count; i++) {
		struct buf kept = { 0 }, pieces = { 0 }, drained = { .drain = gather, .drain_context = &pieces };
		struct err err = { 0 };

		p = fake_profile(exporters[i].holds & EXPORT_TIME ? METRIC_CPU : METRIC_LIVE, text.data, NULL, 0);
		T_CHECK(exporters[i].name, exporters[i].write(p, &all, &kept, &err) == 0);
		T_CHECK(exporters[i].name, exporters[i].write(p, &all, &drained, &err) == 0);
		T_CHECK(exporters[i].name, kept.len < 512 * 1024 || pieces.len > 0);
		T_CHECK(exporters[i].name, drained.len < 512 * 1024);
		buf_pour_all(&drained);
		T_CHECK(exporters[i].name, pieces.len == kept.len && memcmp(pieces.data, kept.data, kept.len) == 0);
		buf_done(&kept);
		buf_done(&pieces);
		buf_done(&drained);
		profile_free(p);
	}
	buf_done(&text);
}

/* Nothing was sampled: a whole file all the same. */
static void nothing_is_a_file_too(void **state)
{
	(void)state;
	for (size_t i = 0; i < exporter_count; i++) {
		enum profile_metric metric = exporters[i].holds & EXPORT_TIME ? METRIC_CPU : METRIC_LIVE;
		struct profile *p = fake_profile(metric, "", NULL, 0);
		struct buf out = { 0 };
		struct err err = { 0 };

		T_CHECK(exporters[i].name, exporters[i].write(p, &all, &out, &err) == 0);
		T_CHECK(exporters[i].name, !out.failed && (out.len > 0 || strcmp(exporters[i].name, "folded") == 0));
		buf_done(&out);
		profile_free(p);
	}
}

static void threads_are_checked(void **state)
{
	struct profile *cpu = fake_profile(METRIC_CPU, "a 5\n", NULL, 0);
	struct profile *live = fake_profile(METRIC_LIVE, "a 5 1\n", NULL, 0);

	(void)state;
	for (size_t i = 0; i < exporter_count; i++) {
		struct export_options missing = { .tid = 7 }, some = { .tid = 1000 };
		struct buf out = { 0 };
		struct err err = { 0 };

		if (exporters[i].holds & EXPORT_TIME) {
			T_CHECK(exporters[i].name, exporters[i].write(cpu, &missing, &out, &err) == -EINVAL);
			T_CHECK(exporters[i].name, strstr(err.text, "no thread 7"));
		}
		T_CHECK(exporters[i].name, exporters[i].write(live, &some, &out, &err) == -EINVAL);
		T_CHECK(exporters[i].name, strstr(err.text, exporters[i].holds & EXPORT_MEMORY ? "--thread" : "time"));
		T_CHECK(exporters[i].name, out.len == 0);
		buf_done(&out);
	}
	profile_free(cpu);
	profile_free(live);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(folded_table),
		cmocka_unit_test(cpuprofile_of_all_threads),
		cmocka_unit_test(cpuprofile_of_a_thread_has_gaps),
		cmocka_unit_test(cpuprofile_refuses_memory),
		cmocka_unit_test(cpuprofile_rounds_without_drift),
		cmocka_unit_test(speedscope_of_two_threads),
		cmocka_unit_test(speedscope_of_memory),
		cmocka_unit_test(samples_add_up),
		cmocka_unit_test(pieces_are_the_whole),
		cmocka_unit_test(nothing_is_a_file_too),
		cmocka_unit_test(threads_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
