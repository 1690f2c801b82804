/* Encoding and decoding of snapshot bytes, for both sides.
 * Context: any, [hook] and signal handlers included: no allocation, no locks, no errno; mem* functions only. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* CRC-32C (Castagnoli, RFC 3720 appendix B.4), continued from `crc`; start with 0. */
uint32_t crc32c(uint32_t crc, const void *data, size_t bytes);

/* Bounded writer. A write that does not fit writes nothing and sets `full`; later writes do nothing. */
struct put {
	uint8_t *at, *end;
	bool full;
};
enum { PUT_VARINT_MAX = 10 };
void put_bytes(struct put *p, const void *data, size_t bytes);
void put_varint(struct put *p, uint64_t value);               /* LEB128, 7 bits a byte, low first */
void put_signed(struct put *p, int64_t value);                /* zigzag, then varint */
void put_string(struct put *p, const char *text, size_t len); /* varint length, bytes, no NUL */

/* Bounded reader with a sticky error: a read past the end, or a varint over 64 bits, sets `bad`, and that and all
 * later reads return 0. Decoders read straight down, in statements (C does not order the side effects inside an
 * initializer list), and test `bad` once. */
struct cursor {
	const uint8_t *at, *end;
	bool bad;
};
uint64_t cursor_varint(struct cursor *c);
int64_t cursor_signed(struct cursor *c);
uint32_t cursor_u32(struct cursor *c); /* a varint that must fit 32 bits */
/* Length-prefixed bytes, at most `max`; *ret_len is their number. Not NUL-terminated; points into the input. */
const uint8_t *cursor_string(struct cursor *c, size_t max, size_t *ret_len);
