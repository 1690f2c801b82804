/* One thread of the load: an epoll loop, its connections, its metrics. Workers share nothing on the steady path.
 * The engine owns a worker; worker_main() runs on the worker's own thread, worker_progress() on any. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "atomic.h"
#include "compiler.h"
#include "metrics.h"
#include "request_log.h"
#include "tally.h"

struct net_addresses;
struct plan;

/* What workers do share, each on its own cache line. */
struct worker_common {
	const struct plan *plan;
	const struct net_addresses *addresses;
	uint32_t endpoint;         /* in the catalog */
	uint64_t start_ns, end_ns; /* no attempt is meant to start at or after end_ns */
	_Alignas(64) _Atomic uint64_t
	        attempts_left;          /* not yet handed to a worker; only if the plan limits the number */
	_Alignas(64) _Atomic bool stop; /* set by the engine, then each wake_fd is written */
	_Alignas(64) _Atomic bool answered, gave_up; /* some worker got a response; some worker saw only refusals */
};

struct worker {
	struct worker_common *common;
	uint64_t index;       /* of all workers */
	uint64_t connections; /* to keep open; at most, in the open model */
	int epoll_fd, wake_fd;
	struct metrics metrics;  /* the worker's until it is done; its trends are empty */
	struct tally tally;      /* requests with their times, for readers at any time */
	struct request_log *log; /* for single requests, or NULL */
	uint64_t last_ns;        /* when its last attempt ended */
	uint64_t cpu_user_ns, cpu_system_ns;
	uint64_t spin_ns;      /* of that: waited awake, with nothing to do */
	int error;             /* positive errno: the worker could not run at all */
	struct worker_counts { /* written relaxed by the worker, for whoever watches */
		_Atomic uint64_t attempts, failures, in_flight;
	} counts;
};

/* 0, -ENOMEM, or another -errno of epoll_create or eventfd. */
int worker_init(struct worker *w, struct worker_common *common, uint64_t index, uint64_t connections,
                bool rows) MUST_USE;
void worker_done(struct worker *w);
void worker_main(struct worker *w);
/* Make the worker look at common->stop. */
void worker_wake(const struct worker *w);
