/* Calls libmariadb in every way: mysql_calls SOCKET USER. Declares what it calls, so that no header is needed. What it issued: by name in
 * tests/e2e/test_database.py. Prints "NAME MILLISECONDS" of what it timed itself. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct mysql MYSQL;
typedef struct stmt MYSQL_STMT;
typedef struct result MYSQL_RES;
MYSQL *mysql_init(MYSQL *m);
MYSQL *mysql_real_connect(MYSQL *m, const char *host, const char *user, const char *password, const char *db,
                          unsigned port, const char *socket, unsigned long flags);
const char *mysql_error(MYSQL *m);
int mysql_query(MYSQL *m, const char *text);
int mysql_real_query(MYSQL *m, const char *text, unsigned long bytes);
int mysql_send_query(MYSQL *m, const char *text, unsigned long bytes);
char mysql_read_query_result(MYSQL *m);
MYSQL_RES *mysql_store_result(MYSQL *m);
void mysql_free_result(MYSQL_RES *r);
MYSQL_STMT *mysql_stmt_init(MYSQL *m);
int mysql_stmt_prepare(MYSQL_STMT *s, const char *text, unsigned long bytes);
int mysql_stmt_execute(MYSQL_STMT *s);
char mysql_stmt_free_result(MYSQL_STMT *s);
char mysql_stmt_close(MYSQL_STMT *s);
void mysql_close(MYSQL *m);

static MYSQL *mysql;

static void require(int condition, const char *what)
{
	if (!condition) {
		fprintf(stderr, "%s: %s\n", what, mysql_error(mysql));
		exit(1);
	}
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void read_rows(void)
{
	MYSQL_RES *r = mysql_store_result(mysql);

	if (r)
		mysql_free_result(r);
}

int main(int argc, char **argv)
{
	static const char update[] = "UPDATE shop.users SET name = \"it\\\"s FROM secret\"";
	MYSQL_STMT *s;
	double start;

	mysql = mysql_init(NULL);
	require(argc > 2 && mysql && mysql_real_connect(mysql, NULL, argv[2], NULL, NULL, 0, argv[1], 0), "connect");
	require(mysql_query(mysql, "CREATE DATABASE IF NOT EXISTS shop") == 0, "create");
	require(mysql_query(mysql, "CREATE OR REPLACE TABLE shop.users (id int, name text)") == 0, "create");
	for (int i = 0; i < 10; i++)
		require(mysql_query(mysql, "INSERT INTO shop.users VALUES (1, 'it\\'s secret')") == 0, "insert");
	for (int i = 0; i < 5; i++)
		require(mysql_real_query(mysql, update, sizeof(update) - 1) == 0, "update");
	require(mysql_query(mysql, "DELETE FROM shop.nowhere") != 0, "no such table");
	start = now_ms();
	require(mysql_query(mysql, "SELECT sleep(0.2)") == 0, "sleep");
	printf("query %.3f\n", now_ms() - start);
	read_rows();
	s = mysql_stmt_init(mysql);
	require(s && mysql_stmt_prepare(s, "DELETE FROM shop.users WHERE id = 99 behind", 36) == 0, "prepare");
	for (int i = 0; i < 7; i++)
		require(mysql_stmt_execute(s) == 0, "execute");
	require(mysql_stmt_close(s) == 0, "close");
	for (int i = 0; i < 3; i++) {
		require(mysql_send_query(mysql, "SELECT `name` FROM `shop`.`users`", 33) == 0, "send");
		require(mysql_read_query_result(mysql) == 0, "answer");
		read_rows();
	}
	require(mysql_send_query(mysql, "SHOW GRAMMAR", 12) == 0, "send");
	require(mysql_read_query_result(mysql) != 0, "an error");
	mysql_close(mysql);
	return 0;
}
