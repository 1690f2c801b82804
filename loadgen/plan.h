/* What a run does: validated, with every default filled in and every limit enforced here. Main thread; immutable while
 * workers run. Ownership: plan_done() frees. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "cli.h"
#include "compiler.h"
#include "err.h"
#include "schedule.h"
#include "url.h"

enum { PLAN_THREADS_MAX = 256, PLAN_CONNECTIONS_MAX = 1000000, PLAN_BODY_MAX = 64 << 20 };

/* In a number: not given. */
#define PLAN_UNSET UINT64_MAX

/* As given; PLAN_UNSET and NULL mean "not given". */
struct plan_request {
	const char *url, *method, *body; /* body: text, or "@FILE" */
	struct cli_list headers;         /* "Name: value"; "Name:" takes a default header out */
	uint64_t connections, threads, duration_ns, requests, timeout_ns;
};

struct plan {
	struct url url;
	char *method;
	char *request; /* head and body, ready to send */
	size_t request_bytes;
	struct schedule schedule;
	uint64_t connections, threads; /* connections >= threads >= 1 */
	uint64_t timeout_ns;           /* of one attempt, connecting included */
	bool is_head;
};

/* `cpus`: how many this process may use (for the default number of threads). -EINVAL, -EIO, -ENOMEM with a sentence. */
int plan_build(const struct plan_request *r, uint64_t cpus, struct plan *ret_plan, struct err *err) MUST_USE;
void plan_done(struct plan *plan);
