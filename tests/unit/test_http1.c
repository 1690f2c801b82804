/* Tests of http1.c: every message of the table whole, cut in two at every byte, in three, and byte by byte; always from
 * buffers that end at a page nobody may touch. The outcome must not depend on the cuts. */
#include "t.h"

#include <stdio.h>

#include "http1.h"

struct row {
	const char *name, *text;
	enum http1_outcome outcome;
	int status; /* or, if outcome is HTTP1_BAD, enum http1_problem */
	uint64_t body;
	bool keep_alive;
	size_t surplus; /* bytes at the end of text that are not the response's */
	bool head, eof; /* the request was HEAD; the server closes after the text */
};

#define OK          HTTP1_DONE
#define BAD         HTTP1_BAD
#define PROBLEM(id) HTTP1_PROBLEM_##id

static const struct row rows[] = {
	{ "length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", OK, 200, 5, true, 0, 0, 0 },
	{ "length 0", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", OK, 200, 0, true, 0, 0, 0 },
	{ "any case, no space", "HTTP/1.1 200 OK\r\ncONTENT-lENGTH:3\r\n\r\nabc", OK, 200, 3, true, 0, 0, 0 },
	{ "white space around", "HTTP/1.1 200 OK\r\nContent-Length: \t 3 \t\r\n\r\nabc", OK, 200, 3, true, 0, 0, 0 },
	{ "bare LF", "HTTP/1.1 200 OK\nContent-Length: 3\n\nabc", OK, 200, 3, true, 0, 0, 0 },
	{ "no reason", "HTTP/1.1 200\r\nContent-Length: 1\r\n\r\na", OK, 200, 1, true, 0, 0, 0 },
	{ "empty reason", "HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\na", OK, 200, 1, true, 0, 0, 0 },
	{ "status 999", "HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", OK, 999, 0, true, 0, 0, 0 },
	{ "surplus", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naXY", OK, 200, 1, true, 2, 0, 0 },
	{ "second response", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n", OK, 200, 0, true, 17, 0,
	  0 },
	{ "close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na", OK, 200, 1, false, 0, 0, 0 },
	{ "close in a list", "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n", OK, 200, 0, false,
	  0, 0, 0 },
	{ "close beats keep-alive", "HTTP/1.1 200 OK\r\nConnection: close, keep-alive\r\nContent-Length: 0\r\n\r\n", OK,
	  200, 0, false, 0, 0, 0 },
	{ "1.0 closes", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", OK, 200, 1, false, 0, 0, 0 },
	{ "1.0 keep-alive", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\na", OK, 200, 1, true,
	  0, 0, 0 },
	{ "until close", "HTTP/1.1 200 OK\r\nX: y\r\n\r\nwhatever", OK, 200, 8, false, 0, 0, 1 },
	{ "until close, empty", "HTTP/1.1 200 OK\r\n\r\n", OK, 200, 0, false, 0, 0, 1 },
	{ "until close, open", "HTTP/1.1 200 OK\r\n\r\nabc", HTTP1_MORE, 200, 3, false, 0, 0, 0 },
	{ "204", "HTTP/1.1 204 No Content\r\n\r\n", OK, 204, 0, true, 0, 0, 0 },
	{ "204 ignores length", "HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n", OK, 204, 0, true, 0, 0, 0 },
	{ "304 with length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n", OK, 304, 0, true, 0, 0, 0 },
	{ "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n", OK, 200, 0, true, 0, 1, 0 },
	{ "HEAD chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", OK, 200, 0, true, 0, 1, 0 },
	{ "100 first", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", OK, 200, 1, true,
	  0, 0, 0 },
	{ "103 with headers",
	  "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 4\r\nConnection: close\r\n\r\nHTTP/1.1 404 "
	  "No\r\nContent-Length: 0\r\n\r\n",
	  OK, 404, 0, true, 0, 0, 0 },
	{ "chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n",
	  OK, 200, 15, true, 0, 0, 0 },
	{ "chunk with LF", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\na\n0\n\n", OK, 200, 1, true, 0, 0,
	  0 },
	{ "chunk extensions", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\"b c\"\r\nabc\r\n0 ;x\r\n\r\n",
	  OK, 200, 3, true, 0, 0, 0 },
	{ "trailers",
	  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nDigest: x\r\nContent-Length: 9\r\n\r\n",
	  OK, 200, 1, true, 0, 0, 0 },
	{ "chunked beats length",
	  "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", OK, 200, 1,
	  true, 0, 0, 0 },
	{ "gzip, chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", OK, 200, 1,
	  true, 0, 0, 0 },
	{ "coding until close", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc", OK, 200, 3, false, 0, 0, 1 },
	{ "chunked in 1.0",
	  "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", OK, 200,
	  1, false, 0, 0, 0 },
	{ "leading zeros in a chunk size",
	  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000000003\r\nabc\r\n000\r\n\r\n", OK, 200, 3,
	  true, 0, 0, 0 },
	{ "equal lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\nContent-Length: 2\r\n\r\nab", OK, 200, 2, true,
	  0, 0, 0 },
	{ "folded, of no matter", "HTTP/1.1 200 OK\r\nX: a\r\n  b\r\nContent-Length: 0\r\n\r\n", OK, 200, 0, true, 0, 0,
	  0 },
	{ "empty value", "HTTP/1.1 200 OK\r\nX:\r\nContent-Length: 0\r\n\r\n", OK, 200, 0, true, 0, 0, 0 },
	{ "bytes above 127", "HTTP/1.1 200 \xc3\x96\r\nX: \xff\r\nContent-Length: 0\r\n\r\n", OK, 200, 0, true, 0, 0,
	  0 },
	{ "names that begin alike",
	  "HTTP/1.1 200 OK\r\nContent-Lengti: 7\r\nConnectiom: close\r\nContent-Length: 0\r\n\r\n", OK, 200, 0, true, 0,
	  0, 0 },

	{ "not HTTP", "SSH-2.0-OpenSSH_9.2\r\n", BAD, PROBLEM(STATUS_LINE), 0, 0, 0, 0, 0 },
	{ "HTTP/2", "HTTP/2.0 200 OK\r\n\r\n", BAD, PROBLEM(STATUS_LINE), 0, 0, 0, 0, 0 },
	{ "lower case", "http/1.1 200 OK\r\n\r\n", BAD, PROBLEM(STATUS_LINE), 0, 0, 0, 0, 0 },
	{ "status 099", "HTTP/1.1 099 Low\r\n\r\n", BAD, PROBLEM(STATUS_LINE), 0, 0, 0, 0, 0 },
	{ "status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", BAD, PROBLEM(STATUS_LINE), 0, 0, 0, 0, 0 },
	{ "status of two digits", "HTTP/1.1 20 OK\r\n\r\n", BAD, PROBLEM(STATUS_LINE), 0, 0, 0, 0, 0 },
	{ "empty first line", "\r\nHTTP/1.1 200 OK\r\n\r\n", BAD, PROBLEM(STATUS_LINE), 0, 0, 0, 0, 0 },
	{ "CR alone", "HTTP/1.1 200 OK\rX: y\r\n\r\n", BAD, PROBLEM(CONTROL), 0, 0, 0, 0, 0 },
	{ "two CR", "HTTP/1.1 200 OK\r\r\n\r\n", BAD, PROBLEM(CONTROL), 0, 0, 0, 0, 0 },
	{ "DEL in a value", "HTTP/1.1 200 OK\r\nX: a\x7f\r\n\r\n", BAD, PROBLEM(CONTROL), 0, 0, 0, 0, 0 },
	{ "ESC in a value", "HTTP/1.1 200 OK\r\nX: long enough for a vector \x1b\r\n\r\n", BAD, PROBLEM(CONTROL), 0, 0,
	  0, 0, 0 },
	{ "header without colon", "HTTP/1.1 200 OK\r\nNothing\r\n\r\n", BAD, PROBLEM(HEADER), 0, 0, 0, 0, 0 },
	{ "header without name", "HTTP/1.1 200 OK\r\n: x\r\n\r\n", BAD, PROBLEM(HEADER), 0, 0, 0, 0, 0 },
	{ "space before colon", "HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nabc", BAD, PROBLEM(HEADER), 0, 0, 0, 0,
	  0 },
	{ "fold without header", "HTTP/1.1 200 OK\r\n X: y\r\n\r\n", BAD, PROBLEM(HEADER), 0, 0, 0, 0, 0 },
	{ "folded length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n 4\r\n\r\nabc", BAD, PROBLEM(HEADER), 0, 0, 0, 0,
	  0 },
	{ "two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", BAD, PROBLEM(LENGTH),
	  0, 0, 0, 0, 0 },
	{ "two lengths in one", "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nabc", BAD, PROBLEM(LENGTH), 0, 0, 0, 0,
	  0 },
	{ "negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", BAD, PROBLEM(LENGTH), 0, 0, 0, 0, 0 },
	{ "signed length", "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na", BAD, PROBLEM(LENGTH), 0, 0, 0, 0, 0 },
	{ "hexadecimal length", "HTTP/1.1 200 OK\r\nContent-Length: 0x1\r\n\r\na", BAD, PROBLEM(LENGTH), 0, 0, 0, 0,
	  0 },
	{ "empty length", "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\na", BAD, PROBLEM(LENGTH), 0, 0, 0, 0, 0 },
	{ "length over 63 bits", "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551617\r\n\r\na", BAD,
	  PROBLEM(LENGTH), 0, 0, 0, 0, 0 },
	{ "chunked twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", BAD, PROBLEM(CODING), 0, 0,
	  0, 0, 0 },
	{ "chunked not last", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n", BAD,
	  PROBLEM(CODING), 0, 0, 0, 0, 0 },
	{ "101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", BAD, PROBLEM(UPGRADE), 0, 0, 0, 0, 0 },
	{ "chunk size is no number", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", BAD,
	  PROBLEM(CHUNK), 0, 0, 0, 0, 0 },
	{ "chunk size empty", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", BAD, PROBLEM(CHUNK), 0, 0, 0,
	  0, 0 },
	{ "chunk size with junk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1g\r\na\r\n", BAD,
	  PROBLEM(CHUNK), 0, 0, 0, 0, 0 },
	{ "chunk size over 62 bits", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n", BAD,
	  PROBLEM(CHUNK), 0, 0, 0, 0, 0 },
	{ "chunk longer than it says", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", BAD,
	  PROBLEM(CHUNK), 1, 0, 0, 0, 0 },
	{ "trailer without colon", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\njunk\r\n\r\n", BAD,
	  PROBLEM(HEADER), 0, 0, 0, 0, 0 },
	{ "nothing, then closed", "", BAD, PROBLEM(TRUNCATED), 0, 0, 0, 0, 1 },
	{ "closed in the head", "HTTP/1.1 200 OK\r\nContent-Le", BAD, PROBLEM(TRUNCATED), 0, 0, 0, 0, 1 },
	{ "closed in the body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", BAD, PROBLEM(TRUNCATED), 3, 0, 0, 0,
	  1 },
	{ "closed in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", BAD, PROBLEM(TRUNCATED),
	  3, 0, 0, 0, 1 },
	{ "closed before the last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", BAD,
	  PROBLEM(TRUNCATED), 1, 0, 0, 0, 1 },
	{ "closed before the trailers' end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", BAD,
	  PROBLEM(TRUNCATED), 0, 0, 0, 0, 1 },
};

struct outcome {
	enum http1_outcome outcome;
	size_t used;
	struct http1 http;
};

/* Feeds text[0..len) in pieces that end at cuts[0..count) and at len. `scratch` has len bytes before a guard page. */
static struct outcome feed(const char *text, size_t len, const size_t *cuts, size_t count, struct t_guarded *scratch,
                           bool head, bool eof)
{
	struct outcome o = { .outcome = HTTP1_MORE };
	size_t from = 0;

	memset(&o.http, 0xa5, sizeof(o.http)); /* begin must not rely on anything */
	http1_begin(&o.http, head);
	for (size_t i = 0; i <= count && o.outcome == HTTP1_MORE; i++) {
		size_t to = i < count ? cuts[i] : len, used = 0;
		uint8_t *piece = scratch->data + scratch->len - (to - from);

		memcpy(piece, text + from, to - from);
		o.outcome = http1_feed(&o.http, (const char *)piece, to - from, &used);
		assert_true(used <= to - from);
		if (o.outcome == HTTP1_MORE)
			assert_int_equal(used, to - from);
		o.used += used;
		from = to;
	}
	if (o.outcome == HTTP1_MORE && eof)
		o.outcome = http1_eof(&o.http);
	return o;
}

static void check(const struct row *r, const struct outcome *o, const char *how)
{
	char name[160];

	(void)snprintf(name, sizeof(name), "%s (%s)", r->name, how);
	T_CHECK(name, o->outcome == r->outcome);
	T_CHECK(name, o->http.body_bytes == r->body || r->outcome == HTTP1_BAD);
	if (r->outcome == HTTP1_BAD) {
		T_CHECK(name, o->http.problem == r->status);
		return;
	}
	T_CHECK(name, o->http.status == r->status);
	T_CHECK(name, o->used == strlen(r->text) - r->surplus);
	if (r->outcome == HTTP1_DONE)
		T_CHECK(name, o->http.keep_alive == r->keep_alive);
}

static void cut_everywhere(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		size_t len = strlen(r->text), cuts[512];
		struct t_guarded scratch = t_guarded_new(NULL, len);
		struct outcome o = feed(r->text, len, NULL, 0, &scratch, r->head, r->eof);

		check(r, &o, "whole");
		for (size_t at = 0; at <= len; at++) {
			char how[32];

			cuts[0] = at;
			o = feed(r->text, len, cuts, 1, &scratch, r->head, r->eof);
			(void)snprintf(how, sizeof(how), "cut at %zu", at);
			check(r, &o, how);
			for (cuts[1] = at; cuts[1] <= len; cuts[1] += 3) {
				o = feed(r->text, len, cuts, 2, &scratch, r->head, r->eof);
				check(r, &o, "in three");
			}
		}
		assert_true(len < ARRAY_LEN(cuts));
		for (size_t at = 0; at < len; at++)
			cuts[at] = at + 1;
		o = feed(r->text, len, cuts, len, &scratch, r->head, r->eof);
		check(r, &o, "byte by byte");
		t_guarded_free(&scratch);
	}
}

/* Every proper prefix of a response that does not last until the close: neither complete nor wrong, and truncated if the
 * server closes there. */
static void prefixes_are_incomplete(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		size_t len = strlen(r->text) - r->surplus;

		if (r->outcome != HTTP1_DONE || r->eof)
			continue;
		for (size_t at = 0; at < len; at++) {
			struct t_guarded scratch = t_guarded_new(NULL, at);
			struct outcome o = feed(r->text, at, NULL, 0, &scratch, r->head, false);

			T_CHECK(r->name, o.outcome == HTTP1_MORE);
			T_CHECK(r->name, http1_is_untouched(&o.http) == (at == 0));
			T_CHECK(r->name, http1_eof(&o.http) == HTTP1_BAD);
			T_CHECK(r->name, o.http.problem == HTTP1_PROBLEM_TRUNCATED);
			t_guarded_free(&scratch);
		}
	}
}

/* "HTTP/1.1 200 OK\r\nX: aaaa...\r\n" + tail, with `fill` letters; the caller frees. */
static char *with_long_header(const char *name, size_t fill, const char *tail)
{
	const char *head = "HTTP/1.1 200 OK\r\n";
	size_t lead = strlen(head) + strlen(name);
	char *text = malloc(lead + fill + strlen(tail) + 1);

	assert_non_null(text);
	(void)sprintf(text, "%s%s", head, name);
	memset(text + lead, 'a', fill);
	strcpy(text + lead + fill, tail);
	return text;
}

static void expect_long(const char *name, size_t fill, const char *tail, enum http1_outcome outcome, int problem)
{
	char *text = with_long_header(name, fill, tail);
	size_t len = strlen(text), cuts[3] = { len / 3, len / 2, len - 2 };
	struct t_guarded scratch = t_guarded_new(NULL, len);

	for (size_t count = 0; count <= 3; count++) {
		struct outcome o = feed(text, len, cuts, count, &scratch, false, false);

		assert_int_equal(o.outcome, outcome);
		if (outcome == HTTP1_BAD)
			assert_int_equal(o.http.problem, problem);
	}
	t_guarded_free(&scratch);
	free(text);
}

static void limits(void **state)
{
	const char *end = "\r\nContent-Length: 0\r\n\r\n";

	(void)state;
	expect_long("X: ", 5000, end, HTTP1_DONE, 0);
	expect_long("X: ", 60000, end, HTTP1_DONE, 0);
	expect_long("X: ", HTTP1_HEAD_MAX, end, HTTP1_BAD, HTTP1_PROBLEM_HEAD_SIZE);
	expect_long("X: ", 200000, "", HTTP1_BAD, HTTP1_PROBLEM_HEAD_SIZE);
	/* A framing header may be as long as is kept, and no longer: name, colon, space are 12. */
	expect_long("Connection: ", HTTP1_LINE_MAX - 12, end, HTTP1_DONE, 0);
	expect_long("Connection: ", HTTP1_LINE_MAX - 11, end, HTTP1_BAD, HTTP1_PROBLEM_LINE_SIZE);
	expect_long("", 5000, ": x\r\n\r\n", HTTP1_MORE, 0); /* a name of 5000 is odd, but a name */
	expect_long("Transfer-Encoding: chunked\r\n\r\n1;", HTTP1_LINE_MAX - 2, "\r\na\r\n0\r\n\r\n", HTTP1_DONE, 0);
	expect_long("Transfer-Encoding: chunked\r\n\r\n1;", HTTP1_LINE_MAX - 1, "\r\na\r\n0\r\n\r\n", HTTP1_BAD,
	            HTTP1_PROBLEM_LINE_SIZE);
}

/* Heads without end: many headers, many 1xx, many trailers. None may go on for ever. */
static void endless_heads(void **state)
{
	static const struct {
		const char *name, *start, *repeat;
	} endless[] = {
		{ "headers", "HTTP/1.1 200 OK\r\n", "X: y\r\n" },
		{ "interim responses", "", "HTTP/1.1 100 Continue\r\n\r\n" },
		{ "trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "X: y\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(endless); i++) {
		struct http1 p;
		size_t used, turns = 0;
		enum http1_outcome o;

		http1_begin(&p, false);
		o = http1_feed(&p, endless[i].start, strlen(endless[i].start), &used);
		for (; o == HTTP1_MORE && turns < HTTP1_HEAD_MAX; turns++)
			o = http1_feed(&p, endless[i].repeat, strlen(endless[i].repeat), &used);
		T_CHECK(endless[i].name, o == HTTP1_BAD && p.problem == HTTP1_PROBLEM_HEAD_SIZE);
	}
}

/* Skipped bytes count as fed ones do, and no more may be skipped than are body for certain. */
static void skipping(void **state)
{
	const char *head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
	const char *chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n";
	struct http1 p;
	size_t used;

	(void)state;
	http1_begin(&p, false);
	assert_int_equal(http1_skippable(&p), 0);
	assert_int_equal(http1_feed(&p, head, strlen(head), &used), HTTP1_MORE);
	assert_int_equal(http1_skippable(&p), 100000);
	assert_int_equal(http1_skip(&p, 99999), HTTP1_MORE);
	assert_int_equal(http1_skippable(&p), 1);
	assert_int_equal(http1_skip(&p, 1), HTTP1_DONE);
	assert_int_equal(p.body_bytes, 100000);

	http1_begin(&p, false);
	assert_int_equal(http1_feed(&p, chunked, strlen(chunked), &used), HTTP1_MORE);
	assert_int_equal(http1_skippable(&p), 255);
	assert_int_equal(http1_skip(&p, 255), HTTP1_MORE);
	assert_int_equal(http1_skippable(&p), 0);
	assert_int_equal(http1_feed(&p, "\r\n0\r\n\r\n", 7, &used), HTTP1_DONE);
	assert_int_equal(p.body_bytes, 255);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cut_everywhere), cmocka_unit_test(prefixes_are_incomplete),
		cmocka_unit_test(limits),         cmocka_unit_test(endless_heads),
		cmocka_unit_test(skipping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
