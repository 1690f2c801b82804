#include "json_scan.h"

#include <stdint.h>
#include <string.h>

const char *json_scan_blanks(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n'))
		at++;
	return at;
}

static const char *scan_string(const char *at, const char *end)
{
	for (at++; at < end; at++) {
		if (*at == '"')
			return at + 1;
		if (*at == '\\' && ++at == end)
			break;
	}
	return NULL;
}

static const char *scan_word(const char *at, const char *end)
{
	static const char *const words[] = { "true", "false", "null" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t len = strlen(words[i]);

		if ((size_t)(end - at) >= len && memcmp(at, words[i], len) == 0)
			return at + len;
	}
	if (*at != '-' && (*at < '0' || *at > '9'))
		return NULL;
	for (at++; at < end && *at && strchr("0123456789+-.eE", *at); at++)
		;
	return at;
}

/* Brackets are counted, and each kind remembered in a bit, so that "[}" does not pass; deeper than that is refused. */
static const char *scan_container(const char *at, const char *end)
{
	uint64_t is_object[4] = { 0 };
	unsigned depth = 0;

	for (; at < end; at++) {
		if (*at == '"') {
			at = scan_string(at, end);
			if (!at)
				return NULL;
			at--;
		} else if (*at == '{' || *at == '[') {
			if (depth == 64 * sizeof(is_object) / sizeof(is_object[0]))
				return NULL;
			is_object[depth / 64] &= ~(UINT64_C(1) << depth % 64);
			is_object[depth / 64] |= (uint64_t)(*at == '{') << depth % 64;
			depth++;
		} else if (*at == '}' || *at == ']') {
			depth--;
			if ((is_object[depth / 64] >> depth % 64 & 1) != (*at == '}'))
				return NULL;
			if (depth == 0)
				return at + 1;
		}
	}
	return NULL;
}

const char *json_scan_value(const char *at, const char *end)
{
	if (at >= end)
		return NULL;
	if (*at == '"')
		return scan_string(at, end);
	if (*at == '{' || *at == '[')
		return scan_container(at, end);
	return scan_word(at, end);
}

static bool hex4(const char *at, const char *end, uint32_t *ret)
{
	uint32_t value = 0;

	if (end - at < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		char c = at[i];
		int digit = c >= '0' && c <= '9'                 ? c - '0'
		            : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
		                                                 : -1;

		if (digit < 0)
			return false;
		value = value << 4 | (uint32_t)digit;
	}
	*ret = value;
	return true;
}

static size_t put_utf8(char *out, uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 63));
		out[2] = (char)(0x80 | (c & 63));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 63));
	out[2] = (char)(0x80 | (c >> 6 & 63));
	out[3] = (char)(0x80 | (c & 63));
	return 4;
}

/* Behind "\u": one UTF-16 unit or a pair; half a pair becomes U+FFFD. An escape is never shorter than its UTF-8. */
static const char *put_unicode(const char *at, const char *end, char *out, size_t *n)
{
	uint32_t c, low;

	if (!hex4(at, end, &c))
		return NULL;
	at += 4;
	if (c >= 0xd800 && c < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u' && hex4(at + 2, end, &low) &&
	    low >= 0xdc00 && low < 0xe000) {
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
		at += 6;
	} else if (c >= 0xd800 && c < 0xe000) {
		c = 0xfffd;
	}
	*n += put_utf8(out + *n, c);
	return at;
}

bool json_scan_text(const char *quoted, size_t len, char *out, size_t *ret_len)
{
	const char *at = quoted + 1, *end = quoted + len - 1;
	size_t n = 0;

	while (at < end) {
		static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
		const char *found;

		if (*at != '\\') {
			out[n++] = *at++;
			continue;
		}
		if (++at == end)
			return false;
		if (*at == 'u') {
			at = put_unicode(at + 1, end, out, &n);
			if (!at)
				return false;
			continue;
		}
		found = *at ? strchr(from, *at) : NULL;
		if (!found)
			return false;
		out[n++] = to[found - from];
		at++;
	}
	out[n] = '\0';
	*ret_len = n;
	return true;
}
