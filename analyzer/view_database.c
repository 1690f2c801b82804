/* view_database.c - tables' names are the program's: view_text() and the JSON writer make them safe to show. */
#include "view_database.h"

#include <inttypes.h>

#include "buf.h"
#include "json_write.h"
#include "model.h"
#include "units.h"
#include "view.h"

enum { TEXT_USES = 4, TEXT_SPANS = 3, MOST_RANKED = 1000 /* more are not ranked, and none is shown */ };

static double ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

/* ---- text --------------------------------------------------------------------------------------------------------- */

static void operation(const struct view *v, const struct model_database_row *r)
{
	view_text(v, VIEW_PLAIN, r->operation);
	if (r->table[0]) {
		buf_add_char(v->out, ' ');
		view_text(v, VIEW_PLAIN, r->table);
	}
}

void view_database_rows(const struct view *v, const struct database_rows *rows)
{
	char a[32], b[32], c[32], d[32];

	if (!rows->count)
		return;
	buf_printf(v->out, "\n%12s %10s %10s %10s %10s  database calls\n", "calls", "total", "median", "p99", "max");
	for (size_t i = 0; i < rows->count; i++) {
		const struct model_database_row *r = rows->rows[i].row;

		buf_printf(v->out, "%12" PRIu64 " %10s %10s %10s %10s  ", r->count,
		           units_print_duration(a, sizeof(a), r->sum_ns),
		           units_print_duration(b, sizeof(b), rows->rows[i].p50_ns),
		           units_print_duration(c, sizeof(c), rows->rows[i].p99_ns),
		           units_print_duration(d, sizeof(d), r->max_ns));
		operation(v, r);
		buf_add_str(v->out, " (");
		view_text(v, VIEW_PLAIN, r->system);
		buf_add_char(v->out, ')');
		if (r->errors)
			buf_printf(v->out, ", %" PRIu64 " failed", r->errors);
		buf_add_char(v->out, '\n');
	}
}

static void text_uses(const struct view *v, const struct database_request *r, bool all)
{
	char a[32];

	for (size_t i = 0; i < r->use_count && (all || i < TEXT_USES); i++) {
		const struct database_use *u = &r->uses[i];

		buf_add_str(v->out, i ? ", " : ": ");
		operation(v, u->row);
		buf_printf(v->out, " %s", units_print_duration(a, sizeof(a), u->ns));
		if (u->calls > 1)
			buf_printf(v->out, " in %" PRIu64, u->calls);
		if (u->failed)
			buf_printf(v->out, " (%" PRIu64 " failed)", u->failed);
	}
	if (!all && r->use_count > TEXT_USES)
		buf_printf(v->out, ", and %zu more", r->use_count - TEXT_USES);
	buf_add_char(v->out, '\n');
}

/* So many of the spans are longer. */
static size_t longer(const struct database_request *r, size_t than)
{
	size_t n = 0;

	for (size_t i = 0; i < r->span_count; i++)
		n += r->spans[i]->ns > r->spans[than]->ns || (r->spans[i]->ns == r->spans[than]->ns && i < than);
	return n;
}

/* In the order of their begins: all, or the longest. Of one alone all was told. */
static void text_spans(const struct view *v, const struct model *m, const struct database_request *r,
                       uint64_t request_start_ns, bool all)
{
	char a[32], b[32];

	for (size_t i = 0; i < r->span_count && (all || r->span_count > 1); i++) {
		const struct model_database_span *s = r->spans[i];

		if (!all && r->span_count > TEXT_SPANS && (r->span_count > MOST_RANKED || longer(r, i) >= TEXT_SPANS))
			continue;
		buf_printf(v->out, "%26s  ", units_print_duration(a, sizeof(a), s->ns));
		operation(v, &m->database.rows[s->row]);
		if (s->start_ns >= request_start_ns)
			buf_printf(v->out, ", after %s",
			           units_print_duration(b, sizeof(b), s->start_ns - request_start_ns));
		buf_add_str(v->out, s->failed ? " (failed)\n" : s->unfinished ? " (not done yet)\n" : "\n");
	}
}

void view_database_request(const struct view *v, const struct model *m, const struct database_request *r,
                           uint64_t request_start_ns, uint64_t request_ns, bool all)
{
	char b[32];

	if (!r->span_count)
		return;
	buf_printf(v->out, "%12s%s in %zu database call%s", "", units_print_duration(b, sizeof(b), r->ns),
	           r->span_count, r->span_count == 1 ? "" : "s");
	if (r->unfinished)
		buf_printf(v->out, ", %" PRIu64 " of them not done yet", r->unfinished);
	if (r->ns > request_ns && r->span_count > 1)
		buf_add_str(v->out, ", some at the same time");
	text_uses(v, r, all);
	text_spans(v, m, r, request_start_ns, all);
}

/* ---- JSON --------------------------------------------------------------------------------------------------------- */

static void json_row(struct json *j, const struct model_database_row *r)
{
	json_key_string(j, "system", r->system);
	json_key_string(j, "operation", r->operation);
	json_key_string(j, "table", r->table);
}

void view_database_rows_json(struct json *j, const struct database_rows *rows)
{
	json_array_begin(j);
	for (size_t i = 0; i < rows->count; i++) {
		const struct model_database_row *r = rows->rows[i].row;

		json_object_begin(j);
		json_row(j, r);
		json_key_u64(j, "count", r->count);
		json_key_u64(j, "errors", r->errors);
		json_key_double(j, "total_ms", ms(r->sum_ns));
		json_key_double(j, "mean_ms", ms(r->sum_ns) / (double)r->count);
		json_key_double(j, "p50_ms", ms(rows->rows[i].p50_ns));
		json_key_double(j, "p99_ms", ms(rows->rows[i].p99_ns));
		json_key_double(j, "max_ms", ms(r->max_ns));
		json_object_end(j);
	}
	json_array_end(j);
}

void view_database_request_json(struct json *j, const struct model *m, const struct database_request *r)
{
	json_object_begin(j);
	json_key_u64(j, "calls", r->span_count);
	json_key_u64(j, "errors", r->failed);
	json_key_u64(j, "unfinished", r->unfinished);
	json_key_double(j, "time_ms", ms(r->ns));
	json_key(j, "tables");
	json_array_begin(j);
	for (size_t i = 0; i < r->use_count; i++) {
		json_object_begin(j);
		json_row(j, r->uses[i].row);
		json_key_u64(j, "calls", r->uses[i].calls);
		json_key_u64(j, "errors", r->uses[i].failed);
		json_key_double(j, "time_ms", ms(r->uses[i].ns));
		json_object_end(j);
	}
	json_array_end(j);
	json_key(j, "spans");
	json_array_begin(j);
	for (size_t i = 0; i < r->span_count; i++) {
		const struct model_database_span *s = r->spans[i];

		json_object_begin(j);
		json_row(j, &m->database.rows[s->row]);
		json_key_u64(j, "start_ns", s->start_ns);
		json_key_double(j, "duration_ms", ms(s->ns));
		json_key_u64(j, "tid", m->threads[s->thread].tid);
		json_key_bool(j, "failed", s->failed);
		json_key_bool(j, "unfinished", s->unfinished);
		json_object_end(j);
	}
	json_array_end(j);
	json_object_end(j);
}
