#include "load_jmeter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "load_jmeter_tools.h"

enum { S_NS = 1000000000, DEPTH_MAX = TESTPLAN_DEPTH_MAX / 2 };

/* ---- properties ---- */

const struct xml *jmeter_find(const struct xml *element, const char *name)
{
	for (const struct xml *c = element->first; c; c = c->next) {
		const char *attribute = xml_tree_attribute(c, "name");

		if (attribute && strcmp(attribute, name) == 0)
			return c;
		/* <FloatProperty><name>...</name><value>...</value>: without attributes */
		if (!attribute && c->first && strcmp(c->first->name, "name") == 0 && strcmp(c->first->text, name) == 0)
			return c;
	}
	return NULL;
}

const char *jmeter_property(const struct xml *element, const char *name)
{
	const struct xml *found = jmeter_find(element, name);

	if (found && found->first && strcmp(found->first->name, "name") == 0 && found->first->next)
		found = found->first->next;
	return found && found->text_len ? found->text : NULL;
}

bool jmeter_is_true(const struct xml *element, const char *name)
{
	const char *text = jmeter_property(element, name);

	return text && strcasecmp(text, "true") == 0;
}

const char *jmeter_name(const struct xml *element)
{
	const char *name = xml_tree_attribute(element, "testname");

	return name && *name ? name : element->name;
}

bool jmeter_is(const struct xml *element, const char *const *names)
{
	for (; *names; names++)
		if (strcmp(element->name, *names) == 0)
			return true;
	return false;
}

bool jmeter_is_enabled(const struct xml *element)
{
	const char *enabled = xml_tree_attribute(element, "enabled");

	return !enabled || strcmp(enabled, "false") != 0;
}

static const struct template *first_value(const struct load *l, uint32_t slot)
{
	for (size_t i = l->plan->variable_count; i-- > 0;)
		if (l->plan->variables[i].slot == slot)
			return l->plan->variables[i].value;
	return NULL;
}

/* Variables by their first values, and theirs by theirs. */
static void fold(struct load *l, struct template_builder *b, const struct template *t, unsigned depth)
{
	for (size_t i = 0; i < t->count; i++) {
		const struct template_segment *s = &t->segments[i];
		const struct template *value =
		        s->kind == TEMPLATE_VARIABLE && depth < 8 ? first_value(l, s->slot) : NULL;

		if (s->kind == TEMPLATE_TEXT)
			template_add_text(b, TEMPLATE_PLAIN, s->text, s->len);
		else if (value)
			fold(l, b, value, depth + 1);
		else
			template_add_segment(b, s);
	}
}

const struct template *jmeter_template(struct load *l, const struct xml *element, enum template_place place,
                                       const char *text)
{
	l->dialect.line = element->line;
	return dialect_template(&l->dialect, place, text);
}

const char *jmeter_constant(struct load *l, const struct xml *element, const char *text)
{
	struct template_builder b;

	if (!strstr(text, "${"))
		return text;
	template_begin(&b, &l->plan->keep);
	fold(l, &b, jmeter_template(l, element, TEMPLATE_PLAIN, text), 0);
	return template_constant(template_end(&b));
}

bool jmeter_number(struct load *l, const struct xml *element, const char *name, double otherwise, double *ret_number)
{
	const char *text = jmeter_property(element, name), *constant = text ? jmeter_constant(l, element, text) : NULL;

	if (!text || (constant && !*constant)) {
		*ret_number = otherwise;
		return true;
	}
	if (!constant)
		return load_refuse(l, element->line, "'%s' must be known before the run, but '%s' is not", name, text);
	if (!doc_number(constant, ret_number))
		return load_refuse(l, element->line, "'%s' is a number, not '%s'", name, constant);
	return true;
}

/* ---- the tree ---- */

struct walk {
	struct load *l;
	const struct testplan_scenario *scenario;
	struct testplan_step *root; /* of the thread group */
	unsigned depth;
};

static const char *const ignored[] = {
	"ResultCollector",        "BackendListener", "Summariser",         "CacheManager",
	"DNSCacheManager",        "DebugSampler",    "DebugPostProcessor", "ViewResultsFullVisualizer",
	"TestFragmentController", "WorkBench",       "hashTree",           NULL
};
static const char *const samplers[] = { "HTTPSamplerProxy", "HTTPSampler", "HTTPSampler2", NULL };
static const char *const groups[] = { "ThreadGroup", "SetupThreadGroup", "PostThreadGroup", NULL };

/* The <hashTree> that belongs to an element: the next one, if it comes next. */
static const struct xml *tree_of(const struct xml *element)
{
	return element->next && strcmp(element->next->name, "hashTree") == 0 ? element->next : NULL;
}

static bool is_controller(const struct xml *x);

static void unknown(struct load *l, const struct xml *x)
{
	testplan_warn(l->plan, x->line, "the element '%s' ('%.60s') is not known; it is passed over", x->name,
	              jmeter_name(x));
}

/* What is configured in a tree. Variables and data count for the whole thread group. */
static void collect(struct walk *w, const struct xml *tree, struct jmeter_level *level)
{
	struct load *l = w->l;

	for (const struct xml *x = tree ? tree->first : NULL; x; x = x->next) {
		const struct xml **parts;

		if (!jmeter_is_enabled(x))
			continue;
		if (strcmp(x->name, "CookieManager") == 0)
			l->plan->cookies = true;
		if (strcmp(x->name, "Arguments") == 0) {
			jmeter_variables(l, x);
			continue;
		}
		if (jmeter_is_data(x)) {
			if (w->root)
				(void)jmeter_data(l, w->root, x);
			continue;
		}
		if (!jmeter_is_part(x)) {
			if (!is_controller(x) && !jmeter_is(x, samplers) && !jmeter_is(x, groups) &&
			    !jmeter_is(x, ignored) && strcmp(x->name, "TestAction") != 0)
				unknown(l, x);
			continue;
		}
		parts = keep_grow(&l->plan->keep, level->parts, level->count, sizeof(*parts));
		if (!parts)
			return;
		level->parts = parts;
		level->parts[level->count++] = x;
	}
}

static void children(struct walk *w, struct testplan_step *parent, const struct xml *tree,
                     const struct jmeter_level *level);

/* ---- controllers ---- */

static bool loops(struct load *l, const struct xml *x, uint64_t *ret_count, const struct template **ret_value)
{
	const char *text = jmeter_property(x, "LoopController.loops"),
	           *constant = text ? jmeter_constant(l, x, text) : "1";
	double n;

	*ret_value = NULL;
	if (!constant) {
		*ret_value = jmeter_template(l, x, TEMPLATE_PLAIN, text);
		return true;
	}
	if (!doc_number(constant, &n))
		return load_refuse(l, x->line, "a number of loops is a number, not '%s'", constant);
	*ret_count = n < 0 ? TESTPLAN_FOREVER : (uint64_t)fmin(n, 1e15);
	return true;
}

static void loop(struct walk *w, struct testplan_step *step, const struct xml *x)
{
	step->slot = testplan_slot(w->l->plan, keep_printf(&w->l->plan->keep, "__jm__%s__idx", jmeter_name(x)));
	if (jmeter_is_true(x, "LoopController.continue_forever") && !jmeter_property(x, "LoopController.loops"))
		step->count = TESTPLAN_FOREVER;
	else
		(void)loops(w->l, x, &step->count, &step->value);
}

/* A condition that is not understood keeps its children, so that they are not lost without a word. */
static void condition(struct walk *w, struct testplan_step *step, const struct xml *x, const char *text)
{
	w->l->dialect.line = x->line;
	step->condition = text ? dialect_condition(&w->l->dialect, text) : NULL;
	if (step->condition)
		return;
	testplan_warn(w->l->plan, x->line, "the condition of '%.60s' is not understood; what is in it is done once",
	              jmeter_name(x));
	step->kind = TESTPLAN_SEQUENCE;
}

static void branch(struct walk *w, struct testplan_step *step, const struct xml *x)
{
	condition(w, step, x, jmeter_property(x, "IfController.condition"));
}

static void until(struct walk *w, struct testplan_step *step, const struct xml *x)
{
	const char *text = jmeter_property(x, "WhileController.condition");
	bool last = !text || strcasecmp(text, "LAST") == 0 || strstr(text, "JMeterThread.last_sample_ok");

	step->limit = TESTPLAN_FOREVER;
	step->slot = testplan_slot(w->l->plan, keep_printf(&w->l->plan->keep, "__jm__%s__idx", jmeter_name(x)));
	if (last)
		w->l->plan->last_ok_slot = testplan_slot(w->l->plan, "JMeterThread.last_sample_ok");
	step->at_least_once = !text;
	condition(w, step, x, !text || strcasecmp(text, "LAST") == 0 ? "${JMeterThread.last_sample_ok}" : text);
}

static void throughput(struct walk *w, struct testplan_step *step, const struct xml *x)
{
	double style = 0, most = 1;

	step->percent = 100;
	if (!jmeter_number(w->l, x, "ThroughputController.style", 1, &style))
		return;
	if (style == 1) {
		(void)jmeter_number(w->l, x, "ThroughputController.percentThroughput", 100, &step->percent);
		step->percent = fmax(0, fmin(100, step->percent));
		return;
	}
	(void)jmeter_number(w->l, x, "ThroughputController.maxThroughput", 1, &most);
	step->limit = most > 0 ? (uint64_t)fmin(most, 1e15) : 0;
	if (!step->limit)
		step->percent = 0;
	if (!jmeter_is_true(x, "ThroughputController.perThread"))
		testplan_warn(w->l->plan, x->line, "'%.60s': the number of executions is that of each user",
		              jmeter_name(x));
}

static void transaction(struct walk *w, struct testplan_step *step, const struct xml *x)
{
	(void)w;
	(void)x;
	step->is_transaction = true;
}

static void each(struct walk *w, struct testplan_step *step, const struct xml *x)
{
	struct testplan *p = w->l->plan;
	const char *in = jmeter_property(x, "ForeachController.inputVal"),
	           *out = jmeter_property(x, "ForeachController.returnVal");
	bool separate = !jmeter_find(x, "ForeachController.useSeparator") ||
	                jmeter_is_true(x, "ForeachController.useSeparator");
	double from, to;
	uint32_t *slots = keep_large(&p->keep, CAPTURE_ALL_MAX * sizeof(*slots));

	if (!in || !out || !slots || !jmeter_number(w->l, x, "ForeachController.startIndex", 0, &from) ||
	    !jmeter_number(w->l, x, "ForeachController.endIndex", CAPTURE_ALL_MAX, &to)) {
		(void)load_refuse(w->l, x->line, "a ForEach controller needs two variables");
		return;
	}
	step->slot = testplan_slot(p, out);
	for (unsigned i = 0; i < CAPTURE_ALL_MAX && from >= 0 && from + i < to && from + i < CAPTURE_ALL_MAX; i++)
		slots[step->count++] = testplan_slot(
		        p, keep_printf(&p->keep, "%s%s%u", in, separate ? "_" : "", (unsigned)from + i + 1));
	step->slots = slots;
}

static void choose(struct walk *w, struct testplan_step *step, const struct xml *x)
{
	const char *value = jmeter_property(x, "SwitchController.value");

	step->value = jmeter_template(w->l, x, TEMPLATE_PLAIN, value ? value : "");
}

static void run_time(struct walk *w, struct testplan_step *step, const struct xml *x)
{
	(void)step;
	testplan_warn(w->l->plan, x->line, "'%.60s': %s does what is in it once", jmeter_name(x), x->name);
}

/* `apart`: each child is one of several, so that its timers must go with it. */
static const struct controller {
	const char *name;
	enum testplan_kind kind;
	void (*load)(struct walk *w, struct testplan_step *step, const struct xml *x);
	bool apart;
} controllers[] = {
	{ "GenericController", TESTPLAN_SEQUENCE, NULL, false },
	{ "RecordingController", TESTPLAN_SEQUENCE, NULL, false },
	{ "CriticalSectionController", TESTPLAN_SEQUENCE, NULL, false },
	{ "RunTime", TESTPLAN_SEQUENCE, run_time, false },
	{ "LoopController", TESTPLAN_LOOP, loop, false },
	{ "IfController", TESTPLAN_IF, branch, false },
	{ "WhileController", TESTPLAN_WHILE, until, false },
	{ "OnceOnlyController", TESTPLAN_ONCE, NULL, false },
	{ "ThroughputController", TESTPLAN_PERCENT, throughput, false },
	{ "TransactionController", TESTPLAN_GROUP, transaction, false },
	{ "ForeachController", TESTPLAN_EACH_MATCH, each, false },
	{ "RandomController", TESTPLAN_RANDOM, NULL, true },
	{ "RandomOrderController", TESTPLAN_SHUFFLE, NULL, true },
	{ "InterleaveControl", TESTPLAN_INTERLEAVE, NULL, true },
	{ "SwitchController", TESTPLAN_CHOICE, choose, true },
};

static const struct controller *find_controller(const struct xml *x)
{
	for (size_t i = 0; i < ARRAY_LEN(controllers); i++)
		if (strcmp(controllers[i].name, x->name) == 0)
			return &controllers[i];
	return NULL;
}

static bool is_controller(const struct xml *x)
{
	return find_controller(x) != NULL;
}

static void controller(struct walk *w, struct testplan_step *parent, const struct xml *x,
                       const struct jmeter_level *level)
{
	const struct controller *c = find_controller(x);
	struct testplan_step *step = testplan_add(w->l->plan, parent, c->kind, x->line);

	step->name = jmeter_name(x);
	step->slot = TEMPLATE_NO_SLOT;
	if (c->load)
		c->load(w, step, x);
	children(w, step, tree_of(x), level);
}

/* "Flow Control Action": pause, stop the thread or the test, next iteration. */
static void action(struct walk *w, struct testplan_step *parent, const struct xml *x)
{
	const char *pause = jmeter_property(x, "ActionProcessor.duration"), *constant;
	struct testplan_step *step;
	double what, whom, ms = 0;

	if (!jmeter_number(w->l, x, "ActionProcessor.action", 0, &what) ||
	    !jmeter_number(w->l, x, "ActionProcessor.target", 0, &whom))
		return;
	if (what != 1) {
		(void)testplan_add(w->l->plan, parent,
		                   what >= 4                             ? TESTPLAN_END_ITERATION
		                   : what == 2 || what == 3 || whom == 2 ? TESTPLAN_END_RUN
		                                                         : TESTPLAN_END_USER,
		                   x->line);
		return;
	}
	step = testplan_add(w->l->plan, parent, TESTPLAN_PAUSE, x->line);
	step->pause.unit_ns = 1e6;
	constant = pause ? jmeter_constant(w->l, x, pause) : "0";
	if (!constant)
		step->pause.a = jmeter_template(w->l, x, TEMPLATE_PLAIN, pause);
	else if (doc_number(constant, &ms))
		step->pause.a_ns = ms * 1e6;
}

static void one(struct walk *w, struct testplan_step *parent, const struct xml *x, const struct jmeter_level *level)
{
	if (is_controller(x)) {
		controller(w, parent, x, level);
	} else if (strcmp(x->name, "TestAction") == 0) {
		jmeter_timers(w->l, parent, level, w->scenario->users);
		action(w, parent, x);
	} else {
		struct jmeter_level own = { .up = level };

		collect(w, tree_of(x), &own);
		jmeter_timers(w->l, parent, &own, w->scenario->users);
		(void)jmeter_sampler(w->l, parent, x, &own);
	}
}

static void children(struct walk *w, struct testplan_step *parent, const struct xml *tree,
                     const struct jmeter_level *above)
{
	struct jmeter_level level = { .up = above };
	const struct controller *c = NULL;

	if (!tree)
		return;
	if (++w->depth > DEPTH_MAX) {
		(void)load_refuse(w->l, tree->line, "controllers are nested too deeply");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(controllers); i++)
		if (controllers[i].apart && controllers[i].kind == parent->kind)
			c = &controllers[i];
	collect(w, tree, &level);
	for (const struct xml *x = tree->first; x && !w->l->refused && !w->l->plan->keep.failed; x = x->next) {
		struct testplan_step *place = parent;

		if (!jmeter_is_enabled(x) ||
		    !(is_controller(x) || jmeter_is(x, samplers) || strcmp(x->name, "TestAction") == 0))
			continue;
		if (c) {
			place = testplan_add(w->l->plan, parent, TESTPLAN_SEQUENCE, x->line);
			place->name = jmeter_name(x);
		}
		one(w, place, x, &level);
	}
	w->depth--;
}

/* ---- thread groups ---- */

static enum testplan_on_error on_error(const char *text)
{
	if (text && strcmp(text, "startnextloop") == 0)
		return TESTPLAN_NEXT_ITERATION;
	if (text && strcmp(text, "stopthread") == 0)
		return TESTPLAN_STOP_USER;
	return text && strncmp(text, "stoptest", 8) == 0 ? TESTPLAN_STOP_RUN : TESTPLAN_GO_ON;
}

static bool schedule(struct load *l, struct testplan_scenario *s, const struct xml *x)
{
	const struct xml *loop_of = jmeter_find(x, "ThreadGroup.main_controller");
	const struct template *varies = NULL;
	double users, ramp, duration = 0, delay = 0;

	if (!jmeter_number(l, x, "ThreadGroup.num_threads", 1, &users) ||
	    !jmeter_number(l, x, "ThreadGroup.ramp_time", 0, &ramp))
		return false;
	if (jmeter_is_true(x, "ThreadGroup.scheduler") && (!jmeter_number(l, x, "ThreadGroup.duration", 0, &duration) ||
	                                                   !jmeter_number(l, x, "ThreadGroup.delay", 0, &delay)))
		return false;
	if (loop_of && !loops(l, loop_of, &s->iterations, &varies))
		return false;
	if (varies)
		return load_refuse(l, x->line, "the number of loops of a thread group must be known before the run");
	if (loop_of && jmeter_is_true(loop_of, "LoopController.continue_forever") &&
	    !jmeter_property(loop_of, "LoopController.loops"))
		s->iterations = TESTPLAN_FOREVER;
	if (!(users >= 0 && users <= TESTPLAN_USERS_MAX && ramp >= 0 && ramp < 1e9 && duration >= 0 && duration < 1e9 &&
	      delay >= 0 && delay < 1e9))
		return load_refuse(l, x->line, "a thread group's numbers are out of range");
	s->users = (uint64_t)users;
	s->ramp_ns = (uint64_t)(ramp * S_NS);
	s->duration_ns = (uint64_t)(duration * S_NS);
	s->start_ns = (uint64_t)(delay * S_NS);
	s->executor =
	        s->iterations == TESTPLAN_FOREVER && duration > 0 ? TESTPLAN_CONSTANT_VUS : TESTPLAN_PER_VU_ITERATIONS;
	return true;
}

static void thread_group(struct load *l, const struct xml *x, const struct jmeter_level *level,
                         const struct xml *plan_tree)
{
	struct testplan_scenario *s = testplan_add_scenario(l->plan, jmeter_name(x), x->line);
	struct walk w = { .l = l, .scenario = s };

	s->phase = strcmp(x->name, "SetupThreadGroup") == 0  ? TESTPLAN_SETUP
	           : strcmp(x->name, "PostThreadGroup") == 0 ? TESTPLAN_TEARDOWN
	                                                     : TESTPLAN_MAIN;
	s->keeps_variables = true;
	s->keeps_cookies = !jmeter_find(x, "ThreadGroup.same_user_on_next_iteration") ||
	                   jmeter_is_true(x, "ThreadGroup.same_user_on_next_iteration");
	s->on_error = on_error(jmeter_property(x, "ThreadGroup.on_sample_error"));
	if (!schedule(l, s, x))
		return;
	w.root = testplan_add_flow(l->plan, s, s->name, 1, x->line)->root;
	for (const struct xml *d = plan_tree->first; d; d = d->next) /* the plan's data are every group's */
		if (jmeter_is_enabled(d))
			(void)jmeter_data(l, w.root, d);
	children(&w, w.root, tree_of(x), level);
	if (!w.root->first && !l->refused)
		testplan_warn(l->plan, x->line, "the thread group '%.60s' does nothing", s->name);
}

static const struct xml *find_plan(const struct xml *root)
{
	const struct xml *tree = root->first;

	while (tree && strcmp(tree->name, "hashTree") != 0)
		tree = tree->next;
	for (const struct xml *x = tree ? tree->first : NULL; x; x = x->next)
		if (strcmp(x->name, "TestPlan") == 0)
			return x;
	return NULL;
}

static bool has_sampler(const struct xml *tree, unsigned depth)
{
	for (const struct xml *x = tree ? tree->first : NULL; x; x = x->next)
		if (jmeter_is(x, samplers) ||
		    (depth < XML_TREE_DEPTH_MAX && strcmp(x->name, "hashTree") == 0 && has_sampler(x, depth + 1)))
			return true;
	return false;
}

void load_jmeter(struct load *l, const struct xml *root)
{
	const struct xml *plan = strcmp(root->name, "jmeterTestPlan") == 0 ? find_plan(root) : NULL, *own;
	struct jmeter_level level = { 0 };
	struct walk w = { .l = l };

	l->plan->source = "JMeter";
	if (!plan || !tree_of(plan)) {
		(void)load_refuse(l, root->line, "there is no TestPlan in it");
		return;
	}
	l->plan->name = jmeter_name(plan);
	if (l->options->target && !load_base(l, 1, l->options->target))
		return;
	own = jmeter_find(plan, "TestPlan.user_defined_variables");
	if (!own)
		own = jmeter_find(plan, "TestPlan.arguments");
	if (own)
		jmeter_variables(l, own);
	collect(&w, tree_of(plan), &level);
	for (const struct xml *x = tree_of(plan)->first; x && !l->refused && !l->plan->keep.failed; x = x->next)
		if (jmeter_is(x, groups) && jmeter_is_enabled(x) && (has_sampler(tree_of(x), 0) || !x->next))
			thread_group(l, x, &level, tree_of(plan));
		else if (jmeter_is(x, groups) && jmeter_is_enabled(x))
			testplan_warn(l->plan, x->line,
			              "the thread group '%.60s' has no HTTP request; it is passed over",
			              jmeter_name(x));
}
