/*
 * plan_load.c - command line to plan: how many connections, how long, which model, and when things start.
 *
 * Order of what decides: a preset gives stages; --stage gives them, too; then -r says that they are rates. --time-scale stretches
 * every duration and no rate. The warm-up comes before: at the first stage's starting value, and is not measured.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan.h"
#include "units.h"

enum { DEFAULT_CONNECTIONS = 10, OPEN_CONNECTIONS = 1000, PRESET_STAGES_MAX = 4, STAGES_MAX = CLI_LIST_MAX + 1 };
static const uint64_t default_duration_ns = 10 * NS_PER_S, default_timeout_ns = 60 * NS_PER_S;
static const uint64_t default_backlog = 1000000, minute_ns = 60 * NS_PER_S;
static const double rate_max = 1e8;

/* Connections over minutes, about as k6's documents recommend them. */
static const struct preset {
	const char *name;
	double start;
	struct {
		double minutes, target;
	} stages[PRESET_STAGES_MAX]; /* ends at the first of no length */
} presets[] = {
	{ "smoke", 3, { { 1, 3 } } },
	{ "load", 0, { { 5, 100 }, { 30, 100 }, { 5, 0 } } },
	{ "stress", 0, { { 10, 200 }, { 30, 200 }, { 5, 0 } } },
	{ "spike", 0, { { 2, 2000 }, { 1, 0 } } },
	{ "endurance", 0, { { 5, 100 }, { 480, 100 }, { 5, 0 } } },
	{ "volume", 0, { { 5, 50 }, { 60, 50 }, { 5, 0 } } },
};

/* The number given, or the default; 0 where something is needed, and more than `max`, are refused. */
static int pick(uint64_t given, uint64_t fallback, uint64_t max, const char *option, uint64_t *ret_value,
                struct err *err)
{
	*ret_value = given == PLAN_UNSET ? fallback : given;
	if (given == 0)
		return err_set(err, -EINVAL, "%s 0 would do nothing", option);
	if (given != PLAN_UNSET && given > max)
		return err_set(err, -EINVAL, "%s takes at most %llu", option, (unsigned long long)max);
	return 0;
}

static uint64_t scaled(const struct plan_request *r, uint64_t ns)
{
	double scale = r->time_scale > 0 ? r->time_scale : 1, stretched = (double)ns * scale;

	return scale == 1 ? ns : stretched < 0x1p62 ? (uint64_t)(stretched + 0.5) : UINT64_MAX / 2;
}

static int parse_stage(const char *text, struct schedule_stage *ret_stage, struct err *err)
{
	const char *colon = strrchr(text, ':');
	char duration[32], *end;
	size_t len = colon ? (size_t)(colon - text) : 0;

	if (!colon || len >= sizeof(duration) || !colon[1])
		return err_set(err, -EINVAL, "--stage '%s' is not of the form DURATION:TARGET, as in 30s:100", text);
	memcpy(duration, text, len);
	duration[len] = '\0';
	ret_stage->target = strtod(colon + 1, &end);
	if (units_parse_duration(duration, &ret_stage->duration_ns) < 0 || *end || !isfinite(ret_stage->target) ||
	    ret_stage->target < 0)
		return err_set(err, -EINVAL, "--stage '%s' is not of the form DURATION:TARGET, as in 30s:100", text);
	return 0;
}

static void add_stage(struct plan *p, uint64_t duration_ns, double target)
{
	p->stages[p->schedule.curve.count++] = (struct schedule_stage){ duration_ns, target };
}

static int add_preset(const struct plan_request *r, struct plan *p, struct err *err)
{
	const struct preset *found = NULL;

	for (size_t i = 0; i < ARRAY_LEN(presets); i++)
		if (strcmp(r->preset, presets[i].name) == 0)
			found = &presets[i];
	if (!found)
		return err_set(err, -EINVAL, "--preset '%s' is none of smoke, load, stress, spike, endurance, volume",
		               r->preset);
	p->schedule.curve.start = found->start;
	for (size_t i = 0; i < PRESET_STAGES_MAX && found->stages[i].minutes > 0; i++)
		add_stage(p, scaled(r, (uint64_t)(found->stages[i].minutes * (double)minute_ns)),
		          found->stages[i].target);
	return 0;
}

static int add_stages(const struct plan_request *r, struct plan *p, struct err *err)
{
	p->schedule.curve.start = r->rate > 0 ? r->rate : 0;
	for (size_t i = 0; i < r->stages.count; i++) {
		struct schedule_stage stage;
		int rc = parse_stage(r->stages.items[i], &stage, err);

		if (rc < 0)
			return rc;
		add_stage(p, scaled(r, stage.duration_ns), stage.target);
	}
	return 0;
}

/* What excludes what. */
static int check_model(const struct plan_request *r, struct err *err)
{
	bool shaped = r->stages.count || r->preset;

	if (r->stages.count && r->preset)
		return err_set(err, -EINVAL, "--stage and --preset exclude each other");
	if (shaped && (r->duration_ns != PLAN_UNSET || r->requests != PLAN_UNSET))
		return err_set(err, -EINVAL, "%s says how long the run is: -d and -n have no place beside it",
		               r->preset ? "--preset" : "--stage");
	if (r->preset && r->rate > 0)
		return err_set(err, -EINVAL, "--preset is about connections, and -r about rates: one of them, please");
	if (shaped && r->rate <= 0 && r->connections != PLAN_UNSET)
		return err_set(err, -EINVAL,
		               "the stages say how many connections there are: -c has no place beside them");
	if (r->rate < 0 || r->rate > rate_max)
		return err_set(err, -EINVAL, "-r takes a number of requests a second, up to 100 million");
	if (r->time_scale < 0)
		return err_set(err, -EINVAL, "--time-scale takes a positive factor");
	if (r->rate <= 0 && (r->poisson || r->precise || r->backlog_max != PLAN_UNSET))
		return err_set(err, -EINVAL, "%s needs a rate (-r)",
		               r->poisson   ? "--poisson"
		               : r->precise ? "--precise"
		                            : "--max-backlog");
	if (r->warmup_ns != PLAN_UNSET && r->requests != PLAN_UNSET)
		return err_set(err, -EINVAL, "--warmup goes with a run that is limited by time, not by -n");
	return 0;
}

static int build_curve(const struct plan_request *r, struct plan *p, struct err *err)
{
	struct schedule *s = &p->schedule;
	bool shaped = r->stages.count || r->preset;
	int rc;

	s->model = r->rate > 0 ? SCHEDULE_OPEN : shaped ? SCHEDULE_RAMPING : SCHEDULE_CLOSED;
	if (s->model == SCHEDULE_CLOSED)
		return 0;
	p->stages = calloc(STAGES_MAX + PRESET_STAGES_MAX, sizeof(*p->stages));
	if (!p->stages)
		return err_set(err, -ENOMEM, "out of memory");
	s->curve.stages = p->stages;
	if (s->warmup_ns) /* patched below, when the start is known */
		add_stage(p, s->warmup_ns, 0);
	rc = r->preset ? add_preset(r, p, err) : add_stages(r, p, err);
	if (rc < 0)
		return rc;
	if (s->warmup_ns)
		p->stages[0].target = s->curve.start;
	if (!shaped) /* by number alone: the curve goes on until the last one has started */
		add_stage(p, s->duration_ns ? s->duration_ns - s->warmup_ns : UINT64_C(1) << 62, r->rate);
	else
		s->duration_ns = schedule_curve_duration(&s->curve);
	if (schedule_curve_max(&s->curve) <= 0 || (shaped && s->duration_ns == 0))
		return err_set(err, -EINVAL, "these stages would do nothing");
	if (s->duration_ns > UINT64_MAX / 2)
		return err_set(err, -EINVAL, "these stages last too long");
	return 0;
}

static int build_durations(const struct plan_request *r, struct plan *p, struct err *err)
{
	bool unlimited = r->duration_ns == PLAN_UNSET && r->requests == PLAN_UNSET && !r->stages.count && !r->preset;
	struct schedule *s = &p->schedule;
	int rc = pick(r->duration_ns, unlimited ? default_duration_ns : 0, UINT64_MAX / 4, "-d", &s->duration_ns, err);

	if (rc == 0)
		rc = pick(r->requests, 0, UINT64_MAX / 2, "-n", &s->attempts, err);
	if (rc == 0)
		rc = pick(r->timeout_ns, default_timeout_ns, UINT64_MAX / 4, "--timeout", &p->timeout_ns, err);
	if (rc == 0)
		rc = pick(r->backlog_max, default_backlog, UINT64_MAX / 2, "--max-backlog", &s->backlog_max, err);
	s->warmup_ns = r->warmup_ns == PLAN_UNSET ? 0 : scaled(r, r->warmup_ns);
	if (rc == 0 && s->warmup_ns > UINT64_MAX / 4)
		rc = err_set(err, -EINVAL, "--warmup lasts too long");
	if (s->duration_ns)
		s->duration_ns = scaled(r, s->duration_ns) + s->warmup_ns;
	s->poisson = r->poisson;
	s->seed = r->seed == PLAN_UNSET ? 1 : r->seed;
	p->precise = r->precise;
	return rc;
}

int plan_build_load(const struct plan_request *r, uint64_t cpus, struct plan *p, struct err *err)
{
	/* Half of the CPUs: the server is often on the same machine, and one thread drives 200 k requests a second. */
	uint64_t threads = cpus / 2 > 1 ? cpus / 2 : 1, most;
	int rc = check_model(r, err);

	if (rc == 0)
		rc = build_durations(r, p, err);
	if (rc == 0)
		rc = build_curve(r, p, err);
	if (rc < 0)
		return rc;
	most = p->schedule.model == SCHEDULE_OPEN     ? OPEN_CONNECTIONS
	       : p->schedule.model == SCHEDULE_CLOSED ? DEFAULT_CONNECTIONS
	                                              : (uint64_t)ceil(schedule_curve_max(&p->schedule.curve));
	if (most > PLAN_CONNECTIONS_MAX)
		return err_set(err, -EINVAL, "stages take at most %d connections", PLAN_CONNECTIONS_MAX);
	rc = pick(r->connections, most, PLAN_CONNECTIONS_MAX, "-c", &p->connections, err);
	if (rc == 0)
		rc = pick(r->threads, threads < PLAN_THREADS_MAX ? threads : PLAN_THREADS_MAX, PLAN_THREADS_MAX, "-t",
		          &p->threads, err);
	if (rc < 0)
		return rc;
	if (p->schedule.attempts && p->schedule.attempts < p->connections)
		p->connections = p->schedule.attempts; /* the others would never send anything */
	if (p->threads > p->connections)
		p->threads = p->connections;
	return 0;
}
