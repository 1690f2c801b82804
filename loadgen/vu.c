#include "vu.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "json_scan.h"
#include "vu_request.h"

enum { NS_PER_MS_HERE = 1000000, PERSISTENT_PACE = 1, SHUFFLE_MAX = 64 };

/* Where the user is inside one step with children. */
struct frame {
	const struct testplan_step *step, *child; /* child: the next to be gone into; NULL: this turn is over */
	uint64_t turn, turns;
	uint64_t begin_ns;
	uint64_t left; /* TESTPLAN_SHUFFLE: which children are still to come */
	bool single;   /* one child a turn */
	size_t text;   /* TESTPLAN_FOREACH over a JSON list: where in `lists` it begins */
};

struct vu {
	struct vu_common *common;
	const struct testplan *plan;
	const struct testplan_scenario *scenario;
	const struct testplan_flow *flow;
	struct scope scope;
	struct pattern_memory *patterns;
	struct vu_batch batch;
	struct frame frames[TESTPLAN_DEPTH_MAX + 2];
	size_t depth;
	uint64_t *memory;  /* by step: what lasts from iteration to iteration */
	uint64_t *cursors; /* of feeders */
	struct buf lists;  /* lists that are being gone through */
	uint64_t now_ns, own_iterations;
	enum testplan_kind end; /* TESTPLAN_END_...: asked for; TESTPLAN_SEQUENCE: nothing */
	bool failed;
};

bool vu_common_init(struct vu_common *common, const struct testplan *plan, uint64_t seed, double time_scale)
{
	*common = (struct vu_common){ .plan = plan, .seed = seed, .time_scale = time_scale };
	common->shared = calloc(plan->slot_count + 1, sizeof(*common->shared));
	return common->shared != NULL;
}

void vu_common_done(struct vu_common *common)
{
	for (size_t i = 0; common->shared && i < common->plan->slot_count; i++)
		free(common->shared[i].data);
	free(common->shared);
	common->shared = NULL;
}

struct vu *vu_new(struct vu_common *common, const struct testplan_scenario *scenario, uint64_t user)
{
	const struct testplan *p = common->plan;
	struct vu *vu = calloc(1, sizeof(*vu));

	if (!vu)
		return NULL;
	vu->common = common;
	vu->plan = p;
	vu->scenario = scenario;
	vu->memory = calloc(p->step_count + 1, sizeof(*vu->memory));
	vu->cursors = calloc(p->feeder_count + 1, sizeof(*vu->cursors));
	vu->patterns = pattern_memory_new();
	if (!vu->memory || !vu->cursors || !vu->patterns ||
	    !scope_init(&vu->scope, p->slot_count, p->lists, p->list_count, p->counter_count)) {
		vu_free(vu);
		return NULL;
	}
	vu->scope.user = user;
	vu->scope.shared_counters = p->shared_counters;
	return vu;
}

void vu_free(struct vu *vu)
{
	if (!vu)
		return;
	scope_done(&vu->scope);
	vu_batch_done(&vu->batch);
	pattern_memory_free(vu->patterns);
	buf_done(&vu->lists);
	free(vu->memory);
	free(vu->cursors);
	free(vu);
}

/* ---- beginning ---- */

static const struct testplan_flow *choose_flow(struct vu *vu)
{
	const struct testplan_scenario *s = vu->scenario;
	double sum = 0, at;

	for (size_t i = 0; i < s->flow_count; i++)
		sum += s->flows[i].weight;
	at = dice_unit(&vu->scope.dice) * sum;
	for (size_t i = 0; i < s->flow_count; i++) {
		if (at < s->flows[i].weight)
			return &s->flows[i];
		at -= s->flows[i].weight;
	}
	return &s->flows[s->flow_count - 1];
}

static void first_values(struct vu *vu)
{
	const struct testplan *p = vu->plan;

	scope_reset(&vu->scope);
	for (size_t i = 0; i < p->list_count; i++) {
		const struct scope_item *item;

		if (!p->lists[i].is_sampled)
			continue;
		item = &p->lists[i].items[dice_below(&vu->scope.dice, p->lists[i].count)];
		scope_set(&vu->scope, p->lists[i].slot, item->kind, item->text, item->len);
	}
	for (size_t i = 0; i < p->variable_count; i++)
		vu_set(&vu->scope, p->variables[i].slot, p->variables[i].value, p->variables[i].is_json);
	for (size_t i = 0; i < p->slot_count; i++) {
		const struct scope_value *v = &vu->common->shared[i];

		if (v->kind != SCOPE_UNSET)
			scope_set(&vu->scope, (uint32_t)i, v->kind, v->data, v->len);
	}
}

static void push(struct vu *vu, const struct testplan_step *step)
{
	struct frame *f = &vu->frames[vu->depth++];

	assert(vu->depth <= ARRAY_LEN(vu->frames));
	*f = (struct frame){
		.step = step, .child = step->first, .turns = 1, .begin_ns = vu->now_ns, .text = vu->lists.len
	};
}

void vu_begin(struct vu *vu, uint64_t iteration)
{
	const struct testplan_scenario *s = vu->scenario;
	uint64_t number = (uint64_t)(s - vu->plan->scenarios);

	vu->own_iterations++;
	vu->scope.iteration = iteration;
	if (testplan_is_open(s->executor))
		dice_init(&vu->scope.dice, vu->common->seed, number, iteration);
	else
		dice_init(&vu->scope.dice, vu->common->seed, number + (vu->scope.user << 20), vu->own_iterations);
	if (vu->own_iterations == 1 || !s->keeps_variables)
		first_values(vu);
	vu->scope.request++;
	vu->flow = choose_flow(vu);
	vu->depth = 0;
	vu->end = TESTPLAN_SEQUENCE;
	vu->failed = false;
	buf_clear(&vu->lists);
	push(vu, vu->flow->root);
}

/* ---- containers ---- */

static const struct testplan_step *child(const struct testplan_step *step, uint64_t n)
{
	const struct testplan_step *c = step->first;

	while (c && n-- > 0)
		c = c->next;
	return c;
}

static const struct testplan_step *by_weight(struct vu *vu, const struct testplan_step *step)
{
	double sum = 0, at;

	for (const struct testplan_step *c = step->first; c; c = c->next)
		sum += c->weight;
	at = dice_unit(&vu->scope.dice) * sum;
	for (const struct testplan_step *c = step->first; c; c = c->next) {
		if (at < c->weight)
			return c;
		at -= c->weight;
	}
	return step->last;
}

static const struct testplan_step *by_value(struct vu *vu, const struct testplan_step *step)
{
	const char *text = vu_render(&vu->scope, step->value);
	const struct testplan_step *otherwise = NULL;
	char *end;
	unsigned long long n = strtoull(text, &end, 10);

	if (end != text && *end == '\0')
		return child(step, n) ? child(step, n) : step->first;
	for (const struct testplan_step *c = step->first; c; c = c->next) {
		if (strcmp(c->name, text) == 0)
			return c;
		if (strcasecmp(c->name, "default") == 0)
			otherwise = c;
	}
	return otherwise ? otherwise : *text ? NULL : step->first;
}

static const struct testplan_step *from_shuffle(struct vu *vu, struct frame *f)
{
	uint64_t n = dice_below(&vu->scope.dice, (uint64_t)__builtin_popcountll(f->left)), left = f->left;

	while (n-- > 0)
		left &= left - 1;
	n = (uint64_t)__builtin_ctzll(left);
	f->left &= ~(UINT64_C(1) << n);
	return child(f->step, n);
}

/* Item number f->turn of the JSON list that the frame has a copy of. */
static bool json_item(struct vu *vu, struct frame *f)
{
	const char *list = vu->lists.data + f->text, *at, *end = vu->lists.data + vu->lists.len, *stop;
	size_t len;

	at = json_scan_blanks(list + 1, end);
	for (uint64_t i = 0;; i++) {
		stop = json_scan_value(at, end);
		if (!stop)
			return false;
		if (i == f->turn)
			break;
		at = json_scan_blanks(stop, end);
		if (at == end || *at != ',')
			return false;
		at = json_scan_blanks(at + 1, end);
	}
	if (*at == '"') {
		struct buf *text = &vu->scope.condition; /* nothing is compared now */

		buf_clear(text);
		buf_add(text, at, (size_t)(stop - at));
		if (text->failed || !json_scan_text(at, (size_t)(stop - at), text->data, &len))
			return false;
		scope_set(&vu->scope, f->step->slot, SCOPE_TEXT, text->data, len);
	} else {
		scope_set(&vu->scope, f->step->slot, SCOPE_JSON, at, (size_t)(stop - at));
	}
	return true;
}

static bool next_item(struct vu *vu, struct frame *f)
{
	const struct testplan_step *step = f->step;

	if (step->kind == TESTPLAN_EACH_MATCH) {
		const struct scope_value *v;

		if (f->turn >= step->count)
			return false;
		v = &vu->scope.values[step->slots[f->turn]];
		if (v->kind == SCOPE_UNSET)
			return false;
		scope_set(&vu->scope, step->slot, v->kind, v->data, v->len);
		return true;
	}
	if (!step->value) {
		const struct scope_list *l = &vu->plan->lists[step->number];

		if (f->turn >= l->count)
			return false;
		scope_set(&vu->scope, step->slot, l->items[f->turn].kind, l->items[f->turn].text,
		          l->items[f->turn].len);
		return true;
	}
	if (f->turn == 0) {
		template_render(step->value, &vu->scope, &vu->lists);
		if (vu->lists.failed || vu->lists.len - f->text < 2 || vu->lists.data[f->text] != '[')
			return false;
	}
	return json_item(vu, f);
}

static void number_turn(struct vu *vu, const struct frame *f)
{
	char digits[24];

	if (f->step->slot == TEMPLATE_NO_SLOT)
		return;
	(void)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)(f->turn + (uint64_t)f->step->from));
	scope_set(&vu->scope, f->step->slot, SCOPE_JSON, digits, strlen(digits));
}

/* Is there a turn number f->turn (from 0)? Then it is prepared. */
static bool turn(struct vu *vu, struct frame *f)
{
	const struct testplan_step *step = f->step;

	f->child = step->first;
	switch (step->kind) {
	case TESTPLAN_LOOP:
		if (f->turn == 0 && step->value)
			f->turns = strtoull(vu_render(&vu->scope, step->value), NULL, 10);
		else if (f->turn == 0)
			f->turns = step->count;
		if (f->turn >= f->turns)
			return false;
		number_turn(vu, f);
		return true;
	case TESTPLAN_FOREACH:
	case TESTPLAN_EACH_MATCH:
		return next_item(vu, f);
	case TESTPLAN_WHILE:
		if (f->turn >= step->limit)
			return false;
		number_turn(vu, f);
		return (f->turn == 0 && step->at_least_once) || condition_holds(step->condition, &vu->scope);
	default:
		return f->turn == 0;
	}
}

/* May the step be gone into? Then its first child is chosen. */
static bool choose(struct vu *vu, struct frame *f)
{
	const struct testplan_step *step = f->step;
	uint64_t *memory = &vu->memory[step->id];
	double share = step->percent / 100;

	switch (step->kind) {
	case TESTPLAN_IF:
		return condition_holds(step->condition, &vu->scope);
	case TESTPLAN_RANDOM:
		f->child = by_weight(vu, step);
		break;
	case TESTPLAN_SHUFFLE:
		f->left = step->children >= SHUFFLE_MAX ? ~UINT64_C(0) : (UINT64_C(1) << step->children) - 1;
		f->child = f->left ? from_shuffle(vu, f) : NULL;
		break;
	case TESTPLAN_INTERLEAVE:
		f->child = step->children ? child(step, (*memory)++ % step->children) : NULL;
		break;
	case TESTPLAN_ONCE:
		return (*memory)++ == 0;
	case TESTPLAN_PERCENT:
		if (step->limit)
			return (*memory)++ < step->limit;
		++*memory;
		return floor((double)*memory * share + 1e-9) > floor((double)(*memory - 1) * share + 1e-9);
	case TESTPLAN_CHOICE:
		f->child = by_value(vu, step);
		break;
	default:
		return true;
	}
	f->single = step->kind != TESTPLAN_SHUFFLE;
	return f->child != NULL;
}

static void enter(struct vu *vu, const struct testplan_step *step)
{
	struct frame *f;

	push(vu, step);
	f = &vu->frames[vu->depth - 1];
	if (!turn(vu, f) || !choose(vu, f)) {
		vu->lists.len = f->text;
		vu->depth--;
	}
}

/* ---- leaves ---- */

static double pause_number(struct vu *vu, const struct template *t, double unit_ns, double otherwise)
{
	return t ? strtod(vu_render(&vu->scope, t), NULL) * unit_ns : otherwise;
}

static uint64_t pause_ns(struct vu *vu, const struct testplan_pause *p)
{
	double a = pause_number(vu, p->a, p->unit_ns, p->a_ns), b = pause_number(vu, p->b, p->unit_ns, p->b_ns), ns = a;

	switch (p->law) {
	case TESTPLAN_CONSTANT:
		break;
	case TESTPLAN_UNIFORM:
		ns = a + (b - a) * dice_unit(&vu->scope.dice);
		break;
	case TESTPLAN_GAUSSIAN:
		ns = fabs(a + b * dice_normal(&vu->scope.dice));
		break;
	case TESTPLAN_POISSON:
		ns = a + dice_poisson(&vu->scope.dice, b / NS_PER_MS_HERE) * NS_PER_MS_HERE;
		break;
	}
	ns *= vu->common->time_scale;
	return ns > 0 ? (uint64_t)fmin(ns, 1e18) : 0;
}

static void count(struct vu *vu, const struct testplan_step *step)
{
	uint64_t *own = &vu->memory[step->id], range = UINT64_MAX, n;
	char digits[24];

	/* number: of the shared counter, plus 1; 0: each user counts for itself */
	n = step->number ? scope_count(&vu->scope, SCOPE_SHARED | (step->number - 1)) - 1 : (*own)++;

	if (step->by > 0 && step->to >= step->from)
		range = ((uint64_t)step->to - (uint64_t)step->from) / (uint64_t)step->by + 1;
	(void)snprintf(digits, sizeof(digits), "%lld",
	               (long long)((uint64_t)step->from + (range ? n % range : n) * (uint64_t)step->by));
	scope_set(&vu->scope, step->slot, SCOPE_JSON, digits, strlen(digits));
}

static bool sleep_action(struct vu_action *a, uint64_t ns)
{
	*a = (struct vu_action){ .kind = VU_SLEEP, .sleep_ns = ns };
	return ns > 0;
}

/* Rates are those of real time, whatever the time scale. memory: when the next may begin, from 1. */
static bool pace(struct vu *vu, const struct testplan_step *step, struct vu_action *a)
{
	uint64_t *next = &vu->memory[step->id], interval = (uint64_t)(60e9 / step->percent);
	uint64_t wait = *next > vu->now_ns + 1 ? *next - 1 - vu->now_ns : 0;

	*next = vu->now_ns + wait + interval + 1;
	return sleep_action(a, wait);
}

/* True: `a` is to be done now. */
static bool leaf(struct vu *vu, const struct testplan_step *step, struct vu_action *a)
{
	switch (step->kind) {
	case TESTPLAN_REQUEST:
	case TESTPLAN_PARALLEL:
		*a = (struct vu_action){ .kind = VU_REQUESTS, .step = step };
		vu_batch_render(&vu->batch, step, &vu->scope);
		a->requests = vu->batch.requests;
		a->request_count = vu->batch.count;
		return a->request_count > 0;
	case TESTPLAN_PAUSE:
		return sleep_action(a, pause_ns(vu, &step->pause));
	case TESTPLAN_PACE:
		return pace(vu, step, a);
	case TESTPLAN_SET:
		vu_set(&vu->scope, step->slot, step->value, step->is_json);
		return false;
	case TESTPLAN_FEED:
		if (!feeder_next(&vu->plan->feeders[step->number], &vu->scope, &vu->cursors[step->number]))
			vu->end = TESTPLAN_END_USER;
		return false;
	case TESTPLAN_COUNT:
		count(vu, step);
		return false;
	default:
		vu->end = step->kind;
		return false;
	}
}

static bool is_leaf(const struct testplan_step *step)
{
	switch (step->kind) {
	case TESTPLAN_REQUEST:
	case TESTPLAN_PARALLEL:
	case TESTPLAN_PAUSE:
	case TESTPLAN_PACE:
	case TESTPLAN_SET:
	case TESTPLAN_FEED:
	case TESTPLAN_COUNT:
	case TESTPLAN_END_ITERATION:
	case TESTPLAN_END_USER:
	case TESTPLAN_END_RUN:
		return true;
	default:
		return false;
	}
}

/* ---- stepping ---- */

/* The innermost step has no child left in this turn: another turn, or out of it. True: `a` is to be done. */
static bool turn_over(struct vu *vu, struct vu_action *a)
{
	struct frame *f = &vu->frames[vu->depth - 1];

	if (f->step->kind == TESTPLAN_SHUFFLE && f->left) {
		f->child = from_shuffle(vu, f);
		return false;
	}
	f->turn++;
	if (turn(vu, f))
		return false;
	vu->lists.len = f->text;
	vu->depth--;
	if (f->step->kind != TESTPLAN_GROUP)
		return false;
	*a = (struct vu_action){ .kind = VU_GROUP_OVER, .step = f->step, .group_begin_ns = f->begin_ns };
	return true;
}

/* What setup's users know, all others begin with. */
static void share(struct vu *vu)
{
	for (size_t i = 0; i < vu->plan->slot_count; i++) {
		struct scope shared = { .values = vu->common->shared, .count = vu->plan->slot_count };
		const struct scope_value *v = &vu->scope.values[i];

		if (v->kind != SCOPE_UNSET)
			scope_set(&shared, (uint32_t)i, v->kind, v->data, v->len);
	}
}

static void over(struct vu *vu, struct vu_action *a)
{
	*a = (struct vu_action){ .kind = VU_ITERATION_OVER, .failed = vu->failed };
	if (vu->scope.failed || vu->end == TESTPLAN_END_USER)
		a->kind = VU_USER_OVER;
	else if (vu->end == TESTPLAN_END_RUN)
		a->kind = VU_RUN_OVER;
	if (vu->scenario->phase == TESTPLAN_SETUP)
		share(vu);
	vu->depth = 0;
}

void vu_next(struct vu *vu, uint64_t now_ns, int64_t unix_ms, struct vu_action *ret_action)
{
	vu->now_ns = now_ns;
	vu->scope.unix_ms = unix_ms;
	for (unsigned steps = 0; vu->depth > 0 && vu->end == TESTPLAN_SEQUENCE && !vu->scope.failed; steps++) {
		struct frame *f = &vu->frames[vu->depth - 1];
		const struct testplan_step *step = f->child;

		if (steps == VU_STEPS_AT_ONCE) { /* a loop without requests or pauses must not hold up the others */
			(void)sleep_action(ret_action, NS_PER_MS_HERE);
			return;
		}
		if (!step) {
			if (turn_over(vu, ret_action))
				return;
			continue;
		}
		f->child = f->single || f->step->kind == TESTPLAN_SHUFFLE ? NULL : step->next;
		if (!is_leaf(step))
			enter(vu, step);
		else if (leaf(vu, step, ret_action))
			return;
	}
	over(vu, ret_action);
}

static void give_up(struct vu *vu)
{
	static const enum testplan_kind ends[] = { [TESTPLAN_GO_ON] = TESTPLAN_SEQUENCE,
		                                   [TESTPLAN_NEXT_ITERATION] = TESTPLAN_END_ITERATION,
		                                   [TESTPLAN_STOP_USER] = TESTPLAN_END_USER,
		                                   [TESTPLAN_STOP_RUN] = TESTPLAN_END_RUN };

	vu->end = ends[vu->scenario->on_error];
	vu->failed = vu->failed || vu->end != TESTPLAN_SEQUENCE;
}

void vu_answered(struct vu *vu, size_t index, const struct answer *answer, struct vu_outcome *ret_outcome)
{
	const struct testplan_request *r = vu->batch.requests[index].request;
	bool end = false, strict = false;

	*ret_outcome = (struct vu_outcome){ .check_results = vu->batch.results };
	for (size_t i = 0; answer->status && i < r->capture_count; i++)
		if (!capture_run(&r->captures[i], answer, &vu->scope, vu->patterns))
			strict = strict || r->captures[i].strict;
	for (size_t i = 0; i < r->check_count && i < VU_RESULTS_MAX; i++) {
		const struct check *c = &r->checks[i];
		bool holds = (answer->status || c->negated) && check_holds(c, answer, &vu->scope, vu->patterns);

		vu->batch.results[i] = holds;
		ret_outcome->failed = ret_outcome->failed || (!holds && c->fails_request);
		end = end || (!holds && c->ends_iteration);
	}
	ret_outcome->capture_failed = strict;
	ret_outcome->failed = ret_outcome->failed || answer->status == 0 || (answer->status >= 400 && !r->wants_error);
	if (vu->plan->last_ok_slot != TEMPLATE_NO_SLOT)
		scope_set(&vu->scope, vu->plan->last_ok_slot, SCOPE_JSON, ret_outcome->failed ? "false" : "true",
		          ret_outcome->failed ? 5 : 4);
	if (strict || end) {
		vu->end = TESTPLAN_END_ITERATION;
		vu->failed = true;
	}
	if (ret_outcome->failed && vu->scenario->on_error != TESTPLAN_GO_ON)
		give_up(vu);
}

const struct testplan_step *vu_group(const struct vu *vu)
{
	for (size_t i = vu->depth; i-- > 0;)
		if (vu->frames[i].step->kind == TESTPLAN_GROUP)
			return vu->frames[i].step;
	return NULL;
}

const struct testplan_flow *vu_flow(const struct vu *vu)
{
	return vu->flow;
}

const char *vu_variable(const struct vu *vu, const char *name)
{
	uint32_t slot;

	if (!testplan_find_slot(vu->plan, name, &slot) || vu->scope.values[slot].kind == SCOPE_UNSET)
		return NULL;
	return vu->scope.values[slot].data;
}
