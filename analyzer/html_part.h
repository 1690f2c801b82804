/* Private to html_data.c and html_requests.c: what the parts of a recording's JSON share. */
#pragma once
#include "html_tree.h"
#include "json_write.h"
#include "profile.h"
#include "slice.h"

/* One metric, after its stacks went into the tree. */
struct html_metric {
	enum profile_metric metric;
	uint64_t period_ns, lost;
	bool partial, checked, lower_bound;
	uint32_t *node, *thread; /* by stack */
	uint64_t *value, *count;
	size_t stack_count;
	struct profile_sample *samples; /* `stack` is an index into node */
	size_t sample_count;
	struct slice_requests of;
};

struct html_work {
	const struct model *m;
	struct html_tree tree;
	struct html_metric metrics[METRIC_COUNT];
	size_t metric_count;
	struct json j;
	struct buf scratch;
};

/* Text that is safe to show, whatever the recorded bytes were. */
void html_text(struct html_work *w, const char *text);
void html_key_text(struct html_work *w, const char *key, const char *text);
/* Whole microseconds since the recording began; what was before is 0. */
uint64_t html_us(const struct html_work *w, uint64_t time_ns);
/* "requests": null, or an object. -ENOMEM. */
int html_requests(struct html_work *w, struct err *err);
/* "database": rows of [system, operation, table, calls, errors, p50, p99, max, sum], times in nanoseconds. -ENOMEM. */
int html_database(struct html_work *w, struct err *err);
