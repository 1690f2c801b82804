#include <stdio.h>
#include <string.h>

#include "serve_peer.h"
#include "t.h"

static void host_names_this_machine(void **state)
{
	static const struct {
		const char *host;
		uint16_t port;
		bool fits;
	} rows[] = {
		{ "127.0.0.1:8765", 8765, true },
		{ "localhost:8765", 8765, true },
		{ "LocalHost:8765", 8765, true },
		{ "[::1]:8765", 8765, true },
		{ "127.0.0.1", 80, true },
		{ "127.0.0.1", 8765, false },
		{ "127.0.0.1:876", 8765, false },
		{ "127.0.0.1:87650", 8765, false },
		{ "evil.example:8765", 8765, false },
		{ "localhost.evil:8765", 8765, false },
		{ "127.0.0.1.evil:8765", 8765, false },
		{ "127.0.0.1:8765 ", 8765, false },
		{ "", 80, false },
		{ NULL, 80, false },
		{ "2130706433:8765", 8765, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (serve_peer_host_fits(rows[i].host, rows[i].port) != rows[i].fits)
			fail_msg("%s", rows[i].host ? rows[i].host : "none");
}

/* Lines as Linux prints them. */
static void a_socket_has_an_owner(void **state)
{
	static const char v4[] =
	        "   3: 0100007F:9C42 0100007F:223D 01 00000000:00000000 00:00000000 00000000  1000        0 35190 1\n";
	static const char v6[] = "   0: 0000000000000000FFFF00000100007F:9C42 0000000000000000FFFF00000100007F:223D 01 "
	                         "00000000:00000000 "
	                         "00:00000000 00000000  1001        0 35191 1\n";
	uint32_t uid = 7;

	(void)state;
	assert_true(serve_peer_line(v4, 0x9c42, 0x223d, &uid));
	assert_int_equal(uid, 1000);
	assert_true(serve_peer_line(v6, 0x9c42, 0x223d, &uid));
	assert_int_equal(uid, 1001);
	assert_false(serve_peer_line(v4, 0x223d, 0x9c42, &uid)); /* our own end */
	assert_false(serve_peer_line(v4, 0x9c43, 0x223d, &uid));
	assert_false(serve_peer_line("   3: 0200007F:9C42 0100007F:223D 01 0:0 0:0 0 1000\n", 0x9c42, 0x223d, &uid));
	assert_false(serve_peer_line("  sl  local_address rem_address   st\n", 0, 0, &uid));
	assert_false(serve_peer_line("", 0, 0, &uid));
	assert_int_equal(uid, 1001);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_names_this_machine),
		cmocka_unit_test(a_socket_has_an_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
