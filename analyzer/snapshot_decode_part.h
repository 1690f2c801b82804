/* What the decoders of sections share. Private to them. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "err.h"
#include "snapshot_codec.h"

struct model;
struct model_cpu_row;
struct model_bucket;

struct decode {
	struct cursor c;
	struct model *m;
	struct err *err;
};

/* Each -errno with its sentence set. */
int decode_cut_short(struct decode *d);
int decode_no_memory(struct decode *d);
int decode_bad_thread(struct decode *d, size_t row, uint64_t thread);

/* False: no memory. */
bool decode_read_text(struct decode *d, const char **field);
/* Reads a table's length and makes room. `least` is the smallest row in bytes. */
int decode_table(struct decode *d, const char *rows, size_t least, size_t row_bytes, uint64_t most, size_t *ret_count,
                 void **ret_table);
/* What a section's sums of 63 bits have left; false: it is too little. */
bool decode_sum_fits(uint64_t *sum, uint64_t add);

/* Rows of stack, thread, samples. */
int decode_cpu_rows(struct decode *d, struct model_cpu_row **ret_rows, size_t *ret_count);

/* A row's durations, by range; `what` and `row` name it. `ret_count`: their sum. */
int decode_ranges(struct decode *d, const char *what, size_t row, struct model_bucket **ret_buckets,
                  size_t *ret_buckets_count, uint64_t *ret_count);

int snapshot_decode_requests(struct decode *d);
int snapshot_decode_database(struct decode *d);
int snapshot_decode_offcpu(struct decode *d);
int snapshot_decode_series(struct decode *d);
