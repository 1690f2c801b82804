/*
 * view_top.c - the screen of `top`.
 *
 * Lines are made whole and then cut to the width, so that every table reads the same everywhere: numbers first, of a fixed width, then
 * names. A narrow screen loses the columns that say least, by the table below.
 */
#include "view_top.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clean_text.h"
#include "json_write.h"
#include "model.h"
#include "units.h"

/* ---- columns ---- */

/* A cell as text, and what sorting compares. `from`: the narrowest screen that shows it. */
struct column {
	const char *title;
	unsigned width, from;
	bool text; /* sorted from a to z */
	void (*cell)(struct buf *out, const struct top_picture *p, const void *row);
	double (*number)(const struct top_picture *p, const void *row);
	const char *(*word)(const void *row);
};

static void bytes_cell(struct buf *out, uint64_t bytes)
{
	char text[32];

	buf_add_str(out, units_print_bytes(text, sizeof(text), bytes));
}

static void time_cell(struct buf *out, uint64_t ns)
{
	char text[32];

	buf_add_str(out, units_print_duration(text, sizeof(text), ns));
}

/* "+1.2 MiB"; nothing for nothing. */
static void growth_cell(struct buf *out, double per_minute)
{
	double size = per_minute < 0 ? -per_minute : per_minute;

	if (size < 1) {
		buf_add_char(out, '-');
		return;
	}
	buf_add_char(out, per_minute < 0 ? '-' : '+');
	bytes_cell(out, size >= 0x1p63 ? INT64_MAX : (uint64_t)size);
}

static double share(const struct top_picture *p, uint64_t samples)
{
	return p->window_samples ? 100.0 * (double)samples / (double)p->window_samples : 0;
}

#define FUNCTION(row) ((const struct top_function *)(row))
#define HEAP(row)     ((const struct top_heap *)(row))
#define ROUTE(row)    ((const struct top_route *)(row))

#define CELL(name, body)                                                                \
	static void name(struct buf *out, const struct top_picture *p, const void *row) \
	{                                                                               \
		(void)p;                                                                \
		body;                                                                   \
	}
#define NUMBER(name, value)                                              \
	static double name(const struct top_picture *p, const void *row) \
	{                                                                \
		(void)p;                                                 \
		return (double)(value);                                  \
	}
#define WORD(name, value)                        \
	static const char *name(const void *row) \
	{                                        \
		return value;                    \
	}

CELL(self_cell, buf_printf(out, "%.1f %%", share(p, FUNCTION(row)->self)))
CELL(total_cell, buf_printf(out, "%.1f %%", share(p, FUNCTION(row)->total)))
CELL(self_time_cell, time_cell(out, FUNCTION(row)->self * p->period_ns))
CELL(live_cell, bytes_cell(out, HEAP(row)->live))
CELL(blocks_cell, buf_printf(out, "%" PRIu64, HEAP(row)->blocks))
CELL(heap_growth_cell, growth_cell(out, HEAP(row)->growth))
CELL(heap_total_cell, bytes_cell(out, HEAP(row)->total))
CELL(rate_cell, buf_printf(out, "%.1f", ROUTE(row)->rate))
CELL(count_cell, buf_printf(out, "%" PRIu64, ROUTE(row)->count))
CELL(p50_cell, time_cell(out, ROUTE(row)->p50_ns))
CELL(p99_cell, time_cell(out, ROUTE(row)->p99_ns))
CELL(max_cell, time_cell(out, ROUTE(row)->max_ns))
CELL(status_cell, buf_printf(out, "%u", ROUTE(row)->status))
NUMBER(self_number, FUNCTION(row)->self)
NUMBER(total_number, FUNCTION(row)->total)
NUMBER(live_number, HEAP(row)->live)
NUMBER(blocks_number, HEAP(row)->blocks)
NUMBER(heap_growth_number, HEAP(row)->growth)
NUMBER(heap_total_number, HEAP(row)->total)
NUMBER(rate_number, ROUTE(row)->rate)
NUMBER(count_number, ROUTE(row)->count)
NUMBER(p50_number, ROUTE(row)->p50_ns)
NUMBER(p99_number, ROUTE(row)->p99_ns)
NUMBER(max_number, ROUTE(row)->max_ns)
NUMBER(status_number, ROUTE(row)->status)
WORD(function_word, FUNCTION(row)->name)
WORD(heap_word, HEAP(row)->name)
WORD(route_word, ROUTE(row)->route)

static const char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Names are the last column; their module stands behind in parentheses. */
static void name_cell(struct buf *out, const char *name, const char *module)
{
	buf_add_str(out, name);
	if (module[0])
		buf_printf(out, "  (%s)", file_name(module));
}
CELL(function_cell, name_cell(out, FUNCTION(row)->name, FUNCTION(row)->module))
CELL(heap_cell, name_cell(out, HEAP(row)->name, HEAP(row)->module))
CELL(route_cell, buf_printf(out, "%s %s", ROUTE(row)->method, ROUTE(row)->route))

static const struct column cpu_columns[] = {
	{ "SELF", 8, 0, false, self_cell, self_number, NULL },
	{ "TOTAL", 8, 40, false, total_cell, total_number, NULL },
	{ "SELF TIME", 10, 70, false, self_time_cell, self_number, NULL },
	{ "FUNCTION", 0, 0, true, function_cell, NULL, function_word },
	{ NULL, 0, 0, false, NULL, NULL, NULL },
};
static const struct column heap_columns[] = {
	{ "LIVE", 10, 0, false, live_cell, live_number, NULL },
	{ "GROWTH/MIN", 11, 48, false, heap_growth_cell, heap_growth_number, NULL },
	{ "BLOCKS", 9, 60, false, blocks_cell, blocks_number, NULL },
	{ "WITH CALLS", 10, 76, false, heap_total_cell, heap_total_number, NULL },
	{ "ALLOCATED BY", 0, 0, true, heap_cell, NULL, heap_word },
	{ NULL, 0, 0, false, NULL, NULL, NULL },
};
static const struct column request_columns[] = {
	{ "COUNT", 10, 0, false, count_cell, count_number, NULL },
	{ "PER S", 8, 40, false, rate_cell, rate_number, NULL },
	{ "P50", 10, 70, false, p50_cell, p50_number, NULL },
	{ "P99", 10, 48, false, p99_cell, p99_number, NULL },
	{ "MAX", 10, 84, false, max_cell, max_number, NULL },
	{ "STATUS", 6, 56, false, status_cell, status_number, NULL },
	{ "ROUTE", 0, 0, true, route_cell, NULL, route_word },
	{ NULL, 0, 0, false, NULL, NULL, NULL },
};
static const struct {
	const struct column *columns;
	const char *name;
} tables[TOP_TABLES] = {
	{ cpu_columns, "CPU" },
	{ heap_columns, "Heap" },
	{ request_columns, "Requests" },
};

unsigned view_top_sort_columns(enum top_table table)
{
	unsigned n = 0;

	while (tables[table].columns[n].title)
		n++;
	return n;
}

/* ---- rows ---- */

struct rows {
	uint8_t *items;
	size_t count, bytes;
};

static struct rows rows_of(const struct top_picture *p, enum top_table table)
{
	switch (table) {
	case TOP_CPU:
		return (struct rows){ (void *)p->functions, p->function_count, sizeof(*p->functions) };
	case TOP_HEAP:
		return (struct rows){ (void *)p->heap, p->heap_count, sizeof(*p->heap) };
	default:
		return (struct rows){ (void *)p->routes, p->route_count, sizeof(*p->routes) };
	}
}

struct order {
	const struct top_picture *picture;
	const struct column *column;
	bool reversed;
};

static int compare(const void *left, const void *right, void *context)
{
	const struct order *o = context;
	int c;

	if (o->column->text) {
		c = strcmp(o->column->word(left), o->column->word(right));
	} else {
		double a = o->column->number(o->picture, left), b = o->column->number(o->picture, right);

		c = (a < b) - (a > b); /* most first */
	}
	if (c == 0)
		return (left > right) - (left < right); /* as they came: most first by the first column */
	return o->reversed ? -c : c;
}

static void sort_rows(struct top_picture *p, const struct view_top *t, enum top_table table)
{
	struct order o = { p, &tables[table].columns[t->sort[table]], t->reversed[table] };
	struct rows r = rows_of(p, table);

	if (r.count)
		qsort_r(r.items, r.count, r.bytes, compare, &o);
}

/* ---- lines ---- */

/* How many columns UTF-8 takes, as far as one can say without tables: a character one. */
static size_t text_columns(const char *text, size_t bytes)
{
	size_t n = 0;

	for (size_t i = 0; i < bytes; i++)
		n += ((unsigned char)text[i] & 0xc0) != 0x80;
	return n;
}

/* A line, cleaned and cut; `styled`: over the whole width, in reverse. */
static void put_line(const struct view *v, const char *text, unsigned columns, const char *style)
{
	struct buf clean = { 0 };
	size_t bytes = 0, n = 0;
	bool cut;

	clean_text(&clean, text ? text : "");
	cut = columns && text_columns(clean.data ? clean.data : "", clean.len) > columns;
	while (bytes < clean.len && (!columns || n < columns - cut)) {
		bytes++;
		while (bytes < clean.len && ((unsigned char)clean.data[bytes] & 0xc0) == 0x80)
			bytes++;
		n++;
	}
	if (style && v->colour)
		buf_add_str(v->out, style);
	if (bytes)
		buf_add(v->out, clean.data, bytes);
	if (cut)
		buf_add_str(v->out, "\xe2\x80\xa6");
	for (; style && columns && n + cut < columns && v->colour; n++)
		buf_add_char(v->out, ' ');
	if (style && v->colour)
		buf_add_str(v->out, "\033[0m");
	v->out->failed |= clean.failed;
	buf_done(&clean);
}

#define STYLE_HEAD "\033[7m"
#define STYLE_NOTE "\033[1;31m"
#define STYLE_BOLD "\033[1m"

static bool is_shown(const struct column *c, unsigned columns)
{
	return columns == 0 || columns >= c->from;
}

static void add_titles(struct buf *line, const struct view_top *t, enum top_table table, unsigned columns)
{
	for (size_t i = 0; tables[table].columns[i].title; i++) {
		const struct column *c = &tables[table].columns[i];
		bool sorted = t->sort[table] == i;
		char title[32];

		if (!is_shown(c, columns))
			continue;
		(void)snprintf(title, sizeof(title), "%s%s", sorted ? (t->reversed[table] ? "^" : "*") : "", c->title);
		if (c->width)
			buf_printf(line, "%*s ", (int)c->width, title);
		else
			buf_printf(line, " %s", title);
	}
}

static void add_row(struct buf *line, const struct top_picture *p, enum top_table table, const void *row,
                    unsigned columns)
{
	struct buf cell = { 0 };

	for (size_t i = 0; tables[table].columns[i].title; i++) {
		const struct column *c = &tables[table].columns[i];

		if (!is_shown(c, columns))
			continue;
		buf_clear(&cell);
		c->cell(&cell, p, row);
		if (c->width)
			buf_printf(line, "%*s ", (int)c->width, cell.data ? cell.data : "");
		else
			buf_printf(line, " %s", cell.data ? cell.data : "");
	}
	line->failed |= cell.failed;
	buf_done(&cell);
}

static void line_process(struct buf *b, const struct top_picture *p, const struct view_top *t)
{
	uint64_t s = p->running_ns / NS_PER_S;

	buf_printf(b, "%s (pid %" PRIu64 ")  recorded for %" PRIu64 ":%02" PRIu64 ":%02" PRIu64, p->model->comm,
	           p->model->pid, s / 3600, s / 60 % 60, s % 60);
	if (t->paused)
		buf_add_str(b, "  PAUSED");
}

static void line_cpu(struct buf *b, const struct top_picture *p, const struct view_top *t)
{
	buf_printf(b, "CPU %.1f %%", p->cpu_percent);
	if (t->rss_bytes) {
		buf_add_str(b, "   RSS ");
		bytes_cell(b, t->rss_bytes);
	}
	if (t->threads)
		buf_printf(b, "   threads %" PRIu64, t->threads);
	buf_printf(b, "   functions: %" PRIu64 " samples of the last ", p->window_samples);
	time_cell(b, p->window_ns);
}

static void line_heap(struct buf *b, const struct top_picture *p)
{
	if (p->model->heap_mode == SNAP_HEAP_OFF && !p->heap_count) {
		buf_add_str(b, "heap: not recorded");
		return;
	}
	buf_add_str(b, "heap ");
	bytes_cell(b, p->live_bytes);
	buf_printf(b, " live in %" PRIu64 " block%s", p->live_blocks, p->live_blocks == 1 ? "" : "s");
	if (p->growth_ns) {
		buf_add_str(b, ", ");
		if (p->growth < 1 && p->growth > -1) {
			buf_add_str(b, "no growth");
		} else {
			growth_cell(b, p->growth);
			buf_add_str(b, "/min");
		}
		buf_add_str(b, " over ");
		time_cell(b, p->growth_ns);
	}
	buf_add_str(b, ", peak ");
	bytes_cell(b, p->peak_bytes);
	if (p->model->heap_mode == SNAP_HEAP_SAMPLED)
		buf_add_str(b, " (estimates)");
}

static void line_requests(struct buf *b, const struct top_picture *p)
{
	if (!p->has_requests) {
		buf_add_str(b, "requests: not in this live file");
		return;
	}
	buf_printf(b, "requests %.1f/s, p50 ", p->request_rate);
	time_cell(b, p->p50_ns);
	buf_add_str(b, ", p99 ");
	time_cell(b, p->p99_ns);
	buf_printf(b, ", in flight %" PRIu64 ", slow %" PRIu64 " of %" PRIu64, p->in_flight, p->slow, p->requests);
}

static void line_lost(struct buf *b, const struct top_picture *p)
{
	const struct view v = { b, false };

	view_losses(&v, p->model);
	if (b->len)
		b->len--; /* its line end */
	else
		buf_add_str(b, "lost: nothing");
}

/* ---- the screen ---- */

struct screen {
	const struct view *v;
	struct buf line;
	unsigned columns, rows, used;
};

static void end_line(struct screen *s, const char *style)
{
	if (s->used < s->rows) {
		if (s->used)
			buf_add_str(s->v->out, "\n");
		buf_add_char(&s->line, '\0');
		put_line(s->v, s->line.data, s->columns, style);
		s->used++;
	}
	s->v->out->failed |= s->line.failed;
	buf_clear(&s->line);
}

static void put_head(struct screen *s, const struct top_picture *p, const struct view_top *t)
{
	line_process(&s->line, p, t);
	end_line(s, STYLE_BOLD);
	if (t->note) {
		buf_add_str(&s->line, t->note);
		end_line(s, STYLE_NOTE);
	}
	line_cpu(&s->line, p, t);
	end_line(s, NULL);
	line_heap(&s->line, p);
	end_line(s, NULL);
	line_requests(&s->line, p);
	end_line(s, NULL);
	line_lost(&s->line, p);
	end_line(s, p->lost ? STYLE_NOTE : NULL);
}

static const char *const help_lines[] = {
	"F2 c   functions by CPU time        F3 m   functions by memory",
	"F4 r   requests by route            F6 s   sort by the next column",
	"I      sort the other way round     p      stop and go on",
	"+ -    slower, faster               up down PgUp PgDn Home   move",
	"? F1 h this help                    q F10  leave",
	"",
	"CPU: samples of the last seconds; SELF in the function, TOTAL with what it calls.",
	"Heap: live bytes; growth over the last minute at most.",
	"Requests: since the start, PER S lately. p50 and p99 above the table are of the last seconds.",
};

static void put_table(struct screen *s, struct top_picture *p, struct view_top *t, unsigned room)
{
	struct rows r = rows_of(p, t->table);

	sort_rows(p, t, t->table);
	if (t->scroll + room > r.count)
		t->scroll = r.count > room ? r.count - room : 0;
	for (size_t i = t->scroll; i < r.count && i - t->scroll < room; i++) {
		add_row(&s->line, p, t->table, r.items + i * r.bytes, s->columns);
		end_line(s, NULL);
	}
	if (r.count == 0 && room) {
		buf_add_str(&s->line, t->table == TOP_CPU    ? "  no samples in that time"
		                      : t->table == TOP_HEAP ? "  nothing is alive, or the heap is not recorded"
		                                             : "  no requests");
		end_line(s, NULL);
	}
}

void view_top_screen(const struct view *v, struct top_picture *p, struct view_top *t, unsigned columns, unsigned rows)
{
	struct screen s = { .v = v, .columns = columns, .rows = rows };
	bool small = rows < 10;
	unsigned below = rows > 1 ? 1 : 0;

	if (small) { /* the one line that says most */
		if (t->note)
			buf_printf(&s.line, "%s  ", t->note);
		line_process(&s.line, p, t);
		end_line(&s, t->note ? STYLE_NOTE : STYLE_BOLD);
	} else {
		put_head(&s, p, t);
		end_line(&s, NULL);
	}
	add_titles(&s.line, t, t->table, columns);
	end_line(&s, STYLE_HEAD);
	if (t->help) {
		for (size_t i = 0; i < ARRAY_LEN(help_lines) && s.used + below < rows; i++) {
			buf_add_str(&s.line, help_lines[i]);
			end_line(&s, NULL);
		}
	} else if (s.used + below < rows) {
		put_table(&s, p, t, rows - below - s.used);
	}
	while (below && s.used + below < rows)
		end_line(&s, NULL);
	if (below) {
		buf_printf(&s.line, "F1Help F2CPU F3Heap F4Requests F6Sort F10Quit   every ");
		time_cell(&s.line, t->interval_ns);
		end_line(&s, STYLE_HEAD);
	}
	buf_done(&s.line);
}

void view_top_page(const struct view *v, struct top_picture *p, struct view_top *t, size_t most, unsigned columns)
{
	struct screen s = { .v = v, .columns = columns, .rows = UINT32_MAX };

	put_head(&s, p, t);
	for (unsigned k = 0; k < TOP_TABLES; k++) {
		struct rows r = rows_of(p, (enum top_table)k);

		if (k == TOP_REQUESTS && !p->has_requests)
			continue;
		t->table = (enum top_table)k;
		end_line(&s, NULL);
		add_titles(&s.line, t, t->table, columns);
		end_line(&s, STYLE_BOLD);
		put_table(&s, p, t, r.count < most ? (unsigned)r.count + (r.count == 0) : (unsigned)most);
		if (r.count > most) {
			buf_printf(&s.line, "  ... and %zu more", r.count - most);
			end_line(&s, NULL);
		}
	}
	buf_add_char(v->out, '\n');
	buf_done(&s.line);
}

/* ---- JSON ---- */

static void json_tables(struct json *j, const struct top_picture *p, size_t most)
{
	json_key(j, "functions");
	json_array_begin(j);
	for (size_t i = 0; i < p->function_count && i < most; i++) {
		json_object_begin(j);
		json_key_string(j, "function", p->functions[i].name);
		json_key_string(j, "module", p->functions[i].module);
		json_key_u64(j, "self", p->functions[i].self);
		json_key_u64(j, "total", p->functions[i].total);
		json_object_end(j);
	}
	json_array_end(j);
	json_key(j, "allocators");
	json_array_begin(j);
	for (size_t i = 0; i < p->heap_count && i < most; i++) {
		json_object_begin(j);
		json_key_string(j, "function", p->heap[i].name);
		json_key_string(j, "module", p->heap[i].module);
		json_key_u64(j, "live_bytes", p->heap[i].live);
		json_key_u64(j, "live_count", p->heap[i].blocks);
		json_key_u64(j, "total_bytes", p->heap[i].total);
		json_key_double(j, "growth_bytes_per_min", p->heap[i].growth);
		json_object_end(j);
	}
	json_array_end(j);
	json_key(j, "routes");
	json_array_begin(j);
	for (size_t i = 0; i < p->route_count && i < most; i++) {
		const struct top_route *r = &p->routes[i];

		json_object_begin(j);
		json_key_string(j, "method", r->method);
		json_key_string(j, "route", r->route);
		json_key_u64(j, "status", r->status);
		json_key_u64(j, "count", r->count);
		json_key_double(j, "per_s", r->rate);
		json_key_double(j, "p50_ms", (double)r->p50_ns / 1e6);
		json_key_double(j, "p99_ms", (double)r->p99_ns / 1e6);
		json_key_double(j, "max_ms", (double)r->max_ns / 1e6);
		json_object_end(j);
	}
	json_array_end(j);
}

static void json_requests(struct json *j, const struct top_picture *p)
{
	json_key(j, "requests");
	if (!p->has_requests) {
		json_null(j);
		return;
	}
	json_object_begin(j);
	json_key_u64(j, "count", p->requests);
	json_key_u64(j, "slow", p->slow);
	json_key_u64(j, "in_flight", p->in_flight);
	json_key_double(j, "per_s", p->request_rate);
	json_key_double(j, "p50_ms", (double)p->p50_ns / 1e6);
	json_key_double(j, "p99_ms", (double)p->p99_ns / 1e6);
	json_object_end(j);
}

void view_top_json(struct buf *out, struct top_picture *p, const struct view_top *t, size_t most)
{
	struct json j;

	json_init(&j, out);
	json_object_begin(&j);
	json_key_u64(&j, "pid", p->model->pid);
	json_key_string(&j, "comm", p->model->comm);
	json_key_string(&j, "note", t->note ? t->note : "");
	json_key_u64(&j, "running_ns", p->running_ns);
	json_key_double(&j, "cpu_percent", p->cpu_percent);
	json_key_u64(&j, "rss_bytes", t->rss_bytes);
	json_key_u64(&j, "threads", t->threads);
	json_key_u64(&j, "window_ns", p->window_ns);
	json_key_u64(&j, "window_samples", p->window_samples);
	json_key_u64(&j, "period_ns", p->period_ns);
	json_key(&j, "heap");
	json_object_begin(&j);
	json_key_u64(&j, "live_bytes", p->live_bytes);
	json_key_u64(&j, "live_count", p->live_blocks);
	json_key_u64(&j, "peak_bytes", p->peak_bytes);
	json_key_double(&j, "growth_bytes_per_min", p->growth);
	json_key_u64(&j, "growth_over_ns", p->growth_ns);
	json_object_end(&j);
	json_requests(&j, p);
	json_tables(&j, p, most);
	json_key(&j, "lost");
	json_object_begin(&j);
	for (size_t i = 0; i < p->model->loss_count; i++)
		json_key_u64(&j, p->model->losses[i].name, p->model->losses[i].count);
	json_object_end(&j);
	json_object_end(&j);
	buf_add_char(out, '\n');
}
