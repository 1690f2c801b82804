/*
 * live_read_running.c - what threads were at when a live file was read: the requests they worked on, their database calls.
 *
 * The end     the header's time moves on ten times a second, and what is under way may be newer: the recording ends with the newest
 *             thing that happened in it. So times are looked at first, and only then what is under way gets its length.
 */
#include <stdlib.h>
#include <string.h>

#include "live_read_part.h"
#include "model_memory.h"

bool live_next_work(const struct live *l, struct live_walk *w, struct live_work *ret)
{
	for (; w->chunk < l->chunks; w->chunk++, w->row = 0) {
		struct live_head head;
		struct live_rows rows;
		size_t bytes = 0;
		const uint8_t *at = live_chunk(l, w->chunk, LIVE_WORK, &bytes);

		if (!at || bytes < sizeof(head))
			continue;
		memcpy(&head, at, sizeof(head));
		rows = live_rows(at, bytes, &head.table, sizeof(*ret));
		if (w->row < rows.count) {
			memcpy(ret, rows.at + w->row++ * rows.step, sizeof(*ret));
			return true;
		}
	}
	return false;
}

static bool call_at(const struct live *l, size_t i, struct live_database_call *ret)
{
	if (i >= l->database_calls.count)
		return false;
	memcpy(ret, l->database_calls.at + i * l->database_calls.step, sizeof(*ret));
	return true;
}

/* How many rows there are; their times are noted. */
static size_t look(struct live *l)
{
	struct live_walk walk = { 0, 0 };
	struct live_database_call c;
	struct live_work w;
	size_t n = 0;

	for (; live_next_work(l, &walk, &w); n++) {
		if (w.request && w.request == w.request_again)
			live_note_time(l, w.since_ns);
		if (w.call_since_ns && w.call_since_ns == w.call_again)
			live_note_time(l, w.call_since_ns);
	}
	for (size_t i = 0; call_at(l, i, &c); i++, n++)
		if (c.number && c.number == c.again)
			live_note_time(l, c.step_ns > c.start_ns ? c.step_ns : c.start_ns);
	return n;
}

static void move_end(struct live *l)
{
	struct model *m = l->m;

	if (l->newest_ns <= m->end_ns)
		return;
	m->end_wall_ns += l->newest_ns - m->end_ns;
	m->end_ns = l->newest_ns;
}

static void add_span(struct live *l, const struct live_work *w)
{
	struct model_requests *q = &l->m->requests;

	if (live_is_whole(l, w->request, w->request_again) && w->since_ns <= l->m->end_ns)
		q->spans[q->span_count++] = (struct model_request_span){ w->since_ns, l->m->end_ns, w->request,
			                                                 live_thread(l, w->thread), w->shared != 0 };
}

/* `row` as the file numbers it. */
static void add_call(struct live *l, uint64_t start_ns, uint64_t ns, uint64_t request, uint32_t thread, uint32_t row)
{
	struct model_database *q = &l->m->database;
	uint64_t end;

	if (!request || !row || row > l->database_numbers || !l->database_number[row] ||
	    __builtin_add_overflow(start_ns, ns, &end))
		return;
	q->spans[q->span_count++] = (struct model_database_span){ .start_ns = start_ns,
		                                                  .ns = ns,
		                                                  .request = request,
		                                                  .thread = live_thread(l, thread),
		                                                  .row = l->database_number[row] - 1,
		                                                  .unfinished = true };
}

static uint64_t since(const struct live *l, uint64_t start_ns)
{
	return l->m->end_ns > start_ns ? l->m->end_ns - start_ns : 0;
}

/* All of the time since its start, or that of its steps. */
static void add_open_call(struct live *l, const struct live_database_call *c)
{
	uint64_t ns = since(l, c->start_ns), step = c->step_ns ? since(l, c->step_ns) : 0;

	if (!live_is_whole(l, c->number, c->again))
		return;
	if (c->spent_ns && __builtin_add_overflow(c->spent_ns, step, &ns))
		return;
	add_call(l, c->start_ns, ns, c->request, c->thread, c->row);
}

static int by_from(const void *a, const void *b)
{
	const struct model_request_span *x = a, *y = b;

	return x->from_ns < y->from_ns ? -1 : x->from_ns > y->from_ns;
}

static int by_start(const void *a, const void *b)
{
	const struct model_database_span *x = a, *y = b;

	return x->start_ns < y->start_ns ? -1 : x->start_ns > y->start_ns;
}

/* A copy of the table with room for more; NULL: no memory. */
static void *with_room(struct live *l, const void *rows, size_t count, size_t row_bytes, size_t more)
{
	void *copy = arena_array(model_arena(l->m), count + more, row_bytes);

	if (copy && count)
		memcpy(copy, rows, count * row_bytes);
	return copy;
}

int live_read_running(struct live *l, struct err *err)
{
	struct model_requests *q = &l->m->requests;
	struct model_database *d = &l->m->database;
	size_t more = look(l);
	struct live_walk walk = { 0, 0 };
	struct live_database_call c;
	struct live_work w;

	move_end(l);
	q->spans = with_room(l, q->spans, q->span_count, sizeof(*q->spans), more);
	d->spans = with_room(l, d->spans, d->span_count, sizeof(*d->spans), more);
	if (!q->spans || !d->spans)
		return live_no_memory(err);
	while (l->m->thread_count && live_next_work(l, &walk, &w)) {
		if (q->recorded)
			add_span(l, &w);
		if (live_is_whole(l, w.call_since_ns, w.call_again))
			add_call(l, w.call_since_ns, since(l, w.call_since_ns), w.call_request, w.call_thread,
			         w.call_row);
	}
	for (size_t i = 0; call_at(l, i, &c); i++)
		add_open_call(l, &c);
	if (q->span_count)
		qsort(q->spans, q->span_count, sizeof(*q->spans), by_from);
	if (d->span_count)
		qsort(d->spans, d->span_count, sizeof(*d->spans), by_start);
	return 0;
}
