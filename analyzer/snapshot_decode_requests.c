/* snapshot_decode_requests.c - the section REQUESTS. */
#include <errno.h>

#include "model.h"
#include "snapshot_decode_part.h"

int decode_ranges(struct decode *d, const char *what, size_t row, struct model_bucket **ret_buckets,
                  size_t *ret_buckets_count, uint64_t *ret_count)
{
	uint64_t bucket = 0, sum = 0;
	void *rows;
	struct model_bucket *buckets;
	size_t n;
	int rc = decode_table(d, "ranges", 2, sizeof(*buckets), SNAP_REQUEST_BUCKETS, &n, &rows);

	if (rc < 0)
		return rc;
	buckets = rows;
	for (size_t i = 0; i < n; i++) {
		uint64_t step = cursor_varint(&d->c), count = cursor_varint(&d->c);

		if (d->c.bad)
			return decode_cut_short(d);
		if ((i > 0 && step == 0) || step >= SNAP_REQUEST_BUCKETS - bucket || !decode_sum_fits(&sum, count))
			return err_set(d->err, -EPROTO, "%s %zu has ranges out of order or bounds", what, row + 1);
		bucket += step;
		buckets[i] = (struct model_bucket){ (uint32_t)bucket, count };
	}
	*ret_buckets = buckets;
	*ret_buckets_count = n;
	*ret_count = sum;
	return 0;
}

static int decode_routes(struct decode *d)
{
	struct model_requests *q = &d->m->requests;
	uint64_t sum = 0;
	void *rows;
	int rc = decode_table(d, "routes", 6, sizeof(struct model_route), UINT32_MAX, &q->route_count, &rows);

	if (rc < 0)
		return rc;
	q->routes = rows;
	for (size_t i = 0; i < q->route_count; i++) {
		struct model_route *r = &q->routes[i];

		if (!decode_read_text(d, &r->method) || !decode_read_text(d, &r->route))
			return decode_no_memory(d);
		r->status = cursor_u32(&d->c);
		r->sum_ns = cursor_varint(&d->c);
		r->max_ns = cursor_varint(&d->c);
		rc = decode_ranges(d, "route", i, &r->buckets, &r->bucket_count, &r->count);
		if (rc < 0)
			return rc;
		if (!decode_sum_fits(&sum, r->count))
			return err_set(d->err, -EPROTO, "route %zu makes a sum larger than 63 bits", i + 1);
	}
	return 0;
}

/* A time as 0 for none, else its distance from `start`, plus 1. */
static bool later(uint64_t start, uint64_t field, uint64_t *ret_ns)
{
	return field == 0 || !__builtin_add_overflow(start, field - 1, ret_ns);
}

static int decode_request(struct decode *d, struct model_request *r, uint64_t *id, size_t row)
{
	uint64_t step = cursor_varint(&d->c), first, end, from, to;
	bool fits;

	r->start_ns = cursor_varint(&d->c);
	first = cursor_varint(&d->c);
	end = cursor_varint(&d->c);
	from = cursor_varint(&d->c);
	to = cursor_varint(&d->c);
	r->status = cursor_u32(&d->c);
	r->bytes_in = cursor_varint(&d->c);
	r->bytes_out = cursor_varint(&d->c);
	if (!decode_read_text(d, &r->method) || !decode_read_text(d, &r->path))
		return decode_no_memory(d);
	fits = !__builtin_add_overflow(*id, step, id) && later(r->start_ns, first, &r->first_ns) &&
	       later(r->start_ns, end, &r->end_ns);
	if (d->c.bad)
		return decode_cut_short(d);
	if (from >= d->m->thread_count || to >= d->m->thread_count)
		return decode_bad_thread(d, row, from > to ? from : to);
	if (!fits || step == 0)
		return err_set(d->err, -EPROTO, "request %zu is out of order, or its times are out of bounds", row + 1);
	r->id = *id;
	r->thread_start = (uint32_t)from;
	r->thread_end = (uint32_t)to;
	return 0;
}

static int decode_spans(struct decode *d)
{
	struct model_requests *q = &d->m->requests;
	uint64_t time = 0;
	void *rows;
	int rc = decode_table(d, "spans", 5, sizeof(struct model_request_span), UINT32_MAX, &q->span_count, &rows);

	if (rc < 0)
		return rc;
	q->spans = rows;
	for (size_t i = 0; i < q->span_count; i++) {
		uint64_t step = cursor_varint(&d->c), length = cursor_varint(&d->c), thread = cursor_varint(&d->c);
		uint64_t request = cursor_varint(&d->c), shared = cursor_varint(&d->c), to = 0;

		if (d->c.bad || __builtin_add_overflow(time, step, &time) || __builtin_add_overflow(time, length, &to))
			return decode_cut_short(d);
		if (thread >= d->m->thread_count)
			return decode_bad_thread(d, i, thread);
		q->spans[i] = (struct model_request_span){ time, to, request, (uint32_t)thread, shared != 0 };
	}
	return 0;
}

int snapshot_decode_requests(struct decode *d)
{
	struct model_requests *q = &d->m->requests;
	uint64_t recorded = cursor_varint(&d->c), id = 0;
	void *rows;
	int rc;

	q->count = cursor_varint(&d->c);
	q->slow = cursor_varint(&d->c);
	q->unanswered = cursor_varint(&d->c);
	q->latency_ns = cursor_varint(&d->c);
	rc = decode_routes(d);
	if (rc == 0)
		rc = decode_table(d, "requests", 11, sizeof(struct model_request), UINT32_MAX, &q->request_count,
		                  &rows);
	if (rc < 0)
		return rc;
	q->requests = rows;
	for (size_t i = 0; i < q->request_count && rc == 0; i++)
		rc = decode_request(d, &q->requests[i], &id, i);
	if (rc == 0)
		rc = decode_spans(d);
	if (rc < 0)
		return rc;
	if (recorded > 1 || (!recorded && (q->route_count || q->request_count || q->span_count)))
		return err_set(d->err, -EPROTO, "says %llu for \"recorded\" and has rows",
		               (unsigned long long)recorded);
	q->recorded = recorded == 1;
	return 0;
}
