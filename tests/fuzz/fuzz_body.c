/* A response that the parser takes, kept and taken apart: head and body lie in the kept bytes or the scratch buffer, no
 * longer than was wanted, and end in NUL. Input: byte 0 = how much body is wanted, byte 1 = how much is kept, the rest = what
 * the server sent. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "body.h"
#include "buf.h"
#include "http1.h"
#include "user.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
	if (!condition)
		abort();
}

static void check(const struct user_response *r, const struct buf *kept, const struct buf *scratch, uint64_t max)
{
	require(!r->head || (r->head >= kept->data && r->head + r->head_bytes <= kept->data + kept->len));
	require(r->head || !r->body);
	if (!r->body)
		return;
	require(r->body_bytes <= max && r->body[r->body_bytes] == '\0');
	require((r->body >= kept->data && r->body + r->body_bytes <= kept->data + kept->len) ||
	        (r->body == scratch->data && r->body_bytes <= scratch->len));
	require(scratch->len <= max + (16 << 10)); /* a bomb stops after a piece */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf kept = { 0 }, scratch = { 0 };
	struct user_response r = { 0 };
	struct http1 http;
	size_t used = 0;
	enum http1_outcome outcome;
	uint64_t max;

	if (size < 2)
		return 0;
	max = (uint64_t)data[0] * 16;
	http1_begin(&http, false);
	outcome = http1_feed(&http, (const char *)data + 2, size - 2, &used);
	if (outcome == HTTP1_MORE)
		outcome = http1_eof(&http);
	if (outcome != HTTP1_DONE)
		return 0;
	r.wire_body_bytes = http.body_bytes;
	buf_add(&kept, data + 2, data[1] == 255 || data[1] * 8u > used ? used : data[1] * 8u);
	body_split(&kept, &scratch, max, &r);
	if (kept.data && scratch.len + kept.len)
		check(&r, &kept, &scratch, max);
	buf_done(&kept);
	buf_done(&scratch);
	return 0;
}
