/* Any bytes: the reader of live files either refuses with a sentence, or yields a model that passes every invariant and can be
 * viewed. The input is read as it is. A live file's list of chunks alone is 320 KiB of mostly zeros, so no fuzzer would find its
 * way: the input is read once more as the file without them,
 *
 *	u8 entries, the header's first 160 bytes, `entries` of the list, then the chunks' content
 *
 * with magic, version and one size mended, offsets within the content, and the example's description where none is listed. */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "live_build.h"
#include "live_read.h"
#include "model.h"
#include "top.h"
#include "view_top.h"
#include "views_check.h"

enum { HEAD_BYTES = offsetof(struct live_header, chunk), MOST_BYTES = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Frees the model. */
static void show_on_top(struct model *m)
{
	const struct top_picture *p = NULL;
	struct view_top how = { .interval_ns = 1 };
	struct top *t = NULL;
	struct buf out = { 0 };
	const struct view v = { &out, false };
	struct err err = { 0 };
	int rc;

	assert(top_new(UINT64_MAX, NULL, &t, &err) == 0);
	rc = top_add(t, m, &p, &err);
	assert(rc == 0 || (rc == -E2BIG && err.text[0]));
	for (unsigned k = 0; k < TOP_TABLES && rc == 0; k++) {
		how.table = (enum top_table)k;
		view_top_screen(&v, (struct top_picture *)p, &how, 80, 24);
	}
	for (size_t i = 0; i < out.len; i++)
		assert((unsigned char)out.data[i] >= 0x20 || out.data[i] == '\n');
	buf_done(&out);
	top_free(t);
}

static void read_one(const uint8_t *data, size_t size)
{
	struct model *m = NULL;
	struct err err = { 0 };
	int rc = live_read(data, size, &m, &err);

	if (rc < 0) {
		assert(err.text[0] && !m); /* a refusal without a reason is a bug */
		return;
	}
	model_check(m);
	views_check(m);
	show_on_top(m);
}

static void mend_header(struct live_header *h)
{
	memcpy(h->magic, LIVE_MAGIC, LIVE_MAGIC_BYTES);
	h->version = LIVE_VERSION;
	h->chunk_bytes = sizeof(struct live_chunk);
}

/* The example's description, made once. */
static const uint8_t *description(size_t *ret_bytes)
{
	static uint8_t bytes[8192];
	static size_t count;

	if (!count) {
		struct live_build b = live_build_example();

		count = live_build_header(&b)->chunk[LIVE_EXAMPLE_FRAME].bytes;
		assert(count <= sizeof(bytes));
		memcpy(bytes, live_build_content(&b, LIVE_EXAMPLE_FRAME), count);
		free(b.file);
	}
	*ret_bytes = count;
	return bytes;
}

static void read_compact(const uint8_t *data, size_t size)
{
	size_t entries = data[0], list_bytes = entries * sizeof(struct live_chunk), content, frame_bytes, base;
	const uint8_t *frame = description(&frame_bytes);
	struct live_header *h;
	uint8_t *file;

	if (size < 1 + HEAD_BYTES + list_bytes)
		return;
	content = size - 1 - HEAD_BYTES - list_bytes;
	base = sizeof(*h) + (frame_bytes + 7) / 8 * 8;
	file = calloc(1, base + content);
	assert(file);
	h = (struct live_header *)(void *)file;
	memcpy(file, data + 1, HEAD_BYTES);
	mend_header(h);
	memcpy(h->chunk, data + 1 + HEAD_BYTES, list_bytes);
	for (size_t i = 0; i < entries; i++)
		h->chunk[i].offset += base;
	memcpy(file + sizeof(*h), frame, frame_bytes);
	h->chunk[entries] =
	        (struct live_chunk){ sizeof(*h), frame_bytes, LIVE_FRAME, 0, 0, 1, 0 }; /* serial 0: the last choice */
	memcpy(file + base, data + size - content, content);
	read_one(file, base + content);
	free(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	read_one(data, size);
	if (size > 1 && size <= MOST_BYTES)
		read_compact(data, size);
	return 0;
}
