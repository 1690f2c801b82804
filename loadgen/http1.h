/* HTTP/1.x responses, parsed as the bytes come (RFC 9112). Pure: no system calls, no allocation, no clock. Any thread.
 * Input may be cut anywhere; the outcome does not depend on where. Bodies are counted, not kept. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	HTTP1_LINE_MAX = 512,      /* longest chunk-size line, and longest header that decides where the body ends */
	HTTP1_HEAD_MAX = 64 << 10, /* all heads of one response with its 1xx predecessors, and its trailers */
};

enum http1_outcome {
	HTTP1_MORE, /* all input used, response not complete */
	HTTP1_DONE, /* response complete; input after it is left unused */
	HTTP1_BAD,  /* not HTTP: the connection cannot be used any further; see `problem` */
};

/* id, what is wrong */
#define HTTP1_PROBLEMS(X)                                           \
	X(NONE, "nothing")                                          \
	X(STATUS_LINE, "the status line is not that of HTTP/1.x")   \
	X(CONTROL, "a control character in a head")                 \
	X(HEADER, "a header line without a name or colon")          \
	X(LENGTH, "Content-Length is not one number")               \
	X(CODING, "Transfer-Encoding has something after chunked")  \
	X(HEAD_SIZE, "the head is longer than 64 KiB")              \
	X(LINE_SIZE, "a framing line is longer than 512 bytes")     \
	X(CHUNK, "a chunk is not framed as it must be")             \
	X(UPGRADE, "the protocol was switched without being asked") \
	X(SURPLUS, "bytes follow the end of the response")          \
	X(TRUNCATED, "the connection ended inside the response")

enum http1_problem {
#define HTTP1_PROBLEM_ENUM(id, text) HTTP1_PROBLEM_##id,
	HTTP1_PROBLEMS(HTTP1_PROBLEM_ENUM)
#undef HTTP1_PROBLEM_ENUM
	        HTTP1_PROBLEM_COUNT
};
const char *http1_problem_text(enum http1_problem problem);

struct http1 {
	/* For the caller: valid after HTTP1_DONE. */
	uint16_t status;     /* 100 to 999; of the final response */
	bool keep_alive;     /* the connection may carry another request */
	uint64_t body_bytes; /* without chunk framing; counts up while the body comes */
	/* Valid after HTTP1_BAD. */
	uint8_t problem; /* enum http1_problem */
	/* The parser's own. */
	uint8_t state, framing;
	bool head_request, minor_0, close_seen, line_ends_in_cr, fold_is_bad;
	uint32_t head_bytes, line_bytes; /* of this response; of the line that is cut by the end of the input */
	uint64_t left;                   /* of the body or chunk; of Content-Length while in the head */
	char line[HTTP1_LINE_MAX];       /* the first bytes of the cut line */
};

/* Expect one response; `head_request`: it answers a HEAD, so it has no body. */
void http1_begin(struct http1 *p, bool head_request);
/* Feed bytes. *ret_used is how many belong to this response; on HTTP1_BAD it says nothing. Not to be called again after
 * HTTP1_DONE or HTTP1_BAD before http1_begin(). */
enum http1_outcome http1_feed(struct http1 *p, const char *data, size_t bytes, size_t *ret_used);
/* The server closed its side: completes a body that lasts until then; everything else is truncated (HTTP1_BAD). */
enum http1_outcome http1_eof(struct http1 *p);
/* True while not a single byte of the response was seen. */
bool http1_is_untouched(const struct http1 *p);
/* How many of the coming bytes are body for certain (0 in heads and chunk lines). The caller may drop up to that many
 * unseen, if it says so to http1_skip(), which answers as http1_feed() does. */
uint64_t http1_skippable(const struct http1 *p);
enum http1_outcome http1_skip(struct http1 *p, uint64_t bytes);
