/* Database calls of the program: how many of which operation on which table, how long; and those made while a thread worked on a
 * request, each with its time.
 * Context    [hook] unless said otherwise: no lock, no allocation but mmap. What concerns one handle (a connection, a statement) is
 *            called by whoever uses it, one thread at a time.
 * Errors     none are returned: what finds no room is counted (losses.def).
 * Times      ns of CLOCK_MONOTONIC, given by the caller. A row is named by its number from 1; 0 is none. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "atomic.h"
#include "compiler.h"
#include "durations.h"
#include "sql.h"

struct config;
struct thread;

enum { DATABASE_ROWS = 256, DATABASE_SPANS = 8192, DATABASE_CALLS = 4096, DATABASE_STATEMENTS = 4096 };

/* One operation on one table of one kind of system. */
struct database_row {
	_Atomic uint64_t key; /* 0: free */
	_Atomic uint32_t ready;
	uint8_t system;    /* enum sql_system */
	uint8_t operation; /* enum sql_operation */
	char table[SQL_TABLE_BYTES];
	_Atomic uint64_t errors; /* of count */
	struct durations took;
};

/* A call that a thread made while it worked on a request. */
struct database_span {
	uint64_t start_ns, ns; /* ns: in the database's library; there may have been pauses */
	uint64_t request;
	uint32_t thread; /* record */
	uint16_t row;    /* from 1 */
	bool failed, unfinished;
};

/* A call under way that has no handle: on the stack of who makes it. */
struct database_call {
	struct thread *th;
	uint64_t start_ns, request;
	uint32_t row;
	uint32_t outer_row; /* the call that it is made below, or 0 */
	uint64_t outer_since, outer_request;
};

extern _Atomic bool database_on HIDDEN; /* relaxed: a hook may see it late */

/* The window may be set again later. [init, helper] */
void database_init(const struct config *config);

/* The row of a statement; 0: no memory. Kept until the process ends. */
uint32_t database_row_of(enum sql_system system, const char *text, size_t bytes);
/* The same with an operation of its own, on the statement's table: PREPARE. */
uint32_t database_row_as(enum sql_system system, enum sql_operation operation, uint32_t of);

/* A call that returns when it is done. `th`: may be NULL. `below`: inside another one, which goes on when this one ends. */
void database_begin(struct database_call *c, struct thread *th, uint32_t row, uint64_t now, bool below);
/* It took so long, a part of a longer one or the whole; who calls begins, and then ends. */
void database_end(const struct database_call *c);
/* It is done: counted, and kept if it was made for a request. */
void database_count(const struct database_call *c, uint64_t ns, bool failed);

/* ---- calls with a handle: sent and answered later, or made in steps ---- */

/* Behind those that the handle has already. `spent`: ns of it so far; only of calls made in steps. */
void database_open(const void *handle, const struct database_call *c, uint64_t spent);
/* Something of the answer to the handle's first call has come. */
void database_answer(const void *handle, bool failed);
/* The answer to the handle's first call is complete, if any of it has come. */
void database_answered(const void *handle, uint64_t now);
/* The handle will tell of none any more. Those not answered have failed. */
void database_drop(const void *handle, uint64_t now);

/* Of a handle with one call in steps: where it is kept while it is under way, or 0. */
uint32_t database_stepped(const void *handle);
/* One step more begins; it took so long, and was perhaps the last. If the handle's call ended meanwhile, nothing. */
void database_step_begin(uint32_t place, uint64_t now);
void database_step_end(const void *handle, uint32_t place, uint64_t ns, bool last, bool failed);

/* ---- prepared statements: which row is executed by which name ---- */

/* `name` of one connection's statements; NULL: the handle is the statement. */
void database_prepared(const void *handle, const char *name, uint32_t row);
/* 0: not known. */
uint32_t database_prepared_row(const void *handle, const char *name);
/* All of the handle are gone. */
void database_unprepared(const void *handle);

/* ---- for the snapshot and the metrics: what changes meanwhile is left out. [any thread] ---- */

const struct database_row *database_row(uint32_t i); /* i below DATABASE_ROWS: number i + 1; NULL: none */
/* i below DATABASE_COPIES. Made for a request; those under way with handles among them. False: none, or it is being written. */
enum { DATABASE_COPIES = DATABASE_SPANS + DATABASE_CALLS };
bool database_span(uint32_t i, struct database_span *ret_span);
/* The call that the thread is in. */
bool database_calling(const struct thread *th, struct database_span *ret_span);

/* fork: rows and statements stay, for connections are inherited; figures begin anew. One thread runs. */
void database_fork_child(void);
