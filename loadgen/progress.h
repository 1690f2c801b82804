/* The run in a terminal while it goes on: a block of lines that is drawn over itself. Pure: what is known in, bytes out. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct series_set;
struct thresholds;

enum { PROGRESS_COLUMNS_DEFAULT = 80 };

struct progress {
	uint64_t elapsed_ns, duration_ns; /* duration_ns 0: it ends after `of` attempts */
	uint64_t attempts, of, failures, in_flight, users;
	double rate; /* of the last moment */
	/* So far, and of the last second that is over. */
	const struct series_set *all, *slice;
	const struct thresholds *thresholds;
	unsigned columns; /* lines are cut there */
	bool colour;
};

/* The block; *ret_lines is how many lines it has. Drawn over one of `before` lines (0: there is none yet). */
void progress_draw(const struct progress *p, unsigned before, struct buf *out, unsigned *ret_lines);
/* Takes a block of so many lines away. */
void progress_clear(unsigned lines, struct buf *out);
/* The same as one line, for logs. */
void progress_line(const struct progress *p, struct buf *out);
