/* Tests of http.c: each stream in one piece, cut in two at every byte, and byte by byte, gives the same events at the same
 * places. An event is told as its letter and the offset in the stream behind which it was told. */
#include "t.h"

#include <stdio.h>

#include "http.h"

enum { TRACE = 512 };

static const char letters[] = { [HTTP_BEGIN] = 'B',  [HTTP_LINE] = 'L',  [HTTP_INTERIM] = 'I', [HTTP_END] = 'E',
	                        [HTTP_SWITCH] = 'S', [HTTP_IS_H2] = '2', [HTTP_LOST] = 'X' };

struct stream {
	struct http h;
	enum http_method answers;
	bool out, over; /* no more is to be fed */
	bool brief;     /* no offsets of what begins: several events may be told at once */
	bool heads;     /* likewise they are asked for */
	struct http_memo *memo;
	size_t offset;
	char trace[TRACE];
};

static void tell(struct stream *s, enum http_event e, size_t offset)
{
	size_t len = strlen(s->trace);
	bool cut;

	if (s->brief && (e == HTTP_BEGIN || e == HTTP_LINE))
		(void)snprintf(s->trace + len, TRACE - len, "%c", letters[e]);
	else
		(void)snprintf(s->trace + len, TRACE - len, "%c%zu", letters[e], offset);
	len = strlen(s->trace);
	if (e == HTTP_LINE) {
		size_t n;
		const char *target = http_target(&s->h, &n, &cut);

		(void)snprintf(s->trace + len, TRACE - len, "(%s %.*s%s)",
		               http_method_name((enum http_method)s->h.method), (int)(n > 40 ? 40 : n), target,
		               cut ? "..." : "");
	}
	if (s->out && e == HTTP_END)
		(void)snprintf(s->trace + len, TRACE - len, "(%u)", s->h.status);
	s->over = e == HTTP_LOST || e == HTTP_SWITCH || e == HTTP_IS_H2;
}

/* Several events in one, if there are. */
static bool feed_head(struct stream *s, const char *start, const char **at, const char *end)
{
	const char *before = *at;
	enum http_event e =
	        s->out ? http_out_begin(&s->h, at, end, s->answers, s->memo) : http_in_begin(&s->h, at, end, s->memo);

	if (e == HTTP_MORE) {
		assert_true(*at == before);
		return false;
	}
	assert_true(*at > before && *at <= end);
	tell(s, HTTP_BEGIN, 0);
	if (!s->out)
		tell(s, HTTP_LINE, 0);
	if (e != HTTP_BEGIN && e != HTTP_LINE)
		tell(s, e, s->offset + (size_t)(*at - start));
	return true;
}

static void feed(struct stream *s, const char *data, size_t bytes)
{
	struct t_guarded g = t_guarded_new(data, bytes);
	const char *start = (const char *)g.data, *at = start, *end = start + bytes;
	enum http_event e;

	do {
		const char *before = at;

		e = HTTP_MORE;
		if (s->heads && feed_head(s, start, &at, end)) {
			e = HTTP_BEGIN;
			continue;
		}
		e = s->out ? http_out(&s->h, &at, end, s->answers) : http_in(&s->h, &at, end);
		assert_true(at >= before && at <= end);
		if (e == HTTP_MORE)
			assert_true(at == end);
		else
			tell(s, e, s->offset + (size_t)(at - start));
	} while (e != HTTP_MORE && !s->over);
	s->offset += bytes;
	t_guarded_free(&g);
}

static void begin(struct stream *s, bool out, enum http_method answers)
{
	memset(s, 0, sizeof(*s));
	http_init(&s->h);
	s->out = out;
	s->answers = answers;
}

static void feed_in_two(struct stream *s, const char *text, size_t len, size_t cut)
{
	feed(s, text, cut);
	if (!s->over && cut < len)
		feed(s, text + cut, len - cut);
}

/* Heads that are there whole are told the same, with and without one that came before; so are those that only begin like it. */
static void check_heads(bool out, enum http_method answers, const char *text)
{
	static struct http_memo memo;
	size_t len = strlen(text);
	struct stream plain, s;

	begin(&plain, out, answers);
	plain.brief = true;
	feed(&plain, text, len);
	for (size_t cut = 1; cut <= len; cut++)
		for (int with = 0; with < 3; with++) { /* no memo, an empty or another text's, this text's */
			begin(&s, out, answers);
			s.brief = s.heads = true;
			s.memo = with ? &memo : NULL;
			feed_in_two(&s, text, len, cut);
			T_STR(text, s.trace, plain.trace);
		}
}

static void check(bool out, enum http_method answers, const char *text, const char *want)
{
	size_t len = strlen(text);
	struct stream s;

	begin(&s, out, answers);
	feed(&s, text, len);
	T_STR(text, s.trace, want);
	for (size_t cut = 1; cut < len; cut++) {
		begin(&s, out, answers);
		feed_in_two(&s, text, len, cut);
		T_STR(text, s.trace, want);
	}
	begin(&s, out, answers);
	for (size_t i = 0; i < len && !s.over; i++)
		feed(&s, text + i, 1);
	T_STR(text, s.trace, want);
	check_heads(out, answers, text);
}

#define IN(text, want)             check(false, HTTP_METHOD_NONE, (text), (want))
#define OUT(text, want)            check(true, HTTP_GET, (text), (want))
#define OUT_TO(method, text, want) check(true, HTTP_##method, (text), (want))

static void test_requests(void **state)
{
	(void)state;
	IN("GET / HTTP/1.1\r\n\r\n", "B0L16(GET /)E18");
	IN("GET /a?b HTTP/1.0\nHost: x\n\n", "B0L18(GET /a?b)E27");
	IN("GET / HTTP/1.1\r\nHost: x\r\nContent-Lengthy: 5\r\nTea: 1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n",
	   "B0L16(GET /)E55B55L72(GET /2)E74");
	IN("\r\n\r\nGET / HTTP/1.1\r\n\r\n\r\nHEAD /b HTTP/1.1\r\n\r\n", "B4L20(GET /)E22B24L42(HEAD /b)E44");
	IN("POST /p HTTP/1.1\r\ncontent-LENGTH:  5 \r\n\r\nhelloGET / HTTP/1.1\r\n\r\n",
	   "B0L18(POST /p)E46B46L62(GET /)E64");
	IN("POST /p HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "B0L18(POST /p)E39");
	/* Names that are nearly that one. */
	IN("POST /p HTTP/1.1\r\nContent\rLength: 5\r\nContent-Length : 5\r\nContent-Length\r\nContent_Length: "
	   "5\r\n\r\n",
	   "B0L18(POST /p)E94");
	IN("POST /p HTTP/1.1\r\nCONTENT-length:\t 00005\nConnection: close\r\nContent-Type: text/plain\r\n\r\nhello",
	   "B0L18(POST /p)E93");
	IN("POST /p HTTP/1.1\r\nContent-Length: 12345678901234567\r\n\r\n", "B0L18(POST /p)");
	IN("POST /p HTTP/1.1\r\nContent-Length: 123456789012345678\r\n\r\n", "B0L18(POST /p)");
	IN("OPTIONS /a/path/that/is/long HTTP/1.1\r\n\r\n", "B0L39(OPTIONS /a/path/that/is/long)E41");
	IN("GET /a/path/with/\x7f HTTP/1.1\r\n\r\n", "B0X18");
	IN("GET /a/path/with/\x1f/and HTTP/1.1\r\n\r\n", "B0X18");
	IN("GET /\xc3\xa4\xc3\xb6 HTTP/1.1\r\n\r\n", "B0L20(GET /\xc3\xa4\xc3\xb6)E22");
	IN("GET /\r HTTP/1.1\r\n\r\n", "B0X7");
	IN("PUT /p HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\nContent-Length: 3\r\n\r\n"
	   "3\r\nabc\r\n0A;x=\"y\"\r\n0123456789\r\n0\r\nA: b\r\n\r\nGET / HTTP/1.1\r\n\r\n",
	   "B0L17(PUT /p)E113B113L129(GET /)E131");
	IN("PUT /p HTTP/1.1\nTransfer-Encoding: chunked\n\n3\nabc\n000\n\n", "B0L16(PUT /p)E55");
	IN("GET / HTTP/1.1\r\nX: a\r\n Content-Length: 9\r\n\r\n", "B0L16(GET /)E44"); /* folded: part of X */
	IN("GET http://host/p HTTP/1.1\r\n\r\n", "B0L28(GET http://host/p)E30");
	IN("GET / HTTP/1.1\r\n\r\nFROB /x HTTP/1.1\r\n\r\n", "B0L16(GET /)E18B18L36(_OTHER /x)E38");
	IN("GET /a b HTTP/1.1\r\n\r\n", "B0L19(GET /a b)E21");
}

static void test_long_line(void **state)
{
	char text[1024] = "GET /";

	(void)state;
	memset(text + 5, 'a', 300);
	strcpy(text + 305, " HTTP/1.1\r\n\r\n");
	IN(text, "B0L316(GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...)E318");
	for (size_t target = HTTP_LINE_KEPT - 16; target < HTTP_LINE_KEPT + 8; target++) {
		struct stream s;
		bool cut;
		size_t n;

		memset(text + 4, 'b', target);
		strcpy(text + 4 + target, " HTTP/1.1\r\n\r\n");
		begin(&s, false, HTTP_METHOD_NONE);
		feed(&s, text, strlen(text));
		(void)http_target(&s.h, &n, &cut);
		assert_int_equal(cut, 4 + target > HTTP_LINE_KEPT);
		assert_int_equal(n, cut ? HTTP_LINE_KEPT - 4 : target);
	}
}

static void test_no_requests(void **state)
{
	(void)state;
	IN("*1\r\n$4\r\nPING\r\n", "B0X4"); /* http_may_begin() says no before that */
	IN("GET foo\r\n", "B0X9");          /* redis inline */
	IN("GET /\r\n", "B0X7");            /* HTTP/0.9 */
	IN("FROB / HTTP/1.1\r\n\r\n", "B0X5");
	IN("get / HTTP/1.1\r\n\r\n", "B0X4");
	IN("GET / HTTP/2.0\r\n\r\n", "B0X16");
	IN("GET / HTTP/1.x\r\n\r\n", "B0X16");
	IN("GET  HTTP/1.1\r\n\r\n", "B0X15");
	IN("GET /\x01 HTTP/1.1\r\n", "B0X6");
	IN("GET /\r HTTP/1.1\r\n", "B0X7");
	IN("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "B0216");
	IN("PRI * HTTP/1.1\r\n\r\n", "B0X16");
	IN("GETGETGETGETGETGETGETGETGETGETGETGETGET /", "B0X33");
	IN("POST / HTTP/1.1\r\nContent-Length: 5x\r\n", "B0L17(POST /)X35");
	IN("POST / HTTP/1.1\r\nContent-Length:\r\n", "B0L17(POST /)X34");
	IN("POST / HTTP/1.1\r\nContent-Length: 5 6\r\n", "B0L17(POST /)X36");
	IN("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n", "B0L17(POST /)X55");
	IN("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n12345", "B0L17(POST /)E62");
	IN("POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n", "B0L17(POST /)X52");
	IN("POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", "B0L17(POST /)X44");
	IN("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx", "B0L17(POST /)X47");
	IN("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd", "B0L17(POST /)X54");
	IN("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3q\r\n", "B0L17(POST /)X48");
	IN("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffffffff\r\n", "B0L17(POST /)X61");
}

static void test_responses(void **state)
{
	(void)state;
	OUT("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 404\r\nContent-Length: 0\r\n\r\n",
	    "B0E41(200)B41E76(404)");
	OUT("HTTP/1.1 204 No Content\r\nServer: x\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n",
	    "B0E38(204)B38E87(304)");
	OUT("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 "
	    "OK\r\nContent-Length: 1\r\n\r\nx",
	    "B0I25B25I62B62E101(200)");
	OUT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nHTTP/1.1 500 "
	    "X\r\nContent-Length: 0\r\n\r\n",
	    "B0E62(200)B62E99(500)");
	OUT("HTTP/1.0 200 OK\r\n\r\nall until the end", "B0");
	OUT("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 1\r\n\r\nabc", "B0");
	OUT("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 1\r\n\r\na", "B0E68(200)");
	OUT_TO(HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "B0E40(200)B40E59(200)");
	OUT_TO(HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "B0E47(200)");
	OUT("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05hello", "B0S56");
	OUT_TO(CONNECT, "HTTP/1.1 200 OK\r\n\r\n\x16\x03", "B0S19");
	OUT_TO(CONNECT, "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", "B0E38(403)");
	OUT("SSH-2.0-x\r\n", "B0X0");
	OUT("HTTP/2 200\r\n\r\n", "B0X5");
	OUT("HTTP/1.1 20 OK\r\n\r\n", "B0X11");
	OUT("HTTP/1.1 2000 OK\r\n\r\n", "B0X12");
	OUT("HTTP/1.1 099 OK\r\n\r\n", "B0X9");
}

static void test_unseen_bytes(void **state)
{
	struct stream s;

	(void)state;
	begin(&s, true, HTTP_GET);
	feed(&s, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12", 41);
	assert_int_equal(http_out_skip(&s.h, 0), HTTP_MORE);
	assert_int_equal(http_out_skip(&s.h, 7), HTTP_MORE);
	assert_int_equal(http_out_close(&s.h), HTTP_LOST); /* one byte is missing */
	begin(&s, true, HTTP_GET);
	feed(&s, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12", 41);
	assert_int_equal(http_out_skip(&s.h, 8), HTTP_END);
	assert_int_equal(http_out_close(&s.h), HTTP_MORE);
	assert_int_equal(http_out_skip(&s.h, 1), HTTP_LOST);
	begin(&s, true, HTTP_GET);
	feed(&s, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n", 50);
	assert_int_equal(http_out_skip(&s.h, 5), HTTP_MORE);
	feed(&s, "\r\n0\r\n\r\n", 7);
	T_STR("chunk by sendfile", s.trace, "B0E57(200)"); /* offsets of what was fed */
	begin(&s, true, HTTP_GET);
	feed(&s, "HTTP/1.1 200 OK\r\n\r\nx", 20);
	assert_int_equal(http_out_skip(&s.h, UINT64_MAX), HTTP_MORE);
	assert_int_equal(http_out_close(&s.h), HTTP_END);
	begin(&s, true, HTTP_GET);
	feed(&s, "HTTP/1.1 200 OK\r\n", 17);
	assert_int_equal(http_out_close(&s.h), HTTP_LOST);
	begin(&s, false, HTTP_METHOD_NONE);
	feed(&s, "PUT / HTTP/1.1\r\nContent-Length: 3\r\n\r\n", 37);
	assert_int_equal(http_in_skip(&s.h, 3), HTTP_END);
	assert_int_equal(http_in_skip(&s.h, 3), HTTP_LOST);
}

static void test_may_begin(void **state)
{
	(void)state;
	assert_true(http_may_begin("G", 1) && http_may_begin("GET ", 4) && http_may_begin("PROPFIND /", 10));
	assert_true(http_may_begin("P", 1) && http_may_begin("PU", 2));
	assert_false(http_may_begin("GETX", 4) || http_may_begin("g", 1) || http_may_begin("\x16\x03", 2));
	assert_false(http_may_begin("HTTP/1.1 200", 12) ||
	             http_may_begin("\x7f"
	                            "ELF",
	                            4) ||
	             http_may_begin("PX", 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),     cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_no_requests),  cmocka_unit_test(test_responses),
		cmocka_unit_test(test_unseen_bytes), cmocka_unit_test(test_may_begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
