/* JSON (RFC 8259), strictly. Not cJSON, which says of a mistake neither its line nor its reason, and of a good value not its
 * line either; both are what a plan's author needs. */
#include "doc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "json_scan.h"

struct reader {
	struct keep *keep;
	struct err *err;
	const char *at, *end;
	uint32_t line, depth;
};

static struct doc *refuse(struct reader *r, const char *reason)
{
	(void)err_set(r->err, -EPROTO, "%u: %s", r->line, reason);
	return NULL;
}

static void skip_blanks(struct reader *r)
{
	for (; r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\r' || *r->at == '\n'); r->at++)
		r->line += *r->at == '\n';
}

/* NULL: refused. */
static const char *read_text(struct reader *r, size_t *ret_len)
{
	const char *begin = r->at, *end = json_scan_value(r->at, r->end);
	char *text;

	if (!end || *begin != '"')
		return (void)refuse(r, "a text that does not end, or with a control character in it"), NULL;
	for (const char *c = begin; c < end; c++)
		if ((unsigned char)*c < ' ')
			return (void)refuse(r, "a control character in a text: it is written as \\n or \\u000a"), NULL;
	text = keep_large(r->keep, (size_t)(end - begin) + 1);
	if (!text || !json_scan_text(begin, (size_t)(end - begin), text, ret_len))
		return (void)refuse(r, text ? "an escape that JSON does not have" : "out of memory"), NULL;
	r->at = end;
	return text;
}

static struct doc *read_value(struct reader *r);

static bool read_member(struct reader *r, struct doc *parent)
{
	const char *key = NULL;
	uint32_t line = r->line;
	struct doc *value;
	size_t len;

	if (parent->kind == DOC_MAP) {
		if (r->at == r->end || *r->at != '"')
			return refuse(r, "expected a name in double quotes"), false;
		key = read_text(r, &len);
		if (!key)
			return false;
		if (doc_find(parent, key))
			return (void)err_set(r->err, -EPROTO, "%u: '%s' stands there twice", line, key), false;
		skip_blanks(r);
		if (r->at == r->end || *r->at != ':')
			return refuse(r, "expected ':' after a name"), false;
		r->at++;
	}
	value = read_value(r);
	return value && (doc_add(r->keep, parent, key, line, value) || (refuse(r, "too many values"), false));
}

static struct doc *read_container(struct reader *r)
{
	struct doc *d = doc_new(r->keep, *r->at == '{' ? DOC_MAP : DOC_LIST, r->line);
	char close = *r->at++ == '{' ? '}' : ']';

	if (++r->depth > DOC_DEPTH_MAX)
		return refuse(r, "nested too deeply");
	skip_blanks(r);
	if (r->at < r->end && *r->at == close) {
		r->at++;
		r->depth--;
		return d;
	}
	for (;;) {
		skip_blanks(r);
		if (!read_member(r, d))
			return NULL;
		skip_blanks(r);
		if (r->at < r->end && *r->at == close)
			break;
		if (r->at == r->end || *r->at != ',')
			return refuse(r, close == '}' ? "expected ',' or '}'" : "expected ',' or ']'");
		r->at++;
	}
	r->at++;
	r->depth--;
	return d;
}

static struct doc *read_word(struct reader *r)
{
	const char *end = json_scan_value(r->at, r->end);
	struct doc *d = doc_new(r->keep, DOC_NULL, r->line);

	if (!end)
		return refuse(r, r->at == r->end ? "the file ends where a value is expected" : "this is no JSON value");
	d->len = (size_t)(end - r->at);
	d->text = keep_text(r->keep, r->at, d->len);
	if (strcmp(d->text, "true") == 0 || strcmp(d->text, "false") == 0) {
		d->kind = DOC_BOOL;
		d->number = d->text[0] == 't';
	} else if (strcmp(d->text, "null") != 0) {
		d->kind = DOC_NUMBER;
		if (!doc_number(d->text, &d->number))
			return refuse(r, "this is no JSON value");
	}
	r->at = end;
	return d;
}

static struct doc *read_value(struct reader *r)
{
	struct doc *d;

	skip_blanks(r);
	if (r->at < r->end && (*r->at == '{' || *r->at == '['))
		return read_container(r);
	if (r->at == r->end || *r->at != '"')
		return read_word(r);
	d = doc_new(r->keep, DOC_STRING, r->line);
	d->text = read_text(r, &d->len);
	return d->text ? d : NULL;
}

int doc_parse_json(struct keep *k, const char *text, size_t len, struct doc **ret_root, struct err *err)
{
	struct reader r = { .keep = k, .err = err, .at = text, .end = text + len, .line = 1 };
	struct doc *root = read_value(&r);

	if (root) {
		skip_blanks(&r);
		if (r.at != r.end)
			root = refuse(&r, "something follows the end of the value");
	}
	if (k->failed)
		return err_set(err, -ENOMEM, "out of memory");
	if (!root)
		return -EPROTO;
	*ret_root = root;
	return 0;
}
