/*
 * http_route.c - from targets to routes.
 *
 * A segment is a value if it has two digits or more, is a digit, or is hexadecimal of eight characters or more (so are UUIDs
 * and hashes), or is long, or is not plain text. "v1" is none, "i18n" is one: a route fewer does no harm, a route for each user does.
 */
#include "http_route.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

enum { SEGMENTS = 8, SEGMENT_MAX = 40, HEX_MIN = 8 };

const char *http_path(const char *target, size_t bytes, size_t *ret_bytes, bool *cut)
{
	const char *end = target + bytes, *at = target, *stop;

	if (bytes && *target != '/') {
		while (at + 2 < end && !(at[0] == ':' && at[1] == '/' && at[2] == '/'))
			at++;
		at = at + 2 < end ? memchr(at + 3, '/', (size_t)(end - at - 3)) : NULL;
		if (!at) { /* OPTIONS *, CONNECT host:port, http://host */
			*ret_bytes = 1;
			*cut = false;
			return "*";
		}
	}
	for (stop = at; stop < end && *stop != '?' && *stop != '#';)
		stop++;
	if (stop < end)
		*cut = false;
	*ret_bytes = (size_t)(stop - at);
	return at;
}

/* What a character counts as, each in bits of its own: digits, what is hexadecimal (or a hyphen), what is not plain text. */
enum { DIGIT = 1, HEX = 1 << 10, ODD = 1 << 20, COUNT_MASK = (1 << 10) - 1 };
static_assert((int)SEGMENT_MAX <= (int)COUNT_MASK, "no count reaches the next one's bits");

static const uint32_t kind_of[256] = {
	[0 ... 0x20] = ODD, [0x7f ... 0xff] = ODD, ['%'] = ODD,         ['*'] = ODD,
	['-'] = HEX,        ['a' ... 'f'] = HEX,   ['A' ... 'F'] = HEX, ['0' ... '9'] = DIGIT | HEX,
};

static bool is_value(const char *s, size_t n)
{
	uint32_t counts = 0;

	if (n > SEGMENT_MAX)
		return true;
	for (size_t i = 0; i < n; i++)
		counts += kind_of[(unsigned char)s[i]];
	return (counts & COUNT_MASK) > 1 || ((counts & COUNT_MASK) == 1 && n == 1) ||
	       ((counts >> 10 & COUNT_MASK) == n && n >= HEX_MIN) || counts >= ODD;
}

static size_t many(char to[HTTP_ROUTE_BYTES], size_t len)
{
	memcpy(to + len, "/**", 4);
	return len + 3;
}

size_t http_route(const char *path, size_t bytes, bool cut, char to[HTTP_ROUTE_BYTES])
{
	const char *at = path, *end = path + bytes;
	size_t len = 0;

	if (bytes == 0 || *path != '/') {
		memcpy(to, "*", 2);
		return 1;
	}
	for (unsigned i = 0; at < end; i++) {
		const char *start = at + 1, *next = memchr(start, '/', (size_t)(end - start));
		size_t n = (size_t)((next ? next : end) - start);
		bool value = is_value(start, n);

		/* There is always room for what ends it. */
		if (i == SEGMENTS || (cut && !next) || len + 1 + (value ? 1 : n) > HTTP_ROUTE_BYTES - 4)
			return many(to, len);
		to[len++] = '/';
		memcpy(to + len, value ? "*" : start, value ? 1 : n);
		len += value ? 1 : n;
		at = start + n;
	}
	to[len] = '\0';
	return len;
}
