/* Why an attempt got no response: one table, used for counting, for JSON keys and for sentences. Any thread. */
#pragma once

/*  id           JSON key       for people */
#define FAILURES(X)                                                                                           \
	X(REFUSED, "refused", "connection refused")                                                           \
	X(RESET, "reset", "connection reset by the server")                                                   \
	X(CLOSED, "closed", "connection closed before any byte of the response")                              \
	X(TRUNCATED, "truncated", "connection closed in the middle of the response")                          \
	X(TIMEOUT, "timeout", "no complete response within the timeout")                                      \
	X(DNS, "dns", "host name not found")                                                                  \
	X(UNREACHABLE, "unreachable", "host or network unreachable")                                          \
	X(TLS, "tls", "TLS failed: no common version, a certificate that is not trusted, or a broken record") \
	X(MALFORMED, "malformed", "not a well-formed HTTP/1.x response")                                      \
	X(DESCRIPTORS, "descriptors", "the driver ran out of file descriptors")                               \
	X(PORTS, "ports", "the driver ran out of local ports")                                                \
	X(OTHER, "other", "another system error")

enum failure {
#define FAILURE_ENUM(id, key, text) FAILURE_##id,
	FAILURES(FAILURE_ENUM)
#undef FAILURE_ENUM
	        FAILURE_COUNT
};

const char *failure_key(enum failure kind);
const char *failure_text(enum failure kind);
/* Of a positive errno from connect(), send() or recv(). */
enum failure failure_from_errno(int code);
