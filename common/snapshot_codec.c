#include "snapshot_codec.h"

#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "atomic.h"
#include "compiler.h"

/* Half-byte table of the reflected polynomial 0x82f63b78. */
static const uint32_t crc_nibble[16] = {
	0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
	0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

static uint32_t crc_portable(uint32_t crc, const uint8_t *p, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		crc ^= p[i];
		crc = crc >> 4 ^ crc_nibble[crc & 15];
		crc = crc >> 4 ^ crc_nibble[crc & 15];
	}
	return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_sse42(uint32_t crc, const uint8_t *p, size_t bytes)
{
	uint64_t wide = crc;

	for (; bytes >= 8; bytes -= 8, p += 8) {
		uint64_t word;

		memcpy(&word, p, 8);
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = (uint32_t)wide;
	for (; bytes > 0; bytes--, p++)
		crc = __builtin_ia32_crc32qi(crc, *p);
	return crc;
}
#endif

#if defined(__x86_64__)
/* Asked when it pays: cpuid is 5 us in a virtual machine, and what the compiler has for the purpose asks twenty times whenever
 * a process begins. */
static bool use_sse42(size_t bytes)
{
	static _Atomic int known; /* 1 no, 2 yes */

	if (bytes < 2048)
		return false;
	if (load_relaxed(&known) == 0) { /* relaxed: all find the same */
		unsigned a, b, c, d;

		__cpuid(1, a, b, c, d);
		store_relaxed(&known, c & bit_SSE4_2 ? 2 : 1);
	}
	return load_relaxed(&known) == 2;
}
#endif

uint32_t crc32c(uint32_t crc, const void *data, size_t bytes)
{
	crc = ~crc;
#if defined(__x86_64__)
	if (use_sse42(bytes))
		return ~crc_sse42(crc, data, bytes);
#endif
	return ~crc_portable(crc, data, bytes);
}

void put_bytes(struct put *p, const void *data, size_t bytes)
{
	if (p->full || (size_t)(p->end - p->at) < bytes) {
		p->full = true;
		return;
	}
	if (bytes)
		memcpy(p->at, data, bytes);
	p->at += bytes;
}

void put_varint(struct put *p, uint64_t value)
{
	uint8_t bytes[PUT_VARINT_MAX];
	size_t n = 0;

	while (value >= 0x80) {
		bytes[n++] = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	bytes[n++] = (uint8_t)value;
	put_bytes(p, bytes, n);
}

void put_signed(struct put *p, int64_t value)
{
	put_varint(p, (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0));
}

void put_string(struct put *p, const char *text, size_t len)
{
	put_varint(p, len);
	put_bytes(p, text, len);
}

uint64_t cursor_varint(struct cursor *c)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 70 && !c->bad; shift += 7) {
		uint8_t byte;

		if (c->at == c->end)
			break;
		byte = *c->at++;
		if (shift == 63 && byte > 1)
			break; /* more than 64 bits */
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
	c->bad = true;
	return 0;
}

int64_t cursor_signed(struct cursor *c)
{
	uint64_t zigzag = cursor_varint(c);

	return (int64_t)(zigzag >> 1 ^ (zigzag & 1 ? UINT64_MAX : 0));
}

uint32_t cursor_u32(struct cursor *c)
{
	uint64_t value = cursor_varint(c);

	if (value > UINT32_MAX) {
		c->bad = true;
		return 0;
	}
	return (uint32_t)value;
}

const uint8_t *cursor_string(struct cursor *c, size_t max, size_t *ret_len)
{
	uint64_t len = cursor_varint(c);
	const uint8_t *text = c->at;

	*ret_len = 0;
	if (c->bad || len > max || len > (uint64_t)(c->end - c->at)) {
		c->bad = true;
		return text;
	}
	c->at += len;
	*ret_len = (size_t)len;
	return text;
}
