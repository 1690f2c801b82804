/* A picture of top.h as lines of text: for a terminal of a given size, as a plain page, as JSON. Pure.
 * Errors: memory exhaustion is sticky in the buffer. Hosted programs; any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "top.h"
#include "view.h"

enum top_table { TOP_CPU, TOP_HEAP, TOP_REQUESTS, TOP_TABLES };

struct view_top {
	enum top_table table;
	unsigned sort[TOP_TABLES]; /* number of the column that is sorted by */
	bool reversed[TOP_TABLES];
	size_t scroll;
	bool help, paused;
	const char *note;            /* what is to be known first: the process has ended; NULL */
	uint64_t rss_bytes, threads; /* 0: not known */
	uint64_t interval_ns;
};

enum { VIEW_TOP_MIN_COLUMNS = 20, VIEW_TOP_MIN_ROWS = 4 };

/* `rows` lines of at most `columns` characters, no line end behind the last. */
void view_top_screen(const struct view *v, struct top_picture *p, struct view_top *t, unsigned columns, unsigned rows);
/* Everything, the first `most` of each table, `columns` wide (0: as wide as it is). */
void view_top_page(const struct view *v, struct top_picture *p, struct view_top *t, size_t most, unsigned columns);
void view_top_json(struct buf *out, struct top_picture *p, const struct view_top *t, size_t most);
unsigned view_top_sort_columns(enum top_table table);
