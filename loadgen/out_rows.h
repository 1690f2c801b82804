/* Single requests as lines: k6's CSV, k6's NDJSON, JMeter's JTL (as CSV). Pure: appended to a buffer. */
#pragma once
#include <stdint.h>
#include "series.h"

struct buf;
struct request_row;

/* What a row's numbers mean. */
struct out_rows {
	const struct series *endpoint; /* its tags */
	uint64_t start_wall_ns;        /* of the run */
	uint64_t request_bytes, vus;
	uint32_t worker;
};

void out_csv_head(struct buf *out);
void out_csv_row(struct buf *out, const struct out_rows *o, const struct request_row *row);
void out_ndjson_head(struct buf *out); /* a line for each metric */
void out_ndjson_row(struct buf *out, const struct out_rows *o, const struct request_row *row);
void out_jtl_head(struct buf *out);
void out_jtl_row(struct buf *out, const struct out_rows *o, const struct request_row *row);
