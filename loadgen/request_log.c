/* request_log.c - the ring. */
#include "request_log.h"

#include <stdlib.h>
#include <string.h>

struct request_log *request_log_new(void)
{
	struct request_log *log = aligned_alloc(_Alignof(struct request_log), sizeof(*log));

	if (!log)
		return NULL;
	memset(log, 0, sizeof(*log));
	log->rows = calloc(REQUEST_LOG_ROWS, sizeof(*log->rows));
	if (!log->rows) {
		free(log);
		return NULL;
	}
	return log;
}

void request_log_free(struct request_log *log)
{
	if (log)
		free(log->rows);
	free(log);
}

void request_log_put(struct request_log *log, const struct request_row *row)
{
	uint64_t head = load_relaxed(&log->head); /* relaxed: ours */

	/* acquire: pairs with _take()'s release, after which the place may be written again */
	if (UNLIKELY(head - load_acquire(&log->tail) >= REQUEST_LOG_ROWS)) {
		own_add(&log->dropped, 1);
		return;
	}
	log->rows[head % REQUEST_LOG_ROWS] = *row;
	store_release(&log->head, head + 1); /* pairs with _take()'s acquire: the row is complete */
}

bool request_log_take(struct request_log *log, struct request_row *ret_row)
{
	uint64_t tail = load_relaxed(&log->tail); /* relaxed: ours */

	if (tail == load_acquire(&log->head)) /* pairs with _put()'s release */
		return false;
	*ret_row = log->rows[tail % REQUEST_LOG_ROWS];
	store_release(&log->tail, tail + 1); /* pairs with _put()'s acquire: the place is free */
	return true;
}
