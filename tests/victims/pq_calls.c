/* Calls libpq in every way: pq_calls CONNINFO. Declares what it calls, so that no header is needed. What it issued: by name in
 * tests/e2e/test_database.py. Prints "NAME MILLISECONDS" of what it timed itself. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct conn PGconn;
typedef struct result PGresult;
PGconn *PQconnectdb(const char *info);
int PQstatus(const PGconn *c);
char *PQerrorMessage(const PGconn *c);
void PQfinish(PGconn *c);
PGresult *PQexec(PGconn *c, const char *text);
PGresult *PQexecParams(PGconn *c, const char *text, int n, const unsigned *types, const char *const *values,
                       const int *lengths, const int *formats, int format);
PGresult *PQprepare(PGconn *c, const char *name, const char *text, int n, const unsigned *types);
PGresult *PQexecPrepared(PGconn *c, const char *name, int n, const char *const *values, const int *lengths,
                         const int *formats, int format);
int PQsendQuery(PGconn *c, const char *text);
int PQsendQueryParams(PGconn *c, const char *text, int n, const unsigned *types, const char *const *values,
                      const int *lengths, const int *formats, int format);
int PQsendPrepare(PGconn *c, const char *name, const char *text, int n, const unsigned *types);
int PQsendQueryPrepared(PGconn *c, const char *name, int n, const char *const *values, const int *lengths,
                        const int *formats, int format);
PGresult *PQgetResult(PGconn *c);
int PQresultStatus(const PGresult *r);
void PQclear(PGresult *r);
int PQenterPipelineMode(PGconn *c);
int PQexitPipelineMode(PGconn *c);
int PQpipelineSync(PGconn *c);

enum { COMMAND_OK = 1, TUPLES_OK = 2, FATAL_ERROR = 7, PIPELINE_SYNC = 10, PIPELINE_ABORTED = 11 };

static PGconn *conn;
static const char *const one[] = { "7" };

static void require(int condition, const char *what)
{
	if (!condition) {
		fprintf(stderr, "%s: %s\n", what, PQerrorMessage(conn));
		exit(1);
	}
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void done(PGresult *r, const char *what)
{
	int status = PQresultStatus(r);

	require(r && (status == COMMAND_OK || status == TUPLES_OK), what);
	PQclear(r);
}

static void fails(PGresult *r, const char *what)
{
	require(PQresultStatus(r) == FATAL_ERROR, what);
	PQclear(r);
}

/* To the NULL. */
static int results(int status)
{
	int n = 0;

	for (PGresult *r; (r = PQgetResult(conn)) != NULL; n++) {
		require(status == 0 || PQresultStatus(r) == status, "result");
		PQclear(r);
	}
	return n;
}

static void waiting_calls(void)
{
	double start;

	done(PQexec(conn, "CREATE TEMP TABLE users (id int, name text)"), "create");
	for (int i = 0; i < 10; i++)
		done(PQexecParams(conn, "INSERT INTO users VALUES ($1, 'secret')", 1, NULL, one, NULL, NULL, 0),
		     "insert");
	done(PQprepare(conn, "get", "SELECT name FROM users WHERE id = $1", 1, NULL), "prepare");
	for (int i = 0; i < 20; i++)
		done(PQexecPrepared(conn, "get", 1, one, NULL, NULL, 0), "prepared");
	fails(PQexec(conn, "SELECT * FROM nowhere"), "no such table");
	fails(PQexec(conn, "DELETE FROM users WHERE"), "no such grammar");
	done(PQexec(conn, "PREPARE by_text AS SELECT 1"), "prepare by text");
	done(PQexec(conn, "EXECUTE by_text"), "execute by text");
	start = now_ms();
	done(PQexec(conn, "SELECT pg_sleep(0.25) AS slept FROM (SELECT 1) AS sleepers"), "sleep");
	printf("exec %.3f\n", now_ms() - start);
}

static void sent_calls(void)
{
	double start = now_ms();

	require(PQsendQuery(conn, "VALUES (1), (2); SELECT pg_sleep(0.15)"), "send");
	require(results(TUPLES_OK) == 2, "two results");
	printf("send %.3f\n", now_ms() - start);
	for (int i = 0; i < 3; i++) {
		require(PQsendQueryParams(conn, "UPDATE users SET name = $1", 1, NULL, one, NULL, NULL, 0), "send");
		require(!PQsendQuery(conn, "MOVE 1 FROM c"), "one at a time"); /* refused: a failed call */
		require(results(COMMAND_OK) == 1, "one result");
	}
	require(PQsendPrepare(conn, "count", "SELECT count(*) FROM users", 0, NULL), "send");
	require(results(COMMAND_OK) == 1, "one result");
	for (int i = 0; i < 7; i++) {
		require(PQsendQueryPrepared(conn, "count", 0, NULL, NULL, NULL, 0), "send");
		require(results(TUPLES_OK) == 1, "one result");
	}
	require(PQgetResult(conn) == NULL && PQgetResult(conn) == NULL, "nothing is under way");
	require(PQsendQuery(conn, "SELECT 1/0"), "send");
	require(results(FATAL_ERROR) == 1, "one result");
	/* Sent, one result read, and then thrown away by a call that waits. */
	require(PQsendQuery(conn, "SHOW work_mem"), "send");
	PQclear(PQgetResult(conn));
	done(PQexec(conn, "SET application_name = 'secret'"), "set");
}

static void pipelines(int queries)
{
	int answered = 0, synced = 0;

	require(PQenterPipelineMode(conn), "pipeline");
	for (int i = 0; i < queries; i++)
		require(PQsendQueryParams(
		                conn, i == 3 && queries == 10 ? "MERGE no grammar" : "DELETE FROM users WHERE id = $1",
		                i == 3 && queries == 10 ? 0 : 1, NULL, one, NULL, NULL, 0),
		        "send");
	require(PQpipelineSync(conn), "sync");
	while (!synced) {
		PGresult *r = PQgetResult(conn);

		require(r != NULL, "a result");
		synced = PQresultStatus(r) == PIPELINE_SYNC;
		PQclear(r);
		if (!synced) {
			require(PQgetResult(conn) == NULL, "the end of a result");
			answered++;
		}
	}
	require(answered == queries, "all answers");
	require(PQexitPipelineMode(conn), "the pipeline's end");
}

int main(int argc, char **argv)
{
	conn = PQconnectdb(argc > 1 ? argv[1] : "");
	require(PQstatus(conn) == 0, "connect");
	waiting_calls();
	sent_calls();
	pipelines(10); /* the fourth fails, and with it those behind it */
	pipelines(300);
	require(PQsendQuery(conn, "LISTEN nobody"), "send");
	PQfinish(conn); /* never answered */
	return 0;
}
