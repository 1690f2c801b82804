#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is looked at; from the scratch memory it is valid until scratch.len is set back. */
struct subject {
	const char *text;
	size_t len;
	bool exists;
};

static bool find(const struct check *c, const struct answer *a, struct scope *s, struct pattern_memory *memory,
                 char number[32], size_t *ret_mark, struct subject *ret)
{
	*ret_mark = s->scratch.len;
	*ret = (struct subject){ number, 0, true };
	switch (c->subject) {
	case CHECK_STATUS:
		(void)snprintf(number, 32, "%u", a->status);
		break;
	case CHECK_DURATION:
		(void)snprintf(number, 32, "%.6f", (double)a->duration_ns / 1e6);
		break;
	case CHECK_SIZE:
		(void)snprintf(number, 32, "%zu", a->body_len);
		break;
	case CHECK_HEAD:
		*ret = (struct subject){ a->head, a->head_len, true };
		return true;
	case CHECK_BODY:
		*ret = (struct subject){ a->body, a->body_len, true };
		return true;
	case CHECK_TEXT:
	case CHECK_VALUE:
		if (c->subject == CHECK_TEXT)
			template_render(c->text, s, &s->scratch);
		else
			ret->exists = capture_look(&c->look, a, s, memory, ret_mark);
		ret->text = s->scratch.data ? s->scratch.data + *ret_mark : "";
		ret->len = s->scratch.len - *ret_mark;
		return !s->scratch.failed;
	}
	ret->len = strlen(number);
	return true;
}

static bool is_number(const char *text, size_t len, double *ret)
{
	char copy[64], *end;

	if (len == 0 || len >= sizeof(copy))
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	*ret = strtod(copy, &end);
	return *end == '\0';
}

static bool compare(enum check_test test, const struct subject *subject, const char *expected, size_t len)
{
	double a = 0, b = 0;
	bool numbers = is_number(subject->text, subject->len, &a) && is_number(expected, len, &b);

	switch (test) {
	case CHECK_EQUALS:
		return (subject->len == len && memcmp(subject->text, expected, len) == 0) || (numbers && a == b);
	case CHECK_CONTAINS:
		return len == 0 || (subject->len && memmem(subject->text, subject->len, expected, len));
	case CHECK_BELOW:
		return numbers && a < b;
	case CHECK_AT_MOST:
		return numbers && a <= b;
	case CHECK_ABOVE:
		return numbers && a > b;
	case CHECK_AT_LEAST:
		return numbers && a >= b;
	default:
		return false;
	}
}

static bool holds_for(const struct check *c, size_t i, size_t mark, struct subject *subject, struct scope *s,
                      struct pattern_memory *memory)
{
	struct buf *expected = &s->condition;
	struct pattern_match m;

	if (c->test == CHECK_MATCHES)
		return pattern_find(c->patterns[i], memory, subject->text ? subject->text : "", subject->len, 0, &m);
	if (c->test == CHECK_MATCHES_ALL)
		return pattern_matches(c->patterns[i], memory, subject->text ? subject->text : "", subject->len);
	buf_clear(expected);
	template_render(c->expected[i], s, expected);
	s->failed = s->failed || expected->failed;
	if (c->subject == CHECK_VALUE || c->subject == CHECK_TEXT) /* rendering may have moved it */
		subject->text = s->scratch.data ? s->scratch.data + mark : "";
	return !expected->failed && compare(c->test, subject, expected->data ? expected->data : "", expected->len);
}

bool check_holds(const struct check *c, const struct answer *a, struct scope *s, struct pattern_memory *memory)
{
	struct subject subject;
	char number[32] = "";
	size_t mark, held = 0;
	bool holds;

	if (!find(c, a, s, memory, number, &mark, &subject)) {
		s->failed = true;
		return false;
	}
	for (size_t i = 0; subject.exists && c->test != CHECK_EXISTS && i < c->expected_count; i++)
		held += holds_for(c, i, mark, &subject, s, memory) != c->negated;
	if (c->test == CHECK_EXISTS || !subject.exists)
		holds = subject.exists != c->negated;
	else
		holds = c->any ? held > 0 : held == c->expected_count;
	s->scratch.len = mark;
	return holds;
}
