/* One virtual user that plays a plan: a state machine without a clock, a socket or a thread. It is asked what comes next,
 * and told what came back. The same seed gives the same choices: in open models by the number of the iteration, in closed
 * ones by those of the user and its iteration. Steady running allocates nothing. One thread at a time. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "answer.h"
#include "testplan.h"

enum { VU_BATCH_MAX = 64, VU_STEPS_AT_ONCE = 100000 };

/* What all users of a run have in common. Written by users of the setup phase only, before others begin. */
struct vu_common {
	const struct testplan *plan;
	uint64_t seed;
	double time_scale;          /* of pauses */
	struct scope_value *shared; /* by slot: what setup's users knew at their end */
};

enum vu_kind {
	VU_REQUESTS,       /* send all of them; each is answered by vu_answered() before the next vu_next() */
	VU_SLEEP,          /* sleep_ns */
	VU_GROUP_OVER,     /* `step`, which was entered at group_begin_ns */
	VU_ITERATION_OVER, /* `failed`: it was broken off */
	VU_USER_OVER,      /* no further iteration for this user */
	VU_RUN_OVER,       /* the plan wants the run to end */
};

/* Text in the user's memory, valid until the next vu_next(). */
struct vu_text {
	const char *data; /* ends in NUL */
	size_t len;
};

struct vu_request {
	const struct testplan_step *step;
	const struct testplan_request *request;
	uint32_t origin; /* TESTPLAN_NO_ORIGIN: target is a whole URL */
	struct vu_text target;
	struct vu_text
	        headers; /* "Name: value\r\n" each, without Host, Content-Length and cookies unless the plan has them */
	struct vu_text body;           /* data NULL: none */
	struct vu_text user, password; /* of digest authentication */
};

struct vu_action {
	enum vu_kind kind;
	uint64_t sleep_ns, group_begin_ns;
	const struct testplan_step *step;
	bool failed;
	const struct vu_request *requests;
	size_t request_count;
};

/* What an answer meant. check_results[i] is of request->checks[i]: 1 held, 0 did not. */
struct vu_outcome {
	bool failed; /* the request counts as failed */
	bool capture_failed;
	const uint8_t *check_results;
};

struct vu;

/* False: no memory. */
bool vu_common_init(struct vu_common *common, const struct testplan *plan, uint64_t seed, double time_scale);
void vu_common_done(struct vu_common *common);
/* `user` from 1, unique in the scenario. NULL: no memory. */
struct vu *vu_new(struct vu_common *common, const struct testplan_scenario *scenario, uint64_t user);
void vu_free(struct vu *vu);
/* A new iteration, number `iteration` (from 1) of the scenario in open models, of anything in closed ones. */
void vu_begin(struct vu *vu, uint64_t iteration);
void vu_next(struct vu *vu, uint64_t now_ns, int64_t unix_ms, struct vu_action *ret_action);
/* The answer to request `index` of the last action. */
void vu_answered(struct vu *vu, size_t index, const struct answer *answer, struct vu_outcome *ret_outcome);
/* The innermost group that the user is in, or NULL; and the flow it plays. */
const struct testplan_step *vu_group(const struct vu *vu);
const struct testplan_flow *vu_flow(const struct vu *vu);
/* The value of a variable, or NULL: for tests and logs. */
const char *vu_variable(const struct vu *vu, const char *name);
