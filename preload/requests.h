/* Requests that the program answers: those under way, the newest and the slowest that were answered, figures by route, and which
 * thread worked on which request when.
 * Context    [hook], under GUARD_NET: no allocation but mmap, no lock that is waited for long. A request under way is changed
 *            only by who holds its connection's lock (sockets.c).
 * Errors     none are returned: what finds no room is counted (losses.def).
 * Times      ns of CLOCK_MONOTONIC, given by the caller. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "atomic.h"
#include "compiler.h"
#include "config.h"
#include "durations.h"
#include "http.h"
#include "http_route.h"

struct thread;

enum {
	REQUESTS_OPEN = 4096,
	REQUESTS_RING = 4096,
	REQUESTS_SLOWEST = 64,
	REQUESTS_SAMPLED = 8192, /* 99 samples a second of each of two processors, for longer than a window of 30 s */
	REQUESTS_SPANS = 16384,
	REQUESTS_ROUTES = 512,
	REQUEST_PATH_BYTES = 64,
	REQUEST_BUCKETS = DURATION_RANGES
};

struct request {
	uint64_t id;                         /* grows; never 0 */
	uint64_t start_ns, first_ns, end_ns; /* first byte received, first and last byte sent; 0: not yet */
	uint64_t bytes_in, bytes_out;
	uint16_t thread_start, thread_end; /* records */
	uint16_t status;
	uint8_t method; /* enum http_method */
	uint8_t path_bytes;
	char path[REQUEST_PATH_BYTES];
};

/* A thread worked on a request, and at least one CPU sample fell there. */
struct request_span {
	uint64_t from_ns, to_ns, request;
	uint32_t thread;
	uint32_t shared; /* other connections waited for this thread too: the work may have been theirs */
};

struct request_route {
	_Atomic uint64_t key; /* 0: free */
	_Atomic uint32_t ready;
	uint16_t status;
	uint8_t method, unused;
	char route[HTTP_ROUTE_BYTES];
	struct durations took;
};

struct requests_totals {
	uint64_t count, slow,
	        unanswered; /* answered; of those slower than PERFPROBE_LATENCY; connection ended before the answer */
	uint64_t untimed;   /* of those answered: in no row of routes */
};

/* The window and the latency may be set again later. [init, helper] */
void requests_init(const struct config *config);
/* Called once in each process, by the first request: something that needs a process that serves. [init] */
void requests_on_first(void (*fn)(void));

/* A request's first byte has come. Its number among those under way, or 0. */
uint32_t requests_begin(struct thread *th, uint64_t now);
/* Its request line is known. */
void requests_line(uint32_t i, enum http_method method, const char *target, size_t bytes, bool cut);
/* So many bytes of it came; the answer's first byte is sent; so many bytes of the answer were sent, by its status. */
void requests_came(uint32_t i, uint64_t bytes);
void requests_answers(uint32_t i, uint64_t now);
void requests_went(uint32_t i, uint64_t bytes, uint16_t status);
/* Of one under way. */
const struct request *requests_open(uint32_t i);
/* Its connection's next one; for sockets.c. */
uint32_t *requests_next(uint32_t i);
/* The last byte of the answer was sent. */
void requests_done(uint32_t i, struct thread *th, uint64_t now);
/* It will not be answered; `is_request`: it was one. */
void requests_drop(uint32_t i, bool is_request);
/* One without a number was answered. */
void requests_done_unseen(void);

/* The thread works on it, until it works on another, rests, or the request is done. */
void requests_work(struct thread *th, uint32_t i, uint64_t now);
/* The thread waits for events; it does no longer. Nothing to one that was told what it works on. */
void requests_rest(struct thread *th, uint64_t now);
void requests_resume(struct thread *th, uint64_t now);
/* It works on nothing any more. */
void requests_leave(struct thread *th, uint64_t now);
/* A sample is kept that was taken for this request: once answered it is kept beside the newest, so that the sample's route is
 * known however many requests come after it. Nothing to one that is answered. [helper too] */
void requests_sampled(uint64_t id);

/* ---- what the program tells (hook_api.c) ---- */

/* The calling thread works on the request with this id, whatever it waits for, until it is told otherwise, reads a request, or
 * the request is done by this thread. 0, or a request that is done: it rests. */
void requests_adopt(struct thread *th, uint64_t id, uint64_t now);
/* Has a thread adopted it that has not read it? */
bool requests_handed(uint32_t i);
/* A request that is none of HTTP's, on which the thread works (if there is one); its id, or 0 if there are too many. */
uint64_t requests_work_begin(struct thread *th, const char *name, uint64_t now);
/* It is done; the thread goes on with what it worked on before. Ids of anything else are passed over. */
void requests_work_end(struct thread *th, uint64_t id, uint64_t now);

/* ---- for the trigger [helper] ---- */

/* Slow ones that were answered since this was asked last, without those that were told of; and the longest's duration. */
uint64_t requests_slow_answered(uint64_t *ret_worst_ns);
struct requests_running {
	uint64_t count;        /* that are slow already and not told of */
	uint64_t id, worst_ns; /* the longest of those; 0: none */
	uint64_t
	        next_slow_ns; /* when the next one will be, if it is not answered before; UINT64_MAX: none is under way */
};
struct requests_running requests_running(uint64_t now);
/* Those that are slow already are told of: a profile will have them. */
void requests_tell(uint64_t now);
/* How long it has been running; false: it was answered or given up. */
bool requests_is_running(uint64_t id, uint64_t now, uint64_t *ret_ns);

/* ---- for the snapshot: what changes meanwhile is left out ---- */

struct requests_totals requests_totals(void);
/* Copies of requests: i below REQUESTS_COPIES. False: none, or it is being written. */
enum { REQUESTS_COPIES = REQUESTS_RING + REQUESTS_SLOWEST + REQUESTS_SAMPLED + REQUESTS_OPEN };
bool requests_get(uint32_t i, struct request *ret_request);
bool requests_span(uint32_t i, struct request_span *ret_span); /* i below REQUESTS_SPANS */
const struct request_route *requests_route(uint32_t i);        /* i below REQUESTS_ROUTES; NULL: none */
/* What the thread works on now. False: nothing. */
bool requests_working(const struct thread *th, struct request_span *ret_span);

/* fork: requests under way are the child's too, since it may be the one to answer; what was answered is the parent's. */
void requests_fork_prepare(void);
void requests_fork_parent(void);
void requests_fork_child(void);
