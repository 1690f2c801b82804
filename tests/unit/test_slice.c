#include "slice.h"
#include "t.h"

static void a_route_is_like_its_paths(void **state)
{
	static const struct {
		const char *route, *path;
		bool like;
	} rows[] = {
		{ "/", "/", true },
		{ "/users", "/users", true },
		{ "/users", "/users/", false },
		{ "/users", "/user", false },
		{ "/users/*", "/users/17", true },
		{ "/users/*", "/users", false },
		{ "/users/*", "/users/17/orders", false },
		{ "/users/*/orders", "/users/17/orders", true },
		{ "/users/*/orders", "/users/17/cart", false },
		{ "/a/**", "/a/b/c/d", true },
		{ "/a/**", "/a/b", true },
		{ "/a/**", "/b/c", false },
		{ "*", "*", true },
		{ "_OTHER", "/x", false },
		{ "nightly job", "nightly job", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (slice_path_matches(rows[i].route, rows[i].path) != rows[i].like)
			fail_msg("%s and %s", rows[i].route, rows[i].path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_route_is_like_its_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
