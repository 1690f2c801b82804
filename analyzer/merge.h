/* One profile from many: models are added one after the other, and what comes out is a model like any other.
 *
 * Every figure that is a sum stays one: bytes, blocks, samples (as time), durations, losses. Modules are one where build-id, path and
 * size are equal, stacks where their addresses in the modules are, threads where their names are. Tables have limits, so
 * memory does not depend on how many models there were; what a full table leaves out is counted as a loss "merge.NAME",
 * and its value stays in the sums.
 * Not for      two models of one recording: what they hold is cumulative, and would count twice (recordings.h).
 * Errors       0 or -errno with a sentence. Hosted programs; one thread at a time. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "err.h"

struct buf;
struct model;
struct merge;

/* The most that each table holds. */
struct merge_limits {
	size_t nodes, modules, threads, rows, samples, requests, spans, routes, marks, misuse, names;
};
extern const struct merge_limits merge_default_limits;

/* What was merged, for the result's own words. */
struct merge_about {
	uint64_t recordings; /* that will be added: with one, its addresses and threads stay as they are */
	uint64_t files;      /* that were looked at */
	uint64_t unreadable; /* of them, left out */
};

int merge_new(const struct merge_limits *limits, const struct merge_about *about, struct merge **ret_merge,
              struct err *err) MUST_USE;
void merge_free(struct merge *g);
/* -ERANGE and -EINVAL: the model does not go with the others, and nothing of it was added. After -ENOMEM only merge_free(). */
int merge_add(struct merge *g, const struct model *m, struct err *err) MUST_USE;
/* At least one model was added. `unreadable` more models were left out. The caller frees *ret_model with model_free(). */
int merge_finish(struct merge *g, uint64_t unreadable, struct model **ret_model, struct err *err) MUST_USE;
/* The n-th option whose value was not the same everywhere, and its values behind what is in `values`. NULL: no more. */
const char *merge_differing_option(const struct merge *g, size_t n, struct buf *values);
