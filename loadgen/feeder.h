/* Feeders: tables of a plan's data, read whole before the run, whose rows become variables. A file is read only if the plan
 * names it, from beside the plan; bounded in size, rows and columns. Immutable while users run, but for the cursor. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "err.h"
#include "keep.h"
#include "scope.h"

enum { FEEDER_FILE_MAX = 256 << 20, FEEDER_COLUMNS_MAX = 256 };

enum feeder_order {
	FEEDER_SEQUENCE, /* one row after the other, whoever asks */
	FEEDER_RANDOM,
	FEEDER_PER_USER, /* each user from the first row on */
};

enum feeder_end { FEEDER_RECYCLE, FEEDER_STOP /* the user ends: each row is given once */ };

struct feeder {
	const char *name, *path;
	uint32_t line, id;
	enum feeder_order order;
	enum feeder_end end;
	uint32_t *slots; /* of the columns */
	const char **columns;
	size_t column_count;
	const struct scope_item *cells; /* rows * column_count */
	size_t rows;
	_Atomic uint64_t *cursor; /* FEEDER_SEQUENCE: rows given so far, to all users */
};

/* CSV (RFC 4180; blank lines skipped) into rows of cells; short rows are filled up with "". `columns` 0: as many as the
 * first row. -EPROTO with "LINE: reason", -ENOMEM. */
int feeder_parse_csv(struct keep *k, const char *text, size_t len, char delimiter, size_t columns,
                     const struct scope_item **ret_cells, size_t *ret_rows, size_t *ret_columns,
                     struct err *err) MUST_USE;
/* The next row into the variables; `cursor` is the user's own, for FEEDER_PER_USER. False: there is none any more. */
bool feeder_next(const struct feeder *f, struct scope *s, uint64_t *cursor);
