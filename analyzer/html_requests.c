/*
 * html_requests.c - requests and database calls for the page.
 *
 * Requests are columns: a window may hold tens of thousands. A request's route is an index into the routes, which are counted
 * over the whole recording, while the requests are those of the window, the slowest, and those under way.
 */
#include "html_part.h"

#include <string.h>

#include "clean_text.h"
#include "database.h"
#include "model.h"
#include "requests.h"

void html_text(struct html_work *w, const char *text)
{
	buf_clear(&w->scratch);
	clean_text(&w->scratch, text);
	json_string_n(&w->j, w->scratch.len ? w->scratch.data : "", w->scratch.len);
}

void html_key_text(struct html_work *w, const char *key, const char *text)
{
	json_key(&w->j, key);
	html_text(w, text);
}

uint64_t html_us(const struct html_work *w, uint64_t time_ns)
{
	return time_ns > w->m->start_ns ? (time_ns - w->m->start_ns) / 1000 : 0;
}

static void write_routes(struct html_work *w, const struct slice_routes *routes)
{
	json_key(&w->j, "routes");
	json_array_begin(&w->j);
	for (size_t i = 0; i < routes->count; i++) {
		json_array_begin(&w->j);
		html_text(w, routes->items[i].method);
		html_text(w, routes->items[i].route);
		json_array_end(&w->j);
	}
	json_array_end(&w->j);
}

static uint32_t group_of(const struct slice_routes *routes, const struct model_route *r)
{
	for (uint32_t i = 0; i < routes->count; i++)
		if (strcmp(routes->items[i].method, r->method) == 0 && strcmp(routes->items[i].route, r->route) == 0)
			return i;
	return 0; /* never: routes are made of these */
}

/* [route, status, count, p50, p99, max, sum], times in nanoseconds */
static void write_figures(struct html_work *w, const struct slice_routes *routes)
{
	const struct model_requests *q = &w->m->requests;

	json_key(&w->j, "figures");
	json_array_begin(&w->j);
	for (size_t i = 0; i < q->route_count; i++) {
		const struct model_route *r = &q->routes[i];

		if (!r->count)
			continue;
		json_array_begin(&w->j);
		json_u64(&w->j, group_of(routes, r));
		json_u64(&w->j, r->status);
		json_u64(&w->j, r->count);
		json_u64(&w->j, requests_quantile(r, 0.5));
		json_u64(&w->j, requests_quantile(r, 0.99));
		json_u64(&w->j, r->max_ns);
		json_u64(&w->j, r->sum_ns);
		json_array_end(&w->j);
	}
	json_array_end(&w->j);
}

enum column { ROUTE, STATUS, START, DURATION, FIRST, THREAD, BYTES_IN, BYTES_OUT, ANSWERED, COLUMNS };
static const char *const column_names[COLUMNS] = { "route",  "status",   "start_us",  "duration_us", "first_us",
	                                           "thread", "bytes_in", "bytes_out", "answered" };

static int64_t cell(const struct html_work *w, const struct slice_routes *routes, size_t i, enum column column)
{
	const struct model_request *r = &w->m->requests.requests[i];
	uint64_t end = r->end_ns ? r->end_ns : w->m->end_ns;

	switch (column) {
	case ROUTE:
		return routes->of_request[i] == SLICE_NONE ? -1 : (int64_t)routes->of_request[i];
	case STATUS:
		return r->status;
	case START:
		return (int64_t)html_us(w, r->start_ns);
	case DURATION:
		return end > r->start_ns ? (int64_t)((end - r->start_ns) / 1000) : 0;
	case FIRST:
		return r->first_ns ? (int64_t)((r->first_ns - r->start_ns) / 1000) : -1;
	case THREAD:
		return r->thread_start;
	case BYTES_IN:
		return (int64_t)r->bytes_in;
	case BYTES_OUT:
		return (int64_t)r->bytes_out;
	case ANSWERED:
		return r->end_ns != 0;
	case COLUMNS:
		break;
	}
	return 0;
}

static void write_list(struct html_work *w, const struct slice_routes *routes)
{
	const struct model_requests *q = &w->m->requests;
	struct json *j = &w->j;

	json_key(j, "list");
	json_object_begin(j);
	for (unsigned c = 0; c < COLUMNS; c++) {
		json_key(j, column_names[c]);
		json_array_begin(j);
		for (size_t i = 0; i < q->request_count; i++)
			json_i64(j, cell(w, routes, i, (enum column)c));
		json_array_end(j);
	}
	json_key(j, "method");
	json_array_begin(j);
	for (size_t i = 0; i < q->request_count; i++)
		html_text(w, q->requests[i].method);
	json_array_end(j);
	json_key(j, "path");
	json_array_begin(j);
	for (size_t i = 0; i < q->request_count; i++)
		html_text(w, q->requests[i].path);
	json_array_end(j);
	json_object_end(j);
}

int html_requests(struct html_work *w, struct err *err)
{
	const struct model_requests *q = &w->m->requests;
	struct slice_routes routes;
	struct json *j = &w->j;
	int rc;

	json_key(j, "requests");
	if (!q->recorded) {
		json_null(j);
		return 0;
	}
	rc = slice_routes(w->m, NULL, &routes, err);
	if (rc < 0)
		return rc;
	json_object_begin(j);
	json_key_u64(j, "count", q->count);
	json_key_u64(j, "slow", q->slow);
	json_key_u64(j, "unanswered", q->unanswered);
	json_key_u64(j, "latency_ns", q->latency_ns);
	write_routes(w, &routes);
	write_figures(w, &routes);
	write_list(w, &routes);
	json_object_end(j);
	slice_routes_done(&routes);
	return 0;
}

int html_database(struct html_work *w, struct err *err)
{
	struct database_rows rows;
	struct json *j = &w->j;
	int rc = database_rows(w->m, &rows, err);

	if (rc < 0)
		return rc;
	json_key(j, "database");
	json_array_begin(j);
	for (size_t i = 0; i < rows.count; i++) {
		const struct model_database_row *r = rows.rows[i].row;

		json_array_begin(j);
		html_text(w, r->system);
		html_text(w, r->operation);
		html_text(w, r->table);
		json_u64(j, r->count);
		json_u64(j, r->errors);
		json_u64(j, rows.rows[i].p50_ns);
		json_u64(j, rows.rows[i].p99_ns);
		json_u64(j, r->max_ns);
		json_u64(j, r->sum_ns);
		json_array_end(j);
	}
	json_array_end(j);
	database_rows_done(&rows);
	return 0;
}
