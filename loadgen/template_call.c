#include "template_call.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RANDOM_STRING_MAX = 1 << 20 };

/* An argument as text: until scratch.len is set back to *ret_mark, or another argument is asked for. */
static const char *arg(const struct template_call *call, size_t i, struct scope *s, size_t *ret_mark)
{
	struct buf *b = &s->scratch;

	*ret_mark = b->len;
	if (i < call->arg_count && template_constant(call->args[i]))
		return template_constant(call->args[i]);
	for (size_t j = 0; i < call->arg_count && j < call->args[i]->count; j++) {
		const struct template_segment *segment = &call->args[i]->segments[j];
		enum scope_kind kind;

		if (!template_value(segment, s, b, &kind))
			buf_add(b, segment->text, segment->len);
	}
	buf_add_char(b, '\0');
	return b->failed ? "" : b->data + *ret_mark;
}

static int64_t arg_number(const struct template_call *call, size_t i, struct scope *s, int64_t otherwise)
{
	size_t mark;
	char *end;
	const char *text = arg(call, i, s, &mark);
	long long n = strtoll(text, &end, 10);

	if (end == text)
		n = otherwise;
	s->scratch.len = mark;
	return n;
}

static void random_int(const struct template_call *call, struct scope *s, struct buf *out)
{
	int64_t from = arg_number(call, 0, s, 0), to = arg_number(call, 1, s, INT32_MAX);
	uint64_t span;

	if (to < from) {
		int64_t swap = from;

		from = to;
		to = swap;
	}
	span = (uint64_t)to - (uint64_t)from;
	span = span == UINT64_MAX ? dice_next(&s->dice) : dice_below(&s->dice, span + 1);
	buf_printf(out, "%lld", (long long)((uint64_t)from + span));
}

static void random_string(const struct template_call *call, struct scope *s, struct buf *out)
{
	static const char all[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	int64_t len = arg_number(call, 0, s, 10);
	size_t mark, n;
	const char *from = arg(call, 1, s, &mark);

	if (!*from)
		from = all;
	n = strlen(from);
	for (int64_t i = 0; i < len && i < RANDOM_STRING_MAX; i++)
		buf_add_char(out, from[dice_below(&s->dice, n)]);
	s->scratch.len = mark;
}

static void uuid(struct scope *s, struct buf *out)
{
	uint64_t a = dice_next(&s->dice), b = dice_next(&s->dice);

	a = (a & ~UINT64_C(0xf000)) | 0x4000;
	b = (b & ~(UINT64_C(3) << 62)) | UINT64_C(1) << 63;
	buf_printf(out, "%08llx-%04llx-%04llx-%04llx-%012llx", (unsigned long long)(a >> 32),
	           (unsigned long long)(a >> 16 & 0xffff), (unsigned long long)(a & 0xffff),
	           (unsigned long long)(b >> 48), (unsigned long long)(b & UINT64_C(0xffffffffffff)));
}

/* One run of a letter of Java's SimpleDateFormat; a letter that it does not have stands for itself. */
static void put_time_part(struct buf *out, char letter, const char *run_text, size_t run, const struct tm *tm, int ms)
{
	static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	const struct {
		char letter;
		int value, width;
	} numbers[] = { { 'y', tm->tm_year + 1900, 4 },
		        { 'M', tm->tm_mon + 1, 2 },
		        { 'd', tm->tm_mday, 2 },
		        { 'H', tm->tm_hour, 2 },
		        { 'm', tm->tm_min, 2 },
		        { 's', tm->tm_sec, 2 },
		        { 'D', tm->tm_yday + 1, 3 },
		        { 'h', (tm->tm_hour + 11) % 12 + 1, 2 },
		        { 'S', ms, 3 } };

	if (letter == 'M' && run >= 3)
		return buf_add(out, months + 3 * tm->tm_mon, 3);
	if (letter == 'y' && run == 2)
		return buf_printf(out, "%02d", tm->tm_year % 100);
	if (letter == 'E')
		return buf_add(out, days + 3 * tm->tm_wday, 3);
	if (letter == 'a')
		return buf_add_str(out, tm->tm_hour < 12 ? "AM" : "PM");
	if (letter == 'Z' || letter == 'z' || letter == 'X')
		return buf_add_str(out, letter == 'Z' ? "+0000" : letter == 'z' ? "UTC" : "Z");
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (numbers[i].letter == letter)
			return buf_printf(out, "%0*d", run < 2 ? 1 : numbers[i].width, numbers[i].value);
	buf_add(out, run_text, run);
}

/* SimpleDateFormat's pattern; text in single quotes. UTC: the same everywhere. */
static void put_time(struct buf *out, const char *format, int64_t unix_ms)
{
	time_t seconds = (time_t)(unix_ms / 1000);
	struct tm tm;

	if (!gmtime_r(&seconds, &tm))
		return;
	while (*format) {
		size_t run = strspn(format, (char[]){ *format, '\0' });

		if (*format == '\'') {
			size_t len = strcspn(format + 1, "'");

			buf_add(out, len ? format + 1 : "'", len ? len : 1);
			format += 1 + len + (format[1 + len] == '\'');
			continue;
		}
		put_time_part(out, *format, format, run, &tm, (int)(unix_ms % 1000));
		format += run;
	}
}

/* "P1DT2H", "-PT30S", "PT1M": milliseconds. */
static int64_t iso_duration_ms(const char *text)
{
	int64_t sign = *text == '-' ? -1 : 1, total = 0;
	bool in_time = false;

	text += *text == '-';
	for (text += *text == 'P'; *text; text++) {
		char *end;
		double n;
		double unit;

		if (*text == 'T') {
			in_time = true;
			continue;
		}
		n = strtod(text, &end);
		unit = *end == 'D'              ? 86400e3
		       : *end == 'H'            ? 3600e3
		       : *end == 'M' && in_time ? 60e3
		       : *end == 'S'            ? 1e3
		                                : 0;
		if (end == text || unit == 0 || !(n < 1e9 && n > -1e9))
			break;
		total += (int64_t)(n * unit);
		text = end;
	}
	return sign * total;
}

static void print_time(const struct template_call *call, struct scope *s, struct buf *out)
{
	int64_t at = s->unix_ms;
	const char *format;
	size_t mark;

	if (call->function == TEMPLATE_CALL_TIME_SHIFT) {
		at += iso_duration_ms(arg(call, 1, s, &mark));
		s->scratch.len = mark;
	}
	format = arg(call, 0, s, &mark);
	if (strncmp(format, "/", 1) == 0) { /* "/1000": the number of seconds */
		long long by = atoll(format + 1);

		buf_printf(out, "%lld", (long long)at / (by > 0 ? by : 1));
	} else if (*format) {
		put_time(out, format, at);
	} else {
		buf_printf(out, "%lld", (long long)at);
	}
	s->scratch.len = mark;
}

static void sum(const struct template_call *call, struct scope *s, struct buf *out)
{
	uint64_t total = 0;

	for (size_t i = 0; i < call->arg_count; i++)
		total += (uint64_t)arg_number(call, i, s, 0);
	buf_printf(out, "%lld", (long long)total);
}

static void base64(const char *text, size_t len, struct buf *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < len; i += 3) {
		size_t n = len - i;
		uint32_t bits = (uint32_t)(unsigned char)text[i] << 16;

		bits |= n > 1 ? (uint32_t)(unsigned char)text[i + 1] << 8 : 0;
		bits |= n > 2 ? (uint32_t)(unsigned char)text[i + 2] : 0;
		buf_add_char(out, digits[bits >> 18]);
		buf_add_char(out, digits[bits >> 12 & 63]);
		buf_add_char(out, n > 1 ? digits[bits >> 6 & 63] : '=');
		buf_add_char(out, n > 2 ? digits[bits & 63] : '=');
	}
}

static void base64_decode(const char *text, struct buf *out)
{
	uint32_t bits = 0, have = 0;

	for (; *text && *text != '='; text++) {
		int c = (unsigned char)*text;
		int digit = c >= 'A' && c <= 'Z'   ? c - 'A'
		            : c >= 'a' && c <= 'z' ? c - 'a' + 26
		            : c >= '0' && c <= '9' ? c - '0' + 52
		            : c == '+' || c == '-' ? 62
		            : c == '/' || c == '_' ? 63
		                                   : -1;
		if (digit < 0)
			continue;
		bits = bits << 6 | (uint32_t)digit;
		have += 6;
		if (have >= 8) {
			have -= 8;
			buf_add_char(out, (char)(bits >> have & 0xff));
		}
	}
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

static void url_decode(const char *text, struct buf *out)
{
	for (; *text; text++) {
		int high = *text == '%' ? hex(text[1]) : -1, low = high >= 0 ? hex(text[2]) : -1;

		if (low >= 0) {
			buf_add_char(out, (char)(high << 4 | low));
			text += 2;
		} else {
			buf_add_char(out, *text == '+' ? ' ' : *text);
		}
	}
}

static void url_encode(const char *text, struct buf *out)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (isalnum(c) || strchr("-._*", c))
			buf_add_char(out, *text);
		else if (c == ' ')
			buf_add_char(out, '+');
		else
			buf_printf(out, "%%%02X", c);
	}
}

/* Functions of one text. */
static void convert(const struct template_call *call, struct scope *s, struct buf *out)
{
	size_t mark, from = out->len;
	const char *text = arg(call, 0, s, &mark);

	switch (call->function) {
	case TEMPLATE_CALL_URL_ENCODE:
		url_encode(text, out);
		break;
	case TEMPLATE_CALL_URL_DECODE:
		url_decode(text, out);
		break;
	case TEMPLATE_CALL_BASE64:
		base64(text, strlen(text), out);
		break;
	case TEMPLATE_CALL_BASE64_DECODE:
		base64_decode(text, out);
		break;
	case TEMPLATE_CALL_LENGTH:
		buf_printf(out, "%zu", strlen(text));
		break;
	default:
		buf_add_str(out, text);
		for (size_t i = from; i < out->len && !out->failed; i++)
			out->data[i] =
			        (char)(call->function == TEMPLATE_CALL_UPPER ? toupper((unsigned char)out->data[i])
			                                                     : tolower((unsigned char)out->data[i]));
	}
	s->scratch.len = mark;
}

static enum scope_kind run(const struct template_call *call, struct scope *s, struct buf *out)
{
	const struct scope_item *item;

	switch (call->function) {
	case TEMPLATE_CALL_RANDOM_INT:
		random_int(call, s, out);
		return SCOPE_JSON;
	case TEMPLATE_CALL_RANDOM_STRING:
		random_string(call, s, out);
		return SCOPE_TEXT;
	case TEMPLATE_CALL_RANDOM_ITEM:
		item = scope_pick(s, call->number);
		buf_add(out, item->text, item->len);
		return item->kind;
	case TEMPLATE_CALL_UUID:
		uuid(s, out);
		return SCOPE_TEXT;
	case TEMPLATE_CALL_TIME:
	case TEMPLATE_CALL_TIME_SHIFT:
		print_time(call, s, out);
		return SCOPE_TEXT;
	case TEMPLATE_CALL_COUNTER:
		buf_printf(out, "%llu", (unsigned long long)scope_count(s, call->number));
		return SCOPE_JSON;
	case TEMPLATE_CALL_USER:
		buf_printf(out, "%llu", (unsigned long long)s->user);
		return SCOPE_JSON;
	case TEMPLATE_CALL_ITERATION:
		buf_printf(out, "%llu", (unsigned long long)s->iteration);
		return SCOPE_JSON;
	case TEMPLATE_CALL_SUM:
		sum(call, s, out);
		return SCOPE_JSON;
	case TEMPLATE_CALL_EVAL: {
		size_t mark;

		buf_add_str(out, arg(call, 0, s, &mark));
		s->scratch.len = mark;
		return SCOPE_TEXT;
	}
	default:
		convert(call, s, out);
		return SCOPE_TEXT;
	}
}

/* `out` may be the scratch memory that arguments need: the result is made elsewhere first. Only nested calls pay for it. */
enum scope_kind template_call_run(const struct template_call *call, struct scope *s, struct buf *out)
{
	struct buf *own = &s->result;
	enum scope_kind kind;
	size_t mark = own->len;

	kind = run(call, s, own);
	buf_add(out, own->data ? own->data + mark : "", own->len - mark);
	if (call->result != TEMPLATE_NO_SLOT && !own->failed)
		scope_set(s, call->result, kind, own->data ? own->data + mark : "", own->len - mark);
	s->failed = s->failed || own->failed;
	own->len = mark;
	return kind;
}
