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
#include "tls.h"
#include "url.h"

enum { PLAN_THREADS_MAX = 256, PLAN_CONNECTIONS_MAX = 1000000, PLAN_BODY_MAX = 64 << 20 };

/* In a number: not given. */
#define PLAN_UNSET UINT64_MAX

/* As given; PLAN_UNSET and NULL mean "not given". */
struct plan_request {
	const char *url, *method, *body; /* body: text, or "@FILE" */
	struct cli_list headers;         /* "Name: value"; "Name:" takes a default header out */
	uint64_t connections, threads, duration_ns, requests, timeout_ns;
	double rate, time_scale; /* 0: not given */
	struct cli_list stages;  /* "DURATION:TARGET" */
	const char *preset;      /* a name of plan_preset_names() */
	uint64_t seed, warmup_ns, backlog_max;
	bool poisson, precise;
	struct tls_options tls;
	bool tls_resume;
	const char *unix_socket; /* where the server is, whatever host the URL names */
};

struct plan {
	struct url url;
	char *method;
	char *request; /* head and body, ready to send */
	size_t request_bytes;
	struct schedule schedule;
	struct schedule_stage *stages; /* of the schedule's curve */
	uint64_t connections, threads; /* connections >= threads >= 1 */
	uint64_t timeout_ns;           /* of one attempt, connecting included */
	bool is_head;
	struct tls *tls;         /* NULL: in the clear */
	const char *unix_socket; /* the caller's; NULL: by the URL's host */
	bool tls_resume;
	bool precise; /* open: wait awake for a start that is near */
};

/* `cpus`: how many this process may use (for the default number of threads). -EINVAL, -EIO, -ENOMEM with a sentence. */
int plan_build(const struct plan_request *r, uint64_t cpus, struct plan *ret_plan, struct err *err) MUST_USE;
void plan_done(struct plan *plan);
/* The part of plan_build() that says how much, how long and when. Fills in schedule, stages, connections, threads, timeout. */
int plan_build_load(const struct plan_request *r, uint64_t cpus, struct plan *p, struct err *err) MUST_USE;
