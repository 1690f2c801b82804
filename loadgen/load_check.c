#include "load_check.h"

#include <string.h>
#include <strings.h>

#include "capture_xpath.h"

/* One thing, or a list of them. */
static const struct doc *one_of(const struct doc *d, size_t i)
{
	if (doc_is(d, DOC_LIST))
		return i < d->count ? d->items[i].value : NULL;
	return i == 0 ? d : NULL;
}

static bool json_source(struct load *l, struct capture *c, const struct doc *d)
{
	struct err err = { 0 };

	c->source = CAPTURE_JSON;
	if (jsonpath_compile(&l->plan->keep, c->expression, &c->path, &err) < 0)
		return load_refuse(l, d->line, "%s", err.text);
	if (!jsonpath_is_definite(c->path) && l->dialect.kind == DIALECT_ARTILLERY)
		c->match = CAPTURE_RANDOM; /* several values: Artillery takes any */
	return true;
}

static bool pattern_source(struct load *l, struct capture *c, const struct doc *map, const struct doc *d)
{
	const struct doc *flags = doc_find(map, "flags"), *group = doc_find(map, "group");
	struct err err = { 0 };
	double n = 0;

	c->source = CAPTURE_PATTERN;
	if (pattern_compile(&l->plan->keep, c->expression, doc_is(flags, DOC_STRING) ? flags->text : "", &c->pattern,
	                    &err) < 0)
		return load_refuse(l, d->line, "%s", err.text);
	if (group && !load_number(l, group, "a group", 0, PATTERN_GROUPS_MAX - 1, &n))
		return false;
	c->group = (int)n;
	return true;
}

static bool between_source(struct load *l, struct capture *c, const struct doc *d)
{
	c->source = CAPTURE_BETWEEN;
	if (!doc_is(d, DOC_LIST) || d->count != 2 || !doc_is(d->items[0].value, DOC_STRING) ||
	    !doc_is(d->items[1].value, DOC_STRING) || !d->items[0].value->len || !d->items[1].value->len)
		return load_refuse(l, d->line, "'between' takes two texts that are not empty");
	c->expression = d->items[0].value->text;
	c->right = d->items[1].value->text;
	return true;
}

/* Where a value comes from: one of the map's keys says so. False: none does, or it is refused. */
static bool source(struct load *l, struct capture *c, const struct doc *map)
{
	static const struct {
		const char *key;
		enum capture_source source;
	} keys[] = { { "json", CAPTURE_JSON },     { "regexp", CAPTURE_PATTERN }, { "regex", CAPTURE_PATTERN },
		     { "header", CAPTURE_HEADER }, { "xpath", CAPTURE_XPATH },    { "between", CAPTURE_BETWEEN },
		     { "status", CAPTURE_STATUS }, { "body", CAPTURE_BODY } };
	struct err err = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const struct doc *d = doc_find(map, keys[i].key);

		if (!d)
			continue;
		c->source = keys[i].source;
		c->line = d->line;
		if (c->source == CAPTURE_STATUS || c->source == CAPTURE_BODY)
			return true;
		if (c->source == CAPTURE_BETWEEN)
			return between_source(l, c, d);
		if (!doc_is(d, DOC_STRING))
			return load_refuse(l, d->line, "'%s' takes a text, not %s", keys[i].key, doc_kind_text(d));
		c->expression = d->text;
		if (c->source == CAPTURE_JSON)
			return json_source(l, c, d);
		if (c->source == CAPTURE_PATTERN)
			return pattern_source(l, c, map, d);
		if (c->source == CAPTURE_XPATH && capture_xpath_check(d->text, &err) < 0)
			return load_refuse(l, d->line, "%s", err.text);
		c->is_html = c->source == CAPTURE_XPATH && doc_is(doc_find(map, "html"), DOC_BOOL) &&
		             doc_find(map, "html")->number != 0;
		return true;
	}
	return false;
}

static void which_match(struct load *l, struct capture *c, const struct doc *d)
{
	double n;

	if (doc_is(d, DOC_STRING) && strcmp(d->text, "random") == 0) {
		c->match = CAPTURE_RANDOM;
	} else if (doc_is(d, DOC_STRING) && strcmp(d->text, "all") == 0) {
		c->match = CAPTURE_ALL;
		load_all_slots(l, c, true);
	} else if (load_number(l, d, "'match'", 1, 1e6, &n)) {
		c->match = (int)n;
	}
}

static void one_capture(struct load *l, struct testplan_request *r, const struct doc *d)
{
	const struct doc *as = doc_find(d, "as"), *strict = doc_find(d, "strict"), *match = doc_find(d, "match"),
	                 *otherwise = doc_find(d, "default");
	struct capture *c;

	if (!doc_is(d, DOC_MAP)) {
		(void)load_refuse(l, d->line, "a capture is a map");
		return;
	}
	if (doc_find(d, "selector") || (!doc_find(d, "as") && doc_find(d, "transform"))) {
		testplan_warn(l->plan, d->line, "captures by CSS selector are not made");
		return;
	}
	if (!doc_is(as, DOC_STRING) || !*as->text) {
		(void)load_refuse(l, d->line, "a capture needs 'as', the variable's name");
		return;
	}
	c = load_add_capture(l, r);
	c->name = as->text;
	c->slot = testplan_slot(l->plan, as->text);
	c->strict = true;
	c->unset_when_missing = true;
	if (!source(l, c, d)) {
		r->capture_count--; /* it is not complete */
		if (!l->refused)
			(void)load_refuse(l, d->line,
			                  "a capture needs one of json, regexp, header, xpath, between, status, body");
		return;
	}
	if (strict)
		(void)load_bool(l, strict, "'strict'", &c->strict);
	if (otherwise) {
		c->missing = load_text(l, otherwise, "'default'");
		c->strict = false;
	}
	if (match)
		which_match(l, c, match);
}

void load_captures(struct load *l, struct testplan_request *r, const struct doc *d)
{
	for (size_t i = 0; one_of(d, i) && !l->refused; i++)
		one_capture(l, r, one_of(d, i));
}

/* ---- Artillery's expect ---- */

/* A scalar, or a list: any of them. */
static void expect_values(struct load *l, struct check *c, const struct doc *d)
{
	c->any = doc_is(d, DOC_LIST) && !c->negated;
	for (size_t i = 0; one_of(d, i) && !l->refused; i++) {
		const struct doc *value = one_of(d, i);

		if (value->kind == DOC_MAP || value->kind == DOC_LIST)
			(void)load_expect(l, c, load_item(l, value).text);
		else
			(void)load_expect(l, c, value->text);
	}
	if (doc_is(d, DOC_LIST) && d->count == 0)
		(void)load_refuse(l, d->line, "an empty list is no expectation");
}

static struct check *expect_property(struct load *l, struct testplan_request *r, const char *name, const struct doc *d)
{
	struct check *c = load_add_check(l, r, name, d->line);
	struct err err = { 0 };
	const char *text = doc_is(d, DOC_STRING) ? d->text : "$";

	c->subject = CHECK_VALUE;
	c->look = (struct capture){ .source = CAPTURE_JSON, .match = 1, .expression = text };
	if (jsonpath_compile(&l->plan->keep, *text == '$' ? text : keep_printf(&l->plan->keep, "$.%s", text),
	                     &c->look.path, &err) < 0)
		(void)load_refuse(l, d->line, "%s", err.text);
	return c;
}

static void expect_header(struct load *l, struct testplan_request *r, const char *name, const struct doc *d)
{
	struct check *c = load_add_check(l, r, name, d->line);
	const struct doc *header = one_of(d, 0), *value = one_of(d, 1);

	c->subject = CHECK_VALUE;
	c->test = value ? CHECK_EQUALS : CHECK_EXISTS;
	c->look = (struct capture){ .source = CAPTURE_HEADER, .match = 1, .expression = header ? header->text : "" };
	if (value)
		expect_values(l, c, value);
}

static void expect_equals(struct load *l, struct testplan_request *r, const char *name, const struct doc *d)
{
	struct check *c;

	if (!doc_is(d, DOC_LIST) || d->count < 2) {
		(void)load_refuse(l, d->line, "'equals' takes a list of two or more");
		return;
	}
	c = load_add_check(l, r, name, d->line);
	c->subject = CHECK_TEXT;
	c->test = CHECK_EQUALS;
	l->dialect.line = d->line;
	c->text = dialect_template(&l->dialect, TEMPLATE_PLAIN, d->items[0].value->text);
	for (size_t i = 1; i < d->count; i++)
		(void)load_expect(l, c, d->items[i].value->text);
}

static void one_expect(struct load *l, struct testplan_request *r, const char *key, const struct doc *d)
{
	const char *name = keep_printf(&l->plan->keep, "%s %s", key,
	                               doc_is(d, DOC_LIST) || doc_is(d, DOC_MAP) ? load_item(l, d).text : d->text);
	struct check *c;

	if (strcmp(key, "statusCode") == 0 || strcmp(key, "notStatusCode") == 0) {
		c = load_add_check(l, r, name, d->line);
		c->subject = CHECK_STATUS;
		c->test = CHECK_EQUALS;
		c->negated = *key == 'n';
		expect_values(l, c, d);
		r->wants_error = true;
	} else if (strcmp(key, "contentType") == 0) {
		c = load_add_check(l, r, name, d->line);
		c->subject = CHECK_VALUE;
		c->test = CHECK_CONTAINS;
		c->look = (struct capture){ .source = CAPTURE_HEADER, .match = 1, .expression = "Content-Type" };
		expect_values(l, c, d);
	} else if (strcmp(key, "hasHeader") == 0 || strcmp(key, "headerEquals") == 0) {
		expect_header(l, r, name, d);
	} else if (strcmp(key, "hasProperty") == 0 || strcmp(key, "notHasProperty") == 0) {
		c = expect_property(l, r, name, d);
		c->negated = *key == 'n';
	} else if (strcmp(key, "matchesRegexp") == 0) {
		c = load_add_check(l, r, name, d->line);
		c->subject = CHECK_BODY;
		c->test = CHECK_MATCHES;
		expect_values(l, c, d);
	} else if (strcmp(key, "equals") == 0) {
		expect_equals(l, r, name, d);
	} else {
		testplan_warn(l->plan, d->line, "the expectation '%s' is not known; it is not checked", key);
	}
}

void load_expects(struct load *l, struct testplan_request *r, const struct doc *d)
{
	for (size_t i = 0; one_of(d, i) && !l->refused; i++) {
		const struct doc *map = one_of(d, i);

		if (!doc_is(map, DOC_MAP)) {
			(void)load_refuse(l, map->line, "an expectation is a map");
			return;
		}
		for (size_t j = 0; j < map->count && !l->refused; j++)
			one_expect(l, r, map->items[j].key, map->items[j].value);
	}
}

void load_matches(struct load *l, struct testplan_request *r, const struct doc *d)
{
	for (size_t i = 0; one_of(d, i) && !l->refused; i++) {
		const struct doc *map = one_of(d, i), *value = doc_find(map, "value");
		struct check *c;

		if (!doc_is(map, DOC_MAP) || !value) {
			(void)load_refuse(l, one_of(d, i)->line, "'match' is a map with 'value'");
			return;
		}
		c = load_add_check(l, r, keep_printf(&l->plan->keep, "match %s", value->text), map->line);
		c->subject = CHECK_VALUE;
		c->test = CHECK_EQUALS;
		c->fails_request = true;
		c->ends_iteration = !doc_is(doc_find(map, "strict"), DOC_BOOL) || doc_find(map, "strict")->number != 0;
		c->look.match = 1;
		if (!source(l, &c->look, map) && !l->refused)
			(void)load_refuse(l, map->line, "'match' needs one of json, regexp, header, xpath");
		expect_values(l, c, value);
	}
}

/* ---- our own ---- */

static const struct {
	const char *key;
	enum check_test test;
} tests[] = { { "equals", CHECK_EQUALS },   { "contains", CHECK_CONTAINS }, { "matches", CHECK_MATCHES },
	      { "below", CHECK_BELOW },     { "atMost", CHECK_AT_MOST },    { "above", CHECK_ABOVE },
	      { "atLeast", CHECK_AT_LEAST } };

static bool is_check_key(const char *key)
{
	static const char *const keys[] = { "name",  "not",   "fails",   "ends",   "status", "duration",
		                            "size",  "body",  "header",  "json",   "xpath",  "regexp",
		                            "flags", "group", "between", "exists", "html" };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (strcmp(key, keys[i]) == 0)
			return true;
	for (size_t i = 0; i < ARRAY_LEN(tests); i++)
		if (strcmp(key, tests[i].key) == 0)
			return true;
	return false;
}

/* Which part of the answer; its own value is the expected one, where it has one. */
static const struct doc *check_subject(struct load *l, struct check *c, const struct doc *map)
{
	static const struct {
		const char *key;
		enum check_subject subject;
	} subjects[] = { { "status", CHECK_STATUS },
		         { "duration", CHECK_DURATION },
		         { "size", CHECK_SIZE },
		         { "body", CHECK_BODY } };

	for (size_t i = 0; i < ARRAY_LEN(subjects); i++) {
		const struct doc *d = doc_find(map, subjects[i].key);

		if (!d)
			continue;
		c->subject = subjects[i].subject;
		return d->kind == DOC_BOOL || d->kind == DOC_NULL ? NULL : d;
	}
	c->subject = CHECK_VALUE;
	c->look.match = 1;
	if (!source(l, &c->look, map) && !l->refused)
		(void)load_refuse(
		        l, map->line,
		        "a check needs one of status, duration, size, body, header, json, xpath, regexp, between");
	return NULL;
}

static void one_check(struct load *l, struct testplan_request *r, const struct doc *map)
{
	const struct doc *name = doc_find(map, "name"), *own, *not = doc_find(map, "not"),
	                 *fails = doc_find(map, "fails"), *ends = doc_find(map, "ends");
	struct check *c;

	if (!doc_is(map, DOC_MAP)) {
		(void)load_refuse(l, map->line, "a check is a map");
		return;
	}
	for (size_t i = 0; i < map->count; i++)
		if (!is_check_key(map->items[i].key))
			(void)load_refuse(l, map->items[i].line, "checks have no '%s'", map->items[i].key);
	c = load_add_check(l, r, doc_is(name, DOC_STRING) ? name->text : load_item(l, map).text, map->line);
	if (not )
		(void)load_bool(l, not, "'not'", &c->negated);
	if (fails)
		(void)load_bool(l, fails, "'fails'", &c->fails_request);
	if (ends)
		(void)load_bool(l, ends, "'ends'", &c->ends_iteration);
	own = check_subject(l, c, map);
	c->test = CHECK_EXISTS;
	for (size_t i = 0; i < ARRAY_LEN(tests); i++) {
		const struct doc *d = doc_find(map, tests[i].key);

		if (!d)
			continue;
		c->test = tests[i].test;
		expect_values(l, c, d);
		own = NULL;
		break;
	}
	if (own) {
		c->test = CHECK_EQUALS;
		expect_values(l, c, own);
	}
	r->wants_error = r->wants_error || c->subject == CHECK_STATUS;
}

void load_checks(struct load *l, struct testplan_request *r, const struct doc *d)
{
	for (size_t i = 0; one_of(d, i) && !l->refused; i++)
		one_check(l, r, one_of(d, i));
}
