/* demangle_rust_legacy.c - Rust's first scheme: _ZN...17h<hash>E, C++'s with escapes in the parts. */
#include "demangle.h"

#include <string.h>

#include "demangle_text.h"

/* name[0..len) stands between two dollars. False: no escape that we know. */
static bool add_escape(const char *name, size_t len, struct buf *out)
{
	static const struct {
		const char *name, *text;
	} escapes[] = {
		{ "SP", "@" }, { "BP", "*" }, { "RF", "&" }, { "LT", "<" },
		{ "GT", ">" }, { "LP", "(" }, { "RP", ")" }, { "C", "," },
	};
	uint32_t c = 0;

	for (size_t i = 0; i < ARRAY_LEN(escapes); i++) {
		if (strlen(escapes[i].name) == len && memcmp(escapes[i].name, name, len) == 0) {
			buf_add_str(out, escapes[i].text);
			return true;
		}
	}
	if (len < 2 || len > 7 || name[0] != 'u')
		return false;
	for (size_t i = 1; i < len; i++) {
		if (!is_hex(name[i]))
			return false;
		c = c << 4 | hex_value(name[i]);
	}
	if (!is_character(c))
		return false;
	add_utf8(out, c);
	return true;
}

static void add_legacy_part(const char *s, size_t len, struct buf *out)
{
	size_t i = len >= 2 && s[0] == '_' && s[1] == '$' ? 1 : 0;

	while (i < len) {
		if (s[i] == '.') {
			bool two = i + 1 < len && s[i + 1] == '.';

			buf_add_str(out, two ? "::" : ".");
			i += two ? 2 : 1;
		} else if (s[i] == '$') {
			const char *end = memchr(s + i + 1, '$', len - i - 1);

			if (!end || !add_escape(s + i + 1, (size_t)(end - s) - i - 1, out))
				break;
			i = (size_t)(end - s) + 1;
		} else {
			buf_add_char(out, s[i++]);
		}
	}
	buf_add(out, s + i, len - i); /* after an escape that is none */
}

enum { HASH_BYTES = 20 }; /* 17h, sixteen digits, E */

static bool ends_in_hash(const char *name, size_t len)
{
	const char *hash = name + len - HASH_BYTES;

	if (len < 3 + HASH_BYTES || memcmp(hash, "17h", 3) != 0 || hash[HASH_BYTES - 1] != 'E')
		return false;
	for (size_t i = 3; i < HASH_BYTES - 1; i++)
		if (!is_hex(hash[i]))
			return false;
	return true;
}

bool demangle_rust_legacy(const char *name, size_t len, struct buf *out)
{
	size_t before = out->len, at = 3, end;

	if (len < 3 + HASH_BYTES || memcmp(name, "_ZN", 3) != 0 || !ends_in_hash(name, len))
		return false;
	end = len - HASH_BYTES;
	while (at < end) {
		size_t n = 0;

		while (at < end && name[at] >= '0' && name[at] <= '9' && n < DEMANGLE_MAX_IN)
			n = n * 10 + (size_t)(name[at++] - '0');
		if (n == 0 || n > end - at) {
			if (out->data && !out->failed) {
				out->len = before;
				out->data[before] = '\0';
			}
			return false;
		}
		if (out->len > before)
			buf_add_str(out, "::");
		add_legacy_part(name + at, n, out);
		at += n;
	}
	return out->len > before;
}
