#include "load_artillery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load_flow.h"
#include "units.h"

static void unknown(struct load *l, const struct doc *map, const char *what, const char *const *known)
{
	for (size_t i = 0; doc_is(map, DOC_MAP) && i < map->count; i++) {
		bool found = false;

		for (size_t j = 0; known[j]; j++)
			found = found || strcmp(map->items[i].key, known[j]) == 0;
		if (!found)
			testplan_warn(l->plan, map->items[i].line, "'%s' of %s is not known; it is passed over",
			              map->items[i].key, what);
	}
}

/* ---- phases ---- */

static void arrivals(struct load *l, struct testplan_scenario *s, const struct doc *phase, struct testplan_stage *stage)
{
	const struct doc *rate = doc_find(phase, "arrivalRate"), *to = doc_find(phase, "rampTo"),
	                 *count = doc_find(phase, "arrivalCount");
	double begin = 0, n;

	if (rate && !load_number(l, rate, "'arrivalRate'", 0, 1e6, &begin))
		return;
	if (count && load_number(l, count, "'arrivalCount'", 0, 1e9, &n))
		begin = stage->duration_ns ? n / ((double)stage->duration_ns / 1e9) : 0;
	if (!rate && !count && !to)
		(void)load_refuse(l, phase->line, "a phase needs arrivalRate, arrivalCount or pause");
	stage->jump = true;
	stage->target = begin;
	if (!to) {
		testplan_add_stage(l->plan, s, stage);
		return;
	}
	testplan_add_stage(
	        l->plan, s,
	        &(struct testplan_stage){ .target = begin, .jump = true, .name = stage->name, .line = stage->line });
	stage->jump = false;
	if (load_number(l, to, "'rampTo'", 0, 1e6, &stage->target))
		testplan_add_stage(l->plan, s, stage);
}

static void phase(struct load *l, struct testplan_scenario *s, const struct doc *d)
{
	static const char *const known[] = { "duration",  "pause", "arrivalRate", "rampTo", "arrivalCount",
		                             "maxVusers", "name",  "mode",        NULL };
	const struct doc *duration = doc_find(d, "duration"), *pause = doc_find(d, "pause"),
	                 *most = doc_find(d, "maxVusers"), *name = doc_find(d, "name"), *mode = doc_find(d, "mode");
	struct testplan_stage stage = { .line = d->line, .name = doc_is(name, DOC_STRING) ? name->text : "" };
	double n;

	unknown(l, d, "a phase", known);
	if (!duration)
		duration = pause;
	if (!duration) {
		(void)load_refuse(l, d->line, "a phase needs a duration");
		return;
	}
	if (!load_duration(l, duration, "a phase's duration", (double)NS_PER_S, &stage.duration_ns))
		return;
	if (most && load_number(l, most, "'maxVusers'", 1, TESTPLAN_USERS_MAX, &n) && (uint64_t)n > s->most_users)
		s->most_users = (uint64_t)n;
	s->is_poisson = s->is_poisson || (doc_is(mode, DOC_STRING) && strcmp(mode->text, "poisson") == 0);
	stage.jump = true;
	if (pause)
		testplan_add_stage(l->plan, s, &stage);
	else
		arrivals(l, s, d, &stage);
}

static void phases(struct load *l, struct testplan_scenario *s, const struct doc *list)
{
	s->executor = TESTPLAN_RAMPING_ARRIVAL_RATE;
	if (!list) {
		testplan_warn(l->plan, s->line, "there are no phases: one user arrives, once");
		s->executor = TESTPLAN_PER_VU_ITERATIONS;
		return;
	}
	if (!doc_is(list, DOC_LIST) || list->count == 0) {
		(void)load_refuse(l, list->line, "'phases' is a list");
		return;
	}
	for (size_t i = 0; i < list->count && !l->refused; i++)
		phase(l, s, list->items[i].value);
}

/* ---- config ---- */

static void default_headers(struct load *l, const struct doc *map)
{
	for (size_t i = 0; doc_is(map, DOC_MAP) && i < map->count; i++) {
		struct testplan_header *headers =
		        keep_grow(&l->plan->keep, l->headers, l->header_count, sizeof(*headers));

		if (!headers)
			return;
		if (!load_is_token(map->items[i].key)) {
			(void)load_refuse(l, map->items[i].line, "'%s' is no header's name", map->items[i].key);
			return;
		}
		l->headers = headers;
		l->dialect.line = map->items[i].line;
		headers[l->header_count++] =
		        (struct testplan_header){ map->items[i].key, dialect_template(&l->dialect, TEMPLATE_HEADER,
			                                                              map->items[i].value->text) };
	}
}

/* loadAll: the rows are one variable, a list of maps. */
static void load_all(struct load *l, const struct feeder *f, const char *name)
{
	struct testplan *p = l->plan;
	struct scope_list *lists = keep_grow(&p->keep, p->lists, p->list_count, sizeof(*lists));
	struct scope_item *items = keep_large(&p->keep, (f->rows + 1) * sizeof(*items));

	if (!lists || !items)
		return;
	for (size_t i = 0; i < f->rows; i++) {
		struct template_builder b;
		const char *text;

		template_begin(&b, &p->keep);
		for (size_t j = 0; j < f->column_count; j++) {
			const struct scope_item *cell = &f->cells[i * f->column_count + j];

			template_add_text(&b, TEMPLATE_PLAIN, j ? ",\"" : "{\"", 2);
			template_add_text(&b, TEMPLATE_JSON, f->columns[j], strlen(f->columns[j]));
			template_add_text(&b, TEMPLATE_PLAIN, "\":", 2);
			if (cell->kind == SCOPE_TEXT)
				template_add_text(&b, TEMPLATE_PLAIN, "\"", 1);
			template_add_text(&b, cell->kind == SCOPE_TEXT ? TEMPLATE_JSON : TEMPLATE_PLAIN, cell->text,
			                  cell->len);
			if (cell->kind == SCOPE_TEXT)
				template_add_text(&b, TEMPLATE_PLAIN, "\"", 1);
		}
		template_add_text(&b, TEMPLATE_PLAIN, "}", 1);
		text = template_constant(template_end(&b));
		items[i] = (struct scope_item){ text ? text : "", text ? strlen(text) : 0, SCOPE_JSON };
	}
	p->lists = lists;
	lists[p->list_count++] = (struct scope_list){ name, items, f->rows, false, testplan_slot(p, name), f->line };
}

static void payload(struct load *l, const struct doc *d)
{
	for (size_t i = 0; d && i < (doc_is(d, DOC_LIST) ? d->count : 1) && !l->refused; i++) {
		const struct doc *one = doc_is(d, DOC_LIST) ? d->items[i].value : d;
		const struct doc *name = doc_find(one, "name"), *all = doc_find(one, "loadAll"),
		                 *path = doc_find(one, "path");
		struct feeder *f;

		if (doc_is(path, DOC_LIST)) {
			(void)load_refuse(l, path->line, "a payload is one file; several are a list of payloads");
			return;
		}
		f = load_feeder(
		        l, doc_is(name, DOC_STRING) ? name->text : keep_printf(&l->plan->keep, "payload %zu", i + 1),
		        one);
		if (f && doc_is(all, DOC_BOOL) && all->number != 0) {
			load_all(l, f, f->name);
			l->plan->feeder_count--; /* nothing draws from it */
		}
	}
}

/* ---- ensure ---- */

static const struct {
	const char *artillery, *metric;
	bool is_trend;
} metrics[] = {
	{ "http.response_time", "http_req_waiting", true }, { "http.requests", "http_reqs", false },
	{ "http.request_rate", "http_reqs", false },        { "vusers.session_length", "iteration_duration", true },
	{ "vusers.completed", "iterations", false },        { "vusers.created", "iterations", false }
};

static void ensure_one(struct load *l, const char *key, const struct doc *value, uint32_t line)
{
	struct keep *k = &l->plan->keep;
	double n;

	if (!load_number(l, value, key, 0, 1e18, &n))
		return;
	for (size_t i = 0; i < ARRAY_LEN(metrics); i++) {
		size_t len = strlen(metrics[i].artillery);
		const char *rest = key + len;
		const char *metric = metrics[i].metric, *what;

		if (strncmp(key, metrics[i].artillery, len) != 0 || (*rest && *rest != '.'))
			continue;
		what = !metrics[i].is_trend ? (strstr(key, "rate") ? "rate" : "count")
		       : *rest == '.' && rest[1] == 'p'
		               ? keep_printf(k, "p(%s)", strcmp(rest + 2, "999") == 0 ? "99.9" : rest + 2)
		       : *rest == '.' && strcmp(rest + 1, "median") == 0 ? "med"
		       : *rest == '.' && strcmp(rest + 1, "mean") == 0   ? "avg"
		       : *rest == '.'                                    ? rest + 1
		                                                         : "max";
		testplan_add_threshold(l->plan,
		                       &(struct testplan_threshold){ .metric = metric,
		                                                     .expression = keep_printf(k, "%s<%.15g", what, n),
		                                                     .line = line });
		return;
	}
	testplan_warn(l->plan, line, "ensure: the metric '%s' is not known; it is not checked", key);
}

static void ensure_legacy(struct load *l, const struct doc *map)
{
	for (size_t i = 0; i < map->count && !l->refused; i++) {
		const char *key = map->items[i].key;
		uint32_t line = map->items[i].line;
		double n;

		if (strcmp(key, "thresholds") == 0 || strcmp(key, "conditions") == 0)
			continue;
		if (strcmp(key, "maxErrorRate") == 0) {
			if (load_number(l, map->items[i].value, key, 0, 100, &n))
				testplan_add_threshold(l->plan, &(struct testplan_threshold){
				                                        .metric = "http_req_failed",
				                                        .expression = keep_printf(
				                                                &l->plan->keep, "rate<=%.15g", n / 100),
				                                        .line = line });
		} else {
			ensure_one(l, keep_printf(&l->plan->keep, "http.response_time.%s", key), map->items[i].value,
			           line);
		}
	}
}

static void ensure(struct load *l, const struct doc *d)
{
	const struct doc *list = doc_find(d, "thresholds"), *conditions = doc_find(d, "conditions");

	if (!doc_is(d, DOC_MAP))
		return;
	for (size_t i = 0; doc_is(list, DOC_LIST) && i < list->count; i++) {
		const struct doc *map = list->items[i].value;

		for (size_t j = 0; doc_is(map, DOC_MAP) && j < map->count; j++)
			ensure_one(l, map->items[j].key, map->items[j].value, map->items[j].line);
	}
	for (size_t i = 0; doc_is(conditions, DOC_LIST) && i < conditions->count; i++)
		testplan_warn(l->plan, conditions->items[i].value->line,
		              "ensure: conditions are not evaluated; thresholds are");
	ensure_legacy(l, d);
}

static void plugins(struct load *l, const struct doc *d)
{
	static const char *const known[] = { "ensure", "expect", "metrics-by-endpoint", "http-metrics-by-endpoint",
		                             "apdex",  NULL };

	unknown(l, d, "'plugins'", known);
	ensure(l, doc_find(d, "ensure"));
}

static void http(struct load *l, const struct doc *d)
{
	static const char *const known[] = { "timeout",          "pool", "maxSockets", "extendedMetrics", "defaults",
		                             "cookieJarOptions", NULL };
	const struct doc *timeout = doc_find(d, "timeout");

	unknown(l, d, "'http'", known);
	l->plan->timeout_ns = 10 * NS_PER_S;
	if (timeout)
		(void)load_duration(l, timeout, "'timeout'", (double)NS_PER_S, &l->plan->timeout_ns);
	default_headers(l, doc_find(doc_find(d, "defaults"), "headers"));
}

static void config(struct load *l, const struct doc *d)
{
	static const char *const known[] = { "target",        "phases",  "environments", "payload", "variables",
		                             "processor",     "plugins", "defaults",     "http",    "tls",
		                             "statsInterval", "ensure",  "engines",      NULL };
	const struct doc *target = doc_find(d, "target"), *processor = doc_find(d, "processor"),
	                 *tls = doc_find(d, "tls");
	const struct doc *verify = doc_find(tls, "rejectUnauthorized");

	unknown(l, d, "'config'", known);
	load_variables(l, doc_find(d, "variables"));
	if (l->options->target)
		(void)load_base(l, 1, l->options->target);
	else if (target && load_text(l, target, "'target'"))
		(void)load_base(l, target->line, load_text(l, target, "'target'"));
	l->dialect.target = l->base ? keep_printf(&l->plan->keep, "%s%s", l->base, l->base_path) : NULL;
	if (processor)
		testplan_warn(l->plan, processor->line, "the processor's functions are not run (JavaScript)");
	if (doc_find(d, "environments"))
		testplan_warn(l->plan, doc_find(d, "environments")->line,
		              "environments are passed over: give the target by --target");
	l->plan->insecure = doc_is(verify, DOC_BOOL) && verify->number == 0;
	http(l, doc_find(d, "http"));
	default_headers(l, doc_find(doc_find(d, "defaults"), "headers"));
	payload(l, doc_find(d, "payload"));
	plugins(l, doc_find(d, "plugins"));
	ensure(l, doc_find(d, "ensure"));
}

/* ---- scenarios ---- */

static void one_scenario(struct load *l, struct testplan_scenario *s, const struct doc *d, size_t number)
{
	static const char *const known[] = { "name",          "weight",         "flow",
		                             "engine",        "beforeScenario", "afterScenario",
		                             "beforeRequest", "afterResponse",  NULL };
	static const char *const hooks[] = { "beforeScenario", "afterScenario", "beforeRequest", "afterResponse" };
	const struct doc *name = doc_find(d, "name"), *weight = doc_find(d, "weight"), *engine = doc_find(d, "engine");
	struct testplan_flow *flow;
	double w = 1;

	if (!doc_is(d, DOC_MAP) || !doc_find(d, "flow")) {
		(void)load_refuse(l, d->line, "a scenario needs a flow");
		return;
	}
	unknown(l, d, "a scenario", known);
	for (size_t i = 0; i < ARRAY_LEN(hooks); i++)
		if (doc_find(d, hooks[i]))
			testplan_warn(l->plan, doc_find(d, hooks[i])->line, "%s: functions of a processor are not run",
			              hooks[i]);
	if (doc_is(engine, DOC_STRING) && strcmp(engine->text, "http") != 0)
		testplan_warn(l->plan, engine->line, "the engine '%s' is not built; the flow is taken as HTTP",
		              engine->text);
	if (weight)
		(void)load_number(l, weight, "'weight'", 0, 1e9, &w);
	flow = testplan_add_flow(
	        l->plan, s, doc_is(name, DOC_STRING) ? name->text : keep_printf(&l->plan->keep, "scenario %zu", number),
	        w, d->line);
	for (size_t i = 0; i < l->plan->feeder_count; i++)
		testplan_add(l->plan, flow->root, TESTPLAN_FEED, d->line)->number = (uint32_t)i;
	load_flow(l, flow->root, doc_find(d, "flow"));
}

static void once(struct load *l, const struct doc *d, const char *name, enum testplan_phase phase_of_run)
{
	struct testplan_scenario *s;

	if (!d || l->refused)
		return;
	s = testplan_add_scenario(l->plan, name, d->line);
	s->executor = TESTPLAN_PER_VU_ITERATIONS;
	s->phase = phase_of_run;
	load_flow(l, testplan_add_flow(l->plan, s, name, 1, d->line)->root, doc_find(d, "flow"));
}

void load_artillery(struct load *l, const struct doc *root)
{
	static const char *const known[] = { "config", "scenarios", "before", "after", NULL };
	const struct doc *configuration = doc_find(root, "config"), *scenarios = doc_find(root, "scenarios");
	struct testplan_scenario *s;

	l->plan->source = "Artillery";
	l->follow_redirects = true;
	l->plan->cookies = true;
	unknown(l, root, "the script", known);
	config(l, configuration);
	if (l->refused)
		return;
	if (!doc_is(scenarios, DOC_LIST) || scenarios->count == 0) {
		(void)load_refuse(l, scenarios ? scenarios->line : root->line, "there are no scenarios");
		return;
	}
	s = testplan_add_scenario(l->plan, "default", scenarios->line);
	s->graceful_stop_ns = TESTPLAN_FOREVER; /* who has arrived is waited for */
	s->fresh_connections = doc_find(doc_find(configuration, "http"), "pool") == NULL;
	phases(l, s, doc_find(configuration, "phases"));
	for (size_t i = 0; i < scenarios->count && !l->refused; i++)
		one_scenario(l, s, scenarios->items[i].value, i + 1);
	/* These move the array that `s` points into. */
	once(l, doc_find(root, "before"), "before", TESTPLAN_SETUP);
	once(l, doc_find(root, "after"), "after", TESTPLAN_TEARDOWN);
}
