/* live_read_requests.c - requests in a live file: those answered, and those under way when it was read. */
#include <stdlib.h>
#include <string.h>

#include "live_read_part.h"
#include "model_memory.h"

/* The name with that number; "": there is none. */
static const char *method_name(struct live *l, const struct live_requests *head, unsigned method)
{
	return method < LIVE_NAMES ? live_text(l, head->methods[method], LIVE_NAME_BYTES) : "";
}

/* ---- routes -------------------------------------------------------------------------------------------------------- */

static int read_routes(struct live *l, const struct live_requests *head, struct live_rows rows, struct err *err)
{
	struct model_requests *q = &l->m->requests;
	uint64_t sum = 0;

	q->routes = arena_array(model_arena(l->m), rows.count, sizeof(*q->routes));
	if (!q->routes)
		return live_no_memory(err);
	for (size_t i = 0; i < rows.count; i++) {
		struct model_route *to = &q->routes[q->route_count];
		struct live_route r;

		memcpy(&r, rows.at + i * rows.step, sizeof(r));
		if (!r.key || !r.ready)
			continue;
		to->method = method_name(l, head, r.method);
		to->route = live_text(l, r.route, LIVE_ROUTE_BYTES);
		to->status = r.status;
		to->sum_ns = r.took.sum_ns;
		to->max_ns = r.took.max_ns;
		if (!to->method || !to->route ||
		    !live_ranges(l, &r.took, &sum, &to->buckets, &to->bucket_count, &to->count))
			return live_no_memory(err);
		q->route_count++;
	}
	return 0;
}

/* ---- requests ------------------------------------------------------------------------------------------------------ */

/* May it be one that was answered, or that is under way? */
static bool makes_sense(const struct live_request *r, bool answered)
{
	return r->id && (answered ? r->end_ns != 0 : r->end_ns == 0) && r->path_bytes <= LIVE_PATH_BYTES &&
	       (!r->first_ns || r->first_ns >= r->start_ns) && (!r->end_ns || r->end_ns >= r->start_ns);
}

static bool add_request(struct live *l, const struct live_requests *head, const struct live_request *r)
{
	struct model_requests *q = &l->m->requests;
	struct model_request *to = &q->requests[q->request_count];
	const char *method = method_name(l, head, r->method);

	if (!method)
		return false;
	if (!*method)
		return true; /* its line had not been read: it might have turned out to be none */
	*to = (struct model_request){ .id = r->id,
		                      .start_ns = r->start_ns,
		                      .first_ns = r->first_ns,
		                      .end_ns = r->end_ns,
		                      .bytes_in = r->bytes_in,
		                      .bytes_out = r->bytes_out,
		                      .thread_start = live_thread(l, r->thread_start),
		                      .thread_end = live_thread(l, r->thread_end),
		                      .status = r->status,
		                      .method = method,
		                      .path = live_text(l, r->path, r->path_bytes) };
	live_note_time(l, r->end_ns ? r->end_ns : r->start_ns);
	q->request_count++;
	return to->path != NULL;
}

static bool add_requests(struct live *l, const struct live_requests *head, struct live_rows rows, bool answered)
{
	for (size_t i = 0; i < rows.count; i++) {
		struct live_request r;

		memcpy(&r, rows.at + i * rows.step, sizeof(r));
		if (live_is_whole(l, r.number, r.again) && makes_sense(&r, answered) && !add_request(l, head, &r))
			return false;
	}
	return true;
}

/* Of two with one id the one that is answered comes first. */
static int by_id(const void *a, const void *b)
{
	const struct model_request *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return (x->end_ns == 0) - (y->end_ns == 0);
}

static int read_rows(struct live *l, const struct live_requests *head, const uint8_t *at, size_t bytes, struct err *err)
{
	const struct live_table *tables[] = { &head->open, &head->answered, &head->slowest, &head->sampled };
	struct model_requests *q = &l->m->requests;
	struct live_rows rows[ARRAY_LEN(tables)];
	size_t room = 0, n = 0;

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		rows[i] = live_rows(at, bytes, tables[i], sizeof(struct live_request));
		room += rows[i].count;
	}
	q->requests = arena_array(model_arena(l->m), room, sizeof(*q->requests));
	if (!q->requests)
		return live_no_memory(err);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		if (!add_requests(l, head, rows[i], i > 0))
			return live_no_memory(err);
	if (q->request_count)
		qsort(q->requests, q->request_count, sizeof(*q->requests), by_id);
	for (size_t i = 0; i < q->request_count; i++)
		if (n == 0 || q->requests[n - 1].id != q->requests[i].id)
			q->requests[n++] = q->requests[i];
	q->request_count = n;
	return 0;
}

/* ---- spans --------------------------------------------------------------------------------------------------------- */

/* Those that ended; there is room for those that did not. */
static int read_spans(struct live *l, struct live_rows rows, struct err *err)
{
	struct model_requests *q = &l->m->requests;

	q->spans = arena_array(model_arena(l->m), rows.count, sizeof(*q->spans));
	if (!q->spans)
		return live_no_memory(err);
	for (size_t i = 0; i < rows.count; i++) {
		struct live_request_span s;

		memcpy(&s, rows.at + i * rows.step, sizeof(s));
		if (!live_is_whole(l, s.number, s.again) || s.from_ns > s.to_ns)
			continue;
		live_note_time(l, s.to_ns);
		q->spans[q->span_count++] = (struct model_request_span){ s.from_ns, s.to_ns, s.request,
			                                                 live_thread(l, s.thread), s.shared != 0 };
	}
	return 0;
}

int live_read_requests(struct live *l, struct err *err)
{
	struct model_requests *q = &l->m->requests;
	struct live_requests head;
	size_t bytes = 0;
	const uint8_t *at = live_only(l, LIVE_REQUESTS, sizeof(head), &bytes);
	int rc;

	if (!at)
		return 0;
	memcpy(&head, at, sizeof(head));
	q->recorded = true;
	q->count = head.total[LIVE_ANSWERED];
	q->slow = head.total[LIVE_SLOW];
	q->unanswered = head.total[LIVE_UNANSWERED];
	rc = read_routes(l, &head, live_rows(at, bytes, &head.routes, sizeof(struct live_route)), err);
	if (rc == 0)
		rc = read_rows(l, &head, at, bytes, err);
	if (rc == 0)
		rc = read_spans(l, live_rows(at, bytes, &head.spans, sizeof(struct live_request_span)), err);
	return rc;
}
