/* Suppression files: LeakSanitizer's syntax, corner by corner. */
#include <errno.h>

#include "suppressions.h"
#include "t.h"

static const struct {
	const char *template, *text;
	bool matches;
} cases[] = {
	{ "leak", "my_leaking_function", true }, /* anywhere */
	{ "leak", "my_lea_king", false },
	{ "leak", "", false }, /* nothing matches an empty name */
	{ "*", "", false },
	{ "leak", NULL, false },
	{ "Leak", "leak", false }, /* case counts */
	{ "^my", "my_function", true },
	{ "^my", "not_my_function", false },
	{ "function$", "my_function", true },
	{ "function$", "functions", false },
	{ "^exact$", "exact", true },
	{ "^exact$", "exactly", false },
	{ "^exact$", "inexact", false },
	{ "a*z", "the a, some, z, more", true },
	{ "a*z", "z then a", false },
	{ "a*z$", "a to z", true },
	{ "a*z$", "a to z.", false },
	{ "^a*z$", "az", true },
	{ "*", "x", true },
	{ "**", "x", true },
	{ "^*b", "ab", true }, /* after '*' the beginning does not bind */
	{ "a*$", "abc", true },
	{ "a*$", "xyz", false },
	{ "$", "x", false },
	{ "*$", "x", true },
	{ "^$", "x", false },
	{ "^", "x", true },
	{ "a^b", "a^b", true }, /* in the middle it is a letter */
	{ "a^b", "ab", false },
	{ "ab$cd", "ab", true }, /* what follows '$' is not looked at */
	{ "ab$cd", "ab$cd", false },
	{ "a$", "aba", false }, /* the first 'a' is taken */
	{ "a*a$", "aba", true },
	{ "aab", "aaab", true },
	{ "libfoo.so", "/usr/lib/libfoo.so.1", true },
	{ "/src/*/cache.c$", "/build/src/server/cache.c", true },
	{ "operator new", "operator new(unsigned long)", true },
	{ "std::vector<*>::reserve", "std::vector<int, std::allocator<int> >::reserve(unsigned long)", true },
};

static void templates(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (suppression_matches(cases[i].template, cases[i].text) != cases[i].matches)
			fail_msg("'%s' and '%s' should%s match", cases[i].template,
			         cases[i].text ? cases[i].text : "(none)", cases[i].matches ? "" : " not");
}

static int add(struct suppressions *s, const char *text, size_t *ret_bad, struct err *err)
{
	struct t_guarded g = t_guarded_new(text, strlen(text)); /* no NUL behind it */
	int rc = suppressions_add(s, (const char *)g.data, g.len, "known.supp", ret_bad, err);

	t_guarded_free(&g);
	return rc;
}

static void files(void **state)
{
	struct suppressions s = { 0 };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(add(&s,
	                     "# a comment\n"
	                     "\n"
	                     "leak:one\n"
	                     "  \t leak:two  \t\r\n"
	                     "   # another\n"
	                     " \t\r\n"
	                     "leak: a b \n"
	                     "leak:#hash\n"
	                     "leak:a:b\n"
	                     "leak:last",
	                     NULL, &err),
	                 0);
	assert_int_equal(s.count, 6);
	assert_string_equal(s.items[0].template, "one");
	assert_string_equal(s.items[1].template, "two");
	assert_string_equal(s.items[2].template, " a b"); /* the blank after the colon is the template's */
	assert_string_equal(s.items[3].template, "#hash");
	assert_string_equal(s.items[4].template, "a:b");
	assert_string_equal(s.items[5].template, "last");
	assert_string_equal(s.items[5].source, "known.supp");
	assert_int_equal(s.items[0].line, 3);
	assert_int_equal(s.items[5].line, 10);
	assert_int_equal(add(&s, "", NULL, &err), 0);
	assert_int_equal(s.count, 6);
	suppressions_done(&s);
}

static void bad_lines(void **state)
{
	static const struct {
		const char *text, *words;
	} bad[] = {
		{ "leak:a\nrace:b\n", "known.supp:2: 'race:b' is no suppression; lines are leak:TEMPLATE" },
		{ "leak\n", "known.supp:1: 'leak' is no suppression" },
		{ "Leak:a\n", "known.supp:1: 'Leak:a' is no suppression" },
		{ "leak :a\n", "known.supp:1: 'leak :a' is no suppression" },
		{ "\n\nleak:  \n", "known.supp:3: a suppression without a template would hide every leak" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct suppressions s = { 0 };
		struct err err = { 0 };

		if (add(&s, bad[i].text, NULL, &err) != -EINVAL || !strstr(err.text, bad[i].words))
			fail_msg("\"%s\" where \"%s\" is expected", err.text, bad[i].words);
		suppressions_done(&s);
	}
}

static void bad_lines_of_the_program_are_left_out(void **state)
{
	struct suppressions s = { 0 };
	struct err err = { 0 };
	size_t bad = 0;

	(void)state;
	assert_int_equal(add(&s, "what\nleak:a\nleak:\nleak:b\n", &bad, &err), 0);
	assert_int_equal(bad, 2);
	assert_int_equal(s.count, 2);
	assert_non_null(strstr(err.text, "known.supp:1: 'what'"));
	suppressions_done(&s);
	assert_int_equal(suppressions_add(&s, "leak:a\0b", 8, "x", NULL, &err), -EINVAL);
	assert_non_null(strstr(err.text, "NUL"));
	suppressions_done(&s);
}

static void order_of_what_is_compared(void **state)
{
	struct suppressions s = { 0 };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(add(&s, "leak:file.c\nleak:fun\nleak:mod\nleak:un\n", NULL, &err), 0);
	/* Module, function, file; among several the first line. */
	assert_int_equal(suppressions_find(&s, "/lib/mod.so", "fun", "/a/file.c", false), 2);
	assert_int_equal(suppressions_find(&s, "/lib/other.so", "fun", "/a/file.c", false), 1);
	assert_int_equal(suppressions_find(&s, "/lib/other.so", "sun", "/a/file.c", false), 3);
	assert_int_equal(suppressions_find(&s, "/lib/other.so", "main", "/a/file.c", false), 0);
	assert_true(suppressions_find(&s, "/lib/other.so", "main", NULL, false) == SUPPRESSION_NONE);
	suppressions_done(&s);
}

static void built_in_ones(void **state)
{
	static const char loader[] = "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";
	struct suppressions s = { 0 };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(suppressions_add_built_in(&s, &err), 0);
	assert_true(suppressions_find(&s, loader, "__tls_get_addr", NULL, false) != SUPPRESSION_NONE);
	assert_true(suppressions_find(&s, "/lib/ld-linux-aarch64.so.1", "_dl_new_object", NULL, true) !=
	            SUPPRESSION_NONE);
	/* A constructor that the loader runs is the program's. */
	assert_true(suppressions_find(&s, loader, "call_init", NULL, false) == SUPPRESSION_NONE);
	assert_true(suppressions_find(&s, "/opt/build-linux/app", "main", "/src/ld-linux.c", true) == SUPPRESSION_NONE);
	suppressions_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(templates),
		cmocka_unit_test(files),
		cmocka_unit_test(bad_lines),
		cmocka_unit_test(bad_lines_of_the_program_are_left_out),
		cmocka_unit_test(order_of_what_is_compared),
		cmocka_unit_test(built_in_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
