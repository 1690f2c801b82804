/* Plays a plan without a network: a user, and answers made by a function. For unit tests and fuzzing. */
#pragma once
#include <string.h>

#include "load.h"
#include "vu.h"

enum { PLAY_LOG_MAX = 4096, PLAY_ACTIONS_MAX = 10000 };

/* What happened, as lines: "GET /x", "POST /y BODY", "sleep 1000" (milliseconds), "group NAME", "over", "failed", "user over". */
struct play {
	char log[PLAY_LOG_MAX];
	size_t len;
	unsigned requests, answered_failed, checks_held, checks_failed;
	/* The answer to a request; NULL: 200 with an empty body. */
	void (*answer)(void *context, const struct vu_request *request, struct answer *ret);
	void *context;
	bool with_headers;
};

static inline void play_log(struct play *p, const char *text, size_t len)
{
	if (len > sizeof(p->log) - 2 - p->len)
		len = sizeof(p->log) - 2 - p->len;
	memcpy(p->log + p->len, text, len);
	p->len += len;
	p->log[p->len] = '\0';
}

static inline void play_line(struct play *p, const char *text)
{
	play_log(p, text, strlen(text));
	play_log(p, "\n", 1);
}

static inline void play_request(struct play *p, struct vu *vu, const struct vu_action *a, size_t i)
{
	const struct vu_request *r = &a->requests[i];
	struct answer answer = { .status = 200, .head = "", .body = "", .target = r->target.data };
	struct vu_outcome outcome;

	play_log(p, r->request->method, strlen(r->request->method));
	play_log(p, " ", 1);
	play_log(p, r->target.data, r->target.len);
	if (r->body.data) {
		play_log(p, " ", 1);
		play_log(p, r->body.data, r->body.len);
	}
	play_log(p, "\n", 1);
	if (p->with_headers)
		play_log(p, r->headers.data, r->headers.len);
	p->requests++;
	if (p->answer)
		p->answer(p->context, r, &answer);
	vu_answered(vu, i, &answer, &outcome);
	p->answered_failed += outcome.failed;
	for (size_t c = 0; c < r->request->check_count && c < 64; c++) {
		p->checks_held += outcome.check_results[c];
		p->checks_failed += !outcome.check_results[c];
	}
}

/* One iteration; the last action's kind. */
static inline enum vu_kind play_iteration(struct play *p, struct vu *vu, uint64_t iteration)
{
	struct vu_action a = { .kind = VU_SLEEP };
	uint64_t now = 0;

	vu_begin(vu, iteration);
	for (unsigned n = 0; n < PLAY_ACTIONS_MAX; n++) {
		char line[200];

		vu_next(vu, now, INT64_C(1700000000123), &a);
		switch (a.kind) {
		case VU_REQUESTS:
			for (size_t i = 0; i < a.request_count; i++)
				play_request(p, vu, &a, i);
			now += 1000000;
			continue;
		case VU_SLEEP:
			(void)snprintf(line, sizeof(line), "sleep %llu", (unsigned long long)(a.sleep_ns / 1000000));
			play_line(p, line);
			now += a.sleep_ns;
			continue;
		case VU_GROUP_OVER:
			(void)snprintf(line, sizeof(line), "group %.100s", a.step->name);
			play_line(p, line);
			continue;
		case VU_ITERATION_OVER:
			play_line(p, a.failed ? "failed" : "over");
			return a.kind;
		case VU_USER_OVER:
		case VU_RUN_OVER:
			play_line(p, a.kind == VU_USER_OVER ? "user over" : "run over");
			return a.kind;
		}
	}
	return a.kind;
}
