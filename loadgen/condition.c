#include "condition.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum op { OP_OR, OP_AND, OP_NOT, OP_TRUTH, OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE, OP_CONTAINS };

struct condition {
	enum op op;
	const struct condition *a, *b;       /* OP_OR, OP_AND, OP_NOT (a) */
	const struct template *left, *right; /* the others */
};

struct parser {
	struct keep *keep;
	struct err *err;
	condition_operand operand;
	void *context;
	const char *at, *whole;
	unsigned depth;
};

static void blanks(struct parser *p)
{
	p->at += strspn(p->at, " \t\r\n");
}

/* Words must end where they end. */
static bool accept(struct parser *p, const char *token)
{
	size_t len = strlen(token);
	char after;

	blanks(p);
	if (strncmp(p->at, token, len) != 0)
		return false;
	after = p->at[len];
	if (token[0] >= 'a' && ((after | 32) >= 'a' && (after | 32) <= 'z'))
		return false;
	p->at += len;
	return true;
}

static struct condition *make(struct parser *p, enum op op, const struct condition *a, const struct condition *b)
{
	struct condition *c = keep_alloc(p->keep, sizeof(*c));

	c->op = op;
	c->a = a;
	c->b = b;
	return c;
}

static const struct condition *parse_or(struct parser *p);

static const struct condition *parse_test(struct parser *p)
{
	/* Longer ones first. */
	static const struct {
		const char *token;
		enum op op;
	} ops[] = {
		{ "===", OP_EQ }, { "!==", OP_NE }, { "==", OP_EQ }, { "!=", OP_NE },       { "<=", OP_LE },
		{ ">=", OP_GE },  { "<", OP_LT },   { ">", OP_GT },  { "=~", OP_CONTAINS }, { "contains", OP_CONTAINS }
	};
	struct condition *c;

	if (accept(p, "(")) {
		const struct condition *inner = parse_or(p);

		if (inner && !accept(p, ")")) {
			(void)err_set(p->err, -EINVAL, "the condition '%s' lacks a ')'", p->whole);
			return NULL;
		}
		return inner;
	}
	blanks(p);
	c = make(p, OP_TRUTH, NULL, NULL);
	c->left = p->operand(p->context, &p->at, p->err);
	if (!c->left)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(ops) && c->op == OP_TRUTH; i++)
		if (accept(p, ops[i].token))
			c->op = ops[i].op;
	if (c->op != OP_TRUTH) {
		blanks(p);
		c->right = p->operand(p->context, &p->at, p->err);
	}
	return c->op == OP_TRUTH || c->right ? c : NULL;
}

static const struct condition *parse_not(struct parser *p)
{
	const struct condition *inner;
	bool negated;

	if (++p->depth > CONDITION_DEPTH_MAX) {
		(void)err_set(p->err, -EINVAL, "a condition is nested too deeply");
		return NULL;
	}
	blanks(p);
	negated = strncmp(p->at, "!=", 2) != 0 && (accept(p, "!") || accept(p, "not"));
	inner = negated ? parse_not(p) : parse_test(p);
	p->depth--;
	return inner && negated ? make(p, OP_NOT, inner, NULL) : inner;
}

static const struct condition *parse_and(struct parser *p)
{
	const struct condition *c = parse_not(p);

	while (c && (accept(p, "&&") || accept(p, "and"))) {
		const struct condition *b = parse_not(p);

		c = b ? make(p, OP_AND, c, b) : NULL;
	}
	return c;
}

static const struct condition *parse_or(struct parser *p)
{
	const struct condition *c = parse_and(p);

	while (c && (accept(p, "||") || accept(p, "or"))) {
		const struct condition *b = parse_and(p);

		c = b ? make(p, OP_OR, c, b) : NULL;
	}
	return c;
}

int condition_compile(struct keep *k, const char *text, condition_operand operand, void *context,
                      const struct condition **ret_condition, struct err *err)
{
	struct parser p = { k, err, operand, context, text, text, 0 };
	const struct condition *c = parse_or(&p);

	if (k->failed)
		return err_set(err, -ENOMEM, "out of memory");
	if (!c)
		return -EINVAL;
	blanks(&p);
	if (*p.at)
		return err_set(err, -EINVAL, "the condition '%s' is not understood from '%.40s' on", text, p.at);
	*ret_condition = c;
	return 0;
}

const struct condition *condition_not(struct keep *k, const struct condition *c)
{
	struct condition *not = keep_alloc(k, sizeof(*not ));

	not ->op = OP_NOT;
	not ->a = c;
	return not ;
}

static bool number(const char *text, double *ret)
{
	char *end;

	*ret = strtod(text, &end);
	return end != text && *end == '\0';
}

static bool compare(enum op op, const char *left, const char *right)
{
	double a, b;
	int order;

	if (op == OP_CONTAINS)
		return strstr(left, right) != NULL;
	if (number(left, &a) && number(right, &b))
		order = a < b ? -1 : a > b;
	else
		order = strcmp(left, right);
	return op == OP_EQ   ? order == 0
	       : op == OP_NE ? order != 0
	       : op == OP_LT ? order < 0
	       : op == OP_LE ? order <= 0
	       : op == OP_GT ? order > 0
	                     : order >= 0;
}

static bool is_true(const char *text)
{
	static const char *const falses[] = { "", "false", "0", "null", "undefined" };

	for (size_t i = 0; i < ARRAY_LEN(falses); i++)
		if (strcmp(text, falses[i]) == 0)
			return false;
	return true;
}

/* Rendering an operand does not look at conditions, so their memory is free. */
static bool test(const struct condition *c, struct scope *s)
{
	struct buf *text = &s->condition;
	size_t right;

	buf_clear(text);
	template_render(c->left, s, text);
	buf_add_char(text, '\0');
	right = text->len;
	template_render(c->right, s, text);
	buf_add_char(text, '\0');
	s->failed = s->failed || text->failed;
	if (text->failed)
		return false;
	return c->op == OP_TRUTH ? is_true(text->data) : compare(c->op, text->data, text->data + right);
}

bool condition_holds(const struct condition *c, struct scope *s)
{
	switch (c->op) {
	case OP_OR:
		return condition_holds(c->a, s) || condition_holds(c->b, s);
	case OP_AND:
		return condition_holds(c->a, s) && condition_holds(c->b, s);
	case OP_NOT:
		return !condition_holds(c->a, s);
	default:
		return test(c, s);
	}
}

int condition_constant(const struct condition *c)
{
	const char *left, *right;
	int a;

	if (c->op == OP_OR || c->op == OP_AND) {
		int b = condition_constant(c->b), decides = c->op == OP_OR;

		a = condition_constant(c->a);
		return a == decides || b == decides ? decides : a >= 0 && b >= 0 ? !decides : -1;
	}
	if (c->op == OP_NOT) {
		a = condition_constant(c->a);
		return a < 0 ? -1 : !a;
	}
	left = template_constant(c->left);
	right = c->right ? template_constant(c->right) : "";
	if (!left || !right)
		return -1;
	return c->op == OP_TRUTH ? is_true(left) : compare(c->op, left, right);
}

size_t condition_operands(const struct condition *c, const struct template **ret_operands, size_t most)
{
	size_t n;

	if (c->op == OP_OR || c->op == OP_AND) {
		n = condition_operands(c->a, ret_operands, most);
		return n + condition_operands(c->b, ret_operands + n, most - n);
	}
	if (c->op == OP_NOT)
		return condition_operands(c->a, ret_operands, most);
	n = 0;
	if (n < most)
		ret_operands[n++] = c->left;
	if (n < most && c->right)
		ret_operands[n++] = c->right;
	return n;
}
