/* snapshot_database.c - rows first, and spans of these rows only: a row that is new meanwhile has no number in the file. */
#include "snapshot_database.h"

#include <stddef.h>

#include "config.h"
#include "database.h"
#include "os_linux.h"
#include "snapshot_out.h"
#include "sort.h"
#include "threads.h"

struct copies {
	struct snapshot_out *out;
	struct database_span *span; /* SPAN_ROOM */
	struct sort_row *row;
	uint16_t number[DATABASE_ROWS + 1]; /* in the file, from 1; 0: not written */
};

enum { SPAN_ROOM = DATABASE_COPIES + THREADS_MAX_RECORDS };

static void write_row(struct snapshot_out *out, const struct database_row *r)
{
	snapshot_string(out, sql_system_name((enum sql_system)r->system));
	snapshot_string(out, sql_operation_name((enum sql_operation)r->operation));
	snapshot_string(out, r->table);
	snapshot_number(out, load_relaxed(&r->errors));
	snapshot_number(out, load_relaxed(&r->took.sum_ns));
	snapshot_number(out, load_relaxed(&r->took.max_ns));
	snapshot_ranges(out, r->took.range);
}

/* Those without a call that is done are written too: one may be under way. */
static void write_rows(struct copies *c)
{
	uint16_t n = 0;

	for (uint32_t i = 0; i < DATABASE_ROWS; i++)
		c->number[i + 1] = database_row(i) ? ++n : 0;
	snapshot_number(c->out, n);
	for (uint32_t i = 0; i < DATABASE_ROWS; i++)
		if (c->number[i + 1])
			write_row(c->out, database_row(i));
}

static void write_spans(struct copies *c, uint32_t threads)
{
	uint64_t last = 0;
	size_t n = 0;

	for (uint32_t i = 0; i < DATABASE_COPIES; i++)
		n += database_span(i, &c->span[n]) && c->number[c->span[n].row];
	for (struct thread *th = threads_first(); th && n < SPAN_ROOM; th = th->next)
		n += database_calling(th, &c->span[n]) && c->number[c->span[n].row];
	for (size_t i = 0; i < n; i++)
		c->row[i] = (struct sort_row){ c->span[i].start_ns, i };
	sort_rows(c->row, n);
	snapshot_number(c->out, n);
	for (size_t i = 0; i < n; i++) {
		const struct database_span *s = &c->span[c->row[i].rest];

		snapshot_number(c->out, s->start_ns - last);
		last = s->start_ns;
		snapshot_number(c->out, s->ns);
		snapshot_number(c->out, s->thread < threads ? s->thread : 0);
		snapshot_number(c->out, s->request);
		snapshot_number(c->out, c->number[s->row]);
		snapshot_number(c->out, (s->failed ? SNAP_DATABASE_FAILED : 0) |
		                                (s->unfinished ? SNAP_DATABASE_UNFINISHED : 0));
	}
}

void snapshot_database(struct snapshot_out *out, const struct config *config, uint32_t threads, bool head)
{
	struct copies c = { .out = out };

	if (!head) {
		c.span = os_map(SPAN_ROOM * sizeof(*c.span));
		c.row = os_map(SPAN_ROOM * sizeof(*c.row));
	}
	snapshot_section(out, SNAP_DATABASE);
	snapshot_number(out, config->database != 0);
	if (config->database && c.span && c.row) {
		write_rows(&c);
		write_spans(&c, threads);
	} else {
		snapshot_number(out, 0);
		snapshot_number(out, 0);
	}
	snapshot_section_end(out);
	os_unmap(c.span, c.span ? SPAN_ROOM * sizeof(*c.span) : 0);
	os_unmap(c.row, c.row ? SPAN_ROOM * sizeof(*c.row) : 0);
}
