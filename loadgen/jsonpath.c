#include "jsonpath.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "json_scan.h"

enum step_kind { STEP_NAME, STEP_INDEX, STEP_SLICE, STEP_ANY, STEP_FILTER };
enum { NONE = INT32_MIN, NAMES_MAX = 8 };

/* [?(@.path OP literal)]; without OP: does the path match anything? */
struct filter {
	const struct jsonpath *path;
	char op[3];
	const char *literal; /* JSON; strings without quotes */
	size_t literal_len;
	bool is_string;
};

struct step {
	enum step_kind kind;
	bool deep;                    /* ".." before it: of this value and all inside it */
	const char *names[NAMES_MAX]; /* STEP_NAME: any of these */
	size_t name_count;
	int32_t from, to; /* STEP_INDEX: from; STEP_SLICE: from <= i < to, NONE = open; negative counts from the end */
	struct filter filter;
};

struct jsonpath {
	struct step steps[JSONPATH_STEPS_MAX];
	size_t count;
};

/* ---- compiling ---- */

struct compiler {
	struct keep *keep;
	struct err *err;
	const char *at, *whole;
	unsigned depth;
};

static bool refuse(struct compiler *c, const char *reason)
{
	(void)err_set(c->err, -EINVAL, "JSONPath '%s': %s", c->whole, reason);
	return false;
}

static void blanks(struct compiler *c)
{
	while (*c->at == ' ')
		c->at++;
}

/* 'text' or "text", with backslashes before quotes. */
static const char *quoted(struct compiler *c)
{
	char quote = *c->at, *out = keep_large(c->keep, strlen(c->at));
	size_t n = 0;

	if (!out)
		return (void)refuse(c, "out of memory"), NULL;
	for (c->at++; *c->at && *c->at != quote; c->at++) {
		if (*c->at == '\\' && c->at[1])
			c->at++;
		out[n++] = *c->at;
	}
	if (!*c->at)
		return (void)refuse(c, "a quote is not closed"), NULL;
	c->at++;
	out[n] = '\0';
	return out;
}

static bool number(struct compiler *c, int32_t *ret)
{
	char *end;
	long n = strtol(c->at, &end, 10);

	if (end == c->at || n > 1000000000 || n < -1000000000)
		return refuse(c, "a number that is too large, or none");
	c->at = end;
	*ret = (int32_t)n;
	return true;
}

static bool compile(struct compiler *c, struct jsonpath *path);

static bool filter_literal(struct compiler *c, struct filter *f)
{
	blanks(c);
	if (*c->at == '\'' || *c->at == '"') {
		f->literal = quoted(c);
		f->is_string = true;
	} else {
		size_t len = strcspn(c->at, " )&|");

		f->literal = keep_text(c->keep, c->at, len);
		c->at += len;
	}
	if (!f->literal)
		return false;
	f->literal_len = strlen(f->literal);
	return f->literal_len || f->is_string || refuse(c, "a comparison with nothing");
}

/* Behind "[?". */
static bool filter(struct compiler *c, struct step *s)
{
	static const char *const ops[] = { "==", "!=", "<=", ">=", "<", ">" };
	struct jsonpath *inner;
	bool paren = *c->at == '(';

	c->at += paren;
	blanks(c);
	if (*c->at != '@' || c->depth == 2)
		return refuse(c, "a filter that does not begin with '@'");
	inner = keep_large(c->keep, sizeof(*inner));
	c->at++;
	c->depth++;
	if (!inner || !compile(c, inner))
		return inner ? false : refuse(c, "out of memory");
	c->depth--;
	s->kind = STEP_FILTER;
	s->filter.path = inner;
	blanks(c);
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]) && !s->filter.op[0]; i++) {
		size_t len = strlen(ops[i]);

		if (strncmp(c->at, ops[i], len) == 0) {
			memcpy(s->filter.op, ops[i], len);
			c->at += len;
			if (!filter_literal(c, &s->filter))
				return false;
		}
	}
	blanks(c);
	if (paren && *c->at++ != ')')
		return refuse(c, "a filter that is not understood");
	return true;
}

static bool indices(struct compiler *c, struct step *s)
{
	s->kind = STEP_INDEX;
	s->from = 0;
	s->to = NONE;
	if (*c->at != ':' && !number(c, &s->from))
		return false;
	if (*c->at != ':')
		return true;
	s->kind = STEP_SLICE;
	c->at++;
	return *c->at == ']' || number(c, &s->to);
}

static bool names(struct compiler *c, struct step *s)
{
	s->kind = STEP_NAME;
	for (;;) {
		const char *name;

		blanks(c);
		if (*c->at != '\'' && *c->at != '"')
			return refuse(c, "expected a name in quotes");
		name = quoted(c);
		if (!name)
			return false;
		if (s->name_count == NAMES_MAX)
			return refuse(c, "too many names");
		s->names[s->name_count++] = name;
		blanks(c);
		if (*c->at != ',')
			return true;
		c->at++;
	}
}

/* Behind '['. */
static bool bracket(struct compiler *c, struct step *s)
{
	bool ok = true;

	blanks(c);
	if (*c->at == '*') {
		s->kind = STEP_ANY;
		c->at++;
	} else if (*c->at == '?') {
		c->at++;
		ok = filter(c, s);
	} else if (*c->at == '\'' || *c->at == '"') {
		ok = names(c, s);
	} else {
		ok = indices(c, s);
	}
	if (!ok)
		return false;
	blanks(c);
	return *c->at++ == ']' || refuse(c, "expected ']'");
}

static bool plain_name(struct compiler *c, struct step *s)
{
	size_t len = strcspn(c->at, c->depth ? ".[]) =!<>&|" : ".[");

	if (*c->at == '*' && len == 1) {
		s->kind = STEP_ANY;
		c->at++;
		return true;
	}
	if (len == 0)
		return refuse(c, "a name is missing");
	s->kind = STEP_NAME;
	s->names[0] = keep_text(c->keep, c->at, len);
	s->name_count = 1;
	c->at += len;
	return true;
}

static bool compile(struct compiler *c, struct jsonpath *path)
{
	while (*c->at == '.' || *c->at == '[') {
		struct step *s = &path->steps[path->count];
		bool ok;

		if (path->count++ == JSONPATH_STEPS_MAX)
			return refuse(c, "too many steps");
		if (*c->at == '.' && c->at[1] == '.') {
			s->deep = true;
			c->at += 2;
			ok = *c->at == '[' ? (c->at++, bracket(c, s)) : plain_name(c, s);
		} else if (*c->at == '.' && c->at[1] != '[') {
			c->at++;
			ok = plain_name(c, s);
		} else {
			c->at += *c->at == '.' ? 2 : 1;
			ok = bracket(c, s);
		}
		if (!ok)
			return false;
	}
	return true;
}

int jsonpath_compile(struct keep *k, const char *text, const struct jsonpath **ret_path, struct err *err)
{
	struct jsonpath *path = keep_large(k, sizeof(*path));
	struct compiler c = { .keep = k, .err = err, .at = text, .whole = text };

	if (!path)
		return err_set(err, -ENOMEM, "out of memory");
	if (*c.at == '$') {
		c.at++;
	} else if (*c.at && *c.at != '.' && *c.at != '[') {
		if (!plain_name(&c, &path->steps[path->count++]))
			return -EINVAL;
	}
	if (!compile(&c, path))
		return -EINVAL;
	blanks(&c);
	if (*c.at) {
		(void)refuse(&c, "what stands at its end is not understood");
		return -EINVAL;
	}
	*ret_path = path;
	return k->failed ? err_set(err, -ENOMEM, "out of memory") : 0;
}

bool jsonpath_is_definite(const struct jsonpath *path)
{
	for (size_t i = 0; i < path->count; i++) {
		const struct step *s = &path->steps[i];

		if (s->deep || (s->kind != STEP_INDEX && (s->kind != STEP_NAME || s->name_count != 1)))
			return false;
	}
	return true;
}

/* ---- looking ---- */

struct search {
	const char *end;
	size_t wanted, matches, visits;
	unsigned depth;
	struct jsonpath_value found;
};

/* One after the other, the members of an object or the items of an array. */
struct walk {
	const char *at, *end;
	bool is_object;
	const char *key, *key_end; /* in quotes */
	struct jsonpath_value value;
};

static void walk_begin(struct walk *w, struct jsonpath_value in)
{
	*w = (struct walk){ .at = in.at + 1, .end = in.at + in.len - 1, .is_object = *in.at == '{' };
}

static bool walk_next(struct walk *w)
{
	const char *end;

	w->at = json_scan_blanks(w->at, w->end);
	if (w->at < w->end && *w->at == ',')
		w->at = json_scan_blanks(w->at + 1, w->end);
	if (w->at >= w->end)
		return false;
	if (w->is_object) {
		w->key = w->at;
		w->key_end = *w->at == '"' ? json_scan_value(w->at, w->end) : NULL;
		if (!w->key_end)
			return false;
		w->at = json_scan_blanks(w->key_end, w->end);
		if (w->at >= w->end || *w->at != ':')
			return false;
		w->at = json_scan_blanks(w->at + 1, w->end);
	}
	end = json_scan_value(w->at, w->end);
	if (!end)
		return false;
	w->value = (struct jsonpath_value){ w->at, (size_t)(end - w->at) };
	w->at = end;
	return true;
}

static bool is_container(struct jsonpath_value v)
{
	return v.len >= 2 && (*v.at == '{' || *v.at == '[');
}

/* A key against a name; keys with escapes are decoded, up to 512 bytes of them. */
static bool key_is(const struct walk *w, const char *name)
{
	size_t len = (size_t)(w->key_end - w->key), decoded;
	char text[512];

	if (!memchr(w->key, '\\', len))
		return len - 2 == strlen(name) && memcmp(w->key + 1, name, len - 2) == 0;
	return len <= sizeof(text) && json_scan_text(w->key, len, text, &decoded) && strcmp(text, name) == 0;
}

static bool find(struct search *s, const struct jsonpath *path, size_t step, struct jsonpath_value in);

static int order(double a, double b)
{
	return a < b ? -1 : a > b;
}

static bool compare(const char *op, int o)
{
	return op[0] == '='   ? o == 0
	       : op[0] == '!' ? o != 0
	       : op[0] == '<' ? o < 0 || (op[1] && o == 0)
	                      : o > 0 || (op[1] && o == 0);
}

static bool filter_holds(struct search *outer, const struct filter *f, struct jsonpath_value v)
{
	struct search s = { .end = outer->end, .visits = outer->visits, .depth = outer->depth };
	bool is_string, found = find(&s, f->path, 0, v);
	char text[256];
	size_t len;
	int o;

	outer->visits = s.visits;
	if (!found || !f->op[0])
		return found;
	is_string = *s.found.at == '"';
	if (is_string != f->is_string)
		return f->op[0] == '!';
	if (is_string) {
		if (s.found.len > sizeof(text) || !json_scan_text(s.found.at, s.found.len, text, &len))
			return f->op[0] == '!';
		o = strcmp(text, f->literal);
	} else if ((*s.found.at == '-' || (*s.found.at >= '0' && *s.found.at <= '9')) && s.found.len < sizeof(text)) {
		memcpy(text, s.found.at, s.found.len);
		text[s.found.len] = '\0';
		o = order(strtod(text, NULL), strtod(f->literal, NULL));
	} else {
		o = s.found.len != f->literal_len || memcmp(s.found.at, f->literal, f->literal_len) != 0;
	}
	return compare(f->op, o);
}

static size_t length(struct jsonpath_value in)
{
	struct walk w;
	size_t n = 0;

	for (walk_begin(&w, in); walk_next(&w);)
		n++;
	return n;
}

/* Does the step take this child, which is number `i`? */
static bool takes(struct search *s, const struct step *step, const struct walk *w, size_t i, int64_t from, int64_t to)
{
	switch (step->kind) {
	case STEP_NAME:
		for (size_t n = 0; w->is_object && n < step->name_count; n++)
			if (key_is(w, step->names[n]))
				return true;
		return false;
	case STEP_INDEX:
		return !w->is_object && (int64_t)i == from;
	case STEP_SLICE:
		return !w->is_object && (int64_t)i >= from && (int64_t)i < to;
	case STEP_ANY:
		return true;
	case STEP_FILTER:
		return filter_holds(s, &step->filter, w->value);
	}
	return false;
}

/* Its children, and with ".." theirs. */
static bool children(struct search *s, const struct jsonpath *path, size_t at, struct jsonpath_value in)
{
	const struct step *step = &path->steps[at];
	int64_t from = step->from, to = step->to == NONE ? INT64_MAX : step->to;
	struct walk w;
	size_t i = 0;

	if ((from < 0 || to < 0) && *in.at == '[') {
		int64_t n = (int64_t)length(in);

		from += from < 0 ? n : 0;
		to += to < 0 ? n : 0;
	}
	for (walk_begin(&w, in); walk_next(&w); i++) {
		if (++s->visits > JSONPATH_VISITS_MAX)
			return false;
		if (takes(s, step, &w, i, from, to) && find(s, path, at + 1, w.value))
			return true;
		if (step->deep && is_container(w.value) && s->depth < JSONPATH_DEPTH_MAX) {
			bool found;

			s->depth++;
			found = children(s, path, at, w.value);
			s->depth--;
			if (found)
				return true;
		}
	}
	return false;
}

/* True: the wanted match was found, and the search is over. */
static bool find(struct search *s, const struct jsonpath *path, size_t step, struct jsonpath_value in)
{
	if (step < path->count)
		return is_container(in) && children(s, path, step, in);
	s->found = in;
	return s->matches++ == s->wanted;
}

static bool search_all(struct search *s, const struct jsonpath *path, const char *json, size_t len)
{
	const char *begin, *end;

	s->end = json + len;
	begin = json_scan_blanks(json, s->end);
	end = json_scan_value(begin, s->end);
	return end && find(s, path, 0, (struct jsonpath_value){ begin, (size_t)(end - begin) });
}

bool jsonpath_find(const struct jsonpath *path, const char *json, size_t len, size_t index,
                   struct jsonpath_value *ret_value)
{
	struct search s = { .wanted = index };

	if (!search_all(&s, path, json, len))
		return false;
	*ret_value = s.found;
	return true;
}

size_t jsonpath_count(const struct jsonpath *path, const char *json, size_t len)
{
	struct search s = { .wanted = SIZE_MAX };

	(void)search_all(&s, path, json, len);
	return s.matches;
}
