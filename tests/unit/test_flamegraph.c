/* Tests of the flame graph's file; its behaviour in a browser is tested from tests/e2e. */
#include "t.h"

#include "flamegraph.h"
#include "functions.h"
#include "profile_build.h"
#include "tree.h"

struct picture {
	const char *before, *after; /* profiles; NULL: one only */
	enum profile_metric metric;
	struct flamegraph_options options;
};

static char *drawn(const struct picture *what)
{
	const struct profile *profiles[2] = { fake_profile(what->metric, what->before, NULL, 0) };
	size_t n = what->after ? 2 : 1;
	struct tree_options options = { .tid = TREE_ALL_THREADS };
	struct flamegraph_options look = what->options;
	struct functions functions;
	struct tree *tree;
	struct buf out = { 0 };

	if (what->after)
		profiles[1] = fake_profile(what->metric, what->after, NULL, 0);
	assert_int_equal(functions_build(profiles, n, &functions, NULL), 0);
	assert_int_equal(tree_build((struct tree_input[]){ { profiles[0], 1 }, { profiles[1], 1 } }, n, &functions,
	                            &options, &tree, NULL),
	                 0);
	if (!look.title)
		look.title = "title";
	look.subtitle = "subtitle";
	flamegraph_write(&(struct flamegraph_input){ tree, &functions, n, what->metric, profiles[0]->period_ns }, &look,
	                 &out);
	tree_free(tree);
	functions_done(&functions);
	for (size_t i = 0; i < n; i++)
		profile_free((struct profile *)profiles[i]);
	return buf_take(&out, NULL);
}

static unsigned occurrences(const char *text, const char *what)
{
	unsigned n = 0;

	for (; (text = strstr(text, what)); text++)
		n++;
	return n;
}

static void flamegraph_draws_every_frame(void **state)
{
	struct picture p = { "main;a 60\nmain;b 40\n", NULL, METRIC_CPU, { 0 } };
	char *svg = drawn(&p);

	(void)state;
	assert_int_equal(occurrences(svg, "<g class=\"f "), 4);
	assert_non_null(strstr(svg, "<title>a: 60 samples, 600.00 ms, 60.00 %</title>"));
	assert_non_null(strstr(svg, "\"parent\":[0,0,1,1]"));
	assert_non_null(strstr(svg, "\"total0\":[100,100,60,40]"));
	free(svg);
}

static void flamegraph_says_bytes(void **state)
{
	struct picture p = { "main;a 1572864 3\n", NULL, METRIC_LIVE, { 0 } };
	char *svg = drawn(&p);

	(void)state;
	assert_non_null(strstr(svg, "<title>a: 1.5 MiB, 100.00 %</title>"));
	free(svg);
}

/* Sub-pixel frames have data but no shape; those under min_width_px have neither, and are told. */
static void flamegraph_drops_narrow_frames(void **state)
{
	struct picture p = { "main;a 1000000\nmain;tiny;deeper 1\n", NULL, METRIC_CPU, { 0 } };
	char *svg = drawn(&p);

	(void)state;
	assert_int_equal(occurrences(svg, "<g class=\"f "), 3);
	assert_non_null(strstr(svg, "\"tiny\""));
	assert_null(strstr(svg, "left out"));
	free(svg);
	p.options.min_width_px = 0.01;
	svg = drawn(&p);
	assert_null(strstr(svg, "\"tiny\""));
	assert_non_null(strstr(svg, "2 frames narrower than 0.01 px left out: 1 sample, 10.00 ms."));
	free(svg);
}

static void flamegraph_escapes_names(void **state)
{
	struct picture p = { "</script><script>alert(1)</script> 5\n]]>&\"';\\xff\\x01\\xef\\xbf\\xbe 5\n",
		             NULL,
		             METRIC_CPU,
		             { .title = "<b>&\"" } };
	char *svg = drawn(&p);

	(void)state;
	assert_null(strstr(svg, "<script>alert"));
	assert_null(strstr(svg, "<b>"));
	assert_null(strchr(svg, '\x01'));
	assert_null(strstr(svg, "\xff"));
	assert_null(strstr(svg, "\xef\xbf\xbe"));
	assert_int_equal(occurrences(svg, "<script"), 2);
	assert_int_equal(occurrences(svg, "]]>"), 3); /* style, data, script */
	assert_non_null(strstr(svg, "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;"));
	free(svg);
}

static void flamegraph_tells_what_vanished(void **state)
{
	struct picture p = {
		"main;gone;deeper 3000 3\nmain;a 100 1\n", "main;a 400 4\nmain;new 50 1\n", METRIC_LIVE, { 0 }
	};
	char *svg = drawn(&p);

	(void)state;
	assert_non_null(strstr(svg, "Vanished: 2.9 KiB in 2 frames that the second profile does not have."));
	assert_non_null(strstr(svg, "<title>a: 100 B before, 400 B after (88.89 % of all)</title>"));
	assert_null(strstr(svg, "<title>gone"));
	free(svg);
	p.options.before = true;
	svg = drawn(&p);
	assert_non_null(strstr(svg, "New: 50 B in 1 frame that the first profile does not have."));
	assert_non_null(strstr(svg, "<title>gone: 2.9 KiB before, 0 B after (0.00 % of all)</title>"));
	assert_null(strstr(svg, "<title>new"));
	free(svg);
}

static void flamegraph_normalizes(void **state)
{
	struct picture p = { "a 10\nb 10\n", "a 30\nb 30\n", METRIC_CPU, { .before_scale = 3 } };
	char *svg = drawn(&p);

	(void)state;
	assert_int_equal(occurrences(svg, "<g class=\"f d0\">"), 3); /* twice as long, the same shares: nothing grew */
	free(svg);
	p.options.before_scale = 0;
	svg = drawn(&p);
	assert_int_equal(occurrences(svg, "<g class=\"f d0\">"), 0);
	free(svg);
}

static const struct {
	double delta, largest;
	int want;
} colours[] = {
	{ 0, 0, 0 },      { 0, 100, 0 },    { 100, 100, 10 },   { -100, 100, -10 }, { 25, 100, 5 },
	{ -25, 100, -5 }, { 1e-9, 100, 1 }, { -1e-9, 100, -1 }, { 200, 100, 10 },
};

static void flamegraph_diff_colours(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(colours); i++)
		assert_int_equal(flamegraph_diff_colour(colours[i].delta, colours[i].largest), colours[i].want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flamegraph_draws_every_frame),   cmocka_unit_test(flamegraph_says_bytes),
		cmocka_unit_test(flamegraph_drops_narrow_frames), cmocka_unit_test(flamegraph_escapes_names),
		cmocka_unit_test(flamegraph_tells_what_vanished), cmocka_unit_test(flamegraph_normalizes),
		cmocka_unit_test(flamegraph_diff_colours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
