/*
 * metrics_http.c - requests for metrics.
 *
 * A request is judged when its head is complete, or when that can no longer become one: a line that is none, or too many bytes.
 * Lines end in LF, with or without CR (RFC 9112 section 2.2).
 */
#include "metrics_http.h"

#include <stdint.h>
#include <string.h>

#include "compiler.h"
#include "say.h"

struct span {
	const char *at;
	size_t n;
};

static const struct answer {
	int status;
	const char *reason, *headers, *body;
} answers[] = {
	{ 200, "OK", "", "" },
	{ 400, "Bad Request", "", "not an HTTP/1.x request\n" },
	{ 404, "Not Found", "", "the metrics are at /metrics; /metrics?names=otel has OpenTelemetry's names\n" },
	{ 405, "Method Not Allowed", "Allow: GET, HEAD\r\n", "only GET and HEAD\n" },
	{ 431, "Request Header Fields Too Large", "", "the request's head is longer than 8 KiB\n" },
	{ 500, "Internal Server Error", "", "there is no memory for the page\n" },
	{ 505, "HTTP Version Not Supported", "", "only HTTP/1.0 and HTTP/1.1\n" },
};

static const struct answer *answer_of(int status)
{
	size_t i = 0;

	while (i < ARRAY_LEN(answers) - 1 && answers[i].status != status)
		i++;
	return &answers[i];
}

static bool is_text(struct span s, const char *text)
{
	return s.n == strlen(text) && memcmp(s.at, text, s.n) == 0;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool is_name(struct span s, const char *text)
{
	size_t i = 0;

	while (i < s.n && text[i] && lower(s.at[i]) == text[i])
		i++;
	return i == s.n && !text[i];
}

/* What stands before `c`, or all; *rest is what stands behind it. */
static struct span cut(struct span *rest, char c)
{
	const char *end = rest->n ? memchr(rest->at, c, rest->n) : NULL;
	struct span first = { rest->at, end ? (size_t)(end - rest->at) : rest->n };

	*rest = end ? (struct span){ end + 1, rest->n - first.n - 1 } : (struct span){ rest->at + rest->n, 0 };
	return first;
}

static struct span trim(struct span s)
{
	while (s.n && (*s.at == ' ' || *s.at == '\t')) {
		s.at++;
		s.n--;
	}
	while (s.n && (s.at[s.n - 1] == ' ' || s.at[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* RFC 9110 section 5.6.2. */
static bool is_token(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = lower(s.at[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && !(c && strchr("!#$%&'*+-.^_`|~", c)))
			return false;
	}
	return s.n > 0;
}

/* ---- the request line --------------------------------------------------------------------------------------------- */

/* Of the target; 200 or 404. */
static int judge_target(struct span target, struct metrics_request *r)
{
	struct span scheme = { target.at, 7 }, path, parameter;

	if (target.n > 7 && is_name(scheme, "http://")) { /* the absolute form: RFC 9112 section 3.2.2 */
		const char *slash = memchr(target.at + 7, '/', target.n - 7);

		if (!slash)
			return 404;
		target = (struct span){ slash, target.n - (size_t)(slash - target.at) };
	}
	target = cut(&target, '#');
	path = cut(&target, '?');
	while (target.n) {
		parameter = cut(&target, '&');
		r->otel = is_text(parameter, "names=otel") || (r->otel && !is_text(parameter, "names=prometheus"));
	}
	return is_text(path, "/metrics") ? 200 : 404;
}

/* 0: it is one, and the target is to be judged when the head is complete. */
static int judge_line(struct span line, struct span *ret_target, struct span *ret_method, bool *ret_needs_host)
{
	*ret_method = cut(&line, ' ');
	*ret_target = cut(&line, ' ');
	if (!is_token(*ret_method) || !ret_target->n)
		return 400;
	for (size_t i = 0; i < ret_target->n; i++)
		if ((unsigned char)ret_target->at[i] <= ' ' || ret_target->at[i] == 0x7f)
			return 400;
	if (line.n != 8 || memcmp(line.at, "HTTP/", 5) != 0 || line.at[6] != '.')
		return 400;
	if (line.at[5] != '1' || line.at[7] < '0' || line.at[7] > '9')
		return line.at[5] >= '0' && line.at[5] <= '9' ? 505 : 400;
	*ret_needs_host = line.at[7] != '0';
	return 0;
}

/* ---- Accept ------------------------------------------------------------------------------------------------------- */

/* "0.75" -> 750; RFC 9110 section 12.4.2. What is none is 0. */
static unsigned quality(struct span s)
{
	unsigned value, unit = 100;

	if (!s.n || (*s.at != '0' && *s.at != '1'))
		return 0;
	value = (unsigned)(*s.at - '0') * 1000;
	for (size_t i = 2; i < s.n && i < 5 && s.at[1] == '.'; i++, unit /= 10) {
		if (s.at[i] < '0' || s.at[i] > '9')
			return 0;
		value += (unsigned)(s.at[i] - '0') * unit;
	}
	return value < 1000 ? value : 1000;
}

struct wish {
	unsigned text, openmetrics; /* thousandths */
};

/* One of the types that are accepted: RFC 9110 section 12.5.1. We have version 1.0.0 of OpenMetrics. */
static void read_wish(struct span item, struct wish *w)
{
	struct span type = trim(cut(&item, ';'));
	unsigned q = 1000;
	bool version = true;

	while (item.n) {
		struct span value = cut(&item, ';'), name = trim(cut(&value, '='));

		value = trim(value);
		if (is_name(name, "q"))
			q = quality(value);
		else if (is_name(name, "version"))
			version = is_text(value, "1.0.0");
	}
	if (is_name(type, "application/openmetrics-text") && version && q > w->openmetrics)
		w->openmetrics = q;
	else if ((is_name(type, "text/plain") || is_name(type, "text/*") || is_name(type, "*/*")) && q > w->text)
		w->text = q;
}

static void read_accept(struct span value, struct wish *w)
{
	while (value.n) {
		struct span item = cut(&value, ',');

		read_wish(item, w);
	}
}

/* ---- all of it ---------------------------------------------------------------------------------------------------- */

/* A line without its end, and *rest behind it. False: there is no end. */
static bool next_line(struct span *rest, struct span *ret_line)
{
	if (!rest->n || !memchr(rest->at, '\n', rest->n))
		return false;
	*ret_line = cut(rest, '\n');
	if (ret_line->n && ret_line->at[ret_line->n - 1] == '\r')
		ret_line->n--;
	return true;
}

/* 0: a header. */
static int judge_header(struct span line, struct wish *w, bool *has_host)
{
	bool colon = memchr(line.at, ':', line.n) != NULL;
	struct span name = cut(&line, ':');

	if (!colon || !is_token(name) || (line.n && memchr(line.at, '\0', line.n)))
		return 400;
	if (is_name(name, "host"))
		*has_host = true;
	else if (is_name(name, "accept"))
		read_accept(line, w);
	return 0;
}

int metrics_http_read(const char *at, size_t bytes, struct metrics_request *ret_request)
{
	struct metrics_request r = { false, false, false };
	struct span rest = { at, bytes }, line, target = { at, 0 }, method = { at, 0 };
	struct wish w = { 0, 0 };
	bool begun = false, needs_host = false, has_host = false;
	int status = 0;

	while (next_line(&rest, &line)) {
		if (!begun && !line.n)
			continue; /* before a request: RFC 9112 section 2.2 */
		if (begun && !line.n) {
			if (needs_host && !has_host)
				return 400;
			r.head = is_text(method, "HEAD");
			if (!r.head && !is_text(method, "GET"))
				return 405;
			status = judge_target(target, &r);
			r.openmetrics = w.openmetrics && w.openmetrics >= w.text;
			*ret_request = r;
			return status;
		}
		status = begun ? judge_header(line, &w, &has_host) : judge_line(line, &target, &method, &needs_host);
		if (status)
			return status;
		begun = true;
	}
	return bytes < METRICS_HEAD_MAX ? 0 : begun ? 431 : 400;
}

size_t metrics_http_head(int status, const struct metrics_request *request, size_t body_bytes,
                         char to[METRICS_ANSWER_HEAD])
{
	const struct answer *a = answer_of(status);
	const char *type = "text/plain; charset=utf-8";
	char digits[24];

	if (status == 200)
		type = request->openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
		                            : "text/plain; version=0.0.4; charset=utf-8";
	to[0] = '\0';
	say_append(to, METRICS_ANSWER_HEAD, "HTTP/1.1 ");
	say_append(to, METRICS_ANSWER_HEAD, say_number(digits, (uint64_t)a->status));
	say_append(to, METRICS_ANSWER_HEAD, " ");
	say_append(to, METRICS_ANSWER_HEAD, a->reason);
	say_append(to, METRICS_ANSWER_HEAD, "\r\nContent-Type: ");
	say_append(to, METRICS_ANSWER_HEAD, type);
	say_append(to, METRICS_ANSWER_HEAD, "\r\nContent-Length: ");
	say_append(to, METRICS_ANSWER_HEAD, say_number(digits, body_bytes));
	say_append(to, METRICS_ANSWER_HEAD, "\r\n");
	say_append(to, METRICS_ANSWER_HEAD, a->headers);
	say_append(to, METRICS_ANSWER_HEAD, "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n");
	return strlen(to);
}

const char *metrics_http_body(int status)
{
	return answer_of(status)->body;
}
