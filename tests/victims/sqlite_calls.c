/* Calls libsqlite3 in every way: sqlite_calls FILE. Declares what it calls, so that no header is needed. What it issued: by name in
 * tests/e2e/test_database.py. Prints "NAME MILLISECONDS" of what it timed itself. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct db sqlite3;
typedef struct stmt sqlite3_stmt;
int sqlite3_open(const char *path, sqlite3 **ret_db);
int sqlite3_close(sqlite3 *db);
const char *sqlite3_errmsg(sqlite3 *db);
int sqlite3_prepare_v2(sqlite3 *db, const char *text, int bytes, sqlite3_stmt **ret_stmt, const char **ret_tail);
int sqlite3_step(sqlite3_stmt *s);
int sqlite3_reset(sqlite3_stmt *s);
int sqlite3_finalize(sqlite3_stmt *s);
int sqlite3_exec(sqlite3 *db, const char *text, int (*row)(void *, int, char **, char **), void *arg, char **ret_why);
int sqlite3_get_table(sqlite3 *db, const char *text, char ***ret_table, int *rows, int *columns, char **ret_why);
void sqlite3_free_table(char **table);
void sqlite3_free(void *block);

enum { OK = 0, ERROR = 1, CONSTRAINT = 19, ROW = 100, DONE = 101 };

static sqlite3 *db;

static void require(int condition, const char *what)
{
	if (!condition) {
		fprintf(stderr, "%s: %s\n", what, sqlite3_errmsg(db));
		exit(1);
	}
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ 0, ms * 1000000 }, NULL);
}

static sqlite3_stmt *prepared(const char *text)
{
	sqlite3_stmt *s = NULL;

	require(sqlite3_prepare_v2(db, text, -1, &s, NULL) == OK, text);
	return s;
}

static void exec(const char *text)
{
	require(sqlite3_exec(db, text, NULL, NULL, NULL) == OK, text);
}

/* Rows seen until the end, at most so many. */
static int steps(sqlite3_stmt *s, int most)
{
	int n = 0, rc = ROW;

	while (n < most && (rc = sqlite3_step(s)) == ROW)
		n++;
	require(rc == ROW || rc == DONE, "step");
	return n;
}

/* A callback that makes calls of its own. */
static int count_log(void *arg, int columns, char **values, char **names)
{
	(void)columns;
	(void)values;
	(void)names;
	require(steps((sqlite3_stmt *)arg, 9) == 1, "below a callback");
	require(sqlite3_reset((sqlite3_stmt *)arg) == OK, "reset");
	return 0;
}

static void statements(void)
{
	sqlite3_stmt *insert = prepared("INSERT INTO users(id, name) VALUES (NULL, 'secret')");
	sqlite3_stmt *select = prepared("SELECT name FROM users"), *twice = prepared("SELECT id FROM users");
	sqlite3_stmt *again = prepared("INSERT INTO users(id) VALUES (1)");

	for (int i = 0; i < 50; i++) {
		require(steps(insert, 1) == 0, "insert");
		if (i % 2) /* else the next step resets by itself */
			require(sqlite3_reset(insert) == OK, "reset");
	}
	for (int i = 0; i < 4; i++) {
		require(steps(select, 999) == 50, "select");
		require(sqlite3_reset(select) == OK, "reset");
	}
	require(steps(twice, 3) == 3 && sqlite3_reset(twice) == OK && steps(twice, 5) == 5, "not to the end");
	require(sqlite3_finalize(twice) == OK, "not to the end");
	require(sqlite3_step(again) == CONSTRAINT, "a key that is there");
	require(sqlite3_finalize(again) == CONSTRAINT, "a key that is there");
	require(sqlite3_finalize(insert) == OK && sqlite3_finalize(select) == OK, "finalize");
	require(sqlite3_step(NULL) != ROW && sqlite3_reset(NULL) == OK && sqlite3_finalize(NULL) == OK, "none");
}

static void execs(void)
{
	sqlite3_stmt *log = prepared("SELECT count(*) FROM log");
	char **table, *why = NULL;
	int rows, columns;

	exec("BEGIN; INSERT INTO log VALUES (1); INSERT INTO log VALUES (2); COMMIT");
	exec("-- nothing\n; ;");
	require(sqlite3_exec(db, "UPDATE users SET name = 'x' WHERE id = 1; SELECT id FROM users LIMIT 3", count_log,
	                     log, NULL) == OK,
	        "exec with a callback");
	require(sqlite3_exec(db, "DELETE FROM nowhere", NULL, NULL, &why) == ERROR && why, "no such table");
	sqlite3_free(why);
	require(sqlite3_get_table(db, "SELECT x FROM log ORDER BY x", &table, &rows, &columns, NULL) == OK && rows == 2,
	        "get_table");
	sqlite3_free_table(table);
	require(sqlite3_finalize(log) == OK, "finalize");
}

/* Full-text search keeps its index in tables of its own, which it reads and writes by statements. */
static void nested(void)
{
	exec("CREATE VIRTUAL TABLE docs USING fts5(body)");
	for (int i = 0; i < 5; i++)
		exec("INSERT INTO docs VALUES ('some words of a text')");
	exec("SELECT rowid FROM docs WHERE docs MATCH 'words'");
}

/* Only the time of the steps counts, not that between them. */
static void durations(void)
{
	sqlite3_stmt *s = prepared("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500000) "
	                           "SELECT max(n.i) FROM slow, n UNION ALL SELECT x FROM slow");
	double start = now_ms(), took;

	require(steps(s, 1) == 1, "slow");
	took = now_ms() - start;
	sleep_ms(300);
	require(steps(s, 9) == 1, "slow");
	printf("steps %.3f\n", took);
	require(sqlite3_finalize(s) == OK, "finalize");
}

int main(int argc, char **argv)
{
	require(sqlite3_open(argc > 1 ? argv[1] : ":memory:", &db) == OK, "open");
	exec("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)");
	exec("CREATE TABLE log (x)");
	exec("CREATE TABLE slow (x)");
	exec("INSERT INTO slow VALUES (1)");
	require(sqlite3_close(db) == OK && sqlite3_open(argc > 1 ? argv[1] : ":memory:", &db) == OK,
	        "again, to read its schema");
	statements();
	execs();
	nested();
	durations();
	require(sqlite3_close(db) == OK, "close");
	return 0;
}
