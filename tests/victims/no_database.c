/* A program without any database library that asks for its functions by weak references and by dlsym, and calls what it is given. */
#include <dlfcn.h>
#include <stdio.h>

#pragma weak PQexec
#pragma weak PQsendQuery
#pragma weak PQgetResult
#pragma weak PQfinish
#pragma weak sqlite3_step
#pragma weak sqlite3_exec
#pragma weak sqlite3_finalize
#pragma weak mysql_query
#pragma weak mysql_read_query_result
#pragma weak mysql_close
void *PQexec(void *conn, const char *text);
int PQsendQuery(void *conn, const char *text);
void *PQgetResult(void *conn);
void PQfinish(void *conn);
int sqlite3_step(void *stmt);
int sqlite3_exec(void *db, const char *text, int (*row)(void *, int, char **, char **), void *arg, char **ret_why);
int sqlite3_finalize(void *stmt);
int mysql_query(void *mysql, const char *text);
char mysql_read_query_result(void *mysql);
void mysql_close(void *mysql);

int main(void)
{
	char *why = (char *)"untouched";
	int (*step)(void *) = (int (*)(void *))dlsym(RTLD_DEFAULT, "sqlite3_step");

	if (!PQexec) {
		puts("none");
		return 0;
	}
	for (int i = 0; i < 3; i++) {
		int ran = sqlite3_exec((void *)16, "SELECT 1", NULL, NULL, &why);

		printf("%d %d %d ", PQexec((void *)16, "SELECT 1") == NULL, PQsendQuery((void *)16, "SELECT 1"),
		       PQgetResult((void *)16) == NULL);
		PQfinish((void *)16);
		printf("%d %d %d %d ", sqlite3_step((void *)16), ran, why == NULL, sqlite3_finalize((void *)16));
		printf("%d %d %d\n", mysql_query((void *)16, "SELECT 1"), mysql_read_query_result((void *)16),
		       step((void *)16));
		mysql_close((void *)16);
	}
	return 0;
}
