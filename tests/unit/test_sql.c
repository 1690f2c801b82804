/* Tests of sql.c: statements as programs write them, each at the end of a page, NUL-terminated and by length; then every prefix. */
#include "t.h"

#include <stdio.h>

#include "sql.h"

struct row {
	enum sql_system system;
	const char *text, *operation, *table;
};

#define PG   SQL_POSTGRESQL
#define LITE SQL_SQLITE
#define MY   SQL_MYSQL

static const struct row rows[] = {
	{ PG, "SELECT * FROM users WHERE id = 1", "SELECT", "users" },
	{ PG, "select id from public.users", "SELECT", "public.users" },
	{ PG, "  \n\t/* by the pool */ -- and more\n SeLeCt 1", "SELECT", "" },
	{ PG, "\xef\xbb\xbfSELECT a FROM t", "SELECT", "t" },
	{ PG, "/* a /* nested */ FROM no */ SELECT a FROM t", "SELECT", "t" },
	{ LITE, "/* a /* not nested */ SELECT a FROM t", "SELECT", "t" },
	{ PG, "SELECT \"a\"\"b\".\"my table\".x FROM \"My \"\"Schema\"\"\".\"My Table\" t", "SELECT",
	  "My \"Schema\".My Table" },
	{ PG, "SELECT extract(year FROM ts), (SELECT max(x) FROM other) FROM events", "SELECT", "events" },
	{ PG, "SELECT a IS DISTINCT FROM b FROM t", "SELECT", "t" },
	{ PG, "SELECT * FROM (SELECT * FROM inner_table) x", "SELECT", "inner_table" },
	{ PG, "SELECT * FROM ((a JOIN b USING (id)))", "SELECT", "a" },
	{ PG, "SELECT * FROM ONLY parent", "SELECT", "parent" },
	{ PG, "SELECT * FROM generate_series(1, 3)", "SELECT", "" },
	{ PG, "SELECT 1 UNION ALL SELECT a FROM second", "SELECT", "second" },
	{ PG, "(SELECT a FROM t1) UNION (SELECT a FROM t2)", "SELECT", "t1" },
	{ PG, "((select a) intersect select 1)", "SELECT", "" },
	{ PG, "SELECT 'x FROM secret' , $$ FROM secret $$, $q$ $$ FROM secret $q$, E'\\' FROM secret' FROM t", "SELECT",
	  "t" },
	{ PG, "SELECT 'it''s FROM secret' FROM t WHERE a = 'FROM b'", "SELECT", "t" },
	{ PG, "SELECT '\\' FROM t WHERE x = ' FROM secret'", "SELECT", "t" },
	{ MY, "SELECT 'a\\' FROM secret', \"b\\\" FROM secret\" FROM `db`.`t``1`", "SELECT", "db.t`1" },
	{ MY, "SELECT a # FROM secret\nFROM t", "SELECT", "t" },
	{ MY, "SELECT * FROM \"secret\"", "SELECT", "" },
	{ LITE, "SELECT * FROM [my table]", "SELECT", "my table" },
	{ LITE, "SELECT * FROM 'secret'", "SELECT", "" },
	{ PG, "SELECT * FROM $1", "SELECT", "" },
	{ LITE, "SELECT * FROM :name, t", "SELECT", "" },
	{ PG, "SELECT a::text FROM t", "SELECT", "t" },
	{ PG, "SELECT a[1] FROM t", "SELECT", "t" },
	{ PG, "SELECT 'not closed FROM secret", "SELECT", "" },
	{ PG, "WITH x AS (SELECT * FROM base) SELECT * FROM x", "SELECT", "base" },
	{ PG, "WITH RECURSIVE r(a, b) AS (SELECT 1, 2 FROM base UNION ALL SELECT a, b FROM r) SELECT * FROM r",
	  "SELECT", "base" },
	{ PG, "WITH x AS MATERIALIZED (SELECT a FROM b), y AS NOT MATERIALIZED (SELECT * FROM x) SELECT * FROM y",
	  "SELECT", "b" },
	{ PG, "with gone as (delete from old returning *) insert into archive select * from gone", "INSERT",
	  "archive" },
	{ PG, "WITH x AS (SELECT 1) UPDATE t SET a = 1", "UPDATE", "t" },
	{ LITE, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 9) SELECT sum(x) FROM c, t",
	  "SELECT", "" },
	{ PG, "WITH r AS (SELECT * FROM r) SELECT * FROM r", "SELECT", "r" },
	{ PG, "WITH a AS (SELECT 1) (SELECT * FROM t)", "SELECT", "t" },
	{ PG, "INSERT INTO t(a, b) VALUES (1, 'secret')", "INSERT", "t" },
	{ LITE, "INSERT OR REPLACE INTO main.t VALUES (1)", "INSERT", "main.t" },
	{ MY, "INSERT IGNORE t SET a = 1", "INSERT", "t" },
	{ MY, "REPLACE INTO t VALUES (1)", "REPLACE", "t" },
	{ PG, "MERGE INTO target USING source ON true", "MERGE", "target" },
	{ PG, "UPDATE ONLY t SET a = 1", "UPDATE", "t" },
	{ LITE, "UPDATE OR IGNORE t SET a = 1", "UPDATE", "t" },
	{ PG, "DELETE FROM t WHERE a IN (SELECT b FROM c)", "DELETE", "t" },
	{ MY, "DELETE t1 FROM t1 JOIN t2 USING (a)", "DELETE", "t1" },
	{ PG, "BEGIN ISOLATION LEVEL SERIALIZABLE", "BEGIN", "" },
	{ PG, "START TRANSACTION", "BEGIN", "" },
	{ PG, "END", "COMMIT", "" },
	{ PG, "ABORT;", "ROLLBACK", "" },
	{ PG, ";;COMMIT;SELECT * FROM t", "COMMIT", "" },
	{ PG, "CREATE TEMP TABLE IF NOT EXISTS x (a int)", "CREATE", "x" },
	{ PG, "CREATE UNIQUE INDEX CONCURRENTLY i ON s.t (a)", "CREATE", "s.t" },
	{ PG, "CREATE TABLE copy AS SELECT * FROM t", "CREATE", "copy" },
	{ PG, "DROP TABLE IF EXISTS x, y", "DROP", "x" },
	{ PG, "ALTER TABLE ONLY x ADD COLUMN b int", "ALTER", "x" },
	{ PG, "ALTER ROLE joe PASSWORD 'secret'", "ALTER", "" },
	{ PG, "TRUNCATE TABLE a, b", "TRUNCATE", "a" },
	{ PG, "LOCK TABLE t IN EXCLUSIVE MODE", "LOCK", "t" },
	{ PG, "COPY t (a, b) FROM STDIN", "COPY", "t" },
	{ PG, "VACUUM (ANALYZE) t", "VACUUM", "" },
	{ PG, "VACUUM ANALYZE t", "VACUUM", "t" },
	{ PG, "DECLARE c CURSOR FOR SELECT a FROM t", "DECLARE", "t" },
	{ PG, "FETCH 100 FROM c", "FETCH", "" },
	{ PG, "EXECUTE p(1, 'secret')", "EXECUTE", "" },
	{ PG, "TABLE t", "SELECT", "t" },
	{ PG, "SET application_name = 'secret'", "SET", "" },
	{ LITE, "PRAGMA journal_mode = wal", "PRAGMA", "" },
	{ MY, "DESC t", "DESCRIBE", "" },
	{ PG, "frobnicate the table", "_OTHER", "" },
	{ PG, "'secret'", "_OTHER", "" },
	{ PG, "", "_OTHER", "" },
	{ PG, "SELECT * FROM a . b . c", "SELECT", "a.b.c" },
	{ PG, "SELECT * FROM \"\x01\n\"", "SELECT", "??" },
	{ PG, "SELECT * FROM \"\"", "SELECT", "" },
	{ PG, "SELECT * FROM m\xc3\xbcller", "SELECT", "m\xc3\xbcller" },
	{ PG, "SELECT * FROM a234567890b234567890c234567890d234567890e234567890f234567890123", "SELECT",
	  "a234567890b234567890c234567890d234567890e234567890f234567890123" },
	{ PG, "SELECT * FROM a234567890b234567890c234567890d234567890e234567890f23456789012\xc3\xbc", "SELECT",
	  "a234567890b234567890c234567890d234567890e234567890f23456789012" },
};

static void statements(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		size_t n = strlen(r->text);
		struct t_guarded whole = t_guarded_new(r->text, n + 1), bare = t_guarded_new(r->text, n);
		struct sql got;

		sql_parse(r->system, (const char *)whole.data, (size_t)SQL_TERMINATED, &got);
		T_STR(r->text, sql_operation_name(got.operation), r->operation);
		T_STR(r->text, got.table, r->table);
		sql_parse(r->system, (const char *)bare.data, n, &got);
		T_STR(r->text, sql_operation_name(got.operation), r->operation);
		T_STR(r->text, got.table, r->table);
		t_guarded_free(&whole);
		t_guarded_free(&bare);
	}
}

static void prefixes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t n = strlen(rows[i].text); n > 0; n--)
			for (int system = 0; system < SQL_SYSTEMS; system++) {
				struct t_guarded g = t_guarded_new(rows[i].text, n);
				struct sql got;

				sql_parse((enum sql_system)system, (const char *)g.data, n, &got);
				T_CHECK(rows[i].text, strlen(got.table) < SQL_TABLE_BYTES);
				t_guarded_free(&g);
			}
}

/* A name that the bound cuts, or may cut, is not taken for a shorter one. */
static void the_bound(void **state)
{
	static char text[SQL_SCANNED_BYTES + 64];
	struct sql got;

	(void)state;
	for (int before = 0; before < 12; before++) {
		bool whole = before >= 2; /* at least one mark behind the name is seen */

		memset(text, ' ', sizeof(text) - 1);
		memcpy(text, "SELECT 1 ", 9);
		memcpy(text + SQL_SCANNED_BYTES - 4 - before, "FROM users WHERE true", 21);
		if (before > 10)
			memcpy(text + SQL_SCANNED_BYTES - 4 - before, "FROM u WHERE true", 17);
		sql_parse(PG, text, (size_t)SQL_TERMINATED, &got);
		assert_int_equal(got.operation, SQL_SELECT);
		assert_true(got.table[0] == '\0' || strcmp(got.table, "users") == 0 || strcmp(got.table, "u") == 0);
		assert_true(whole || got.table[0] == '\0');
	}
	assert_string_equal(got.table, "u");
	sql_parse(PG, NULL, 5, &got);
	assert_int_equal(got.operation, SQL_OTHER);
}

static void names(void **state)
{
	(void)state;
	assert_string_equal(sql_operation_name(SQL_DETACH), "DETACH");
	assert_string_equal(sql_operation_name((enum sql_operation)9999), "_OTHER");
	assert_string_equal(sql_system_name(SQL_MYSQL), "mysql");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statements),
		cmocka_unit_test(prefixes),
		cmocka_unit_test(the_bound),
		cmocka_unit_test(names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
