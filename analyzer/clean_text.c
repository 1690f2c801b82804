#include "clean_text.h"

#include <stdint.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
#define ELLIPSIS    "\xe2\x80\xa6" /* U+2026 */

/* The character at `s` and how many bytes it takes; *ret = UINT32_MAX for an invalid byte (1 is returned). RFC 3629. */
static size_t decode(const unsigned char *s, uint32_t *ret)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
	uint32_t c = n < 2 ? s[0] : s[0] & (0xffu >> (n + 1));

	*ret = UINT32_MAX;
	if (n == 0)
		return 1;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80) /* also stops at the NUL */
			return 1;
		c = c << 6 | (s[i] & 0x3fu);
	}
	if (c < smallest[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 1;
	*ret = c;
	return n;
}

static bool is_shown(uint32_t c)
{
	return c >= 0x20 && c != UINT32_MAX && !(c >= 0x7f && c <= 0x9f) &&      /* controls */
	       !(c >= 0x200e && c <= 0x200f) && !(c >= 0x2028 && c <= 0x202e) && /* marks, separators, overrides */
	       !(c >= 0x2066 && c <= 0x2069) && c != 0xfeff &&
	       (c & 0xfffe) != 0xfffe; /* isolates, BOM, noncharacters */
}

/* One cleaned character; returns how many bytes of `s` it took. */
static size_t clean_one(const unsigned char *s, const char **ret_text, size_t *ret_len)
{
	uint32_t c;
	size_t n = decode(s, &c);

	if (c == '\t' || c == '\n' || c == '\r') {
		*ret_text = " ";
		*ret_len = 1;
	} else if (is_shown(c)) {
		*ret_text = (const char *)s;
		*ret_len = n;
	} else {
		*ret_text = REPLACEMENT;
		*ret_len = strlen(REPLACEMENT);
	}
	return n;
}

void clean_text(struct buf *out, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	while (*s) {
		const char *one;
		size_t len;

		s += clean_one(s, &one, &len);
		buf_add(out, one, len);
	}
}

static const char *xml_entity(char c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;";
	default:
		return NULL;
	}
}

/* Is there a second character after the one at `s`? */
static bool has_more(const unsigned char *s)
{
	uint32_t c;

	return s[decode(s, &c)] != '\0';
}

void clean_xml(struct buf *out, const char *text, size_t max_chars)
{
	const unsigned char *s = (const unsigned char *)text;

	for (size_t chars = 1; *s; chars++) {
		const char *one, *entity;
		size_t len;

		if (chars == max_chars && has_more(s)) {
			buf_add_str(out, ELLIPSIS);
			return;
		}
		s += clean_one(s, &one, &len);
		entity = len == 1 ? xml_entity(*one) : NULL;
		if (entity)
			buf_add_str(out, entity);
		else
			buf_add(out, one, len);
	}
}

/* Is the '<' or '(' at name[i] part of an operator's own name ("operator<<", "operator()")? */
static size_t operator_len(const char *name, size_t i)
{
	static const char word[] = "operator";
	size_t n = sizeof(word) - 1;

	if (strncmp(name + i, word, n) != 0 || (i > 0 && (name[i - 1] == '_' || name[i - 1] > '@')))
		return 0;
	if (strncmp(name + i + n, "()", 2) == 0)
		return n + 2;
	return n + strspn(name + i + n, "<>=-");
}

void short_name(struct buf *out, const char *name)
{
	size_t start = out->len, depth = 0;

	if (name[0] == '[' || name[0] == '<' || strstr(name, "+0x")) {
		buf_add_str(out, name);
		return;
	}
	for (size_t i = 0; name[i];) {
		size_t op = depth == 0 ? operator_len(name, i) : 0;

		if (op) {
			buf_add(out, name + i, op);
			i += op;
			continue;
		}
		if (depth == 0 && strncmp(name + i, "(anonymous namespace)", 21) == 0) {
			buf_add_str(out, "(anon)");
			i += 21;
			continue;
		}
		if (name[i] == '<' || name[i] == '(')
			depth++;
		else if ((name[i] == '>' || name[i] == ')') && depth > 0)
			depth--;
		else if (depth == 0)
			buf_add_char(out, name[i]);
		i++;
	}
	if (depth == 0 && out->len > start + 6 && strcmp(out->data + out->len - 6, " const") == 0)
		out->data[out->len -= 6] = '\0';
	if (depth > 0 || out->len == start) { /* not the shape of a C++ name: leave it alone */
		out->len = start;
		buf_add_str(out, name);
	}
}
