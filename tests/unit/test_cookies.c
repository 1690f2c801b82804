/* Tests of cookies.c: which cookies go where, and which are forgotten. */
#include "t.h"

#include <stdio.h>

#include "cookies.h"

static const struct {
	const char *name, *host, *target, *head; /* what came from there */
	const char *to_host, *to, *want;         /* what goes there then */
} rows[] = {
	{ "one", "h", "/", "Set-Cookie: a=1\r\n", "h", "/x", "a=1" },
	{ "names of headers have no case", "h", "/", "HTTP/1.1 200 OK\r\nset-cookie: a=1; HttpOnly\r\n", "h", "/",
	  "a=1" },
	{ "two", "h", "/", "Set-Cookie: a=1\r\nX: y\r\nSet-Cookie: b=2\r\n", "h", "/", "a=1; b=2" },
	{ "another host", "h", "/", "Set-Cookie: a=1\r\n", "i", "/", "" },
	{ "the path it came from", "h", "/x/y", "Set-Cookie: a=1\r\n", "h", "/x/z", "a=1" },
	{ "not above it", "h", "/x/y", "Set-Cookie: a=1\r\n", "h", "/z", "" },
	{ "a path of its own", "h", "/", "Set-Cookie: a=1; Path=/p\r\n", "h", "/p?q", "a=1" },
	{ "not beside it", "h", "/", "Set-Cookie: a=1; Path=/p\r\n", "h", "/pq", "" },
	{ "a new value", "h", "/", "Set-Cookie: a=1\r\nSet-Cookie: a=2\r\n", "h", "/", "a=2" },
	{ "forgotten by age", "h", "/", "Set-Cookie: a=1\r\nSet-Cookie: a=1; Max-Age=0\r\n", "h", "/", "" },
	{ "forgotten by date", "h", "/", "Set-Cookie: a=1\r\nSet-Cookie: a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT\r\n",
	  "h", "/", "" },
	{ "only over TLS", "h", "/", "Set-Cookie: a=1; Secure\r\n", "h", "/", "" },
	{ "without a name", "h", "/", "Set-Cookie: =1\r\nSet-Cookie: \r\nSet-Cookie: x\r\n", "h", "/", "" },
	{ "a value with an equals sign", "h", "/", "Set-Cookie: a=b=c\r\n", "h", "/", "a=b=c" },
	{ "a head that is cut", "h", "/", "Set-Cookie: a=1", "h", "/", "a=1" },
};

static void go_where_they_belong(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct t_guarded head = t_guarded_new(rows[i].head, strlen(rows[i].head));
		struct cookies cookies = { 0 };
		struct buf out = { 0 };

		T_CHECK(rows[i].name,
		        cookies_take(&cookies, rows[i].host, rows[i].target, (const char *)head.data, head.len));
		cookies_put(&cookies, rows[i].to_host, rows[i].to, false, &out);
		T_STR(rows[i].name, out.data ? out.data : "", rows[i].want);
		cookies_clear(&cookies);
		buf_clear(&out);
		cookies_put(&cookies, rows[i].to_host, rows[i].to, false, &out);
		T_CHECK(rows[i].name, out.len == 0);
		cookies_done(&cookies);
		buf_done(&out);
		t_guarded_free(&head);
	}
}

static void are_bounded(void **state)
{
	struct cookies cookies = { 0 };
	struct buf out = { 0 };
	char line[64];

	(void)state;
	for (int i = 0; i < 10 * COOKIES_MAX; i++) {
		int len = snprintf(line, sizeof(line), "Set-Cookie: n%d=v\r\n", i);

		assert_true(cookies_take(&cookies, "h", "/", line, (size_t)len));
	}
	assert_int_equal(cookies.count, COOKIES_MAX);
	cookies_put(&cookies, "h", "/", false, &out);
	assert_non_null(strstr(out.data, "n639=v"));
	assert_null(strstr(out.data, "n0=v"));
	cookies_done(&cookies);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(go_where_they_belong), cmocka_unit_test(are_bounded) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
