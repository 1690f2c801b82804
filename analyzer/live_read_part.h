/* What the readers of a live file's tables share. Private to them. Nothing that a file says is believed: what these return lies in
 * the file, and names threads that there are. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "err.h"
#include "live_layout.h"
#include "model.h"

/* Rows of a table in a chunk: those that are in it. */
struct live_rows {
	const uint8_t *at;
	size_t step, count;
};

struct live {
	const uint8_t *data; /* of any alignment */
	size_t bytes;
	struct live_header *header; /* a copy */
	uint32_t chunks;            /* of the list: the first ones, which count */
	struct model *m;
	uint32_t epoch;     /* the newest */
	uint64_t torn;      /* rows that were being written */
	uint64_t newest_ns; /* of all that happened: the header's time is late */
	/* set by live_read_database() */
	struct live_rows database_calls; /* under way */
	uint32_t *database_number;       /* what a row's number in the file is in the model, plus 1; 0: it is none */
	size_t database_numbers;
};

int live_no_memory(struct err *err);
/* The chunk's bytes, or NULL: it is not one of that kind, or lies outside the file. */
const uint8_t *live_chunk(const struct live *l, uint32_t i, enum live_kind kind, size_t *ret_bytes);
/* The newest complete chunk of that kind and owner; LIVE_CHUNKS: there is none. */
uint32_t live_newest(const struct live *l, enum live_kind kind, uint32_t owner);
/* Of a kind with one table, no owner and a head of that size; NULL: there is none. */
const uint8_t *live_only(const struct live *l, enum live_kind kind, size_t head_bytes, size_t *ret_bytes);

/* Those that are in the chunk. */
struct live_rows live_rows(const uint8_t *chunk, size_t bytes, const struct live_table *t, size_t least);

/* Something happened then. */
void live_note_time(struct live *l, uint64_t ns);
/* Of a sealed row; a torn one is counted. */
bool live_is_whole(struct live *l, uint64_t number, uint64_t again);
uint32_t live_thread(const struct live *l, uint64_t thread);
/* NULL: no memory. */
const char *live_text(struct live *l, const char *text, size_t most);
/* Sums that views form fit 63 bits. */
bool live_sum_fits(uint64_t sum, uint64_t add);
/* Of a row whose table has `sum` so far; one that does not fit has none. False: no memory. */
bool live_ranges(struct live *l, const struct live_durations *d, uint64_t *sum, struct model_bucket **ret,
                 size_t *ret_n, uint64_t *ret_count);
int live_by_stack_and_thread(const void *a, const void *b); /* model_cpu_row */

/* All rows of all tables of what threads work on, one after the other, as they stand there. False: that was the last. */
struct live_walk {
	uint32_t chunk;
	size_t row;
};
bool live_next_work(const struct live *l, struct live_walk *w, struct live_work *ret);

/* Each 0, or -errno with its sentence. The first one is for all that follow; the last one needs the others done: what was under way when the process was killed. */
int live_read_threads(struct live *l, struct err *err);
int live_read_offcpu(struct live *l, struct err *err);
int live_read_requests(struct live *l, struct err *err);
int live_read_database(struct live *l, struct err *err);
int live_read_running(struct live *l, struct err *err);
