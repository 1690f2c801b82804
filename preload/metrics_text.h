/* A page of metrics: Prometheus' text format 0.0.4, or OpenMetrics 1.0.0, which differ little.
 * metrics.def names the families; a family is begun, then its samples are written, each as name, labels, value.
 * Context    [any]: pure; no memory but the caller's.
 * Errors     what finds no room sets `full`, and the page is not to be used. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum metric {
#define METRIC(id, type, name, otel, help) METRIC_##id,
#include "metrics.def"
#undef METRIC
	METRIC_COUNT
};

struct metrics_text {
	char *to;
	size_t size, used;
	bool full;
	bool otel, openmetrics;
	const char *name; /* of the family */
	bool labelled;    /* the sample has a label already */
};

void metrics_text_begin(struct metrics_text *t, char *to, size_t size, bool otel, bool openmetrics);
void metrics_text_end(struct metrics_text *t);

/* HELP and TYPE. False: the family has no name among the names that were asked for, and gets no samples. */
bool metrics_family(struct metrics_text *t, enum metric id);
/* A sample of the family begun last; `suffix` is "" but for the parts of a histogram. */
void metrics_sample(struct metrics_text *t, const char *suffix);
/* Its labels. The value may be any bytes: what is no UTF-8 is replaced. */
void metrics_label(struct metrics_text *t, const char *name, const char *value);
void metrics_label_number(struct metrics_text *t, const char *name, uint64_t value);
/* Its value, which ends it. */
void metrics_number(struct metrics_text *t, uint64_t value);
void metrics_seconds(struct metrics_text *t, uint64_t ns); /* exact, to the nanosecond */
void metrics_infinite(struct metrics_text *t);

/* A family of one sample without labels. */
void metrics_one(struct metrics_text *t, enum metric id, uint64_t value);
void metrics_one_seconds(struct metrics_text *t, enum metric id, uint64_t ns);

/* All samples of one histogram, with the labels that `labels` writes: `count[i]` of those above bound i - 1 and not above bound
 * i, the last one without a bound. Bounds below `from` are left out; what they count is in the next. */
struct metrics_histogram {
	const uint64_t *bound_ns, *count;
	unsigned bounds, from;
	uint64_t sum_ns;
};
typedef void metrics_labels(struct metrics_text *t, const void *of);
void metrics_histogram(struct metrics_text *t, const struct metrics_histogram *h, metrics_labels *labels,
                       const void *of);
