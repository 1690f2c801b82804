/* Runs a plan: starts the workers, ends them, adds up what they measured. Main thread.
 * engine_start -> (engine_fd is readable, or engine_stop) -> engine_finish, which frees the engine. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "compiler.h"
#include "err.h"
#include "metrics.h"
#include "plan.h"

struct engine;
struct net_addresses;
struct request_log;
struct series_set;
struct tally;
struct thresholds;

struct engine_progress {
	uint64_t elapsed_ns, attempts, failures, in_flight;
};

/* What a finished run was. Ownership: result_done() frees. */
struct result {
	const struct plan *plan; /* the caller's */
	struct metrics metrics;
	uint64_t start_wall_ns; /* CLOCK_REALTIME */
	uint64_t elapsed_ns;    /* first start, or the end of the warm-up, to last end */
	uint64_t window_ns;     /* from the same moment to the end of the load: rates are per second of this */
	uint64_t busy_ns[PLAN_THREADS_MAX];  /* CPU time of each worker, without waiting awake */
	uint64_t cpu_user_ns, cpu_system_ns; /* of all workers */
	bool interrupted;                    /* engine_stop() was called */
	bool target_is_local;                /* of the machine that drives */
	double machine_busy;                 /* share of all CPUs that were not idle while it ran; 0 if unknown */
	uint64_t cpus;                       /* of the machine */
	/* The caller's: every series of the run, and what was to hold. */
	const struct series_set *series;
	const struct thresholds *thresholds;
	uint64_t rows_dropped; /* single requests that are missing in csv=, ndjson= and jtl= */
	uint64_t lost;         /* requests and values without a series of their own */
	bool gave_up;          /* nothing was ever answered, and no connection could be made */
};

/* `endpoint`: the number of the requests in the catalog. `rows`: single requests are asked for, too. `plan` and `addresses` must live until engine_finish(). Signals that the caller has blocked stay blocked in the workers. */
int engine_start(const struct plan *plan, const struct net_addresses *addresses, uint32_t endpoint, bool rows,
                 struct engine **ret_engine, struct err *err) MUST_USE;
/* Becomes readable when all workers are done. */
int engine_fd(const struct engine *e);
void engine_progress(const struct engine *e, struct engine_progress *ret_progress);
/* End at once: attempts under way are cut off and counted as interrupted. */
void engine_stop(struct engine *e);
/* What the workers measure, at any time until engine_finish(). */
struct tally *const *engine_tallies(const struct engine *e, size_t *ret_count);
/* Single requests of a worker, where they were asked for. */
struct request_log *engine_log(const struct engine *e, size_t worker);
uint64_t engine_start_wall_ns(const struct engine *e);
/* Waits for the workers: what their tallies hold then is exact. */
void engine_join(struct engine *e);
/* The result, without its trends. Waits for the workers, too. On failure *ret_result is untouched; the engine is freed either way. */
int engine_finish(struct engine *e, struct result *ret_result, struct err *err) MUST_USE;
/* The result of a run whose host name has no address: one attempt, failed as DNS. 0 or -ENOMEM. */
int result_of_unknown_host(const struct plan *plan, struct result *ret_result) MUST_USE;
void result_done(struct result *r);
/* Per second of the load: attempts that ended within it. */
double result_rate(const struct result *r);
double result_window_s(const struct result *r);
