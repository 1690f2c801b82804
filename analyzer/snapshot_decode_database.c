/* snapshot_decode_database.c - the section DATABASE. */
#include <errno.h>

#include "model.h"
#include "snapshot_decode_part.h"

static int decode_rows(struct decode *d)
{
	struct model_database *q = &d->m->database;
	uint64_t sum = 0;
	void *rows;
	int rc = decode_table(d, "rows", 7, sizeof(struct model_database_row), UINT32_MAX, &q->row_count, &rows);

	if (rc < 0)
		return rc;
	q->rows = rows;
	for (size_t i = 0; i < q->row_count; i++) {
		struct model_database_row *r = &q->rows[i];

		if (!decode_read_text(d, &r->system) || !decode_read_text(d, &r->operation) ||
		    !decode_read_text(d, &r->table))
			return decode_no_memory(d);
		r->errors = cursor_varint(&d->c);
		r->sum_ns = cursor_varint(&d->c);
		r->max_ns = cursor_varint(&d->c);
		rc = decode_ranges(d, "row", i, &r->buckets, &r->bucket_count, &r->count);
		if (rc < 0)
			return rc;
		if (!decode_sum_fits(&sum, r->count))
			return err_set(d->err, -EPROTO, "row %zu makes a sum larger than 63 bits", i + 1);
		if (r->errors > r->count)
			r->errors = r->count; /* counted while the file was written */
	}
	return 0;
}

static int decode_spans(struct decode *d)
{
	struct model_database *q = &d->m->database;
	uint64_t time = 0;
	void *rows;
	int rc = decode_table(d, "spans", 6, sizeof(struct model_database_span), UINT32_MAX, &q->span_count, &rows);

	if (rc < 0)
		return rc;
	q->spans = rows;
	for (size_t i = 0; i < q->span_count; i++) {
		uint64_t step = cursor_varint(&d->c), ns = cursor_varint(&d->c), thread = cursor_varint(&d->c);
		uint64_t request = cursor_varint(&d->c), row = cursor_varint(&d->c), flags = cursor_varint(&d->c), end;

		if (d->c.bad || __builtin_add_overflow(time, step, &time) || __builtin_add_overflow(time, ns, &end))
			return decode_cut_short(d);
		if (thread >= d->m->thread_count)
			return decode_bad_thread(d, i, thread);
		if (row == 0 || row > q->row_count)
			return err_set(d->err, -EPROTO, "span %zu is of row %llu of %zu", i + 1,
			               (unsigned long long)row, q->row_count);
		q->spans[i] = (struct model_database_span){ time,
			                                    ns,
			                                    request,
			                                    (uint32_t)thread,
			                                    (uint32_t)row - 1,
			                                    (flags & SNAP_DATABASE_FAILED) != 0,
			                                    (flags & SNAP_DATABASE_UNFINISHED) != 0 };
	}
	return 0;
}

int snapshot_decode_database(struct decode *d)
{
	struct model_database *q = &d->m->database;
	uint64_t recorded = cursor_varint(&d->c);
	int rc = decode_rows(d);

	if (rc == 0)
		rc = decode_spans(d);
	if (rc < 0)
		return rc;
	if (recorded > 1 || (!recorded && (q->row_count || q->span_count)))
		return err_set(d->err, -EPROTO, "says %llu for \"recorded\" and has rows",
		               (unsigned long long)recorded);
	q->recorded = recorded == 1;
	return 0;
}
