/* Tests of database.c: what is counted, by which row, in whose request; more of everything than there is room for. */
#include "t.h"

#include <pthread.h>
#include <stdio.h>

#include "config.h"
#include "database.h"
#include "losses.h"
#include "threads.h"

static struct thread me;

static void setup(void)
{
	static const struct config config = { .window = 30000000000 };

	database_init(&config);
	memset(&me, 0, sizeof(me));
	me.record = 7;
	database_fork_child(); /* figures begin anew */
	losses_reset();
}

static uint32_t row_of(const char *text)
{
	return database_row_of(SQL_POSTGRESQL, text, (size_t)SQL_TERMINATED);
}

static const struct database_row *row(uint32_t number)
{
	const struct database_row *r = database_row(number - 1);

	assert_non_null(r);
	return r;
}

static uint64_t lost(enum loss which)
{
	return load_relaxed(&losses_count[which]);
}

static unsigned spans(struct database_span *ret, unsigned most)
{
	unsigned n = 0;
	struct database_span s;

	for (uint32_t i = 0; i < DATABASE_COPIES; i++)
		if (database_span(i, &s)) {
			assert_true(n < most);
			ret[n++] = s;
		}
	return n;
}

static void rows_and_figures(void **state)
{
	uint32_t users = row_of("SELECT * FROM users"), begin = row_of("begin");
	struct database_call c;
	uint64_t ranges = 0;

	(void)state;
	setup();
	assert_int_equal(row_of("select 1 from users where x = 'y'"), users);
	assert_int_not_equal(database_row_of(SQL_SQLITE, "SELECT * FROM users", 99), users);
	assert_int_not_equal(begin, users);
	assert_string_equal(row(users)->table, "users");
	assert_int_equal(row(users)->operation, SQL_SELECT);
	assert_string_equal(row(database_row_as(SQL_POSTGRESQL, SQL_PREPARE, users))->table, "users");
	assert_int_equal(row(database_row_as(SQL_MYSQL, SQL_EXECUTE, 0))->system, SQL_MYSQL);
	for (unsigned i = 1; i <= 10; i++) {
		database_begin(&c, NULL, users, 100, false);
		database_end(&c);
		database_count(&c, i * 1000, i % 5 == 0);
	}
	for (unsigned i = 0; i < DURATION_RANGES; i++)
		ranges += load_relaxed(&row(users)->took.range[i]);
	assert_int_equal(ranges, 10);
	assert_int_equal(durations_count(&row(users)->took), 10);
	assert_int_equal(load_relaxed(&row(users)->errors), 2);
	assert_int_equal(load_relaxed(&row(users)->took.sum_ns), 55000);
	assert_int_equal(load_relaxed(&row(users)->took.max_ns), 10000);
	assert_int_equal(durations_count(&row(begin)->took), 0);
	database_fork_child();
	assert_int_equal(row_of("SELECT * FROM users"), users); /* rows stay, for statements name them */
	assert_int_equal(
	        durations_count(&row(users)->took) + load_relaxed(&row(users)->took.range[duration_range(1000)]), 0);
}

static void calls_of_a_request(void **state)
{
	uint32_t users = row_of("SELECT * FROM users");
	struct database_call c, below;
	struct database_span s[4];

	(void)state;
	setup();
	database_begin(&c, &me, users, 100, false);
	assert_false(database_calling(&me, &s[0])); /* for no request */
	database_end(&c);
	database_count(&c, 5, false);
	assert_int_equal(spans(s, 4), 0);
	store_relaxed(&me.http_now, 42);
	database_begin(&c, &me, users, 200, false);
	assert_true(database_calling(&me, &s[0]));
	assert_true(s[0].unfinished && s[0].request == 42 && s[0].row == users && s[0].start_ns == 200 &&
	            s[0].thread == 7);
	store_relaxed(&me.http_now, 44);
	database_begin(&below, &me, users, 230, true);
	assert_true(database_calling(&me, &s[0]) && s[0].start_ns == 230 && s[0].request == 44);
	database_end(&below);
	assert_true(database_calling(&me, &s[0]) && s[0].start_ns == 200 && s[0].request == 42);
	store_relaxed(&me.http_now, 43); /* the call belongs to the one it was begun for */
	database_end(&c);
	assert_false(database_calling(&me, &s[0]));
	database_count(&c, 6, true);
	assert_int_equal(spans(s, 4), 1);
	assert_true(s[0].request == 42 && s[0].ns == 6 && s[0].failed && !s[0].unfinished && s[0].thread == 7);
	assert_int_equal(durations_count(&row(users)->took), 2);
}

static void send(const void *handle, uint32_t number, uint64_t now)
{
	struct database_call c;

	database_begin(&c, &me, number, now, false);
	database_end(&c);
	database_open(handle, &c, 0);
}

static void answers_in_order(void **state)
{
	uint32_t a = row_of("SELECT * FROM a"), b = row_of("SELECT * FROM b");
	struct database_span s[4];
	int conn, other;

	(void)state;
	setup();
	store_relaxed(&me.http_now, 1);
	send(&conn, a, 100);
	send(&conn, b, 110);
	send(&other, b, 120);
	assert_int_equal(spans(s, 4), 3);
	assert_true(s[0].unfinished && s[1].unfinished);
	database_answered(&conn, 150); /* nothing has come yet: a NULL that belongs to no call */
	assert_int_equal(durations_count(&row(a)->took), 0);
	database_answer(&conn, false);
	database_answered(&conn, 200);
	assert_int_equal(durations_count(&row(a)->took), 1);
	assert_int_equal(load_relaxed(&row(a)->took.sum_ns), 100);
	database_answered(&conn, 210); /* again: b has no answer yet */
	assert_int_equal(durations_count(&row(b)->took), 0);
	database_answer(&conn, true);
	database_answer(&conn, false);
	database_answered(&conn, 310);
	assert_int_equal(durations_count(&row(b)->took), 1);
	assert_int_equal(load_relaxed(&row(b)->errors), 1);
	database_drop(&other, 1120);
	assert_int_equal(durations_count(&row(b)->took), 2);
	assert_int_equal(load_relaxed(&row(b)->errors), 2);
	assert_int_equal(load_relaxed(&row(b)->took.sum_ns), 200 + 1000);
	database_drop(&other, 2000);
	database_answer(&conn, true);
	database_answered(&conn, 2000);
	assert_int_equal(durations_count(&row(b)->took), 2);
	assert_int_equal(spans(s, 4), 3);
}

/* Of a pipeline deeper than there is room for, answers still belong to the right calls. */
static void deep_pipeline(void **state)
{
	uint32_t a = row_of("SELECT * FROM a"), b = row_of("SELECT * FROM b");
	uint64_t counted;
	int conn;

	(void)state;
	setup();
	for (int round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 100; i++)
			send(&conn, a, 1000);
		counted = 100 - lost(LOSS_DATABASE_OPEN) / (unsigned)(round + 1);
		assert_in_range(counted, 32, 99);
		/* While the answers come the place they leave is taken again, behind those that were lost. */
		for (unsigned i = 0; i < 10; i++) {
			database_answer(&conn, false);
			database_answered(&conn, 1100);
		}
		send(&conn, b, 1200);
		for (unsigned i = 0; i < 90; i++) {
			database_answer(&conn, false);
			database_answered(&conn, 1300);
		}
		assert_int_equal(durations_count(&row(a)->took), counted * (unsigned)(round + 1));
		assert_int_equal(durations_count(&row(b)->took), round);
		database_answer(&conn, true);
		database_answered(&conn, 1400);
		assert_int_equal(durations_count(&row(b)->took), round + 1);
		assert_int_equal(load_relaxed(&row(b)->errors), round + 1);
		database_answer(&conn, true);
		database_answered(&conn, 1500);
	}
	assert_int_equal(load_relaxed(&row(a)->errors), 0);
}

static void steps(void **state)
{
	uint32_t a = row_of("SELECT * FROM a");
	struct database_call c;
	struct database_span s[2];
	uint32_t place;
	int stmt;

	(void)state;
	setup();
	store_relaxed(&me.http_now, 9);
	assert_int_equal(database_stepped(&stmt), 0);
	database_begin(&c, &me, a, 1000, false);
	database_end(&c);
	database_open(&stmt, &c, 50);
	place = database_stepped(&stmt);
	assert_int_not_equal(place, 0);
	database_step_begin(place, 5000);
	database_step_end(&stmt, place, 7, false, false);
	assert_int_equal(spans(s, 2), 1);
	assert_true(s[0].unfinished && s[0].ns == 57); /* not the time between steps */
	database_step_end(&stmt, place, 3, true, true);
	assert_int_equal(database_stepped(&stmt), 0);
	database_step_end(&stmt, place, 3, true, true); /* of a call that has ended */
	assert_int_equal(durations_count(&row(a)->took), 1);
	assert_int_equal(load_relaxed(&row(a)->errors), 1);
	assert_int_equal(load_relaxed(&row(a)->took.sum_ns), 60);
	assert_int_equal(spans(s, 2), 1);
	assert_true(!s[0].unfinished && s[0].ns == 60 && s[0].start_ns == 1000);
}

static void prepared(void **state)
{
	uint32_t a = row_of("SELECT * FROM a"), b = row_of("SELECT * FROM b");
	char conn, others[8192];

	(void)state;
	setup();
	assert_int_equal(database_prepared_row(&conn, "p"), 0);
	database_prepared(&conn, "p", a);
	database_prepared(&conn, "q", b);
	database_prepared(&conn, "", b);
	assert_int_equal(database_prepared_row(&conn, "p"), a);
	assert_int_equal(database_prepared_row(&conn, ""), b);
	assert_int_equal(database_prepared_row(others, "p"), 0);
	database_prepared(&conn, "p", b);
	assert_int_equal(database_prepared_row(&conn, "p"), b);
	database_prepared(others, NULL, a);
	database_unprepared(others);
	assert_int_equal(database_prepared_row(others, NULL), 0);
	assert_int_equal(database_prepared_row(&conn, "q"), b);
	database_unprepared(&conn);
	assert_int_equal(database_prepared_row(&conn, "p") + database_prepared_row(&conn, "q"), 0);
	for (unsigned i = 0; i < sizeof(others); i++)
		database_prepared(others + i, NULL, a);
	assert_in_range(lost(LOSS_DATABASE_STATEMENTS), sizeof(others) - DATABASE_STATEMENTS,
	                sizeof(others) - DATABASE_STATEMENTS / 2);
	for (unsigned i = 0, known = 0; i < sizeof(others); i++) {
		known += database_prepared_row(others + i, NULL) == a;
		database_unprepared(others + i);
		assert_true(i + 1 < sizeof(others) || known == sizeof(others) - lost(LOSS_DATABASE_STATEMENTS));
	}
	database_prepared(&conn, "p", a); /* there is room again */
	assert_int_equal(database_prepared_row(&conn, "p"), a);
}

static void old_spans_make_room(void **state)
{
	static struct database_span s[DATABASE_SPANS];
	uint32_t a = row_of("SELECT * FROM a");
	struct database_call c;

	(void)state;
	setup();
	store_relaxed(&me.http_now, 9);
	for (uint64_t i = 0; i < DATABASE_SPANS + 100; i++) {
		database_begin(&c, &me, a,
		               i < DATABASE_SPANS        ? 1000
		               : i < DATABASE_SPANS + 40 ? 2000
		                                         : 40000000000,
		               false);
		database_end(&c);
		database_count(&c, 5, false);
	}
	assert_int_equal(lost(LOSS_DATABASE_SPANS), 40); /* the other 60 were older than the window */
	assert_int_equal(spans(s, DATABASE_SPANS), DATABASE_SPANS);
	assert_int_equal(durations_count(&row(a)->took), DATABASE_SPANS + 100);
}

enum { THREADS = 4, EACH = 20000 };
#ifdef __SANITIZE_THREAD__
enum { READS = 0 }; /* it does not know fences, by which a reader finds out that a span was written meanwhile */
#else
enum { READS = 20 };
#endif

static void *many_calls(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	char text[64];

	for (unsigned i = 0; i < EACH; i++) {
		struct database_call c;
		struct thread th = { .record = seed };
		char handle;

		store_relaxed(&th.http_now, 1);
		(void)snprintf(text, sizeof(text), "UPDATE t%u SET x = 1", i % 20);
		database_begin(&c, &th, row_of(text), i, false);
		database_end(&c);
		if (i % 2) {
			database_count(&c, 10, false);
		} else {
			database_open(&handle, &c, 0);
			database_answer(&handle, false);
			database_answered(&handle, i + 10);
		}
	}
	return NULL;
}

static void threads_at_once(void **state)
{
	pthread_t thread[THREADS];
	uint64_t count = 0, sum = 0;
	struct database_span s;

	(void)state;
	setup();
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, many_calls, (void *)i), 0);
	for (int k = 0; k < READS; k++)
		for (uint32_t i = 0; i < DATABASE_COPIES; i++)
			if (database_span(i, &s)) /* whole, or not at all */
				assert_true(s.request == 1 && s.thread < THREADS && s.row &&
				            row(s.row)->table[0] == 't');
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	for (uint32_t i = 0; i < DATABASE_ROWS; i++) {
		const struct database_row *r = database_row(i);

		if (r && r->operation == SQL_UPDATE) {
			count += durations_count(&r->took);
			sum += load_relaxed(&r->took.sum_ns);
		}
	}
	assert_int_equal(lost(LOSS_DATABASE_OPEN), 0);
	assert_int_equal(count, THREADS * EACH);
	assert_int_equal(sum, THREADS * EACH * 10);
}

/* Last: rows are never given back. */
static void more_tables_than_rows(void **state)
{
	unsigned rows = 0, named = 0;

	(void)state;
	setup();
	for (unsigned i = 0; i < 1000; i++) {
		char text[64];
		uint32_t number;

		(void)snprintf(text, sizeof(text), "DELETE FROM many%u", i);
		number = row_of(text);
		assert_int_not_equal(number, 0);
		named += strncmp(row(number)->table, "many", 4) == 0;
		assert_int_equal(row(number)->operation, SQL_DELETE);
	}
	assert_int_equal(lost(LOSS_DATABASE_ROWS), 1000 - named);
	assert_true(named > 100);
	for (int o = 0; o < SQL_OPERATION_COUNT; o++) /* more pairs than rows are kept for these, too */
		for (int k = 0; k < SQL_SYSTEMS; k++) {
			uint32_t number = database_row_as((enum sql_system)k, (enum sql_operation)o, 0);

			assert_int_not_equal(number, 0);
			assert_int_equal(row(number)->system, k);
			assert_true(row(number)->operation == o ||
			            (row(number)->operation == SQL_OTHER && row(number)->table[0] == '_'));
		}
	for (uint32_t i = 0; i < DATABASE_ROWS; i++)
		rows += database_row(i) != NULL;
	assert_true(rows <= DATABASE_ROWS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_and_figures),
		cmocka_unit_test(calls_of_a_request),
		cmocka_unit_test(answers_in_order),
		cmocka_unit_test(deep_pipeline),
		cmocka_unit_test(steps),
		cmocka_unit_test(prepared),
		cmocka_unit_test(old_spans_make_room),
		cmocka_unit_test(threads_at_once),
		cmocka_unit_test(more_tables_than_rows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
