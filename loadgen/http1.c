/*
 * http1.c - incremental parser for HTTP/1.x responses.
 *
 * Shape      a state machine over lines. A line that lies whole in the input is looked at where it is; one that the input
 *            cuts is carried over in `line`, of which only the first HTTP1_LINE_MAX bytes are kept: enough for every line
 *            that decides anything, since longer ones of that kind are refused whether cut or not.
 *
 *                STATUS -> HEADER* -> { LENGTH | UNTIL_CLOSE | CHUNK_SIZE -> CHUNK_DATA -> CHUNK_END ... TRAILER* } -> DONE
 *
 * Strict where framing depends on it (lengths, chunk lines, control characters, white space before a colon), lenient
 * where it does not: bare LF ends a line (RFC 9112 section 2.2), the reason phrase may be missing, header folding is
 * accepted in headers that do not frame. Both Transfer-Encoding and Content-Length: the former wins (section 6.3).
 * Cost       one pass over the head, 16 bytes at a time: the scan for the line's end is also the check for control characters.
 */
#include "http1.h"

#include <string.h>
#include <strings.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "compiler.h"

enum state { STATUS, HEADER, LENGTH, UNTIL_CLOSE, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, DONE };

/* What the head said so far about where the body ends. */
enum framing { HAS_LENGTH = 1, HAS_CODING = 2, IS_CHUNKED = 4 };

static const char *const problem_texts[HTTP1_PROBLEM_COUNT] = {
#define HTTP1_PROBLEM_TEXT(id, text) text,
	HTTP1_PROBLEMS(HTTP1_PROBLEM_TEXT)
#undef HTTP1_PROBLEM_TEXT
};

const char *http1_problem_text(enum http1_problem problem)
{
	return problem_texts[problem];
}

static enum http1_outcome bad(struct http1 *p, enum http1_problem problem)
{
	p->problem = (uint8_t)problem;
	return HTTP1_BAD;
}

static inline bool is_control(unsigned char c)
{
	return (c < 0x20 && c != '\t') || c == 0x7f;
}

/* First control character other than TAB in [at, end), or `end`. Reads nothing outside. */
static inline const char *scan_control(const char *at, const char *end)
{
#ifdef __SSE2__
	const __m128i low = _mm_set1_epi8(0x1f), tab = _mm_set1_epi8('\t'), del = _mm_set1_epi8(0x7f);

	while (end - at >= 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)at);
		__m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, low), v); /* v <= 0x1f, unsigned */
		__m128i hit = _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(v, tab), control), _mm_cmpeq_epi8(v, del));
		unsigned mask = (unsigned)_mm_movemask_epi8(hit);

		if (mask)
			return at + __builtin_ctz(mask);
		at += 16;
	}
#endif
	while (at < end && !is_control((unsigned char)*at))
		at++;
	return at;
}

struct line {
	const char *text; /* without its end */
	size_t kept;      /* bytes at text */
	size_t bytes;     /* bytes the line really has, without its end; > kept only if kept is HTTP1_LINE_MAX */
};

static bool is_framing_line(const struct http1 *p)
{
	return p->state == CHUNK_SIZE || p->state == CHUNK_END;
}

/* The line continues after the input, or began before it: byte by byte into p->line. */
static enum http1_outcome carry_line(struct http1 *p, const char **at, const char *end, struct line *ret_line)
{
	uint32_t max = is_framing_line(p) ? HTTP1_LINE_MAX : HTTP1_HEAD_MAX - p->head_bytes;

	while (*at < end) {
		char c = *(*at)++;

		if (c == '\n') {
			ret_line->text = p->line;
			ret_line->bytes = p->line_bytes;
			ret_line->kept = p->line_bytes < HTTP1_LINE_MAX ? p->line_bytes : HTTP1_LINE_MAX;
			p->line_bytes = 0;
			p->line_ends_in_cr = false;
			return HTTP1_DONE;
		}
		if (p->line_ends_in_cr || (c != '\r' && is_control((unsigned char)c)))
			return bad(p, HTTP1_PROBLEM_CONTROL);
		if (c == '\r') {
			p->line_ends_in_cr = true;
			continue;
		}
		if (p->line_bytes >= max)
			return bad(p, is_framing_line(p) ? HTTP1_PROBLEM_LINE_SIZE : HTTP1_PROBLEM_HEAD_SIZE);
		if (p->line_bytes < HTTP1_LINE_MAX)
			p->line[p->line_bytes] = c;
		p->line_bytes++;
	}
	return HTTP1_MORE;
}

/* HTTP1_DONE: a line, *at behind it. HTTP1_MORE: the input is used up, the line's beginning is kept. */
static inline enum http1_outcome take_line(struct http1 *p, const char **at, const char *end, struct line *ret_line)
{
	const char *stop;

	if (UNLIKELY(p->line_bytes > 0 || p->line_ends_in_cr))
		return carry_line(p, at, end, ret_line);
	stop = scan_control(*at, end);
	if (UNLIKELY(stop == end || (*stop == '\r' && stop + 1 == end)))
		return carry_line(p, at, end, ret_line);
	ret_line->text = *at;
	ret_line->kept = ret_line->bytes = (size_t)(stop - *at);
	if (LIKELY(*stop == '\r' && stop[1] == '\n'))
		*at = stop + 2;
	else if (*stop == '\n')
		*at = stop + 1;
	else
		return bad(p, HTTP1_PROBLEM_CONTROL);
	return HTTP1_DONE;
}

static inline bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static enum http1_outcome status_line(struct http1 *p, const struct line *l)
{
	const char *t = l->text;

	if (l->kept < 12 || memcmp(t, "HTTP/1.", 7) != 0 || !is_digit(t[7]) || t[8] != ' ' || t[9] < '1' ||
	    t[9] > '9' || !is_digit(t[10]) || !is_digit(t[11]) || (l->kept > 12 && t[12] != ' '))
		return bad(p, HTTP1_PROBLEM_STATUS_LINE);
	p->minor_0 = t[7] == '0';
	p->keep_alive = !p->minor_0;
	p->status = (uint16_t)((t[9] - '0') * 100 + (t[10] - '0') * 10 + (t[11] - '0'));
	p->state = HEADER;
	p->fold_is_bad = true; /* there is no header yet */
	return HTTP1_MORE;
}

static const char *trim(const char *text, const char **end)
{
	while (text < *end && (*text == ' ' || *text == '\t'))
		text++;
	while (*end > text && ((*end)[-1] == ' ' || (*end)[-1] == '\t'))
		(*end)--;
	return text;
}

/* The next element of a comma-separated list, trimmed; *at moves behind it. False at the end. */
static bool next_element(const char **at, const char *end, const char **ret_text, size_t *ret_len)
{
	const char *stop, *next;

	if (*at >= end)
		return false;
	next = memchr(*at, ',', (size_t)(end - *at));
	stop = next ? next : end;
	*ret_text = trim(*at, &stop);
	*ret_len = (size_t)(stop - *ret_text);
	*at = next ? next + 1 : end;
	return true;
}

static bool is_word(const char *text, size_t len, const char *lower)
{
	return len == strlen(lower) && strncasecmp(text, lower, len) == 0;
}

static enum http1_outcome content_length(struct http1 *p, const char *at, const char *end)
{
	const char *text;
	size_t len;

	if (at == end)
		return bad(p, HTTP1_PROBLEM_LENGTH);
	/* "5, 5" and two equal headers are one length (RFC 9110 section 8.6). */
	while (next_element(&at, end, &text, &len)) {
		uint64_t value = 0;

		if (len == 0 || len > 18) /* 18 digits fit 63 bits */
			return bad(p, HTTP1_PROBLEM_LENGTH);
		for (size_t i = 0; i < len; i++) {
			if (!is_digit(text[i]))
				return bad(p, HTTP1_PROBLEM_LENGTH);
			value = value * 10 + (uint64_t)(text[i] - '0');
		}
		if ((p->framing & HAS_LENGTH) && p->left != value)
			return bad(p, HTTP1_PROBLEM_LENGTH);
		p->framing |= HAS_LENGTH;
		p->left = value;
	}
	return HTTP1_MORE;
}

static enum http1_outcome transfer_encoding(struct http1 *p, const char *at, const char *end)
{
	const char *text;
	size_t len;

	while (next_element(&at, end, &text, &len)) {
		if (len == 0)
			continue;
		if (p->framing & IS_CHUNKED) /* chunked must come last, once */
			return bad(p, HTTP1_PROBLEM_CODING);
		p->framing |= HAS_CODING;
		if (is_word(text, len, "chunked"))
			p->framing |= IS_CHUNKED;
	}
	return HTTP1_MORE;
}

static void connection(struct http1 *p, const char *at, const char *end)
{
	const char *text;
	size_t len;

	while (next_element(&at, end, &text, &len)) {
		if (is_word(text, len, "close"))
			p->close_seen = true;
		else if (is_word(text, len, "keep-alive"))
			p->keep_alive = true;
	}
}

/* RFC 9110 section 5.6.2: the characters of a header's name. */
static const bool token[256] = {
	/* clang-format off: 16 codes a row */
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 1, 0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0,
	0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1,
	1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0,
	/* clang-format on; above 127: none */
};

/* Length of the name before the colon; 0 if there is none. */
static inline size_t header_name(const struct line *l)
{
	size_t n = 0;

	while (n < l->kept && token[(unsigned char)l->text[n]])
		n++;
	if (n == l->kept)
		/* A longer name than is kept, and its colon may be where nothing is kept: such a header frames nothing. */
		return l->bytes > l->kept ? n : 0;
	return l->text[n] == ':' ? n : 0;
}

enum { NAME_CONNECTION = 10, NAME_CONTENT_LENGTH = 14, NAME_TRANSFER_ENCODING = 17 };

static enum http1_outcome framing_header(struct http1 *p, const struct line *l, size_t name)
{
	const char *end = l->text + l->kept, *value = trim(l->text + name + 1, &end);

	if (l->bytes > HTTP1_LINE_MAX)
		return bad(p, HTTP1_PROBLEM_LINE_SIZE);
	p->fold_is_bad = true; /* half of the value would be missing */
	if (name == NAME_CONTENT_LENGTH)
		return content_length(p, value, end);
	if (name == NAME_TRANSFER_ENCODING)
		return transfer_encoding(p, value, end);
	connection(p, value, end);
	return HTTP1_MORE;
}

static enum http1_outcome header_line(struct http1 *p, const struct line *l)
{
	size_t name;

	if (UNLIKELY(l->text[0] == ' ' || l->text[0] == '\t')) /* folded: the last header's value goes on */
		return p->fold_is_bad ? bad(p, HTTP1_PROBLEM_HEADER) : HTTP1_MORE;
	p->fold_is_bad = false;
	name = header_name(l);
	if (name == 0)
		return bad(p, HTTP1_PROBLEM_HEADER);
	if ((name == NAME_CONTENT_LENGTH && strncasecmp(l->text, "content-length", name) == 0) ||
	    (name == NAME_TRANSFER_ENCODING && strncasecmp(l->text, "transfer-encoding", name) == 0) ||
	    (name == NAME_CONNECTION && strncasecmp(l->text, "connection", name) == 0))
		return framing_header(p, l, name);
	return HTTP1_MORE;
}

static void begin_head(struct http1 *p)
{
	p->state = STATUS;
	p->framing = 0;
	p->keep_alive = p->close_seen = p->fold_is_bad = false;
	p->left = 0;
}

static enum http1_outcome done(struct http1 *p)
{
	if (p->close_seen)
		p->keep_alive = false;
	p->state = DONE;
	return HTTP1_DONE;
}

/* RFC 9112 section 6.3, in its order. */
static enum http1_outcome head_complete(struct http1 *p)
{
	if (p->status < 200) {
		if (p->status == 101)
			return bad(p, HTTP1_PROBLEM_UPGRADE);
		begin_head(p);
		return HTTP1_MORE;
	}
	if (p->head_request || p->status == 204 || p->status == 304)
		return done(p);
	if (p->framing & HAS_CODING) {
		if (p->minor_0 || !(p->framing & IS_CHUNKED))
			p->close_seen = true; /* section 6.1: coding in HTTP/1.0 is faulty framing */
		p->state = p->framing & IS_CHUNKED ? CHUNK_SIZE : UNTIL_CLOSE;
		return HTTP1_MORE;
	}
	if (p->framing & HAS_LENGTH) {
		if (p->left == 0)
			return done(p);
		p->state = LENGTH;
		return HTTP1_MORE;
	}
	p->close_seen = true;
	p->state = UNTIL_CLOSE;
	return HTTP1_MORE;
}

static int hex_digit(char c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "1a3;name=value": hexadecimal size, then white space or extensions that nobody needs. */
static enum http1_outcome chunk_line(struct http1 *p, const struct line *l)
{
	uint64_t size = 0;
	size_t n = 0;

	if (l->bytes > HTTP1_LINE_MAX)
		return bad(p, HTTP1_PROBLEM_LINE_SIZE);
	for (; n < l->kept && hex_digit(l->text[n]) >= 0; n++) {
		if (size >> 58) /* four more bits would not leave 62 */
			return bad(p, HTTP1_PROBLEM_CHUNK);
		size = size << 4 | (uint64_t)hex_digit(l->text[n]);
	}
	if (n == 0 || (n < l->kept && l->text[n] != ';' && l->text[n] != ' ' && l->text[n] != '\t'))
		return bad(p, HTTP1_PROBLEM_CHUNK);
	p->left = size;
	p->state = size ? CHUNK_DATA : TRAILER;
	return HTTP1_MORE;
}

/* A complete line in whatever state expects one. */
static inline enum http1_outcome on_line(struct http1 *p, const struct line *l)
{
	if (p->state == CHUNK_SIZE)
		return chunk_line(p, l);
	if (p->state == CHUNK_END) {
		p->state = CHUNK_SIZE;
		return l->bytes ? bad(p, HTTP1_PROBLEM_CHUNK) : HTTP1_MORE;
	}
	p->head_bytes += (uint32_t)(l->bytes < HTTP1_HEAD_MAX ? l->bytes + 2 : HTTP1_HEAD_MAX);
	if (UNLIKELY(p->head_bytes > HTTP1_HEAD_MAX))
		return bad(p, HTTP1_PROBLEM_HEAD_SIZE);
	if (p->state == STATUS)
		return status_line(p, l);
	if (l->bytes == 0)
		return p->state == HEADER ? head_complete(p) : done(p);
	if (p->state == HEADER)
		return header_line(p, l);
	return header_name(l) ? HTTP1_MORE : bad(p, HTTP1_PROBLEM_HEADER); /* a trailer changes nothing */
}

/* `bytes` of the body went by; at most p->left of them in states that count down. */
static enum http1_outcome on_body(struct http1 *p, uint64_t bytes)
{
	p->body_bytes += bytes;
	if (p->state == UNTIL_CLOSE)
		return HTTP1_MORE;
	p->left -= bytes;
	if (p->left > 0)
		return HTTP1_MORE;
	if (p->state == LENGTH)
		return done(p);
	p->state = CHUNK_END;
	return HTTP1_MORE;
}

void http1_begin(struct http1 *p, bool head_request)
{
	begin_head(p);
	p->head_request = head_request;
	p->status = 0;
	p->problem = HTTP1_PROBLEM_NONE;
	p->body_bytes = 0;
	p->head_bytes = p->line_bytes = 0;
	p->minor_0 = p->line_ends_in_cr = false;
}

uint64_t http1_skippable(const struct http1 *p)
{
	if (p->state == LENGTH || p->state == CHUNK_DATA)
		return p->left;
	return p->state == UNTIL_CLOSE ? UINT64_MAX : 0;
}

enum http1_outcome http1_skip(struct http1 *p, uint64_t bytes)
{
	return on_body(p, bytes);
}

enum http1_outcome http1_feed(struct http1 *p, const char *data, size_t bytes, size_t *ret_used)
{
	const char *at = data, *end = data + bytes;
	enum http1_outcome outcome = HTTP1_MORE;

	while (at < end && outcome == HTTP1_MORE) {
		uint64_t body = http1_skippable(p);

		if (body > 0) {
			if (body > (uint64_t)(end - at))
				body = (uint64_t)(end - at);
			at += body;
			outcome = on_body(p, body);
		} else {
			struct line l;

			outcome = take_line(p, &at, end, &l);
			if (outcome == HTTP1_DONE)
				outcome = on_line(p, &l);
		}
	}
	*ret_used = (size_t)(at - data);
	return outcome;
}

enum http1_outcome http1_eof(struct http1 *p)
{
	if (p->state == UNTIL_CLOSE)
		return done(p);
	return bad(p, HTTP1_PROBLEM_TRUNCATED);
}

bool http1_is_untouched(const struct http1 *p)
{
	return p->state == STATUS && p->head_bytes == 0 && p->line_bytes == 0 && !p->line_ends_in_cr;
}
