/* Part of a profile of time: what one thread did, what fell into a range of time, what was done for requests of one route. Pure.
 * Times and requests are known of the samples of the window only (profile.samples), so a slice by either is made of those.
 * Ownership  results own their arrays; the model must outlive what names its routes.
 * Context    hosted programs, any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "err.h"

struct model;
struct profile;

#define SLICE_NONE UINT32_MAX
#define SLICE_FORGOTTEN \
	(UINT32_MAX - 1) /* of a request that is in the file no longer: only the newest and slowest are */

/* Which request each sample belongs to, as requests_find() has it. */
struct slice_requests {
	uint32_t *request; /* by sample: an index into the model's requests, SLICE_FORGOTTEN or SLICE_NONE */
	bool *shared;      /* by sample: perhaps another request's */
};

/* 0 or -ENOMEM. Freed with slice_requests_done(). */
int slice_requests(const struct model *m, const struct profile *p, struct slice_requests *ret,
                   struct err *err) MUST_USE;
void slice_requests_done(struct slice_requests *r);

/* The routes that requests were counted under, each once whatever its statuses. */
struct slice_route {
	const char *method, *route; /* the model's */
	uint64_t count, samples;    /* requests answered; of `p`'s samples, those that fell into its requests */
	uint64_t shared;            /* of the samples: perhaps of other requests */
};
struct slice_routes {
	struct slice_route *items; /* most samples first, then most requests, then by name */
	size_t count;
	uint32_t *
	        of_request; /* by request of the model: an index into items, or SLICE_NONE: no route is like its path */
	uint64_t samples;   /* of the window */
	uint64_t forgotten,
	        none; /* of them: of requests that are not in the file, or of no known route; of no request */
};

/* `p`: samples of time, or NULL: none are counted. 0 or -ENOMEM. Freed with slice_routes_done(). */
int slice_routes(const struct model *m, const struct profile *p, struct slice_routes *ret, struct err *err) MUST_USE;
void slice_routes_done(struct slice_routes *r);
/* "/users/ * /orders" (without the blanks) against "/users/17/orders": a star stands for a segment, two for all that follow. */
bool slice_path_matches(const char *route, const char *path);

struct slice_options {
	bool by_time;
	uint64_t from_ns, to_ns; /* of the model's clock; to_ns is the first moment outside */
	bool by_thread;
	uint64_t tid;
	const char *route; /* "GET /users" or "/users": of any method; NULL: all */
};

/* The profile's part; its total is the part's. -EINVAL (memory is not known by any of these), -ENODATA with a sentence that says
 * what there is, -ENOMEM. */
int slice_build(const struct model *m, const struct profile *p, const struct slice_options *o,
                struct profile **ret_profile, struct err *err) MUST_USE;
/* The same samples below a frame that names their thread, or the route of their request (of those whose time is known). Errors as
 * slice_build()'s. */
int slice_group(const struct model *m, const struct profile *p, bool by_route, struct profile **ret_profile,
                struct err *err) MUST_USE;
/* A time since the start of the recording ("1.5s"), or from its end ("-10s"), in the model's clock. -EINVAL. */
int slice_time(const struct model *m, const char *option, const char *text, uint64_t *ret_ns, struct err *err) MUST_USE;
