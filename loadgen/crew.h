/*
 * crew.h - runs virtual users (user.h) on worker threads, by k6's six executors.
 *
 * crew_start -> (crew_fd is readable, or crew_stop) -> crew_finish, which frees the crew. Main thread.
 * User number v belongs to worker v modulo threads, arrival k to worker k modulo threads: workers share nothing but the
 * store of shared iterations.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "err.h"
#include "sample.h"
#include "schedule.h"
#include "user.h"

struct crew;
struct net_addresses;
struct tls;

enum crew_executor {
	CREW_SHARED_ITERATIONS, /* `iterations` in all, by whichever user is free */
	CREW_PER_VU_ITERATIONS, /* `iterations` of each user */
	CREW_CONSTANT_VUS,
	CREW_RAMPING_VUS,  /* schedule.curve: users */
	CREW_ARRIVAL_RATE, /* schedule.curve: iterations a second; constant and ramping */
};

struct crew_scenario {
	struct user_source source;
	enum crew_executor executor;
	uint64_t users; /* at most, for ramping and arrivals; 1 .. */
	uint64_t iterations;
	uint64_t start_ns;    /* after the run's start */
	uint64_t duration_ns; /* no iteration begins later than this after start_ns */
	uint64_t graceful_ns; /* and those under way have so long to end before they are cut off */
	/* curve, poisson, seed, backlog_max, attempts are read. Starts that are overdue wait, until the scenario's end at most; then,
	 * or when backlog_max is 0 and no user is free (k6's rule), they are dropped. */
	struct schedule schedule;
	uint64_t ramp_ns;       /* user i of n begins at i * ramp_ns / n; not for ramping and arrivals */
	bool fresh_connections; /* each iteration has its own */
};

struct crew_target {
	const struct net_addresses *addresses;
	struct tls *tls;  /* NULL: in the clear */
	const char *host; /* for TLS */
	bool resume;      /* TLS sessions */
};

struct crew_plan {
	const struct crew_scenario *scenarios;
	size_t scenario_count;
	const struct crew_target *targets;
	size_t target_count;
	uint64_t threads, timeout_ns, warmup_ns, seed;
	uint64_t descriptors; /* connections that may be open at once, for the limit of descriptors */
};

struct crew_result {
	uint64_t start_ns, elapsed_ns;
	uint64_t iterations, cut_off, dropped, requests, interrupted;
	bool stopped;        /* by crew_stop() */
	const char *aborted; /* why a user ended the run, or NULL */
};

/* `sinks`: one for each thread. Plan, sinks and what they point to must live until crew_finish(). */
int crew_start(const struct crew_plan *plan, const struct sample_sink *sinks, struct crew **ret_crew,
               struct err *err) MUST_USE;
int crew_fd(const struct crew *crew);
void crew_stop(struct crew *crew);
int crew_finish(struct crew *crew, struct crew_result *ret_result, struct err *err) MUST_USE;
