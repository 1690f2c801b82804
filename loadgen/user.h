/*
 * user.h - what a virtual user is to the engine: a state machine that is asked for its next action, and told the answers.
 *
 * Order      init once; then for each iteration: begin, { next | answered }*; and done once.
 *            next() is called until it says USER_WAIT (every request it made is under way, and it has to hear an answer),
 *            USER_SLEEP, USER_ITERATION_OVER or an end. After each answered(), and at the end of a sleep, it is called again. Several
 *            requests under way at once are several USER_REQUEST in a row; they may be answered in any order, and one that cannot
 *            even be begun is answered before the next next().
 * Context    all calls for one user come from one thread, its worker's; init and done too. No call may block.
 * Memory     `user` is user_ops.bytes of zeroed memory owned by the engine. What a step points to must stay until the request
 *            is answered (or done() is called); what a response points to is valid during answered() only.
 * Cut off    at the end of the run, requests under way are not answered: done() follows directly.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum user_action {
	USER_REQUEST,        /* step->request is to be sent; next() is called again at once */
	USER_WAIT,           /* nothing before the next answer */
	USER_SLEEP,          /* step->sleep_ns; no request may be under way */
	USER_ITERATION_OVER, /* no request may be under way */
	USER_STOP,           /* this user is through, whatever the schedule says; it gets no further begin() */
	USER_ABORT_RUN,      /* step->reason says why: the whole run ends, results are kept */
};

/* What the user wants to see of the response. Counting costs least: long bodies are dropped in the kernel. */
enum user_keep {
	USER_KEEP_NOTHING, /* status, sizes, times */
	USER_KEEP_HEAD,    /* the head as well, as it came */
	USER_KEEP_BODY, /* head and body, without chunk framing, decoded (gzip, deflate, br, zstd), cut at keep_max bytes */
};

enum user_connection {
	USER_CONNECTION_OWN,  /* kept from request to request by this user for each target, as a browser does */
	USER_CONNECTION_POOL, /* any idle one of the worker to that target */
	USER_CONNECTION_NEW,  /* one of its own for this request, closed after it */
};

enum { USER_PARTS_MAX = 8 };

struct user_request {
	uint32_t target;   /* index into the plan's targets: scheme, host, port or socket path */
	uint32_t endpoint; /* index into the plan's names, for metrics */
	uint32_t tags;     /* handed through to the sample */
	uint32_t cookie;   /* the user's own: comes back in the response, to tell several under way apart */
	/* HTTP/1.1: everything that is sent, request line and all header fields included (Host, Content-Length, Cookie). Constant parts may be shared by
	 * all users. Redirects are the user's business: it hears of the 3xx, and asks again. */
	struct iovec parts[USER_PARTS_MAX];
	uint8_t part_count;
	uint8_t keep;        /* enum user_keep */
	uint8_t connection;  /* enum user_connection */
	bool is_head;        /* a HEAD request: the response has no body */
	uint32_t keep_max;   /* bytes of body */
	uint64_t timeout_ns; /* of the whole, looking up and connecting included; 0: the plan's */
	/* Statuses that are no failure: inclusive pairs. expected_count 0: 200 to 399. */
	const uint16_t (*expected)[2];
	uint32_t expected_count;
};

struct user_step {
	struct user_request request;
	uint64_t sleep_ns;
	const char *reason;
};

struct user_response {
	uint32_t cookie;
	uint16_t status;     /* 0: no response, `failure` says why */
	uint8_t failure;     /* enum failure, or SAMPLE_ANSWERED */
	bool body_cut;       /* the body was longer than keep_max */
	bool body_undecoded; /* its coding is unknown or broken: the bytes are as they came */
	bool reused;
	const char *
	        head; /* status line and fields of the final response, CRLF kept, NUL after the last byte; NULL if not kept */
	size_t head_bytes;
	const char *body; /* NUL after the last byte; NULL if not kept */
	size_t body_bytes;
	uint64_t wire_body_bytes; /* without chunk framing, before decoding */
	/* Phases as k6 has them. */
	uint64_t blocked_ns, dns_ns, connect_ns, tls_ns, send_ns, wait_ns, receive_ns;
	uint64_t duration_ns; /* send + wait + receive */
	uint64_t end_ns;      /* ns of CLOCK_MONOTONIC */
};

/* What an iteration is given. Constant for its length. */
struct user_env {
	const void *plan;    /* user_source.plan */
	struct arena *arena; /* emptied before begin() */
	uint32_t number;     /* of the user, from 1; the same in every run of the same plan */
	uint32_t scenario;   /* index of the scenario that starts this iteration */
	uint64_t
	        iteration; /* of the scenario over all users, from 0: arrival models hand them out in order of arrival */
	uint64_t own_iteration; /* of this user, from 0 */
	uint64_t seed;          /* the run's; combine with `iteration` for picks that are the same every time */
	uint64_t intended_ns;   /* CLOCK_MONOTONIC; = now in closed models */
	uint64_t run_start_ns;  /* CLOCK_MONOTONIC of the run's t0 */
};

struct user_ops {
	size_t bytes;
	/* 0 or -errno; the run cannot start. `number` from 1. */
	int (*init)(void *user, const void *plan, uint32_t number, uint64_t seed);
	void (*begin)(void *user, const struct user_env *env);
	/* Fills in what belongs to the action, and nothing else is read. */
	enum user_action (*next)(void *user, uint64_t now_ns, struct user_step *ret_step);
	void (*answered)(void *user, const struct user_response *response);
	void (*done)(void *user);
};

/* All users of one scenario. Ownership: the caller's; must live until engine_finish(). */
struct user_source {
	const struct user_ops *ops;
	const void *plan;
};
