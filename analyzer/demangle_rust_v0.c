/*
 * demangle_rust_v0.c - Rust's second scheme: _R..., RFC 2603.
 *
 * The printer is a recursive descent that prints as it parses. It is bounded in depth, in steps (back references could
 * otherwise make it exponential) and in output; crate hashes are left out, as in rustc's own short form.
 */
#include "demangle.h"

#include <string.h>

#include "demangle_text.h"

struct v0 {
	const char *s; /* after "_R"; back references count from here */
	size_t len, at;
	struct buf *out;
	size_t out_limit;
	unsigned depth, steps, hidden; /* hidden > 0: parse, print nothing */
	uint64_t binders;              /* lifetimes bound around here */
	bool bad;
};

enum { MAX_STEPS = 100000 };

struct v0_ident {
	const char *text;
	size_t len;
	bool punycode;
};

static void print_path(struct v0 *v, bool in_value);
static void print_type(struct v0 *v);
static void print_const(struct v0 *v, bool in_value);

static void print_n(struct v0 *v, const char *text, size_t len)
{
	if (v->hidden || v->bad)
		return;
	if (v->out->len + len > v->out_limit)
		v->bad = true;
	else
		buf_add(v->out, text, len);
}

static void print(struct v0 *v, const char *text)
{
	print_n(v, text, strlen(text));
}

static void print_u64(struct v0 *v, uint64_t value)
{
	char digits[20];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	print_n(v, digits + i, sizeof(digits) - i);
}

/* One level deeper; false (and bad) at the limits. leave() must follow in either case. */
static bool enter(struct v0 *v)
{
	v->depth++;
	if (v->depth > DEMANGLE_MAX_DEPTH || ++v->steps > MAX_STEPS)
		v->bad = true;
	return !v->bad;
}

static void leave(struct v0 *v)
{
	v->depth--;
}

static char peek(const struct v0 *v)
{
	return v->at < v->len && !v->bad ? v->s[v->at] : '\0';
}

static char next(struct v0 *v)
{
	char c = peek(v);

	if (c)
		v->at++;
	else
		v->bad = true;
	return c;
}

static bool eat(struct v0 *v, char c)
{
	if (peek(v) != c)
		return false;
	v->at++;
	return true;
}

static uint64_t integer_62(struct v0 *v)
{
	uint64_t value = 0;

	if (eat(v, '_'))
		return 0;
	while (!v->bad && !eat(v, '_')) {
		char c = next(v);
		uint64_t digit = c >= '0' && c <= '9'   ? (uint64_t)(c - '0')
		                 : c >= 'a' && c <= 'z' ? (uint64_t)(c - 'a' + 10)
		                 : c >= 'A' && c <= 'Z' ? (uint64_t)(c - 'A' + 36)
		                                        : 99;

		if (digit == 99 || __builtin_mul_overflow(value, 62u, &value) ||
		    __builtin_add_overflow(value, digit, &value))
			v->bad = true;
	}
	if (value == UINT64_MAX)
		v->bad = true;
	return v->bad ? 0 : value + 1;
}

static uint64_t disambiguator(struct v0 *v)
{
	uint64_t n;

	if (!eat(v, 's'))
		return 0;
	n = integer_62(v);
	if (n == UINT64_MAX)
		v->bad = true;
	return v->bad ? 0 : n + 1;
}

static struct v0_ident identifier(struct v0 *v)
{
	struct v0_ident id = { v->s, 0, eat(v, 'u') };
	size_t n = 0;
	char c = next(v);

	if (c < '0' || c > '9')
		v->bad = true;
	n = (size_t)(c - '0');
	while (n > 0 && !v->bad && peek(v) >= '0' && peek(v) <= '9' && n < DEMANGLE_MAX_IN)
		n = n * 10 + (size_t)(next(v) - '0');
	(void)eat(v, '_'); /* separates the length from a name that starts with a digit or underscore */
	if (v->bad || n > v->len - v->at) {
		v->bad = true;
		return id;
	}
	id.text = v->s + v->at;
	id.len = n;
	v->at += n;
	return id;
}

enum { PUNY_CHARS = 256 };

/* RFC 3492 with '_' as the delimiter. The number of characters, or 0 if it is not valid or too long. */
static size_t punycode_decode(const char *s, size_t len, uint32_t *chars)
{
	size_t n = 0, at = 0;
	uint64_t c = 128, i = 0, bias = 72, damp = 700;

	for (size_t k = len; k > 0; k--) {
		if (s[k - 1] != '_')
			continue;
		if (k - 1 > PUNY_CHARS)
			return 0;
		for (n = 0; n < k - 1; n++)
			chars[n] = (unsigned char)s[n];
		at = k;
		break;
	}
	while (at < len) {
		uint64_t before = i, weight = 1, delta, rounds = 0;

		for (uint64_t k = 36;; k += 36) {
			uint64_t t = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias, digit;

			if (at == len)
				return 0;
			digit = s[at] >= 'a' && s[at] <= 'z'   ? (uint64_t)(s[at] - 'a')
			        : s[at] >= '0' && s[at] <= '9' ? (uint64_t)(s[at] - '0' + 26)
			                                       : 99;
			at++;
			if (digit == 99 || weight > UINT32_MAX || i > UINT32_MAX)
				return 0;
			i += digit * weight;
			if (digit < t)
				break;
			weight *= 36 - t;
		}
		if (n == PUNY_CHARS)
			return 0;
		delta = (i - before) / damp;
		damp = 2;
		n++;
		for (delta += delta / n; delta > 455; delta /= 35)
			rounds += 36;
		bias = rounds + 36 * delta / (delta + 38);
		c += i / n;
		i %= n;
		if (!is_character((uint32_t)c) || c > 0x10ffff)
			return 0;
		memmove(chars + i + 1, chars + i, (n - 1 - i) * sizeof(*chars));
		chars[i++] = (uint32_t)c;
	}
	return n;
}

static void print_identifier(struct v0 *v, struct v0_ident id)
{
	uint32_t chars[PUNY_CHARS + 1];
	size_t n;

	if (v->bad || v->hidden)
		return;
	if (!id.punycode) {
		print_n(v, id.text, id.len);
		return;
	}
	n = punycode_decode(id.text, id.len, chars);
	if (n == 0) {
		print(v, "punycode{");
		print_n(v, id.text, id.len);
		print(v, "}");
		return;
	}
	if (v->out->len + 4 * n > v->out_limit) {
		v->bad = true;
		return;
	}
	for (size_t i = 0; i < n; i++)
		add_utf8(v->out, chars[i]);
}

/* Parse at an earlier place, then come back. */
static void back_reference(struct v0 *v, void (*parse)(struct v0 *, bool), bool in_value)
{
	size_t start = v->at - 1, back;
	uint64_t to = integer_62(v);

	if (v->bad || to >= start) {
		v->bad = true;
		return;
	}
	if (v->hidden)
		return; /* nothing to print, and what is there was parsed once */
	back = v->at;
	v->at = (size_t)to;
	parse(v, in_value);
	v->at = back;
}

static void print_lifetime(struct v0 *v, uint64_t index)
{
	uint64_t depth;

	print(v, "'");
	if (index == 0) {
		print(v, "_");
		return;
	}
	if (index > v->binders) {
		v->bad = true;
		return;
	}
	depth = v->binders - index;
	if (depth < 26) {
		char letter = (char)('a' + depth);

		print_n(v, &letter, 1);
	} else {
		print(v, "_");
		print_u64(v, depth);
	}
}

/* "for<'a, 'b> "; the number of lifetimes, to be taken off v->binders after what they bind. */
static uint64_t open_binder(struct v0 *v)
{
	uint64_t n;

	if (!eat(v, 'G'))
		return 0;
	n = integer_62(v) + 1;
	if (n > 1000)
		v->bad = true;
	if (v->bad)
		return 0;
	print(v, "for<");
	for (uint64_t i = 0; i < n; i++) {
		if (i > 0)
			print(v, ", ");
		v->binders++;
		print_lifetime(v, 1);
	}
	print(v, "> ");
	return n;
}

static void print_generic_arg(struct v0 *v)
{
	if (eat(v, 'L'))
		print_lifetime(v, integer_62(v));
	else if (eat(v, 'K'))
		print_const(v, false);
	else
		print_type(v);
}

static void print_const_value(struct v0 *v)
{
	print_const(v, true);
}

/* Items up to 'E', with `between`; their number. */
static size_t print_list(struct v0 *v, void (*item)(struct v0 *), const char *between)
{
	size_t n = 0;

	while (!v->bad && !eat(v, 'E')) {
		if (n++ > 0)
			print(v, between);
		item(v);
	}
	return n;
}

static void print_nested(struct v0 *v, bool in_value)
{
	char space = next(v);
	uint64_t dis;
	struct v0_ident id;

	if (!((space >= 'a' && space <= 'z') || (space >= 'A' && space <= 'Z')))
		v->bad = true;
	print_path(v, in_value);
	dis = disambiguator(v);
	id = identifier(v);
	if (v->bad)
		return;
	if (space >= 'a') {
		if (id.len) {
			print(v, "::");
			print_identifier(v, id);
		}
		return;
	}
	print(v, "::{");
	if (space == 'C')
		print(v, "closure");
	else if (space == 'S')
		print(v, "shim");
	else
		print_n(v, &space, 1);
	if (id.len) {
		print(v, ":");
		print_identifier(v, id);
	}
	print(v, "#");
	print_u64(v, dis);
	print(v, "}");
}

/* <Type>, <Type as Trait>: after the tag. */
static void print_impl(struct v0 *v, char tag)
{
	if (tag != 'Y') {
		(void)disambiguator(v);
		v->hidden++;
		print_path(v, false);
		v->hidden--;
	}
	print(v, "<");
	print_type(v);
	if (tag != 'M') {
		print(v, " as ");
		print_path(v, false);
	}
	print(v, ">");
}

static void print_path(struct v0 *v, bool in_value)
{
	char tag;

	if (!enter(v)) {
		leave(v);
		return;
	}
	tag = next(v);
	switch (tag) {
	case 'C':
		(void)disambiguator(v);
		print_identifier(v, identifier(v));
		break;
	case 'N':
		print_nested(v, in_value);
		break;
	case 'M':
	case 'X':
	case 'Y':
		print_impl(v, tag);
		break;
	case 'I':
		print_path(v, in_value);
		print(v, in_value ? "::<" : "<");
		(void)print_list(v, print_generic_arg, ", ");
		print(v, ">");
		break;
	case 'B':
		back_reference(v, print_path, in_value);
		break;
	default:
		v->bad = true;
	}
	leave(v);
}

static const char *basic_type(char tag)
{
	static const char *const names[26] = {
		"i8",   "bool", "char", "f64", "str", "f32", NULL,  "u8", "isize", "usize", NULL,  "i32", "u32",
		"i128", "u128", "_",    NULL,  NULL,  "i16", "u16", "()", "...",   NULL,    "i64", "u64", "!",
	};

	return tag >= 'a' && tag <= 'z' ? names[tag - 'a'] : NULL;
}

static void print_function_type(struct v0 *v)
{
	uint64_t bound = open_binder(v);

	if (eat(v, 'U'))
		print(v, "unsafe ");
	if (eat(v, 'K')) {
		print(v, "extern \"");
		if (eat(v, 'C')) {
			print(v, "C");
		} else {
			struct v0_ident abi = identifier(v);

			for (size_t i = 0; i < abi.len && !v->bad; i++)
				print_n(v, abi.text[i] == '_' ? "-" : &abi.text[i], 1);
		}
		print(v, "\" ");
	}
	print(v, "fn(");
	(void)print_list(v, print_type, ", ");
	print(v, ")");
	if (!eat(v, 'u')) {
		print(v, " -> ");
		print_type(v);
	}
	v->binders -= bound;
}

static void print_path_of_type(struct v0 *v, bool unused)
{
	(void)unused;
	print_type(v);
}

/* A trait whose <...> is left open for the associated types; whether it is, in v->open through the return value. */
static bool print_open_path(struct v0 *v)
{
	bool open = false;

	if (!enter(v)) {
		leave(v);
		return false;
	}
	if (eat(v, 'B')) {
		size_t start = v->at - 1, back;
		uint64_t to = integer_62(v);

		if (v->bad || to >= start) {
			v->bad = true;
		} else if (!v->hidden) {
			back = v->at;
			v->at = (size_t)to;
			open = print_open_path(v);
			v->at = back;
		}
	} else if (eat(v, 'I')) {
		print_path(v, false);
		print(v, "<");
		(void)print_list(v, print_generic_arg, ", ");
		open = true;
	} else {
		print_path(v, false);
	}
	leave(v);
	return open;
}

static void print_dyn_trait(struct v0 *v)
{
	bool open = print_open_path(v);

	while (!v->bad && eat(v, 'p')) {
		print(v, open ? ", " : "<");
		open = true;
		print_identifier(v, identifier(v));
		print(v, " = ");
		print_type(v);
	}
	if (open)
		print(v, ">");
}

static void print_dyn(struct v0 *v)
{
	uint64_t bound, lifetime;

	print(v, "dyn ");
	bound = open_binder(v);
	(void)print_list(v, print_dyn_trait, " + ");
	v->binders -= bound;
	if (!eat(v, 'L')) {
		v->bad = true;
		return;
	}
	lifetime = integer_62(v);
	if (lifetime) {
		print(v, " + ");
		print_lifetime(v, lifetime);
	}
}

static void print_reference(struct v0 *v, bool is_mutable)
{
	print(v, "&");
	if (eat(v, 'L')) {
		uint64_t lifetime = integer_62(v);

		if (lifetime) {
			print_lifetime(v, lifetime);
			print(v, " ");
		}
	}
	if (is_mutable)
		print(v, "mut ");
	print_type(v);
}

static void print_compound_type(struct v0 *v, char tag)
{
	switch (tag) {
	case 'R':
	case 'Q':
		print_reference(v, tag == 'Q');
		break;
	case 'P':
	case 'O':
		print(v, tag == 'P' ? "*const " : "*mut ");
		print_type(v);
		break;
	case 'A':
	case 'S':
		print(v, "[");
		print_type(v);
		if (tag == 'A') {
			print(v, "; ");
			print_const(v, true);
		}
		print(v, "]");
		break;
	case 'T':
		print(v, "(");
		if (print_list(v, print_type, ", ") == 1)
			print(v, ",");
		print(v, ")");
		break;
	case 'F':
		print_function_type(v);
		break;
	case 'D':
		print_dyn(v);
		break;
	case 'B':
		back_reference(v, print_path_of_type, false);
		break;
	default:
		v->at--;
		print_path(v, false);
	}
}

static void print_type(struct v0 *v)
{
	const char *basic;
	char tag;

	if (!enter(v)) {
		leave(v);
		return;
	}
	tag = next(v);
	basic = basic_type(tag);
	if (basic)
		print(v, basic);
	else if (!v->bad)
		print_compound_type(v, tag);
	leave(v);
}

/* Hex digits up to '_'. */
static struct v0_ident hex_digits(struct v0 *v)
{
	struct v0_ident digits = { v->s + v->at, 0, false };

	while (!v->bad && !eat(v, '_')) {
		if (!is_hex(next(v)))
			v->bad = true;
		digits.len++;
	}
	return digits;
}

static bool hex_fits(struct v0_ident digits, uint64_t *ret_value)
{
	uint64_t value = 0;

	while (digits.len > 0 && *digits.text == '0') {
		digits.text++;
		digits.len--;
	}
	if (digits.len > 16)
		return false;
	for (size_t i = 0; i < digits.len; i++)
		value = value << 4 | hex_value(digits.text[i]);
	*ret_value = value;
	return true;
}

static void print_const_integer(struct v0 *v)
{
	struct v0_ident digits = hex_digits(v);
	uint64_t value;

	if (v->bad)
		return;
	if (hex_fits(digits, &value)) {
		print_u64(v, value);
	} else {
		print(v, "0x");
		print_n(v, digits.text, digits.len);
	}
}

static void print_character(struct v0 *v, uint32_t c, char quote)
{
	static const char hex[] = "0123456789abcdef";
	struct buf utf8 = { 0 };

	if (c == '\n' || c == '\t' || c == '\r' || c == '\0') {
		print(v, c == '\n' ? "\\n" : c == '\t' ? "\\t" : c == '\r' ? "\\r" : "\\0");
	} else if (c == '\\' || c == (unsigned char)quote) {
		char escaped[2] = { '\\', (char)c };

		print_n(v, escaped, 2);
	} else if (!is_character(c)) {
		char escaped[] = { '\\', 'u', '{', hex[c >> 4 & 15], hex[c & 15], '}' };

		print_n(v, escaped, sizeof(escaped)); /* control characters only: below 0x80 */
	} else {
		add_utf8(&utf8, c);
		if (utf8.data && !utf8.failed)
			print_n(v, utf8.data, utf8.len);
		buf_done(&utf8);
	}
}

static void print_const_char(struct v0 *v)
{
	uint64_t c;

	if (!hex_fits(hex_digits(v), &c) || v->bad || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
		v->bad = true;
		return;
	}
	print(v, "'");
	print_character(v, (uint32_t)c, '\'');
	print(v, "'");
}

/* A string constant: its UTF-8 bytes as pairs of hex digits. */
static void print_const_str(struct v0 *v)
{
	struct v0_ident digits = hex_digits(v);

	if (v->bad || digits.len % 2) {
		v->bad = true;
		return;
	}
	print(v, "\"");
	for (size_t i = 0; i < digits.len && !v->bad; i += 2) {
		uint32_t byte = hex_value(digits.text[i]) << 4 | hex_value(digits.text[i + 1]);
		char raw = (char)byte;

		if (byte < 0x80)
			print_character(v, byte, '"');
		else
			print_n(v, &raw, 1);
	}
	print(v, "\"");
}

static void print_const_field(struct v0 *v)
{
	(void)disambiguator(v);
	print_identifier(v, identifier(v));
	print(v, ": ");
	print_const(v, true);
}

static void print_const_variant(struct v0 *v)
{
	print_path(v, true);
	switch (next(v)) {
	case 'U':
		break;
	case 'T':
		print(v, "(");
		(void)print_list(v, print_const_value, ", ");
		print(v, ")");
		break;
	case 'S':
		print(v, " { ");
		(void)print_list(v, print_const_field, ", ");
		print(v, " }");
		break;
	default:
		v->bad = true;
	}
}

/* Values that stand in braces as generic arguments. */
static void print_const_compound(struct v0 *v, char tag)
{
	switch (tag) {
	case 'e':
		print(v, "*");
		print_const_str(v);
		break;
	case 'R':
	case 'Q':
		if (tag == 'R' && eat(v, 'e')) {
			print_const_str(v);
			break;
		}
		print(v, tag == 'R' ? "&" : "&mut ");
		print_const(v, true);
		break;
	case 'A':
		print(v, "[");
		(void)print_list(v, print_const_value, ", ");
		print(v, "]");
		break;
	case 'T':
		print(v, "(");
		if (print_list(v, print_const_value, ", ") == 1)
			print(v, ",");
		print(v, ")");
		break;
	case 'V':
		print_const_variant(v);
		break;
	default:
		v->bad = true;
	}
}

static void print_const_scalar(struct v0 *v, char tag)
{
	if (tag == 'p') {
		print(v, "_");
	} else if (tag == 'c') {
		print_const_char(v);
	} else if (tag == 'b') {
		uint64_t value;

		if (!hex_fits(hex_digits(v), &value) || value > 1)
			v->bad = true;
		else
			print(v, value ? "true" : "false");
	} else {
		if (strchr("aslxni", tag) && eat(v, 'n'))
			print(v, "-");
		print_const_integer(v);
	}
}

static void print_const(struct v0 *v, bool in_value)
{
	char tag;

	if (!enter(v)) {
		leave(v);
		return;
	}
	tag = next(v);
	if (v->bad) {
		leave(v);
		return;
	}
	if (tag == 'B') {
		back_reference(v, print_const, in_value);
	} else if (strchr("hmtyojaslxnibcp", tag)) {
		print_const_scalar(v, tag);
	} else {
		bool braces = !in_value && !(tag == 'R' && peek(v) == 'e');

		if (braces)
			print(v, "{");
		print_const_compound(v, tag);
		if (braces)
			print(v, "}");
	}
	leave(v);
}

bool demangle_rust_v0(const char *name, size_t len, struct buf *out)
{
	struct v0 v = { .out = out, .out_limit = out->len + DEMANGLE_MAX_OUT };
	size_t before = out->len;

	if (len < 3 || memcmp(name, "_R", 2) != 0 || name[2] < 'A' || name[2] > 'Z')
		return false;
	v.s = name + 2;
	v.len = len - 2;
	print_path(&v, true);
	if (!v.bad && v.at < v.len) { /* the crate that instantiated it */
		v.hidden++;
		print_path(&v, false);
	}
	if (v.bad || v.at != v.len || out->len == before) {
		if (out->data && !out->failed) {
			out->len = before;
			out->data[before] = '\0';
		}
		return false;
	}
	return true;
}
