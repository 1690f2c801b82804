#include "capture.h"

#include <stdio.h>
#include <string.h>

#include "capture_xpath.h"
#include "json_scan.h"

/* Everything below appends match number `index` (from 0) to `out`. */

static bool json_match(const struct capture *c, const struct answer *a, size_t index, struct buf *out,
                       enum scope_kind *kind)
{
	struct jsonpath_value v;
	size_t mark = out->len, len;

	if (!jsonpath_find(c->path, a->body, a->body_len, index, &v))
		return false;
	buf_add(out, v.at, v.len);
	*kind = *v.at == '"' ? SCOPE_TEXT : SCOPE_JSON;
	if (*v.at == '"' && !out->failed) {
		if (json_scan_text(v.at, v.len, out->data + mark, &len))
			out->len = mark + len;
	}
	return true;
}

static void put_groups(const struct capture *c, const struct pattern_match *m, struct buf *out)
{
	for (const char *t = c->text; *t; t++) {
		size_t digits = *t == '$' ? strspn(t + 1, "0123456789") : 0;
		unsigned group = 0;

		if (!digits || digits > 3 || t[1 + digits] != '$') {
			buf_add_char(out, *t);
			continue;
		}
		for (size_t i = 1; i <= digits; i++)
			group = group * 10 + (unsigned)(t[i] - '0');
		if (group < PATTERN_GROUPS_MAX && m->groups[group])
			buf_add(out, m->groups[group], m->lens[group]);
		t += digits + 1;
	}
}

static void where(const struct capture *c, const struct answer *a, char status[8], const char **ret_text,
                  size_t *ret_len)
{
	*ret_text = a->body;
	*ret_len = a->body_len;
	if (c->where == CAPTURE_IN_HEAD) {
		*ret_text = a->head;
		*ret_len = a->head_len;
	} else if (c->where == CAPTURE_IN_STATUS) {
		(void)snprintf(status, 8, "%u", a->status);
		*ret_text = status;
		*ret_len = strlen(status);
	} else if (c->where == CAPTURE_IN_TARGET) {
		*ret_text = a->target ? a->target : "";
		*ret_len = strlen(*ret_text);
	}
}

static bool pattern_match(const struct capture *c, const struct answer *a, size_t index, struct pattern_memory *memory,
                          struct buf *out)
{
	char status[8];
	const char *text;
	size_t len, from = 0;
	struct pattern_match m;

	where(c, a, status, &text, &len);
	do {
		if (!pattern_find(c->pattern, memory, text, len, from, &m))
			return false;
		from = m.end;
	} while (index-- > 0);
	if (c->text)
		put_groups(c, &m, out);
	else if (m.groups[c->group])
		buf_add(out, m.groups[c->group], m.lens[c->group]);
	return true;
}

static bool between_match(const struct capture *c, const struct answer *a, size_t index, struct buf *out)
{
	const char *at = a->body, *end = a->body + a->body_len, *stop;

	for (;; at = stop) {
		at = memmem(at, (size_t)(end - at), c->expression, strlen(c->expression));
		if (!at)
			return false;
		at += strlen(c->expression);
		stop = memmem(at, (size_t)(end - at), c->right, strlen(c->right));
		if (!stop)
			return false;
		if (index-- == 0)
			break;
	}
	buf_add(out, at, (size_t)(stop - at));
	return true;
}

static bool match(const struct capture *c, const struct answer *a, size_t index, struct pattern_memory *memory,
                  struct buf *out, enum scope_kind *kind)
{
	const char *value;
	size_t len, count;

	*kind = SCOPE_TEXT;
	switch (c->source) {
	case CAPTURE_JSON:
		return json_match(c, a, index, out, kind);
	case CAPTURE_PATTERN:
		return pattern_match(c, a, index, memory, out);
	case CAPTURE_BETWEEN:
		return a->body_len && between_match(c, a, index, out);
	case CAPTURE_HEADER:
		if (!answer_header(a, c->expression, index, &value, &len))
			return false;
		buf_add(out, value, len);
		return true;
	case CAPTURE_XPATH:
		return capture_xpath(c->expression, c->is_html, a->body, a->body_len, index, out, &count);
	case CAPTURE_STATUS:
		if (index || !a->status)
			return false;
		buf_printf(out, "%u", a->status);
		*kind = SCOPE_JSON;
		return true;
	case CAPTURE_BODY:
		if (index)
			return false;
		buf_add(out, a->body, a->body_len);
		return true;
	}
	return false;
}

static size_t count(const struct capture *c, const struct answer *a, struct scope *s, struct pattern_memory *memory)
{
	size_t n = 0, mark = s->scratch.len;
	enum scope_kind kind;

	if (c->source == CAPTURE_JSON)
		return jsonpath_count(c->path, a->body, a->body_len);
	if (c->source == CAPTURE_XPATH) {
		(void)capture_xpath(c->expression, c->is_html, a->body, a->body_len, SIZE_MAX, &s->scratch, &n);
		s->scratch.len = mark;
		return n;
	}
	while (n < 1024 && match(c, a, n, memory, &s->scratch, &kind)) {
		n++;
		s->scratch.len = mark;
	}
	return n;
}

static bool run_all(const struct capture *c, const struct answer *a, struct scope *s, struct pattern_memory *memory)
{
	size_t mark = s->scratch.len, n = 0, joined = 0;
	struct buf *all = &s->result;
	size_t all_mark = all->len;
	char digits[24];
	enum scope_kind kind;

	for (; n < CAPTURE_ALL_MAX && match(c, a, n, memory, &s->scratch, &kind) && !s->scratch.failed; n++) {
		scope_set(s, c->all[n], kind, s->scratch.data ? s->scratch.data + mark : "", s->scratch.len - mark);
		if (joined++)
			buf_add_char(all, ',');
		buf_add(all, s->scratch.data ? s->scratch.data + mark : "", s->scratch.len - mark);
		s->scratch.len = mark;
	}
	s->scratch.len = mark;
	for (size_t i = n; i < CAPTURE_ALL_MAX; i++)
		scope_unset(s, c->all[i]);
	(void)snprintf(digits, sizeof(digits), "%zu", n);
	scope_set(s, c->count_slot, SCOPE_JSON, digits, strlen(digits));
	if (c->joined_slot != TEMPLATE_NO_SLOT && !all->failed)
		scope_set(s, c->joined_slot, SCOPE_TEXT, all->data ? all->data + all_mark : "", all->len - all_mark);
	all->len = all_mark;
	return n > 0;
}

static void run_missing(const struct capture *c, struct scope *s)
{
	if (c->missing)
		scope_set(s, c->slot, SCOPE_TEXT, c->missing, strlen(c->missing));
	else if (c->unset_when_missing)
		scope_unset(s, c->slot);
}

bool capture_run(const struct capture *c, const struct answer *a, struct scope *s, struct pattern_memory *memory)
{
	size_t mark = s->scratch.len, index = (size_t)c->match - 1;
	enum scope_kind kind;
	bool found = true;

	if (c->match == CAPTURE_ALL) {
		found = run_all(c, a, s, memory);
		if (!found)
			run_missing(c, s);
		return found;
	}
	if (c->match == CAPTURE_RANDOM) {
		size_t n = count(c, a, s, memory);

		found = n > 0;
		index = found ? dice_below(&s->dice, n) : 0;
	}
	found = found && match(c, a, index, memory, &s->scratch, &kind) && !s->scratch.failed;
	if (found)
		scope_set(s, c->slot, kind, s->scratch.data ? s->scratch.data + mark : "", s->scratch.len - mark);
	else
		run_missing(c, s);
	s->failed = s->failed || s->scratch.failed;
	s->scratch.len = mark;
	return found;
}

bool capture_look(const struct capture *c, const struct answer *a, struct scope *s, struct pattern_memory *memory,
                  size_t *ret_mark)
{
	enum scope_kind kind;

	*ret_mark = s->scratch.len;
	return match(c, a, 0, memory, &s->scratch, &kind);
}
