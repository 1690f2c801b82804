/* Any bytes: what was judged once stays judged whatever follows, and nothing is read behind the end. So it does not matter in which
 * pieces a request comes. Input: what a client sent. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "metrics_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
	if (!condition)
		abort();
}

/* In a heap block of its own, so that a sanitizer sees its end. */
static int judge(const uint8_t *data, size_t size, struct metrics_request *ret)
{
	char *copy = malloc(size ? size : 1);
	int status;

	require(copy != NULL);
	memcpy(copy, data, size);
	status = metrics_http_read(copy, size, ret);
	free(copy);
	return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct metrics_request whole = { false, false, false }, part = { false, false, false };
	char head[METRICS_ANSWER_HEAD];
	int status, before;

	size = size < METRICS_HEAD_MAX ? size : METRICS_HEAD_MAX;
	status = judge(data, size, &whole);
	require(status == 0 || status == 200 || *metrics_http_body(status));
	require(status != 0 || size < METRICS_HEAD_MAX);
	for (size_t n = 0; n < size; n += 1 + size / 64) {
		before = judge(data, n, &part);
		require(before == 0 || before == status);
		if (before)
			require(part.head == whole.head && part.otel == whole.otel &&
			        part.openmetrics == whole.openmetrics);
	}
	if (status) {
		size_t n = metrics_http_head(status, &whole, size, head);

		require(n < METRICS_ANSWER_HEAD - 1 && n == strlen(head));
	}
	return 0;
}
