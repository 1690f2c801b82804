/* A running process in figures, from one reading of its live file to the next: rates, growth, what its threads do. Pure.
 * Ownership  top owns the models it is given and all that a picture leads to; the picture is valid until the next one.
 * Errors     0 or -errno with a sentence. Hosted programs; one thread at a time. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "err.h"

struct model;
struct symbolize_options;
struct top;

struct top_function {
	const char *name, *module;
	uint64_t self, total; /* samples of the window */
};

struct top_heap {
	const char *name, *module;
	uint64_t live, total; /* bytes that it allocated itself; that it or what it called did */
	uint64_t blocks;      /* of live */
	double growth;        /* of live, bytes a minute; of the last minute at most */
};

struct top_route {
	const char *method, *route;
	uint32_t status;
	uint64_t count, p50_ns, p99_ns, max_ns; /* since the start */
	double rate;                            /* a second, lately */
};

struct top_picture {
	const struct model *model; /* comm, pid, losses */
	uint64_t running_ns;
	double cpu_percent;                 /* of one processor, lately */
	uint64_t window_ns, window_samples; /* that functions are of */
	uint64_t period_ns;
	uint64_t live_bytes, live_blocks, peak_bytes;
	double growth;      /* bytes a minute */
	uint64_t growth_ns; /* over this time; 0: there is one reading only */
	bool has_requests;
	uint64_t requests, slow, in_flight, p50_ns, p99_ns; /* p: lately, or since the start where none came */
	double request_rate;
	uint64_t lost;
	struct top_function *functions; /* most self first */
	struct top_heap *heap;          /* most live first */
	struct top_route *routes;       /* most frequent first */
	size_t function_count, heap_count, route_count;
};

/* `options` may be NULL, and what it points to must outlive `top`. */
int top_new(uint64_t window_ns, const struct symbolize_options *options, struct top **ret_top,
            struct err *err) MUST_USE;
void top_free(struct top *t);
/* Takes the model over, also when it fails. */
int top_add(struct top *t, struct model *m, const struct top_picture **ret_picture, struct err *err) MUST_USE;
