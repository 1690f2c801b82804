/* A test plan, run: resolves its servers, makes the crew's plan of it, phase by phase (setup, main, teardown), and counts what
 * came of every request by its name. Main thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "err.h"
#include "failure.h"
#include "histogram.h"
#include "testplan.h"
#include "tls.h"

struct drive_options {
	uint64_t threads, seed, timeout_ns; /* timeout: of requests without one of their own */
	double time_scale;
	int stop_fd; /* readable: the run ends at once; -1: none */
	struct tls_options tls;
};

struct drive_endpoint {
	const char *name;
	uint64_t requests, answered, errors; /* errors: no response, or a status that is none expected */
	uint64_t failed;                     /* answers that a check or a capture made failures */
	uint64_t bytes_in, bytes_out;
	struct histogram service; /* send to last byte */
};

struct drive_check {
	const char *name;
	uint64_t held, failed;
};

/* Ownership: drive_done() frees; names are the plan's. */
struct drive_result {
	struct drive_endpoint *endpoints;
	size_t endpoint_count;
	struct drive_check *checks;
	size_t check_count;
	uint64_t requests, iterations, iterations_failed, cut_off, dropped, interrupted, unknown_origins;
	uint64_t statuses[1000], failures[FAILURE_COUNT];
	uint64_t elapsed_ns; /* of the main phase */
	bool stopped;
	const char *aborted;
};

/* -ENOENT: a server's name has no address. */
int drive_run(const struct testplan *plan, const struct drive_options *options, struct drive_result *ret_result,
              struct err *err) MUST_USE;
void drive_done(struct drive_result *r);
