/* Tests of json_write.c: commas and nesting, escapes, hostile UTF-8, numbers. */
#include "t.h"

#include <math.h>
#include <stdio.h>

#include "json_write.h"

static void json_commas_and_nesting(void **state)
{
	struct buf b = { 0 };
	struct json j;

	(void)state;
	json_init(&j, &b);
	json_object_begin(&j);
	json_key_string(&j, "a", "x");
	json_key(&j, "list");
	json_array_begin(&j);
	json_u64(&j, 1);
	json_object_begin(&j);
	json_object_end(&j);
	json_array_begin(&j);
	json_array_end(&j);
	json_null(&j);
	json_array_end(&j);
	json_key_bool(&j, "t", true);
	json_key_bool(&j, "f", false);
	json_key_i64(&j, "i", -5);
	json_key_u64(&j, "u", 5);
	json_key_double(&j, "d", 0.5);
	json_key(&j, "raw");
	json_raw(&j, "[0]");
	json_object_end(&j);
	assert_string_equal(b.data, "{\"a\":\"x\",\"list\":[1,{},[],null],\"t\":true,\"f\":false,\"i\":-5,\"u\":5,"
	                            "\"d\":0.5,\"raw\":[0]}");
	assert_int_equal(j.depth, 0);
	buf_done(&b);
}

static const struct {
	const char *name, *bytes;
	size_t len;
	const char *want;
} strings[] = {
#define ROW(name, text, want)                                \
	{                                                    \
		name, text, sizeof(text) - 1, "\"" want "\"" \
	}
	ROW("empty", "", ""),
	ROW("plain", "main", "main"),
	ROW("quote and backslash", "a\"b\\c", "a\\\"b\\\\c"),
	ROW("newline and tab", "a\nb\tc", "a\\nb\\tc"),
	ROW("NUL", "a\0b", "a\\u0000b"),
	ROW("other controls", "\x01\x1f\x7f\r", "\\u0001\\u001f\\u007f\\u000d"),
	ROW("slash stays", "/usr", "/usr"),
	ROW("two bytes", "\xc3\xa9", "\xc3\xa9"),
	ROW("smallest two", "\xc2\x80", "\\u0080"),
	ROW("three bytes", "\xe2\x82\xac", "\xe2\x82\xac"),
	ROW("smallest three", "\xe0\xa0\x80", "\xe0\xa0\x80"),
	ROW("C1: a terminal takes U+009B for ESC [", "\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0",
	    "\\u0080\\u009b\\u009f\xc2\xa0"),
	ROW("overrides and separators", "\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xae\xe2\x80\xaf\xe2\x81\xa6\xe2\x81\xa9",
	    "\xe2\x80\xa7\\u2028\\u202e\xe2\x80\xaf\\u2066\\u2069"),
	ROW("below surrogates", "\xed\x9f\xbf", "\xed\x9f\xbf"),
	ROW("four bytes", "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"),
	ROW("largest", "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"),
	ROW("lone continuation", "\x80", "\\ufffd"),
	ROW("overlong slash", "\xc0\xaf", "\\ufffd\\ufffd"),
	ROW("overlong three", "\xe0\x9f\xbf", "\\ufffd\\ufffd\\ufffd"),
	ROW("overlong four", "\xf0\x8f\xbf\xbf", "\\ufffd\\ufffd\\ufffd\\ufffd"),
	ROW("surrogate", "\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd"),
	ROW("beyond the last", "\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"),
	ROW("never a lead", "\xff\xfe", "\\ufffd\\ufffd"),
	ROW("cut short at the end", "a\xe2\x82", "a\\ufffd\\ufffd"),
	ROW("cut short before ASCII", "\xe2\x82z", "\\ufffd\\ufffdz"),
	ROW("script end survives", "</script>", "</script>"),
#undef ROW
};

/* The input ends at a forbidden page: a decoder that looks for the missing continuation byte dies here. */
static void json_strings(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(strings); i++) {
		struct t_guarded text = t_guarded_new(strings[i].bytes, strings[i].len);
		struct buf b = { 0 };
		struct json j;

		json_init(&j, &b);
		json_string_n(&j, (const char *)text.data, text.len);
		T_STR(strings[i].name, b.data, strings[i].want);
		buf_done(&b);
		t_guarded_free(&text);
	}
}

/* Every pair of bytes: what comes out is printable ASCII, or the same bytes when they were valid UTF-8. */
static void json_every_pair_of_bytes(void **state)
{
	(void)state;
	for (unsigned pair = 0; pair < 65536; pair++) {
		const char text[2] = { (char)(pair >> 8), (char)(pair & 255) };
		struct buf b = { 0 };
		struct json j;
		bool c1 = (pair >> 8) == 0xc2 && (pair & 255) < 0xa0; /* controls are escaped */
		bool two = (pair >> 8) >= 0xc2 && (pair >> 8) <= 0xdf && (pair & 0xc0) == 0x80 && !c1;

		json_init(&j, &b);
		json_string_n(&j, text, 2);
		assert_false(b.failed);
		assert_true(b.data[0] == '"' && b.data[b.len - 1] == '"');
		if (two) {
			assert_int_equal(b.len, 4);
			assert_memory_equal(b.data + 1, text, 2);
		} else {
			for (size_t i = 0; i < b.len; i++)
				assert_true(b.data[i] >= 0x20 && b.data[i] < 0x7f);
		}
		buf_done(&b);
	}
}

static void json_null_string(void **state)
{
	struct buf b = { 0 };
	struct json j;

	(void)state;
	json_init(&j, &b);
	json_array_begin(&j);
	json_string(&j, NULL);
	json_string(&j, "");
	json_array_end(&j);
	assert_string_equal(b.data, "[null,\"\"]");
	buf_done(&b);
}

static void json_keys_are_escaped(void **state)
{
	struct buf b = { 0 };
	struct json j;

	(void)state;
	json_init(&j, &b);
	json_object_begin(&j);
	json_key_string(&j, "a\"\n", "v");
	json_object_end(&j);
	assert_string_equal(b.data, "{\"a\\\"\\n\":\"v\"}");
	buf_done(&b);
}

static const struct {
	double value;
	const char *want;
} doubles[] = {
	{ 0, "0" },      { 1, "1" },           { -1.5, "-1.5" },
	{ 0.1, "0.1" },  { 1e300, "1e+300" },  { 123456789012345, "123456789012345" },
	{ NAN, "null" }, { INFINITY, "null" }, { -INFINITY, "null" },
};

static void json_numbers(void **state)
{
	struct buf b = { 0 };
	struct json j;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(doubles); i++) {
		buf_clear(&b);
		json_init(&j, &b);
		json_double(&j, doubles[i].value);
		T_STR("double", b.data, doubles[i].want);
	}
	buf_clear(&b);
	json_init(&j, &b);
	json_array_begin(&j);
	json_u64(&j, UINT64_MAX);
	json_i64(&j, INT64_MIN);
	json_i64(&j, INT64_MAX);
	json_array_end(&j);
	assert_string_equal(b.data, "[18446744073709551615,-9223372036854775808,9223372036854775807]");
	buf_done(&b);
}

/* To the deepest level allowed and back, alternating kinds, each level with two items. */
static void json_full_depth(void **state)
{
	struct buf b = { 0 };
	struct json j;
	size_t opened = 0, closed = 0;

	(void)state;
	json_init(&j, &b);
	for (int i = 0; i < JSON_MAX_DEPTH; i++) {
		if (i % 2 == 0) {
			json_object_begin(&j);
			json_key_u64(&j, "n", 1);
			json_key(&j, "k");
		} else {
			json_array_begin(&j);
			json_null(&j);
		}
	}
	json_u64(&j, 7); /* the deepest level is an array (the last i is odd) */
	for (int i = JSON_MAX_DEPTH - 1; i >= 0; i--) {
		if (i % 2 == 0)
			json_object_end(&j);
		else
			json_array_end(&j);
	}
	for (size_t i = 0; i < b.len; i++) {
		opened += b.data[i] == '{' || b.data[i] == '[';
		closed += b.data[i] == '}' || b.data[i] == ']';
	}
	assert_int_equal(j.depth, 0);
	assert_int_equal(opened, JSON_MAX_DEPTH);
	assert_int_equal(closed, JSON_MAX_DEPTH);
	assert_memory_equal(b.data, "{\"n\":1,\"k\":[null,{\"n\":1,\"k\":[null,", 32);
	assert_non_null(strstr(b.data, "[null,7]}"));
	buf_done(&b);
}

/* After a failed growth nothing crashes, and the buffer says so. */
static void json_out_of_memory_is_sticky(void **state)
{
	struct buf b = { 0 };
	struct json j;

	(void)state;
	buf_add(&b, "", SIZE_MAX);
	json_init(&j, &b);
	json_object_begin(&j);
	json_key_string(&j, "k", "v");
	json_object_end(&j);
	assert_true(b.failed);
	assert_int_equal(b.len, 0);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_commas_and_nesting),  cmocka_unit_test(json_strings),
		cmocka_unit_test(json_every_pair_of_bytes), cmocka_unit_test(json_null_string),
		cmocka_unit_test(json_keys_are_escaped),    cmocka_unit_test(json_numbers),
		cmocka_unit_test(json_full_depth),          cmocka_unit_test(json_out_of_memory_is_sticky),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
