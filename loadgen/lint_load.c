/* Schedules and thresholds: arithmetic on what the plan asks for. The server is taken to answer at once wherever that is the
 * best case, so that what is said holds for any server. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lint_tools.h"
#include "units.h"

enum { SLOW_NS = 100000000 }; /* a response time that is not assumed to be usual */

static const char *duration(char out[24], double ns)
{
	return units_print_duration(out, 24, ns > 0 ? (uint64_t)fmin(ns, 1e18) : 0);
}

/* Users that start so far apart that each is done before the next begins. */
static void alone(struct lint *l, const struct testplan_scenario *s, double requests, double pause_ns)
{
	double apart, answer_ns;
	char a[24], b[24];

	if (s->users < 2 || !s->ramp_ns || s->iterations == TESTPLAN_FOREVER ||
	    s->executor != TESTPLAN_PER_VU_ITERATIONS || requests <= 0)
		return;
	apart = (double)s->ramp_ns / (double)s->users;
	answer_ns = (apart - (double)s->iterations * pause_ns) / ((double)s->iterations * requests);
	if (answer_ns < SLOW_NS)
		return;
	lint_add(l, s->line,
	         "'%.60s': %llu users start %s apart and are done after %.0f requests each: unless answers take more "
	         "than %s, there is "
	         "never more than one user at a time",
	         s->name, (unsigned long long)s->users, duration(a, apart), (double)s->iterations * requests,
	         duration(b, answer_ns));
}

static void ends(struct lint *l, const struct testplan_scenario *s, double requests, double pause_ns)
{
	double work = s->iterations == TESTPLAN_FOREVER ? 0 : (double)s->iterations * pause_ns;
	char a[24], b[24];

	if (testplan_is_open(s->executor) || s->executor == TESTPLAN_RAMPING_VUS || !s->duration_ns)
		return;
	if (s->ramp_ns > s->duration_ns) {
		lint_add(l, s->line,
		         "'%.60s': the last of the users start after %s, but the run ends after %s: %.0f of %llu never "
		         "start",
		         s->name, duration(a, (double)s->ramp_ns), duration(b, (double)s->duration_ns),
		         (double)s->users * (1 - (double)s->duration_ns / (double)s->ramp_ns),
		         (unsigned long long)s->users);
		return;
	}
	if (s->executor == TESTPLAN_SHARED_ITERATIONS && s->iterations != TESTPLAN_FOREVER)
		work /= (double)(s->users ? s->users : 1);
	if (s->iterations != TESTPLAN_FOREVER && work > (double)s->duration_ns)
		lint_add(l, s->line,
		         "'%.60s': its pauses alone take %s, but it is ended after %s: not all iterations are done",
		         s->name, duration(a, work), duration(b, (double)s->duration_ns));
	/* JMeter's duration is asked for; our maxDuration is only a bound. */
	if (strcmp(l->plan->source, "JMeter") == 0 && s->iterations != TESTPLAN_FOREVER && s->users &&
	    (double)s->ramp_ns + work + (double)s->iterations * requests * SLOW_NS < (double)s->duration_ns / 2)
		lint_add(l, s->line,
		         "'%.60s': its duration of %s is not reached: the loops of all users are over after about %s",
		         s->name, duration(a, (double)s->duration_ns),
		         duration(b, (double)s->ramp_ns * (1 - 1 / (double)s->users) + work));
}

/* Little's law: arrivals a second times seconds of pause is how many users there are at least. */
static void too_few(struct lint *l, const struct testplan_scenario *s, double pause_ns)
{
	double users = testplan_peak(s) * pause_ns / 1e9;
	uint64_t most = s->most_users                                ? s->most_users
	                : strcmp(l->plan->source, "probe-load") == 0 ? s->allocated_users
	                                                             : 0;

	if (testplan_is_open(s->executor) && most && users > (double)most)
		lint_add(l, s->line,
		         "'%.60s': %.4g arrivals a second with pauses of %.3g s need %.0f users, but there are %llu at "
		         "most: arrivals are dropped",
		         s->name, testplan_peak(s), pause_ns / 1e9, users, (unsigned long long)most);
}

static void stages(struct lint *l, const struct testplan_scenario *s)
{
	for (size_t i = 0; i < s->stage_count; i++)
		if (s->stages[i].duration_ns > 0 && s->stage_count == 1 && s->stages[i].target == 0 && s->start <= 0)
			lint_add(l, s->stages[i].line, "'%.60s' never has anything to do: its only stage goes to 0",
			         s->name);
	if (s->duration_ns && s->stage_count && testplan_length_ns(s) > s->duration_ns &&
	    s->executor != TESTPLAN_RAMPING_VUS && s->executor != TESTPLAN_RAMPING_ARRIVAL_RATE)
		lint_add(l, s->line, "'%.60s': its stages are longer than the run", s->name);
}

void lint_schedules(struct lint *l)
{
	for (size_t i = 0; i < l->plan->scenario_count; i++) {
		const struct testplan_scenario *s = &l->plan->scenarios[i];
		double requests, pause_ns;

		testplan_expect(s, &requests, &pause_ns);
		if (requests <= 0)
			lint_add(l, s->line, "'%.60s' makes no request", s->name);
		alone(l, s, requests, pause_ns);
		ends(l, s, requests, pause_ns);
		too_few(l, s, pause_ns);
		stages(l, s);
		for (size_t j = 0; j < s->flow_count; j++)
			if (s->flows[j].weight <= 0)
				lint_add(l, s->flows[j].line, "'%.60s' has the weight 0: it is never chosen",
				         s->flows[j].name);
	}
}

/* ---- thresholds ---- */

/* The most that all scenarios can do, on average over the run: requests or iterations, and how long it takes. INFINITY where
 * nothing but the server limits them. */
struct most {
	double requests, iterations, seconds;
};

static double mean_users(const struct testplan_scenario *s)
{
	double area = 0, before = s->start, length = 0;

	if (s->executor != TESTPLAN_RAMPING_VUS)
		return (double)s->users;
	for (size_t i = 0; i < s->stage_count; i++) {
		const struct testplan_stage *stage = &s->stages[i];

		area += (stage->jump ? stage->target : (before + stage->target) / 2) * (double)stage->duration_ns;
		length += (double)stage->duration_ns;
		before = stage->target;
	}
	return length > 0 ? area / length : before;
}

static void add_most(const struct testplan_scenario *s, struct most *m)
{
	double requests, pause_ns, iterations = INFINITY, seconds = 0;
	uint64_t length = testplan_length_ns(s);

	testplan_expect(s, &requests, &pause_ns);
	if (testplan_is_open(s->executor))
		iterations = (double)testplan_arrivals(s);
	else if (length != TESTPLAN_FOREVER && pause_ns > 0) /* each user begins one more than it finishes */
		iterations = mean_users(s) * (double)length / pause_ns + testplan_peak(s);
	if (s->iterations != TESTPLAN_FOREVER && s->executor == TESTPLAN_PER_VU_ITERATIONS)
		iterations = fmin(iterations, (double)s->users * (double)s->iterations);
	else if (s->iterations != TESTPLAN_FOREVER && s->executor == TESTPLAN_SHARED_ITERATIONS)
		iterations = fmin(iterations, (double)s->iterations);
	/* How long it lasts at least: for a rate, less time is more. */
	if (s->executor != TESTPLAN_PER_VU_ITERATIONS && s->executor != TESTPLAN_SHARED_ITERATIONS &&
	    length != TESTPLAN_FOREVER)
		seconds = (double)length / 1e9;
	else if (s->executor == TESTPLAN_PER_VU_ITERATIONS && s->users)
		seconds = ((double)s->ramp_ns * (1 - 1 / (double)s->users) +
		           (s->iterations == TESTPLAN_FOREVER ? 0 : (double)s->iterations * pause_ns)) /
		          1e9;
	m->requests += requests > 0 ? iterations * requests : 0;
	m->iterations += iterations;
	m->seconds = fmax(m->seconds, (double)s->start_ns / 1e9 + seconds);
}

struct threshold {
	char aggregate[16];
	char op[4];
	double value;
};

/* k6's grammar: aggregate, operator, number. */
static bool parse(const char *text, struct threshold *t)
{
	static const char *const ops[] = { "===", "<=", ">=", "==", "!=", "<", ">" };
	size_t len = strcspn(text, "<>=! "), op;
	char *end;

	while (*text == ' ')
		text++;
	len = strcspn(text, "<>=! ");
	if (len == 0 || len >= sizeof(t->aggregate))
		return false;
	memcpy(t->aggregate, text, len);
	t->aggregate[len] = '\0';
	text += len + strspn(text + len, " ");
	for (op = 0; op < ARRAY_LEN(ops) && strncmp(text, ops[op], strlen(ops[op])) != 0; op++)
		;
	if (op == ARRAY_LEN(ops))
		return false;
	memcpy(t->op, ops[op], strlen(ops[op]) + 1);
	t->value = strtod(text + strlen(ops[op]), &end);
	return end != text + strlen(ops[op]);
}

/* Is there a value from `least` to `most` for which it holds? */
static bool can_hold(const struct threshold *t, double least, double most)
{
	if (t->op[0] == '<')
		return t->op[1] ? least <= t->value : least < t->value;
	if (t->op[0] == '>')
		return t->op[1] ? most >= t->value : most > t->value;
	if (t->op[0] == '!')
		return least != most || least != t->value;
	return t->value >= least && t->value <= most;
}

static bool starts(const char *text, const char *with)
{
	size_t len = strlen(with);

	return strncmp(text, with, len) == 0 && (text[len] == '\0' || text[len] == '{');
}

static void counted(struct lint *l, const struct testplan_threshold *given, const struct threshold *t, double most,
                    const struct most *m)
{
	bool rate = strcmp(t->aggregate, "rate") == 0;
	double bound = rate ? (m->seconds > 0 ? most / m->seconds : INFINITY) : most;

	if (!can_hold(t, 0, bound) && isfinite(bound))
		lint_add(l, given->line,
		         "the threshold '%s: %s' cannot pass: with its schedule and pauses the plan makes %.4g%s at "
		         "most, however fast the server is",
		         given->metric, given->expression, bound, rate ? " a second" : "");
}

void lint_thresholds(struct lint *l)
{
	const struct testplan *p = l->plan;
	struct most m = { 0 };

	for (size_t i = 0; i < p->scenario_count; i++)
		add_most(&p->scenarios[i], &m);
	for (size_t i = 0; i < p->threshold_count; i++) {
		const struct testplan_threshold *given = &p->thresholds[i];
		struct threshold t;
		bool is_rate = starts(given->metric, "http_req_failed") || starts(given->metric, "checks");

		if (!parse(given->expression, &t)) {
			lint_add(l, given->line, "the threshold '%s: %s' is not understood", given->metric,
			         given->expression);
			continue;
		}
		if (starts(given->metric, "http_reqs"))
			counted(l, given, &t, m.requests, &m);
		else if (starts(given->metric, "iterations"))
			counted(l, given, &t, m.iterations, &m);
		else if (!can_hold(&t, 0, is_rate ? 1 : INFINITY))
			lint_add(l, given->line, "the threshold '%s: %s' cannot pass: no such value exists",
			         given->metric, given->expression);
		if (is_rate && can_hold(&t, 0, 0) && can_hold(&t, 1, 1) && t.op[0] != '=' && t.op[0] != '!')
			lint_add(l, given->line, "the threshold '%s: %s' always passes", given->metric,
			         given->expression);
		if (starts(given->metric, "checks") && p->check_count == 0)
			lint_add(l, given->line, "the threshold '%s: %s' cannot pass: the plan has no check",
			         given->metric, given->expression);
	}
}
