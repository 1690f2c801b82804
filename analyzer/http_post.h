/* One POST over HTTP or HTTPS, tried again where that may help. Through libcurl, which is opened when it is first needed: linked,
 * it would make every start of the program five milliseconds longer (ADR 0027).
 * Errors       0 or -errno with a sentence. Hosted programs; main thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "compiler.h"
#include "err.h"

enum { HTTP_POST_HEADERS = 4, HTTP_POST_ANSWER = 1 << 16 };

struct http_post {
	const char *url;
	const char *headers[HTTP_POST_HEADERS]; /* "Name: value"; NULL: no more */
	const void *body;
	size_t body_bytes;
	const char *ca_file; /* certificates to trust instead of the system's; NULL */
	uint64_t timeout_ns; /* of one try */
	uint64_t wait_ns;    /* before the second try; doubled before each further one */
	unsigned retries;
	bool grpc; /* gRPC-Web: the outcome stands in grpc-status */
};

struct http_answer {
	long status;
	unsigned tries;
	struct buf body; /* its beginning */
	struct buf grpc_status, grpc_message;
};

/* Anything but success is an error whose sentence has what the server said. http_answer_done() either way. */
int http_post_send(const struct http_post *post, struct http_answer *ret, struct err *err) MUST_USE;
/* Takes the status out of a gRPC-Web body. */
void http_answer_read_frames(struct http_answer *a);
void http_answer_done(struct http_answer *a);
