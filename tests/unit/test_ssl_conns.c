/* Tests of ssl_conns.c: which SSL is which connection, and which descriptors are none of their own. */
#include "t.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include "config.h"
#include "losses.h"
#include "requests.h"
#include "sockets.h"
#include "ssl_conns.h"
#include "ssl_libs.h"

#define GET "GET /a HTTP/1.1\r\n\r\n"
#define OK  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/* An SSL of ours: what the library is asked about it. */
struct fake {
	int server, fd;
	bool bio;
	uintptr_t rest[8];
};

static int is_server(const struct ssl_st *ssl)
{
	return ((const struct fake *)ssl)->server;
}

static void *rbio(const struct ssl_st *ssl)
{
	return ((const struct fake *)ssl)->bio ? (void *)(uintptr_t)ssl : NULL;
}

static int rfd(const struct ssl_st *ssl)
{
	assert_true(((const struct fake *)ssl)->bio); /* else OpenSSL would note an error */
	return ((const struct fake *)ssl)->fd;
}

static const struct ssl_lib lib = { .call = { .SSL_is_server = is_server, .SSL_get_rbio = rbio, .SSL_get_rfd = rfd } };
static int pair[2];

static int begin(void **state)
{
	struct config config = { .window = UINT64_C(30000000000), .latency = 0 };

	(void)state;
	requests_init(&config);
	requests_fork_prepare();
	sockets_fork_prepare();
	sockets_fork_child();
	requests_fork_child(); /* empties all */
	losses_reset();
	store_relaxed(&sockets_on, true);
	return socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
}

static int done(void **state)
{
	(void)state;
	sockets_closing_range(0, UINT32_MAX);
	close(pair[0]);
	close(pair[1]);
	return 0;
}

static void in(const struct fake *f, const char *text)
{
	sockets_word_in(ssl_conns_word(&lib, f), text, strlen(text));
}

static void out(const struct fake *f, const char *text)
{
	sockets_word_out(ssl_conns_word(&lib, f), text, strlen(text));
}

static void hello(int fd)
{
	struct iovec part = { (void *)(uintptr_t) "\x16\x03\x01", 3 };

	if (sockets_follow(fd))
		sockets_in(fd, &part, 1, 3);
}

static uint64_t lost(enum loss which)
{
	return load_relaxed(&losses_count[which]);
}

static void totals(uint64_t count, uint64_t unanswered)
{
	assert_int_equal(requests_totals().count, count);
	assert_int_equal(requests_totals().unanswered, unanswered);
}

static void test_a_connection(void **state)
{
	struct fake ssl = { .server = 1, .fd = -1 };

	(void)state;
	in(&ssl, "GET /a HT");
	in(&ssl, "TP/1.1\r\n\r\n" GET);
	out(&ssl, OK);
	totals(1, 0);
	out(&ssl, OK);
	in(&ssl, GET);
	out(&ssl, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
	sockets_word_out_unseen(ssl_conns_word(&lib, &ssl), 100);
	totals(3, 0);
	in(&ssl, GET);
	ssl_conns_free(&ssl);
	totals(3, 1);
	in(&ssl, GET); /* another one at the same address */
	out(&ssl, "HTTP/1.0 200 OK\r\n\r\n");
	totals(3, 1);
	sockets_word_shut(ssl_conns_word(&lib, &ssl));
	totals(4, 1);
	ssl_conns_free(&ssl);
	ssl_conns_free(&ssl);
	totals(4, 1);
}

static void test_used_again(void **state)
{
	struct fake ssl = { .server = 1, .fd = -1 };

	(void)state;
	in(&ssl, "GET /half");
	ssl_conns_anew(&ssl);
	in(&ssl, GET);
	out(&ssl, OK);
	totals(1, 0);
	ssl_conns_up_ref(&ssl);
	ssl_conns_up_ref(&ssl);
	in(&ssl, GET);
	ssl_conns_free(&ssl);
	ssl_conns_free(&ssl);
	totals(1, 0);
	out(&ssl, OK); /* it is still there */
	totals(2, 0);
	in(&ssl, GET);
	ssl_conns_free(&ssl);
	totals(2, 1);
	assert_int_equal(lost(LOSS_HTTP_GIVEN_UP), 0);
}

/* SSL_read_early_data() calls SSL_read_ex() by name, which may come by our hook, or may not. */
static void test_calls_within_calls(void **state)
{
	struct fake ssl = { .server = 1, .fd = -1 };
	struct ssl_call outer, inner;

	(void)state;
	outer = ssl_conns_call(&lib, &ssl);
	inner = ssl_conns_call(&lib, &ssl);
	ssl_conns_received(&inner, GET, strlen(GET));
	ssl_conns_received(&outer, GET, strlen(GET));
	outer = ssl_conns_call(&lib, &ssl);
	ssl_conns_sent(&outer, OK, strlen(OK));
	totals(1, 0);
	outer = ssl_conns_call(&lib, &ssl);
	inner = ssl_conns_call(&lib, &ssl); /* brought nothing */
	ssl_conns_received(&outer, GET, strlen(GET));
	outer = ssl_conns_call(&lib, &ssl);
	ssl_conns_sent(&outer, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", 40);
	outer = ssl_conns_call(&lib, &ssl);
	ssl_conns_sent_unseen(&outer, 100);
	totals(2, 0);
	ssl_conns_free(&ssl);
	totals(2, 0);
}

static void test_clients_and_other_protocols(void **state)
{
	struct fake client = { .server = 0, .fd = -1 }, other = { .server = 1, .fd = -1 };
	static const char settings[] = { 0, 0, 18, 4, 0, 0, 0, 0, 0, 1, 2, 3 };

	(void)state;
	assert_null(ssl_conns_word(&lib, &client));
	in(&other, "PRI * HTTP/2.0\r\n\r\n");
	assert_int_equal(lost(LOSS_HTTP_H2), 1);
	ssl_conns_anew(&other);
	sockets_word_out(ssl_conns_word(&lib, &other), settings, sizeof(settings)); /* HTTP/2, the server first */
	assert_int_equal(lost(LOSS_HTTP_H2), 2);
	assert_int_equal(load_relaxed(ssl_conns_word(&lib, &other)), SOCKET_IGNORED);
	ssl_conns_anew(&other);
	out(&other, "220 mail.example.com ESMTP\r\n");
	in(&other, GET);
	ssl_conns_free(&other);
	assert_int_equal(lost(LOSS_HTTP_H2), 2);
	totals(0, 0);
	store_relaxed(&sockets_on, false);
	other.server = 1;
	assert_null(ssl_conns_word(&lib, &other));
	ssl_conns_up_ref(&other);
	store_relaxed(&sockets_on, true);
}

/* Counted as encrypted is what nobody decrypts. */
static void test_descriptors(void **state)
{
	struct fake direct = { .server = 1, .fd = pair[0], .bio = true },
	            memory = { .server = 1, .fd = -1, .bio = true };

	(void)state;
	assert_non_null(ssl_conns_word(&lib, &direct));
	hello(pair[0]);
	assert_int_equal(lost(LOSS_HTTP_TLS), 0);
	assert_int_equal(sockets_word(pair[0]), SOCKET_IGNORED);
	hello(pair[1]); /* nobody's, or that of one whose bytes the program moves */
	assert_int_equal(lost(LOSS_HTTP_TLS), 1);
	assert_non_null(ssl_conns_word(&lib, &memory));
	assert_int_equal(lost(LOSS_HTTP_TLS), 0);
	assert_non_null(ssl_conns_word(&lib, &memory));
	ssl_conns_free(&memory);
	memory.bio = false;
	assert_non_null(ssl_conns_word(&lib, &memory)); /* nothing was counted for it */
	assert_int_equal(lost(LOSS_HTTP_TLS), 0);
	sockets_fresh(pair[1]);
	hello(pair[1]); /* only now: by a BIO of the program's, within the handshake */
	assert_int_equal(lost(LOSS_HTTP_TLS), 1);
	assert_non_null(ssl_conns_word(&lib, &memory));
	assert_int_equal(lost(LOSS_HTTP_TLS), 0);
	sockets_fresh(pair[1]);
	hello(pair[1]); /* another's */
	assert_non_null(ssl_conns_word(&lib, &memory));
	assert_int_equal(lost(LOSS_HTTP_TLS), 1);
	ssl_conns_anew(&memory);
	assert_non_null(ssl_conns_word(&lib, &memory));
	ssl_conns_anew(&memory);
	assert_non_null(ssl_conns_word(&lib, &memory));
	sockets_fresh(pair[1]);
	hello(pair[1]); /* the handshake fails */
	ssl_conns_free(&memory);
	assert_int_equal(lost(LOSS_HTTP_TLS), 0);
	ssl_conns_up_ref(&direct);
	ssl_conns_free(&direct);
	ssl_conns_free(&direct);
	ssl_conns_free(&memory);
}

static void test_known_by_a_reference_first(void **state)
{
	struct fake ssl = { .server = 1, .fd = -1, .bio = true };

	(void)state;
	hello(pair[0]);
	ssl_conns_up_ref(&ssl);
	assert_int_equal(lost(LOSS_HTTP_TLS), 1);
	in(&ssl, GET);
	assert_int_equal(lost(LOSS_HTTP_TLS), 0);
	ssl_conns_free(&ssl);
	out(&ssl, OK);
	totals(1, 0);
	ssl_conns_free(&ssl);
}

/* More than there are places, and each of those that have one is found again and given back. */
static void test_more_than_there_is_room_for(void **state)
{
	enum { MANY = 80000 };
	static struct fake many[MANY];
	static bool has[MANY];
	unsigned placed = 0;

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		many[i].server = 1;
		has[i] = ssl_conns_word(&lib, &many[i]) != NULL;
		placed += has[i];
	}
	assert_true(placed > 50000 && placed <= (1 << 16) + 15);
	assert_int_equal(lost(LOSS_HTTP_CONNECTIONS), MANY - placed);
	for (unsigned i = 0; i < MANY; i++)
		if (has[i])
			ssl_conns_free(&many[i]);
	losses_reset();
	for (unsigned i = 0; i < 1000; i++)
		assert_non_null(ssl_conns_word(&lib, &many[i * 80]));
	assert_int_equal(lost(LOSS_HTTP_CONNECTIONS), 0);
	for (unsigned i = 0; i < 1000; i++)
		ssl_conns_free(&many[i * 80]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_connection, begin, done),
		cmocka_unit_test_setup_teardown(test_used_again, begin, done),
		cmocka_unit_test_setup_teardown(test_calls_within_calls, begin, done),
		cmocka_unit_test_setup_teardown(test_clients_and_other_protocols, begin, done),
		cmocka_unit_test_setup_teardown(test_descriptors, begin, done),
		cmocka_unit_test_setup_teardown(test_known_by_a_reference_first, begin, done),
		cmocka_unit_test_setup_teardown(test_more_than_there_is_room_for, begin, done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
