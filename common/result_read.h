/* Results files to series: hostile bytes in, validated sets or one sentence out. A file that is being written, or whose writer
 * was killed, is read as far as its records are whole.
 * Ownership: results_done() frees what a result holds; text of facts is the result's. One thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "err.h"
#include "series.h"

struct result_fact {
	char *name, *text;
};

struct results {
	struct series_set all;
	struct result_fact *facts;
	size_t fact_count;
	uint64_t slices, elapsed_ns; /* up to the end of the last slice; of several runs, of the longest */
	uint64_t cut_bytes;          /* behind the last whole record */
	uint64_t runs, ended;        /* added up here; how many of them were finished */
};

/* Called for each slice; `slice` is valid during the call. Extremes of its trends are those of their buckets. */
typedef void result_slice_fn(void *context, uint64_t from_ns, uint64_t to_ns, const struct series_set *slice);

/* -EPROTO: not a results file, or a record that cannot be right; -ENOTSUP: another version; -ENOMEM. */
int result_read(const void *data, size_t bytes, result_slice_fn *on_slice, void *context, struct results *ret_results,
                struct err *err) MUST_USE;
void results_done(struct results *r);
/* Adds a run: exactly, bucket by bucket. Facts that differ become "A; B". */
int result_merge(struct results *into, const struct results *from, struct err *err) MUST_USE;
const char *result_fact(const struct results *r, const char *name); /* NULL: not known */
