#include "template.h"

#include <string.h>

#include "json_scan.h"
#include "template_call.h"

/* ---- writing a value where it stands ---- */

static void put_percent(struct buf *out, const char *text, size_t len, bool keep_delimiters)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		             (c && strchr("-._~", c)) || (keep_delimiters && c && strchr(":/?#[]@!$&'()*+,;=%", c));
		char code[3] = { '%', hex[c >> 4], hex[c & 15] };

		buf_add(out, plain ? text + i : code, plain ? 1 : 3);
	}
}

static void put_json(struct buf *out, const char *text, size_t len)
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	size_t plain = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		const char *found = c ? strchr(from, c) : NULL;

		if (c >= ' ' && !found)
			continue;
		buf_add(out, text + plain, i - plain);
		plain = i + 1;
		if (found)
			buf_add(out, (char[]){ '\\', to[found - from] }, 2);
		else
			buf_printf(out, "\\u%04x", c);
	}
	buf_add(out, text + plain, len - plain);
}

static void put_header(struct buf *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buf_add_char(out, (unsigned char)text[i] < ' ' || text[i] == 0x7f ? ' ' : text[i]);
}

static void put(struct buf *out, enum template_place place, enum scope_kind kind, const char *text, size_t len)
{
	switch (place) {
	case TEMPLATE_PLAIN:
		buf_add(out, text, len);
		break;
	case TEMPLATE_JSON_VALUE:
		if (kind == SCOPE_JSON) {
			buf_add(out, text, len);
			break;
		}
		buf_add_char(out, '"');
		put_json(out, text, len);
		buf_add_char(out, '"');
		break;
	case TEMPLATE_JSON:
		put_json(out, text, len);
		break;
	case TEMPLATE_TARGET:
		put_percent(out, text, len, true);
		break;
	case TEMPLATE_FORM:
		put_percent(out, text, len, false);
		break;
	case TEMPLATE_HEADER:
		put_header(out, text, len);
		break;
	}
}

/* ---- compiling ---- */

void template_begin(struct template_builder *b, struct keep *k)
{
	*b = (struct template_builder){ .keep = k };
}

void template_add_text(struct template_builder *b, enum template_place place, const char *text, size_t len)
{
	put(&b->text, place == TEMPLATE_JSON_VALUE ? TEMPLATE_JSON : place, SCOPE_TEXT, text, len);
}

static void append(struct template_builder *b, const struct template_segment *segment)
{
	struct template_segment *segments = keep_grow(b->keep, b->segments, b->count, sizeof(*segments));

	if (!segments)
		return;
	b->segments = segments;
	b->segments[b->count++] = *segment;
}

static void flush(struct template_builder *b)
{
	if (b->text.failed)
		b->keep->failed = true;
	if (b->text.len && !b->keep->failed)
		append(b, &(struct template_segment){ .kind = TEMPLATE_TEXT,
		                                      .text = keep_text(b->keep, b->text.data, b->text.len),
		                                      .len = b->text.len });
	buf_clear(&b->text);
}

void template_add_segment(struct template_builder *b, const struct template_segment *segment)
{
	flush(b);
	append(b, segment);
}

void template_add_all(struct template_builder *b, const struct template *t)
{
	for (size_t i = 0; i < t->count; i++) {
		if (t->segments[i].kind == TEMPLATE_TEXT)
			buf_add(&b->text, t->segments[i].text, t->segments[i].len);
		else
			template_add_segment(b, &t->segments[i]);
	}
}

struct template *template_end(struct template_builder *b)
{
	struct template *t = keep_alloc(b->keep, sizeof(*t));

	flush(b);
	buf_done(&b->text);
	t->segments = b->segments;
	t->count = b->count;
	return t;
}

struct template *template_of(struct keep *k, const char *text)
{
	struct template_builder b;

	template_begin(&b, k);
	template_add_text(&b, TEMPLATE_PLAIN, text, strlen(text));
	return template_end(&b);
}

/* ---- rendering ---- */

/* A JSON string's content replaces the text from `mark` on. */
static void unquote(struct buf *out, size_t mark)
{
	size_t len;

	if (json_scan_text(out->data + mark, out->len - mark, out->data + mark, &len))
		out->len = mark + len;
}

/* The part of the value behind `mark` that the path leads to. */
static bool follow(const struct jsonpath *path, struct buf *out, size_t mark, enum scope_kind *kind)
{
	struct jsonpath_value v;

	if (out->failed || !jsonpath_find(path, out->data + mark, out->len - mark, 0, &v)) {
		out->len = mark;
		return false;
	}
	memmove(out->data + mark, v.at, v.len);
	out->len = mark + v.len;
	*kind = SCOPE_JSON;
	if (out->data[mark] == '"') {
		unquote(out, mark);
		*kind = SCOPE_TEXT;
	}
	return true;
}

bool template_value(const struct template_segment *segment, struct scope *s, struct buf *out, enum scope_kind *ret_kind)
{
	size_t mark = out->len;
	enum scope_kind kind = SCOPE_TEXT;

	if (segment->kind == TEMPLATE_TEXT) {
		buf_add(out, segment->text, segment->len);
	} else if (segment->kind == TEMPLATE_CALL) {
		kind = template_call_run(segment->call, s, out);
	} else {
		const struct scope_value *v = &s->values[segment->slot];

		kind = v->kind;
		if (kind != SCOPE_UNSET)
			buf_add(out, v->data, v->len);
	}
	if (kind != SCOPE_UNSET && segment->path && !follow(segment->path, out, mark, &kind))
		kind = SCOPE_UNSET;
	*ret_kind = kind;
	return kind != SCOPE_UNSET;
}

static void render_segment(const struct template_segment *segment, struct scope *s, struct buf *out)
{
	size_t mark = s->scratch.len;
	enum scope_kind kind;

	if (segment->kind == TEMPLATE_VARIABLE && !segment->path) {
		const struct scope_value *v = &s->values[segment->slot];

		if (v->kind != SCOPE_UNSET) {
			put(out, segment->place, v->kind, v->data, v->len);
			return;
		}
	}
	if (template_value(segment, s, &s->scratch, &kind))
		put(out, segment->place, kind, s->scratch.data ? s->scratch.data + mark : "", s->scratch.len - mark);
	else if (segment->place == TEMPLATE_JSON_VALUE)
		buf_add_str(out, "null");
	else
		put(out, segment->place, SCOPE_TEXT, segment->text, segment->len);
	s->failed = s->failed || s->scratch.failed;
	s->scratch.len = mark;
}

void template_render(const struct template *t, struct scope *s, struct buf *out)
{
	for (size_t i = 0; t && i < t->count; i++) {
		const struct template_segment *segment = &t->segments[i];

		if (segment->kind == TEMPLATE_TEXT)
			buf_add(out, segment->text, segment->len);
		else
			render_segment(segment, s, out);
	}
}

const char *template_constant(const struct template *t)
{
	if (!t || t->count == 0)
		return "";
	return t->count == 1 && t->segments[0].kind == TEMPLATE_TEXT ? t->segments[0].text : NULL;
}

const struct template_segment *template_single(const struct template *t)
{
	return t && t->count == 1 && t->segments[0].kind != TEMPLATE_TEXT ? &t->segments[0] : NULL;
}
