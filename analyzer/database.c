#include "database.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "requests.h"

static int compare_rows(const struct model_database_row *a, const struct model_database_row *b)
{
	int c = strcmp(a->table, b->table);

	c = c ? c : strcmp(a->operation, b->operation);
	return c ? c : strcmp(a->system, b->system);
}

static int by_time(const void *a, const void *b)
{
	const struct model_database_row *x = ((const struct database_row *)a)->row;
	const struct model_database_row *y = ((const struct database_row *)b)->row;

	if (x->sum_ns != y->sum_ns)
		return x->sum_ns < y->sum_ns ? 1 : -1;
	return compare_rows(x, y);
}

static int uses_by_time(const void *a, const void *b)
{
	const struct database_use *x = a, *y = b;

	if (x->ns != y->ns)
		return x->ns < y->ns ? 1 : -1;
	return compare_rows(x->row, y->row);
}

int database_rows(const struct model *m, struct database_rows *ret, struct err *err)
{
	const struct model_database *d = &m->database;
	struct database_rows r = { calloc(d->row_count + 1, sizeof(*r.rows)), 0 };

	if (!r.rows)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < d->row_count; i++) {
		const struct model_database_row *row = &d->rows[i];

		if (row->count)
			r.rows[r.count++] = (struct database_row){
				row,
				requests_quantile_of(row->buckets, row->bucket_count, row->count, row->max_ns, 0.5),
				requests_quantile_of(row->buckets, row->bucket_count, row->count, row->max_ns, 0.99),
			};
	}
	qsort(r.rows, r.count, sizeof(*r.rows), by_time);
	*ret = r;
	return 0;
}

void database_rows_done(struct database_rows *rows)
{
	free(rows->rows);
	memset(rows, 0, sizeof(*rows));
}

static void add_use(struct database_request *r, const struct model_database_row *row,
                    const struct model_database_span *s)
{
	size_t i = 0;

	while (i < r->use_count && r->uses[i].row != row)
		i++;
	if (i == r->use_count)
		r->uses[r->use_count++] = (struct database_use){ .row = row };
	r->uses[i].calls++;
	r->uses[i].failed += s->failed;
	r->uses[i].ns += s->ns;
}

int database_request(const struct model *m, uint64_t request, struct database_request *ret, struct err *err)
{
	const struct model_database *d = &m->database;
	struct database_request r = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < d->span_count; i++)
		n += d->spans[i].request == request;
	r.spans = calloc(n + 1, sizeof(*r.spans));
	r.uses = calloc((n < d->row_count ? n : d->row_count) + 1, sizeof(*r.uses));
	if (!r.spans || !r.uses) {
		database_request_done(&r);
		return err_set(err, -ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < d->span_count; i++) {
		const struct model_database_span *s = &d->spans[i];

		if (s->request != request)
			continue;
		r.spans[r.span_count++] = s;
		r.ns += s->ns;
		r.failed += s->failed;
		r.unfinished += s->unfinished;
		add_use(&r, &d->rows[s->row], s);
	}
	qsort(r.uses, r.use_count, sizeof(*r.uses), uses_by_time);
	*ret = r;
	return 0;
}

void database_request_done(struct database_request *request)
{
	free(request->spans);
	free(request->uses);
	memset(request, 0, sizeof(*request));
}
