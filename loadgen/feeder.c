#include "feeder.h"

#include <errno.h>
#include <string.h>

#include "atomic.h"

struct csv {
	struct keep *keep;
	const char *at, *end;
	char delimiter;
	uint32_t line;
	struct scope_item *cells;
	size_t count;   /* cells */
	bool in_quotes; /* at the end of the file */
};

static void add(struct csv *c, const char *text, size_t len)
{
	struct scope_item *cells = keep_grow(c->keep, c->cells, c->count, sizeof(*cells));

	if (!cells)
		return;
	c->cells = cells;
	c->cells[c->count++] = (struct scope_item){ text, len, SCOPE_TEXT };
}

/* "a ""b""" with its quotes; what follows the closing one belongs to the cell, as elsewhere. */
static void quoted_cell(struct csv *c)
{
	const char *begin = ++c->at;
	size_t doubled = 0, n = 0;
	char *out;

	for (; c->at < c->end; c->at++) {
		c->line += *c->at == '\n';
		if (*c->at == '"' && (c->at + 1 == c->end || c->at[1] != '"'))
			break;
		if (*c->at == '"') {
			c->at++;
			doubled++;
		}
	}
	c->in_quotes = c->at == c->end;
	out = keep_large(c->keep, (size_t)(c->at - begin) - doubled + 1);
	if (!out)
		return;
	for (const char *from = begin; from < c->at; from++) {
		out[n++] = *from;
		from += *from == '"';
	}
	c->at += !c->in_quotes;
	add(c, out, n);
}

static void plain_cell(struct csv *c)
{
	const char *begin = c->at;

	while (c->at < c->end && *c->at != c->delimiter && *c->at != '\n' && *c->at != '\r')
		c->at++;
	add(c, keep_text(c->keep, begin, (size_t)(c->at - begin)), (size_t)(c->at - begin));
}

static void row(struct csv *c)
{
	for (;;) {
		if (c->at < c->end && *c->at == '"')
			quoted_cell(c);
		else
			plain_cell(c);
		while (c->at < c->end && *c->at != c->delimiter && *c->at != '\n' && *c->at != '\r')
			c->at++;
		if (c->at == c->end || *c->at != c->delimiter)
			break;
		c->at++;
	}
	if (c->at < c->end && *c->at == '\r')
		c->at++;
	if (c->at < c->end && *c->at == '\n')
		c->at++;
	c->line++;
}

/* As many cells as a row has. */
static void level(struct csv *c, size_t begin, size_t columns)
{
	while (c->count - begin < columns && !c->keep->failed)
		add(c, "", 0);
	if (c->count - begin > columns)
		c->count = begin + columns;
}

int feeder_parse_csv(struct keep *k, const char *text, size_t len, char delimiter, size_t columns,
                     const struct scope_item **ret_cells, size_t *ret_rows, size_t *ret_columns, struct err *err)
{
	struct csv c = { .keep = k, .at = text, .end = text + len, .delimiter = delimiter, .line = 1 };
	size_t rows = 0;

	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		c.at += 3;
	while (c.at < c.end && !k->failed) {
		uint32_t line = c.line;
		size_t begin = c.count;

		if (*c.at == '\n' || *c.at == '\r') {
			c.line += *c.at++ == '\n';
			continue;
		}
		row(&c);
		if (c.in_quotes)
			return err_set(err, -EPROTO, "%u: a quote is not closed", line);
		if (columns == 0)
			columns = c.count - begin;
		if (columns > FEEDER_COLUMNS_MAX)
			return err_set(err, -EPROTO, "%u: more than %d columns", line, FEEDER_COLUMNS_MAX);
		level(&c, begin, columns);
		rows++;
	}
	if (k->failed)
		return err_set(err, -ENOMEM, "out of memory");
	*ret_cells = c.cells;
	*ret_rows = rows;
	*ret_columns = columns;
	return 0;
}

bool feeder_next(const struct feeder *f, struct scope *s, uint64_t *cursor)
{
	uint64_t n;

	if (f->rows == 0)
		return false;
	if (f->order == FEEDER_RANDOM)
		n = dice_below(&s->dice, f->rows);
	else if (f->order == FEEDER_PER_USER)
		n = (*cursor)++;
	else
		n = add_relaxed(f->cursor, 1); /* orders nothing: rows do not change */
	if (n >= f->rows && f->end == FEEDER_STOP)
		return false;
	for (size_t i = 0; i < f->column_count; i++) {
		const struct scope_item *cell = &f->cells[n % f->rows * f->column_count + i];

		scope_set(s, f->slots[i], cell->kind, cell->text, cell->len);
	}
	return true;
}
