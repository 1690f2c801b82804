#include "vu_request.h"

#include <string.h>

const char *vu_render(struct scope *s, const struct template *t)
{
	const char *constant = template_constant(t);
	struct buf *text = &s->condition;

	if (constant)
		return constant;
	buf_clear(text);
	template_render(t, s, text);
	buf_add_char(text, '\0');
	s->failed = s->failed || text->failed;
	return text->failed ? "" : text->data;
}

void vu_set(struct scope *s, uint32_t slot, const struct template *value, bool is_json)
{
	const struct template_segment *single = template_single(value);
	enum scope_kind kind = is_json ? SCOPE_JSON : SCOPE_TEXT;
	struct buf *text = &s->condition;

	buf_clear(text);
	if (!single)
		template_render(value, s, text);
	else if (!template_value(single, s, text, &kind))
		buf_add(text, single->text, single->len);
	if (text->failed)
		s->failed = true;
	else
		scope_set(s, slot, kind == SCOPE_UNSET ? SCOPE_TEXT : kind, text->data ? text->data : "", text->len);
}

/* Offsets until all is written: the memory may move. */
static struct vu_text write_text(struct vu_batch *b, const struct template *t, struct scope *s)
{
	size_t begin = b->text.len;
	struct vu_text text;

	template_render(t, s, &b->text);
	text = (struct vu_text){ (const char *)(uintptr_t)begin, b->text.len - begin };
	buf_add_char(&b->text, '\0');
	return text;
}

static struct vu_text write_headers(struct vu_batch *b, const struct testplan_request *r, struct scope *s)
{
	size_t begin = b->text.len;
	struct vu_text text;

	for (size_t i = 0; i < r->header_count; i++) {
		buf_add_str(&b->text, r->headers[i].name);
		buf_add_str(&b->text, ": ");
		template_render(r->headers[i].value, s, &b->text);
		buf_add_str(&b->text, "\r\n");
	}
	text = (struct vu_text){ (const char *)(uintptr_t)begin, b->text.len - begin };
	buf_add_char(&b->text, '\0');
	return text;
}

static void settle(const struct vu_batch *b, struct vu_text *text)
{
	text->data = b->text.data + (uintptr_t)text->data;
}

static void write_request(struct vu_batch *b, const struct testplan_step *step, struct scope *s)
{
	const struct testplan_request *r = step->request;
	struct vu_request *out = &b->requests[b->count++];

	s->request++; /* rows are drawn anew for each */
	*out = (struct vu_request){ .step = step, .request = r, .origin = r->origin };
	out->target = write_text(b, r->target, s);
	out->headers = write_headers(b, r, s);
	if (r->body)
		out->body = write_text(b, r->body, s);
	if (r->auth == TESTPLAN_DIGEST) {
		out->user = write_text(b, r->user, s);
		out->password = write_text(b, r->password, s);
	}
}

void vu_batch_render(struct vu_batch *b, const struct testplan_step *step, struct scope *s)
{
	b->count = 0;
	buf_clear(&b->text);
	if (step->kind == TESTPLAN_REQUEST)
		write_request(b, step, s);
	for (const struct testplan_step *c = step->first; c && step->kind == TESTPLAN_PARALLEL; c = c->next)
		if (c->kind == TESTPLAN_REQUEST && b->count < VU_BATCH_MAX)
			write_request(b, c, s);
	if (b->text.failed) {
		s->failed = true;
		b->count = 0;
		return;
	}
	for (size_t i = 0; i < b->count; i++) {
		struct vu_request *r = &b->requests[i];

		settle(b, &r->target);
		settle(b, &r->headers);
		if (r->request->body)
			settle(b, &r->body);
		if (r->request->auth == TESTPLAN_DIGEST) {
			settle(b, &r->user);
			settle(b, &r->password);
		}
	}
}

void vu_batch_done(struct vu_batch *b)
{
	buf_done(&b->text);
}
