/* Tests of metrics_address.c: what PERFPROBE_METRICS may be. */
#include "t.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "metrics_address.h"

static void what_is_an_address(void **state)
{
	static const struct {
		const char *text, *where;
		enum metrics_kind kind;
		unsigned first, last;
	} rows[] = {
		{ "9464", "http://127.0.0.1:9464/metrics", METRICS_IPV4, 9464, 9464 },
		{ ":9464", "http://127.0.0.1:9464/metrics", METRICS_IPV4, 9464, 9464 },
		{ "9464-9479", "http://127.0.0.1:9464/metrics", METRICS_IPV4, 9464, 9479 },
		{ "localhost:1", "http://127.0.0.1:1/metrics", METRICS_IPV4, 1, 1 },
		{ "127.0.0.1:0", "http://127.0.0.1:0/metrics", METRICS_IPV4, 0, 0 },
		{ "0.0.0.0:65535", "http://0.0.0.0:65535/metrics", METRICS_IPV4, 65535, 65535 },
		{ "192.0.2.1:100-355", "http://192.0.2.1:100/metrics", METRICS_IPV4, 100, 355 },
		{ "[::1]:9464", "http://[::1]:9464/metrics", METRICS_IPV6, 9464, 9464 },
		{ "[::]:80-81", "http://[::]:80/metrics", METRICS_IPV6, 80, 81 },
		{ "[2001:DB8::10:0:0:1]:9", "http://[2001:db8::10:0:0:1]:9/metrics", METRICS_IPV6, 9, 9 },
		{ "[1:2:3:4:5:6:7:8]:9", "http://[1:2:3:4:5:6:7:8]:9/metrics", METRICS_IPV6, 9, 9 },
		{ "[1::]:9", "http://[1::]:9/metrics", METRICS_IPV6, 9, 9 },
		{ "[1:0:0:2:0:0:0:3]:9", "http://[1:0:0:2::3]:9/metrics", METRICS_IPV6, 9, 9 },
		{ "unix:/run/x.sock", "unix:/run/x.sock", METRICS_UNIX, 0, 0 },
		{ "off", NULL, METRICS_OFF, 0, 0 },
		{ "", NULL, METRICS_OFF, 0, 0 },
	};
	char where[METRICS_WHERE_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct metrics_address a;

		memset(&a, 0xa5, sizeof(a));
		T_CHECK(rows[i].text, metrics_address_parse(rows[i].text, &a) == NULL);
		T_CHECK(rows[i].text, a.kind == rows[i].kind && a.first == rows[i].first && a.last == rows[i].last);
		if (!rows[i].where)
			continue;
		metrics_address_where(&a, a.first, a.path, where);
		T_STR(rows[i].text, where, rows[i].where);
	}
}

static void what_is_none(void **state)
{
	static const char *const rows[] = { "x",
		                            "-1",
		                            "9464-",
		                            "9464-9463",
		                            "9464-9720", /* one too many */
		                            "0-3",
		                            "65536",
		                            "99999999999999999999",
		                            "9464 ",
		                            " 9464",
		                            "9464/metrics",
		                            "*:9464",
		                            "127.0.0.1",
		                            "127.0.0.1:",
		                            "127.0.0:9464",
		                            "127.0.0.1.1:9464",
		                            "127.0.0.256:9464",
		                            "127..0.1:9464",
		                            "example.com:9464",
		                            "http://127.0.0.1:9464",
		                            "::1:9464",
		                            "[::1]",
		                            "[::1]9464",
		                            "[::1:9464",
		                            "[:::1]:9464",
		                            "[1::2::3]:9464",
		                            "[1:2:3:4:5:6:7]:9464",
		                            "[1:2:3:4:5:6:7:8:9]:9464",
		                            "[::1:2:3:4:5:6:7:8]:9464",
		                            "[12345::]:9464",
		                            "[1:]:9464",
		                            "[]:9464",
		                            "[",
		                            "unix:",
		                            "unix:relative.sock",
		                            "OFF",
		                            "on" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct metrics_address a, before;
		struct t_guarded text = t_guarded_new(rows[i], strlen(rows[i]) + 1);

		memset(&a, 0xa5, sizeof(a));
		before = a;
		T_CHECK(rows[i], metrics_address_parse((const char *)text.data, &a) != NULL);
		T_CHECK(rows[i], memcmp(&a, &before, sizeof(a)) == 0);
		t_guarded_free(&text);
	}
}

/* Every form that libc prints is read as libc reads it. */
static void ipv6_is_as_libc_has_it(void **state)
{
	uint32_t random = 1;

	(void)state;
	for (unsigned n = 0; n < 20000; n++) {
		uint8_t ip[16];
		char plain[INET6_ADDRSTRLEN], text[80], where[METRICS_WHERE_BYTES], want[METRICS_WHERE_BYTES];
		struct metrics_address a;

		for (unsigned i = 0; i < 8; i++) {
			random = random * 1103515245u + 12345u;
			ip[2 * i] = (uint8_t)(random >> 28 & 1 ? random >> 16 : 0);
			ip[2 * i + 1] = (uint8_t)(random >> 29 & 1 ? random >> 8 : 0);
		}
		assert_non_null(inet_ntop(AF_INET6, ip, plain, sizeof(plain)));
		if (strchr(plain, '.'))
			continue; /* a form with IPv4 in it, which is not taken */
		(void)snprintf(text, sizeof(text), "[%s]:7", plain);
		T_CHECK(text, metrics_address_parse(text, &a) == NULL);
		T_CHECK(text, memcmp(a.ip, ip, sizeof(ip)) == 0);
		metrics_address_where(&a, 7, NULL, where);
		(void)snprintf(want, sizeof(want), "http://[%s]:7/metrics", plain);
		T_STR(text, where, want);
	}
}

static void paths(void **state)
{
	char text[200], path[METRICS_PATH_BYTES];
	struct metrics_address a;

	(void)state;
	assert_null(metrics_address_parse("unix:/run/%p/%p.sock", &a));
	metrics_address_path(&a, 4194304, path);
	T_STR("two", path, "/run/4194304/4194304.sock");
	assert_null(metrics_address_parse("unix:/%", &a));
	metrics_address_path(&a, 1, path);
	T_STR("percent", path, "/%");
	for (size_t len = 90; len < 120; len++) {
		memset(text, 'x', sizeof(text));
		memcpy(text, "unix:/%p", 8);
		text[5 + len] = '\0';
		T_CHECK(text, (metrics_address_parse(text, &a) == NULL) == (len + 8 < METRICS_PATH_BYTES));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_an_address),
		cmocka_unit_test(what_is_none),
		cmocka_unit_test(ipv6_is_as_libc_has_it),
		cmocka_unit_test(paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
