/* body.c - heads, chunks and codings of kept responses. */
#include "body.h"

#include <string.h>
#include <strings.h>

#include <brotli/decode.h>
#include <zlib.h>
#include <zstd.h>

#include "buf.h"
#include "user.h"

enum { PIECE = 16 << 10 };

/* Behind the empty line that ends the head at `from`, or NULL if it is not all there. */
static char *head_end(char *from, char *end)
{
	for (char *at = from; (at = memchr(at, '\n', (size_t)(end - at))) != NULL;) {
		at++;
		if (at < end && *at == '\n')
			return at + 1;
		if (end - at >= 2 && at[0] == '\r' && at[1] == '\n')
			return at + 2;
	}
	return NULL;
}

static bool is_interim(const char *head, const char *end)
{
	return end - head > 9 && head[9] == '1';
}

/* The value of a field, blanks around it taken off; false if it is not there. The last one counts if there are several. */
static bool find_field(const char *head, const char *end, const char *name, const char **ret_value, size_t *ret_len)
{
	size_t len = strlen(name);
	bool found = false;

	for (const char *line = head, *next; line < end; line = next) {
		const char *stop = memchr(line, '\n', (size_t)(end - line)), *value;

		next = stop ? stop + 1 : end;
		stop = stop ? stop : end;
		if ((size_t)(stop - line) <= len || strncasecmp(line, name, len) != 0 || line[len] != ':')
			continue;
		for (value = line + len + 1; value < stop && (*value == ' ' || *value == '\t'); value++)
			;
		while (stop > value && (stop[-1] == '\r' || stop[-1] == ' ' || stop[-1] == '\t'))
			stop--;
		*ret_value = value;
		*ret_len = (size_t)(stop - value);
		found = true;
	}
	return found;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* Takes the chunk framing out, in place. The end may be missing: what is there is kept. Returns the bytes left. */
static size_t unchunk(char *body, size_t len)
{
	char *at = body, *end = body + len, *out = body;

	while (at < end) {
		uint64_t size = 0;

		for (; at < end && hex_digit(*at) >= 0 && size <= UINT32_MAX; at++)
			size = size << 4 | (uint64_t)hex_digit(*at);
		at = memchr(at, '\n', (size_t)(end - at));
		if (!at || size == 0)
			break;
		at++;
		if (size > (uint64_t)(end - at))
			size = (uint64_t)(end - at);
		memmove(out, at, size);
		out += size;
		at += size;
		at += at < end && *at == '\r';
		at += at < end && *at == '\n';
	}
	return (size_t)(out - body);
}

/* A decoder's output. Decoding ends when more than `max` bytes are there. */
struct decoded {
	struct buf *out;
	uint64_t max;
	char piece[PIECE];
};

static bool is_full(const struct decoded *d)
{
	return d->out->failed || d->out->len > d->max;
}

static bool decode_zlib(struct decoded *d, const char *data, size_t len, int window_bits)
{
	z_stream z = { .next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)len };
	int rc = inflateInit2(&z, window_bits);

	if (rc != Z_OK)
		return false;
	while (rc == Z_OK && !is_full(d)) {
		z.next_out = (Bytef *)d->piece;
		z.avail_out = PIECE;
		rc = inflate(&z, Z_NO_FLUSH);
		buf_add(d->out, d->piece, PIECE - z.avail_out);
		if (rc == Z_STREAM_END && z.avail_in && window_bits > 0) /* gzip may have several members */
			rc = inflateReset(&z);
	}
	(void)inflateEnd(&z); /* frees; there is nothing to hear from it */
	return rc == Z_STREAM_END || is_full(d);
}

static bool decode_brotli(struct decoded *d, const char *data, size_t len)
{
	BrotliDecoderState *s = BrotliDecoderCreateInstance(NULL, NULL, NULL);
	BrotliDecoderResult rc = BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT;
	const uint8_t *in = (const uint8_t *)data;

	while (s && rc == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT && !is_full(d)) {
		uint8_t *out = (uint8_t *)d->piece;
		size_t room = PIECE;

		rc = BrotliDecoderDecompressStream(s, &len, &in, &room, &out, NULL);
		buf_add(d->out, d->piece, PIECE - room);
	}
	if (s)
		BrotliDecoderDestroyInstance(s);
	return s && (rc == BROTLI_DECODER_RESULT_SUCCESS || is_full(d));
}

static bool decode_zstd(struct decoded *d, const char *data, size_t len)
{
	ZSTD_DStream *s = ZSTD_createDStream();
	ZSTD_inBuffer in = { data, len, 0 };
	size_t rc = 1, before = 1;

	while (s && !ZSTD_isError(rc) && !is_full(d) && (in.pos < in.size || before)) {
		ZSTD_outBuffer out = { d->piece, PIECE, 0 };

		rc = ZSTD_decompressStream(s, &out, &in);
		buf_add(d->out, d->piece, out.pos);
		before = out.pos == PIECE;
	}
	(void)ZSTD_freeDStream(s); /* takes NULL, too */
	return s && (rc == 0 || is_full(d));
}

static bool is_coding(const char *value, size_t len, const char *name)
{
	return len == strlen(name) && strncasecmp(value, name, len) == 0;
}

static bool decode(const char *coding, size_t coding_len, const char *data, size_t len, struct decoded *d)
{
	if (is_coding(coding, coding_len, "gzip") || is_coding(coding, coding_len, "x-gzip"))
		return decode_zlib(d, data, len, MAX_WBITS + 16);
	if (is_coding(coding, coding_len, "deflate")) { /* RFC 9110: with zlib's header; some servers leave it out */
		if (decode_zlib(d, data, len, MAX_WBITS))
			return true;
		buf_clear(d->out);
		return decode_zlib(d, data, len, -MAX_WBITS);
	}
	if (is_coding(coding, coding_len, "br"))
		return decode_brotli(d, data, len);
	if (is_coding(coding, coding_len, "zstd"))
		return decode_zstd(d, data, len);
	return false;
}

static void split_body(char *head, char *body, char *end, struct buf *scratch, uint64_t max, struct user_response *r)
{
	const char *value;
	size_t len, bytes = (size_t)(end - body);

	if (find_field(head, body, "Transfer-Encoding", &value, &len))
		bytes = unchunk(body, bytes);
	r->body = body;
	r->body_bytes = bytes;
	r->body_cut = bytes < r->wire_body_bytes;
	if (bytes && find_field(head, body, "Content-Encoding", &value, &len) && !is_coding(value, len, "identity")) {
		struct decoded d = { .out = scratch, .max = max };
		bool whole;

		buf_clear(scratch);
		whole = decode(value, len, body, bytes, &d) && !scratch->failed;
		if (whole || (r->body_cut && scratch->len)) { /* of a cut body, what could be decoded */
			r->body = scratch->len ? scratch->data : body;
			r->body_bytes = scratch->len;
			r->body_cut = !whole;
		} else {
			r->body_undecoded = true;
		}
	}
	if (r->body_bytes > max) {
		r->body_bytes = max;
		r->body_cut = true;
	}
	((char *)(uintptr_t)r->body)[r->body_bytes] = '\0'; /* ours, and buffers have room for it */
}

void body_split(struct buf *kept, struct buf *scratch, uint64_t max, struct user_response *r)
{
	char *head = kept->data, *end = head ? head + kept->len : NULL;
	char *body = head ? head_end(head, end) : NULL;

	while (body && is_interim(head, body)) {
		head = body;
		body = head_end(head, end);
	}
	if (!body) /* a head of the largest size, or no memory */
		return;
	r->head = head;
	r->head_bytes = (size_t)(body - head);
	if (max)
		split_body(head, body, end, scratch, max, r);
	else
		*body = '\0';
}
