/* Tests of http_route.c: what paths and routes targets have. */
#include "t.h"

#include "http_route.h"

static void check(const char *target, bool cut, const char *want_path, const char *want_route)
{
	struct t_guarded g = t_guarded_new(target, strlen(target));
	char route[HTTP_ROUTE_BYTES], text[256];
	size_t n;
	bool still = cut;
	const char *path = http_path((const char *)g.data, g.len, &n, &still);

	memcpy(text, path, n);
	text[n] = '\0';
	T_STR(target, text, want_path);
	n = http_route(path, n, still, route);
	T_STR(target, route, want_route);
	assert_int_equal(n, strlen(route));
	t_guarded_free(&g);
}

static void test_routes(void **state)
{
	(void)state;
	check("/", false, "/", "/");
	check("/?", false, "/", "/");
	check("/a/b/?q=/1/2", false, "/a/b/", "/a/b/");
	check("/users/4711/orders/7", false, "/users/4711/orders/7", "/users/*/orders/*");
	check("/api/v1/items#x", false, "/api/v1/items", "/api/v1/items");
	check("/o/123e4567-e89b-12d3-a456-426614174000", false, "/o/123e4567-e89b-12d3-a456-426614174000", "/o/*");
	check("/h/deadbeef/feed", false, "/h/deadbeef/feed", "/h/*/feed");
	check("/a%20b/x*y", false, "/a%20b/x*y", "/*/*");
	check("http://host:80/p?x", false, "/p", "/p");
	check("http://host", false, "*", "*");
	check("host:443", false, "*", "*");
	check("*", false, "*", "*");
	check("", false, "", "*");
	check("/1/2/3/4/5/6/7/8/9", false, "/1/2/3/4/5/6/7/8/9", "/*/*/*/*/*/*/*/*/**");
	check("/a/bbb", true, "/a/bbb", "/a/**");
	check("/a/b?bbb", true, "/a/b", "/a/b");
	check("//", false, "//", "//");
	check("/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false,
	      "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "/*");
}

static void test_length_is_bounded(void **state)
{
	char target[256], route[HTTP_ROUTE_BYTES];

	(void)state;
	for (size_t n = 1; n < 200; n++) {
		size_t len;

		for (size_t i = 0; i < n; i++)
			target[i] = i % 30 == 0 ? '/' : 'q';
		len = http_route(target, n, false, route);
		assert_true(len < HTTP_ROUTE_BYTES && strlen(route) == len);
		assert_int_equal(n > HTTP_ROUTE_BYTES - 4, strcmp(route + len - (len > 2 ? 3 : 0), "/**") == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_routes), cmocka_unit_test(test_length_is_bounded) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
