/* What is measured, by number: endpoints (the tags that a request has before it is sent) and slots (a metric that is not a
 * request's, with its tags). Made as a plan is set up, or while it runs where tags are made then; a number stays what it is.
 * Bounded: what comes after the limit is counted, and goes to endpoint 0, or to no slot.
 * Context: any thread may ask, under a lock; the steady path uses the numbers alone. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "series.h"

enum { CATALOG_ENDPOINTS_MAX = 256, CATALOG_SLOTS_MAX = 512, CATALOG_REST = 0, CATALOG_NO_SLOT = CATALOG_SLOTS_MAX };

/* Metrics that every run has. The order is that of their slots in every catalog. */
#define CATALOG_BUILT_IN(X)                                      \
	X(DATA_SENT, "data_sent", COUNTER, DATA)                 \
	X(DATA_RECEIVED, "data_received", COUNTER, DATA)         \
	X(ITERATIONS, "iterations", COUNTER, DEFAULT)            \
	X(ITERATION_DURATION, "iteration_duration", TREND, TIME) \
	X(DROPPED, "dropped_iterations", COUNTER, DEFAULT)

enum catalog_built_in {
#define CATALOG_ENUM(id, name, kind, contains) CATALOG_##id,
	CATALOG_BUILT_IN(CATALOG_ENUM)
#undef CATALOG_ENUM
	        CATALOG_BUILT_INS
};

struct catalog;

struct catalog *catalog_new(void); /* NULL: out of memory */
void catalog_free(struct catalog *c);
/* The endpoint with these tags ("name", "method", ...), or CATALOG_REST where there is no room for another. */
uint32_t catalog_endpoint(struct catalog *c, const struct series_tag *tags, size_t count);
/* CATALOG_NO_SLOT: no room, or the metric has another kind. */
uint32_t catalog_slot(struct catalog *c, const char *metric, enum series_kind kind, enum series_contains contains,
                      const struct series_tag *tags, size_t count);
/* Name and tags; they stay where they are. NULL: there is no such number. Their values mean nothing. */
const struct series *catalog_endpoint_tags(struct catalog *c, uint32_t endpoint);
const struct series *catalog_slot_tags(struct catalog *c, uint32_t slot);
uint64_t catalog_refused(struct catalog *c); /* how often there was no room */
