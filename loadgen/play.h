/* Virtual users of a plan as the engine asks for them (user.h): vu.h's state machine, its requests as HTTP/1.1, cookies and
 * redirects. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "testplan.h"
#include "user.h"
#include "vu.h"

enum { PLAY_REDIRECTS_MAX = 10, PLAY_BODY_MAX = 16 << 20 };

/* What all users of a run share. Counters are added to by all threads. */
struct play_common {
	struct vu_common vus;
	const struct testplan *plan;
	const uint32_t *endpoints;                     /* by step's id: the number of its name */
	int64_t unix_offset_ms;                        /* from CLOCK_MONOTONIC to the time of day */
	_Atomic uint64_t *checks_held, *checks_failed; /* by check's name */
	_Atomic uint64_t *failed;                      /* by endpoint: answers that checks made failures, or captures */
	_Atomic uint64_t iterations_failed, unknown_origins;
};

/* A scenario's users: what user_source.plan points to. */
struct play_source {
	struct play_common *common;
	const struct testplan_scenario *scenario;
};

extern const struct user_ops play_ops;
