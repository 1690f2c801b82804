/*
 * hook_database.c - calls of database libraries: libpq, libsqlite3, libmariadb and libmysqlclient.
 *
 * Once       a library that calls itself by name comes back in here. What it calls below a call of the program's, on the same stack and
 *            near it, is a part of that. Near: who left a call by longjmp must not be believed to be in it for ever. What the program
 *            calls there, in a callback, is a call of its own.
 * sqlite     makes statements of its own, in prepare as in step: what libsqlite3 calls itself counts only where sqlite3_exec calls
 *            for the program. Steps come one a row: a call begins with the first and ends with the last, a reset or the end of the
 *            statement, and has taken what its steps took.
 * Nothing is held across the real call. errno is the real call's: nothing after it touches it.
 * Values that libraries return: libpq-fe.h (ExecStatusType), sqlite3.h (result codes); both are fixed for ever.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "database.h"
#include "definition.h"
#include "guard.h"
#include "os_linux.h"
#include "threads.h"

enum which {
#define HOOK(library, returns, name, params, args) WHICH_##name,
#include "hooks_database.def"
#undef HOOK
	WHICH_PQresultStatus,
	WHICH_PQpipelineStatus,
	WHICH_sqlite3_sql,
	WHICH_sqlite3_stmt_busy,
};

#define HOOK(library, returns, name, params, args) \
	typedef returns real_##name params;        \
	EXPORT returns name params;
#include "hooks_database.def"
#undef HOOK

static const struct definition_name names[] = {
#define HOOK(library, returns, name, params, args) { #name, library },
#include "hooks_database.def"
#undef HOOK
};

enum { NEAR_BYTES = 64 << 10 };
enum { PG_BAD_RESPONSE = 5, PG_FATAL_ERROR = 7, PG_PIPELINE_SYNC = 10, PG_PIPELINE_ABORTED = 11 };
enum { LITE_ERROR = 1, LITE_ROW = 100, LITE_DONE = 101 };

/* Frames of hooks on this thread's stack; 0: none. */
static _Thread_local struct {
	uintptr_t call;     /* a call that is counted */
	uintptr_t exec;     /* the outermost sqlite3_exec of the program's */
	unsigned level;     /* 1: in that one, and not in one of the library's below it */
	unsigned counted;   /* steps below it */
	const void *inside; /* the function that was called last */
} here TLS_INITIAL_EXEC;

/* In a hook: who called it, and which function was meant. */
#define FIND(hook, f)   find(WHICH_##hook, __builtin_return_address(0), (f))
#define REAL(hook, f)   ((real_##hook *)(f).function)
#define BESIDE(name, f) definition_beside(WHICH_##name, #name, (f)->function)
#define FRAME           ((uintptr_t)__builtin_frame_address(0))
#define NUL_TERMINATED  ((size_t)SQL_TERMINATED)

/* This very library: made by the linker. */
extern const char __ehdr_start[] HIDDEN, _end[] HIDDEN;

/* A function that a hook called and that ended with a jump to another name returns to that hook: the caller is that function. */
static bool find(enum which which, const void *caller, struct definition *ret)
{
	if ((uintptr_t)caller - (uintptr_t)__ehdr_start < (uintptr_t)_end - (uintptr_t)__ehdr_start)
		caller = here.inside;
	if (!definition_of((unsigned)which, &names[which], caller, ret))
		return false;
	here.inside = ret->function;
	return true;
}

static bool is_below(uintptr_t frame, uintptr_t outer)
{
	return frame < outer && outer - frame < NEAR_BYTES;
}

static bool counts(const struct definition *f, uintptr_t frame)
{
	return load_relaxed(&database_on) && !(f->same && is_below(frame, here.call));
}

/* ---- one call ------------------------------------------------------------------------------------------------------ */

struct call {
	struct database_call c;
	uintptr_t outer; /* frame of the one that it is made below; 0: none */
};

static void start(struct call *c, uintptr_t frame, uint32_t row)
{
	c->outer = is_below(frame, here.call) ? here.call : 0;
	here.call = frame;
	database_begin(&c->c, tls_self.thread, row, os_now_ns(), c->outer != 0);
}

/* Ns since its start. */
static uint64_t stop(const struct call *c)
{
	uint64_t now = os_now_ns();

	database_end(&c->c);
	here.call = c->outer;
	return now > c->c.start_ns ? now - c->c.start_ns : 0;
}

static void stop_and_count(const struct call *c, bool failed)
{
	database_count(&c->c, stop(c), failed);
}

/* ---- libpq --------------------------------------------------------------------------------------------------------- */

static bool pg_failed(const struct definition *f, const void *result)
{
	int (*status_of)(const void *) = (int (*)(const void *))BESIDE(PQresultStatus, f);
	int status = result && status_of ? status_of(result) : 0;

	return !result || status == PG_BAD_RESPONSE || status == PG_FATAL_ERROR || status == PG_PIPELINE_ABORTED;
}

static uint32_t pg_row(const char *text)
{
	return database_row_of(SQL_POSTGRESQL, text, NUL_TERMINATED);
}

static uint32_t pg_prepared(const void *conn, const char *name)
{
	uint32_t row = database_prepared_row(conn, name ? name : "");

	return row ? row : database_row_as(SQL_POSTGRESQL, SQL_EXECUTE, 0);
}

/* A call that waits throws away what was sent before and not read. */
static void pg_start(struct call *c, uintptr_t frame, const void *conn, uint32_t row)
{
	start(c, frame, row);
	database_drop(conn, c->c.start_ns);
}

EXPORT void *PQexec(void *conn, const char *text)
{
	struct call c;
	struct definition f;
	void *result;

	if (!FIND(PQexec, &f))
		return NULL;
	if (!counts(&f, FRAME))
		return REAL(PQexec, f)(conn, text);
	pg_start(&c, FRAME, conn, pg_row(text));
	result = REAL(PQexec, f)(conn, text);
	stop_and_count(&c, pg_failed(&f, result));
	return result;
}

EXPORT void *PQexecParams(void *conn, const char *text, int n, const unsigned *types, const char *const *values,
                          const int *lengths, const int *formats, int format)
{
	struct call c;
	struct definition f;
	void *result;

	if (!FIND(PQexecParams, &f))
		return NULL;
	if (!counts(&f, FRAME))
		return REAL(PQexecParams, f)(conn, text, n, types, values, lengths, formats, format);
	pg_start(&c, FRAME, conn, pg_row(text));
	result = REAL(PQexecParams, f)(conn, text, n, types, values, lengths, formats, format);
	stop_and_count(&c, pg_failed(&f, result));
	return result;
}

EXPORT void *PQprepare(void *conn, const char *name, const char *text, int n, const unsigned *types)
{
	struct call c;
	struct definition f;
	void *result;
	uint32_t row;
	bool failed;

	if (!FIND(PQprepare, &f))
		return NULL;
	if (!counts(&f, FRAME))
		return REAL(PQprepare, f)(conn, name, text, n, types);
	row = pg_row(text);
	pg_start(&c, FRAME, conn, database_row_as(SQL_POSTGRESQL, SQL_PREPARE, row));
	result = REAL(PQprepare, f)(conn, name, text, n, types);
	failed = pg_failed(&f, result);
	stop_and_count(&c, failed);
	if (!failed)
		database_prepared(conn, name ? name : "", row);
	return result;
}

EXPORT void *PQexecPrepared(void *conn, const char *name, int n, const char *const *values, const int *lengths,
                            const int *formats, int format)
{
	struct call c;
	struct definition f;
	void *result;

	if (!FIND(PQexecPrepared, &f))
		return NULL;
	if (!counts(&f, FRAME))
		return REAL(PQexecPrepared, f)(conn, name, n, values, lengths, formats, format);
	pg_start(&c, FRAME, conn, pg_prepared(conn, name));
	result = REAL(PQexecPrepared, f)(conn, name, n, values, lengths, formats, format);
	stop_and_count(&c, pg_failed(&f, result));
	return result;
}

/* After the real call. Without a pipeline nothing else can be under way: what is still kept was never read to its end. */
static int pg_sent(const struct call *c, const struct definition *f, const void *conn, int sent)
{
	int (*pipeline)(const void *) = (int (*)(const void *))BESIDE(PQpipelineStatus, f);
	uint64_t ns = stop(c);

	if (!sent) {
		database_count(&c->c, ns, true);
		return sent;
	}
	if (!pipeline || !pipeline(conn))
		database_drop(conn, c->c.start_ns);
	database_open(conn, &c->c, 0);
	return sent;
}

EXPORT int PQsendQuery(void *conn, const char *text)
{
	struct call c;
	struct definition f;

	if (!FIND(PQsendQuery, &f))
		return 0;
	if (!counts(&f, FRAME))
		return REAL(PQsendQuery, f)(conn, text);
	start(&c, FRAME, pg_row(text));
	return pg_sent(&c, &f, conn, REAL(PQsendQuery, f)(conn, text));
}

EXPORT int PQsendQueryParams(void *conn, const char *text, int n, const unsigned *types, const char *const *values,
                             const int *lengths, const int *formats, int format)
{
	struct call c;
	struct definition f;

	if (!FIND(PQsendQueryParams, &f))
		return 0;
	if (!counts(&f, FRAME))
		return REAL(PQsendQueryParams, f)(conn, text, n, types, values, lengths, formats, format);
	start(&c, FRAME, pg_row(text));
	return pg_sent(&c, &f, conn,
	               REAL(PQsendQueryParams, f)(conn, text, n, types, values, lengths, formats, format));
}

EXPORT int PQsendPrepare(void *conn, const char *name, const char *text, int n, const unsigned *types)
{
	struct call c;
	struct definition f;
	uint32_t row;
	int sent;

	if (!FIND(PQsendPrepare, &f))
		return 0;
	if (!counts(&f, FRAME))
		return REAL(PQsendPrepare, f)(conn, name, text, n, types);
	row = pg_row(text);
	start(&c, FRAME, database_row_as(SQL_POSTGRESQL, SQL_PREPARE, row));
	sent = pg_sent(&c, &f, conn, REAL(PQsendPrepare, f)(conn, name, text, n, types));
	if (sent)
		database_prepared(conn, name ? name : "", row); /* if the server refuses it, nobody can execute it */
	return sent;
}

EXPORT int PQsendQueryPrepared(void *conn, const char *name, int n, const char *const *values, const int *lengths,
                               const int *formats, int format)
{
	struct call c;
	struct definition f;

	if (!FIND(PQsendQueryPrepared, &f))
		return 0;
	if (!counts(&f, FRAME))
		return REAL(PQsendQueryPrepared, f)(conn, name, n, values, lengths, formats, format);
	start(&c, FRAME, pg_prepared(conn, name));
	return pg_sent(&c, &f, conn, REAL(PQsendQueryPrepared, f)(conn, name, n, values, lengths, formats, format));
}

EXPORT void *PQgetResult(void *conn)
{
	int (*status_of)(const void *);
	struct definition f;
	void *result;

	if (!FIND(PQgetResult, &f))
		return NULL;
	result = REAL(PQgetResult, f)(conn);
	if (!counts(&f, FRAME))
		return result;
	if (!result) {
		database_answered(conn, os_now_ns());
		return result;
	}
	/* The answer to PQpipelineSync() belongs to no call. */
	status_of = (int (*)(const void *))BESIDE(PQresultStatus, &f);
	if (!status_of || status_of(result) != PG_PIPELINE_SYNC)
		database_answer(conn, pg_failed(&f, result));
	return result;
}

EXPORT void PQfinish(void *conn)
{
	struct definition f;

	if (!FIND(PQfinish, &f))
		return;
	if (conn && counts(&f, FRAME)) {
		database_drop(conn, os_now_ns());
		database_unprepared(conn);
	}
	REAL(PQfinish, f)(conn);
}

/* ---- sqlite -------------------------------------------------------------------------------------------------------- */

/* Is this step one of a statement that the program has made? */
static bool step_counts(const struct definition *f, uintptr_t frame)
{
	bool in_exec = is_below(frame, here.exec);

	if (!counts(f, frame) || (f->inner && !(in_exec && here.level == 1)))
		return false;
	here.counted += in_exec;
	return true;
}

/* Apart, so that steps which do not count have small frames. */
static NOINLINE int first_step(const struct definition *f, void *stmt, uintptr_t frame, const char *text)
{
	struct call c;
	uint64_t ns;
	int rc;

	start(&c, frame, database_row_of(SQL_SQLITE, text, NUL_TERMINATED));
	rc = REAL(sqlite3_step, *f)(stmt);
	ns = stop(&c);
	if (rc == LITE_ROW)
		database_open(stmt, &c.c, ns ? ns : 1);
	else
		database_count(&c.c, ns, rc != LITE_DONE);
	return rc;
}

static NOINLINE int later_step(const struct definition *f, void *stmt, uintptr_t frame, uint32_t place)
{
	uintptr_t outer = is_below(frame, here.call) ? here.call : 0;
	uint64_t from = os_now_ns(), to;
	int rc;

	here.call = frame;
	database_step_begin(place, from);
	rc = REAL(sqlite3_step, *f)(stmt);
	to = os_now_ns();
	here.call = outer;
	database_step_end(stmt, place, to > from ? to - from : 0, rc != LITE_ROW, rc != LITE_ROW && rc != LITE_DONE);
	return rc;
}

EXPORT int sqlite3_step(void *stmt)
{
	int (*is_busy)(void *);
	const char *(*text_of)(void *);
	const char *text = NULL;
	struct definition f;
	uint32_t place;
	bool busy;

	if (!FIND(sqlite3_step, &f))
		return LITE_ERROR;
	if (!step_counts(&f, FRAME))
		return REAL(sqlite3_step, f)(stmt);
	is_busy = (int (*)(void *))BESIDE(sqlite3_stmt_busy, &f);
	place = database_stepped(stmt);
	busy = is_busy ? is_busy(stmt) != 0 : place != 0;
	if (place && busy)
		return later_step(&f, stmt, FRAME, place);
	if (place)
		database_step_end(stmt, place, 0, true, false); /* it was reset where we did not see it */
	text_of = (const char *(*)(void *))BESIDE(sqlite3_sql, &f);
	if (!busy)
		text = text_of ? text_of(stmt) : NULL;
	if (!text) /* under way and not followed, or made by the library (a blob's) */
		return REAL(sqlite3_step, f)(stmt);
	return first_step(&f, stmt, FRAME, text);
}

static void lite_ended(const void *stmt)
{
	uint32_t place = load_relaxed(&database_on) && stmt ? database_stepped(stmt) : 0;

	if (place)
		database_step_end(stmt, place, 0, true, false);
}

EXPORT int sqlite3_reset(void *stmt)
{
	struct definition f;

	if (!FIND(sqlite3_reset, &f))
		return LITE_ERROR;
	lite_ended(stmt);
	return REAL(sqlite3_reset, f)(stmt);
}

EXPORT int sqlite3_finalize(void *stmt)
{
	struct definition f;

	if (!FIND(sqlite3_finalize, &f))
		return LITE_ERROR;
	lite_ended(stmt);
	return REAL(sqlite3_finalize, f)(stmt);
}

struct exec {
	uintptr_t outer, call;
	unsigned level, counted;
	uint64_t start_ns;
	bool follows;
};

/* `level`: that of the calls made directly below it. One that the library makes below is one level deeper; one that it makes for
 * itself is none. */
static void exec_enter(struct exec *e, const struct definition *f, uintptr_t frame, unsigned level)
{
	e->follows = counts(f, frame) && (!f->inner || is_below(frame, here.exec));
	if (!e->follows)
		return;
	e->outer = here.exec;
	e->call = here.call;
	e->level = here.level;
	e->counted = here.counted;
	e->start_ns = os_now_ns();
	if (f->inner) {
		here.level++;
		return;
	}
	here.exec = frame;
	here.call = 0; /* its statements are the program's, also in a callback of a step */
	here.level = level;
	here.counted = 0;
}

/* A library whose calls to itself do not come by (-Bsymbolic): the call counts as a whole. */
static void exec_unseen(const struct exec *e, uintptr_t frame, const char *text, int rc)
{
	uint32_t number = database_row_of(SQL_SQLITE, text, NUL_TERMINATED);
	const struct database_row *row = number ? database_row(number - 1) : NULL;
	struct call c;

	if (!row || (rc == 0 && row->operation == SQL_OTHER))
		return; /* a comment, or nothing */
	start(&c, frame, number);
	(void)stop(&c); /* it was long ago */
	c.c.start_ns = e->start_ns;
	database_count(&c.c, os_now_ns() - e->start_ns, rc != 0);
}

static void exec_leave(const struct exec *e, const struct definition *f, uintptr_t frame, const char *text, int rc)
{
	unsigned counted = here.counted;

	if (!e->follows)
		return;
	here.exec = e->outer;
	here.level = e->level;
	if (f->inner)
		return;
	here.call = e->call;
	here.counted = e->counted + counted;
	if (!counted)
		exec_unseen(e, frame, text, rc);
}

EXPORT int sqlite3_exec(void *db, const char *text, int (*row)(void *, int, char **, char **), void *arg,
                        char **ret_why)
{
	struct definition f;
	struct exec e;
	int rc;

	if (!FIND(sqlite3_exec, &f)) {
		if (ret_why)
			*ret_why = NULL;
		return LITE_ERROR;
	}
	exec_enter(&e, &f, FRAME, 1);
	rc = REAL(sqlite3_exec, f)(db, text, row, arg, ret_why);
	exec_leave(&e, &f, FRAME, text, rc);
	return rc;
}

/* Made of sqlite3_exec. */
EXPORT int sqlite3_get_table(void *db, const char *text, char ***ret_table, int *ret_rows, int *ret_columns,
                             char **ret_why)
{
	struct definition f;
	struct exec e;
	int rc;

	if (!FIND(sqlite3_get_table, &f)) {
		if (ret_table)
			*ret_table = NULL;
		if (ret_why)
			*ret_why = NULL;
		return LITE_ERROR;
	}
	exec_enter(&e, &f, FRAME, 0);
	rc = REAL(sqlite3_get_table, f)(db, text, ret_table, ret_rows, ret_columns, ret_why);
	exec_leave(&e, &f, FRAME, text, rc);
	return rc;
}

/* ---- libmariadb, libmysqlclient ------------------------------------------------------------------------------------ */

EXPORT int mysql_real_query(void *mysql, const char *text, unsigned long bytes)
{
	struct call c;
	struct definition f;
	int rc;

	if (!FIND(mysql_real_query, &f))
		return 1;
	if (!counts(&f, FRAME))
		return REAL(mysql_real_query, f)(mysql, text, bytes);
	start(&c, FRAME, database_row_of(SQL_MYSQL, text, bytes));
	rc = REAL(mysql_real_query, f)(mysql, text, bytes);
	stop_and_count(&c, rc != 0);
	return rc;
}

EXPORT int mysql_query(void *mysql, const char *text)
{
	struct call c;
	struct definition f;
	int rc;

	if (!FIND(mysql_query, &f))
		return 1;
	if (!counts(&f, FRAME))
		return REAL(mysql_query, f)(mysql, text);
	start(&c, FRAME, database_row_of(SQL_MYSQL, text, NUL_TERMINATED));
	rc = REAL(mysql_query, f)(mysql, text);
	stop_and_count(&c, rc != 0);
	return rc;
}

EXPORT int mysql_send_query(void *mysql, const char *text, unsigned long bytes)
{
	struct call c;
	struct definition f;
	uint64_t ns;
	int rc;

	if (!FIND(mysql_send_query, &f))
		return 1;
	if (!counts(&f, FRAME))
		return REAL(mysql_send_query, f)(mysql, text, bytes);
	start(&c, FRAME, database_row_of(SQL_MYSQL, text, bytes));
	rc = REAL(mysql_send_query, f)(mysql, text, bytes);
	ns = stop(&c);
	database_drop(mysql, c.c.start_ns); /* there is one at a time */
	if (rc != 0)
		database_count(&c.c, ns, true);
	else
		database_open(mysql, &c.c, 0);
	return rc;
}

EXPORT char mysql_read_query_result(void *mysql)
{
	struct definition f;
	char rc;

	if (!FIND(mysql_read_query_result, &f))
		return 1;
	rc = REAL(mysql_read_query_result, f)(mysql);
	if (counts(&f, FRAME)) {
		database_answer(mysql, rc != 0);
		database_answered(mysql, os_now_ns());
	}
	return rc;
}

EXPORT void mysql_close(void *mysql)
{
	struct definition f;

	if (!FIND(mysql_close, &f))
		return;
	if (mysql && counts(&f, FRAME))
		database_drop(mysql, os_now_ns());
	REAL(mysql_close, f)(mysql);
}

EXPORT int mysql_stmt_prepare(void *stmt, const char *text, unsigned long bytes)
{
	struct call c;
	struct definition f;
	uint32_t row;
	int rc;

	if (!FIND(mysql_stmt_prepare, &f))
		return 1;
	if (!counts(&f, FRAME))
		return REAL(mysql_stmt_prepare, f)(stmt, text, bytes);
	row = database_row_of(SQL_MYSQL, text, bytes);
	start(&c, FRAME, database_row_as(SQL_MYSQL, SQL_PREPARE, row));
	rc = REAL(mysql_stmt_prepare, f)(stmt, text, bytes);
	stop_and_count(&c, rc != 0);
	if (rc == 0)
		database_prepared(stmt, NULL, row);
	return rc;
}

EXPORT int mysql_stmt_execute(void *stmt)
{
	struct call c;
	struct definition f;
	uint32_t row;
	int rc;

	if (!FIND(mysql_stmt_execute, &f))
		return 1;
	if (!counts(&f, FRAME))
		return REAL(mysql_stmt_execute, f)(stmt);
	row = database_prepared_row(stmt, NULL);
	start(&c, FRAME, row ? row : database_row_as(SQL_MYSQL, SQL_EXECUTE, 0));
	rc = REAL(mysql_stmt_execute, f)(stmt);
	stop_and_count(&c, rc != 0);
	return rc;
}

EXPORT char mysql_stmt_close(void *stmt)
{
	struct definition f;

	if (!FIND(mysql_stmt_close, &f))
		return 1;
	if (stmt && counts(&f, FRAME))
		database_unprepared(stmt);
	return REAL(mysql_stmt_close, f)(stmt);
}
