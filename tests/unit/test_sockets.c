/* Tests of sockets.c and requests.c: what is told of descriptors becomes requests. */
#include "t.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "config.h"
#include "guard.h"
#include "losses.h"
#include "requests.h"
#include "sockets.h"
#include "threads.h"

static int pair[2];

static int begin(void **state)
{
	struct config config = { .window = UINT64_C(30000000000), .latency = 1 };

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

static struct iovec part(const char *text, size_t bytes)
{
	return (struct iovec){ (void *)(uintptr_t)text, bytes };
}

static void in(int fd, const char *text)
{
	struct iovec p = part(text, strlen(text));

	if (sockets_follow(fd))
		sockets_in(fd, &p, 1, strlen(text));
}

static void out(int fd, const char *text)
{
	struct iovec p = part(text, strlen(text));

	if (sockets_follow(fd))
		sockets_out(fd, &p, 1, strlen(text));
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"
#define OK        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static void totals(uint64_t count, uint64_t unanswered)
{
	assert_int_equal(requests_totals().count, count);
	assert_int_equal(requests_totals().unanswered, unanswered);
}

/* The only row of that route. */
static const struct request_route *route(const char *name, uint16_t status)
{
	const struct request_route *found = NULL;

	for (uint32_t i = 0; i < REQUESTS_ROUTES; i++) {
		const struct request_route *r = requests_route(i);

		if (r && strcmp(r->route, name) == 0 && r->status == status) {
			assert_null(found);
			found = r;
		}
	}
	return found;
}

static void test_keep_alive_and_pipelining(void **state)
{
	struct request r;

	(void)state;
	in(pair[0], GET("/a/17?x=1"));
	assert_true(requests_get(REQUESTS_COPIES - REQUESTS_OPEN, &r)); /* under way */
	assert_true(r.start_ns && !r.first_ns && r.bytes_in == 35 && r.method == HTTP_GET);
	assert_memory_equal(r.path, "/a/17", 5);
	out(pair[0], OK);
	totals(1, 0);
	in(pair[0], GET("/a/18") GET("/b") GET("/b") "HEAD /c HTTP/1.1\r\n\r\nG");
	out(pair[0], OK OK);
	totals(3, 0);
	out(pair[0], OK "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n");
	totals(5, 0);
	in(pair[0], "ET /d HTTP/1.1\r\n\r\n");
	out(pair[0], "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
	totals(6, 0);
	assert_int_equal(durations_count(&route("/a/*", 200)->took), 2);
	assert_int_equal(durations_count(&route("/b", 200)->took), 2);
	assert_int_equal(durations_count(&route("/c", 200)->took), 1);
	assert_int_equal(durations_count(&route("/d", 404)->took), 1);
	assert_int_equal(requests_totals().slow, 6); /* the limit is one nanosecond */
	assert_true(requests_get(0, &r) && r.status == 200 && r.bytes_out == strlen(OK) && r.path_bytes == 5);
	assert_true(r.start_ns <= r.first_ns && r.first_ns <= r.end_ns);
	assert_int_equal(load_relaxed(&losses_count[LOSS_HTTP_GIVEN_UP]), 0);
}

static void test_more_than_there_is_room_for(void **state)
{
	(void)state;
	for (int i = 0; i < REQUESTS_OPEN + 50; i++)
		in(pair[0], GET("/"));
	assert_int_equal(load_relaxed(&losses_count[LOSS_HTTP_OPEN_FULL]), 50);
	for (int i = 0; i < REQUESTS_OPEN + 50; i++)
		out(pair[0], OK);
	totals(REQUESTS_OPEN + 50, 0); /* counted, not timed */
	assert_int_equal(durations_count(&route("/", 200)->took), REQUESTS_OPEN);
	in(pair[0], GET("/"));
	out(pair[0], OK);
	assert_int_equal(durations_count(&route("/", 200)->took), REQUESTS_OPEN + 1);
}

static void test_what_is_no_server_connection(void **state)
{
	int pipes[2];

	(void)state;
	out(pair[0], GET("/")); /* a client's */
	assert_int_equal(sockets_word(pair[0]), SOCKET_IGNORED);
	in(pair[1], "*1\r\n$4\r\nPING\r\n");
	assert_int_equal(sockets_word(pair[1]), SOCKET_IGNORED);
	assert_int_equal(pipe(pipes), 0);
	in(pipes[0], GET("/"));
	assert_int_equal(sockets_word(pipes[0]), SOCKET_IGNORED);
	sockets_closing(pipes[0]);
	assert_int_equal(sockets_word(pipes[0]), SOCKET_NEW);
	sockets_fresh(pair[1]);
	in(pair[1], "\x16\x03\x01");
	assert_int_equal(load_relaxed(&losses_count[LOSS_HTTP_TLS]), 1);
	sockets_fresh(pair[1]);
	in(pair[1], "PRI * HTTP/2.0\r\n\r\n");
	assert_int_equal(load_relaxed(&losses_count[LOSS_HTTP_H2]), 1);
	assert_int_equal(sockets_word(pair[1]), SOCKET_IGNORED);
	sockets_fresh(pair[1]);
	in(pair[1], "GET foo\r\n"); /* redis */
	assert_int_equal(sockets_word(pair[1]), SOCKET_IGNORED);
	totals(0, 0);
	assert_int_equal(load_relaxed(&losses_count[LOSS_HTTP_GIVEN_UP]), 0);
	close(pipes[0]);
	close(pipes[1]);
}

static void test_end_of_a_connection(void **state)
{
	(void)state;
	in(pair[0], GET("/until-close"));
	out(pair[0], "HTTP/1.0 200 OK\r\n\r\nabc");
	totals(0, 0);
	sockets_copied(pair[0], pair[1]); /* a name more for the connection */
	sockets_closing(pair[0]);
	totals(0, 0);
	out(pair[1], "def");
	sockets_closing(pair[1]);
	totals(1, 0);
	in(pair[0], GET("/shut"));
	out(pair[0], "HTTP/1.0 200 OK\r\n\r\n");
	sockets_shut(pair[0]);
	totals(2, 0);
	in(pair[0], GET("/never"));
	sockets_fresh(pair[0]); /* its number was given to another */
	totals(2, 1);
	in(pair[0], GET("/websocket"));
	out(pair[0], "HTTP/1.1 101 Switching Protocols\r\n\r\n");
	totals(3, 1);
	assert_int_equal(sockets_word(pair[0]), SOCKET_IGNORED);
}

static void test_parts(void **state)
{
	static const char text[] = GET("/parts");
	struct iovec parts[] = { part("", 0), part(text, 3), part(text + 3, 5), part(text + 8, sizeof(text)) };

	(void)state;
	sockets_in(pair[0], parts, 4, strlen(text)); /* the last part is larger than what came */
	out(pair[0], "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
	sockets_out_unseen(pair[0], 100);
	totals(1, 0);
	in(pair[0], GET("/parts"));
	sockets_in_unseen(pair[0], 7); /* not in a body: given up */
	totals(1, 0);
	assert_int_equal(load_relaxed(&losses_count[LOSS_HTTP_GIVEN_UP]), 1);
	assert_int_equal(sockets_word(pair[0]), SOCKET_IGNORED);
}

static void test_inside_itself(void **state)
{
	(void)state;
	in(pair[0], GET("/a"));
	assert_true(guard_enter(&tls_self, GUARD_NET)); /* as if a signal's handler met us in there */
	out(pair[0], OK);
	guard_leave(&tls_self, GUARD_NET);
	assert_int_equal(load_relaxed(&losses_count[LOSS_HTTP_NESTED]), 1);
	in(pair[0], GET("/b"));
	assert_int_equal(sockets_word(pair[0]), SOCKET_IGNORED);
	totals(0, 0);
	/* Nor by what sendfile sent, which would have been the end of it. */
	in(pair[1], GET("/a"));
	out(pair[1], "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
	assert_true(guard_enter(&tls_self, GUARD_NET));
	out(pair[1], "o");
	guard_leave(&tls_self, GUARD_NET);
	sockets_out_unseen(pair[1], 2);
	assert_int_equal(sockets_word(pair[1]), SOCKET_IGNORED);
	totals(0, 0);
}

static void test_spans(void **state)
{
	struct thread *th;
	struct request_span s;

	(void)state;
	in(pair[0], GET("/a"));
	th = tls_self.thread;
	assert_non_null(th);
	assert_true(requests_working(th, &s) && !s.shared);
	requests_rest(th, s.to_ns);
	assert_false(requests_working(th, &s));
	requests_resume(th, s.to_ns);
	assert_true(requests_working(th, &s));
	assert_false(requests_span(0, &s)); /* no sample fell there */
	store_relaxed(&th->ring_head, load_relaxed(&th->ring_head) + 1);
	in(pair[1], GET("/b"));
	assert_true(requests_span(0, &s) && s.from_ns <= s.to_ns && !s.shared);
	assert_true(requests_working(th, &s) && s.shared);
	requests_rest(th, s.to_ns);
	requests_resume(th, s.to_ns); /* two wait: nobody knows which one woke it */
	assert_false(requests_working(th, &s));
	out(pair[1], OK);
	out(pair[0], OK);
	assert_int_equal(threads_connections(th), 0);
	totals(2, 0);
	requests_resume(th, s.to_ns);
	assert_false(requests_working(th, &s));
}

/* What the thread works on, and whether that may be another's work; 0: nothing. */
static uint64_t working(struct thread *th)
{
	struct request_span s;

	return requests_working(th, &s) && !s.shared ? s.request : 0;
}

static void test_handed_to_another_thread(void **state)
{
	static struct thread pool; /* as another thread's */
	struct thread *th;
	uint64_t first, second;
	uint32_t i;

	(void)state;
	in(pair[0], GET("/a"));
	th = tls_self.thread;
	first = working(th);
	assert_true(first);
	in(pair[1], GET("/b"));
	second = load_relaxed(&th->http_now);
	assert_true(second > first && working(th) == 0); /* two wait for this thread: nobody knows */
	requests_adopt(&pool, first, 10);
	assert_int_equal(working(&pool), first);
	requests_rest(&pool, 11); /* it waits for something that the request needs */
	assert_int_equal(working(&pool), first);
	requests_adopt(&pool, second, 12);
	assert_int_equal(working(&pool), second);
	assert_int_equal(load_relaxed(&th->http_last), 0); /* and the reader does not go on with it */
	store_relaxed(&pool.ring_head, 1);                 /* a sample */
	requests_adopt(&pool, 0, 13);
	assert_int_equal(working(&pool), 0);
	requests_rest(th, 14);
	requests_resume(th, 15);
	assert_int_equal(load_relaxed(&th->http_now), 0);
	out(pair[1], OK);
	requests_adopt(&pool, second, 16); /* it is done */
	assert_int_equal(working(&pool), 0);
	requests_adopt(&pool, first + 12345 * REQUESTS_OPEN, 17); /* never given out, in a place that is in use */
	assert_int_equal(working(&pool), 0);
	i = requests_begin(th, 18);
	requests_adopt(&pool, requests_open(i)->id, 19);
	assert_int_equal(working(&pool), requests_open(i)->id);
	requests_done(i, &pool, 20); /* it has sent the answer */
	assert_int_equal(working(&pool), 0);
	out(pair[0], OK);
	totals(3, 0);
}

/* The client has the answer, and sends the next request, before the thread that wrote it is back in here. */
static void test_next_request_before_the_answer_is_told(void **state)
{
	static struct thread pool;
	struct thread *th;
	uint64_t first, second;

	(void)state;
	in(pair[0], GET("/a"));
	th = tls_self.thread;
	first = working(th);
	in(pair[0], GET("/b")); /* pipelined: it still works on the first */
	assert_int_equal(working(th), first);
	out(pair[0], OK);
	second = working(th);
	assert_true(second > first);
	requests_adopt(&pool, second, 10);
	requests_adopt(th, 0, 11);
	in(pair[0], GET("/c"));
	assert_true(working(th) > second); /* this is the one to be handed on next */
	requests_adopt(th, 0, 12);
	tls_self.thread = &pool;
	out(pair[0], OK);
	tls_self.thread = th;
	assert_int_equal(load_relaxed(&pool.http_now), 0); /* and not one that the pool's thread goes on with */
	out(pair[0], OK);
	totals(3, 0);
}

static void test_work_that_is_told(void **state)
{
	struct thread *th;
	struct request_span s;
	uint64_t request, outer, inner;

	(void)state;
	in(pair[0], GET("/a"));
	th = tls_self.thread;
	request = working(th);
	outer = requests_work_begin(th, "mail/17/send it", 1000);
	inner = requests_work_begin(th, "resize", 2000);
	assert_int_equal(working(th), inner);
	requests_work_end(th, request, 3000); /* an HTTP request ends with its answer */
	requests_work_end(th, inner, 3000);
	assert_int_equal(working(th), outer);
	requests_work_end(th, inner, 3000); /* twice */
	assert_int_equal(working(th), outer);
	requests_rest(th, 4000);
	assert_int_equal(working(th), outer);
	requests_work_end(NULL, outer, 5000); /* by another thread: this one has not said that it does no more */
	assert_int_equal(load_relaxed(&th->http_now), outer);
	requests_adopt(th, request, 6000);
	totals(2, 0);
	assert_int_equal(durations_count(&route("mail/*/send_it", 0)->took), 1);
	assert_int_equal(load_relaxed(&route("mail/*/send_it", 0)->took.max_ns), 4000);
	assert_int_equal(durations_count(&route("resize", 0)->took), 1);
	assert_int_equal(route("resize", 0)->method, HTTP_METHOD_WORK);
	outer = requests_work_begin(NULL, "", 7000);
	requests_work_end(NULL, outer, 8000);
	totals(3, 0);
	out(pair[0], OK);
	assert_false(requests_working(th, &s));
	outer = requests_work_begin(th, "x", 9000);
	requests_leave(th, 9000);
	requests_work_end(th, outer, 9000);
	assert_int_equal(working(th), 0); /* it had left it: nothing to go back to */
	for (unsigned i = 0; i <= REQUESTS_OPEN; i++)
		inner = requests_work_begin(NULL, "many", 9000);
	assert_int_equal(inner, 0);
	assert_int_equal(load_relaxed(&losses_count[LOSS_HTTP_OPEN_FULL]), 1);
	for (uint32_t i = 0; i < REQUESTS_OPEN; i++) {
		struct request r;

		assert_true(requests_get(REQUESTS_COPIES - REQUESTS_OPEN + i, &r));
		requests_work_end(NULL, r.id, 9001);
	}
	totals(3 + 2 + 1 + REQUESTS_OPEN, 0);
}

static void test_routes_are_folded(void **state)
{
	char text[64];
	const struct request_route *other;

	(void)state;
	for (unsigned i = 0; i < 600; i++) {
		(void)snprintf(text, sizeof(text), "GET /%c%c%c HTTP/1.1\r\n\r\n", 'g' + i % 20, 'g' + i / 20 % 20,
		               'g' + i / 400);
		in(pair[0], text);
		out(pair[0], OK);
	}
	other = route("_OTHER", 200);
	assert_non_null(other);
	assert_int_equal(durations_count(&other->took), load_relaxed(&losses_count[LOSS_HTTP_ROUTES]));
	assert_true(durations_count(&other->took) > 100 && durations_count(&other->took) < 400);
	totals(600, 0);
}

static void test_slowest_are_kept(void **state)
{
	uint32_t i, n = 0;
	uint64_t start = 1000;
	struct request r;

	(void)state;
	for (unsigned k = 0; k < 2 * REQUESTS_RING;
	     k++) { /* one in 100 is slow, and they are long overwritten in the ring */
		i = requests_begin(NULL, start);
		requests_done(i, NULL, start + (k < 5000 && k % 100 == 0 ? 1000000 + k : 10));
		start += 20;
	}
	for (i = REQUESTS_RING; i < REQUESTS_RING + REQUESTS_SLOWEST; i++)
		n += requests_get(i, &r) && r.end_ns - r.start_ns > 1000;
	assert_int_equal(n, 50);
	/* A window later they make room. */
	i = requests_begin(NULL, UINT64_C(100000000000));
	requests_done(i, NULL, UINT64_C(100000000010));
	for (n = 0, i = REQUESTS_RING; i < REQUESTS_RING + REQUESTS_SLOWEST; i++)
		n += requests_get(i, &r) && r.end_ns == UINT64_C(100000000010);
	assert_int_equal(n, 1);
}

/* What a sample was taken for is found however many come after it; what was answered before is not. */
static void test_sampled_are_kept(void **state)
{
	uint64_t start = 1000, id[64];
	unsigned found = 0;
	struct request r;

	(void)state;
	for (unsigned k = 0; k < 3 * REQUESTS_RING; k++) {
		uint32_t i = requests_begin(NULL, start);

		if (k < 64) {
			id[k] = requests_open(i)->id;
			requests_sampled(k % 2 ? id[k] : id[k] + 1);
		}
		requests_done(i, NULL, start + (k < 64 ? 5 : 10)); /* none is among the slowest */
		if (k < 64)
			requests_sampled(id[k]);
		start += 20;
	}
	for (uint32_t i = 0; i < REQUESTS_COPIES; i++)
		for (unsigned k = 0; k < 64 && requests_get(i, &r); k++) {
			found += r.id == id[k];
			assert_true(r.id != id[k] || k % 2 == 1);
		}
	assert_int_equal(found, 32);
}

static void test_buckets(void **state)
{
	uint64_t last = 0;

	(void)state;
	for (uint64_t ns = 1; ns < UINT64_C(1) << 43; ns += 1 + ns / 100) {
		uint32_t i = duration_range(ns);
		uint64_t low = i < 64 ? i : (uint64_t)(32 + i % 32) << (i / 32 - 1);

		assert_true(low <= ns && (ns - low) * 32 <= low && low >= last);
		last = low;
	}
	assert_int_equal(duration_range(UINT64_MAX), REQUEST_BUCKETS - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_keep_alive_and_pipelining, begin, done),
		cmocka_unit_test_setup_teardown(test_more_than_there_is_room_for, begin, done),
		cmocka_unit_test_setup_teardown(test_what_is_no_server_connection, begin, done),
		cmocka_unit_test_setup_teardown(test_end_of_a_connection, begin, done),
		cmocka_unit_test_setup_teardown(test_parts, begin, done),
		cmocka_unit_test_setup_teardown(test_inside_itself, begin, done),
		cmocka_unit_test_setup_teardown(test_spans, begin, done),
		cmocka_unit_test_setup_teardown(test_handed_to_another_thread, begin, done),
		cmocka_unit_test_setup_teardown(test_next_request_before_the_answer_is_told, begin, done),
		cmocka_unit_test_setup_teardown(test_work_that_is_told, begin, done),
		cmocka_unit_test_setup_teardown(test_routes_are_folded, begin, done),
		cmocka_unit_test_setup_teardown(test_slowest_are_kept, begin, done),
		cmocka_unit_test_setup_teardown(test_sampled_are_kept, begin, done),
		cmocka_unit_test(test_buckets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
