#include "dialect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DIALECT_DEPTH_MAX = 8 };

static const char *find(const char *const *items, size_t count, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = count; i-- > 0;)
		if (strncmp(items[i], name, len) == 0 && items[i][len] == '=')
			return items[i] + len + 1;
	return NULL;
}

const char *dialect_property(const struct dialect *d, const char *name)
{
	return d->values ? find(d->values->properties, d->values->property_count, name) : NULL;
}

const char *dialect_environment(const struct dialect *d, const char *name)
{
	const char *given = d->values ? find(d->values->environment, d->values->environment_count, name) : NULL;

	return given ? given : getenv(name);
}

bool dialect_find_list(const struct dialect *d, const char *name, uint32_t *ret_list)
{
	for (size_t i = 0; i < d->plan->list_count; i++) {
		if (strcmp(d->plan->lists[i].name, name) == 0) {
			*ret_list = (uint32_t)i;
			return true;
		}
	}
	return false;
}

static const struct jsonpath *compile_path(struct dialect *d, const char *path)
{
	const struct jsonpath *compiled = NULL;
	struct err err = { 0 };

	if (path && *path && jsonpath_compile(&d->plan->keep, path, &compiled, &err) < 0)
		testplan_warn(d->plan, d->line, "%s", err.text);
	return compiled;
}

void dialect_add_variable(struct dialect *d, struct template_builder *b, enum template_place place, const char *name,
                          const char *path, const char *unset)
{
	template_add_segment(b, &(struct template_segment){ .kind = TEMPLATE_VARIABLE,
	                                                    .place = place,
	                                                    .text = unset,
	                                                    .len = strlen(unset),
	                                                    .slot = testplan_slot(d->plan, name),
	                                                    .path = compile_path(d, path) });
}

void dialect_add_call(struct dialect *d, struct template_builder *b, enum template_place place,
                      const struct template_call *call, const char *path, const char *unset)
{
	struct template_call *kept = keep_alloc(&d->plan->keep, sizeof(*kept));

	*kept = *call;
	template_add_segment(b, &(struct template_segment){ .kind = TEMPLATE_CALL,
	                                                    .place = place,
	                                                    .text = unset,
	                                                    .len = strlen(unset),
	                                                    .path = compile_path(d, path),
	                                                    .call = kept });
}

static bool is_at(const char *at, const char *end, const char *token)
{
	size_t len = strlen(token);

	return (size_t)(end - at) >= len && memcmp(at, token, len) == 0;
}

void dialect_add(struct dialect *d, struct template_builder *b, enum template_place place, const char *text, size_t len)
{
	const char *at = text, *end = text + len, *plain = text;

	if (++d->depth > DIALECT_DEPTH_MAX) {
		testplan_warn(d->plan, d->line, "functions are nested too deeply; they are left as they stand");
		template_add_text(b, place, text, len);
		d->depth--;
		return;
	}
	while (at < end) {
		bool dollar = d->kind != DIALECT_ARTILLERY && is_at(at, end, "${");
		bool braces = d->kind != DIALECT_JMETER && is_at(at, end, "{{");
		const char *before = at, *after = at + 1;

		if (!dollar && !braces) {
			at++;
			continue;
		}
		/* What comes before goes first. If it stays text, it is the same text. */
		template_add_text(b, place, plain, (size_t)(before - plain));
		plain = before;
		if (dollar && d->kind == DIALECT_JMETER
		            ? dialect_jmeter(d, b, place, at + 2, end, &after)
		            : dialect_braces(d, b, place, at + 2, end, dollar ? "}" : "}}", &after))
			plain = after;
		at = after;
	}
	template_add_text(b, place, plain, (size_t)(end - plain));
	d->depth--;
}

const struct template *dialect_template(struct dialect *d, enum template_place place, const char *text)
{
	struct template_builder b;

	template_begin(&b, &d->plan->keep);
	dialect_add(d, &b, place, text, strlen(text));
	return template_end(&b);
}

/* ---- conditions ---- */

/* '...' or "...", or NULL. */
static const struct template *quoted_operand(struct dialect *d, const char **at, struct err *err)
{
	const char *close = strchr(*at + 1, **at);
	const struct template *t;

	if (!close) {
		(void)err_set(err, -EINVAL, "a quote is not closed");
		return NULL;
	}
	t = dialect_template(d, TEMPLATE_PLAIN, keep_text(&d->plan->keep, *at + 1, (size_t)(close - *at - 1)));
	*at = close + 1;
	return t;
}

/* "${x}" and "{{ x }}", with what is glued to it. */
static const struct template *placed_operand(struct dialect *d, const char **at)
{
	const char *begin = *at, *c = begin;
	unsigned depth = 0;

	for (; *c && (depth > 0 || !strchr(" \t\r\n=!<>&|)", *c)); c++)
		depth += *c == '{', depth -= *c == '}' && depth > 0;
	*at = c;
	return dialect_template(d, TEMPLATE_PLAIN, keep_text(&d->plan->keep, begin, (size_t)(c - begin)));
}

static const struct template *variable(struct dialect *d, const char *name, const char *path)
{
	struct template_builder b;

	template_begin(&b, &d->plan->keep);
	dialect_add_variable(d, &b, TEMPLATE_PLAIN, name, path, "");
	return template_end(&b);
}

/* vars.get("x"), of Groovy and JEXL. */
static const struct template *vars_get(struct dialect *d, const char **at)
{
	static const char get[] = "vars.get(";
	const char *name, *close;

	if (strncmp(*at, get, sizeof(get) - 1) != 0)
		return NULL;
	name = *at + sizeof(get) - 1;
	close = *name == '"' || *name == '\'' ? strchr(name + 1, *name) : NULL;
	if (!close || close[1] != ')')
		return NULL;
	*at = close + 2;
	return variable(d, keep_text(&d->plan->keep, name + 1, (size_t)(close - name - 1)), NULL);
}

static const struct template *operand(void *context, const char **at, struct err *err)
{
	struct dialect *d = context;
	const struct template *t = vars_get(d, at);
	size_t len, name;
	const char *word;

	if (t)
		return t;
	if (**at == '"' || **at == '\'')
		return quoted_operand(d, at, err);
	if (strncmp(*at, "${", 2) == 0 || strncmp(*at, "{{", 2) == 0)
		return placed_operand(d, at);
	len = strcspn(*at, " \t\r\n=!<>&|()");
	if (len == 0) {
		(void)err_set(err, -EINVAL, "a condition lacks something to compare, at '%.40s'", *at);
		return NULL;
	}
	word = keep_text(&d->plan->keep, *at, len);
	*at += len;
	if (strchr("-0123456789", *word) || strcmp(word, "true") == 0 || strcmp(word, "false") == 0 ||
	    strcmp(word, "null") == 0 || d->kind == DIALECT_JMETER)
		return template_of(&d->plan->keep, strcmp(word, "null") == 0 ? "" : word);
	name = strcspn(word, ".[");
	return variable(d, keep_text(&d->plan->keep, word, name),
	                word[name] ? keep_printf(&d->plan->keep, "$%s", word + name) : NULL);
}

/* "${__jexl3( ... )}" and its like around the whole: what is inside. */
static const char *unwrap(struct dialect *d, const char *text)
{
	static const char *const wraps[] = { "${__jexl3(", "${__jexl2(", "${__jexl(", "${__groovy(",
		                             "${__javaScript(" };
	size_t len;

	text += strspn(text, " \t\r\n");
	len = strlen(text);
	while (len && strchr(" \t\r\n", text[len - 1]))
		len--;
	for (size_t i = 0; i < ARRAY_LEN(wraps) && d->kind == DIALECT_JMETER; i++) {
		size_t wrap = strlen(wraps[i]);

		if (strncmp(text, wraps[i], wrap) != 0 || len < wrap + 2 || strncmp(text + len - 2, ")}", 2) != 0)
			continue;
		text += wrap;
		len -= wrap + 2;
		while (len && strchr(" ,", text[len - 1])) /* the variable that is not named */
			len--;
		break;
	}
	if (d->kind == DIALECT_ARTILLERY && len > 4 && strncmp(text, "{{", 2) == 0 &&
	    strncmp(text + len - 2, "}}", 2) == 0 && !strstr(text + 2, "{{")) {
		text += 2;
		len -= 4;
	}
	return keep_text(&d->plan->keep, text, len);
}

const struct condition *dialect_condition(struct dialect *d, const char *text)
{
	const struct condition *c = NULL;
	struct err err = { 0 };

	if (condition_compile(&d->plan->keep, unwrap(d, text), operand, d, &c, &err) < 0)
		testplan_warn(d->plan, d->line, "%s", err.text);
	return c;
}
