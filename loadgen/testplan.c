#include "testplan.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOT_INDEX = 4 * TESTPLAN_SLOTS_MAX };

const char *testplan_executor_name(enum testplan_executor executor)
{
	static const char *const names[TESTPLAN_EXECUTORS] = { "shared-iterations",     "per-vu-iterations",
		                                               "constant-vus",          "ramping-vus",
		                                               "constant-arrival-rate", "ramping-arrival-rate" };

	return names[executor];
}

bool testplan_is_open(enum testplan_executor executor)
{
	return executor == TESTPLAN_CONSTANT_ARRIVAL_RATE || executor == TESTPLAN_RAMPING_ARRIVAL_RATE;
}

struct testplan *testplan_new(const char *path)
{
	struct testplan *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->path = keep_text(&p->keep, path, strlen(path));
	p->slot_index = keep_large(&p->keep, SLOT_INDEX * sizeof(*p->slot_index));
	p->name = p->source = "";
	p->last_ok_slot = TEMPLATE_NO_SLOT;
	if (!p->keep.failed)
		return p;
	testplan_free(p);
	return NULL;
}

void testplan_free(struct testplan *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->origin_count; i++)
		url_done(&p->origins[i]);
	keep_done(&p->keep);
	free(p);
}

static uint32_t *slot_place(const struct testplan *p, const char *name)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (const char *c = name; *c; c++)
		hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
	for (uint64_t i = hash;; i++) { /* a quarter full at most: it ends */
		uint32_t *at = &p->slot_index[i % SLOT_INDEX];

		if (*at == 0 || strcmp(p->slots[*at - 1], name) == 0)
			return at;
	}
}

bool testplan_find_slot(const struct testplan *p, const char *name, uint32_t *ret_slot)
{
	const uint32_t *at = slot_place(p, name);

	if (*at)
		*ret_slot = *at - 1;
	return *at != 0;
}

uint32_t testplan_slot(struct testplan *p, const char *name)
{
	uint32_t *at = slot_place(p, name);
	const char **slots;

	if (*at)
		return *at - 1;
	slots = p->slot_count < TESTPLAN_SLOTS_MAX ? keep_grow(&p->keep, p->slots, p->slot_count, sizeof(*slots))
	                                           : NULL;
	if (!slots) {
		p->keep.failed = true;
		return 0;
	}
	p->slots = slots;
	p->slots[p->slot_count] = keep_text(&p->keep, name, strlen(name));
	*at = (uint32_t)++p->slot_count;
	return *at - 1;
}

void testplan_append(struct testplan_step *parent, struct testplan_step *child)
{
	if (parent->last)
		parent->last->next = child;
	else
		parent->first = child;
	parent->last = child;
	parent->children++;
}

struct testplan_step *testplan_add(struct testplan *p, struct testplan_step *parent, enum testplan_kind kind,
                                   uint32_t line)
{
	struct testplan_step *step;

	if (p->step_count == TESTPLAN_STEPS_MAX)
		p->keep.failed = true;
	step = keep_alloc(&p->keep, sizeof(*step));
	step->kind = kind;
	step->line = line;
	step->name = "";
	step->weight = 1;
	if (p->keep.failed)
		return step; /* scrap: not to be linked */
	step->id = (uint32_t)p->step_count++;
	if (parent)
		testplan_append(parent, step);
	return step;
}

/* Room for one more at the end of an array of the plan; scrap where there is none. */
#define ADD(p, array, count) add_item((p), (void **)&(array), &(count), sizeof(*(array)))
static void *add_item(struct testplan *p, void **array, size_t *count, size_t size)
{
	char *items = keep_grow(&p->keep, *array, *count, size);

	if (!items)
		return keep_alloc(&p->keep, size);
	*array = items;
	memset(items + *count * size, 0, size);
	return items + (*count)++ * size;
}

struct testplan_scenario *testplan_add_scenario(struct testplan *p, const char *name, uint32_t line)
{
	struct testplan_scenario *s = ADD(p, p->scenarios, p->scenario_count);

	*s = (struct testplan_scenario){ .name = name,
		                         .line = line,
		                         .phase = TESTPLAN_MAIN,
		                         .users = 1,
		                         .iterations = 1,
		                         .time_unit_ns = 1000000000,
		                         .graceful_stop_ns = UINT64_C(30000000000),
		                         .graceful_ramp_down_ns = UINT64_C(30000000000) };
	return s;
}

struct testplan_flow *testplan_add_flow(struct testplan *p, struct testplan_scenario *s, const char *name,
                                        double weight, uint32_t line)
{
	struct testplan_flow *f = ADD(p, s->flows, s->flow_count);

	f->name = name;
	f->weight = weight;
	f->line = line;
	f->root = testplan_add(p, NULL, TESTPLAN_SEQUENCE, line);
	return f;
}

void testplan_add_stage(struct testplan *p, struct testplan_scenario *s, const struct testplan_stage *stage)
{
	struct testplan_stage *new;

	if (s->stage_count == TESTPLAN_STAGES_MAX)
		p->keep.failed = true;
	new = ADD(p, s->stages, s->stage_count);
	*new = *stage;
}

void testplan_add_threshold(struct testplan *p, const struct testplan_threshold *t)
{
	struct testplan_threshold *new = ADD(p, p->thresholds, p->threshold_count);

	*new = *t;
}

void testplan_add_variable(struct testplan *p, const struct testplan_variable *v)
{
	struct testplan_variable *new = ADD(p, p->variables, p->variable_count);

	*new = *v;
}

int testplan_origin(struct testplan *p, const char *url, uint32_t *ret_origin, struct err *err)
{
	struct url parsed, *new;
	int rc = url_parse(url, &parsed, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < p->origin_count; i++) {
		const struct url *o = &p->origins[i];

		if (o->tls == parsed.tls && o->port == parsed.port && strcmp(o->host, parsed.host) == 0) {
			url_done(&parsed);
			*ret_origin = (uint32_t)i;
			return 0;
		}
	}
	new = keep_grow(&p->keep, p->origins, p->origin_count, sizeof(*new));
	if (!new) {
		url_done(&parsed);
		return err_set(err, -ENOMEM, "out of memory");
	}
	p->origins = new;
	p->origins[p->origin_count] = parsed; /* moved */
	*ret_origin = (uint32_t)p->origin_count++;
	return 0;
}

void testplan_warn(struct testplan *p, uint32_t line, const char *fmt, ...)
{
	struct testplan_note *note;
	char text[400];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (p->note_count == TESTPLAN_NOTES_MAX)
		return;
	for (size_t i = 0; i < p->note_count; i++)
		if (p->notes[i].line == line && strcmp(p->notes[i].text, text) == 0)
			return;
	note = ADD(p, p->notes, p->note_count);
	note->line = line;
	note->text = keep_text(&p->keep, text, strlen(text));
}

uint32_t testplan_check_id(struct testplan *p, const char *name)
{
	const char **new;

	for (size_t i = 0; i < p->check_count; i++)
		if (strcmp(p->check_names[i], name) == 0)
			return (uint32_t)i;
	if (p->check_count == TESTPLAN_SLOTS_MAX)
		p->keep.failed = true;
	new = ADD(p, p->check_names, p->check_count);
	*new = name;
	return (uint32_t)(p->check_count ? p->check_count - 1 : 0);
}

/* ---- finishing and checking ---- */

static void want(struct testplan_request *r)
{
	for (size_t i = 0; i < r->capture_count; i++) {
		const struct capture *c = &r->captures[i];
		bool head =
		        c->source == CAPTURE_HEADER || (c->source == CAPTURE_PATTERN && c->where == CAPTURE_IN_HEAD);

		r->wants_head = r->wants_head || head;
		r->wants_body = r->wants_body || (!head && c->source != CAPTURE_STATUS &&
		                                  (c->source != CAPTURE_PATTERN || c->where == CAPTURE_IN_BODY));
	}
	for (size_t i = 0; i < r->check_count; i++) {
		const struct check *c = &r->checks[i];
		bool head = c->subject == CHECK_HEAD || (c->subject == CHECK_VALUE && c->look.source == CAPTURE_HEADER);

		r->wants_head = r->wants_head || head;
		r->wants_body = r->wants_body || c->subject == CHECK_BODY || (c->subject == CHECK_VALUE && !head);
	}
}

static int finish_step(struct testplan_step *step, unsigned depth, struct err *err)
{
	int rc = 0;

	if (depth > TESTPLAN_DEPTH_MAX)
		return err_set(err, -EINVAL, "%u: steps are nested too deeply", step->line);
	if (step->request)
		want((struct testplan_request *)(uintptr_t)step->request); /* ours, and not in use yet */
	for (struct testplan_step *c = step->first; c && rc == 0; c = c->next)
		rc = finish_step(c, depth + 1, err);
	return rc;
}

static int finish_scenario(const struct testplan_scenario *s, struct err *err)
{
	double weights = 0;
	int rc = 0;

	for (size_t i = 0; i < s->flow_count && rc == 0; i++) {
		weights += s->flows[i].weight;
		rc = finish_step(s->flows[i].root, 0, err);
	}
	if (rc < 0)
		return rc;
	if (s->flow_count == 0 || !(weights > 0))
		return err_set(err, -EINVAL, "%u: '%s' has nothing to do", s->line, s->name);
	if (s->users > TESTPLAN_USERS_MAX || s->most_users > TESTPLAN_USERS_MAX)
		return err_set(err, -EINVAL, "%u: '%s': at most %d users", s->line, s->name, TESTPLAN_USERS_MAX);
	for (size_t i = 0; i < s->stage_count; i++)
		if (!(s->stages[i].target >= 0 &&
		      s->stages[i].target <= (testplan_is_open(s->executor) ? 1e9 : TESTPLAN_USERS_MAX)))
			return err_set(err, -EINVAL, "%u: a stage's target is out of range", s->stages[i].line);
	return 0;
}

int testplan_finish(struct testplan *p, struct err *err)
{
	int rc = 0;

	if (p->slot_count >= TESTPLAN_SLOTS_MAX || p->step_count >= TESTPLAN_STEPS_MAX)
		return err_set(err, -EINVAL, "1: too many variables or steps");
	if (p->keep.failed)
		return err_set(err, -ENOMEM, "1: out of memory, or too many of something");
	p->shared_counters = keep_large(&p->keep, (p->shared_counter_count + 1) * sizeof(*p->shared_counters));
	if (!p->shared_counters)
		return err_set(err, -ENOMEM, "1: out of memory");
	if (p->scenario_count == 0)
		return err_set(err, -EINVAL, "1: there is no scenario in it");
	for (size_t i = 0; i < p->scenario_count && rc == 0; i++)
		rc = finish_scenario(&p->scenarios[i], err);
	return rc;
}

static void check_step(const struct testplan *p, const struct testplan_step *step, unsigned depth)
{
	size_t children = 0;

	assert(depth <= TESTPLAN_DEPTH_MAX && step->id < p->step_count);
	assert((step->kind == TESTPLAN_REQUEST) == (step->request != NULL));
	assert(step->kind != TESTPLAN_FEED || step->number < p->feeder_count);
	assert((step->kind != TESTPLAN_IF && step->kind != TESTPLAN_WHILE) || step->condition);
	for (size_t i = 0; step->request && i < step->request->capture_count; i++)
		assert(step->request->captures[i].slot < p->slot_count);
	for (const struct testplan_step *c = step->first; c; c = c->next, children++)
		check_step(p, c, depth + 1);
	assert(children == step->children);
}

void testplan_check(const struct testplan *p)
{
	for (size_t i = 0; i < p->scenario_count; i++) {
		const struct testplan_scenario *s = &p->scenarios[i];

		assert(s->flow_count > 0 && (size_t)s->executor < TESTPLAN_EXECUTORS);
		for (size_t j = 0; j < s->flow_count; j++) {
			assert(s->flows[j].weight >= 0);
			check_step(p, s->flows[j].root, 0);
		}
	}
	for (size_t i = 0; i < p->variable_count; i++)
		assert(p->variables[i].slot < p->slot_count);
	for (size_t i = 0; i < p->feeder_count; i++)
		for (size_t j = 0; j < p->feeders[i].column_count; j++)
			assert(p->feeders[i].slots[j] < p->slot_count);
}

/* ---- arithmetic ---- */

uint64_t testplan_length_ns(const struct testplan_scenario *s)
{
	uint64_t total = 0;

	if (s->executor == TESTPLAN_RAMPING_VUS || s->executor == TESTPLAN_RAMPING_ARRIVAL_RATE) {
		for (size_t i = 0; i < s->stage_count; i++)
			total += s->stages[i].duration_ns;
		return total;
	}
	return s->duration_ns ? s->duration_ns : TESTPLAN_FOREVER;
}

uint64_t testplan_arrivals(const struct testplan_scenario *s)
{
	double units = 0, before = s->start;

	if (s->executor == TESTPLAN_CONSTANT_ARRIVAL_RATE)
		units = s->rate * (double)s->duration_ns;
	for (size_t i = 0; s->executor == TESTPLAN_RAMPING_ARRIVAL_RATE && i < s->stage_count; i++) {
		const struct testplan_stage *stage = &s->stages[i];

		units += (stage->jump ? stage->target : (before + stage->target) / 2) * (double)stage->duration_ns;
		before = stage->target;
	}
	units /= (double)s->time_unit_ns;
	return (uint64_t)fmin(floor(units + 1e-6), 1e18);
}

double testplan_peak(const struct testplan_scenario *s)
{
	double peak = s->start;

	for (size_t i = 0; i < s->stage_count; i++)
		peak = fmax(peak, s->stages[i].target);
	if (s->executor == TESTPLAN_CONSTANT_ARRIVAL_RATE)
		peak = s->rate;
	if (testplan_is_open(s->executor))
		return peak / ((double)s->time_unit_ns / 1e9);
	return s->executor == TESTPLAN_RAMPING_VUS ? peak : (double)s->users;
}

static double mean_pause_ns(const struct testplan_pause *p)
{
	if (p->a && !template_constant(p->a))
		return 0;
	switch (p->law) {
	case TESTPLAN_UNIFORM:
		return (p->a_ns + p->b_ns) / 2;
	case TESTPLAN_POISSON:
		return p->a_ns + p->b_ns;
	default:
		return p->a_ns;
	}
}

/* How often the children are gone through, and which share of them each time. */
static double repeats(const struct testplan_step *step)
{
	double n = (double)step->children;

	switch (step->kind) {
	case TESTPLAN_LOOP:
		return step->count == TESTPLAN_FOREVER ? 1 : (double)step->count;
	case TESTPLAN_INTERLEAVE:
	case TESTPLAN_CHOICE:
		return n > 0 ? 1 / n : 0;
	case TESTPLAN_PERCENT:
		return step->percent / 100;
	case TESTPLAN_IF:
		return condition_constant(step->condition) == 0 ? 0 : 1;
	default:
		return 1;
	}
}

void testplan_expect_step(const struct testplan_step *step, double *ret_requests, double *ret_pause_ns)
{
	double requests = step->kind == TESTPLAN_REQUEST, weights = 0;
	double pause = step->kind == TESTPLAN_PAUSE                       ? mean_pause_ns(&step->pause)
	               : step->kind == TESTPLAN_PACE && step->percent > 0 ? 60e9 / step->percent
	                                                                  : 0;
	double times = repeats(step);

	for (const struct testplan_step *c = step->first; c; c = c->next)
		weights += c->weight;
	for (const struct testplan_step *c = step->first; c; c = c->next) {
		double share = step->kind != TESTPLAN_RANDOM ? times : weights > 0 ? c->weight / weights : 0;
		double r, p;

		testplan_expect_step(c, &r, &p);
		requests += share * r;
		pause += share * p;
	}
	*ret_requests = requests;
	*ret_pause_ns = pause;
}

void testplan_expect(const struct testplan_scenario *s, double *ret_requests, double *ret_pause_ns)
{
	double requests = 0, pause = 0, weights = 0;

	for (size_t i = 0; i < s->flow_count; i++)
		weights += s->flows[i].weight;
	for (size_t i = 0; i < s->flow_count && weights > 0; i++) {
		double r, p;

		testplan_expect_step(s->flows[i].root, &r, &p);
		requests += r * s->flows[i].weight / weights;
		pause += p * s->flows[i].weight / weights;
	}
	*ret_requests = requests;
	*ret_pause_ns = pause;
}
