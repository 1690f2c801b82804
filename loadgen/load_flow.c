#include "load_flow.h"

#include <stdlib.h>
#include <string.h>

#include "load_request.h"
#include "units.h"

/* ---- pauses ---- */

/* A number that may vary, in seconds. */
static void pause_part(struct load *l, const struct doc *d, double *ret_ns, const struct template **ret_text)
{
	uint64_t ns = 0;

	l->dialect.line = d->line;
	if (doc_is(d, DOC_STRING) && !template_constant(dialect_template(&l->dialect, TEMPLATE_PLAIN, d->text)))
		*ret_text = dialect_template(&l->dialect, TEMPLATE_PLAIN, d->text);
	else if (load_duration(l, d, "a pause", (double)NS_PER_S, &ns))
		*ret_ns = (double)ns;
}

static const struct doc *pair(struct load *l, const struct doc *d, const char *first, const char *second, size_t i)
{
	const struct doc *value =
	        doc_is(d, DOC_LIST) && d->count == 2 ? d->items[i].value : doc_find(d, i ? second : first);

	if (!value)
		(void)load_refuse(l, d->line, "a pause needs '%s' and '%s'", first, second);
	return value;
}

static void think(struct load *l, struct testplan_step *parent, const struct doc *d, uint32_t line)
{
	static const struct {
		const char *name, *a, *b;
		enum testplan_pause_law law;
	} laws[] = { { "uniform", "min", "max", TESTPLAN_UNIFORM },
		     { "gaussian", "mean", "deviation", TESTPLAN_GAUSSIAN },
		     { "poisson", "offset", "mean", TESTPLAN_POISSON } };
	struct testplan_step *step = testplan_add(l->plan, parent, TESTPLAN_PAUSE, line);
	struct testplan_pause *p = &step->pause;

	p->unit_ns = (double)NS_PER_S;
	if (!doc_is(d, DOC_MAP)) {
		pause_part(l, d, &p->a_ns, &p->a);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(laws); i++) {
		const struct doc *law = doc_find(d, laws[i].name), *a, *b;

		if (!law)
			continue;
		a = pair(l, law, laws[i].a, laws[i].b, 0);
		b = pair(l, law, laws[i].a, laws[i].b, 1);
		p->law = laws[i].law;
		if (a && b) {
			pause_part(l, a, &p->a_ns, &p->a);
			pause_part(l, b, &p->b_ns, &p->b);
		}
		return;
	}
	(void)load_refuse(l, line, "a pause is a duration, or one of uniform, gaussian, poisson");
}

/* ---- loops ---- */

static const struct condition *condition(struct load *l, const struct doc *d)
{
	const struct condition *c;

	if (!doc_is(d, DOC_STRING) && !doc_is(d, DOC_BOOL))
		return (void)load_refuse(l, d->line, "a condition is a text"), NULL;
	l->dialect.line = d->line;
	c = dialect_condition(&l->dialect, d->text);
	if (!c && l->dialect.kind == DIALECT_OWN)
		(void)load_refuse(l, d->line, "the condition '%s' is not understood", d->text);
	return c;
}

static void loop_over(struct load *l, struct testplan_step *step, const struct doc *over)
{
	struct scope_item *items;
	struct scope_list *lists;

	step->kind = TESTPLAN_FOREACH;
	if (doc_is(over, DOC_STRING)) {
		l->dialect.line = over->line;
		if (!dialect_find_list(&l->dialect, over->text, &step->number))
			step->value = dialect_template(&l->dialect, TEMPLATE_PLAIN,
			                               strstr(over->text, "{{")
			                                       ? over->text
			                                       : keep_printf(&l->plan->keep, "{{ %s }}", over->text));
		return;
	}
	if (!doc_is(over, DOC_LIST) || !over->count) {
		(void)load_refuse(l, over->line, "'over' takes a list, or the name of one");
		return;
	}
	items = keep_large(&l->plan->keep, over->count * sizeof(*items));
	lists = keep_grow(&l->plan->keep, l->plan->lists, l->plan->list_count, sizeof(*lists));
	if (!items || !lists)
		return;
	for (size_t i = 0; i < over->count; i++)
		items[i] = load_item(l, over->items[i].value);
	l->plan->lists = lists;
	step->number = (uint32_t)l->plan->list_count;
	lists[l->plan->list_count++] =
	        (struct scope_list){ .name = "", .items = items, .count = over->count, .line = over->line };
}

/* 3, "3", "2-5" (2, 3, 4, 5), "{{ n }}". 0 and a missing count: for ever, as Artillery has it. */
static void loop_count(struct load *l, struct testplan_step *step, const struct doc *d)
{
	unsigned long from, to;
	char *end;

	step->count = TESTPLAN_FOREVER;
	if (!d)
		return;
	if (d->kind == DOC_LIST || d->kind == DOC_MAP) {
		(void)load_refuse(l, d->line, "'count' is a number or a range");
		return;
	}
	from = strtoul(d->text, &end, 10);
	if (end != d->text && *end == '-') {
		to = strtoul(end + 1, &end, 10);
		if (*end || to < from || to > 1000000000)
			(void)load_refuse(l, d->line, "'count' is a number or a range, not '%s'", d->text);
		step->from = (int64_t)from;
		step->count = to - from + 1;
	} else if (end != d->text && *end == '\0') {
		step->count = from ? from : l->dialect.kind == DIALECT_OWN ? 0 : TESTPLAN_FOREVER;
	} else {
		l->dialect.line = d->line;
		step->value = dialect_template(&l->dialect, TEMPLATE_PLAIN, d->text);
	}
}

static void loop(struct load *l, struct testplan_step *parent, const struct doc *map, const struct doc *steps,
                 uint32_t line)
{
	const struct doc *over = doc_find(map, "over"), *until = doc_find(map, "whileTrue"), *as = doc_find(map, "as"),
	                 *loop_value = doc_find(map, "loopValue"), *element = doc_find(map, "loopElement");
	struct testplan_step *step = testplan_add(l->plan, parent, TESTPLAN_LOOP, line);

	if (!until)
		until = doc_find(map, "while");
	if (!as)
		as = over ? element : loop_value;
	step->limit = TESTPLAN_FOREVER;
	step->from = l->dialect.kind == DIALECT_OWN ? 0 : 1;
	step->slot = testplan_slot(l->plan, doc_is(as, DOC_STRING) ? as->text : over ? "$loopElement" : "$loopCount");
	if (over) {
		loop_over(l, step, over);
	} else if (until) {
		step->condition = condition(l, until);
		step->kind = step->condition ? TESTPLAN_WHILE : TESTPLAN_LOOP;
		step->count = 1;
		step->at_least_once = l->dialect.kind == DIALECT_ARTILLERY; /* it looks after each turn */
	} else {
		loop_count(l, step, doc_find(map, "count"));
	}
	load_flow(l, step, steps);
}

/* ---- choices ---- */

static void branches(struct load *l, struct testplan_step *parent, const struct doc *map, const struct doc *text,
                     uint32_t line)
{
	const struct doc *then = doc_find(map, "then"), *otherwise = doc_find(map, "else");
	const struct condition *c = condition(l, text);
	struct testplan_step *step;

	if (!c)
		return;
	step = testplan_add(l->plan, parent, TESTPLAN_IF, line);
	step->condition = c;
	load_flow(l, step, then ? then : doc_find(map, "steps"));
	if (otherwise) {
		step = testplan_add(l->plan, parent, TESTPLAN_IF, line);
		step->condition = condition_not(&l->plan->keep, c);
		load_flow(l, step, otherwise);
	}
}

/* Each item a step, or { weight, name, steps }. */
static void choices(struct load *l, struct testplan_step *parent, enum testplan_kind kind, const struct doc *list,
                    uint32_t line)
{
	struct testplan_step *step = testplan_add(l->plan, parent, kind, line);

	if (!doc_is(list, DOC_LIST) || list->count == 0 || list->count > 64) {
		(void)load_refuse(l, line, "expected a list of 1 to 64 steps");
		return;
	}
	for (size_t i = 0; i < list->count && !l->refused; i++) {
		const struct doc *item = list->items[i].value, *steps = doc_find(item, "steps"),
		                 *weight = doc_find(item, "weight");
		struct testplan_step *child = testplan_add(l->plan, step, TESTPLAN_SEQUENCE, item->line);

		if (weight)
			(void)load_number(l, weight, "'weight'", 0, 1e9, &child->weight);
		if (steps) {
			load_flow(l, child, steps);
		} else {
			struct doc_item only = { NULL, list->items[i].value, item->line };

			load_flow(l, child,
			          &(struct doc){ .kind = DOC_LIST, .line = item->line, .items = &only, .count = 1 });
		}
	}
}

static void cases(struct load *l, struct testplan_step *parent, const struct doc *map, const struct doc *value,
                  uint32_t line)
{
	const struct doc *list = doc_find(map, "cases");
	struct testplan_step *step = testplan_add(l->plan, parent, TESTPLAN_CHOICE, line);

	l->dialect.line = line;
	step->value = dialect_template(&l->dialect, TEMPLATE_PLAIN, value->text);
	if (!doc_is(list, DOC_MAP)) {
		(void)load_refuse(l, line, "'switch' needs 'cases', a map");
		return;
	}
	for (size_t i = 0; i < list->count; i++) {
		struct testplan_step *child = testplan_add(l->plan, step, TESTPLAN_SEQUENCE, list->items[i].line);

		child->name = list->items[i].key;
		load_flow(l, child, list->items[i].value);
	}
}

static void parallel(struct load *l, struct testplan_step *parent, const struct doc *list, uint32_t line)
{
	struct testplan_step *step = testplan_add(l->plan, parent, TESTPLAN_PARALLEL, line);

	if (!doc_is(list, DOC_LIST) || list->count > 64) {
		(void)load_refuse(l, line, "'parallel' takes a list of at most 64 requests");
		return;
	}
	for (size_t i = 0; i < list->count && !l->refused; i++) {
		char method[8];
		const struct doc_item *request = doc_is(list->items[i].value, DOC_MAP)
		                                         ? load_request_method(list->items[i].value, method)
		                                         : NULL;

		if (!request)
			(void)load_refuse(l, list->items[i].value->line, "'parallel' takes requests only");
		else
			(void)load_request(l, step, method, request->value, request->line);
	}
}

/* ---- the rest ---- */

static void set(struct load *l, struct testplan_step *parent, const struct doc *map)
{
	if (!doc_is(map, DOC_MAP)) {
		(void)load_refuse(l, map->line, "'set' takes a map");
		return;
	}
	for (size_t i = 0; i < map->count; i++) {
		struct testplan_step *step = testplan_add(l->plan, parent, TESTPLAN_SET, map->items[i].line);
		const struct doc *value = map->items[i].value;

		step->slot = testplan_slot(l->plan, map->items[i].key);
		l->dialect.line = value->line;
		step->is_json = value->kind != DOC_STRING;
		step->value = value->kind == DOC_STRING ? dialect_template(&l->dialect, TEMPLATE_PLAIN, value->text)
		                                        : load_json(l, value);
	}
}

static void feed(struct load *l, struct testplan_step *parent, const struct doc *d, uint32_t line)
{
	for (size_t i = 0; i < l->plan->feeder_count; i++) {
		if (strcmp(l->plan->feeders[i].name, d->text) == 0) {
			testplan_add(l->plan, parent, TESTPLAN_FEED, line)->number = (uint32_t)i;
			return;
		}
	}
	(void)load_refuse(l, line, "there is no feeder '%s'", d->text);
}

static void stop(struct load *l, struct testplan_step *parent, const struct doc *d, uint32_t line)
{
	static const struct {
		const char *word;
		enum testplan_kind kind;
	} words[] = { { "iteration", TESTPLAN_END_ITERATION },
		      { "user", TESTPLAN_END_USER },
		      { "run", TESTPLAN_END_RUN } };

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strcmp(d->text, words[i].word) == 0) {
			(void)testplan_add(l->plan, parent, words[i].kind, line);
			return;
		}
	}
	(void)load_refuse(l, line, "'stop' takes iteration, user or run");
}

static void share(struct load *l, struct testplan_step *parent, enum testplan_kind kind, const struct doc *map,
                  const struct doc *d, uint32_t line)
{
	struct testplan_step *step = testplan_add(l->plan, parent, kind, line);
	const struct doc *steps = doc_find(map, "steps");

	if (kind == TESTPLAN_GROUP)
		step->name = doc_is(d, DOC_STRING) ? d->text : "group";
	if (kind == TESTPLAN_GROUP)
		step->is_transaction = true;
	if (kind == TESTPLAN_PERCENT)
		(void)load_number(l, d, "'percent'", 0, 100, &step->percent);
	load_flow(l, step, steps ? steps : kind == TESTPLAN_ONCE ? d : NULL);
}

/* A step that is neither a request nor of Artillery's. False: it is not known. */
static bool own_step(struct load *l, struct testplan_step *parent, const struct doc *map)
{
	const struct doc_item *item = &map->items[0];
	const struct doc *d = item->value;

	if (strcmp(item->key, "group") == 0) {
		share(l, parent, TESTPLAN_GROUP, map, d, item->line);
	} else if (strcmp(item->key, "once") == 0) {
		share(l, parent, TESTPLAN_ONCE, map, d, item->line);
	} else if (strcmp(item->key, "percent") == 0) {
		share(l, parent, TESTPLAN_PERCENT, map, d, item->line);
	} else if (strcmp(item->key, "if") == 0) {
		branches(l, parent, map, d, item->line);
	} else if (strcmp(item->key, "random") == 0) {
		choices(l, parent, TESTPLAN_RANDOM, d, item->line);
	} else if (strcmp(item->key, "shuffle") == 0) {
		choices(l, parent, TESTPLAN_SHUFFLE, d, item->line);
	} else if (strcmp(item->key, "interleave") == 0) {
		choices(l, parent, TESTPLAN_INTERLEAVE, d, item->line);
	} else if (strcmp(item->key, "switch") == 0) {
		cases(l, parent, map, d, item->line);
	} else if (strcmp(item->key, "set") == 0) {
		set(l, parent, d);
	} else if (strcmp(item->key, "feed") == 0) {
		feed(l, parent, d, item->line);
	} else if (strcmp(item->key, "pace") == 0) {
		(void)load_number(l, d, "'pace'", 0.001, 1e9,
		                  &testplan_add(l->plan, parent, TESTPLAN_PACE, item->line)->percent);
	} else if (strcmp(item->key, "stop") == 0) {
		stop(l, parent, d, item->line);
	} else {
		return false;
	}
	return true;
}

static void one_step(struct load *l, struct testplan_step *parent, const struct doc *map)
{
	const struct doc *d;
	const struct doc_item *request;
	char method[8];

	if (doc_is(map, DOC_STRING) && l->dialect.kind == DIALECT_ARTILLERY) {
		testplan_warn(l->plan, map->line, "the step '%s' is not known; it is passed over", map->text);
		return;
	}
	if (!doc_is(map, DOC_MAP) || map->count == 0) {
		(void)load_refuse(l, map->line, "a step is a map, not %s", doc_kind_text(map));
		return;
	}
	if ((request = load_request_method(map, method)))
		(void)load_request(l, parent, method, request->value, request->line);
	else if ((d = doc_find(map, "think")))
		think(l, parent, d, map->line);
	else if ((d = doc_find(map, "loop")))
		loop(l, parent, map, d, map->line);
	else if ((d = doc_find(map, "parallel")))
		parallel(l, parent, d, map->line);
	else if (doc_find(map, "log"))
		return;
	else if (l->dialect.kind == DIALECT_ARTILLERY)
		testplan_warn(l->plan, map->line, "the step '%s' is not known; it is passed over", map->items[0].key);
	else if (!own_step(l, parent, map))
		(void)load_refuse(l, map->line, "there is no step '%s'", map->items[0].key);
}

void load_flow(struct load *l, struct testplan_step *parent, const struct doc *list)
{
	if (++l->depth > TESTPLAN_DEPTH_MAX / 2) {
		(void)load_refuse(l, list ? list->line : 1, "steps are nested too deeply");
	} else if (!doc_is(list, DOC_LIST)) {
		(void)load_refuse(l, list ? list->line : parent->line, "expected a list of steps, not %s",
		                  doc_kind_text(list));
	} else {
		for (size_t i = 0; i < list->count && !l->refused && !l->plan->keep.failed; i++)
			one_step(l, parent, list->items[i].value);
	}
	l->depth--;
}

void load_variables(struct load *l, const struct doc *map)
{
	struct testplan *p = l->plan;

	for (size_t i = 0; doc_is(map, DOC_MAP) && i < map->count && !p->keep.failed; i++) {
		const struct doc *value = map->items[i].value;
		uint32_t slot = testplan_slot(p, map->items[i].key);
		struct scope_item *items;
		struct scope_list *lists;

		l->dialect.line = value->line;
		if (value->kind != DOC_LIST) {
			testplan_add_variable(
			        p, &(struct testplan_variable){
			                   slot, value->line,
			                   value->kind == DOC_STRING
			                           ? dialect_template(&l->dialect, TEMPLATE_PLAIN, value->text)
			                           : load_json(l, value),
			                   value->kind != DOC_STRING });
			continue;
		}
		items = keep_large(&p->keep, (value->count + 1) * sizeof(*items));
		lists = keep_grow(&p->keep, p->lists, p->list_count, sizeof(*lists));
		if (!items || !lists)
			return;
		for (size_t j = 0; j < value->count; j++)
			items[j] = load_item(l, value->items[j].value);
		p->lists = lists;
		lists[p->list_count++] = (struct scope_list){ map->items[i].key, items, value->count,
			                                      value->count > 0,  slot,  value->line };
	}
}
