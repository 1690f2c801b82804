/* Any bytes as a server's answer to gRPC-Web: its status and message are one line each, and nothing behind the body is read. */
#undef NDEBUG
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "http_post.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct buf *b, size_t size)
{
	assert(!b->failed && b->len <= size);
	assert(!b->len || !memchr(b->data, '\n', b->len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_answer a = { 0 };

	buf_add(&a.body, data, size);
	http_answer_read_frames(&a);
	check(&a.grpc_status, size);
	check(&a.grpc_message, size);
	http_answer_done(&a);
	return 0;
}
