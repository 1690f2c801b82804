/* Checks: what must be true of an answer. Counted by name; what a failed one means for the request and the iteration, the
 * check says. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "capture.h"

enum check_test {
	CHECK_EXISTS,
	CHECK_EQUALS,
	CHECK_CONTAINS,
	CHECK_MATCHES, /* the pattern, somewhere */
	CHECK_MATCHES_ALL,
	CHECK_BELOW, /* numbers from here on */
	CHECK_AT_MOST,
	CHECK_ABOVE,
	CHECK_AT_LEAST,
};

enum check_subject {
	CHECK_STATUS,
	CHECK_DURATION, /* milliseconds */
	CHECK_SIZE,     /* bytes of the body */
	CHECK_HEAD,
	CHECK_BODY,
	CHECK_VALUE, /* what `look` finds */
	CHECK_TEXT,  /* what `text` says */
};

struct check {
	const char *name;
	uint32_t line, id; /* id: of its name, among the plan's check names */
	enum check_subject subject;
	enum check_test test;
	struct capture look;         /* CHECK_VALUE */
	const struct template *text; /* CHECK_TEXT */
	bool negated;                /* of each of the expected */
	bool any;                    /* one of the expected is enough; else all of them */
	bool fails_request;          /* a request that fails it is a failed one */
	bool ends_iteration;
	const struct template **expected;
	const struct pattern **patterns; /* CHECK_MATCHES...: as many */
	size_t expected_count;
};

bool check_holds(const struct check *c, const struct answer *a, struct scope *s, struct pattern_memory *memory);
