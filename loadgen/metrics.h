/* What a run measured. One worker, one writer: no atomics; merged when the workers are done.
 * Times are ns. The last two trends have samples in the open model only; in the closed one they are the first, and 0. Ownership: caller's memory; metrics_done() frees the histograms. */
#pragma once
#include <stdint.h>
#include "compiler.h"
#include "failure.h"
#include "histogram.h"
#include "http1.h"
#include "tls.h"

enum { METRICS_STATUS_MAX = 1000 };

/* id, k6's metric name, what it is (for people). One table: histograms, JSON, text. The order is that of a request, totals first. */
#define METRICS_TRENDS(X)                                                            \
	X(DURATION, "http_req_duration", "send to last byte")                        \
	X(RESPONSE_TIME, "http_req_response_time", "intended start to last byte")    \
	X(LATENESS, "http_req_lateness", "intended start to start")                  \
	X(BLOCKED, "http_req_blocked", "waiting for a connection, look-up included") \
	X(DNS, "http_req_looking_up", "looking the host name up")                    \
	X(CONNECTING, "http_req_connecting", "opening the connection")               \
	X(TLS, "http_req_tls_handshaking", "TLS handshake")                          \
	X(SENDING, "http_req_sending", "first to last byte sent")                    \
	X(WAITING, "http_req_waiting", "send to first byte")                         \
	X(RECEIVING, "http_req_receiving", "first to last byte")

enum metrics_trend {
#define METRICS_TREND_ENUM(id, key, text) TREND_##id,
	METRICS_TRENDS(METRICS_TREND_ENUM)
#undef METRICS_TREND_ENUM
	        TREND_COUNT
};

struct metrics {
	uint64_t attempts;  /* finished: responses + failures */
	uint64_t in_window; /* those that finished while the load was on (before the drain at the end) */
	uint64_t responses;
	uint64_t interrupted; /* begun, but cut off by the end of the run: in no other number */
	uint64_t warmup;      /* finished, but meant to start before the warm-up was over: in no other number */
	uint64_t dropped;     /* open model: starts that were overdue and were given up: in no other number */
	uint64_t backlog_max; /* open model: the most starts that were overdue at once in one worker */
	uint64_t bytes_in, bytes_out, connected;
	uint64_t resumed;                    /* of `connected`: with a TLS session of one before */
	char tls_problem[TLS_PROBLEM_BYTES]; /* what the first failure of TLS was; "" */
	uint64_t reopened;                   /* of `connected`: in place of one that had ended */
	uint64_t status[METRICS_STATUS_MAX];
	uint64_t failures[FAILURE_COUNT];
	uint64_t problems[HTTP1_PROBLEM_COUNT]; /* FAILURE_MALFORMED by cause */
	struct histogram trends[TREND_COUNT];
};

const char *metrics_trend_key(enum metrics_trend trend);
const char *metrics_trend_text(enum metrics_trend trend);

/* 0 or -ENOMEM. */
int metrics_init(struct metrics *m) MUST_USE;
void metrics_done(struct metrics *m);
void metrics_merge(struct metrics *into, const struct metrics *from);
uint64_t metrics_failures(const struct metrics *m); /* of all kinds */
/* k6's http_req_failed: failures, and responses with a status outside 200..399. */
uint64_t metrics_unsuccessful(const struct metrics *m);
