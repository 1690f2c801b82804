/* Feeders of documents: rows from a CSV or JSON file, or in the plan itself. */
#include <string.h>

#include "load_flow.h"

static const char *const keys[] = { "file",  "path",      "rows",       "fields",  "order",
	                            "atEnd", "delimiter", "skipHeader", "loadAll", "name" };

/* Columns named by `fields`, or else by the first row, which is then none. */
static bool name_columns(struct load *l, struct feeder *f, const struct doc *fields, const struct doc *skip,
                         size_t columns)
{
	struct keep *k = &l->plan->keep;
	bool skips = doc_is(skip, DOC_BOOL) && skip->number != 0;

	f->column_count = columns;
	f->columns = keep_large(k, (columns + 1) * sizeof(*f->columns));
	f->slots = keep_large(k, (columns + 1) * sizeof(*f->slots));
	if (!f->columns || !f->slots)
		return false;
	for (size_t i = 0; i < columns; i++) {
		const struct doc *field = doc_is(fields, DOC_LIST) && i < fields->count ? fields->items[i].value : NULL;

		f->columns[i] = field ? field->text : f->rows ? f->cells[i].text : "";
		f->slots[i] = testplan_slot(l->plan, f->columns[i]);
	}
	if (f->rows && (skips || !fields)) {
		f->cells += columns;
		f->rows--;
	}
	return true;
}

static bool from_csv(struct load *l, struct feeder *f, const struct doc *d, const char *text, size_t len)
{
	const struct doc *delimiter = doc_find(d, "delimiter"), *fields = doc_find(d, "fields");
	char by = doc_is(delimiter, DOC_STRING) && delimiter->len == 1 ? delimiter->text[0] : ',';
	struct err err = { 0 };
	size_t columns;

	if (doc_is(delimiter, DOC_STRING) && strcmp(delimiter->text, "\\t") == 0)
		by = '\t';
	if (feeder_parse_csv(&l->plan->keep, text, len, by, doc_is(fields, DOC_LIST) ? fields->count : 0, &f->cells,
	                     &f->rows, &columns, &err) < 0)
		return load_refuse(l, d->line, "%s:%s", f->path, err.text);
	return name_columns(l, f, fields, doc_find(d, "skipHeader"), columns);
}

/* [{"a": 1}, ...] with the first row's names, or [[1], ...] with `fields`. */
static bool from_rows(struct load *l, struct feeder *f, const struct doc *d, const struct doc *rows)
{
	const struct doc *first = rows->count ? rows->items[0].value : NULL, *fields = doc_find(d, "fields");
	size_t columns = fields ? fields->count : first ? first->count : 0;
	struct scope_item *cells;

	if (!doc_is(rows, DOC_LIST) || !first || (first->kind != DOC_MAP && (first->kind != DOC_LIST || !fields)) ||
	    columns > FEEDER_COLUMNS_MAX)
		return load_refuse(l, d->line, "rows are a list of maps, or of lists if there are 'fields'");
	cells = keep_large(&l->plan->keep, (columns * rows->count + 1) * sizeof(*cells));
	if (!cells)
		return false;
	for (size_t i = 0; i < rows->count; i++) {
		const struct doc *row = rows->items[i].value;

		for (size_t j = 0; j < columns; j++) {
			const struct doc *cell =
			        row->kind == DOC_LIST && j < row->count ? row->items[j].value
			        : first->kind == DOC_MAP && j < first->count
			                ? doc_find(row, fields ? fields->items[j].value->text : first->items[j].key)
			                : NULL;

			cells[i * columns + j] = cell ? load_item(l, cell) : (struct scope_item){ "", 0, SCOPE_TEXT };
		}
	}
	f->cells = cells;
	f->rows = rows->count;
	f->column_count = columns;
	f->columns = keep_large(&l->plan->keep, (columns + 1) * sizeof(*f->columns));
	f->slots = keep_large(&l->plan->keep, (columns + 1) * sizeof(*f->slots));
	for (size_t j = 0; f->columns && f->slots && j < columns; j++) {
		f->columns[j] = fields ? fields->items[j].value->text : first->items[j].key;
		f->slots[j] = testplan_slot(l->plan, f->columns[j]);
	}
	return true;
}

static bool from_file(struct load *l, struct feeder *f, const struct doc *d, const struct doc *file)
{
	const char *path = load_text(l, file, "a file's name"), *text;
	struct doc *rows;
	struct err err = { 0 };
	size_t len;

	if (!path)
		return false;
	f->path = path;
	text = load_file(l, file->line, path, FEEDER_FILE_MAX, &len);
	if (!text)
		return false;
	if (len && text[strspn(text, " \t\r\n")] == '[') {
		if (doc_parse_json(&l->plan->keep, text, len, &rows, &err) < 0)
			return load_refuse(l, d->line, "%s:%s", path, err.text);
		return from_rows(l, f, d, rows);
	}
	return from_csv(l, f, d, text, len);
}

static void order(struct load *l, struct feeder *f, const struct doc *d)
{
	const struct doc *how = doc_find(d, "order"), *end = doc_find(d, "atEnd");
	bool artillery = l->dialect.kind == DIALECT_ARTILLERY;

	f->order = artillery ? FEEDER_RANDOM : FEEDER_SEQUENCE;
	if (doc_is(how, DOC_STRING)) {
		if (strcmp(how->text, "random") == 0)
			f->order = FEEDER_RANDOM;
		else if (strcmp(how->text, "sequence") == 0 || strcmp(how->text, "sequential") == 0 ||
		         strcmp(how->text, "shared") == 0)
			f->order = FEEDER_SEQUENCE;
		else if (strcmp(how->text, "perUser") == 0)
			f->order = FEEDER_PER_USER;
		else if (strcmp(how->text, "unique") == 0)
			f->end = FEEDER_STOP;
		else
			(void)load_refuse(l, how->line, "'order' is sequential, random, perUser or unique, not '%s'",
			                  how->text);
	}
	if (doc_is(end, DOC_STRING)) {
		if (strcmp(end->text, "stop") != 0 && strcmp(end->text, "recycle") != 0)
			(void)load_refuse(l, end->line, "'atEnd' is recycle or stop, not '%s'", end->text);
		f->end = strcmp(end->text, "stop") == 0 ? FEEDER_STOP : FEEDER_RECYCLE;
	}
}

struct feeder *load_feeder(struct load *l, const char *name, const struct doc *d)
{
	const struct doc *file = doc_find(d, "file") ? doc_find(d, "file") : doc_find(d, "path"),
	                 *rows = doc_find(d, "rows");
	struct testplan *p = l->plan;
	struct feeder *feeders;
	struct feeder f = { .name = name, .path = "", .line = d->line };

	for (size_t i = 0; d->kind == DOC_MAP && i < d->count; i++) {
		bool known = false;

		for (size_t j = 0; j < ARRAY_LEN(keys); j++)
			known = known || strcmp(d->items[i].key, keys[j]) == 0;
		if (!known)
			testplan_warn(p, d->items[i].line, "'%s' of a feeder is not known; it is passed over",
			              d->items[i].key);
	}
	order(l, &f, d);
	if (l->refused || (!file && !rows)) {
		(void)load_refuse(l, d->line, "a feeder needs a file or rows");
		return NULL;
	}
	if (!(file ? from_file(l, &f, d, file) : from_rows(l, &f, d, rows)))
		return NULL;
	if (f.rows == 0)
		return (void)load_refuse(l, d->line, "the feeder '%s' has no rows", name), NULL;
	f.id = (uint32_t)p->feeder_count;
	f.cursor = keep_alloc(&p->keep, sizeof(*f.cursor));
	feeders = keep_grow(&p->keep, p->feeders, p->feeder_count, sizeof(*feeders));
	if (!feeders)
		return NULL;
	p->feeders = feeders;
	feeders[p->feeder_count] = f;
	return &feeders[p->feeder_count++];
}
