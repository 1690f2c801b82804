/* What the engine tells of each attempt, once, when it is over. Times: ns of CLOCK_MONOTONIC, 0 = did not come to that.
 * Context: the worker's thread. Lifetime: a sample is valid during the call it is handed to. No strings: names are indices
 * into the plan's tables, tags an index into the user's. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* In `failure`: there is a response. */
#define SAMPLE_ANSWERED UINT8_MAX

struct sample_request {
	uint64_t intended_ns; /* when it should have started; closed model: began_ns */
	uint64_t began_ns;    /* it was taken up: waiting for a connection, looking up, connecting or sending */
	uint64_t dns_ns;      /* the name's look-up began */
	uint64_t connect_ns;  /* the connection that was used began; 0: it was open already */
	uint64_t tls_ns;      /* its handshake began */
	uint64_t send_ns;     /* the first byte of the request was sent */
	uint64_t sent_ns;     /* the last one; = send_ns if it went in one call */
	uint64_t first_ns;    /* the first byte of the response came */
	uint64_t end_ns;      /* the last one, or the failure */
	uint64_t bytes_in, bytes_out;
	uint32_t endpoint, tags; /* as the request named them */
	uint32_t user;           /* number of the virtual user, from 1 */
	uint16_t status;         /* 0: no response */
	uint8_t failure;         /* enum failure, or SAMPLE_ANSWERED */
	uint8_t problem;         /* enum http1_problem; of FAILURE_MALFORMED */
	bool expected;           /* the status is one that the request expected */
	bool in_window;          /* ended while the load was on, after the warm-up */
	bool reused, is_tls, is_http2;
};

/* The phases as k6 counts them: of a connection that was open already, the first four are 0. */
static inline uint64_t sample_span(uint64_t from_ns, uint64_t to_ns)
{
	return from_ns && to_ns > from_ns ? to_ns - from_ns : 0;
}
/* The three times of an open model. Response time runs from the intended start, service time from the send. */
static inline uint64_t sample_response_time(const struct sample_request *s)
{
	return sample_span(s->intended_ns, s->end_ns);
}
static inline uint64_t sample_service_time(const struct sample_request *s)
{
	return sample_span(s->send_ns, s->end_ns);
}
/* How late it was taken up: the driver's own delay, and that of users who were all busy. */
static inline uint64_t sample_lateness(const struct sample_request *s)
{
	return sample_span(s->intended_ns, s->began_ns);
}

/* Iterations of users, beside their requests. */
struct sample_iteration {
	uint64_t intended_ns, began_ns, end_ns;
	uint32_t user, scenario;
	bool cut_off; /* by the end of the run */
};

/* One a worker; `self` belongs to whoever made the sink, and is touched by no other thread before the workers are joined. */
struct sample_sink {
	void *self;
	void (*request)(void *self, const struct sample_request *sample);
	void (*iteration)(void *self, const struct sample_iteration *sample);
	/* Starts of an arrival that found neither a user nor room in the backlog: counted, never silent. */
	void (*dropped)(void *self, uint32_t scenario, uint64_t count);
};
