#include "drive.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "atomic.h"
#include "clock.h"
#include "crew.h"
#include "net.h"
#include "play.h"

enum { OPEN_USERS_MAX = 20000 };

/* What one thread counts. */
struct tally {
	struct drive_endpoint *endpoints;
	uint64_t statuses[1000], failures[FAILURE_COUNT], requests;
};

struct run {
	const struct testplan *plan;
	const struct drive_options *options;
	struct keep keep;
	struct play_common common;
	struct net_addresses *addresses;
	struct crew_target *targets;
	struct tls *tls;     /* NULL: no server wants it */
	uint32_t *endpoints; /* by step's id */
	const char **names;
	size_t name_count;
	struct tally *tallies;
	struct sample_sink *sinks;
};

/* ---- counting ---- */

static void on_request(void *self, const struct sample_request *s)
{
	struct tally *t = self;
	struct drive_endpoint *e = &t->endpoints[s->endpoint];

	t->requests++;
	e->requests++;
	e->bytes_in += s->bytes_in;
	e->bytes_out += s->bytes_out;
	if (s->failure != SAMPLE_ANSWERED) {
		t->failures[s->failure < FAILURE_COUNT ? s->failure : FAILURE_OTHER]++;
		e->errors++;
		return;
	}
	t->statuses[s->status < 1000 ? s->status : 0]++;
	e->answered++;
	e->errors += !s->expected;
	histogram_record(&e->service, sample_service_time(s));
}

static void on_iteration(void *self, const struct sample_iteration *s)
{
	(void)self;
	(void)s;
}

static void on_dropped(void *self, uint32_t scenario, uint64_t count)
{
	(void)self;
	(void)scenario;
	(void)count; /* the crew adds them up */
}

/* ---- names ---- */

static void name_step(struct run *r, const struct testplan_step *step)
{
	if (step->kind == TESTPLAN_REQUEST) {
		size_t i = 0;
		const char **names;

		while (i < r->name_count && strcmp(r->names[i], step->name) != 0)
			i++;
		if (i == r->name_count && (names = keep_grow(&r->keep, r->names, r->name_count, sizeof(*names)))) {
			r->names = names;
			r->names[r->name_count++] = step->name;
		}
		r->endpoints[step->id] = (uint32_t)i;
	}
	for (const struct testplan_step *c = step->first; c; c = c->next)
		name_step(r, c);
}

static int name_all(struct run *r, struct err *err)
{
	const struct testplan *p = r->plan;

	r->endpoints = keep_large(&r->keep, (p->step_count + 1) * sizeof(*r->endpoints));
	for (size_t i = 0; r->endpoints && i < p->scenario_count; i++)
		for (size_t j = 0; j < p->scenarios[i].flow_count; j++)
			name_step(r, p->scenarios[i].flows[j].root);
	return r->keep.failed ? err_set(err, -ENOMEM, "out of memory") : 0;
}

/* ---- servers ---- */

static int find_servers(struct run *r, struct err *err)
{
	const struct testplan *p = r->plan;

	r->addresses = keep_large(&r->keep, (p->origin_count + 1) * sizeof(*r->addresses));
	r->targets = keep_large(&r->keep, (p->origin_count + 1) * sizeof(*r->targets));
	if (!r->addresses || !r->targets)
		return err_set(err, -ENOMEM, "out of memory");
	if (p->origin_count == 0)
		return err_set(err, -EINVAL, "the plan names no server");
	for (size_t i = 0; i < p->origin_count; i++) {
		int rc;

		rc = p->origins[i].tls && !r->tls ? tls_new(&r->options->tls, &r->tls, err) : 0;
		if (rc == 0)
			rc = net_resolve(p->origins[i].host, p->origins[i].port, &r->addresses[i], err);
		if (rc < 0)
			return rc;
		r->targets[i].addresses = &r->addresses[i];
		r->targets[i].host = p->origins[i].host;
		r->targets[i].tls = p->origins[i].tls ? r->tls : NULL;
	}
	return 0;
}

/* ---- schedules ---- */

static uint64_t scaled(const struct run *r, uint64_t ns)
{
	return ns == TESTPLAN_FOREVER ? UINT64_MAX / 4 : (uint64_t)fmin((double)ns * r->options->time_scale, 1e18);
}

/* A jump is a stage of no length. */
static void curve(struct run *r, const struct testplan_scenario *s, double unit, struct schedule_curve *out)
{
	struct schedule_stage *stages = keep_large(&r->keep, (2 * s->stage_count + 2) * sizeof(*stages));

	*out = (struct schedule_curve){ .start = s->start / unit, .stages = stages };
	if (!stages)
		return;
	if (s->executor == TESTPLAN_CONSTANT_ARRIVAL_RATE) {
		out->start = s->rate / unit;
		stages[out->count++] = (struct schedule_stage){ scaled(r, s->duration_ns), s->rate / unit };
	}
	for (size_t i = 0; i < s->stage_count; i++) {
		const struct testplan_stage *stage = &s->stages[i];

		if (stage->jump)
			stages[out->count++] = (struct schedule_stage){ 0, stage->target / unit };
		if (!stage->jump || stage->duration_ns)
			stages[out->count++] =
			        (struct schedule_stage){ scaled(r, stage->duration_ns), stage->target / unit };
	}
}

/* Without a bound of the plan's own: those that its pauses need (Little), and as many again for answers of up to 2 s. */
static uint64_t open_users(const struct run *r, const struct testplan_scenario *s)
{
	double requests, pause_ns, users;

	if (s->most_users || s->allocated_users)
		return s->most_users > s->allocated_users ? s->most_users : s->allocated_users;
	testplan_expect(s, &requests, &pause_ns);
	users = 2 * testplan_peak(s) * (pause_ns * r->options->time_scale / 1e9 + 2) + 10;
	return (uint64_t)fmin(users, OPEN_USERS_MAX);
}

static void schedule(struct run *r, const struct testplan_scenario *s, const struct play_source *source,
                     struct crew_scenario *out)
{
	static const enum crew_executor executors[] = { [TESTPLAN_SHARED_ITERATIONS] = CREW_SHARED_ITERATIONS,
		                                        [TESTPLAN_PER_VU_ITERATIONS] = CREW_PER_VU_ITERATIONS,
		                                        [TESTPLAN_CONSTANT_VUS] = CREW_CONSTANT_VUS,
		                                        [TESTPLAN_RAMPING_VUS] = CREW_RAMPING_VUS,
		                                        [TESTPLAN_CONSTANT_ARRIVAL_RATE] = CREW_ARRIVAL_RATE,
		                                        [TESTPLAN_RAMPING_ARRIVAL_RATE] = CREW_ARRIVAL_RATE };
	bool open = testplan_is_open(s->executor);

	*out = (struct crew_scenario){ .source = { &play_ops, source },
		                       .executor = executors[s->executor],
		                       .users = open                                  ? open_users(r, s)
		                                : s->executor == TESTPLAN_RAMPING_VUS ? (uint64_t)ceil(testplan_peak(s))
		                                                                      : s->users,
		                       .iterations = s->iterations,
		                       .start_ns = scaled(r, s->start_ns),
		                       .graceful_ns = scaled(r, s->graceful_stop_ns),
		                       .ramp_ns = scaled(r, s->ramp_ns),
		                       .fresh_connections = s->fresh_connections };
	out->duration_ns =
	        testplan_length_ns(s) == TESTPLAN_FOREVER ? UINT64_MAX / 4 : scaled(r, testplan_length_ns(s));
	if (open || s->executor == TESTPLAN_RAMPING_VUS)
		curve(r, s, open ? (double)s->time_unit_ns / 1e9 : 1, &out->schedule.curve);
	out->schedule.model = open                                  ? SCHEDULE_OPEN
	                      : s->executor == TESTPLAN_RAMPING_VUS ? SCHEDULE_RAMPING
	                                                            : SCHEDULE_CLOSED;
	out->schedule.duration_ns = out->duration_ns;
	out->schedule.poisson = s->is_poisson;
	out->schedule.seed = r->options->seed;
	/* Who arrives at Artillery's waits; k6 drops who finds nobody free. */
	out->schedule.backlog_max = open && s->most_users == 0 && s->allocated_users == 0 ? UINT32_MAX : 0;
	if (out->users == 0)
		out->users = 1;
}

/* ---- running ---- */

static int wait_for(struct crew *crew, int stop_fd)
{
	struct pollfd fds[] = { { .fd = crew_fd(crew), .events = POLLIN }, { .fd = stop_fd, .events = POLLIN } };
	bool stopped = false;

	for (;;) {
		int n = poll(fds, stop_fd >= 0 && !stopped ? 2 : 1, -1);

		if (n > 0 && fds[0].revents)
			return stopped;
		if (n > 0 && fds[1].revents && !stopped) {
			crew_stop(crew);
			stopped = true;
		}
	}
}

static int run_phase(struct run *r, enum testplan_phase phase, struct drive_result *result, struct err *err)
{
	const struct testplan *p = r->plan;
	struct crew_scenario *scenarios = keep_large(&r->keep, (p->scenario_count + 1) * sizeof(*scenarios));
	struct play_source *sources = keep_large(&r->keep, (p->scenario_count + 1) * sizeof(*sources));
	struct crew_plan plan = { .scenarios = scenarios,
		                  .targets = r->targets,
		                  .target_count = p->origin_count,
		                  .threads = r->options->threads,
		                  .seed = r->options->seed };
	struct crew_result crew_result;
	struct crew *crew;
	int rc;

	if (!scenarios || !sources)
		return err_set(err, -ENOMEM, "out of memory");
	plan.timeout_ns = p->timeout_ns ? p->timeout_ns : r->options->timeout_ns;
	for (size_t i = 0; i < p->scenario_count; i++) {
		if (p->scenarios[i].phase != phase || p->scenarios[i].users == 0)
			continue;
		sources[plan.scenario_count] = (struct play_source){ &r->common, &p->scenarios[i] };
		schedule(r, &p->scenarios[i], &sources[plan.scenario_count], &scenarios[plan.scenario_count]);
		plan.descriptors += scenarios[plan.scenario_count++].users;
	}
	if (plan.scenario_count == 0 || r->keep.failed)
		return r->keep.failed ? err_set(err, -ENOMEM, "out of memory") : 0;
	rc = crew_start(&plan, r->sinks, &crew, err);
	if (rc < 0)
		return rc;
	result->stopped = wait_for(crew, r->options->stop_fd);
	rc = crew_finish(crew, &crew_result, err);
	if (rc < 0)
		return rc;
	result->iterations += crew_result.iterations;
	result->cut_off += crew_result.cut_off;
	result->dropped += crew_result.dropped;
	result->interrupted += crew_result.interrupted;
	result->aborted = crew_result.aborted ? crew_result.aborted : result->aborted;
	if (phase == TESTPLAN_MAIN)
		result->elapsed_ns = crew_result.elapsed_ns;
	return 0;
}

/* ---- results ---- */

static int make_endpoints(struct drive_endpoint **ret, const struct run *r)
{
	*ret = calloc(r->name_count + 1, sizeof(**ret));
	for (size_t i = 0; *ret && i < r->name_count; i++) {
		(*ret)[i].name = r->names[i];
		if (histogram_init(&(*ret)[i].service) < 0)
			return -ENOMEM;
	}
	return *ret ? 0 : -ENOMEM;
}

static void free_endpoints(struct drive_endpoint *endpoints, size_t count)
{
	for (size_t i = 0; endpoints && i < count; i++)
		histogram_done(&endpoints[i].service);
	free(endpoints);
}

static void add_up(struct run *r, struct drive_result *result)
{
	for (uint64_t t = 0; t < r->options->threads; t++) {
		const struct tally *from = &r->tallies[t];

		result->requests += from->requests;
		for (size_t i = 0; i < ARRAY_LEN(from->statuses); i++)
			result->statuses[i] += from->statuses[i];
		for (size_t i = 0; i < FAILURE_COUNT; i++)
			result->failures[i] += from->failures[i];
		for (size_t i = 0; i < r->name_count; i++) {
			struct drive_endpoint *e = &result->endpoints[i];

			e->requests += from->endpoints[i].requests;
			e->answered += from->endpoints[i].answered;
			e->errors += from->endpoints[i].errors;
			e->bytes_in += from->endpoints[i].bytes_in;
			e->bytes_out += from->endpoints[i].bytes_out;
			histogram_merge(&e->service, &from->endpoints[i].service);
		}
	}
	/* relaxed: the threads have been joined */
	for (size_t i = 0; i < r->name_count; i++)
		result->endpoints[i].failed = load_relaxed(&r->common.failed[i]);
	for (size_t i = 0; i < r->plan->check_count; i++)
		result->checks[i] =
		        (struct drive_check){ r->plan->check_names[i], load_relaxed(&r->common.checks_held[i]),
			                      load_relaxed(&r->common.checks_failed[i]) };
	result->iterations_failed = load_relaxed(&r->common.iterations_failed);
	result->unknown_origins = load_relaxed(&r->common.unknown_origins);
}

static int prepare(struct run *r, struct drive_result *result, struct err *err)
{
	const struct testplan *p = r->plan;
	struct timespec now;
	int rc = name_all(r, err);

	if (rc == 0)
		rc = find_servers(r, err);
	if (rc < 0)
		return rc;
	(void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
	r->common.plan = p;
	r->common.endpoints = r->endpoints;
	r->common.unix_offset_ms =
	        (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - (int64_t)(clock_now() / 1000000);
	r->common.checks_held = keep_large(&r->keep, (p->check_count + 1) * sizeof(*r->common.checks_held));
	r->common.checks_failed = keep_large(&r->keep, (p->check_count + 1) * sizeof(*r->common.checks_failed));
	r->common.failed = keep_large(&r->keep, (r->name_count + 1) * sizeof(*r->common.failed));
	r->tallies = keep_large(&r->keep, r->options->threads * sizeof(*r->tallies));
	r->sinks = keep_large(&r->keep, r->options->threads * sizeof(*r->sinks));
	result->checks = calloc(p->check_count + 1, sizeof(*result->checks));
	if (r->keep.failed || !result->checks || make_endpoints(&result->endpoints, r) < 0 ||
	    !vu_common_init(&r->common.vus, p, r->options->seed, r->options->time_scale))
		return err_set(err, -ENOMEM, "out of memory");
	result->endpoint_count = r->name_count;
	result->check_count = p->check_count;
	for (uint64_t t = 0; t < r->options->threads; t++) {
		if (make_endpoints(&r->tallies[t].endpoints, r) < 0)
			return err_set(err, -ENOMEM, "out of memory");
		r->sinks[t] = (struct sample_sink){ &r->tallies[t], on_request, on_iteration, on_dropped };
	}
	return 0;
}

int drive_run(const struct testplan *plan, const struct drive_options *options, struct drive_result *ret_result,
              struct err *err)
{
	struct run r = { .plan = plan, .options = options };
	struct drive_result result = { 0 };
	int rc = prepare(&r, &result, err);

	for (enum testplan_phase phase = TESTPLAN_SETUP; rc == 0 && phase <= TESTPLAN_TEARDOWN && !result.stopped;
	     phase++)
		rc = run_phase(&r, phase, &result, err);
	if (rc == 0)
		add_up(&r, &result);
	for (uint64_t t = 0; r.tallies && t < options->threads; t++)
		free_endpoints(r.tallies[t].endpoints, r.name_count);
	if (r.common.vus.shared)
		vu_common_done(&r.common.vus);
	if (r.tls)
		tls_free(r.tls);
	keep_done(&r.keep);
	if (rc < 0) {
		drive_done(&result);
		return rc;
	}
	*ret_result = result;
	return 0;
}

void drive_done(struct drive_result *r)
{
	free_endpoints(r->endpoints, r->endpoint_count);
	free(r->checks);
	*r = (struct drive_result){ 0 };
}
