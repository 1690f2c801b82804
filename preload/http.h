/* The two directions of one HTTP/1.x connection, as its server sees them: bytes in any pieces become events.
 * Context    [hook]: pure; no memory but the caller's, no clock, no libc but mem*.
 * Errors     what is not HTTP/1.x, or framed in a way that nobody can follow, is HTTP_LOST, and stays so: a connection
 *            whose messages cannot be told apart for certain is better not followed.
 * Size       struct http is all that is kept, whatever the peer sends: 97 bytes and the start of the request line. */
#pragma once
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first message of a connection must begin with one of these; later ones may begin with any token. */
/* clang-format off */
#define HTTP_METHODS(X) \
	X(GET) X(HEAD) X(POST) X(PUT) X(DELETE) X(CONNECT) X(OPTIONS) X(TRACE) \
	X(PATCH) X(PRI) X(QUERY) X(PROPFIND) X(PROPPATCH) X(MKCOL) X(COPY) X(MOVE) \
	X(LOCK) X(UNLOCK) X(REPORT) X(SEARCH) X(PURGE) X(MKCALENDAR) X(ACL)
/* clang-format on */

enum http_method {
	HTTP_METHOD_NONE, /* not known yet */
#define HTTP_METHOD_ENUM(name) HTTP_##name,
	HTTP_METHODS(HTTP_METHOD_ENUM)
#undef HTTP_METHOD_ENUM
	        HTTP_METHOD_OTHER,
	HTTP_METHOD_WORK, /* no HTTP: work that the program told of (perfprobe.h) */
	HTTP_METHOD_COUNT
};

enum http_event {
	HTTP_MORE,    /* the input is used up */
	HTTP_BEGIN,   /* a message begins with the next byte */
	HTTP_LINE,    /* in: the request line is there; http_target() */
	HTTP_INTERIM, /* out: a response 1xx has ended, and is not the last one to its request */
	HTTP_END,     /* the message has ended with the last byte */
	HTTP_SWITCH,  /* out: likewise, and what follows is another protocol (101, CONNECT) */
	HTTP_IS_H2,   /* in: the preface of HTTP/2 */
	HTTP_LOST,
};

enum { HTTP_LINE_KEPT = 160 };

struct http_side {
	uint64_t left;  /* of the body or the chunk; in the head: its Content-Length */
	uint64_t value; /* the number that is being read */
	uint8_t state;  /* enum state of http.c */
	uint8_t framing;
	uint8_t at; /* place in a line, number or word; its meaning is the state's */
	bool cr;
	char word[20]; /* a header's name, or a transfer coding */
};

struct http {
	struct http_side in, out;
	uint64_t tail; /* the last eight bytes of the request line */
	uint32_t line_bytes;
	uint16_t status; /* of the response; 0: not known yet */
	uint8_t method;  /* enum http_method, of the request that is being read */
	uint8_t target_at;
	bool first; /* nothing has been told from any other protocol yet */
	char line[HTTP_LINE_KEPT];
};
static_assert(offsetof(struct http, line) <= 128, "small: there is one for each connection");

/* A head that came before: clients and servers say the same again and again, and comparing is cheaper than reading. One for each
 * direction, for any number of connections. Zeroed: it has none. */
enum { HTTP_MEMO_BYTES = 320 };
struct http_memo {
	uint32_t bytes; /* of the head, with its empty line; 0: none */
	uint32_t line_bytes;
	uint64_t tail, left;
	uint16_t status;
	uint8_t method, target_at, framing;
	char head[HTTP_MEMO_BYTES];
};

void http_init(struct http *h);
/* May a client's first bytes be these? A connection for which that is false need not be looked at again. */
bool http_may_begin(const char *data, size_t bytes);

/* What the client sent, and what the server sends: called until HTTP_MORE or HTTP_LOST with the rest of the input, which starts
 * at *at. `answers`: the method of the oldest request that is not answered yet. */
enum http_event http_in(struct http *h, const char **at, const char *end);
enum http_event http_out(struct http *h, const char **at, const char *end, enum http_method answers);
/* Several calls of those in one, for what usually comes: a head in one piece, from the input's start. HTTP_MORE: it is not so, and
 * nothing has changed. HTTP_LINE: HTTP_BEGIN and HTTP_LINE (in); HTTP_BEGIN: that (out). HTTP_END: those, and the message has ended.
 * `memo`: what has to be given again with the next call for this direction, or NULL. */
enum http_event http_in_begin(struct http *h, const char **at, const char *end, struct http_memo *memo);
enum http_event http_out_begin(struct http *h, const char **at, const char *end, enum http_method answers,
                               struct http_memo *memo);
/* As many bytes went by unseen (sendfile, splice): fine inside a body, else HTTP_LOST. */
enum http_event http_in_skip(struct http *h, uint64_t bytes);
enum http_event http_out_skip(struct http *h, uint64_t bytes);
/* Nothing more is sent. HTTP_END: that ended a response; HTTP_MORE: between two; HTTP_LOST: a response is not complete. */
enum http_event http_out_close(struct http *h);

/* Of the request line, from HTTP_LINE to the next HTTP_BEGIN; *ret_cut: the target is longer. */
const char *http_target(const struct http *h, size_t *ret_bytes, bool *ret_cut);
const char *http_method_name(enum http_method method); /* "_OTHER"; "" for HTTP_METHOD_NONE */
