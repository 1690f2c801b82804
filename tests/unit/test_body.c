/* Tests of body.c: heads found, chunks taken out, codings undone, and what is cut or broken told. */
#include "t.h"

#include <stdio.h>
#include <zlib.h>
#include <zstd.h>

#include "body.h"
#include "buf.h"
#include "user.h"

static const char hello[] = "hello, hello, hello";
static const unsigned char brotli[] = { 0x1b, 0x12, 0x0,  0xf8, 0x8d, 0x94, 0x6e, 0xde, 0x44, 0x9,  0x52,
	                                0x86, 0x96, 0x6c, 0x2c, 0x6f, 0x11, 0x4f, 0x24, 0xd0, 0x71, 0x0 };
static const unsigned char raw_deflate[] = { 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xd7, 0x51, 0xc8, 0x40, 0xa2, 0x0 };

/* The response's bytes, and what comes of them. */
struct trial {
	struct buf kept, scratch;
	struct user_response r;
};

static void split(struct trial *t, const char *head, const void *body, size_t bytes, uint64_t wire, uint64_t max)
{
	*t = (struct trial){ 0 };
	buf_add_str(&t->kept, head);
	buf_add(&t->kept, body, bytes);
	t->r.wire_body_bytes = wire;
	body_split(&t->kept, &t->scratch, max, &t->r);
}

static void trial_done(struct trial *t)
{
	buf_done(&t->kept);
	buf_done(&t->scratch);
}

static void plain_and_chunked(void **state)
{
	static const struct {
		const char *name, *head, *body, *want;
		uint64_t wire, max;
		bool cut;
	} rows[] = {
		{ "plain", "HTTP/1.1 200 OK\r\nA: b\r\n\r\n", "abc", "abc", 3, 100, false },
		{ "bare LF", "HTTP/1.1 200 OK\nA: b\n\n", "abc", "abc", 3, 100, false },
		{ "no fields", "HTTP/1.1 200 OK\r\n\r\n", "abc", "abc", 3, 3, false },
		{ "interim heads", "HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 103 E\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
		  "abc", "abc", 3, 100, false },
		{ "cut by us", "HTTP/1.1 200 OK\r\n\r\n", "abcdef", "abc", 6, 3, true },
		{ "not all kept", "HTTP/1.1 200 OK\r\n\r\n", "abc", "abc", 9, 100, true },
		{ "empty", "HTTP/1.1 200 OK\r\n\r\n", "", "", 0, 100, false },
		{ "chunks", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
		  "3;x=y\r\nabc\r\n0a\r\n0123456789\r\n0\r\nT: u\r\n\r\n", "abc0123456789", 13, 100, false },
		{ "a cut chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "ff\r\nabc", "abc", 255, 100,
		  true },
		{ "identity", "HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\n\r\n", "abc", "abc", 3, 100, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct trial t;

		split(&t, rows[i].head, rows[i].body, strlen(rows[i].body), rows[i].wire, rows[i].max);
		T_CHECK(rows[i].name, t.r.head && t.r.body);
		T_STR(rows[i].name, t.r.body, rows[i].want);
		T_CHECK(rows[i].name,
		        t.r.body_bytes == strlen(rows[i].want) && t.r.body_cut == rows[i].cut && !t.r.body_undecoded);
		T_CHECK(rows[i].name,
		        memcmp(t.r.head, "HTTP/1.1 200", 12) == 0 && t.r.head[t.r.head_bytes - 1] == '\n');
		trial_done(&t);
	}
}

static size_t gzip(char *out, size_t room, int window_bits)
{
	z_stream z = { .next_in = (Bytef *)(uintptr_t)hello,
		       .avail_in = sizeof(hello) - 1,
		       .next_out = (Bytef *)out,
		       .avail_out = (uInt)room };

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(deflateEnd(&z), Z_OK);
	return room - z.avail_out;
}

static void check_coding(const char *coding, const char *data, size_t len)
{
	char head[128];
	struct trial t;

	(void)snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\n\r\n", coding);
	split(&t, head, data, len, len, 1000);
	T_STR(coding, t.r.body, hello);
	T_CHECK(coding, !t.r.body_undecoded && !t.r.body_cut);
	trial_done(&t);
	split(&t, head, data, len, len, 7); /* less is wanted than there is */
	T_STR(coding, t.r.body, "hello, ");
	T_CHECK(coding, !t.r.body_undecoded && t.r.body_cut);
	trial_done(&t);
	split(&t, head, "\xff garbage", 9, 9, 1000);
	T_CHECK(coding, t.r.body_undecoded && t.r.body_bytes == 9);
	trial_done(&t);
	split(&t, head, data, len - 1, len - 1, 1000); /* complete by its length, but not by its coding */
	T_CHECK(coding, t.r.body_undecoded && t.r.body_bytes == len - 1);
	trial_done(&t);
}

static void codings(void **state)
{
	char data[256];

	(void)state;
	check_coding("gzip", data, gzip(data, sizeof(data), MAX_WBITS + 16));
	check_coding("X-GZIP", data, gzip(data, sizeof(data), MAX_WBITS + 16));
	check_coding("deflate", data, gzip(data, sizeof(data), MAX_WBITS));
	check_coding("deflate", (const char *)raw_deflate, sizeof(raw_deflate));
	check_coding("br", (const char *)brotli, sizeof(brotli));
	check_coding("zstd", data, ZSTD_compress(data, sizeof(data), hello, sizeof(hello) - 1, 1));
}

static void others(void **state)
{
	struct trial t;

	(void)state;
	split(&t, "HTTP/1.1 200 OK\r\nContent-Encoding: compress\r\n\r\n", "abc", 3, 3, 100);
	assert_true(t.r.body_undecoded && t.r.body_bytes == 3);
	trial_done(&t);
	split(&t, "HTTP/1.1 200 OK\r\nNot-The-End: 1\r\n", "", 0, 0, 100);
	assert_true(!t.r.head && !t.r.body);
	trial_done(&t);
	split(&t, "HTTP/1.1 204 No\r\nX: 1\r\n\r\n", "", 0, 0, 0);
	assert_true(t.r.head && !t.r.body);
	trial_done(&t);
}

/* A megabyte of zeros in a kilobyte of gzip: no more is unpacked than is wanted. */
static void a_bomb_is_not_unpacked(void **state)
{
	static char zeros[1 << 20], packed[4096];
	z_stream z = { .next_in = (Bytef *)zeros,
		       .avail_in = sizeof(zeros),
		       .next_out = (Bytef *)packed,
		       .avail_out = sizeof(packed) };
	struct trial t;

	(void)state;
	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(deflateEnd(&z), Z_OK);
	split(&t, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", packed, sizeof(packed) - z.avail_out,
	      sizeof(packed) - z.avail_out, 1000);
	assert_true(t.r.body_bytes == 1000 && t.r.body_cut && t.scratch.cap < 100000);
	trial_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_and_chunked),
		cmocka_unit_test(codings),
		cmocka_unit_test(others),
		cmocka_unit_test(a_bomb_is_not_unpacked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
