/* "${name}" and "${__function(arguments)}" as JMeter has them. */
#include <strings.h>
#include <stdlib.h>
#include <string.h>

#include "dialect.h"

enum special {
	AS_CALL,
	AS_PROPERTY,    /* __P, __property: known now */
	AS_ENVIRONMENT, /* __env */
	AS_VARIABLE,    /* __V */
	AS_NOTHING,     /* what sets or logs something */
	AS_TEXT,        /* a constant */
	AS_SCRIPT,      /* __groovy, __jexl3: vars.get("x") alone is understood */
};

static const struct function {
	const char *name;
	enum special special;
	enum template_function function;
	size_t args;   /* how many the function takes */
	size_t result; /* which further argument names a variable for the result; 0: none */
	const char *text;
} functions[] = {
	{ "__Random", AS_CALL, TEMPLATE_CALL_RANDOM_INT, 2, 3, NULL },
	{ "__RandomString", AS_CALL, TEMPLATE_CALL_RANDOM_STRING, 2, 3, NULL },
	{ "__UUID", AS_CALL, TEMPLATE_CALL_UUID, 0, 0, NULL },
	{ "__time", AS_CALL, TEMPLATE_CALL_TIME, 1, 2, NULL },
	{ "__timeShift", AS_CALL, TEMPLATE_CALL_TIME_SHIFT, 3, 5, NULL },
	{ "__threadNum", AS_CALL, TEMPLATE_CALL_USER, 0, 0, NULL },
	{ "__counter", AS_CALL, TEMPLATE_CALL_COUNTER, 1, 2, NULL },
	{ "__intSum", AS_CALL, TEMPLATE_CALL_SUM, TEMPLATE_ARGS_MAX, 0, NULL },
	{ "__longSum", AS_CALL, TEMPLATE_CALL_SUM, TEMPLATE_ARGS_MAX, 0, NULL },
	{ "__urlencode", AS_CALL, TEMPLATE_CALL_URL_ENCODE, 1, 0, NULL },
	{ "__urldecode", AS_CALL, TEMPLATE_CALL_URL_DECODE, 1, 0, NULL },
	{ "__base64Encode", AS_CALL, TEMPLATE_CALL_BASE64, 1, 2, NULL },
	{ "__base64Decode", AS_CALL, TEMPLATE_CALL_BASE64_DECODE, 1, 2, NULL },
	{ "__changeCase", AS_CALL, TEMPLATE_CALL_UPPER, 1, 3, NULL },
	{ "__lowercase", AS_CALL, TEMPLATE_CALL_LOWER, 1, 2, NULL },
	{ "__uppercase", AS_CALL, TEMPLATE_CALL_UPPER, 1, 2, NULL },
	{ "__eval", AS_CALL, TEMPLATE_CALL_EVAL, 1, 0, NULL },
	{ "__unescape", AS_CALL, TEMPLATE_CALL_EVAL, 1, 0, NULL },
	{ "__P", AS_PROPERTY, 0, 0, 0, "1" },
	{ "__property", AS_PROPERTY, 0, 0, 0, NULL },
	{ "__env", AS_ENVIRONMENT, 0, 0, 0, NULL },
	{ "__V", AS_VARIABLE, 0, 0, 0, NULL },
	{ "__evalVar", AS_VARIABLE, 0, 0, 0, NULL },
	{ "__setProperty", AS_NOTHING, 0, 0, 0, NULL },
	{ "__log", AS_NOTHING, 0, 0, 0, NULL },
	{ "__logn", AS_NOTHING, 0, 0, 0, NULL },
	{ "__threadGroupName", AS_TEXT, 0, 0, 0, "Thread Group" },
	{ "__samplerName", AS_TEXT, 0, 0, 0, "" },
	{ "__TestPlanName", AS_TEXT, 0, 0, 0, "" },
	{ "__machineName", AS_TEXT, 0, 0, 0, "localhost" },
	{ "__machineIP", AS_TEXT, 0, 0, 0, "127.0.0.1" },
	{ "__groovy", AS_SCRIPT, 0, 0, 0, NULL },
	{ "__jexl3", AS_SCRIPT, 0, 0, 0, NULL },
	{ "__jexl2", AS_SCRIPT, 0, 0, 0, NULL },
	{ "__javaScript", AS_SCRIPT, 0, 0, 0, NULL },
};

struct arguments {
	const char *texts[TEMPLATE_ARGS_MAX]; /* commas and backslashes taken out */
	size_t count;
};

/* Behind the brace that closes; `at` is behind "${". NULL: none does. */
static const char *closing(const char *at, const char *end)
{
	unsigned depth = 1;

	for (; at < end; at++) {
		if (*at == '\\' && at + 1 < end)
			at++;
		else if (*at == '{')
			depth++;
		else if (*at == '}' && --depth == 0)
			return at + 1;
	}
	return NULL;
}

static bool split(struct keep *k, const char *at, const char *end, struct arguments *ret)
{
	unsigned depth = 0;
	char *text = keep_large(k, (size_t)(end - at) + 1);
	size_t n = 0;

	*ret = (struct arguments){ 0 };
	if (!text)
		return false;
	for (; at <= end; at++) {
		bool over = at == end || (*at == ',' && depth == 0);

		if (over) {
			if (ret->count == TEMPLATE_ARGS_MAX)
				return false;
			ret->texts[ret->count++] = keep_text(k, text, n);
			n = 0;
			continue;
		}
		if (*at == '\\' && at + 1 < end && (at[1] == ',' || at[1] == '\\') && depth == 0)
			at++;
		else if (*at == '(' || *at == '{')
			depth++;
		else if ((*at == ')' || *at == '}') && depth > 0)
			depth--;
		text[n++] = *at;
	}
	return true;
}

/* An argument as text, if it does not vary; else NULL. */
static const char *constant(struct dialect *d, const struct arguments *a, size_t i)
{
	return i < a->count ? template_constant(dialect_template(d, TEMPLATE_PLAIN, a->texts[i])) : "";
}

static bool property(struct dialect *d, struct template_builder *b, enum template_place place, const struct function *f,
                     const struct arguments *a)
{
	const char *name = constant(d, a, 0), *value = NULL;
	size_t otherwise = strcmp(f->name, "__P") == 0 ? 1 : 2;

	if (!name)
		return false;
	value = f->special == AS_PROPERTY ? dialect_property(d, name) : dialect_environment(d, name);
	if (value)
		template_add_text(b, place, value, strlen(value));
	else if (a->count > otherwise)
		dialect_add(d, b, place, a->texts[otherwise], strlen(a->texts[otherwise]));
	else
		template_add_text(b, place, f->text ? f->text : name, strlen(f->text ? f->text : name));
	return true;
}

static bool call(struct dialect *d, struct template_builder *b, enum template_place place, const struct function *f,
                 const struct arguments *a)
{
	struct template_call c = { .function = f->function, .result = TEMPLATE_NO_SLOT };
	size_t count = a->count;

	if (f->function == TEMPLATE_CALL_SUM && count > 1 && !strchr("-$0123456789", a->texts[count - 1][0]))
		c.result = testplan_slot(d->plan, a->texts[--count]);
	for (size_t i = 0; i < count && i < f->args; i++)
		c.args[c.arg_count++] = dialect_template(d, TEMPLATE_PLAIN, a->texts[i]);
	if (f->result && a->count >= f->result && *a->texts[f->result - 1])
		c.result = testplan_slot(d->plan, a->texts[f->result - 1]);
	if (f->function == TEMPLATE_CALL_TIME_SHIFT) { /* format, date, shift */
		c.args[1] = c.arg_count > 2 ? c.args[2] : template_of(&d->plan->keep, "");
		c.arg_count = c.arg_count ? 2 : 0;
	}
	if (strcmp(f->name, "__changeCase") == 0 && a->count > 1 && strcasecmp(a->texts[1], "LOWER") == 0)
		c.function = TEMPLATE_CALL_LOWER;
	if (f->function == TEMPLATE_CALL_COUNTER)
		c.number = a->count && strcasecmp(a->texts[0], "TRUE") == 0
		                   ? (uint32_t)d->plan->counter_count++
		                   : SCOPE_SHARED | (uint32_t)d->plan->shared_counter_count++;
	dialect_add_call(d, b, place, &c, NULL, "");
	return true;
}

/* vars.get("x") and nothing else. */
static bool script(struct dialect *d, struct template_builder *b, enum template_place place, const char *text)
{
	size_t len = strlen(text);

	if (len < 13 || strncmp(text, "vars.get(", 9) != 0 || !strchr("\"'", text[9]) || text[len - 1] != ')' ||
	    text[len - 2] != text[9] || memchr(text + 10, text[9], len - 12))
		return false;
	dialect_add_variable(d, b, place, keep_text(&d->plan->keep, text + 10, len - 12), NULL, "null");
	return true;
}

static bool function(struct dialect *d, struct template_builder *b, enum template_place place, const struct function *f,
                     const struct arguments *a)
{
	const char *name;

	switch (f->special) {
	case AS_CALL:
		return call(d, b, place, f, a);
	case AS_PROPERTY:
	case AS_ENVIRONMENT:
		return property(d, b, place, f, a);
	case AS_VARIABLE:
		name = constant(d, a, 0);
		if (!name)
			return false;
		dialect_add_variable(d, b, place, name, NULL, a->count > 1 ? a->texts[1] : name);
		return true;
	case AS_TEXT:
		template_add_text(b, place, f->text, strlen(f->text));
		return true;
	case AS_NOTHING:
		testplan_warn(d->plan, d->line, "%s is passed over", f->name);
		return true;
	case AS_SCRIPT:
		return a->count > 0 && script(d, b, place, a->texts[0]);
	}
	return false;
}

bool dialect_jmeter(struct dialect *d, struct template_builder *b, enum template_place place, const char *at,
                    const char *end, const char **ret_end)
{
	struct keep *k = &d->plan->keep;
	const char *stop = closing(at, end), *text;
	struct arguments a = { 0 };
	size_t name_len;

	if (!stop)
		return false;
	*ret_end = stop;
	text = keep_text(k, at, (size_t)(stop - at) - 1);
	if (strncmp(text, "__", 2) != 0) {
		dialect_add_variable(d, b, place, text, NULL, keep_printf(k, "${%s}", text));
		return true;
	}
	name_len = strcspn(text, "(");
	if (text[name_len] == '(') {
		const char *close = strrchr(text, ')');

		if (!close || !split(k, text + name_len + 1, close, &a))
			return false;
		if (a.count == 1 && !*a.texts[0])
			a.count = 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(functions); i++)
		if (strlen(functions[i].name) == name_len && strncmp(functions[i].name, text, name_len) == 0 &&
		    function(d, b, place, &functions[i], &a))
			return true;
	testplan_warn(d->plan, d->line, "the function ${%s} is not understood; it is sent as it stands", text);
	return false;
}
