/*
 * http.c - where HTTP/1.x messages begin and end.
 *
 * Shape      two state machines of bytes, one a direction:
 *
 *                START -> LINE -> { NAME -> { LENGTH_VALUE | CODING_VALUE | SKIP } }* -> body -> START
 *                body: nothing | LENGTH | UNTIL_CLOSE | CHUNK_SIZE -> CHUNK_DATA -> CHUNK_END ... -> TRAILER
 *
 *            Of a header only what frames the body is looked at; other lines are passed over by memchr.
 * Framing    RFC 9112 section 6.3. Both Transfer-Encoding and Content-Length: the former wins. Two lengths that differ, a request
 *            whose coding does not end in chunked, numbers that are none: HTTP_LOST, since servers differ there.
 *            A bare LF ends a line (section 2.2); blank lines before a message are passed over.
 */
#include "http.h"

#include <endian.h>
#include <string.h>

#include "compiler.h"

enum state {
	START,
	LINE,
	NAME,
	LENGTH_VALUE,
	CODING_VALUE,
	SKIP, /* the rest of a line in the head */
	LENGTH,
	UNTIL_CLOSE,
	CHUNK_SIZE,
	CHUNK_REST, /* of the line, behind the size */
	CHUNK_DATA,
	CHUNK_END,
	TRAILER,
	TRAILER_SKIP,
	LOST
};

enum framing { HAS_LENGTH = 1, HAS_CODING = 2, IS_CHUNKED = 4 };

enum { METHOD_MAX = 32 };
#define NUMBER_MAX (UINT64_C(1) << 58)

static const char *const method_names[HTTP_METHOD_COUNT] = {
	"",
#define HTTP_METHOD_NAME(name) #name,
	HTTP_METHODS(HTTP_METHOD_NAME)
#undef HTTP_METHOD_NAME
	        "_OTHER",
	"WORK",
};

const char *http_method_name(enum http_method method)
{
	return method < HTTP_METHOD_COUNT ? method_names[method] : "_OTHER";
}

void http_init(struct http *h)
{
	memset(h, 0, sizeof(*h));
	h->first = true;
}

static enum http_event lost(struct http_side *s)
{
	s->state = LOST;
	return HTTP_LOST;
}

bool http_may_begin(const char *data, size_t bytes)
{
	for (unsigned m = HTTP_METHOD_NONE + 1; m < HTTP_METHOD_OTHER; m++) {
		size_t len = strlen(method_names[m]), n = bytes < len ? bytes : len;

		if (memcmp(data, method_names[m], n) == 0 && (bytes <= len || data[len] == ' '))
			return true;
	}
	return false;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool is_token(char c)
{
	return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* ---- heads --------------------------------------------------------------------------------------------------------- */

static void head_begin(struct http_side *s)
{
	s->state = NAME;
	s->at = 0;
	s->cr = false;
}

static bool is_word(const struct http_side *s, const char *word)
{
	return s->at == strlen(word) && memcmp(s->word, word, s->at) == 0;
}

static void to_word(struct http_side *s, char c)
{
	if (s->at < sizeof(s->word))
		s->word[s->at++] = lower(c); /* a longer one is none of ours: it stays at the array's size */
}

/* HTTP_END: the head has ended. Consumes a part of a line. */
static enum http_event name(struct http_side *s, const char **at, const char *end)
{
	while (*at < end) {
		char c = *(*at)++;

		if (c == '\n') {
			bool empty = s->at == 0;

			s->at = 0;
			s->cr = false;
			if (empty)
				return HTTP_END;
			return HTTP_MORE; /* a line without a colon frames nothing */
		}
		if (c == ':' && s->at) {
			s->state = is_word(s, "content-length")      ? LENGTH_VALUE
			           : is_word(s, "transfer-encoding") ? CODING_VALUE
			                                             : SKIP;
			s->at = 0;
			s->value = 0;
			return HTTP_MORE;
		}
		if (c == '\r' && s->at == 0 && !s->cr) {
			s->cr = true;
			continue;
		}
		to_word(s, c);
		/* The names that frame begin so; all else, folded lines too, is passed over. */
		if (s->at == 1 && (s->cr || (s->word[0] != 'c' && s->word[0] != 't'))) {
			s->state = SKIP;
			return HTTP_MORE;
		}
	}
	return HTTP_MORE;
}

/* Passes over the rest of a line; true: there it ended. */
static bool skip_line(const char **at, const char *end)
{
	const char *stop = memchr(*at, '\n', (size_t)(end - *at));

	*at = stop ? stop + 1 : end;
	return stop != NULL;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* at: 0 before the digits, 1 in them, 2 behind. */
static enum http_event length_value(struct http_side *s, const char **at, const char *end)
{
	while (*at < end) {
		char c = *(*at)++;

		if (c >= '0' && c <= '9' && s->at < 2 && s->value < NUMBER_MAX) {
			s->value = s->value * 10 + (uint64_t)(c - '0');
			s->at = 1;
		} else if (c == '\n') {
			if (s->at == 0 || (s->framing & HAS_LENGTH && s->left != s->value))
				return lost(s);
			s->framing |= HAS_LENGTH;
			s->left = s->value;
			head_begin(s);
			return HTTP_MORE;
		} else if (is_blank(c)) {
			s->at = s->at ? 2 : 0;
		} else {
			return lost(s);
		}
	}
	return HTTP_MORE;
}

/* The last coding of the last such line decides. */
static enum http_event coding_value(struct http_side *s, const char **at, const char *end)
{
	while (*at < end) {
		char c = *(*at)++;

		if (c == '\n') {
			s->framing = (uint8_t)(s->framing & ~(HAS_CODING | IS_CHUNKED));
			if (is_word(s, "chunked"))
				s->framing |= HAS_CODING | IS_CHUNKED;
			else if (!is_word(s, "identity"))
				s->framing |= HAS_CODING;
			head_begin(s);
			return HTTP_MORE;
		}
		if (c == ',')
			s->at = 0;
		else if (!is_blank(c))
			to_word(s, c);
	}
	return HTTP_MORE;
}

/* ---- lines that are there whole ------------------------------------------------------------------------------------ */

/* What the machine would do byte by byte, at once, for what usually comes. Whatever is not usual is left to it, from the line's
 * start: these change nothing then. */

static uint64_t load_eight(const char *text)
{
	uint64_t word;

	memcpy(&word, text, sizeof(word));
	return word;
}

/* "Content-", whatever the case of its letters; a CR is not taken for the hyphen. */
static bool begins(const char *line, const char lower_word[9], size_t hyphen)
{
	return (load_eight(line) | UINT64_C(0x2020202020202020)) == load_eight(lower_word) &&
	       (hyphen == 8 || line[hyphen] == '-');
}

/* Content-Length, of which the name ends before `value`. */
static enum http_event whole_length(struct http_side *s, const char **at, const char *value, const char *stop)
{
	enum { DIGITS_MAX = 17 /* below NUMBER_MAX */ };
	const char *c = value, *digits;
	uint64_t n = 0;

	while (*c == ' ' || *c == '\t')
		c++;
	for (digits = c; *c >= '0' && *c <= '9' && c - digits < DIGITS_MAX; c++)
		n = n * 10 + (uint64_t)(*c - '0');
	if (c == digits || c + (*c == '\r') != stop)
		return HTTP_MORE;
	*at = stop + 1;
	if (s->framing & HAS_LENGTH && s->left != n)
		return lost(s);
	s->framing |= HAS_LENGTH;
	s->left = n;
	return HTTP_MORE;
}

/* The lines of a head, from the start of one. HTTP_END: it has ended. HTTP_MORE: what is left is for the machine. */
static enum http_event whole_lines(struct http_side *s, const char **at, const char *end)
{
	enum { NAME_BYTES = 15 /* Content-Length: */ };

	while (end - *at > NAME_BYTES || (end - *at > 1 && **at == '\r')) {
		const char *line = *at, *stop;
		char c = (char)(*line | 0x20);

		if (line[0] == '\r' && line[1] == '\n') {
			*at += 2;
			return HTTP_END;
		}
		if (*line == '\r' || *line == '\n')
			return HTTP_MORE;
		stop = memchr(line, '\n', (size_t)(end - line));
		if (!stop || (c == 't' && begins(line, "transfer", 8)))
			return HTTP_MORE;
		if (c == 'c' && stop - line > NAME_BYTES && begins(line, "content-", 7) &&
		    (load_eight(line + 7) | UINT64_C(0x2020202020202020)) == load_eight("-length:") &&
		    line[14] == ':') {
			if (whole_length(s, at, line + NAME_BYTES, stop) == HTTP_LOST)
				return HTTP_LOST;
			if (*at == line)
				return HTTP_MORE;
		} else {
			*at = stop + 1;
		}
	}
	return HTTP_MORE;
}

/* HTTP_END: the head has ended. HTTP_MORE: go on while there is input. */
static enum http_event head(struct http_side *s, const char **at, const char *end)
{
	enum http_event event;

	switch ((enum state)s->state) {
	case NAME:
		if (s->at == 0 && !s->cr) {
			event = whole_lines(s, at, end);
			if (event != HTTP_MORE || *at == end)
				return event;
		}
		return name(s, at, end);
	case LENGTH_VALUE:
		return length_value(s, at, end);
	case CODING_VALUE:
		return coding_value(s, at, end);
	default: /* SKIP */
		if (skip_line(at, end))
			head_begin(s);
		return HTTP_MORE;
	}
}

/* ---- bodies -------------------------------------------------------------------------------------------------------- */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum http_event ended(struct http_side *s)
{
	s->state = START;
	s->cr = false;
	return HTTP_END;
}

static enum http_event chunk_size(struct http_side *s, const char **at, const char *end)
{
	while (*at < end) {
		char c = **at;
		int digit = hex_value(c);

		if (digit < 0) {
			if (!s->at)
				return lost(s);
			s->state = CHUNK_REST;
			return HTTP_MORE;
		}
		if (s->left > NUMBER_MAX / 16)
			return lost(s);
		s->left = s->left * 16 + (unsigned)digit;
		s->at = 1;
		++*at;
	}
	return HTTP_MORE;
}

static enum http_event chunk_rest(struct http_side *s, const char **at, const char *end)
{
	if (!s->cr && **at != ';' && **at != '\n' && !is_blank(**at))
		return lost(s); /* at once behind the size */
	s->cr = true;           /* looked at */
	if (!skip_line(at, end))
		return HTTP_MORE;
	s->cr = false;
	s->at = 0;
	s->state = s->left ? CHUNK_DATA : TRAILER;
	return HTTP_MORE;
}

static enum http_event chunk_end(struct http_side *s, const char **at)
{
	char c = *(*at)++;

	if (c == '\r' && !s->cr) {
		s->cr = true;
		return HTTP_MORE;
	}
	if (c != '\n')
		return lost(s);
	s->state = CHUNK_SIZE;
	s->at = 0;
	s->cr = false;
	return HTTP_MORE;
}

static enum http_event trailer(struct http_side *s, const char **at)
{
	char c = *(*at)++;

	if (c == '\n')
		return ended(s);
	if (c == '\r' && !s->cr) {
		s->cr = true;
		return HTTP_MORE;
	}
	s->cr = false;
	s->state = TRAILER_SKIP;
	return HTTP_MORE;
}

static enum http_event data(struct http_side *s, const char **at, const char *end)
{
	uint64_t n = (uint64_t)(end - *at);

	if (s->state == UNTIL_CLOSE) {
		*at = end;
		return HTTP_MORE;
	}
	n = n < s->left ? n : s->left;
	*at += n;
	s->left -= n;
	if (s->left)
		return HTTP_MORE;
	if (s->state == LENGTH)
		return ended(s);
	s->state = CHUNK_END;
	return HTTP_MORE;
}

/* HTTP_MORE: go on while there is input. */
static enum http_event body(struct http_side *s, const char **at, const char *end)
{
	switch ((enum state)s->state) {
	case CHUNK_SIZE:
		return chunk_size(s, at, end);
	case CHUNK_REST:
		return chunk_rest(s, at, end);
	case CHUNK_END:
		return chunk_end(s, at);
	case TRAILER:
		return trailer(s, at);
	case TRAILER_SKIP:
		if (skip_line(at, end))
			s->state = TRAILER;
		return HTTP_MORE;
	case LENGTH:
	case UNTIL_CLOSE:
	case CHUNK_DATA:
		return data(s, at, end);
	default:
		return lost(s);
	}
}

/* After a head: what follows it. HTTP_END: nothing does. */
static enum http_event body_begin(struct http_side *s, bool none, bool until_close)
{
	s->cr = false;
	s->at = 0;
	if (none)
		return ended(s);
	if (s->framing & IS_CHUNKED) {
		s->left = 0;
		s->state = CHUNK_SIZE;
		return HTTP_MORE;
	}
	if (s->framing & HAS_CODING) {
		s->state = UNTIL_CLOSE;
		return until_close ? HTTP_MORE : lost(s);
	}
	if (s->framing & HAS_LENGTH) {
		s->state = LENGTH;
		return s->left ? HTTP_MORE : ended(s);
	}
	s->state = UNTIL_CLOSE;
	return until_close ? HTTP_MORE : ended(s);
}

/* HTTP_BEGIN, or HTTP_MORE: blank lines only. */
static enum http_event begin(struct http_side *s, const char **at, const char *end)
{
	while (*at < end && (**at == '\r' || **at == '\n'))
		++*at;
	if (*at == end)
		return HTTP_MORE;
	s->state = LINE;
	s->at = s->framing = 0;
	s->cr = false;
	s->left = 0;
	return HTTP_BEGIN;
}

/* ---- requests ------------------------------------------------------------------------------------------------------ */

static enum http_method find_method(const char *text, size_t bytes)
{
	if (bytes == 3 && memcmp(text, "GET", 3) == 0)
		return HTTP_GET;
	for (unsigned m = HTTP_METHOD_NONE + 1; m < HTTP_METHOD_OTHER; m++)
		if (strlen(method_names[m]) == bytes && memcmp(text, method_names[m], bytes) == 0)
			return (enum http_method)m;
	return HTTP_METHOD_OTHER;
}

/* HTTP_LOST: no method. */
static enum http_event method(struct http *h, char c)
{
	if (c != ' ')
		return is_token(c) && h->line_bytes < METHOD_MAX ? HTTP_MORE : HTTP_LOST;
	h->method = (uint8_t)find_method(h->line, h->line_bytes);
	h->target_at = (uint8_t)(h->line_bytes + 1);
	return h->line_bytes == 0 || (h->first && h->method == HTTP_METHOD_OTHER) ? HTTP_LOST : HTTP_MORE;
}

static uint64_t eight(const char *text)
{
	return be64toh(load_eight(text));
}

static enum http_event line_end(struct http *h)
{
	uint64_t version = h->tail >> 8;

	if (!h->target_at || h->line_bytes < h->target_at + 10u)
		return lost(&h->in);
	if (h->tail == eight("HTTP/2.0") && h->method == HTTP_PRI) {
		h->in.state = LOST;
		return HTTP_IS_H2;
	}
	if (version != eight("HTTP/1.0") >> 8 || (char)h->tail < '0' || (char)h->tail > '9' || h->method == HTTP_PRI)
		return lost(&h->in);
	h->first = false;
	head_begin(&h->in);
	return HTTP_LINE;
}

/* A byte below 0x20, or 0x7f, in one of the eight? (Anderson, "Bit Twiddling Hacks", words with a byte less than n.) */
static bool has_control(uint64_t word)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7, del = word ^ ones * 0x7f;

	return (((word - ones * 0x20) & ~word) | ((del - ones) & ~del)) & tops;
}

/* As `whole_lines` of the request line, if it is there whole and of a method we know. */
static enum http_event whole_request_line(struct http *h, const char **at, const char *end)
{
	enum { LINE_MIN = 14 /* GET / HTTP/1.1 */ };
	const char *line = *at, *stop = memchr(line, '\n', (size_t)(end - line)), *space;
	size_t n;
	enum http_method known;

	if (!stop)
		return HTTP_MORE;
	n = (size_t)(stop - line);
	n -= n && line[n - 1] == '\r';
	space = n >= LINE_MIN ? memchr(line, ' ', 8) : NULL;
	known = space ? find_method(line, (size_t)(space - line)) : HTTP_METHOD_OTHER;
	if (known == HTTP_METHOD_OTHER || known == HTTP_PRI)
		return HTTP_MORE;
	for (size_t i = 0; i + 8 < n; i += 8)
		if (has_control(load_eight(line + i)))
			return HTTP_MORE;
	if (has_control(load_eight(line + n - 8)))
		return HTTP_MORE;
	h->method = (uint8_t)known;
	h->target_at = (uint8_t)(space - line + 1);
	memcpy(h->line, line, n < HTTP_LINE_KEPT ? n : HTTP_LINE_KEPT);
	h->line_bytes = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
	h->tail = eight(line + n - 8);
	*at = stop + 1;
	return line_end(h);
}

static enum http_event request_line(struct http *h, const char **at, const char *end)
{
	if (h->line_bytes == 0 && !h->in.cr) {
		enum http_event event = whole_request_line(h, at, end);

		if (event != HTTP_MORE)
			return event;
	}
	while (*at < end) {
		char c = *(*at)++;

		if (c == '\n')
			return line_end(h);
		if (h->in.cr || (c != '\r' && ((unsigned char)c < 0x20 || c == 0x7f)))
			return lost(&h->in);
		if (c == '\r') {
			h->in.cr = true;
			continue;
		}
		if (!h->target_at && method(h, c) == HTTP_LOST)
			return lost(&h->in);
		if (h->line_bytes < HTTP_LINE_KEPT)
			h->line[h->line_bytes] = c;
		if (h->line_bytes < UINT32_MAX)
			h->line_bytes++;
		h->tail = h->tail << 8 | (unsigned char)c;
	}
	return HTTP_MORE;
}

enum http_event http_in(struct http *h, const char **at, const char *end)
{
	struct http_side *s = &h->in;
	enum http_event event = HTTP_MORE;

	while (*at < end && event == HTTP_MORE) {
		switch ((enum state)s->state) {
		case START:
			event = begin(s, at, end);
			if (event == HTTP_BEGIN)
				h->line_bytes = h->target_at = h->method = 0;
			break;
		case LINE:
			event = request_line(h, at, end);
			break;
		case NAME:
		case LENGTH_VALUE:
		case CODING_VALUE:
		case SKIP:
			event = head(s, at, end);
			if (event == HTTP_END)
				event = body_begin(s, false, false);
			break;
		default:
			event = body(s, at, end);
		}
	}
	return event;
}

static void in_memorize(const struct http *h, const char *head, const char *end, struct http_memo *memo)
{
	memo->bytes = (uint32_t)(end - head);
	memcpy(memo->head, head, memo->bytes);
	memo->line_bytes = h->line_bytes;
	memo->tail = h->tail;
	memo->method = h->method;
	memo->target_at = h->target_at;
}

static void in_remember(struct http *h, const struct http_memo *memo)
{
	h->line_bytes = memo->line_bytes;
	h->tail = memo->tail;
	h->method = memo->method;
	h->target_at = memo->target_at;
	memcpy(h->line, memo->head, memo->line_bytes < HTTP_LINE_KEPT ? memo->line_bytes : HTTP_LINE_KEPT);
	h->first = false;
}

/* Does the input begin with that head? */
static bool is_same(const struct http_memo *memo, const char *at, const char *end)
{
	return memo && memo->bytes && (size_t)(end - at) >= memo->bytes && memcmp(at, memo->head, memo->bytes) == 0;
}

enum http_event http_in_begin(struct http *h, const char **at, const char *end, struct http_memo *memo)
{
	struct http_side *s = &h->in;
	const char *start = *at, *lines;
	enum http_event event;

	if (s->state != START || start == end || *start == '\r' || *start == '\n')
		return HTTP_MORE;
	s->at = s->framing = 0;
	s->left = 0;
	if (is_same(memo, start, end)) { /* one that had no body */
		in_remember(h, memo);
		*at += memo->bytes;
		return ended(s);
	}
	h->line_bytes = h->target_at = h->method = 0;
	if (whole_request_line(h, at, end) != HTTP_LINE) {
		*at = start;
		s->state = START;
		return HTTP_MORE;
	}
	lines = *at;
	event = whole_lines(s, at, end);
	if (event == HTTP_END)
		event = body_begin(s, false, false);
	if (event == HTTP_LOST) { /* told with the bytes that make it so */
		*at = lines;
		s->framing = 0;
		head_begin(s);
	}
	if (event != HTTP_END)
		return HTTP_LINE;
	if (memo && *at - start <= HTTP_MEMO_BYTES)
		in_memorize(h, start, *at, memo);
	return HTTP_END;
}

const char *http_target(const struct http *h, size_t *ret_bytes, bool *ret_cut)
{
	size_t end = h->line_bytes - 9; /* " HTTP/1.1" */

	*ret_cut = end > HTTP_LINE_KEPT;
	*ret_bytes = (*ret_cut ? HTTP_LINE_KEPT : end) - h->target_at;
	return h->line + h->target_at;
}

/* ---- responses ----------------------------------------------------------------------------------------------------- */

static bool is_status_line(struct http *h, char c)
{
	unsigned at = h->out.at;

	if (at < 7)
		return c == "HTTP/1."[at];
	if (at == 8)
		return c == ' ';
	if (at == 12)
		return c == ' ' || c == '\r' || c == '\n';
	if (c < '0' || c > '9' || (at == 9 && c == '0'))
		return false;
	if (at >= 9)
		h->status = (uint16_t)(h->status * 10 + (c - '0'));
	return true;
}

/* As `whole_lines`, of what is looked at of the status line. */
enum { STATUS_BYTES = 13 /* HTTP/1.1 200, and what is behind it */ };

static bool whole_status(struct http *h, const char **at)
{
	const char *c = *at;

	if (memcmp(c, "HTTP/1.", 7) != 0 || c[7] < '0' || c[7] > '9' || c[8] != ' ' || c[9] < '1' || c[9] > '9' ||
	    c[10] < '0' || c[10] > '9' || c[11] < '0' || c[11] > '9' ||
	    (c[12] != ' ' && c[12] != '\r' && c[12] != '\n'))
		return false;
	h->status = (uint16_t)((c[9] - '0') * 100 + (c[10] - '0') * 10 + (c[11] - '0'));
	h->out.at = STATUS_BYTES;
	h->out.state = SKIP;
	*at += STATUS_BYTES - 1;
	return true;
}

static enum http_event status_line(struct http *h, const char **at, const char *end)
{
	if (h->out.at == 0 && end - *at >= STATUS_BYTES && whole_status(h, at))
		return HTTP_MORE;
	while (*at < end) {
		if (!is_status_line(h, **at))
			return lost(&h->out);
		if (h->out.at++ == 12) {
			h->out.state = SKIP;
			return HTTP_MORE;
		}
		++*at;
	}
	return HTTP_MORE;
}

static enum http_event response_head_end(struct http *h, enum http_method answers)
{
	uint16_t status = h->status;

	if (status == 101 || (answers == HTTP_CONNECT && status / 100 == 2)) {
		h->in.state = h->out.state = LOST;
		return HTTP_SWITCH;
	}
	if (status < 200) {
		(void)ended(&h->out);
		return HTTP_INTERIM;
	}
	return body_begin(&h->out, answers == HTTP_HEAD || status == 204 || status == 304, true);
}

enum http_event http_out(struct http *h, const char **at, const char *end, enum http_method answers)
{
	struct http_side *s = &h->out;
	enum http_event event = HTTP_MORE;

	while (*at < end && event == HTTP_MORE) {
		switch ((enum state)s->state) {
		case START:
			event = begin(s, at, end);
			if (event == HTTP_BEGIN)
				h->status = 0;
			break;
		case LINE:
			event = status_line(h, at, end);
			break;
		case NAME:
		case LENGTH_VALUE:
		case CODING_VALUE:
		case SKIP:
			event = head(s, at, end);
			if (event == HTTP_END)
				event = response_head_end(h, answers);
			break;
		default:
			event = body(s, at, end);
		}
	}
	return event;
}

static void out_memorize(const struct http *h, const char *head, const char *end, struct http_memo *memo)
{
	memo->bytes = (uint32_t)(end - head);
	memcpy(memo->head, head, memo->bytes);
	memo->status = h->status;
	memo->framing = h->out.framing;
	memo->left = h->out.left;
}

/* The head of an answer that is final, whole, from the input's start. HTTP_END: it has ended. */
static enum http_event whole_head(struct http *h, const char **at, const char *end, struct http_memo *memo)
{
	struct http_side *s = &h->out;
	const char *start = *at, *lines;
	enum http_event event;

	if (is_same(memo, start, end)) {
		h->status = memo->status;
		s->framing = memo->framing;
		s->left = memo->left;
		*at += memo->bytes;
		return HTTP_END;
	}
	if (end - start < STATUS_BYTES || !whole_status(h, at))
		return HTTP_MORE;
	s->framing = 0;
	s->left = 0;
	if (h->status < 200 || !skip_line(at, end)) {
		s->state = START;
		*at = start;
		return HTTP_MORE;
	}
	head_begin(s);
	lines = *at;
	event = whole_lines(s, at, end);
	if (event == HTTP_LOST) {
		*at = lines;
		s->framing = 0;
		head_begin(s);
	} else if (event == HTTP_END && memo && *at - start <= HTTP_MEMO_BYTES) {
		out_memorize(h, start, *at, memo);
	}
	return event;
}

enum http_event http_out_begin(struct http *h, const char **at, const char *end, enum http_method answers,
                               struct http_memo *memo)
{
	const char *start = *at;
	enum http_event event;

	if (h->out.state != START || answers == HTTP_CONNECT)
		return HTTP_MORE;
	h->out.cr = false;
	event = whole_head(h, at, end, memo);
	if (event == HTTP_END)
		event = response_head_end(h, answers);
	if (event == HTTP_MORE && h->out.state == LENGTH && *at < end)
		event = data(&h->out, at, end);
	if (event == HTTP_END)
		return HTTP_END;
	return *at == start ? HTTP_MORE : HTTP_BEGIN;
}

/* ---- what was not seen --------------------------------------------------------------------------------------------- */

static enum http_event skip(struct http_side *s, uint64_t bytes)
{
	if (bytes == 0 || s->state == UNTIL_CLOSE)
		return s->state == LOST ? HTTP_LOST : HTTP_MORE;
	if ((s->state != LENGTH && s->state != CHUNK_DATA) || bytes > s->left)
		return lost(s);
	s->left -= bytes;
	if (s->left)
		return HTTP_MORE;
	if (s->state == LENGTH)
		return ended(s);
	s->state = CHUNK_END;
	return HTTP_MORE;
}

enum http_event http_in_skip(struct http *h, uint64_t bytes)
{
	return skip(&h->in, bytes);
}

enum http_event http_out_skip(struct http *h, uint64_t bytes)
{
	return skip(&h->out, bytes);
}

enum http_event http_out_close(struct http *h)
{
	if (h->out.state == UNTIL_CLOSE)
		return ended(&h->out);
	return h->out.state == START ? HTTP_MORE : lost(&h->out);
}
