/* live_read_database.c - database calls in a live file: those that were done. */
#include <stdlib.h>
#include <string.h>

#include "live_read_part.h"
#include "model_memory.h"

static const char *name_of(struct live *l, const char names[LIVE_NAMES][LIVE_NAME_BYTES], unsigned i)
{
	return i < LIVE_NAMES ? live_text(l, names[i], LIVE_NAME_BYTES) : "";
}

/* What a number of a row in the file is in the model, plus 1; 0: it is none. */
static int read_rows(struct live *l, const struct live_database *head, struct live_rows rows, uint32_t **ret_number,
                     struct err *err)
{
	struct model_database *q = &l->m->database;
	uint32_t *number = arena_array(model_arena(l->m), rows.count + 1, sizeof(*number));
	uint64_t sum = 0;

	q->rows = arena_array(model_arena(l->m), rows.count, sizeof(*q->rows));
	if (!q->rows || !number)
		return live_no_memory(err);
	for (size_t i = 0; i < rows.count; i++) {
		struct model_database_row *to = &q->rows[q->row_count];
		struct live_database_row r;

		memcpy(&r, rows.at + i * rows.step, sizeof(r));
		if (!r.key || !r.ready)
			continue;
		to->system = name_of(l, head->systems, r.system);
		to->operation = name_of(l, head->operations, r.operation);
		to->table = live_text(l, r.table, LIVE_DATABASE_TABLE_BYTES);
		to->sum_ns = r.took.sum_ns;
		to->max_ns = r.took.max_ns;
		if (!to->system || !to->operation || !to->table ||
		    !live_ranges(l, &r.took, &sum, &to->buckets, &to->bucket_count, &to->count))
			return live_no_memory(err);
		to->errors = r.errors < to->count ? r.errors : to->count;
		number[i + 1] = (uint32_t)++q->row_count;
	}
	*ret_number = number;
	return 0;
}

static int read_spans(struct live *l, struct live_rows rows, const uint32_t *number, size_t numbers, struct err *err)
{
	struct model_database *q = &l->m->database;

	q->spans = arena_array(model_arena(l->m), rows.count, sizeof(*q->spans));
	if (!q->spans)
		return live_no_memory(err);
	for (size_t i = 0; i < rows.count; i++) {
		struct live_database_span s;
		uint64_t end;

		memcpy(&s, rows.at + i * rows.step, sizeof(s));
		if (!live_is_whole(l, s.number, s.again) || s.row > numbers || !number[s.row] ||
		    __builtin_add_overflow(s.start_ns, s.ns, &end))
			continue;
		live_note_time(l, end);
		q->spans[q->span_count++] = (struct model_database_span){ .start_ns = s.start_ns,
			                                                  .ns = s.ns,
			                                                  .request = s.request,
			                                                  .thread = live_thread(l, s.thread),
			                                                  .row = number[s.row] - 1,
			                                                  .failed = s.failed != 0 };
	}
	return 0;
}

int live_read_database(struct live *l, struct err *err)
{
	struct live_database *head;
	struct live_rows rows;
	size_t bytes = 0;
	const uint8_t *at = live_only(l, LIVE_DATABASE, sizeof(*head), &bytes);
	int rc;

	if (!at)
		return 0;
	head = arena_array(model_arena(l->m), 1, sizeof(*head));
	if (!head)
		return live_no_memory(err);
	memcpy(head, at, sizeof(*head));
	l->m->database.recorded = true;
	rows = live_rows(at, bytes, &head->rows, sizeof(struct live_database_row));
	l->database_calls = live_rows(at, bytes, &head->calls, sizeof(struct live_database_call));
	rc = read_rows(l, head, rows, &l->database_number, err);
	if (rc == 0) {
		l->database_numbers = rows.count;
		rc = read_spans(l, live_rows(at, bytes, &head->spans, sizeof(struct live_database_span)),
		                l->database_number, rows.count, err);
	}
	return rc;
}
