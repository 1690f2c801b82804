/* The figures of this process as a page of metrics.
 * Context    [helper]: reads tables and /proc; about a millisecond, and more with many stacks or routes. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "config.h"

enum {
	METRICS_PAGE_BYTES = 4 << 20
}; /* the longest is below three quarters: 512 routes with names that must be escaped throughout */

/* Before there are other processes to share with. [init] */
void metrics_page_init(const struct config *config);
/* This process had to go without: counted once, for all pages of the processes that were forked from one. True: it is the first of
 * them. */
bool metrics_page_refused(void);
/* Its length; 0: it does not fit. */
size_t metrics_page(char *to, size_t size, bool otel, bool openmetrics);
/* The helper ends: its CPU time so far counts on with the next. */
void metrics_page_helper_ends(void);
/* In a forked child: what was counted is the parent's. */
void metrics_page_fork_child(void);
