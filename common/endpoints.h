/* Requests by endpoint: the tags `name` and `method` of http_reqs, whatever other tags there are. Pure.
 * Ownership: endpoints_done() frees; names are those of the series. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "series.h"

struct endpoint {
	const char *name, *method; /* "" if the requests have none */
	uint64_t requests, failed;
	struct histogram duration;
};

struct endpoint_list {
	struct endpoint *items;
	size_t count;
};

/* In the order in which they were met first. 0 or -ENOMEM. */
int endpoints_make(const struct series_set *set, struct endpoint_list *ret_list) MUST_USE;
void endpoints_done(struct endpoint_list *list);
