/* Answers about requests: quantiles by route, the slowest, and which samples fell into each. Pure; hosted, any thread.
 * Ownership  the result owns its arrays; the model and the profile must outlive it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "err.h"

struct model;
struct model_bucket;
struct model_route;
struct model_request;
struct profile;

struct requests_route {
	const struct model_route *route;
	uint64_t p50_ns, p99_ns; /* within 1.6 %, at the middle of a range; max is exact */
};

struct requests_stack {
	bool off_cpu;   /* the thread waited there */
	uint32_t stack; /* of the profile: that of CPU samples, or that of off-CPU samples */
	uint64_t samples;
};

struct requests_slow {
	const struct model_request *request;
	uint64_t duration_ns;          /* of one that was not answered: so far */
	uint64_t samples, shared;      /* of CPU; shared: of them, while other connections waited for the thread too */
	uint64_t off_cpu;              /* samples while the thread waited */
	struct requests_stack *stacks; /* most samples first */
	size_t stack_count;
};

struct requests {
	struct requests_route *routes; /* most requests first */
	struct requests_slow *slowest; /* longest first, those under way among them */
	size_t route_count, slow_count;
	/* All samples of the window; of them in a request's span, and of these in a shared one. */
	uint64_t samples, attributed, ambiguous;
};

/* The duration below which a share `q` of the route's requests stayed. */
uint64_t requests_quantile(const struct model_route *r, double q);
/* The same of any durations by range. */
uint64_t requests_quantile_of(const struct model_bucket *buckets, size_t n, uint64_t count, uint64_t max_ns, double q);
/* `cpu`, `off_cpu`: profiles of CPU and off-CPU samples, or NULL. `top` 0: all. 0 or -ENOMEM. Freed with requests_done(). */
int requests_find(const struct model *m, const struct profile *cpu, const struct profile *off_cpu, size_t top,
                  struct requests *ret, struct err *err) MUST_USE;
void requests_done(struct requests *r);
