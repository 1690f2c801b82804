/* Characters, for the Rust demanglers. Private to demangle_rust*.c. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "buf.h"

static inline bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static inline uint32_t hex_value(char c)
{
	return (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* One Unicode character in UTF-8. */
static inline void add_utf8(struct buf *out, uint32_t c)
{
	if (c < 0x80) {
		buf_add_char(out, (char)c);
		return;
	}
	if (c < 0x800) {
		buf_add_char(out, (char)(0xc0 | c >> 6));
	} else {
		if (c < 0x10000) {
			buf_add_char(out, (char)(0xe0 | c >> 12));
		} else {
			buf_add_char(out, (char)(0xf0 | c >> 18));
			buf_add_char(out, (char)(0x80 | (c >> 12 & 0x3f)));
		}
		buf_add_char(out, (char)(0x80 | (c >> 6 & 0x3f)));
	}
	buf_add_char(out, (char)(0x80 | (c & 0x3f)));
}

/* A Unicode scalar value that may be shown. */
static inline bool is_character(uint32_t c)
{
	return c >= 0x20 && c != 0x7f && c < 0x110000 && (c < 0xd800 || c > 0xdfff);
}
