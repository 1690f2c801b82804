/* snapshot_requests.c - copies first, so that what is counted is what is written. */
#include "snapshot_requests.h"

#include <stddef.h>

#include "config.h"
#include "http.h"
#include "os_linux.h"
#include "requests.h"
#include "snapshot_out.h"
#include "sort.h"
#include "threads.h"

struct copies {
	struct snapshot_out *out;
	uint32_t threads;
	struct request *request; /* REQUESTS_COPIES */
	struct request_span *span;
	struct sort_row *row; /* of either */
	size_t row_room, requests, spans;
};

static uint32_t known(const struct copies *c, uint32_t thread)
{
	return thread < c->threads ? thread : 0;
}

enum { ROWS_AT_ONCE = 256 };

static void give_way(size_t row)
{
	if (row % ROWS_AT_ONCE == 0)
		os_give_way();
}

/* ---- routes -------------------------------------------------------------------------------------------------------- */

static void write_route(struct copies *c, const struct request_route *r)
{
	snapshot_string(c->out, http_method_name((enum http_method)r->method));
	snapshot_string(c->out, r->route);
	snapshot_number(c->out, r->status);
	snapshot_number(c->out, load_relaxed(&r->took.sum_ns));
	snapshot_number(c->out, load_relaxed(&r->took.max_ns));
	snapshot_ranges(c->out, r->took.range);
}

static void write_routes(struct copies *c)
{
	uint16_t ready[REQUESTS_ROUTES];
	uint32_t n = 0;

	for (uint32_t i = 0; i < REQUESTS_ROUTES; i++)
		if (requests_route(i))
			ready[n++] = (uint16_t)i;
	snapshot_number(c->out, n);
	for (uint32_t i = 0; i < n; i++) {
		write_route(c, requests_route(ready[i]));
		os_give_way();
	}
}

/* ---- requests ------------------------------------------------------------------------------------------------------ */

/* Answered before answered meanwhile: of the copies of one request the one that knows more is kept. */
static void gather_requests(struct copies *c)
{
	size_t n = 0, kept = 0;

	for (uint32_t i = 0; i < REQUESTS_COPIES; i++) {
		give_way(i);
		if (requests_get(i, &c->request[n])) {
			c->row[n] = (struct sort_row){ c->request[n].id, n };
			n++;
		}
	}
	sort_rows(c->row, n);
	os_give_way();
	for (size_t i = 0; i < n; i++) {
		if (kept && c->row[kept - 1].key == c->row[i].key) {
			if (c->request[c->row[i].rest].end_ns)
				c->row[kept - 1] = c->row[i];
		} else {
			c->row[kept++] = c->row[i];
		}
	}
	c->requests = kept;
}

static uint64_t later(uint64_t start, uint64_t ns)
{
	return ns >= start ? ns - start + 1 : 0;
}

static void write_requests(struct copies *c)
{
	uint64_t last = 0;

	gather_requests(c);
	snapshot_number(c->out, c->requests);
	for (size_t i = 0; i < c->requests; i++) {
		const struct request *r = &c->request[c->row[i].rest];

		give_way(i);
		snapshot_number(c->out, r->id - last);
		last = r->id;
		snapshot_number(c->out, r->start_ns);
		snapshot_number(c->out, later(r->start_ns, r->first_ns));
		snapshot_number(c->out, later(r->start_ns, r->end_ns));
		snapshot_number(c->out, known(c, r->thread_start));
		snapshot_number(c->out, known(c, r->thread_end));
		snapshot_number(c->out, r->status);
		snapshot_number(c->out, r->bytes_in);
		snapshot_number(c->out, r->bytes_out);
		snapshot_string(c->out, http_method_name((enum http_method)r->method));
		snapshot_bytes(c->out, r->path, r->path_bytes);
	}
}

/* ---- spans --------------------------------------------------------------------------------------------------------- */

static void gather_spans(struct copies *c)
{
	size_t n = 0;

	for (uint32_t i = 0; i < REQUESTS_SPANS; i++) {
		give_way(i);
		n += requests_span(i, &c->span[n]);
	}
	for (struct thread *th = threads_first(); th && n < c->row_room; th = th->next)
		n += requests_working(th, &c->span[n]);
	for (size_t i = 0; i < n; i++)
		c->row[i] = (struct sort_row){ c->span[i].from_ns, i };
	sort_rows(c->row, n);
	c->spans = n;
}

static void write_spans(struct copies *c)
{
	uint64_t last = 0;

	gather_spans(c);
	snapshot_number(c->out, c->spans);
	for (size_t i = 0; i < c->spans; i++) {
		const struct request_span *s = &c->span[c->row[i].rest];

		give_way(i);
		snapshot_number(c->out, s->from_ns - last);
		last = s->from_ns;
		snapshot_number(c->out, s->to_ns - s->from_ns);
		snapshot_number(c->out, known(c, s->thread));
		snapshot_number(c->out, s->request);
		snapshot_number(c->out, s->shared);
	}
}

void snapshot_requests(struct snapshot_out *out, const struct config *config, uint32_t threads, bool head)
{
	struct requests_totals t = requests_totals();
	struct copies c = { out, threads, NULL, NULL, NULL, REQUESTS_SPANS + THREADS_MAX_RECORDS, 0, 0 };
	size_t request_bytes = REQUESTS_COPIES * sizeof(*c.request), span_bytes = c.row_room * sizeof(*c.span);
	size_t row_bytes = c.row_room * sizeof(*c.row);

	if (!head) {
		c.request = os_map(request_bytes);
		c.span = os_map(span_bytes);
		c.row = os_map(row_bytes);
	}
	snapshot_section(out, SNAP_REQUESTS);
	snapshot_number(out, config->http != 0);
	snapshot_number(out, t.count);
	snapshot_number(out, t.slow);
	snapshot_number(out, t.unanswered);
	snapshot_number(out, config->latency);
	if (config->http && c.request && c.span && c.row) {
		write_routes(&c);
		write_requests(&c);
		write_spans(&c);
	} else {
		for (unsigned i = 0; i < 3; i++)
			snapshot_number(out, 0);
	}
	snapshot_section_end(out);
	os_unmap(c.request, c.request ? request_bytes : 0);
	os_unmap(c.span, c.span ? span_bytes : 0);
	os_unmap(c.row, c.row ? row_bytes : 0);
}
