/* What a statement of SQL does, and to which table: all that is kept of it.
 * Pure: no state, no allocation. [any context]
 * Values never leave: a table's name is taken only where the grammar has a name, and is written bare or quoted as a name.
 * What is understood: comments, common table expressions, names quoted in each dialect's ways, strings with its escapes (in its
 * default mode: MySQL without NO_BACKSLASH_ESCAPES, PostgreSQL with standard_conforming_strings). */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* The systems differ in what quotes what. Never renumber: their order is that of sql_system_name(). */
enum sql_system { SQL_POSTGRESQL, SQL_SQLITE, SQL_MYSQL, SQL_SYSTEMS };

#define SQL_OPERATIONS(X)           \
	X(OTHER, "_OTHER")          \
	X(SELECT, "SELECT")         \
	X(INSERT, "INSERT")         \
	X(UPDATE, "UPDATE")         \
	X(DELETE, "DELETE")         \
	X(REPLACE, "REPLACE")       \
	X(MERGE, "MERGE")           \
	X(VALUES, "VALUES")         \
	X(BEGIN, "BEGIN")           \
	X(COMMIT, "COMMIT")         \
	X(ROLLBACK, "ROLLBACK")     \
	X(SAVEPOINT, "SAVEPOINT")   \
	X(RELEASE, "RELEASE")       \
	X(PREPARE, "PREPARE")       \
	X(EXECUTE, "EXECUTE")       \
	X(DEALLOCATE, "DEALLOCATE") \
	X(DECLARE, "DECLARE")       \
	X(FETCH, "FETCH")           \
	X(MOVE, "MOVE")             \
	X(CLOSE, "CLOSE")           \
	X(COPY, "COPY")             \
	X(LOAD, "LOAD")             \
	X(CALL, "CALL")             \
	X(DO, "DO")                 \
	X(SET, "SET")               \
	X(RESET, "RESET")           \
	X(SHOW, "SHOW")             \
	X(USE, "USE")               \
	X(PRAGMA, "PRAGMA")         \
	X(EXPLAIN, "EXPLAIN")       \
	X(DESCRIBE, "DESCRIBE")     \
	X(ANALYZE, "ANALYZE")       \
	X(VACUUM, "VACUUM")         \
	X(OPTIMIZE, "OPTIMIZE")     \
	X(REINDEX, "REINDEX")       \
	X(REFRESH, "REFRESH")       \
	X(CLUSTER, "CLUSTER")       \
	X(CHECKPOINT, "CHECKPOINT") \
	X(CREATE, "CREATE")         \
	X(ALTER, "ALTER")           \
	X(DROP, "DROP")             \
	X(TRUNCATE, "TRUNCATE")     \
	X(RENAME, "RENAME")         \
	X(COMMENT, "COMMENT")       \
	X(GRANT, "GRANT")           \
	X(REVOKE, "REVOKE")         \
	X(LOCK, "LOCK")             \
	X(UNLOCK, "UNLOCK")         \
	X(LISTEN, "LISTEN")         \
	X(UNLISTEN, "UNLISTEN")     \
	X(NOTIFY, "NOTIFY")         \
	X(DISCARD, "DISCARD")       \
	X(ATTACH, "ATTACH")         \
	X(DETACH, "DETACH")

enum sql_operation {
#define SQL_OPERATION_ENUM(name, text) SQL_##name,
	SQL_OPERATIONS(SQL_OPERATION_ENUM)
#undef SQL_OPERATION_ENUM
	        SQL_OPERATION_COUNT
};

enum {
	SQL_TABLE_BYTES = 64,     /* with the NUL; a longer name is cut between two characters */
	SQL_SCANNED_BYTES = 4096, /* of a statement: what stands behind is not looked at */
	SQL_TERMINATED = -1
};

struct sql {
	enum sql_operation operation; /* of several statements the first's */
	char table[SQL_TABLE_BYTES];  /* the first one named, with its schema, without quotes; "": none, or not found */
};

/* `bytes`, or (size_t)SQL_TERMINATED: until the NUL. NULL text: _OTHER. */
void sql_parse(enum sql_system system, const char *text, size_t bytes, struct sql *ret);

const char *sql_operation_name(enum sql_operation o); /* upper case */
const char *sql_system_name(enum sql_system s);       /* as OpenTelemetry's db.system.name has them */
