/*
 * merge_requests.c - requests and database calls.
 *
 * A request's number is its own in its recording only: those of the next recording go on behind the highest so far. Routes and
 * rows of calls are kept whole; single requests as long as they are among the slowest, and spans as long as they are among the newest.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "merge_part.h"
#include "model_memory.h"

/* Rows for which there is no room go to one; it is kept free. */
#define OTHER "_OTHER"

/* ---- durations ---- */

struct key_text {
	uint64_t numbers[4]; /* of the texts, and a status */
};

static int64_t number_of(struct merge *g, const char *text)
{
	const char *cut = merge_about_text(g, text);

	return cut ? intern_add(&g->texts, cut, strlen(cut)) : -1;
}

/* The row of up to three texts and a number. */
static struct merge_durations *row_of(struct merge *g, struct merge_table *t, const char *const texts[3],
                                      uint64_t number, size_t *ret_index)
{
	static const char *const other[3] = { OTHER, OTHER, "" };
	struct merge_durations *d = NULL;
	int rc = 0;

	for (int pass = 0; pass < 2 && !d; pass++) {
		struct key_text key = { .numbers = { [3] = pass ? 0 : number } };

		for (size_t i = 0; i < 3; i++) {
			int64_t n = number_of(g, pass ? other[i] : texts[i]);

			if (n < 0)
				return NULL;
			key.numbers[i] = (uint64_t)n;
		}
		d = merge_table_row(t, &key, sizeof(key), pass ? 0 : 1, &rc);
		if (!d && rc != MERGE_FULL)
			return NULL;
	}
	if (d && !d->range)
		d->range = arena_array(&g->arena, SNAP_REQUEST_BUCKETS, sizeof(*d->range));
	if (!d || !d->range)
		return NULL;
	*ret_index = (size_t)((uint8_t *)d - t->rows) / sizeof(*d);
	return d;
}

static void add_durations(struct merge_durations *to, uint64_t count, uint64_t sum_ns, uint64_t max_ns,
                          const struct model_bucket *buckets, size_t n)
{
	to->count += count;
	to->sum_ns = merge_saturated(to->sum_ns, sum_ns);
	to->max_ns = max_ns > to->max_ns ? max_ns : to->max_ns;
	for (size_t i = 0; i < n; i++)
		to->range[buckets[i].bucket] += buckets[i].count;
}

static int finish_buckets(const struct merge_durations *d, struct arena *a, struct model_bucket **ret,
                          size_t *ret_count)
{
	struct model_bucket *buckets;
	size_t n = 0;

	for (size_t i = 0; i < SNAP_REQUEST_BUCKETS; i++)
		n += d->range[i] != 0;
	buckets = arena_array(a, n, sizeof(*buckets));
	if (!buckets)
		return -ENOMEM;
	n = 0;
	for (uint32_t i = 0; i < SNAP_REQUEST_BUCKETS; i++)
		if (d->range[i])
			buckets[n++] = (struct model_bucket){ i, d->range[i] };
	*ret = buckets;
	*ret_count = n;
	return 0;
}

/* ---- adding ---- */

uint64_t merge_requests_id(struct merge_input *in, uint64_t id)
{
	uint64_t moved = merge_saturated(id, in->request_base);

	if (id && moved > in->g->next_request)
		in->g->next_request = moved;
	return id ? moved : 0;
}

bool merge_requests_fit(const struct merge *g, const struct model *m)
{
	const struct model_requests *q = &m->requests;
	uint64_t most = q->request_count ? q->requests[q->request_count - 1].id : 0;

	for (size_t i = 0; i < q->span_count; i++)
		most = q->spans[i].request > most ? q->spans[i].request : most;
	for (size_t i = 0; i < m->database.span_count; i++)
		most = m->database.spans[i].request > most ? m->database.spans[i].request : most;
	for (size_t i = 0; i < m->offcpu.sample_count; i++)
		most = m->offcpu.samples[i].request > most ? m->offcpu.samples[i].request : most;
	return most < INT64_MAX - g->next_request;
}

static int add_routes(struct merge_input *in)
{
	const struct model_requests *q = &in->m->requests;
	struct merge *g = in->g;
	size_t index, before = g->routes.limit - 1;

	for (size_t i = 0; i < q->route_count; i++) {
		const char *const texts[3] = { q->routes[i].method, q->routes[i].route, "" };
		struct merge_durations *d = row_of(g, &g->routes, texts, q->routes[i].status, &index);

		if (!d)
			return -ENOMEM;
		if (index >= before && strcmp(q->routes[i].route, OTHER) != 0)
			g->lost[MERGE_LOST_ROUTES]++;
		add_durations(d, q->routes[i].count, q->routes[i].sum_ns, q->routes[i].max_ns, q->routes[i].buckets,
		              q->routes[i].bucket_count);
	}
	return 0;
}

static uint64_t duration(const struct merge *g, const struct model_request *r)
{
	uint64_t end = r->end_ns ? r->end_ns : g->head.end_ns; /* under way: so far */

	return end > r->start_ns ? end - r->start_ns : 0;
}

static int slowest_first(const void *left, const void *right, void *context)
{
	uint64_t a = duration(context, left), b = duration(context, right); /* r is the first field */

	return (a < b) - (a > b);
}

static int by_id(const void *left, const void *right)
{
	const struct merge_request *a = left, *b = right;

	return (a->r.id > b->r.id) - (a->r.id < b->r.id);
}

static void keep_slowest(struct merge *g)
{
	struct merge_list *l = &g->requests;

	if (l->count <= g->limits.requests)
		return;
	qsort_r(l->items, l->count, l->item_bytes, slowest_first, g);
	g->lost[MERGE_LOST_REQUESTS] += l->count - g->limits.requests;
	l->count = g->limits.requests;
	qsort(l->items, l->count, l->item_bytes, by_id);
}

static void copy_cut(char *to, size_t room, const char *text)
{
	memcpy(to, text, strnlen(text, room - 1)); /* what follows is 0 already */
}

static int add_requests(struct merge_input *in)
{
	const struct model_requests *q = &in->m->requests;
	struct merge *g = in->g;

	for (size_t i = 0; i < q->request_count; i++) {
		const struct model_request *r = &q->requests[i];
		struct merge_request *to = merge_list_add(&g->requests);

		if (!to)
			return -ENOMEM;
		to->r = *r;
		to->r.id = merge_requests_id(in, r->id);
		to->r.start_ns = merge_space_time(in, r->start_ns);
		to->r.first_ns = merge_space_time(in, r->first_ns);
		to->r.end_ns = merge_space_time(in, r->end_ns);
		to->r.thread_start = in->thread_of[r->thread_start];
		to->r.thread_end = in->thread_of[r->thread_end];
		copy_cut(to->method, sizeof(to->method), r->method);
		copy_cut(to->path, sizeof(to->path), r->path);
		if (g->requests.count >= 2 * g->limits.requests)
			keep_slowest(g);
	}
	return 0;
}

static int newest_spans_first(const void *left, const void *right)
{
	const struct model_request_span *a = left, *b = right;

	return (a->from_ns < b->from_ns) - (a->from_ns > b->from_ns);
}

static int newest_calls_first(const void *left, const void *right)
{
	const struct model_database_span *a = left, *b = right;

	return (a->start_ns < b->start_ns) - (a->start_ns > b->start_ns);
}

static void keep_newest(struct merge *g, struct merge_list *l, size_t at_least,
                        int (*order)(const void *, const void *))
{
	if (l->count < at_least || !l->count)
		return;
	qsort(l->items, l->count, l->item_bytes, order);
	if (l->count > g->limits.spans) {
		g->lost[MERGE_LOST_SPANS] += l->count - g->limits.spans;
		l->count = g->limits.spans;
	}
}

static int add_spans(struct merge_input *in)
{
	const struct model_requests *q = &in->m->requests;
	struct merge *g = in->g;

	for (size_t i = 0; i < q->span_count; i++) {
		const struct model_request_span *s = &q->spans[i];
		struct model_request_span *to = merge_list_add(&g->spans);

		if (!to)
			return -ENOMEM;
		*to = (struct model_request_span){ merge_space_time(in, s->from_ns), merge_space_time(in, s->to_ns),
			                           merge_requests_id(in, s->request), in->thread_of[s->thread],
			                           s->shared };
		keep_newest(g, &g->spans, 2 * g->limits.spans, newest_spans_first);
	}
	return 0;
}

static int add_database(struct merge_input *in)
{
	const struct model_database *d = &in->m->database;
	struct merge *g = in->g;
	uint32_t *row = calloc(d->row_count + 1, sizeof(*row));
	int rc = row ? 0 : -ENOMEM;

	for (size_t i = 0; i < d->row_count && rc == 0; i++) {
		const struct model_database_row *r = &d->rows[i];
		const char *const texts[3] = { r->system, r->operation, r->table };
		size_t index = 0;
		struct merge_durations *to = row_of(g, &g->database, texts, 0, &index);

		rc = to ? 0 : -ENOMEM;
		if (!to)
			break;
		g->lost[MERGE_LOST_ROUTES] += index >= g->database.limit - 1;
		row[i] = (uint32_t)index;
		to->errors += r->errors;
		add_durations(to, r->count, r->sum_ns, r->max_ns, r->buckets, r->bucket_count);
	}
	for (size_t i = 0; i < d->span_count && rc == 0; i++) {
		const struct model_database_span *s = &d->spans[i];
		struct model_database_span *to = merge_list_add(&g->database_spans);

		rc = to ? 0 : -ENOMEM;
		if (!to)
			break;
		*to = *s;
		to->start_ns = merge_space_time(in, s->start_ns);
		to->request = merge_requests_id(in, s->request);
		to->thread = in->thread_of[s->thread];
		to->row = row[s->row];
		to->ns = s->ns > INT64_MAX ? INT64_MAX : s->ns;
		keep_newest(g, &g->database_spans, 2 * g->limits.spans, newest_calls_first);
	}
	free(row);
	return rc;
}

int merge_requests_add(struct merge_input *in)
{
	const struct model_requests *q = &in->m->requests;
	struct model_requests *to = &in->g->head.requests;
	int rc;

	to->recorded |= q->recorded;
	to->count = merge_saturated(to->count, q->count);
	to->slow = merge_saturated(to->slow, q->slow);
	to->unanswered = merge_saturated(to->unanswered, q->unanswered);
	if (q->recorded && (to->latency_ns == 0 || q->latency_ns < to->latency_ns))
		to->latency_ns = q->latency_ns;
	in->g->head.database.recorded |= in->m->database.recorded;
	rc = add_routes(in);
	if (rc == 0)
		rc = add_requests(in);
	if (rc == 0)
		rc = add_spans(in);
	return rc == 0 ? add_database(in) : rc;
}

/* ---- the result ---- */

static const char *text_of(const struct merge *g, struct model *m, uint64_t number)
{
	return arena_text(model_arena(m), g->texts.keys[number], g->texts.key_bytes[number]);
}

static int finish_routes(const struct merge *g, struct model *m)
{
	struct model_requests *q = &m->requests;

	q->route_count = g->routes.keys.count;
	q->routes = arena_array(model_arena(m), q->route_count, sizeof(*q->routes));
	if (!q->routes)
		return -ENOMEM;
	for (size_t i = 0; i < q->route_count; i++) {
		const struct key_text *key = g->routes.keys.keys[i];
		const struct merge_durations *d = merge_table_at(&g->routes, i);
		struct model_route *r = &q->routes[i];

		r->method = text_of(g, m, key->numbers[0]);
		r->route = text_of(g, m, key->numbers[1]);
		r->status = (uint32_t)key->numbers[3];
		r->count = d->count;
		r->sum_ns = d->sum_ns;
		r->max_ns = d->max_ns;
		if (!r->method || !r->route || finish_buckets(d, model_arena(m), &r->buckets, &r->bucket_count) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int finish_requests(struct merge *g, struct model *m)
{
	struct model_requests *q = &m->requests;
	const struct merge_request *from;

	keep_slowest(g);
	from = (const void *)g->requests.items;
	q->request_count = g->requests.count;
	q->requests = arena_array(model_arena(m), q->request_count, sizeof(*q->requests));
	if (!q->requests)
		return -ENOMEM;
	for (size_t i = 0; i < q->request_count; i++) {
		q->requests[i] = from[i].r;
		q->requests[i].method = arena_text(model_arena(m), from[i].method, strlen(from[i].method));
		q->requests[i].path = arena_text(model_arena(m), from[i].path, strlen(from[i].path));
		if (!q->requests[i].method || !q->requests[i].path)
			return -ENOMEM;
	}
	return 0;
}

static int finish_database(struct merge *g, struct model *m)
{
	struct model_database *q = &m->database;
	const struct model_database_span *from;

	q->row_count = g->database.keys.count;
	q->rows = arena_array(model_arena(m), q->row_count, sizeof(*q->rows));
	q->spans = arena_array(model_arena(m), g->database_spans.count, sizeof(*q->spans));
	if (!q->rows || !q->spans)
		return -ENOMEM;
	for (size_t i = 0; i < q->row_count; i++) {
		const struct key_text *key = g->database.keys.keys[i];
		const struct merge_durations *d = merge_table_at(&g->database, i);
		struct model_database_row *r = &q->rows[i];

		r->system = text_of(g, m, key->numbers[0]);
		r->operation = text_of(g, m, key->numbers[1]);
		r->table = text_of(g, m, key->numbers[2]);
		r->errors = d->errors;
		r->count = d->count;
		r->sum_ns = d->sum_ns;
		r->max_ns = d->max_ns;
		if (!r->system || !r->operation || !r->table ||
		    finish_buckets(d, model_arena(m), &r->buckets, &r->bucket_count) < 0)
			return -ENOMEM;
	}
	from = (const void *)g->database_spans.items;
	for (size_t i = g->database_spans.count; i > 0; i--)
		q->spans[q->span_count++] = from[i - 1];
	return 0;
}

int merge_requests_finish(struct merge *g, struct model *m)
{
	struct model_requests *q = &m->requests;
	const struct model_request_span *from;
	int rc = finish_routes(g, m);

	keep_newest(g, &g->spans, 0, newest_spans_first);
	keep_newest(g, &g->database_spans, 0, newest_calls_first);
	if (rc == 0)
		rc = finish_requests(g, m);
	if (rc == 0)
		rc = finish_database(g, m);
	q->spans = rc == 0 ? arena_array(model_arena(m), g->spans.count, sizeof(*q->spans)) : NULL;
	if (!q->spans)
		return -ENOMEM;
	from = (const void *)g->spans.items;
	for (size_t i = g->spans.count; i > 0; i--)
		q->spans[q->span_count++] = from[i - 1];
	return 0;
}
