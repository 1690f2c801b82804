/* Single requests on their way from a worker to files: a ring of rows, with one writer and one reader. Only where an output asks for
 * single requests; metrics never go this way. A row that finds no room is dropped and counted: the worker does not wait.
 * Atomics     head is the writer's, tail the reader's; each publishes by release and is taken by acquire.
 * Ownership   request_log_new() and _free(): the engine's. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "atomic.h"
#include "tally.h"

enum { REQUEST_LOG_ROWS = 1 << 15 };

struct request_row {
	struct tally_request request;
	uint64_t start_ns;   /* the attempt began: since the start of the run */
	uint64_t body_bytes; /* received */
	uint32_t connection; /* of its worker */
};

struct request_log {
	struct request_row *rows; /* REQUEST_LOG_ROWS */
	_Alignas(64) _Atomic uint64_t head;
	_Atomic uint64_t dropped;
	_Alignas(64) _Atomic uint64_t tail;
};

struct request_log *request_log_new(void); /* NULL: out of memory */
void request_log_free(struct request_log *log);
void request_log_put(struct request_log *log, const struct request_row *row);
bool request_log_take(struct request_log *log, struct request_row *ret_row); /* false: empty */
