/* Tests of jsonpath.c and json_scan.c: what a path finds, what is refused, and texts that are cut anywhere. */
#include "t.h"

#include <errno.h>

#include "json_scan.h"
#include "jsonpath.h"

static const char store[] = "{\"a\":{\"b\":[10,20,{\"c\":\"x\\u00e9\"},30]},\"list\":[{\"id\":1,\"k\":\"p\",\"price\":"
                            "5},{\"id\":2,\"k\":\"q\",\"price\":15}],"
                            " \"odd key\" : true, \"n\":null,\"e\":{},\"deep\":{\"id\":7,\"in\":{\"id\":8}}}";

static const struct {
	const char *name, *path;
	size_t index;
	const char *want; /* NULL: nothing */
	size_t count;
	bool definite;
} finds[] = {
	{ "the whole", "$", 0, store, 1, true },
	{ "a name", "$.a.b[0]", 0, "10", 1, true },
	{ "without the dollar", "a.b[1]", 0, "20", 1, true },
	{ "a name in quotes", "$['odd key']", 0, "true", 1, true },
	{ "in double quotes", "$[\"a\"][\"b\"][3]", 0, "30", 1, true },
	{ "from the end", "$.a.b[-1]", 0, "30", 1, true },
	{ "a text keeps its escapes", "$.a.b[2].c", 0, "\"x\\u00e9\"", 1, true },
	{ "null is a value", "$.n", 0, "null", 1, true },
	{ "nothing of that name", "$.x", 0, NULL, 0, true },
	{ "an index that is none", "$.a.b[4]", 0, NULL, 0, true },
	{ "an index of an object", "$.a[0]", 0, NULL, 0, true },
	{ "a name of an array", "$.list.id", 0, NULL, 0, true },
	{ "all of a list", "$.list[*].id", 1, "2", 2, false },
	{ "all of an object", "$.e.*", 0, NULL, 0, false },
	{ "a slice", "$.a.b[1:3]", 1, "{\"c\":\"x\\u00e9\"}", 2, false },
	{ "an open slice", "$.a.b[2:]", 1, "30", 2, false },
	{ "a slice from the end", "$.a.b[-2:]", 0, "{\"c\":\"x\\u00e9\"}", 2, false },
	{ "anywhere", "$..id", 2, "7", 4, false },
	{ "anywhere, the deepest", "$..id", 3, "8", 4, false },
	{ "two names", "$.list[0]['id','k']", 1, "\"p\"", 2, false },
	{ "by a text", "$.list[?(@.k == 'q')].id", 0, "2", 1, false },
	{ "by a number", "$.list[?(@.price < 10)].id", 0, "1", 1, false },
	{ "not equal", "$.list[?(@.k != 'q')].id", 0, "1", 1, false },
	{ "has it", "$.list[?(@.price)].id", 1, "2", 2, false },
};

static void finds_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(finds); i++) {
		const struct jsonpath *path = NULL;
		struct keep keep = { 0 };
		struct err err = { 0 };
		struct jsonpath_value v = { 0 };
		bool found;

		if (jsonpath_compile(&keep, finds[i].path, &path, &err) < 0)
			fail_msg("%s: %s", finds[i].name, err.text);
		found = jsonpath_find(path, store, strlen(store), finds[i].index, &v);
		T_CHECK(finds[i].name, found == (finds[i].want != NULL));
		T_CHECK(finds[i].name,
		        !found || (v.len == strlen(finds[i].want) && memcmp(v.at, finds[i].want, v.len) == 0));
		T_CHECK(finds[i].name, jsonpath_count(path, store, strlen(store)) == finds[i].count);
		T_CHECK(finds[i].name, jsonpath_is_definite(path) == finds[i].definite);
		keep_done(&keep);
	}
}

static void refuses_paths(void **state)
{
	static const char *const paths[] = { "$.",           "$[",   "$[1", "$['a",  "$.a b[",        "$[?(1==1)]",
		                             "$[?(@.a ==)]", "$[x]", "$..", "$.a..", "$[99999999999]" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		const struct jsonpath *path = NULL;
		struct keep keep = { 0 };
		struct err err = { 0 };

		T_CHECK(paths[i], jsonpath_compile(&keep, paths[i], &path, &err) == -EINVAL && err.text[0]);
		T_CHECK(paths[i], path == NULL);
		keep_done(&keep);
	}
}

/* Every prefix of the text, ending at a page that must not be touched. */
static void survives_cut_texts(void **state)
{
	static const char *const paths[] = { "$..id", "$.list[?(@.k == 'q')].id", "$.a.b[-1]", "$.*" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		const struct jsonpath *path;
		struct keep keep = { 0 };

		assert_int_equal(jsonpath_compile(&keep, paths[i], &path, NULL), 0);
		for (size_t len = 0; len < strlen(store); len++) {
			struct t_guarded g = t_guarded_new(store, len);
			struct jsonpath_value v;

			assert_false(
			        jsonpath_find(path, (const char *)g.data, len, 0, &v)); /* it does not end: no value */
			t_guarded_free(&g);
		}
		keep_done(&keep);
	}
}

static void decodes_texts(void **state)
{
	static const struct {
		const char *json, *want; /* NULL: refused */
	} rows[] = { { "\"\"", "" },
		     { "\"a\\n\\\"b\\\\\\/\"", "a\n\"b\\/" },
		     { "\"\\u0041\\u00e9\\u20ac\"", "A\u00e9\u20ac" },
		     { "\"\\ud83d\\ude00\"", "\U0001f600" },
		     { "\"\\ud83d\"", "\ufffd" },
		     { "\"\\x\"", NULL },
		     { "\"\\u12\"", NULL } };
	char out[64];
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool ok = json_scan_text(rows[i].json, strlen(rows[i].json), out, &len);

		T_CHECK(rows[i].json, ok == (rows[i].want != NULL));
		if (ok)
			T_STR(rows[i].json, out, rows[i].want);
	}
}

static void matches_brackets(void **state)
{
	static const struct {
		const char *text;
		int len; /* of the value; -1: none */
	} rows[] = { { "[1,2] x", 5 }, { "{\"a\":[}]}", -1 }, { "[}", -1 },     { "\"a]\"", 4 }, { "[\"]\"]", 5 },
		     { "nul", -1 },    { "null", 4 },         { "-1.5e3,", 6 }, { "]", -1 },     { "\"abc", -1 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *end = json_scan_value(rows[i].text, rows[i].text + strlen(rows[i].text));

		T_CHECK(rows[i].text, (end ? (int)(end - rows[i].text) : -1) == rows[i].len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_values),       cmocka_unit_test(refuses_paths),
		cmocka_unit_test(survives_cut_texts), cmocka_unit_test(decodes_texts),
		cmocka_unit_test(matches_brackets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
