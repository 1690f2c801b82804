/* "{{ ... }}" of Artillery, and "${...}" of our own: a variable or a function, and a path into what it gives.
 *   users[0]  $randomNumber(1, 5)  $randomItem(users)[0].name  $env.HOME */
#include <stdlib.h>
#include <string.h>

#include "dialect.h"

struct place {
	struct dialect *d;
	struct template_builder *b;
	enum template_place place;
};

static const struct {
	const char *name;
	enum template_function function;
	size_t least, most; /* arguments */
} functions[] = {
	{ "randomNumber", TEMPLATE_CALL_RANDOM_INT, 0, 2 },
	{ "randomInt", TEMPLATE_CALL_RANDOM_INT, 0, 2 },
	{ "randomString", TEMPLATE_CALL_RANDOM_STRING, 0, 2 },
	{ "uuid", TEMPLATE_CALL_UUID, 0, 0 },
	{ "timestamp", TEMPLATE_CALL_TIME, 0, 1 },
	{ "isoTimestamp", TEMPLATE_CALL_TIME, 0, 1 },
	{ "user", TEMPLATE_CALL_USER, 0, 0 },
	{ "iteration", TEMPLATE_CALL_ITERATION, 0, 0 },
	{ "counter", TEMPLATE_CALL_COUNTER, 0, 0 },
	{ "urlEncode", TEMPLATE_CALL_URL_ENCODE, 1, 1 },
	{ "urlDecode", TEMPLATE_CALL_URL_DECODE, 1, 1 },
	{ "base64", TEMPLATE_CALL_BASE64, 1, 1 },
	{ "base64Decode", TEMPLATE_CALL_BASE64_DECODE, 1, 1 },
	{ "upper", TEMPLATE_CALL_UPPER, 1, 1 },
	{ "lower", TEMPLATE_CALL_LOWER, 1, 1 },
	{ "length", TEMPLATE_CALL_LENGTH, 1, 1 },
	{ "sum", TEMPLATE_CALL_SUM, 1, TEMPLATE_ARGS_MAX },
	{ "template", TEMPLATE_CALL_EVAL, 1, 1 },
};

/* Functions that Artillery does not have, though plans are written as if it had. */
static const char *const not_artillerys[] = { "randomInt", "randomItem" };

static const struct template *argument(struct place *p, const char *text, size_t len)
{
	struct keep *k = &p->d->plan->keep;
	struct template_builder b;
	const char *after;

	while (len && strchr(" \t", *text))
		text++, len--;
	while (len && strchr(" \t", text[len - 1]))
		len--;
	if (len >= 2 && (*text == '\'' || *text == '"') && text[len - 1] == *text)
		return template_of(k, keep_text(k, text + 1, len - 2));
	if (len == 0 || strchr("-0123456789", *text))
		return template_of(k, keep_text(k, text, len));
	template_begin(&b, k);
	text = keep_printf(k, "%.*s}}", (int)len, text);
	p->d->depth++;
	if (p->d->depth > TEMPLATE_DEPTH_MAX ||
	    !dialect_braces(p->d, &b, TEMPLATE_PLAIN, text, text + len + 2, "}}", &after))
		template_add_text(&b, TEMPLATE_PLAIN, text, len);
	p->d->depth--;
	return template_end(&b);
}

/* Between the parentheses; false: too many. */
static bool arguments(const char *at, const char *end, const char **ret_texts, size_t *ret_lens, size_t *ret_count)
{
	size_t n = 0, depth = 0;
	const char *begin = at;
	char quote = 0;

	for (; at <= end; at++) {
		if (at < end && quote) {
			quote = *at == quote ? 0 : quote;
		} else if (at < end && (*at == '\'' || *at == '"')) {
			quote = *at;
		} else if (at < end && (*at == '(' || *at == ')')) {
			depth = *at == '(' ? depth + 1 : depth - (depth > 0);
		} else if (at == end || (*at == ',' && depth == 0)) {
			if (n == TEMPLATE_ARGS_MAX)
				return false;
			ret_texts[n] = begin;
			ret_lens[n++] = (size_t)(at - begin);
			begin = at + 1;
		}
	}
	*ret_count = n == 1 && ret_lens[0] == strspn(ret_texts[0], " ") ? 0 : n;
	return true;
}

static bool random_item(struct place *p, const char *text, size_t len, const char *path)
{
	struct keep *k = &p->d->plan->keep;
	const char *name;
	struct template_call call = { .function = TEMPLATE_CALL_RANDOM_ITEM, .result = TEMPLATE_NO_SLOT };

	while (len && *text == ' ')
		text++, len--;
	while (len && text[len - 1] == ' ')
		len--;
	name = keep_text(k, text, len);
	if (!dialect_find_list(p->d, name, &call.number) || p->d->plan->lists[call.number].count == 0) {
		testplan_warn(p->d->plan, p->d->line,
		              "$randomItem(%s): there is no list of that name; it is sent as it stands", name);
		return false;
	}
	dialect_add_call(p->d, p->b, p->place, &call, path, "");
	return true;
}

static void say_not_artillerys(struct place *p, const char *name)
{
	for (size_t i = 0; p->d->kind == DIALECT_ARTILLERY && i < ARRAY_LEN(not_artillerys); i++)
		if (strcmp(name, not_artillerys[i]) == 0)
			testplan_warn(p->d->plan, p->d->line,
			              "$%s is no function of Artillery's, which sends it as text or as 'undefined'; "
			              "it does here what its name says",
			              name);
}

/* `args` NULL: without parentheses. */
static bool call(struct place *p, const char *name, const char *args, const char *args_end, const char *path)
{
	struct template_call c = { .result = TEMPLATE_NO_SLOT };
	const char *texts[TEMPLATE_ARGS_MAX];
	size_t lens[TEMPLATE_ARGS_MAX], n = 0;

	if (args && !arguments(args, args_end, texts, lens, &n))
		return false;
	say_not_artillerys(p, name);
	if (strcmp(name, "randomItem") == 0 && n == 1)
		return random_item(p, texts[0], lens[0], path);
	for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
		if (strcmp(functions[i].name, name) != 0 || n < functions[i].least || n > functions[i].most)
			continue;
		c.function = functions[i].function;
		c.arg_count = n;
		for (size_t j = 0; j < n; j++)
			c.args[j] = argument(p, texts[j], lens[j]);
		if (c.function == TEMPLATE_CALL_COUNTER)
			c.number = (uint32_t)p->d->plan->counter_count++;
		if (strcmp(name, "isoTimestamp") == 0 && n == 0)
			c.args[c.arg_count++] = template_of(&p->d->plan->keep, "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'");
		dialect_add_call(p->d, p->b, p->place, &c, path, "");
		return true;
	}
	return false;
}

/* $names that are known before the run. */
static bool constant(struct place *p, const char *name, const char *path)
{
	struct testplan *plan = p->d->plan;
	const char *value = NULL, *slash = strrchr(plan->path, '/');

	if ((strcmp(name, "$env") == 0 || strcmp(name, "$processEnvironment") == 0) && path[0] == '$' &&
	    path[1] == '.') {
		value = dialect_environment(p->d, path + 2);
		if (!value)
			testplan_warn(plan, p->d->line, "%s.%s is not set", name, path + 2);
		value = value ? value : "";
	} else if (strcmp(name, "$scenarioFile") == 0) {
		value = plan->path;
	} else if (strcmp(name, "$dirname") == 0) {
		value = slash ? keep_text(&plan->keep, plan->path, (size_t)(slash - plan->path)) : ".";
	} else if (strcmp(name, "$environment") == 0) {
		value = "";
	} else if (strcmp(name, "$testId") == 0) {
		value = "probe-load";
	} else if (strcmp(name, "target") == 0 && p->d->target && !*path) {
		value = p->d->target;
	}
	if (value)
		template_add_text(p->b, p->place, value, strlen(value));
	return value != NULL;
}

/* `text`: all between the brackets, without blanks around it. */
static bool expression(struct place *p, const char *text)
{
	struct keep *k = &p->d->plan->keep;
	size_t name_len = strcspn(text, "(.[ ");
	const char *name = keep_text(k, text, name_len), *rest = text + name_len, *path, *args = NULL, *args_end = NULL;
	bool dollar = *name == '$', own = p->d->kind == DIALECT_OWN;

	if (name_len == 0)
		return false;
	if (*rest == '(') {
		unsigned depth = 1;

		args = rest + 1;
		for (args_end = args; *args_end; args_end++) {
			depth += *args_end == '(';
			if (*args_end == ')' && --depth == 0)
				break;
		}
		if (!*args_end)
			return false;
		rest = args_end + 1;
	}
	if (*rest && *rest != '.' && *rest != '[')
		return false;
	path = *rest ? keep_printf(k, "$%s", rest) : "";
	if (constant(p, name, path))
		return true;
	if ((args || (dollar && (own || strcmp(name, "$uuid") == 0))) && call(p, name + dollar, args, args_end, path))
		return true;
	if (args)
		return false;
	if (dollar && strcmp(name, "$loopCount") != 0 && strcmp(name, "$loopElement") != 0 && !own)
		return false;
	dialect_add_variable(p->d, p->b, p->place, name, path, "");
	return true;
}

bool dialect_braces(struct dialect *d, struct template_builder *b, enum template_place place, const char *at,
                    const char *end, const char *close, const char **ret_end)
{
	size_t close_len = strlen(close);
	const char *stop = memmem(at, (size_t)(end - at), close, close_len);
	struct place p = { d, b, place };
	const char *text;

	if (!stop)
		return false;
	*ret_end = stop + close_len;
	while (at < stop && strchr(" \t\r\n", *at))
		at++;
	while (stop > at && strchr(" \t\r\n", stop[-1]))
		stop--;
	text = keep_text(&d->plan->keep, at, (size_t)(stop - at));
	if (expression(&p, text))
		return true;
	testplan_warn(d->plan, d->line, "'%s' is not understood; it is sent as it stands", text);
	return false;
}
