/* Steps: rows drawn apart, checks and conditions that decide nothing, names and variables. */
#include <stdlib.h>
#include <string.h>

#include "lint_tools.h"

/* Who sets and who uses each variable: the line, or 0. */
struct usage {
	uint32_t *set, *used, *captured;
	size_t *draws; /* by list: in the request that is being looked at */
};

static void use_template(struct lint *l, struct usage *u, const struct template *t, uint32_t line)
{
	for (size_t i = 0; t && i < t->count; i++) {
		const struct template_segment *s = &t->segments[i];

		if (s->kind == TEMPLATE_VARIABLE && !u->used[s->slot])
			u->used[s->slot] = line;
		if (s->kind != TEMPLATE_CALL)
			continue;
		if (s->call->function == TEMPLATE_CALL_RANDOM_ITEM && s->path)
			u->draws[s->call->number]++;
		if (s->call->result != TEMPLATE_NO_SLOT)
			u->set[s->call->result] = line;
		for (size_t j = 0; j < s->call->arg_count; j++)
			use_template(l, u, s->call->args[j], line);
	}
}

static void use_condition(struct lint *l, struct usage *u, const struct condition *c, uint32_t line)
{
	const struct template *operands[2 * CONDITION_DEPTH_MAX];
	size_t n = condition_operands(c, operands, ARRAY_LEN(operands));

	for (size_t i = 0; i < n; i++)
		use_template(l, u, operands[i], line);
}

/* ---- checks ---- */

static bool matches_anything(const struct check *c)
{
	struct pattern_memory *memory = pattern_memory_new();
	bool matches = false;

	for (size_t i = 0; memory && c->test == CHECK_MATCHES && i < c->expected_count; i++) {
		struct pattern_match m;

		matches = pattern_find(c->patterns[i], memory, "", 0, 0, &m) || matches;
		if (!c->any && !matches)
			break;
	}
	pattern_memory_free(memory);
	return matches;
}

/* Numbers that are never below 0; a status is 100 at least. */
static bool is_always_above(const struct check *c, size_t i)
{
	const char *text = template_constant(c->expected[i]);
	double least = c->subject == CHECK_STATUS ? 100 : 0, n;
	char *end;

	if (!text || c->subject == CHECK_BODY || c->subject == CHECK_HEAD || c->subject == CHECK_VALUE ||
	    c->subject == CHECK_TEXT)
		return false;
	n = strtod(text, &end);
	return end != text && (c->test == CHECK_AT_LEAST ? n <= least : c->test == CHECK_ABOVE && n < least);
}

static bool always_holds(const struct check *c)
{
	size_t always = 0;

	if (c->test == CHECK_EXISTS)
		return !c->negated && c->subject != CHECK_VALUE;
	if (c->negated)
		return false;
	if (c->test == CHECK_MATCHES)
		return c->subject != CHECK_VALUE && matches_anything(c);
	if (c->test == CHECK_MATCHES_ALL)
		return false;
	for (size_t i = 0; i < c->expected_count; i++) {
		const char *text = template_constant(c->expected[i]),
		           *own = c->subject == CHECK_TEXT ? template_constant(c->text) : NULL;

		always += (c->test == CHECK_CONTAINS && text && !*text && c->subject != CHECK_VALUE) ||
		          is_always_above(c, i) || (c->test == CHECK_EQUALS && text && own && strcmp(text, own) == 0);
	}
	return c->expected_count == 0 || (c->any ? always > 0 : always == c->expected_count);
}

static bool never_holds(const struct check *c)
{
	const char *text = c->expected_count == 1 && (c->test == CHECK_BELOW || c->test == CHECK_AT_MOST)
	                           ? template_constant(c->expected[0])
	                           : NULL;
	bool is_number = c->subject == CHECK_DURATION || c->subject == CHECK_SIZE;

	return is_number && text && !c->negated &&
	       (strtod(text, NULL) < 0 || (c->test == CHECK_BELOW && strtod(text, NULL) <= 0));
}

static void checks(struct lint *l, struct usage *u, const struct testplan_request *r)
{
	for (size_t i = 0; i < r->check_count; i++) {
		const struct check *c = &r->checks[i];

		if (always_holds(c))
			lint_add(l, c->line, "the check '%.100s' always passes", c->name);
		if (never_holds(c))
			lint_add(l, c->line, "the check '%.100s' never passes", c->name);
		use_template(l, u, c->text, c->line);
		for (size_t j = 0; c->expected && j < c->expected_count; j++)
			use_template(l, u, c->expected[j], c->line);
	}
}

/* ---- requests ---- */

static bool varies_without_end(const struct template *t)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->segments[i].kind != TEMPLATE_TEXT)
			return true;
	return false;
}

static void request(struct lint *l, struct usage *u, const struct testplan_step *step)
{
	const struct testplan_request *r = step->request;

	memset(u->draws, 0, l->plan->list_count * sizeof(*u->draws));
	use_template(l, u, r->target, step->line);
	use_template(l, u, r->body, step->line);
	use_template(l, u, r->user, step->line);
	use_template(l, u, r->password, step->line);
	for (size_t i = 0; i < r->header_count; i++)
		use_template(l, u, r->headers[i].value, step->line);
	for (size_t i = 0; i < l->plan->list_count; i++)
		if (u->draws[i] > 1)
			lint_add(l, step->line,
			         "'%.60s' is drawn from %zu times in one request, as if the draws were one: parts of "
			         "different rows would not "
			         "belong together, so all of them are of one row here",
			         l->plan->lists[i].name, u->draws[i]);
	checks(l, u, r);
	if (strstr(step->name, "${") || strstr(step->name, "{{")) {
		if (varies_without_end(r->target))
			lint_add(l, step->line,
			         "the URL varies and has no name of its own: its figures stand under '%.80s'; 'name' "
			         "gives it a better one",
			         step->name);
		else
			lint_add(
			        l, step->line,
			        "the name '%.80s' has a variable in it: names are not filled in, so that they stay few",
			        step->name);
	} else if (r->origin == TESTPLAN_NO_ORIGIN) {
		lint_add(l, step->line, "the server's name varies: its address is looked up while the run measures");
	}
	for (size_t i = 0; i < r->capture_count; i++) {
		const struct capture *c = &r->captures[i];

		u->set[c->slot] = c->line;
		u->captured[c->slot] = c->line;
		if (c->match != CAPTURE_ALL)
			continue;
		for (size_t j = 0; j < CAPTURE_ALL_MAX; j++)
			u->set[c->all[j]] = c->line;
		u->set[c->count_slot] = c->line;
		if (c->joined_slot != TEMPLATE_NO_SLOT)
			u->set[c->joined_slot] = c->line;
	}
}

/* ---- steps ---- */

static void decides(struct lint *l, const struct testplan_step *s)
{
	int constant = s->condition ? condition_constant(s->condition) : -1;

	if (constant >= 0)
		lint_add(l, s->line, "the condition %s: %s", constant ? "always holds" : "never holds",
		         s->kind == TESTPLAN_WHILE
		                 ? (constant ? "the loop has no end" : "what is in the loop is not done")
		                 : (constant ? "it decides nothing" : "what depends on it is never done"));
	if (s->kind == TESTPLAN_LOOP && s->count == 0 && !s->value)
		lint_add(l, s->line, "a loop of 0 times: what is in it is never done");
	if (s->kind == TESTPLAN_PERCENT && s->percent == 0)
		lint_add(l, s->line, "0 %% of the times: what is in it is never done");
}

static void walk(struct lint *l, struct usage *u, const struct testplan_step *s)
{
	if (s->kind == TESTPLAN_REQUEST)
		request(l, u, s);
	decides(l, s);
	use_template(l, u, s->value, s->line);
	use_template(l, u, s->pause.a, s->line);
	use_template(l, u, s->pause.b, s->line);
	if (s->condition)
		use_condition(l, u, s->condition, s->line);
	for (size_t i = 0; s->kind == TESTPLAN_EACH_MATCH && i < s->count; i++)
		u->used[s->slots[i]] = s->line;
	if (s->kind == TESTPLAN_SET || s->kind == TESTPLAN_COUNT || s->kind == TESTPLAN_FOREACH ||
	    s->kind == TESTPLAN_EACH_MATCH || s->kind == TESTPLAN_LOOP || s->kind == TESTPLAN_WHILE)
		if (s->slot != TEMPLATE_NO_SLOT)
			u->set[s->slot] = s->line;
	if (s->kind == TESTPLAN_FEED)
		for (size_t i = 0; i < l->plan->feeders[s->number].column_count; i++)
			u->set[l->plan->feeders[s->number].slots[i]] = s->line;
	for (const struct testplan_step *c = s->first; c; c = c->next)
		walk(l, u, c);
}

static void variables(struct lint *l, struct usage *u)
{
	const struct testplan *p = l->plan;

	for (size_t i = 0; i < p->variable_count; i++) {
		u->set[p->variables[i].slot] = p->variables[i].line;
		use_template(l, u, p->variables[i].value, p->variables[i].line);
	}
	for (size_t i = 0; i < p->list_count; i++)
		if (p->lists[i].is_sampled)
			u->set[p->lists[i].slot] = p->lists[i].line;
	for (size_t i = 0; i < p->slot_count; i++) {
		if (u->used[i] && !u->set[i] && i != p->last_ok_slot)
			lint_add(l, u->used[i], "'%.60s' is used, and nothing gives it a value", p->slots[i]);
		if (u->captured[i] && !u->used[i])
			lint_add(l, u->captured[i], "'%.60s' is captured and never used", p->slots[i]);
	}
}

void lint_flows(struct lint *l)
{
	struct testplan *p = l->plan;
	struct usage u = { keep_large(&p->keep, (p->slot_count + 1) * sizeof(uint32_t)),
		           keep_large(&p->keep, (p->slot_count + 1) * sizeof(uint32_t)),
		           keep_large(&p->keep, (p->slot_count + 1) * sizeof(uint32_t)),
		           keep_large(&p->keep, (p->list_count + 1) * sizeof(size_t)) };

	if (!u.set || !u.used || !u.captured || !u.draws)
		return;
	for (size_t i = 0; i < p->scenario_count; i++)
		for (size_t j = 0; j < p->scenarios[i].flow_count; j++)
			walk(l, &u, p->scenarios[i].flows[j].root);
	variables(l, &u);
}
