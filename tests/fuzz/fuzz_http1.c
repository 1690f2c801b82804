/* Any bytes, cut anywhere: the parser answers the same as for the bytes in one piece, uses no more than it was given, and
 * keeps its own promises. Input: byte 0 = flags and seed of the cuts, the rest = what the server sent. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
	enum http1_outcome outcome;
	size_t used;
	struct http1 http;
};

static void require(int condition)
{
	if (!condition)
		abort();
}

/* Pieces of `cut_seed`-random length; 0: one piece. Each piece is a heap block of its own, so that a sanitizer sees its end. */
static struct outcome feed(const uint8_t *data, size_t size, uint32_t cut_seed, bool head)
{
	struct outcome o = { .outcome = HTTP1_MORE };

	http1_begin(&o.http, head);
	for (size_t at = 0; at < size && o.outcome == HTTP1_MORE;) {
		size_t used = 0,
		       piece = cut_seed ? 1 + (cut_seed = cut_seed * 1103515245u + 12345u, cut_seed >> 16) % 29 : size;
		char *copy;

		if (piece > size - at)
			piece = size - at;
		copy = malloc(piece);
		require(copy != NULL);
		memcpy(copy, data + at, piece);
		o.outcome = http1_feed(&o.http, copy, piece, &used);
		free(copy);
		require(used <= piece && (o.outcome != HTTP1_MORE || used == piece));
		o.used += used;
		at += piece;
	}
	if (o.outcome == HTTP1_MORE)
		o.outcome = http1_eof(&o.http);
	return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole, cut;
	bool head;

	if (size == 0)
		return 0;
	head = data[0] & 1;
	whole = feed(data + 1, size - 1, 0, head);
	cut = feed(data + 1, size - 1, data[0] | 1u, head);
	require(whole.outcome != HTTP1_MORE && whole.outcome == cut.outcome);
	if (whole.outcome == HTTP1_BAD) {
		require(whole.http.problem > HTTP1_PROBLEM_NONE && whole.http.problem < HTTP1_PROBLEM_COUNT);
		return 0;
	}
	require(whole.used == cut.used && whole.http.body_bytes == cut.http.body_bytes);
	require(whole.http.status == cut.http.status && whole.http.keep_alive == cut.http.keep_alive);
	require(whole.http.status >= 200 && whole.http.status <= 999);
	require(whole.http.body_bytes <= size);
	require(!head || whole.http.body_bytes == 0);
	return 0;
}
