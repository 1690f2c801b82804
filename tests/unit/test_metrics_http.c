/* Tests of metrics_http.c: what is asked for, and what is no request. Every prefix of a good request is incomplete, and nothing is
 * read behind its end. */
#include "t.h"

#include <stdio.h>

#include "metrics_http.h"

static int read_request(const char *text, size_t bytes, struct metrics_request *ret)
{
	struct t_guarded g = t_guarded_new(text, bytes);
	int status = metrics_http_read((const char *)g.data, bytes, ret);

	t_guarded_free(&g);
	return status;
}

#define H         " HTTP/1.1\r\nHost: x\r\n\r\n"
#define A(accept) "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: " accept "\r\n\r\n"
#define OM        "application/openmetrics-text"

static void what_is_asked(void **state)
{
	static const struct {
		const char *text;
		int status;
		bool head, otel, openmetrics;
	} rows[] = {
		{ "GET /metrics" H, 200, false, false, false },
		{ "HEAD /metrics" H, 200, true, false, false },
		{ "GET /metrics HTTP/1.0\r\n\r\n", 200, false, false, false },
		{ "GET /metrics HTTP/1.0\n\n", 200, false, false, false },
		{ "\r\n\r\nGET /metrics" H, 200, false, false, false },
		{ "GET /metrics?names=otel" H, 200, false, true, false },
		{ "GET /metrics?a=b&names=otel&c" H, 200, false, true, false },
		{ "GET /metrics?names=otel&names=prometheus" H, 200, false, false, false },
		{ "GET /metrics?names=other" H, 200, false, false, false },
		{ "GET http://h:1/metrics?names=otel" H, 200, false, true, false },
		{ "GET HTTP://h/metrics" H, 200, false, false, false },
		{ "GET http://h" H, 404, false, false, false },
		{ "GET /" H, 404, false, false, false },
		{ "GET /metrics/" H, 404, false, false, false },
		{ "GET /metricsx" H, 404, false, false, false },
		{ "GET /../metrics" H, 404, false, false, false },
		{ "HEAD /x" H, 404, true, false, false },
		{ "POST /metrics" H, 405, false, false, false },
		{ "get /metrics" H, 405, false, false, false },
		{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, false, false, false },
		{ "GET /metrics HTTP/3.0\r\n\r\n", 505, false, false, false },
		{ A("text/plain"), 200, false, false, false },
		{ A(OM), 200, false, false, true },
		{ A(OM ";version=1.0.0"), 200, false, false, true },
		{ A(OM " ; version=1.0.0 ; q=0.5 , text/plain;q=0.4"), 200, false, false, true },
		{ A(OM ";version=1.0.0;q=0.4,text/plain;q=0.5"), 200, false, false, false },
		{ A(OM ";version=0.0.1"), 200, false, false, false },
		{ A(OM ";q=0"), 200, false, false, false },
		{ A(OM ";q=0.0001"), 200, false, false, false },
		{ A(OM ";q=x,*/*"), 200, false, false, false },
		{ A("*/*"), 200, false, false, false },
		/* What Prometheus 2 sends. */
		{ A(OM ";version=1.0.0," OM ";version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"), 200,
		  false, false, true },
		{ "GET /metrics HTTP/1.1\r\naccept:" OM "\r\nHOST:\r\n\r\n", 200, false, false, true },
		{ "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: text/plain;q=0.9\r\nAccept: " OM "\r\n\r\n", 200, false,
		  false, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct metrics_request r = { false, false, false };
		int status = read_request(rows[i].text, strlen(rows[i].text), &r);

		if (status != rows[i].status)
			fail_msg("%s: %d", rows[i].text, status);
		T_CHECK(rows[i].text,
		        r.head == rows[i].head && r.otel == rows[i].otel && r.openmetrics == rows[i].openmetrics);
	}
}

static void every_prefix_is_incomplete(void **state)
{
	static const char *const rows[] = { "GET /metrics?names=otel" H, A(OM ";q=0.5"), "POST / HTTP/1.0\n\n" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t n = 0; n < strlen(rows[i]); n++) {
			struct metrics_request r;

			T_CHECK(rows[i], read_request(rows[i], n, &r) == 0);
		}
}

static void what_is_no_request(void **state)
{
	static const struct {
		const char *text;
		size_t bytes;
	} rows[] = {
#define ROW(text) { text, sizeof(text) - 1 }
		ROW("\n x\r\n"),
		ROW("GET\r\n"),
		ROW("GET \r\n"),
		ROW("GET /metrics\r\n"),
		ROW("GET  /metrics HTTP/1.1\r\n"),
		ROW("GET /metrics HTTP/1.1 \r\n"),
		ROW("GET /metrics HTTP/1.\r\n"),
		ROW("GET /metrics HTTP/1.1x\r\n"),
		ROW("GET /metrics HTTX/1.1\r\n"),
		ROW("GET /met\0rics HTTP/1.1\r\n"),
		ROW("GET /met\trics HTTP/1.1\r\n"),
		ROW("G\x80T /metrics HTTP/1.1\r\n"),
		ROW("G\0T /metrics HTTP/1.1\r\n"),
		ROW("GET /metrics HTTP/1.1\r\nno colon\r\n"),
		ROW("GET /metrics HTTP/1.1\r\nHost : x\r\n"),
		ROW("GET /metrics HTTP/1.1\r\n folded: x\r\n"),
		ROW("GET /metrics HTTP/1.1\r\n: x\r\n"),
		ROW("GET /metrics HTTP/1.1\r\nHost: \0\r\n"),
		ROW("GET /metrics HTTP/1.1\r\n\r\n"), /* without Host */
		ROW("\x16\x03\x01\x02\x00\x01\n"),
#undef ROW
	};
	static char much[METRICS_HEAD_MAX];
	struct metrics_request r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		T_CHECK(rows[i].text, read_request(rows[i].text, rows[i].bytes, &r) == 400);
	memset(much, 'G', sizeof(much));
	assert_int_equal(metrics_http_read(much, sizeof(much) - 1, &r), 0);
	assert_int_equal(metrics_http_read(much, sizeof(much), &r), 400);
	memcpy(much, "GET / HTTP/1.1\r\n", 16);
	assert_int_equal(metrics_http_read(much, sizeof(much) - 1, &r), 0);
	assert_int_equal(metrics_http_read(much, sizeof(much), &r), 431);
	memset(much, '\n', sizeof(much));
	assert_int_equal(metrics_http_read(much, sizeof(much), &r), 400);
}

static void heads(void **state)
{
	static const int statuses[] = { 200, 400, 404, 405, 431, 500, 505 };
	struct metrics_request r = { false, false, true };
	char head[METRICS_ANSWER_HEAD], want[100];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		size_t n = metrics_http_head(statuses[i], &r, SIZE_MAX, head);

		assert_int_equal(n, strlen(head));
		assert_true(n < METRICS_ANSWER_HEAD - 1); /* nothing was cut off */
		T_STR("end", head + n - 4, "\r\n\r\n");
		(void)snprintf(want, sizeof(want), "HTTP/1.1 %d ", statuses[i]);
		assert_true(strncmp(head, want, strlen(want)) == 0);
		assert_non_null(strstr(head, "\r\nContent-Length: 18446744073709551615\r\n"));
		assert_int_equal(strstr(head, "openmetrics") != NULL, statuses[i] == 200);
		assert_int_equal(strstr(head, "\r\nAllow: GET, HEAD\r\n") != NULL, statuses[i] == 405);
		assert_int_equal(*metrics_http_body(statuses[i]) != '\0', statuses[i] != 200);
	}
	r.openmetrics = false;
	(void)metrics_http_head(200, &r, 0, head);
	assert_non_null(strstr(head, "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_asked),
		cmocka_unit_test(every_prefix_is_incomplete),
		cmocka_unit_test(what_is_no_request),
		cmocka_unit_test(heads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
