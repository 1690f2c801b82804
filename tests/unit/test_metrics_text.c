/* Tests of metrics_text.c: the two formats, labels of any bytes, numbers to the nanosecond, histograms that add up, and pages that do
 * not fit. */
#include "t.h"

#include "metrics_text.h"
#include "units.h"

static char page[4096];

static const char *text_of(struct metrics_text *t)
{
	metrics_text_end(t);
	assert_false(t->full);
	page[t->used] = '\0';
	return page;
}

static struct metrics_text begin(bool otel, bool openmetrics)
{
	struct metrics_text t;

	metrics_text_begin(&t, page, sizeof(page) - 1, otel, openmetrics);
	return t;
}

static void families(void **state)
{
	struct metrics_text t = begin(false, false);

	(void)state;
	metrics_one(&t, METRIC_PROFILES, 7);
	metrics_one_seconds(&t, METRIC_CPU, 1500000000);
	T_STR("text", text_of(&t),
	      "# HELP perfprobe_profiles_total Profiles written.\n# TYPE perfprobe_profiles_total counter\n"
	      "perfprobe_profiles_total 7\n"
	      "# HELP process_cpu_seconds_total User and system CPU time of the process.\n"
	      "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 1.5\n");
	t = begin(true, true);
	metrics_one(&t, METRIC_PROFILES, 7);
	assert_false(metrics_family(&t, METRIC_HTTP_REQUESTS)); /* not among these names */
	metrics_one(&t, METRIC_THREADS, UINT64_MAX);
	assert_true(metrics_family(&t, METRIC_VIRTUAL_MAX));
	metrics_sample(&t, "");
	metrics_infinite(&t);
	T_STR("openmetrics", text_of(&t),
	      "# HELP perfprobe_profiles Profiles written.\n# TYPE perfprobe_profiles "
	      "counter\nperfprobe_profiles_total 7\n"
	      "# HELP process_thread_count Threads, the library's one included.\n# TYPE process_thread_count gauge\n"
	      "process_thread_count 18446744073709551615\n"
	      "# HELP process_virtual_memory_max_bytes The limit of virtual memory.\n"
	      "# TYPE process_virtual_memory_max_bytes gauge\nprocess_virtual_memory_max_bytes +Inf\n# EOF\n");
}

static void labels_of_any_bytes(void **state)
{
	static const struct {
		const char *value, *want;
	} rows[] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "a\"b\\c\nd", "a\\\"b\\\\c\\nd" },
		{ "\t{}=,#", "\t{}=,#" },
		{ "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ "\xff", "\xef\xbf\xbd" },
		{ "\x80x", "\xef\xbf\xbdx" },
		{ "\xc3", "\xef\xbf\xbd" },
		{ "\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd" },                                 /* overlong */
		{ "\xe0\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },                 /* overlong */
		{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },                 /* a surrogate */
		{ "\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* above U+10FFFF */
		{ "\xf0\x80\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* overlong */
		{ "\xf4\x8f\xbf\xbf\xed\x9f\xbf\xee\x80\x80",
		  "\xf4\x8f\xbf\xbf\xed\x9f\xbf\xee\x80\x80" }, /* the last ones that are */
	};
	char want[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct metrics_text t = begin(false, false);
		struct t_guarded value = t_guarded_new(rows[i].value, strlen(rows[i].value) + 1);

		t.name = "x";
		metrics_sample(&t, "");
		metrics_label(&t, "a", (const char *)value.data);
		metrics_label_number(&t, "n", 200);
		metrics_number(&t, 1);
		want[0] = '\0';
		strcat(strcat(strcat(want, "x{a=\""), rows[i].want), "\",n=\"200\"} 1\n");
		T_STR(rows[i].value, text_of(&t), want);
		t_guarded_free(&value);
	}
}

static void seconds(void **state)
{
	static const struct {
		uint64_t ns;
		const char *want;
	} rows[] = {
		{ 0, "x 0.0\n" },
		{ 1, "x 0.000000001\n" },
		{ 5 * NS_PER_MS, "x 0.005\n" },
		{ NS_PER_S, "x 1.0\n" },
		{ 10 * NS_PER_S, "x 10.0\n" },
		{ 12 * NS_PER_S + 345678901, "x 12.345678901\n" },
		{ UINT64_MAX, "x 18446744073.709551615\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct metrics_text t = begin(false, false);

		t.name = "x";
		metrics_sample(&t, "");
		metrics_seconds(&t, rows[i].ns);
		T_STR(rows[i].want, text_of(&t), rows[i].want);
	}
}

static void a_label(struct metrics_text *t, const void *of)
{
	metrics_label(t, "a", of);
}

static void histograms_add_up(void **state)
{
	static const uint64_t bounds[] = { NS_PER_MS, 5 * NS_PER_MS, NS_PER_S }, counts[] = { 1, 2, 0, 4 };
	struct metrics_histogram h = { bounds, counts, 3, 0, 8 * NS_PER_S };
	struct metrics_text t = begin(false, false);

	(void)state;
	t.name = "x";
	metrics_histogram(&t, &h, a_label, "b");
	T_STR("all", text_of(&t),
	      "x_bucket{a=\"b\",le=\"0.001\"} 1\nx_bucket{a=\"b\",le=\"0.005\"} 3\nx_bucket{a=\"b\",le=\"1.0\"} 3\n"
	      "x_bucket{a=\"b\",le=\"+Inf\"} 7\nx_sum{a=\"b\"} 8.0\nx_count{a=\"b\"} 7\n");
	t = begin(false, false);
	t.name = "x";
	h.from = 1; /* what the first counts is in the second */
	metrics_histogram(&t, &h, a_label, "b");
	T_STR("fewer", text_of(&t),
	      "x_bucket{a=\"b\",le=\"0.005\"} 3\nx_bucket{a=\"b\",le=\"1.0\"} 3\n"
	      "x_bucket{a=\"b\",le=\"+Inf\"} 7\nx_sum{a=\"b\"} 8.0\nx_count{a=\"b\"} 7\n");
}

/* In every size that is too small: said, and nothing is written behind the end. */
static void what_does_not_fit(void **state)
{
	size_t whole = 0;

	(void)state;
	for (size_t size = 1; !whole; size++) {
		struct t_guarded g = t_guarded_new(NULL, size);
		struct metrics_text t;

		metrics_text_begin(&t, (char *)g.data, size, false, true);
		metrics_one(&t, METRIC_PROFILES, 7);
		metrics_text_end(&t);
		assert_true(t.used <= size);
		if (!t.full)
			whole = t.used;
		t_guarded_free(&g);
	}
	assert_int_equal(whole,
	                 strlen("# HELP perfprobe_profiles Profiles written.\n# TYPE perfprobe_profiles counter\n"
	                        "perfprobe_profiles_total 7\n# EOF\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(families),          cmocka_unit_test(labels_of_any_bytes), cmocka_unit_test(seconds),
		cmocka_unit_test(histograms_add_up), cmocka_unit_test(what_does_not_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
