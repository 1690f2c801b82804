#include "load_own.h"

#include <stdlib.h>
#include <string.h>

#include "load_flow.h"
#include "units.h"

enum field_kind { FIELD_COUNT, FIELD_DURATION, FIELD_NUMBER, FIELD_BOOL, FIELD_OTHER };

/* A scenario's fields: which executors have them (bits), where they go. */
#define BIT(executor) (1u << TESTPLAN_##executor)
#define OPEN          (BIT(CONSTANT_ARRIVAL_RATE) | BIT(RAMPING_ARRIVAL_RATE))
#define STAGED        (BIT(RAMPING_VUS) | BIT(RAMPING_ARRIVAL_RATE))
#define ITERATED      (BIT(SHARED_ITERATIONS) | BIT(PER_VU_ITERATIONS))
#define ALL           (OPEN | STAGED | ITERATED | BIT(CONSTANT_VUS))
#define AT(field)     offsetof(struct testplan_scenario, field)
static const struct field {
	const char *key;
	enum field_kind kind;
	unsigned executors;
	size_t offset;
} fields[] = {
	{ "vus", FIELD_COUNT, ITERATED | BIT(CONSTANT_VUS), AT(users) },
	{ "iterations", FIELD_COUNT, ITERATED, AT(iterations) },
	{ "maxDuration", FIELD_DURATION, ITERATED, AT(duration_ns) },
	{ "duration", FIELD_DURATION, BIT(CONSTANT_VUS) | BIT(CONSTANT_ARRIVAL_RATE), AT(duration_ns) },
	{ "startVUs", FIELD_NUMBER, BIT(RAMPING_VUS), AT(start) },
	{ "startRate", FIELD_NUMBER, BIT(RAMPING_ARRIVAL_RATE), AT(start) },
	{ "rate", FIELD_NUMBER, BIT(CONSTANT_ARRIVAL_RATE), AT(rate) },
	{ "timeUnit", FIELD_DURATION, OPEN, AT(time_unit_ns) },
	{ "preAllocatedVUs", FIELD_COUNT, OPEN, AT(allocated_users) },
	{ "maxVUs", FIELD_COUNT, OPEN, AT(most_users) },
	{ "poisson", FIELD_BOOL, OPEN, AT(is_poisson) },
	{ "rampTime", FIELD_DURATION, ITERATED | BIT(CONSTANT_VUS), AT(ramp_ns) },
	{ "startTime", FIELD_DURATION, ALL, AT(start_ns) },
	{ "gracefulStop", FIELD_DURATION, ALL, AT(graceful_stop_ns) },
	{ "gracefulRampDown", FIELD_DURATION, BIT(RAMPING_VUS), AT(graceful_ramp_down_ns) },
	{ "keepVariables", FIELD_BOOL, ALL, AT(keeps_variables) },
	{ "keepCookies", FIELD_BOOL, ALL, AT(keeps_cookies) },
	{ "freshConnections", FIELD_BOOL, ALL, AT(fresh_connections) },
	{ "executor", FIELD_OTHER, ALL, 0 },
	{ "stages", FIELD_OTHER, STAGED, 0 },
	{ "flow", FIELD_OTHER, ALL, 0 },
	{ "flows", FIELD_OTHER, ALL, 0 },
	{ "onError", FIELD_OTHER, ALL, 0 },
	{ "phase", FIELD_OTHER, ALL, 0 },
	{ "tags", FIELD_OTHER, ALL, 0 },
};
#undef AT

static void set_field(struct load *l, struct testplan_scenario *s, const struct field *f, const struct doc *d)
{
	char *at = (char *)s + f->offset;
	double n;

	switch (f->kind) {
	case FIELD_COUNT:
		if (load_number(l, d, f->key, 0, 1e15, &n))
			*(uint64_t *)(void *)at = (uint64_t)n;
		break;
	case FIELD_NUMBER:
		(void)load_number(l, d, f->key, 0, 1e9, (double *)(void *)at);
		break;
	case FIELD_DURATION:
		(void)load_duration(l, d, f->key, (double)NS_PER_S, (uint64_t *)(void *)at);
		break;
	case FIELD_BOOL:
		(void)load_bool(l, d, f->key, (bool *)(void *)at);
		break;
	case FIELD_OTHER:
		break;
	}
}

static bool choice(struct load *l, const struct doc *d, const char *what, const char *const *words, size_t count,
                   size_t *ret)
{
	for (size_t i = 0; i < count; i++) {
		if (doc_is(d, DOC_STRING) && strcmp(d->text, words[i]) == 0) {
			*ret = i;
			return true;
		}
	}
	return load_refuse(l, d->line, "there is no %s '%s'", what, d->text);
}

static void executor(struct load *l, struct testplan_scenario *s, const struct doc *d)
{
	const char *names[TESTPLAN_EXECUTORS];
	size_t n = 0;

	for (size_t i = 0; i < TESTPLAN_EXECUTORS; i++)
		names[i] = testplan_executor_name((enum testplan_executor)i);
	if (d && choice(l, d, "executor", names, TESTPLAN_EXECUTORS, &n))
		s->executor = (enum testplan_executor)n;
	if (!d)
		s->executor = TESTPLAN_PER_VU_ITERATIONS;
}

static void stages(struct load *l, struct testplan_scenario *s, const struct doc *list)
{
	if (!doc_is(list, DOC_LIST) || list->count == 0) {
		(void)load_refuse(l, list->line, "'stages' is a list");
		return;
	}
	for (size_t i = 0; i < list->count && !l->refused; i++) {
		const struct doc *d = list->items[i].value, *duration = doc_find(d, "duration"),
		                 *target = doc_find(d, "target");
		struct testplan_stage stage = { .name = "", .line = d->line };

		if (!duration || !target) {
			(void)load_refuse(l, d->line, "a stage needs a duration and a target");
			return;
		}
		if (load_duration(l, duration, "'duration'", (double)NS_PER_S, &stage.duration_ns) &&
		    load_number(l, target, "'target'", 0, 1e9, &stage.target)) {
			stage.jump = stage.duration_ns == 0;
			testplan_add_stage(l->plan, s, &stage);
		}
	}
}

static void flows(struct load *l, struct testplan_scenario *s, const struct doc *d, uint32_t line)
{
	const struct doc *flow = doc_find(d, "flow"), *list = doc_find(d, "flows");

	if (flow) {
		load_flow(l, testplan_add_flow(l->plan, s, s->name, 1, line)->root, flow);
		return;
	}
	if (!doc_is(list, DOC_LIST)) {
		(void)load_refuse(l, line, "a scenario needs 'flow' or 'flows'");
		return;
	}
	for (size_t i = 0; i < list->count && !l->refused; i++) {
		const struct doc *one = list->items[i].value, *name = doc_find(one, "name"),
		                 *weight = doc_find(one, "weight");
		double w = 1;

		if (weight)
			(void)load_number(l, weight, "'weight'", 0, 1e9, &w);
		load_flow(l,
		          testplan_add_flow(l->plan, s, doc_is(name, DOC_STRING) ? name->text : s->name, w, one->line)
		                  ->root,
		          doc_find(one, "flow"));
	}
}

static void words(struct load *l, struct testplan_scenario *s, const struct doc *d)
{
	static const char *const errors[] = { "continue", "nextIteration", "stopUser", "stopRun" };
	static const char *const parts[] = { "setup", "main", "teardown" };
	const struct doc *on_error = doc_find(d, "onError"), *part = doc_find(d, "phase"), *tags = doc_find(d, "tags");
	struct testplan_tag *items;
	size_t n = 0;

	if (on_error && choice(l, on_error, "word for 'onError'", errors, ARRAY_LEN(errors), &n))
		s->on_error = (enum testplan_on_error)n;
	if (part && choice(l, part, "phase", parts, ARRAY_LEN(parts), &n))
		s->phase = (enum testplan_phase)n;
	items = doc_is(tags, DOC_MAP) ? keep_large(&l->plan->keep, (tags->count + 1) * sizeof(*items)) : NULL;
	for (size_t i = 0; items && i < tags->count; i++)
		items[i] = (struct testplan_tag){ tags->items[i].key, tags->items[i].value->text };
	s->tags = items;
	s->tag_count = items ? tags->count : 0;
}

/* What an executor cannot do without. */
static void needs(struct load *l, const struct testplan_scenario *s, const struct doc *d)
{
	bool staged = (BIT(RAMPING_VUS) | BIT(RAMPING_ARRIVAL_RATE)) >> s->executor & 1;

	if (staged && !s->stage_count)
		(void)load_refuse(l, d->line, "'%s' needs stages", s->name);
	else if ((s->executor == TESTPLAN_CONSTANT_VUS || s->executor == TESTPLAN_CONSTANT_ARRIVAL_RATE) &&
	         !s->duration_ns)
		(void)load_refuse(l, d->line, "'%s' needs a duration", s->name);
	else if (s->executor == TESTPLAN_CONSTANT_ARRIVAL_RATE && !(s->rate > 0))
		(void)load_refuse(l, d->line, "'%s' needs a rate", s->name);
	else if (!s->time_unit_ns || (!s->users && !staged))
		(void)load_refuse(l, d->line, "'%s' needs users, and a time unit that is not 0", s->name);
}

static void scenario(struct load *l, const char *name, const struct doc *d, uint32_t line)
{
	struct testplan_scenario *s = testplan_add_scenario(l->plan, name, line);

	if (!doc_is(d, DOC_MAP)) {
		(void)load_refuse(l, line, "a scenario is a map");
		return;
	}
	executor(l, s, doc_find(d, "executor"));
	if (s->executor == TESTPLAN_RAMPING_VUS)
		s->start = 1;
	if (s->executor == TESTPLAN_SHARED_ITERATIONS || s->executor == TESTPLAN_PER_VU_ITERATIONS)
		s->duration_ns = 600 * NS_PER_S;
	else
		s->iterations = TESTPLAN_FOREVER;
	for (size_t i = 0; i < d->count && !l->refused; i++) {
		const struct doc_item *item = &d->items[i];
		const struct field *f = NULL;

		for (size_t j = 0; j < ARRAY_LEN(fields); j++)
			if (strcmp(fields[j].key, item->key) == 0 && fields[j].executors >> s->executor & 1)
				f = &fields[j];
		if (f)
			set_field(l, s, f, item->value);
		else
			(void)load_refuse(l, item->line, "a %s scenario has no '%s'",
			                  testplan_executor_name(s->executor), item->key);
	}
	if (doc_find(d, "stages"))
		stages(l, s, doc_find(d, "stages"));
	if (!l->refused)
		needs(l, s, d);
	words(l, s, d);
	flows(l, s, d, line);
}

static void defaults(struct load *l, const struct doc *d)
{
	const struct doc *url = doc_find(d, "baseUrl"), *headers = doc_find(d, "headers"),
	                 *timeout = doc_find(d, "timeout"), *cookies = doc_find(d, "cookies"),
	                 *redirects = doc_find(d, "followRedirects"), *insecure = doc_find(d, "insecure");
	static const char *const known[] = {
		"baseUrl", "headers", "timeout", "cookies", "followRedirects", "insecure"
	};

	for (size_t i = 0; doc_is(d, DOC_MAP) && i < d->count; i++) {
		bool found = false;

		for (size_t j = 0; j < ARRAY_LEN(known); j++)
			found = found || strcmp(known[j], d->items[i].key) == 0;
		if (!found)
			(void)load_refuse(l, d->items[i].line, "'defaults' has no '%s'", d->items[i].key);
	}
	if (l->options->target)
		(void)load_base(l, 1, l->options->target);
	else if (url && load_text(l, url, "'baseUrl'"))
		(void)load_base(l, url->line, load_text(l, url, "'baseUrl'"));
	if (timeout)
		(void)load_duration(l, timeout, "'timeout'", (double)NS_PER_S, &l->plan->timeout_ns);
	if (cookies)
		(void)load_bool(l, cookies, "'cookies'", &l->plan->cookies);
	if (redirects)
		(void)load_bool(l, redirects, "'followRedirects'", &l->follow_redirects);
	if (insecure)
		(void)load_bool(l, insecure, "'insecure'", &l->plan->insecure);
	for (size_t i = 0; doc_is(headers, DOC_MAP) && i < headers->count; i++) {
		struct testplan_header *items = keep_grow(&l->plan->keep, l->headers, l->header_count, sizeof(*items));

		if (!items)
			return;
		if (!load_is_token(headers->items[i].key))
			(void)load_refuse(l, headers->items[i].line, "'%s' is no header's name", headers->items[i].key);
		l->headers = items;
		l->dialect.line = headers->items[i].line;
		items[l->header_count++] = (struct testplan_header){ headers->items[i].key,
			                                             dialect_template(&l->dialect, TEMPLATE_HEADER,
			                                                              headers->items[i].value->text) };
	}
}

static void threshold(struct load *l, const char *metric, const struct doc *d)
{
	const struct doc *expression = doc_is(d, DOC_MAP) ? doc_find(d, "threshold") : d,
	                 *abort_on = doc_find(d, "abortOnFail"), *delay = doc_find(d, "delayAbortEval");
	struct testplan_threshold t = { .metric = metric, .line = d->line };

	if (!doc_is(expression, DOC_STRING)) {
		(void)load_refuse(l, d->line, "a threshold is a text");
		return;
	}
	t.expression = expression->text;
	if (abort_on)
		(void)load_bool(l, abort_on, "'abortOnFail'", &t.abort_on_fail);
	if (delay)
		(void)load_duration(l, delay, "'delayAbortEval'", (double)NS_PER_S, &t.delay_ns);
	testplan_add_threshold(l->plan, &t);
}

static void thresholds(struct load *l, const struct doc *map)
{
	for (size_t i = 0; doc_is(map, DOC_MAP) && i < map->count; i++) {
		const struct doc *list = map->items[i].value;

		for (size_t j = 0; j < (doc_is(list, DOC_LIST) ? list->count : 1); j++)
			threshold(l, map->items[i].key, doc_is(list, DOC_LIST) ? list->items[j].value : list);
	}
}

void load_own(struct load *l, const struct doc *root)
{
	static const char *const known[] = { "$schema", "version",   "name",       "defaults", "variables",
		                             "feeders", "scenarios", "thresholds", "tags" };
	const struct doc *scenarios = doc_find(root, "scenarios"), *feeders = doc_find(root, "feeders"),
	                 *version = doc_find(root, "version"), *name = doc_find(root, "name");

	l->plan->source = "probe-load";
	for (size_t i = 0; i < root->count; i++) {
		bool found = false;

		for (size_t j = 0; j < ARRAY_LEN(known); j++)
			found = found || strcmp(known[j], root->items[i].key) == 0;
		if (!found)
			(void)load_refuse(l, root->items[i].line, "a plan has no '%s'", root->items[i].key);
	}
	if (version && (version->kind != DOC_NUMBER || version->number != 1))
		(void)load_refuse(l, version->line, "this program reads version 1 of plans");
	if (doc_is(name, DOC_STRING))
		l->plan->name = name->text;
	defaults(l, doc_find(root, "defaults"));
	load_variables(l, doc_find(root, "variables"));
	for (size_t i = 0; doc_is(feeders, DOC_MAP) && i < feeders->count && !l->refused; i++)
		(void)load_feeder(l, feeders->items[i].key, feeders->items[i].value);
	thresholds(l, doc_find(root, "thresholds"));
	if (!doc_is(scenarios, DOC_MAP) || scenarios->count == 0) {
		(void)load_refuse(l, scenarios ? scenarios->line : root->line, "a plan needs 'scenarios', a map");
		return;
	}
	for (size_t i = 0; i < scenarios->count && !l->refused; i++)
		scenario(l, scenarios->items[i].key, scenarios->items[i].value, scenarios->items[i].line);
}
