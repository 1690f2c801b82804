/* Timers, assertions and extractors: what stands beside or above a sampler. */
#include <stdlib.h>
#include <string.h>

#include "capture_xpath.h"
#include "load_jmeter_tools.h"

enum { MS_NS = 1000000 };

/* ---- timers ---- */

static void pause_part(struct load *l, const struct xml *x, const char *name, double *ret_ns,
                       const struct template **ret_text)
{
	const char *text = jmeter_property(x, name), *constant;

	if (!text)
		return;
	constant = jmeter_constant(l, x, text);
	if (!constant)
		*ret_text = jmeter_template(l, x, TEMPLATE_PLAIN, text);
	else if (!doc_number(constant, ret_ns))
		testplan_warn(l->plan, x->line, "'%s' of %s is no number: '%s'", name, x->name, text);
	else
		*ret_ns *= MS_NS;
}

static void random_timer(struct load *l, struct testplan_step *parent, const struct xml *x)
{
	struct testplan_step *step = testplan_add(l->plan, parent, TESTPLAN_PAUSE, x->line);
	struct testplan_pause *p = &step->pause;

	p->unit_ns = MS_NS;
	pause_part(l, x, "ConstantTimer.delay", &p->a_ns, &p->a);
	if (strcmp(x->name, "ConstantTimer") == 0)
		return;
	pause_part(l, x, "RandomTimer.range", &p->b_ns, &p->b);
	p->law = strcmp(x->name, "UniformRandomTimer") == 0    ? TESTPLAN_UNIFORM
	         : strcmp(x->name, "GaussianRandomTimer") == 0 ? TESTPLAN_GAUSSIAN
	                                                       : TESTPLAN_POISSON;
	if (p->law != TESTPLAN_UNIFORM)
		return;
	if (p->a || p->b)
		testplan_warn(l->plan, x->line, "a uniform timer whose parts vary pauses from the first to the second");
	p->b_ns += p->a_ns; /* offset and range */
}

/* JMeter has the sum over all threads in all modes but 0; here each user keeps its share. */
static void throughput_timer(struct load *l, struct testplan_step *parent, const struct xml *x, uint64_t users)
{
	bool precise = strcmp(x->name, "PreciseThroughputTimer") == 0;
	const struct xml *value = jmeter_find(x, "throughput");
	const char *text = value && *value->text ? value->text : NULL;
	double n, mode = 0, period = 60;

	if (!text && value)
		for (const struct xml *c = value->first; c; c = c->next)
			if (strcmp(c->name, "value") == 0)
				text = c->text;
	text = text ? jmeter_constant(l, x, text) : NULL;
	if (!text || !doc_number(text, &n) || !(n > 0)) {
		testplan_warn(l->plan, x->line, "%s without a throughput that is known; it is passed over", x->name);
		return;
	}
	(void)jmeter_number(l, x, "calcMode", precise ? 1 : 0, &mode);
	if (precise && jmeter_number(l, x, "throughputPeriod", 3600, &period) && period > 0)
		n = n * 60 / period;
	if (precise)
		testplan_warn(l->plan, x->line, "PreciseThroughputTimer: each user keeps an even share of the rate");
	testplan_add(l->plan, parent, TESTPLAN_PACE, x->line)->percent = mode != 0 && users ? n / (double)users : n;
}

static const char *const timers[] = {
	"ConstantTimer",           "UniformRandomTimer",     "GaussianRandomTimer", "PoissonRandomTimer",
	"ConstantThroughputTimer", "PreciseThroughputTimer", "SyncTimer",           NULL
};

void jmeter_timers(struct load *l, struct testplan_step *parent, const struct jmeter_level *level, uint64_t users)
{
	for (; level; level = level->up) {
		for (size_t i = 0; i < level->count; i++) {
			const struct xml *x = level->parts[i];

			if (!jmeter_is(x, timers))
				continue;
			if (strcmp(x->name, "SyncTimer") == 0)
				testplan_warn(l->plan, x->line, "SyncTimer: users do not wait for each other");
			else if (strstr(x->name, "Throughput"))
				throughput_timer(l, parent, x, users);
			else
				random_timer(l, parent, x);
		}
	}
}

/* ---- assertions ---- */

static struct check *add_check(struct load *l, struct testplan_request *r, const struct xml *x)
{
	struct check *c = load_add_check(l, r, jmeter_name(x), x->line);

	c->fails_request = true;
	return c;
}

static void response_assertion(struct load *l, struct testplan_request *r, const struct xml *x)
{
	const char *field = jmeter_property(x, "Assertion.test_field");
	const struct xml *strings = jmeter_find(x, "Asserion.test_strings"); /* JMeter's own spelling */
	struct check *c = add_check(l, r, x);
	double type;

	if (!strings)
		strings = jmeter_find(x, "Assertion.test_strings");
	if (!jmeter_number(l, x, "Assertion.test_type", 2, &type))
		return;
	c->negated = (int)type & 4;
	c->any = (int)type & 32;
	c->test = (int)type & 1    ? CHECK_MATCHES_ALL
	          : (int)type & 8  ? CHECK_EQUALS
	          : (int)type & 16 ? CHECK_CONTAINS
	                           : CHECK_MATCHES;
	c->subject = CHECK_BODY;
	if (field && strcmp(field, "Assertion.response_code") == 0)
		c->subject = CHECK_STATUS;
	else if (field && strcmp(field, "Assertion.response_headers") == 0)
		c->subject = CHECK_HEAD;
	else if (field && strcmp(field, "Assertion.response_data") != 0 &&
	         strcmp(field, "Assertion.response_data_as_document") != 0)
		testplan_warn(l->plan, x->line, "ResponseAssertion of '%s': the body is looked at", field);
	r->wants_error = r->wants_error || jmeter_is_true(x, "Assertion.assume_success");
	for (const struct xml *s = strings ? strings->first : NULL; s && !l->refused; s = s->next)
		(void)load_expect(l, c, s->text);
	if (c->expected_count == 0) {
		testplan_warn(l->plan, x->line, "ResponseAssertion '%s' has nothing to look for; it is passed over",
		              jmeter_name(x));
		r->check_count--;
	}
}

static void number_assertion(struct load *l, struct testplan_request *r, const struct xml *x, const char *property)
{
	static const enum check_test tests[] = { CHECK_EQUALS, CHECK_EQUALS,   CHECK_EQUALS, CHECK_ABOVE,
		                                 CHECK_BELOW,  CHECK_AT_LEAST, CHECK_AT_MOST };
	const char *text = jmeter_property(x, property);
	struct check *c = add_check(l, r, x);
	double op = 6;

	c->subject = strcmp(x->name, "SizeAssertion") == 0 ? CHECK_SIZE : CHECK_DURATION;
	if (c->subject == CHECK_SIZE && !jmeter_number(l, x, "SizeAssertion.operator", 1, &op))
		return;
	c->test = op >= 1 && op <= 6 ? tests[(int)op] : CHECK_EQUALS;
	c->negated = op == 2;
	(void)load_expect(l, c, text ? text : "0");
}

static void json_assertion(struct load *l, struct testplan_request *r, const struct xml *x)
{
	const char *path = jmeter_property(x, "JSON_PATH"), *expected = jmeter_property(x, "EXPECTED_VALUE");
	struct check *c = add_check(l, r, x);
	struct err err = { 0 };

	c->subject = CHECK_VALUE;
	c->look = (struct capture){ .source = CAPTURE_JSON, .match = 1, .expression = path ? path : "$" };
	c->negated = jmeter_is_true(x, "INVERT");
	if (jsonpath_compile(&l->plan->keep, c->look.expression, &c->look.path, &err) < 0) {
		(void)load_refuse(l, x->line, "%s", err.text);
		return;
	}
	c->test = CHECK_EXISTS;
	if (jmeter_is_true(x, "JSONVALIDATION")) {
		c->test = jmeter_is_true(x, "ISREGEX") || !jmeter_find(x, "ISREGEX") ? CHECK_MATCHES_ALL : CHECK_EQUALS;
		(void)load_expect(l, c, jmeter_is_true(x, "EXPECT_NULL") ? "null" : expected ? expected : "");
	}
}

static const char *const assertions[] = { "ResponseAssertion", "DurationAssertion", "SizeAssertion",
	                                  "JSONPathAssertion", NULL };

void jmeter_assertions(struct load *l, struct testplan_request *r, const struct jmeter_level *level)
{
	for (; level; level = level->up) {
		for (size_t i = 0; i < level->count && !l->refused; i++) {
			const struct xml *x = level->parts[i];

			if (strcmp(x->name, "ResponseAssertion") == 0)
				response_assertion(l, r, x);
			else if (strcmp(x->name, "DurationAssertion") == 0)
				number_assertion(l, r, x, "DurationAssertion.duration");
			else if (strcmp(x->name, "SizeAssertion") == 0)
				number_assertion(l, r, x, "SizeAssertion.size");
			else if (strcmp(x->name, "JSONPathAssertion") == 0)
				json_assertion(l, r, x);
		}
	}
}

/* ---- extractors ---- */

static void which(struct load *l, struct capture *c, const char *text, bool joined)
{
	long n = text ? atol(text) : 1;

	c->match = n < 0 ? CAPTURE_ALL : n > 1000000 ? 1000000 : (int)n;
	if (c->match == CAPTURE_ALL)
		load_all_slots(l, c, joined);
}

static struct capture *add(struct load *l, struct testplan_request *r, const struct xml *x, const char *name)
{
	struct capture *c = load_add_capture(l, r);

	c->line = x->line;
	c->name = name;
	c->slot = testplan_slot(l->plan, name);
	return c;
}

/* The next part of "a;b;c", without blanks. */
static const char *part(struct keep *k, const char **at)
{
	size_t len = strcspn(*at, ";"), begin = strspn(*at, " \t\r\n"), end = len;
	const char *text = *at;

	*at += len + (text[len] == ';');
	if (begin > len)
		begin = len;
	while (end > begin && strchr(" \t\r\n", text[end - 1]))
		end--;
	return keep_text(k, text + begin, end - begin);
}

static void json_extractor(struct load *l, struct testplan_request *r, const struct xml *x)
{
	struct keep *k = &l->plan->keep;
	const char *names = jmeter_property(x, "JSONPostProcessor.referenceNames"),
	           *paths = jmeter_property(x, "JSONPostProcessor.jsonPathExprs"),
	           *matches = jmeter_property(x, "JSONPostProcessor.match_numbers"),
	           *missing = jmeter_property(x, "JSONPostProcessor.defaultValues");
	struct err err = { 0 };

	if (!names || !paths) {
		testplan_warn(l->plan, x->line, "JSON extractor '%s' without a name or path; it is passed over",
		              jmeter_name(x));
		return;
	}
	while (*names) {
		struct capture *c = add(l, r, x, part(k, &names));

		c->source = CAPTURE_JSON;
		c->expression = part(k, &paths);
		if (jsonpath_compile(k, c->expression, &c->path, &err) < 0) {
			(void)load_refuse(l, x->line, "%s", err.text);
			return;
		}
		which(l, c, matches && *matches ? part(k, &matches) : NULL,
		      jmeter_is_true(x, "JSONPostProcessor.compute_concat"));
		if (missing && *missing)
			c->missing = part(k, &missing);
	}
}

static void regex_extractor(struct load *l, struct testplan_request *r, const struct xml *x)
{
	static const struct {
		const char *word;
		enum capture_where where;
	} places[] = { { "true", CAPTURE_IN_HEAD },
		       { "request_headers", CAPTURE_IN_HEAD },
		       { "code", CAPTURE_IN_STATUS },
		       { "URL", CAPTURE_IN_TARGET } };
	const char *name = jmeter_property(x, "RegexExtractor.refname"),
	           *regex = jmeter_property(x, "RegexExtractor.regex"),
	           *form = jmeter_property(x, "RegexExtractor.template"),
	           *where = jmeter_property(x, "RegexExtractor.useHeaders");
	struct capture *c;
	struct err err = { 0 };

	if (!name || !regex)
		return;
	c = add(l, r, x, name);
	c->source = CAPTURE_PATTERN;
	c->expression = regex;
	c->text = form ? form : "$1$";
	for (size_t i = 0; where && i < ARRAY_LEN(places); i++)
		if (strcmp(where, places[i].word) == 0)
			c->where = places[i].where;
	if (pattern_compile(&l->plan->keep, regex, "", &c->pattern, &err) < 0)
		(void)load_refuse(l, x->line, "%s", err.text);
	which(l, c, jmeter_property(x, "RegexExtractor.match_number"), false);
	c->missing = jmeter_property(x, "RegexExtractor.default");
	if (jmeter_is_true(x, "RegexExtractor.default_empty_value"))
		c->missing = "";
}

static void boundary_extractor(struct load *l, struct testplan_request *r, const struct xml *x)
{
	const char *name = jmeter_property(x, "BoundaryExtractor.refname"),
	           *left = jmeter_property(x, "BoundaryExtractor.lboundary"),
	           *right = jmeter_property(x, "BoundaryExtractor.rboundary");
	struct capture *c;

	if (!name || !left || !right) {
		testplan_warn(l->plan, x->line, "BoundaryExtractor '%s' needs both boundaries; it is passed over",
		              jmeter_name(x));
		return;
	}
	c = add(l, r, x, name);
	c->source = CAPTURE_BETWEEN;
	c->expression = left;
	c->right = right;
	which(l, c, jmeter_property(x, "BoundaryExtractor.match_number"), false);
	c->missing = jmeter_property(x, "BoundaryExtractor.default");
}

static void xpath_extractor(struct load *l, struct testplan_request *r, const struct xml *x)
{
	bool second = strcmp(x->name, "XPath2Extractor") == 0;
	struct keep *k = &l->plan->keep;
	const char *name = jmeter_property(x, keep_printf(k, "%s.refname", x->name)),
	           *query = jmeter_property(x, keep_printf(k, "%s.xpathQuery", x->name));
	struct capture *c;
	struct err err = { 0 };

	if (!name || !query)
		return;
	if (capture_xpath_check(query, &err) < 0) {
		(void)load_refuse(l, x->line, "%s", err.text);
		return;
	}
	c = add(l, r, x, name);
	c->source = CAPTURE_XPATH;
	c->expression = query;
	c->is_html = !second && jmeter_is_true(x, "XPathExtractor.tolerant");
	which(l, c, jmeter_property(x, keep_printf(k, "%s.matchNumber", x->name)), false);
	c->missing = jmeter_property(x, keep_printf(k, "%s.default", x->name));
}

static const struct {
	const char *name;
	void (*load)(struct load *l, struct testplan_request *r, const struct xml *x);
} extractors[] = { { "JSONPostProcessor", json_extractor },
	           { "RegexExtractor", regex_extractor },
	           { "BoundaryExtractor", boundary_extractor },
	           { "XPathExtractor", xpath_extractor },
	           { "XPath2Extractor", xpath_extractor } };

void jmeter_extractors(struct load *l, struct testplan_request *r, const struct jmeter_level *level)
{
	for (; level; level = level->up)
		for (size_t i = 0; i < level->count && !l->refused; i++)
			for (size_t j = 0; j < ARRAY_LEN(extractors); j++)
				if (strcmp(level->parts[i]->name, extractors[j].name) == 0)
					extractors[j].load(l, r, level->parts[i]);
}

bool jmeter_is_part(const struct xml *x)
{
	static const char *const configs[] = { "ConfigTestElement", "HeaderManager", "CookieManager", "AuthManager",
		                               NULL };

	for (size_t j = 0; j < ARRAY_LEN(extractors); j++)
		if (strcmp(x->name, extractors[j].name) == 0)
			return true;
	return jmeter_is(x, timers) || jmeter_is(x, assertions) || jmeter_is(x, configs);
}
