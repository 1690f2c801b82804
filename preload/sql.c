/*
 * sql.c - a lexer, and just as much grammar as leads to the first table's name.
 *
 * Depth      of parentheses: FROM counts at the depth of its SELECT only, for extract(year FROM x) and subqueries in the list of
 *            columns come before it.
 * Failure    whatever is not understood ends the search: an operation without a table. The lexer's end is the statement's, a NUL
 *            or the bound, whichever comes first; a name that reaches the bound may be cut, and is none.
 */
#include "sql.h"

#include <stdbool.h>
#include <string.h>

#include "compiler.h"

enum { CTES = 8 /* common table expressions whose names are known */, LEVELS = 4 /* of statements inside others */ };

enum kind { END, WORD, QUOTED, VALUE, OPEN, CLOSE, DOT, COMMA, SEMICOLON, OTHER };

struct token {
	enum kind kind;
	char quote; /* of QUOTED: what closes it */
	const char *text;
	size_t bytes;
};

struct lexer {
	const char *at, *end;
	bool bounded; /* the statement goes on behind `end` */
	enum sql_system system;
	unsigned depth;
};

struct cte {
	struct token name;
	struct lexer body;
};

static const char *const operations[] = {
#define SQL_OPERATION_TEXT(name, text) text,
	SQL_OPERATIONS(SQL_OPERATION_TEXT)
#undef SQL_OPERATION_TEXT
};

const char *sql_operation_name(enum sql_operation o)
{
	return operations[(unsigned)o < SQL_OPERATION_COUNT ? o : SQL_OTHER];
}

const char *sql_system_name(enum sql_system s)
{
	static const char *const names[] = { "postgresql", "sqlite", "mysql" };

	return names[(unsigned)s < SQL_SYSTEMS ? s : 0];
}

/* ---- lexer --------------------------------------------------------------------------------------------------------- */

static char peek(const struct lexer *l, size_t ahead)
{
	/* Byte by byte: what stands behind a NUL is not the statement's. */
	for (size_t i = 0; i < ahead; i++)
		if (l->at + i >= l->end || !l->at[i])
			return '\0';
	return l->at + ahead < l->end ? l->at[ahead] : '\0';
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool begins_word(char c)
{
	return ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_in_word(char c)
{
	return begins_word(c) || is_digit(c) || c == '$';
}

static void skip_line(struct lexer *l)
{
	while (peek(l, 0) && *l->at != '\n')
		l->at++;
}

/* Those of PostgreSQL nest. */
static void skip_block(struct lexer *l)
{
	unsigned depth = 0;

	do {
		if (peek(l, 0) == '/' && peek(l, 1) == '*' && (depth == 0 || l->system == SQL_POSTGRESQL)) {
			depth++;
			l->at += 2;
		} else if (peek(l, 0) == '*' && peek(l, 1) == '/') {
			depth--;
			l->at += 2;
		} else if (peek(l, 0)) {
			l->at++;
		}
	} while (depth && peek(l, 0));
}

static void skip_blank(struct lexer *l)
{
	for (;;) {
		char c = peek(l, 0);

		if (is_blank(c))
			l->at++;
		else if (c == '-' && peek(l, 1) == '-')
			skip_line(l);
		else if (c == '#' && l->system == SQL_MYSQL)
			skip_line(l);
		else if (c == '/' && peek(l, 1) == '*')
			skip_block(l);
		else if ((unsigned char)c == 0xef && (unsigned char)peek(l, 1) == 0xbb &&
		         (unsigned char)peek(l, 2) == 0xbf)
			l->at += 3; /* a byte order mark */
		else
			return;
	}
}

/* At the opening quote. False: it is not closed. */
static bool skip_quoted(struct lexer *l, char close, bool backslash, struct token *t)
{
	l->at++;
	t->text = l->at;
	for (char c; (c = peek(l, 0)); l->at++) {
		if (backslash && c == '\\') {
			if (!peek(l, 1))
				return false;
			l->at++;
		} else if (c == close) {
			if (peek(l, 1) != close || close == ']') {
				t->bytes = (size_t)(l->at++ - t->text);
				return true;
			}
			l->at++; /* doubled: one of its own */
		}
	}
	return false;
}

static void skip_word(struct lexer *l)
{
	while (is_in_word(peek(l, 0)))
		l->at++;
}

/* PostgreSQL's $tag$text$tag$, or a parameter. */
static void skip_dollar(struct lexer *l)
{
	const char *tag = l->at++;
	size_t bytes;

	if (l->system != SQL_POSTGRESQL || is_digit(peek(l, 0))) {
		skip_word(l);
		return;
	}
	while (is_in_word(peek(l, 0)) && *l->at != '$')
		l->at++;
	if (peek(l, 0) != '$')
		return;
	bytes = (size_t)(++l->at - tag);
	while (peek(l, 0)) {
		size_t same = 0;

		while (same < bytes && peek(l, same) == tag[same])
			same++;
		if (same == bytes) {
			l->at += bytes;
			return;
		}
		l->at++;
	}
}

static struct token quoted(struct lexer *l, enum kind kind, char close, bool backslash)
{
	struct token t = { .kind = kind, .quote = close };

	if (!skip_quoted(l, close, backslash, &t))
		t.kind = END;
	return t;
}

static struct token word(struct lexer *l)
{
	struct token t = { .kind = WORD, .text = l->at };

	skip_word(l);
	t.bytes = (size_t)(l->at - t.text);
	if (peek(l, 0) == '\'' && t.bytes == 1 && strchr("EeBbXxNn", *t.text))
		return quoted(l, VALUE, '\'', (*t.text | 32) == 'e' || l->system == SQL_MYSQL);
	if (l->at == l->end && l->bounded)
		t.kind = END; /* perhaps cut */
	return t;
}

static struct token mark(struct lexer *l, enum kind kind)
{
	l->at++;
	return (struct token){ .kind = kind };
}

static struct token next(struct lexer *l)
{
	char c;

	skip_blank(l);
	c = peek(l, 0);
	if (begins_word(c))
		return word(l);
	switch (c) {
	case '\0':
		return (struct token){ .kind = END };
	case '(':
		l->depth++;
		return mark(l, OPEN);
	case ')':
		l->depth -= l->depth > 0;
		return mark(l, CLOSE);
	case '.':
		return mark(l, DOT);
	case ',':
		return mark(l, COMMA);
	case ';':
		return mark(l, SEMICOLON);
	case '\'':
		return quoted(l, VALUE, '\'', l->system == SQL_MYSQL);
	case '"':
		return quoted(l, l->system == SQL_MYSQL ? VALUE : QUOTED, '"', l->system == SQL_MYSQL);
	case '`':
		return l->system == SQL_POSTGRESQL ? mark(l, OTHER) : quoted(l, QUOTED, '`', false);
	case '[':
		return l->system == SQL_SQLITE ? quoted(l, QUOTED, ']', false) : mark(l, OTHER);
	case '$':
		skip_dollar(l);
		return (struct token){ .kind = VALUE };
	case ':':
	case '@':
	case '?':
		l->at++;
		skip_word(l); /* a parameter, a variable */
		return (struct token){ .kind = VALUE };
	default:
		if (!is_digit(c))
			return mark(l, OTHER);
		while (is_in_word(peek(l, 0)) || peek(l, 0) == '.')
			l->at++;
		return (struct token){ .kind = VALUE };
	}
}

static bool same_text(const char *a, const char *b, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		char x = a[i], y = b[i];

		x = (char)(x >= 'a' && x <= 'z' ? x - 32 : x);
		y = (char)(y >= 'a' && y <= 'z' ? y - 32 : y);
		if (x != y)
			return false;
	}
	return true;
}

/* `upper` ends with a NUL: not read past the first difference. */
static bool is(const struct token *t, const char *upper)
{
	return t->kind == WORD && strlen(upper) == t->bytes && same_text(t->text, upper, t->bytes);
}

static bool is_one_of(const struct token *t, const char *const *words)
{
	for (; *words; words++)
		if (is(t, *words))
			return true;
	return false;
}

static bool is_name(const struct token *t)
{
	return t->kind == WORD || t->kind == QUOTED;
}

/* The first that is none of these. */
static struct token next_but(struct lexer *l, const char *const *words)
{
	struct token t = next(l);

	while (is_one_of(&t, words))
		t = next(l);
	return t;
}

/* Behind the opening one: to behind the one that closes it. */
static void skip_parentheses(struct lexer *l)
{
	unsigned depth = l->depth;
	struct token t;

	do
		t = next(l);
	while (t.kind != END && l->depth >= depth);
}

/* ---- names --------------------------------------------------------------------------------------------------------- */

static size_t append(char *to, size_t n, const struct token *t)
{
	for (size_t i = 0; i < t->bytes; i++) {
		char c = t->text[i];
		size_t room = 1;

		if (t->kind == QUOTED && c == t->quote)
			i++; /* the second of two */
		/* A character begins where it fits whole. */
		if ((unsigned char)c >= 0xc0)
			room = (unsigned char)c >= 0xf0 ? 4 : (unsigned char)c >= 0xe0 ? 3 : 2;
		if (n + room >= SQL_TABLE_BYTES)
			return SQL_TABLE_BYTES; /* full */
		to[n++] = (unsigned char)c < 32 || c == 127 ? '?' : c;
	}
	return n;
}

static void take_name(struct lexer *l, struct token part, struct sql *ret)
{
	char name[SQL_TABLE_BYTES] = { 0 };
	size_t n = append(name, 0, &part);

	for (;;) {
		struct lexer ahead = *l;
		struct token dot = next(&ahead);

		if (dot.kind == END && ahead.at == ahead.end && l->bounded)
			return; /* who knows what followed */
		if (dot.kind != DOT)
			break;
		part = next(&ahead);
		if (!is_name(&part))
			break;
		if (n < SQL_TABLE_BYTES - 1)
			name[n++] = '.';
		n = append(name, n, &part);
		*l = ahead;
	}
	memcpy(ret->table, name, sizeof(name));
}

/* Is the next mark an opening parenthesis? */
static bool opens(const struct lexer *l)
{
	struct lexer ahead = *l;

	return next(&ahead).kind == OPEN;
}

static bool is_plain(const struct sql *s, const struct token *name)
{
	struct sql other = { 0 };

	(void)append(other.table, 0, name);
	return s->table[0] && strlen(s->table) == strlen(other.table) &&
	       same_text(s->table, other.table, strlen(s->table));
}

/* ---- statements ---------------------------------------------------------------------------------------------------- */

static void statement(struct lexer *l, unsigned level, struct sql *ret);

static enum sql_operation operation_of(const struct token *t)
{
	static const struct {
		const char *word;
		enum sql_operation operation;
	} others[] = { { "START", SQL_BEGIN },
		       { "END", SQL_COMMIT },
		       { "ABORT", SQL_ROLLBACK },
		       { "TABLE", SQL_SELECT },
		       { "DESC", SQL_DESCRIBE } };

	if (t->kind != WORD)
		return SQL_OTHER;
	for (unsigned i = SQL_OTHER + 1; i < SQL_OPERATION_COUNT; i++)
		if (*operations[i] == (*t->text & ~32) && is(t, operations[i]))
			return (enum sql_operation)i;
	for (unsigned i = 0; i < ARRAY_LEN(others); i++)
		if (is(t, others[i].word))
			return others[i].operation;
	return SQL_OTHER;
}

/* Behind FROM. */
static void table_reference(struct lexer *l, unsigned level, struct sql *ret)
{
	static const char *const before[] = { "ONLY", "LATERAL", NULL };
	struct token t = next_but(l, before);

	while (t.kind == OPEN) {
		struct lexer inside = *l;

		t = next_but(l, before);
		if (is(&t, "SELECT") || is(&t, "WITH") || is(&t, "VALUES")) {
			struct sql inner = { 0 };

			if (level < LEVELS)
				statement(&inside, level + 1, &inner);
			memcpy(ret->table, inner.table, sizeof(inner.table));
			return;
		}
	}
	if (!is_name(&t))
		return;
	take_name(l, t, ret);
	if (opens(l))
		ret->table[0] = '\0'; /* a function */
}

/* At the same depth as the statement. */
static void find_from(struct lexer *l, unsigned level, struct sql *ret)
{
	unsigned depth = l->depth;
	struct token last = { .kind = OTHER };

	for (;;) {
		struct token t = next(l);

		if (t.kind == END || t.kind == SEMICOLON || l->depth < depth)
			return;
		if (l->depth == depth && is(&t, "FROM") && !is(&last, "DISTINCT")) {
			table_reference(l, level, ret);
			return;
		}
		last = t;
	}
}

static void find_into(struct lexer *l, struct sql *ret)
{
	static const char *const before[] = { "OR",       "REPLACE",      "IGNORE",        "ABORT",   "FAIL",
		                              "ROLLBACK", "LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", NULL };
	static const char *const into[] = { "INTO", "ONLY", NULL };
	struct token t = next_but(l, before);

	if (is_one_of(&t, into))
		t = next_but(l, into);
	if (is_name(&t))
		take_name(l, t, ret);
}

/* UPDATE, TRUNCATE, LOCK, COPY, VACUUM, ANALYZE: the name follows. */
static void find_here(struct lexer *l, struct sql *ret)
{
	static const char *const before[] = { "OR",      "REPLACE",      "IGNORE", "ABORT", "FAIL", "ROLLBACK",
		                              "ONLY",    "LOW_PRIORITY", "QUICK",  "TABLE", "FULL", "FREEZE",
		                              "VERBOSE", "ANALYZE",      "TABLES", NULL };
	struct token t = next_but(l, before);

	if (is_name(&t))
		take_name(l, t, ret);
}

/* CREATE TEMP TABLE IF NOT EXISTS t, CREATE INDEX i ON t, DROP TABLE IF EXISTS t, ALTER TABLE ONLY t. */
static void find_defined(struct lexer *l, struct sql *ret)
{
	static const char *const kinds[] = { "TABLE", "VIEW", NULL };
	static const char *const before[] = { "IF", "NOT", "EXISTS", "ONLY", "CONCURRENTLY", NULL };
	bool index = false;

	for (unsigned i = 0; i < 8; i++) {
		struct token t = next(l);

		if (!is_name(&t))
			return;
		index = index || is(&t, "INDEX");
		if (!is_one_of(&t, kinds) && !(index && is(&t, "ON")))
			continue;
		t = next_but(l, before);
		if (is_name(&t))
			take_name(l, t, ret);
		return;
	}
}

static void find_table(struct lexer *l, unsigned level, struct sql *ret)
{
	switch (ret->operation) {
	case SQL_SELECT:
	case SQL_DELETE:
	case SQL_DECLARE:
		find_from(l, level, ret);
		return;
	case SQL_INSERT:
	case SQL_REPLACE:
	case SQL_MERGE:
		find_into(l, ret);
		return;
	case SQL_UPDATE:
	case SQL_TRUNCATE:
	case SQL_LOCK:
	case SQL_COPY:
	case SQL_VACUUM:
	case SQL_ANALYZE:
		find_here(l, ret);
		return;
	case SQL_CREATE:
	case SQL_ALTER:
	case SQL_DROP:
		find_defined(l, ret);
		return;
	default:
		return;
	}
}

/* Behind WITH: the expressions' names, and the word at which the statement proper begins. */
static struct token expressions(struct lexer *l, struct cte *cte, size_t *ret_count, bool *ret_recursive)
{
	static const char *const between[] = { "AS", "NOT", "MATERIALIZED", NULL };
	static const char *const verbs[] = { "SELECT",  "INSERT", "UPDATE", "DELETE", "MERGE",
		                             "REPLACE", "VALUES", "TABLE",  NULL };
	struct token t = next(l);

	*ret_count = 0;
	*ret_recursive = is(&t, "RECURSIVE");
	if (*ret_recursive)
		t = next(l);
	for (;;) {
		struct token name = t;

		t = is_name(&name) ? next(l) : name;
		if (t.kind == OPEN) {
			skip_parentheses(l);
			t = next(l);
		}
		if (is(&t, "AS"))
			t = next_but(l, between);
		if (t.kind != OPEN)
			return t;
		if (*ret_count < CTES)
			cte[(*ret_count)++] = (struct cte){ name, *l };
		skip_parentheses(l);
		do /* PostgreSQL has SEARCH and CYCLE there */
			t = next(l);
		while (t.kind != END && t.kind != COMMA && !is_one_of(&t, verbs));
		if (t.kind != COMMA)
			return t;
		t = next(l);
	}
}

static void statement(struct lexer *l, unsigned level, struct sql *ret)
{
	struct cte cte[CTES];
	size_t count = 0;
	bool recursive = false;
	struct token t;

	do
		t = next(l);
	while (t.kind == OPEN || t.kind == SEMICOLON || t.kind == OTHER);
	if (is(&t, "WITH"))
		t = expressions(l, cte, &count, &recursive);
	ret->operation = operation_of(&t);
	if (is(&t, "TABLE"))
		find_here(l, ret);
	else
		find_table(l, level, ret);
	/* An expression's name is no table. An expression may use those before it, and, where it may recur, itself. */
	while (count-- > 0) {
		struct sql inner = { 0 };

		if (!is_plain(ret, &cte[count].name))
			continue;
		if (level < LEVELS)
			statement(&cte[count].body, level + 1, &inner);
		if (recursive && is_plain(&inner, &cte[count].name))
			inner.table[0] = '\0';
		memcpy(ret->table, inner.table, sizeof(inner.table));
	}
}

void sql_parse(enum sql_system system, const char *text, size_t bytes, struct sql *ret)
{
	struct lexer l = { .at = text, .system = system };

	memset(ret, 0, sizeof(*ret));
	if (!text)
		return;
	l.bounded = bytes > SQL_SCANNED_BYTES;
	l.end = text + (l.bounded ? SQL_SCANNED_BYTES : bytes);
	statement(&l, 0, ret);
}
