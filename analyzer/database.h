/* Answers about database calls: time by operation and table, and what each request spent there. Pure; hosted, any thread.
 * Ownership  the results own their arrays; the model must outlive them. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "err.h"

struct model;
struct model_database_row;
struct model_database_span;

struct database_row {
	const struct model_database_row *row;
	uint64_t p50_ns, p99_ns; /* as in struct requests_route */
};

struct database_rows {
	struct database_row *rows; /* most time first; only those with calls that are done */
	size_t count;
};

/* One request's calls of one row. */
struct database_use {
	const struct model_database_row *row;
	uint64_t calls, failed, ns;
};

struct database_request {
	const struct model_database_span **spans; /* in the order of their begins */
	struct database_use *uses;                /* most time first */
	size_t span_count, use_count;
	/* Sums: calls that ran at the same time count each its own. unfinished: calls that were still under way. */
	uint64_t ns, failed, unfinished;
};

/* 0 or -ENOMEM. Freed with database_rows_done(). */
int database_rows(const struct model *m, struct database_rows *ret, struct err *err) MUST_USE;
void database_rows_done(struct database_rows *rows);

/* `request`: its id. 0 or -ENOMEM. Freed with database_request_done(). */
int database_request(const struct model *m, uint64_t request, struct database_request *ret, struct err *err) MUST_USE;
void database_request_done(struct database_request *request);
