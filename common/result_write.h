/* The bytes of a results file. Appends to a buffer that the caller writes and clears: a record is whole or is not there.
 * Errors: memory exhaustion is sticky in the buffer. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "series.h"

struct result_writer {
	struct buf *out;
	size_t known; /* series of the set that have been written */
};

void result_write_begin(struct result_writer *w, struct buf *out);
void result_write_fact(struct result_writer *w, const char *name, const char *text);
/* `all` names the series, and has the extremes so far; `slice` has the same series at the same places, and what is new. */
void result_write_slice(struct result_writer *w, uint64_t from_ns, uint64_t to_ns, const struct series_set *all,
                        const struct series_set *slice);
void result_write_end(struct result_writer *w);
