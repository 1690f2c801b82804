/* What somebody who scrapes asks for, and what stands before the answer: the part of HTTP/1.x (RFC 9110, 9112) that takes.
 * Only GET and HEAD, one request a connection, no bodies.
 * Context    [any]: pure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum { METRICS_HEAD_MAX = 8 << 10 /* of a request */, METRICS_ANSWER_HEAD = 512 };

struct metrics_request {
	bool head;        /* the answer has no body */
	bool otel;        /* names=otel */
	bool openmetrics; /* Accept: prefers OpenMetrics */
};

/* `bytes` of a request. 0: it is not complete; else the status of the answer, and with 200 *ret_request. */
int metrics_http_read(const char *at, size_t bytes, struct metrics_request *ret_request);
/* The head of an answer; its length. `body_bytes` is what GET would get; the type of the page is the request's. */
size_t metrics_http_head(int status, const struct metrics_request *request, size_t body_bytes,
                         char to[METRICS_ANSWER_HEAD]);
/* The body of an answer that is not 200: one line. */
const char *metrics_http_body(int status);
