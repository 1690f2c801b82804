/* The one plan model: what JMeter, Artillery and our own files (docs/plan-format.md) say, resolved. Loaders build it, lint
 * judges it, virtual users play it, the engine schedules it. Main thread while it is built; immutable while users run, but
 * for the feeders' cursors. Everything in it is its keep's; testplan_free() gives it back.
 *
 * Invariants (testplan_check()): every slot is below slot_count, every step's id is its own and below step_count, a
 * scenario has a flow, weights are >= 0 with a sum above 0, and no step contains itself. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "capture.h"
#include "check.h"
#include "condition.h"
#include "err.h"
#include "feeder.h"
#include "keep.h"
#include "scope.h"
#include "template.h"
#include "url.h"

enum {
	TESTPLAN_SLOTS_MAX = 8192,
	TESTPLAN_STEPS_MAX = 1 << 16,
	TESTPLAN_DEPTH_MAX = 48,
	TESTPLAN_STAGES_MAX = 10000,
	TESTPLAN_USERS_MAX = 1000000,
	TESTPLAN_NOTES_MAX = 200,
};
#define TESTPLAN_FOREVER   UINT64_MAX
#define TESTPLAN_NO_ORIGIN UINT32_MAX

/* k6's six. */
enum testplan_executor {
	TESTPLAN_SHARED_ITERATIONS,
	TESTPLAN_PER_VU_ITERATIONS,
	TESTPLAN_CONSTANT_VUS,
	TESTPLAN_RAMPING_VUS,
	TESTPLAN_CONSTANT_ARRIVAL_RATE,
	TESTPLAN_RAMPING_ARRIVAL_RATE,
};
enum { TESTPLAN_EXECUTORS = TESTPLAN_RAMPING_ARRIVAL_RATE + 1 };
const char *testplan_executor_name(enum testplan_executor executor);
bool testplan_is_open(enum testplan_executor executor);

/* Linear from what was before to `target`: users, or arrivals a time unit. */
struct testplan_stage {
	uint64_t duration_ns;
	double target;
	bool jump; /* at its beginning at once, then level */
	const char *name;
	uint32_t line;
};

enum testplan_pause_law {
	TESTPLAN_CONSTANT, /* a */
	TESTPLAN_UNIFORM,  /* from a to b */
	TESTPLAN_GAUSSIAN, /* mean a, deviation b; its absolute value */
	TESTPLAN_POISSON,  /* a plus a Poisson count (of milliseconds) with mean b */
};

struct testplan_pause {
	enum testplan_pause_law law;
	double a_ns, b_ns;
	const struct template *a, *b; /* if not NULL: the number, in units of unit_ns */
	double unit_ns;
};

struct testplan_header {
	const char *name;
	const struct template *value;
};

enum testplan_auth { TESTPLAN_NO_AUTH, TESTPLAN_BASIC, TESTPLAN_DIGEST };

struct testplan_tag {
	const char *name;
	const char *value;
};

struct testplan_request {
	const char *method;
	uint32_t origin;               /* number of the plan's origin, or TESTPLAN_NO_ORIGIN: `target` is a whole URL */
	const struct template *target; /* path and query */
	const struct testplan_header *headers; /* all of them: defaults are merged in */
	size_t header_count;
	const struct template *body; /* NULL: none */
	const struct capture *captures;
	size_t capture_count;
	const struct check *checks;
	size_t check_count;
	uint64_t timeout_ns; /* 0: the plan's */
	enum testplan_auth auth;
	const struct template *user, *password; /* of digest; basic is a header */
	const struct testplan_tag *tags;
	size_t tag_count;
	bool follow_redirects;
	bool wants_body, wants_head; /* captures or checks look at it */
	bool wants_error;            /* its checks are about failures, too: a failed status does not fail the request */
};

enum testplan_kind {
	TESTPLAN_SEQUENCE,
	TESTPLAN_GROUP, /* a sequence with a name; is_transaction: measured as one */
	TESTPLAN_REQUEST,
	TESTPLAN_PAUSE,
	TESTPLAN_LOOP,       /* value or count times; slot: the number of the turn */
	TESTPLAN_FOREACH,    /* slot: the item, of list `number` or of the JSON list that `value` is */
	TESTPLAN_EACH_MATCH, /* slot: the value of each of `slots` that has one, in order (JMeter's name_1, name_2...) */
	TESTPLAN_WHILE,      /* condition; at least once if `at_least_once` */
	TESTPLAN_IF,
	TESTPLAN_RANDOM,     /* one child, by weight */
	TESTPLAN_SHUFFLE,    /* all children in random order */
	TESTPLAN_INTERLEAVE, /* one child, the next each time */
	TESTPLAN_ONCE,       /* in the user's first iteration */
	TESTPLAN_PERCENT,    /* in `percent` of the times, evenly spread */
	TESTPLAN_CHOICE,     /* the child that `value` numbers or names */
	TESTPLAN_PARALLEL,
	TESTPLAN_SET,   /* slot = value */
	TESTPLAN_FEED,  /* the next row of feeder `number` */
	TESTPLAN_COUNT, /* slot = from, from + by, ... up to `to`, then again */
	TESTPLAN_PACE,  /* no more than `percent` times a minute and user */
	TESTPLAN_END_ITERATION,
	TESTPLAN_END_USER,
	TESTPLAN_END_RUN,
};

/* One step, a node of a tree: which fields mean something, its kind says. */
struct testplan_step {
	enum testplan_kind kind;
	uint32_t id, line;
	const char *name;
	struct testplan_step *first, *last, *next; /* children in order; the next one of its parent */
	size_t children;
	double weight; /* under TESTPLAN_RANDOM */
	const struct testplan_request *request;
	struct testplan_pause pause;
	const struct condition *condition;
	const struct template *value;
	uint64_t count, limit; /* limit: of a while's turns */
	uint32_t slot, number;
	const uint32_t *slots;
	double percent;
	int64_t from, to, by;
	bool is_transaction, at_least_once, is_json;
};

struct testplan_flow {
	const char *name;
	double weight;
	struct testplan_step *root; /* a sequence */
	uint32_t line;
};

/* What a failed request means for its iteration. */
enum testplan_on_error { TESTPLAN_GO_ON, TESTPLAN_NEXT_ITERATION, TESTPLAN_STOP_USER, TESTPLAN_STOP_RUN };

enum testplan_phase { TESTPLAN_SETUP, TESTPLAN_MAIN, TESTPLAN_TEARDOWN };

struct testplan_scenario {
	const char *name;
	uint32_t line;
	enum testplan_phase phase;
	enum testplan_executor executor;
	uint64_t users, iterations; /* iterations: of each user or of all; TESTPLAN_FOREVER */
	uint64_t duration_ns;       /* of constant ones; the most of the iterations' ones (0: no bound) */
	uint64_t start_ns, graceful_stop_ns, graceful_ramp_down_ns;
	uint64_t ramp_ns;      /* user i of n starts at i * ramp / n */
	double start;          /* users or rate before the first stage */
	double rate;           /* constant arrivals a time unit */
	uint64_t time_unit_ns; /* of rates */
	bool is_poisson;       /* arrivals at random, with that rate */
	struct testplan_stage *stages;
	size_t stage_count;
	uint64_t allocated_users, most_users; /* arrivals; most_users 0: no bound */
	struct testplan_flow *flows;
	size_t flow_count;
	bool keeps_variables; /* from one iteration to the next */
	bool keeps_cookies;
	bool fresh_connections; /* each iteration has its own */
	enum testplan_on_error on_error;
	const struct testplan_tag *tags;
	size_t tag_count;
};

struct testplan_threshold {
	const char *metric, *expression; /* "http_req_duration{name:x}", "p(95)<500" */
	uint32_t line;
	bool abort_on_fail;
	uint64_t delay_ns;
};

struct testplan_note {
	uint32_t line;
	const char *text;
};

/* A variable that a user begins with. */
struct testplan_variable {
	uint32_t slot, line;
	const struct template *value;
	bool is_json; /* a number, true, false, null, a map */
};

struct testplan {
	struct keep keep;
	const char *name, *path;
	const char *source; /* "JMeter", "Artillery", "probe-load" */
	struct url *origins;
	size_t origin_count;
	const char **slots; /* names of variables */
	size_t slot_count;
	uint32_t *slot_index; /* open addressing: slot + 1, or 0 */
	struct scope_list *lists;
	size_t list_count;
	size_t counter_count, shared_counter_count;
	_Atomic uint64_t *shared_counters;
	struct testplan_variable *variables;
	size_t variable_count;
	struct feeder *feeders;
	size_t feeder_count;
	struct testplan_scenario *scenarios;
	size_t scenario_count;
	struct testplan_threshold *thresholds;
	size_t threshold_count;
	const char **check_names;
	size_t check_count;
	const struct testplan_tag *tags;
	size_t tag_count;
	size_t step_count;
	uint32_t last_ok_slot;       /* is set to whether the last request succeeded, or TEMPLATE_NO_SLOT */
	uint64_t timeout_ns;         /* of a request; 0: the program's */
	struct testplan_note *notes; /* what the loader did not do, or did otherwise */
	size_t note_count;
	bool cookies; /* users keep them */
	bool insecure;
};

struct testplan *testplan_new(const char *path);
void testplan_free(struct testplan *p);

/* ---- for loaders; failures are the keep's ---- */
/* The slot of a variable, a new one if it is not known yet. */
uint32_t testplan_slot(struct testplan *p, const char *name);
bool testplan_find_slot(const struct testplan *p, const char *name, uint32_t *ret_slot);
/* A new step, last under `parent` (which may be NULL). */
struct testplan_step *testplan_add(struct testplan *p, struct testplan_step *parent, enum testplan_kind kind,
                                   uint32_t line);
void testplan_append(struct testplan_step *parent, struct testplan_step *child);
struct testplan_scenario *testplan_add_scenario(struct testplan *p, const char *name, uint32_t line);
struct testplan_flow *testplan_add_flow(struct testplan *p, struct testplan_scenario *s, const char *name,
                                        double weight, uint32_t line);
void testplan_add_stage(struct testplan *p, struct testplan_scenario *s, const struct testplan_stage *stage);
void testplan_add_threshold(struct testplan *p, const struct testplan_threshold *t);
void testplan_add_variable(struct testplan *p, const struct testplan_variable *v);
/* The number of the origin of a URL ("http://h:1"), added if it is new. -EINVAL. */
int testplan_origin(struct testplan *p, const char *url, uint32_t *ret_origin, struct err *err) MUST_USE;
/* A warning; the same one for the same line is given once. Only the first TESTPLAN_NOTES_MAX are kept. */
void testplan_warn(struct testplan *p, uint32_t line, const char *fmt, ...) PRINTF(3, 4);
uint32_t testplan_check_id(struct testplan *p, const char *name);
/* What is left to be worked out when a loader is done: bodies and heads wanted, limits. -EINVAL with "LINE: reason". */
int testplan_finish(struct testplan *p, struct err *err) MUST_USE;
void testplan_check(const struct testplan *p);

/* ---- arithmetic, for lint and summaries ---- */
/* From the scenario's start to the end of its stages or duration; TESTPLAN_FOREVER where only iterations end it. */
uint64_t testplan_length_ns(const struct testplan_scenario *s);
/* Arrivals of an open scenario: the area under its rate, rounded down. */
uint64_t testplan_arrivals(const struct testplan_scenario *s);
/* The most users or the highest rate a second that is asked for. */
double testplan_peak(const struct testplan_scenario *s);
/* Of one iteration, on average over weights and choices, loops with a number that is known: requests, and pauses. */
void testplan_expect(const struct testplan_scenario *s, double *ret_requests, double *ret_pause_ns);
/* The same of one step and what is below it. */
void testplan_expect_step(const struct testplan_step *step, double *ret_requests, double *ret_pause_ns);
