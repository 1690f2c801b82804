#include "json_write.h"

#include <math.h>
#include <string.h>

static bool bit_get(const uint8_t *bits, uint32_t i)
{
	return bits[i / 8] >> (i % 8) & 1;
}

static void bit_put(uint8_t *bits, uint32_t i, bool on)
{
	if (on)
		bits[i / 8] = (uint8_t)(bits[i / 8] | 1u << (i % 8));
	else
		bits[i / 8] = (uint8_t)(bits[i / 8] & ~(1u << (i % 8)));
}

void json_init(struct json *j, struct buf *out)
{
	memset(j, 0, sizeof(*j));
	j->out = out;
}

/* Comma or not, before a value or a key. */
static void before_item(struct json *j)
{
	if (j->key_pending) {
		j->key_pending = false;
		return;
	}
	if (j->depth == 0)
		return;
	if (bit_get(j->has_item, j->depth - 1))
		buf_add_char(j->out, ',');
	bit_put(j->has_item, j->depth - 1, true);
}

static void begin(struct json *j, char c, bool object)
{
	before_item(j);
	assert(j->depth < JSON_MAX_DEPTH);
	bit_put(j->is_object, j->depth, object);
	bit_put(j->has_item, j->depth, false);
	j->depth++;
	buf_add_char(j->out, c);
}

static void end(struct json *j, char c, bool object)
{
	assert(j->depth > 0 && !j->key_pending);
	assert(bit_get(j->is_object, j->depth - 1) == object);
	(void)object; /* used by the assertion only */
	j->depth--;
	buf_add_char(j->out, c);
}

void json_object_begin(struct json *j)
{
	begin(j, '{', true);
}

void json_object_end(struct json *j)
{
	end(j, '}', true);
}

void json_array_begin(struct json *j)
{
	begin(j, '[', false);
}

void json_array_end(struct json *j)
{
	end(j, ']', false);
}

/* Bytes of the UTF-8 sequence at `s` (1..4), or 0 if it is not valid there (overlong, surrogate, cut short). RFC 3629. */
static size_t utf8_len(const unsigned char *s, size_t left)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;

	if (n == 0 || n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/* Whole, but no character of a name in JSON that is printed steers a terminal or turns what a person reads round: C1 (U+0080 to
 * U+009F), line and paragraph separators, bidirectional overrides and isolates. 0: none of these. */
static unsigned steers(const unsigned char *s, size_t n)
{
	unsigned c = n == 2   ? (s[0] & 0x1fu) << 6 | (s[1] & 0x3fu)
	             : n == 3 ? (s[0] & 0x0fu) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu)
	                      : 0;

	return (c >= 0x80 && c <= 0x9f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) ? c : 0;
}

static void add_escaped(struct buf *out, const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;

	buf_add_char(out, '"');
	for (size_t i = 0; i < len;) {
		size_t n = utf8_len(s + i, len - i);

		if (n == 0) {
			buf_add_str(out, "\\ufffd");
			i++;
			continue;
		}
		if (s[i] == '"' || s[i] == '\\') {
			buf_add_char(out, '\\');
			buf_add_char(out, (char)s[i]);
		} else if (s[i] == '\n') {
			buf_add_str(out, "\\n");
		} else if (s[i] == '\t') {
			buf_add_str(out, "\\t");
		} else if (s[i] < 0x20 || s[i] == 0x7f) {
			buf_printf(out, "\\u%04x", s[i]);
		} else if (steers(s + i, n)) {
			buf_printf(out, "\\u%04x", steers(s + i, n));
		} else {
			buf_add(out, s + i, n);
		}
		i += n;
	}
	buf_add_char(out, '"');
}

void json_key(struct json *j, const char *key)
{
	assert(j->depth > 0 && bit_get(j->is_object, j->depth - 1) && !j->key_pending);
	before_item(j);
	add_escaped(j->out, key, strlen(key));
	buf_add_char(j->out, ':');
	j->key_pending = true;
}

void json_string_n(struct json *j, const char *text, size_t len)
{
	before_item(j);
	add_escaped(j->out, text, len);
}

void json_string(struct json *j, const char *text)
{
	if (text)
		json_string_n(j, text, strlen(text));
	else
		json_null(j);
}

void json_raw(struct json *j, const char *text)
{
	before_item(j);
	buf_add_str(j->out, text);
}

void json_u64(struct json *j, uint64_t value)
{
	before_item(j);
	buf_printf(j->out, "%llu", (unsigned long long)value);
}

void json_i64(struct json *j, int64_t value)
{
	before_item(j);
	buf_printf(j->out, "%lld", (long long)value);
}

void json_double(struct json *j, double value)
{
	if (!isfinite(value)) {
		json_null(j);
		return;
	}
	before_item(j);
	buf_printf(j->out, "%.15g", value);
}

void json_bool(struct json *j, bool value)
{
	json_raw(j, value ? "true" : "false");
}

void json_null(struct json *j)
{
	json_raw(j, "null");
}

void json_key_string(struct json *j, const char *key, const char *text)
{
	json_key(j, key);
	json_string(j, text);
}

void json_key_u64(struct json *j, const char *key, uint64_t value)
{
	json_key(j, key);
	json_u64(j, value);
}

void json_key_i64(struct json *j, const char *key, int64_t value)
{
	json_key(j, key);
	json_i64(j, value);
}

void json_key_double(struct json *j, const char *key, double value)
{
	json_key(j, key);
	json_double(j, value);
}

void json_key_bool(struct json *j, const char *key, bool value)
{
	json_key(j, key);
	json_bool(j, value);
}
