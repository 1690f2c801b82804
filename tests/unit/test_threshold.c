/* Tests of threshold.c and threshold_watch.c: the grammar, values by kind, windows, abortion, and what no samples mean. */
#include "t.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "catalog.h"
#include "threshold.h"
#include "units.h"

static const struct {
	const char *name, *text, *key, *metric;
	enum threshold_aggregation aggregation;
	enum threshold_op op;
	double percentile, bound;
	size_t tags;
	bool abort;
	uint64_t window_s, delay_s;
} good[] = {
	{ "k6's", "http_req_duration: p(95)<500", "http_req_duration", "http_req_duration", THRESHOLD_P, THRESHOLD_LESS,
	  95, 500, 0, false, 0, 0 },
	{ "three nines", "http_req_duration:p(99.9) <= 1000.5", "http_req_duration", "http_req_duration", THRESHOLD_P,
	  THRESHOLD_LESS_EQUAL, 99.9, 1000.5, 0, false, 0, 0 },
	{ "a tag", "http_req_duration{status:200}: med>1", "http_req_duration{status:200}", "http_req_duration",
	  THRESHOLD_MED, THRESHOLD_GREATER, 0, 1, 1, false, 0, 0 },
	{ "two tags, blanks, a colon in a value", " http_req_duration { name:http://a/ , status : 200 } : avg>=1",
	  "http_req_duration { name:http://a/ , status : 200 }", "http_req_duration", THRESHOLD_AVG,
	  THRESHOLD_GREATER_EQUAL, 0, 1, 2, false, 0, 0 },
	{ "rate", "http_req_failed: rate<0.01", "http_req_failed", "http_req_failed", THRESHOLD_RATE, THRESHOLD_LESS, 0,
	  0.01, 0, false, 0, 0 },
	{ "per cent", "http_req_failed: rate<1%", "http_req_failed", "http_req_failed", THRESHOLD_RATE, THRESHOLD_LESS,
	  0, 0.01, 0, false, 0, 0 },
	{ "a duration", "http_req_duration: max<1.5s", "http_req_duration", "http_req_duration", THRESHOLD_MAX,
	  THRESHOLD_LESS, 0, 1500, 0, false, 0, 0 },
	{ "count", "http_reqs: count===10", "http_reqs", "http_reqs", THRESHOLD_COUNT, THRESHOLD_EQUAL, 0, 10, 0, false,
	  0, 0 },
	{ "not equal", "vus: value != 3", "vus", "vus", THRESHOLD_VALUE, THRESHOLD_UNEQUAL, 0, 3, 0, false, 0, 0 },
	{ "window and abort", "http_req_duration: min==2 over 30s abortOnFail delayAbortEval=10s", "http_req_duration",
	  "http_req_duration", THRESHOLD_MIN, THRESHOLD_EQUAL, 0, 2, 0, true, 30, 10 },
	{ "negative, exponent", "my_metric: value>-1e3", "my_metric", "my_metric", THRESHOLD_VALUE, THRESHOLD_GREATER,
	  0, -1000, 0, false, 0, 0 },
};

static void good_ones(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct threshold t;
		struct err err = { 0 };

		if (threshold_parse(good[i].text, &t, &err) < 0)
			fail_msg("%s: %s", good[i].name, err.text);
		T_STR(good[i].name, t.key, good[i].key);
		T_STR(good[i].name, t.metric, good[i].metric);
		T_CHECK(good[i].name, t.aggregation == good[i].aggregation && t.op == good[i].op);
		T_CHECK(good[i].name, fabs(t.percentile - good[i].percentile) < 1e-9);
		T_CHECK(good[i].name, fabs(t.bound - good[i].bound) < 1e-9);
		T_CHECK(good[i].name, t.filter_count == good[i].tags && t.abort_on_fail == good[i].abort);
		T_CHECK(good[i].name, t.window_ns == good[i].window_s * NS_PER_S);
		T_CHECK(good[i].name, t.delay_abort_ns == good[i].delay_s * NS_PER_S);
		threshold_done(&t);
	}
}

static void tags_are_taken_apart(void **state)
{
	struct threshold t;

	(void)state;
	assert_int_equal(threshold_parse("m{ name : \"a, b\" }:avg<1", &t, NULL), -EINVAL); /* a comma ends a value */
	assert_int_equal(threshold_parse("m{ name : 'a:b' , status:200 }:avg<1", &t, NULL), 0);
	assert_string_equal(t.filter[0].key, "name");
	assert_string_equal(t.filter[0].value, "a:b");
	assert_string_equal(t.filter[1].key, "status");
	assert_string_equal(t.filter[1].value, "200");
	threshold_done(&t);
}

static void bad_ones(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "", "written METRIC" },
		{ "http_req_duration", "written METRIC" },
		{ "p(95)<500", "written METRIC" },
		{ "9x: p(95)<500", "no metric's name" },
		{ "a: p(101)<1", "from 0 to 100" },
		{ "a: p()<1", "does not begin with" },
		{ "a: p(95<1", "from 0 to 100" },
		{ "a: average<1", "does not begin with" },
		{ "a: avg 1", "is missing before" },
		{ "a: avg<", "is no number" },
		{ "a: avg<x", "is no number" },
		{ "a: avg<inf", "is no number" },
		{ "a: avg<nan", "is no number" },
		{ "a: avg<1 2", "is none of" },
		{ "a: avg<1parsec", "no number and no duration" },
		{ "a: avg<1 over", "over takes" },
		{ "a: avg<1 over 10ms", "over takes" },
		{ "a: avg<1 over 2h", "over takes" },
		{ "a: avg<1 delayAbortEval=x", "delayAbortEval takes" },
		{ "a{: avg<1", "'}' is missing" },
		{ "a{}: avg<1", "no tag between" },
		{ "a{b}: avg<1", "tags are written" },
		{ "a{b:c}d: avg<1", "must be the last" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct threshold t = { .bound = 7 };
		struct err err = { 0 };

		T_CHECK(bad[i].text, threshold_parse(bad[i].text, &t, &err) == -EINVAL);
		if (!strstr(err.text, bad[i].why))
			fail_msg("'%s': %s", bad[i].text, err.text);
		T_CHECK(bad[i].text, t.bound > 6 && t.text == NULL); /* untouched */
	}
}

static void kinds(void **state)
{
	static const struct {
		const char *text;
		int rc;
	} cases[] = {
		{ "http_req_duration: p(95)<500", 0 },
		{ "http_req_duration: rate<500", -EINVAL },
		{ "http_req_duration: p(95)<500ms", 0 },
		{ "http_req_duration: count>1ms", -EINVAL },
		{ "http_reqs: rate>100", 0 },
		{ "http_reqs: avg>100", -EINVAL },
		{ "http_reqs: count>1s", -EINVAL },
		{ "http_req_failed: rate<1%", 0 },
		{ "http_req_failed: value<1", -EINVAL },
		{ "vus: value>=1", 0 },
		{ "vus: rate>1", -EINVAL },
		{ "checks: rate==1", 0 },
		{ "no_such: rate>1", -ENOENT },
		{ "dropped_iterations: count==0", 0 },
		{ "my_own: avg<3", 0 },
		{ "my_own: avg<3ms", -EINVAL },
		{ "http_req_duration: avg<1%", -EINVAL },
	};
	struct catalog *c = catalog_new();
	struct thresholds ts = { 0 };

	(void)state;
	assert_non_null(c);
	assert_int_not_equal(catalog_slot(c, "my_own", SERIES_TREND, SERIES_DEFAULT, NULL, 0), CATALOG_NO_SLOT);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		T_CHECK(cases[i].text, thresholds_add(&ts, c, cases[i].text, NULL) == cases[i].rc);
	thresholds_done(&ts);
	catalog_free(c);
}

static struct series *trend_of(struct series_set *set, const char *status)
{
	return series_get(set, "http_req_duration", SERIES_TREND, SERIES_TIME, &(struct series_tag){ "status", status },
	                  1);
}

static void values_and_filters(void **state)
{
	struct catalog *c = catalog_new();
	struct thresholds ts = { 0 };
	struct series_set all = { 0 };
	struct series *failed;

	(void)state;
	for (int i = 0; i < 100; i++)
		histogram_record(&trend_of(&all, "200")->trend, 10 * NS_PER_MS);
	for (int i = 0; i < 100; i++)
		histogram_record(&trend_of(&all, "500")->trend, 1000 * NS_PER_MS);
	series_get(&all, "http_reqs", SERIES_COUNTER, SERIES_DEFAULT, NULL, 0)->sum = 200;
	failed = series_get(&all, "http_req_failed", SERIES_RATE, SERIES_DEFAULT, NULL, 0);
	failed->yes = 100;
	failed->total = 200;
	assert_int_equal(thresholds_add(&ts, c, "http_req_duration{status:200}: max<=10", NULL), 0);
	assert_int_equal(thresholds_add(&ts, c, "http_req_duration: max<1000", NULL), 0);
	assert_int_equal(thresholds_add(&ts, c, "http_reqs: rate==20", NULL), 0);
	assert_int_equal(thresholds_add(&ts, c, "http_req_failed: rate<=0.5", NULL), 0);
	assert_int_equal(thresholds_add(&ts, c, "http_req_duration{status:404}: p(95)<500", NULL), 0);
	assert_int_equal(thresholds_add(&ts, c, "dropped_iterations: count<1", NULL), 0);
	assert_int_equal(thresholds_add(&ts, c, "http_req_duration: avg<506", NULL), 0);
	assert_true(thresholds_finish(&ts, &all, 10 * NS_PER_S));
	assert_false(ts.items[0].failed);
	assert_true(ts.items[1].failed);
	assert_false(ts.items[2].failed);
	assert_false(ts.items[3].failed);
	assert_true(ts.items[4].failed && !ts.items[4].known); /* no samples */
	assert_false(ts.items[5].failed);                      /* nothing was counted: 0 */
	assert_false(ts.items[6].failed);
	assert_true(fabs(ts.items[6].value - 505) < 1e-6);
	thresholds_done(&ts);
	series_set_done(&all);
	catalog_free(c);
}

/* One slow second in five: the run's p(50) is fine, and no window of 2 s with half of it slow is. */
static void windows(void **state)
{
	struct catalog *c = catalog_new();
	struct thresholds ts = { 0 };
	struct series_set all = { 0 }, slice = { 0 };

	(void)state;
	assert_int_equal(thresholds_add(&ts, c, "http_req_duration: p(90)<100 over 2s", NULL), 0);
	assert_int_equal(thresholds_add(&ts, c, "http_req_duration: p(50)<100", NULL), 0);
	assert_int_equal(thresholds_add(&ts, c, "http_req_duration: p(50)<100 over 2s", NULL), 0);
	assert_int_equal(thresholds_add(&ts, c, "http_reqs: rate>5 over 2s", NULL), 0);
	for (uint64_t second = 1; second <= 10; second++) {
		struct series *s = trend_of(&slice, "200"), *a = trend_of(&all, "200"),
		              *n = series_get(&slice, "http_reqs", SERIES_COUNTER, SERIES_DEFAULT, NULL, 0);
		uint64_t ns = second == 5 ? NS_PER_S : NS_PER_MS;

		histogram_clear(&s->trend);
		for (int i = 0; i < 10; i++) {
			histogram_record(&s->trend, ns);
			histogram_record(&a->trend, ns);
		}
		n->sum = second > 6 ? 0 : 10;
		assert_false(thresholds_look(&ts, &all, &slice, second * NS_PER_S));
		assert_int_equal(ts.items[0].failed, second >= 5);
		assert_false(ts.items[1].failed);
		assert_false(ts.items[2].failed);
		assert_int_equal(ts.items[3].failed, second >= 7); /* 5/s is not more than 5/s */
	}
	assert_true(thresholds_finish(&ts, &all, 10 * NS_PER_S));
	assert_true(ts.items[0].failed); /* stays so */
	assert_true(ts.items[0].value > 900);
	assert_false(ts.items[2].failed);
	thresholds_done(&ts);
	series_set_done(&all);
	series_set_done(&slice);
	catalog_free(c);
}

static void window_without_samples_fails(void **state)
{
	struct catalog *c = catalog_new();
	struct thresholds ts = { 0 };
	struct series_set none = { 0 };

	(void)state;
	assert_int_equal(thresholds_add(&ts, c, "http_req_duration: p(90)<100 over 2s abortOnFail", NULL), 0);
	assert_false(thresholds_look(&ts, &none, &none, NS_PER_S));
	assert_true(thresholds_look(&ts, &none, &none, 2 * NS_PER_S));
	assert_true(ts.items[0].failed && !ts.items[0].known);
	thresholds_done(&ts);
	catalog_free(c);
}

static void abortion(void **state)
{
	struct catalog *c = catalog_new();
	struct thresholds ts = { 0 };
	struct series_set all = { 0 };

	(void)state;
	assert_int_equal(thresholds_add(&ts, c, "http_req_duration: max<1 abortOnFail delayAbortEval=3s", NULL), 0);
	assert_false(thresholds_look(&ts, &all, &all, 5 * NS_PER_S)); /* nothing was measured: judged at the end */
	histogram_record(&trend_of(&all, "200")->trend, NS_PER_S);
	assert_false(thresholds_look(&ts, &all, &all, 2 * NS_PER_S)); /* not yet */
	assert_true(ts.items[0].failed);
	assert_true(thresholds_look(&ts, &all, &all, 3 * NS_PER_S));
	thresholds_done(&ts);
	series_set_done(&all);
	catalog_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_ones),
		cmocka_unit_test(tags_are_taken_apart),
		cmocka_unit_test(bad_ones),
		cmocka_unit_test(kinds),
		cmocka_unit_test(values_and_filters),
		cmocka_unit_test(windows),
		cmocka_unit_test(window_without_samples_fails),
		cmocka_unit_test(abortion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
