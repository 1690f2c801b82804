/* Tests of buf.c: growth, termination, ownership, and the sticky failure. */
#include "t.h"

#include <stdio.h>

#include "buf.h"

static void buf_starts_empty(void **state)
{
	struct buf b = { 0 };

	(void)state;
	buf_add(&b, "", 0);
	assert_non_null(b.data);
	assert_string_equal(b.data, "");
	assert_int_equal(b.len, 0);
	buf_done(&b);
	assert_null(b.data);
	buf_done(&b); /* a second time is harmless */
}

/* Every length around the growth steps, added whole and byte by byte: the same content, always terminated. */
static void buf_appends_every_length(void **state)
{
	char text[300];

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i * 7 + 1);
	for (size_t len = 0; len <= sizeof(text); len++) {
		struct t_guarded source = t_guarded_new(text, len);
		struct buf whole = { 0 }, single = { 0 };

		buf_add(&whole, source.data, len);
		for (size_t i = 0; i < len; i++)
			buf_add_char(&single, text[i]);
		buf_add(&single, "", 0);
		assert_false(whole.failed || single.failed);
		assert_int_equal(whole.len, len);
		assert_int_equal(single.len, len);
		assert_memory_equal(whole.data, single.data, len + 1);
		assert_int_equal(whole.data[len], '\0');
		assert_true(whole.cap > len);
		buf_done(&whole);
		buf_done(&single);
		t_guarded_free(&source);
	}
}

/* Formatted text of every length across the first growth steps (64, 128, 256): nothing cut, nothing lost before it. */
static void buf_printf_crosses_growth(void **state)
{
	(void)state;
	for (int before = 0; before < 70; before++) {
		for (int width = 1; width < 200; width += 3) {
			struct buf b = { 0 };
			char want[300];

			for (int i = 0; i < before; i++)
				buf_add_char(&b, 'x');
			buf_printf(&b, "%*d|%s", width, 42, "end");
			(void)snprintf(want, sizeof(want), "%.*s%*d|end", before,
			               "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", width,
			               42);
			assert_string_equal(b.data, want);
			assert_int_equal(b.len, strlen(want));
			buf_done(&b);
		}
	}
}

static void buf_holds_any_byte(void **state)
{
	struct buf b = { 0 };

	(void)state;
	buf_add(&b, "a\0b", 3);
	buf_add_str(&b, "c");
	assert_int_equal(b.len, 4);
	assert_memory_equal(b.data, "a\0bc", 5);
	buf_done(&b);
}

static void buf_clear_keeps_memory(void **state)
{
	struct buf b = { 0 };
	char *data;
	size_t cap;

	(void)state;
	buf_clear(&b); /* legal on an empty one */
	buf_printf(&b, "%0200d", 1);
	data = b.data;
	cap = b.cap;
	buf_clear(&b);
	assert_int_equal(b.len, 0);
	assert_string_equal(b.data, "");
	buf_add_str(&b, "again");
	assert_ptr_equal(b.data, data);
	assert_int_equal(b.cap, cap);
	assert_string_equal(b.data, "again");
	buf_done(&b);
}

static void buf_take_moves(void **state)
{
	struct buf b = { 0 };
	size_t len = 99;
	char *text;

	(void)state;
	buf_add_str(&b, "mine");
	text = buf_take(&b, &len);
	assert_string_equal(text, "mine");
	assert_int_equal(len, 4);
	assert_null(b.data);
	assert_int_equal(b.len, 0);
	free(text);

	text = buf_take(&b, NULL); /* of an empty buffer: an empty string, not NULL */
	assert_non_null(text);
	assert_string_equal(text, "");
	free(text);
}

/* A size no machine has: fails, stays failed, keeps what was there, and take gives nothing. */
static void buf_failure_is_sticky(void **state)
{
	static const size_t sizes[] = { SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2, SIZE_MAX / 2 - 4 };
	size_t len = 99;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct buf b = { 0 };

		buf_add_str(&b, "kept");
		buf_add(&b, "", sizes[i]); /* refused before a byte is read */
		assert_true(b.failed);
		buf_add_str(&b, "ignored");
		buf_add_char(&b, '!');
		buf_printf(&b, "%d", 1);
		assert_int_equal(b.len, 4);
		assert_string_equal(b.data, "kept");
		assert_null(buf_take(&b, &len));
		assert_int_equal(len, 99);
		assert_null(b.data);
	}
}

static void buf_clear_forgives(void **state)
{
	struct buf b = { 0 };

	(void)state;
	buf_add(&b, "", SIZE_MAX);
	assert_true(b.failed);
	buf_clear(&b);
	buf_add_str(&b, "works");
	assert_false(b.failed);
	assert_string_equal(b.data, "works");
	buf_done(&b);
}

static int take_or_refuse(void *context, const char *data, size_t len)
{
	struct buf *to = context;

	if (len >= 3 && memcmp(data + len - 3, "bad", 3) == 0)
		return -1;
	buf_add(to, data, len);
	return 0;
}

/* A little waits, much goes, and a refusal is a failure that lasts. */
static void buf_pours_into_its_drain(void **state)
{
	struct buf got = { 0 }, b = { .drain = take_or_refuse, .drain_context = &got }, plain = { 0 };

	(void)state;
	buf_pour_all(&b); /* nothing yet */
	buf_add_str(&b, "some");
	buf_pour(&b);
	assert_int_equal(got.len, 0);
	while (got.len == 0) {
		buf_add_str(&b, ", more");
		buf_pour(&b);
	}
	assert_int_equal(b.len, 0);
	assert_int_equal((got.len - 4) % 6, 0);
	buf_add_str(&b, "bad");
	buf_pour_all(&b);
	assert_true(b.failed);
	buf_add_str(&plain, "stays");
	buf_pour_all(&plain);
	assert_string_equal(plain.data, "stays");
	buf_done(&b);
	buf_done(&got);
	buf_done(&plain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buf_starts_empty),          cmocka_unit_test(buf_appends_every_length),
		cmocka_unit_test(buf_printf_crosses_growth), cmocka_unit_test(buf_holds_any_byte),
		cmocka_unit_test(buf_clear_keeps_memory),    cmocka_unit_test(buf_take_moves),
		cmocka_unit_test(buf_failure_is_sticky),     cmocka_unit_test(buf_clear_forgives),
		cmocka_unit_test(buf_pours_into_its_drain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
