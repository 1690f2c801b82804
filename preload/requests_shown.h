/* What of requests stands in the live file (live_layout.h), as requests.c keeps it. Private to that. */
#pragma once
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "http.h"
#include "live.h"
#include "live_layout.h"
#include "requests.h"

struct kept {
	_Atomic uint64_t number;
	struct request r;
	_Atomic uint64_t again;
};

struct kept_span {
	_Atomic uint64_t number;
	struct request_span s;
	_Atomic uint64_t again;
};

struct shown {
	struct live_requests head;
	struct live_request open[REQUESTS_OPEN + 1]; /* 0 is none */
	struct kept ring[REQUESTS_RING], slowest[REQUESTS_SLOWEST], sampled[REQUESTS_SAMPLED];
	struct kept_span spans[REQUESTS_SPANS];
	struct request_route routes[REQUESTS_ROUTES];
};
static_assert(sizeof(struct shown) > LIVE_PIECE_MAX, "live_renew");

/* The live file's readers know these structures by live_layout.h. */
static_assert(sizeof(struct kept) == sizeof(struct live_request), "layout");
static_assert(offsetof(struct kept, r) == offsetof(struct live_request, id), "layout");
static_assert(offsetof(struct request, bytes_out) + 8 == offsetof(struct live_request, bytes_out), "layout");
static_assert(offsetof(struct request, status) + 8 == offsetof(struct live_request, status), "layout");
static_assert(offsetof(struct request, path) + 8 == offsetof(struct live_request, path), "layout");
static_assert(offsetof(struct kept, again) == offsetof(struct live_request, again), "layout");
static_assert((int)REQUEST_PATH_BYTES == LIVE_PATH_BYTES, "layout");
static_assert(sizeof(struct kept_span) == sizeof(struct live_request_span), "layout");
static_assert(offsetof(struct request_span, thread) + 8 == offsetof(struct live_request_span, thread), "layout");
static_assert(offsetof(struct kept_span, again) == offsetof(struct live_request_span, again), "layout");
static_assert(sizeof(struct request_route) == sizeof(struct live_route), "layout");
static_assert(offsetof(struct request_route, route) == offsetof(struct live_route, route), "layout");
static_assert(offsetof(struct request_route, method) == offsetof(struct live_route, method), "layout");
static_assert(offsetof(struct request_route, took) == offsetof(struct live_route, took), "layout");
static_assert(sizeof(struct durations) == sizeof(struct live_durations), "layout");
static_assert(offsetof(struct durations, range) == offsetof(struct live_durations, range), "layout");
static_assert((int)HTTP_METHOD_COUNT <= LIVE_NAMES, "layout");

static inline void requests_table(struct live_table *ret, size_t offset, size_t row_bytes, size_t rows)
{
	*ret = (struct live_table){ (uint32_t)offset, (uint32_t)row_bytes, (uint32_t)rows, 0 };
}

static inline void requests_describe(struct live_requests *head)
{
	requests_table(&head->open, offsetof(struct shown, open), sizeof(struct live_request), REQUESTS_OPEN + 1);
	requests_table(&head->answered, offsetof(struct shown, ring), sizeof(struct kept), REQUESTS_RING);
	requests_table(&head->slowest, offsetof(struct shown, slowest), sizeof(struct kept), REQUESTS_SLOWEST);
	requests_table(&head->sampled, offsetof(struct shown, sampled), sizeof(struct kept), REQUESTS_SAMPLED);
	requests_table(&head->spans, offsetof(struct shown, spans), sizeof(struct kept_span), REQUESTS_SPANS);
	requests_table(&head->routes, offsetof(struct shown, routes), sizeof(struct request_route), REQUESTS_ROUTES);
	for (unsigned i = 0; i < HTTP_METHOD_COUNT; i++) {
		const char *name = http_method_name((enum http_method)i);

		memcpy(head->methods[i], name, strnlen(name, LIVE_NAME_BYTES - 1));
	}
}
