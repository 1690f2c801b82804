/* Tests of metrics_socket.c without the helper, in a table of descriptors that is the program's (Linux before 5.9), with a clock of their
 * own: who asks slowly, reads slowly, asks for too much or is one too many. */
#include "t.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "dump.h"
#include "losses.h"
#include "metrics_socket.h"
#include "os_linux.h"
#include "own_socket.h"
#include "requests.h"
#include "start.h"
#include "state.h"
#include "units.h"

static uint64_t now_ns;
static char text[8 << 20];
static const char get[] = "GET /metrics HTTP/1.0\r\n\r\n";

static void tick(void)
{
	now_ns += 20 * NS_PER_MS;
	(void)metrics_socket_tick(now_ns);
}

static void ticks(uint64_t ns)
{
	for (uint64_t end = now_ns + ns; now_ns < end;)
		tick();
}

static int ask_for(const char *address)
{
	char why[200];

	return config_set(start_config_to_change(), CONFIG_METRICS, address, why, sizeof(why));
}

static int begin(void **state)
{
	(void)state;
	config_parse(start_config_to_change(), NULL);
	dump_init(start_config());
	store_release(&state_now, STATE_RUNNING);
	losses_reset();
	assert_int_equal(ask_for("127.0.0.1:0"), 0);
	now_ns = os_now_ns();
	own_socket_begin(true);
	metrics_socket_begin(now_ns);
	(void)metrics_socket_tick(now_ns);
	T_STR("not before its time", metrics_socket_where(), "none yet");
	ticks(150 * NS_PER_MS);
	return 0;
}

static int done(void **state)
{
	(void)state;
	metrics_socket_end();
	return 0;
}

static uint16_t port(void)
{
	unsigned p = 0;

	if (sscanf(metrics_socket_where(), "http://127.0.0.1:%u/metrics", &p) != 1)
		fail_msg("no port: %s", metrics_socket_where());
	return (uint16_t)p;
}

static int client(const char *request)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		                 .sin_port = htons(port()),
		                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), small = 4096;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
	return fd;
}

/* What has come until nothing more does; *ret_ended: the other side closed, or reset. */
static size_t heard(int fd, bool *ret_ended)
{
	size_t used = 0;
	ssize_t n;

	while ((n = recv(fd, text + used, sizeof(text) - 1 - used, MSG_DONTWAIT)) > 0)
		used += (size_t)n;
	*ret_ended = n == 0 || errno == ECONNRESET;
	text[used] = '\0';
	return used;
}

/* The whole answer, ticking until it is there. */
static const char *answer(int fd)
{
	size_t used = 0;
	ssize_t n = -1;

	for (unsigned i = 0; i < 5000 && n != 0; i++) {
		tick();
		while ((n = recv(fd, text + used, sizeof(text) - 1 - used, MSG_DONTWAIT)) > 0)
			used += (size_t)n;
		assert_true(n == 0 || errno == EAGAIN);
	}
	assert_int_equal(n, 0);
	text[used] = '\0';
	return text;
}

static bool is_answered(int fd)
{
	bool is = strncmp(answer(fd), "HTTP/1.1 200 ", 13) == 0 && strstr(text, "\nperfprobe_scrapes_total ");

	close(fd);
	return is;
}

static void a_request_in_pieces(void **state)
{
	int fd = client("GET /metr");
	bool ended;

	(void)state;
	tick();
	assert_int_equal(heard(fd, &ended), 0);
	assert_false(ended);
	assert_int_equal(send(fd, "ics HTTP/1.0\r\n\r\nand what nobody asked for", 42, MSG_NOSIGNAL), 42);
	assert_true(is_answered(fd));
}

static void a_slow_request_has_an_end(void **state)
{
	int fd = client("GET");
	bool ended;

	(void)state;
	ticks(1800 * NS_PER_MS); /* less than two seconds */
	(void)heard(fd, &ended);
	assert_false(ended);
	assert_int_equal(send(fd, " ", 1, MSG_NOSIGNAL), 1); /* a byte now and then does not help */
	ticks(400 * NS_PER_MS);
	(void)heard(fd, &ended);
	assert_true(ended);
	close(fd);
}

/* The helper was away: a profile was written. */
static void a_request_that_waited_is_answered(void **state)
{
	int slow = client("GET"), fd = client("");
	bool ended;

	(void)state;
	tick();
	assert_int_equal(send(fd, get, sizeof(get) - 1, MSG_NOSIGNAL), sizeof(get) - 1);
	now_ns += 5 * NS_PER_S;
	assert_true(is_answered(fd));
	(void)heard(slow, &ended);
	assert_true(ended);
	close(slow);
}

static void the_silent_make_room(void **state)
{
	int fds[64];
	bool ended;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = client(i % 2 ? "GET" : "");
		tick();
	}
	assert_true(is_answered(client(get)));
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		(void)heard(fds[i], &ended);
		assert_int_equal(ended, i < ARRAY_LEN(fds) - 3);
		close(fds[i]);
	}
}

/* More on the page than the kernel's buffers take. */
static void fill_page(void)
{
	requests_fork_prepare();
	requests_fork_child();
	for (unsigned i = 0; i < 600; i++) {
		char target[64];
		uint32_t r = requests_begin(NULL, NS_PER_S);

		(void)snprintf(target, sizeof(target), "/%c%c/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaazzz/bbbbbbbbbbbbbbbbbbb",
		               'a' + i % 26, 'a' + i / 26);
		requests_line(r, HTTP_GET, target, strlen(target), false);
		requests_went(r, 0, 200);
		requests_done(r, NULL, NS_PER_S + 1);
	}
}

static void who_does_not_read_makes_room(void **state)
{
	int fds[4], fd;

	(void)state;
	fill_page();
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = client(get);
		tick();
	}
	ticks(100 * NS_PER_MS);
	fd = client(get);
	ticks(500 * NS_PER_MS); /* all are being answered: it waits */
	ticks(NS_PER_S);
	assert_true(is_answered(fd));
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
}

static void who_never_reads_has_an_end(void **state)
{
	uint64_t before;
	int fd;

	(void)state;
	fill_page();
	before = os_mapped_bytes();
	fd = client(get);
	for (unsigned i = 0; i < 5000 && os_mapped_bytes() == before; i++)
		tick(); /* an emulator takes so long for the last page that this one has to wait */
	ticks(9 * NS_PER_S);
	assert_true(os_mapped_bytes() > before); /* its page */
	ticks(2 * NS_PER_S);
	assert_int_equal(os_mapped_bytes(), before);
	close(fd);
}

static void who_reads_slowly_gets_all(void **state)
{
	int fd;
	size_t used = 0;
	ssize_t n = 1;

	(void)state;
	fill_page();
	fd = client(get);
	for (unsigned i = 0; i < 10000 && n; i++) {
		now_ns += NS_PER_MS / 2; /* within ten seconds */
		(void)metrics_socket_tick(now_ns);
		n = recv(fd, text + used, 4096, MSG_DONTWAIT);
		used += n > 0 ? (size_t)n : 0;
	}
	assert_int_equal(n, 0);
	text[used] = '\0';
	assert_int_equal(strtoull(strstr(text, "Content-Length: ") + 16, NULL, 10),
	                 used - (size_t)(strstr(text, "\r\n\r\n") + 4 - text));
	close(fd);
}

static void what_is_no_request(void **state)
{
	static const struct {
		const char *request, *want;
	} rows[] = {
		{ "POST /metrics HTTP/1.0\r\n\r\n", "HTTP/1.1 405 " },
		{ "GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 404 " },
		{ "\x16\x03\x01\n", "HTTP/1.1 400 " },
		{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 505 " },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int fd = client(rows[i].request);

		T_CHECK(rows[i].want, strncmp(answer(fd), rows[i].want, strlen(rows[i].want)) == 0);
		close(fd);
	}
	for (size_t i = 0; i < 20; i++) { /* who hangs up */
		int fd = client(i % 2 ? get : "");
		struct linger reset = { 1, 0 };

		if (i % 4 < 2)
			tick();
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
		close(fd);
	}
	assert_true(is_answered(client(get)));
}

/* Before Linux 5.9: the program closes a descriptor of ours, and has its number for a socket of its own. */
static void a_number_that_is_somebody_elses(void **state)
{
	struct stat st;
	int own = -1, pair[2], fd;
	bool ended;

	(void)state;
	for (int n = 3; n < 65536 && own < 0; n++) {
		int is = 0;
		socklen_t len = sizeof(is);

		if (fstat(n, &st) == 0 && getsockopt(n, SOL_SOCKET, SO_ACCEPTCONN, &is, &len) == 0 && is)
			own = n;
	}
	assert_true(own >= 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(dup2(pair[1], own), own);
	close(pair[1]);
	ticks(2 * NS_PER_S); /* a new one was made */
	fd = client(get);
	assert_true(is_answered(fd));
	(void)heard(pair[0], &ended);
	assert_false(ended); /* and the program's was left alone */
	close(own);
	(void)heard(pair[0], &ended);
	assert_true(ended);
	close(pair[0]);
}

static void a_port_that_is_taken(void **state)
{
	char address[64], range[64];
	int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);

	(void)state;
	assert_int_equal(bind(other, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(other, 1), 0);
	assert_int_equal(getsockname(other, (struct sockaddr *)&a, &len), 0);
	(void)snprintf(address, sizeof(address), "%u", ntohs(a.sin_port));
	assert_int_equal(ask_for(address), 0);
	ticks(2 * NS_PER_S);
	T_STR("taken", metrics_socket_where(), "none: another process has it");
	assert_int_equal(losses_count[LOSS_METRICS_FAILED], 1);
	(void)snprintf(range, sizeof(range), "127.0.0.1:%u-%u", ntohs(a.sin_port), ntohs(a.sin_port) + 9);
	if (ask_for(range) == 0) { /* unless the kernel chose one of the last ports */
		ticks(2 * NS_PER_S);
		assert_true(port() > ntohs(a.sin_port) && port() <= ntohs(a.sin_port) + 9);
		assert_int_equal(losses_count[LOSS_METRICS_FAILED], 0);
	}
	assert_int_equal(ask_for(address), 0);
	ticks(2 * NS_PER_S);
	assert_int_equal(losses_count[LOSS_METRICS_FAILED], 1);
	close(other);
	ticks(6 * NS_PER_S); /* it is free, and ours */
	assert_int_equal(port(), ntohs(a.sin_port));
	assert_int_equal(losses_count[LOSS_METRICS_FAILED], 0);
	assert_int_equal(ask_for("off"), 0);
	ticks(2 * NS_PER_S);
	T_STR("off", metrics_socket_where(), "off");
	assert_int_equal(ask_for("127.0.0.1"), -EINVAL);
}

static bool is_socket(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && (st.st_mode & 07777) == 0600;
}

static void a_unix_socket(void **state)
{
	char dir[] = "/tmp/test_metrics.XXXXXX", path[64], address[80], pattern[80];
	FILE *file;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/%d.sock", dir, (int)getpid());
	(void)snprintf(pattern, sizeof(pattern), "unix:%s/%%p.sock", dir);
	(void)snprintf(address, sizeof(address), "unix:%s", path);
	(void)umask(077);
	file = fopen(path, "w"); /* what is no socket stays */
	assert_non_null(file);
	fclose(file);
	assert_int_equal(ask_for(pattern), 0);
	ticks(2 * NS_PER_S);
	T_STR("a file", metrics_socket_where(), "none: something that is no socket of this user's stands there");
	assert_false(is_socket(path));
	assert_int_equal(unlink(path), 0);
	ticks(6 * NS_PER_S);
	T_STR("free", metrics_socket_where(), address);
	assert_true(is_socket(path));
	assert_int_equal(unlink(path), 0);
	ticks(2 * NS_PER_S); /* somebody cleaned up: it is made again */
	assert_true(is_socket(path));
	metrics_socket_end();
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_request_in_pieces, begin, done),
		cmocka_unit_test_setup_teardown(a_slow_request_has_an_end, begin, done),
		cmocka_unit_test_setup_teardown(a_request_that_waited_is_answered, begin, done),
		cmocka_unit_test_setup_teardown(the_silent_make_room, begin, done),
		cmocka_unit_test_setup_teardown(who_does_not_read_makes_room, begin, done),
		cmocka_unit_test_setup_teardown(who_never_reads_has_an_end, begin, done),
		cmocka_unit_test_setup_teardown(who_reads_slowly_gets_all, begin, done),
		cmocka_unit_test_setup_teardown(what_is_no_request, begin, done),
		cmocka_unit_test_setup_teardown(a_number_that_is_somebody_elses, begin, done),
		cmocka_unit_test_setup_teardown(a_port_that_is_taken, begin, done),
		cmocka_unit_test_setup_teardown(a_unix_socket, begin, done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
