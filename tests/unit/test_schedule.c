/* Tests of schedule.c: ends, shares that add up, batches that empty the store exactly; curves against arithmetic done by hand,
 * starts that are the same for any number of workers. */
#include "t.h"

#include <math.h>

#include "schedule.h"
#include "units.h"

static void ends(void **state)
{
	const struct schedule ten = { .duration_ns = 10 }, number = { .attempts = 5 },
	                      huge = { .duration_ns = UINT64_MAX };

	(void)state;
	assert_int_equal(schedule_end_ns(&ten, 100), 110);
	assert_true(schedule_end_ns(&number, 100) == UINT64_MAX);
	assert_true(schedule_end_ns(&huge, 100) == UINT64_MAX);
}

static void shares_add_up_and_differ_by_one(void **state)
{
	(void)state;
	for (uint64_t total = 0; total < 70; total++) {
		for (uint64_t parts = 1; parts < 20; parts++) {
			uint64_t sum = 0;

			for (uint64_t i = 0; i < parts; i++) {
				uint64_t share = schedule_share(total, parts, i);

				assert_true(share == total / parts || share == total / parts + 1);
				sum += share;
			}
			assert_int_equal(sum, total);
		}
	}
}

static void batches_empty_the_store(void **state)
{
	static const uint64_t totals[] = { 1, 2, 63, 64, 1000, 123457 }, workers[] = { 1, 2, 7, 256 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(totals); i++) {
		for (size_t j = 0; j < ARRAY_LEN(workers); j++) {
			uint64_t left = totals[i];

			while (left > 0) {
				uint64_t batch = schedule_batch(left, workers[j]);

				assert_true(batch >= 1 && batch <= left && batch <= 256);
				/* One worker's batch leaves the others theirs. */
				assert_true(batch == 1 || batch * workers[j] <= left / 8);
				left -= batch;
			}
		}
	}
	assert_int_equal(schedule_batch(0, 3), 0);
}

#define S(seconds) ((uint64_t)((seconds)*1e9))

static bool near(double a, double b, double tolerance)
{
	return fabs(a - b) <= tolerance;
}

/* 0 -> 10 in 4 s, 10 for 2 s, a jump to 20, 20 -> 0 in 5 s: areas 20, 20, 50. */
static const struct schedule_stage shape[] = { { S(4), 10 }, { S(2), 10 }, { 0, 20 }, { S(5), 0 } };
static const struct schedule_curve curve = { 0, shape, ARRAY_LEN(shape) };

static void curves_by_hand(void **state)
{
	static const struct {
		double at, value, area;
	} rows[] = {
		{ 0, 0, 0 },   { 2, 5, 5 },       { 4, 10, 20 },     { 5, 10, 30 },
		{ 6, 20, 40 }, { 8.5, 10, 77.5 }, { 10.5, 2, 89.5 },
	};

	(void)state;
	assert_int_equal(schedule_curve_duration(&curve), S(11));
	assert_true(schedule_curve_max(&curve) == 20);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_true(near(schedule_curve_at(&curve, S(rows[i].at)), rows[i].value, 1e-9));
		assert_true(near(schedule_curve_area(&curve, S(rows[i].at)), rows[i].area, 1e-6));
		assert_true(near((double)schedule_curve_when(&curve, rows[i].area), rows[i].at * 1e9, 2));
	}
	assert_true(schedule_curve_at(&curve, S(11)) == 0);
	assert_true(near(schedule_curve_area(&curve, S(99)), 90, 1e-6));
	assert_true(schedule_curve_when(&curve, 90.001) == UINT64_MAX);
}

static void when_is_the_inverse_of_area(void **state)
{
	(void)state;
	for (double a = 0; a < 90; a += 0.37)
		assert_true(near(schedule_curve_area(&curve, schedule_curve_when(&curve, a)), a, 1e-6));
}

static void a_rate_of_zero_starts_nothing(void **state)
{
	static const struct schedule_stage quiet[] = { { S(3), 0 }, { S(1), 0 }, { 0, 5 }, { S(1), 5 } };
	const struct schedule_curve c = { 0, quiet, ARRAY_LEN(quiet) };

	(void)state;
	assert_int_equal(schedule_curve_when(&c, 0), S(4));
	assert_int_equal(schedule_curve_when(&c, 1), S(4.2));
	assert_true(schedule_curve_when(&c, 5) == UINT64_MAX);
}

/* Those taking part are floor(curve) on the way up and ceil(curve) on the way down, and joins() is the next moment of has(). */
static void taking_part(void **state)
{
	(void)state;
	for (uint64_t ms = 1; ms < 11000; ms += 7) {
		double value = schedule_curve_at(&curve, ms * NS_PER_MS);
		bool falls = ms >= 6000;
		uint64_t count = 0;

		if (near(value, round(value), 1e-6))
			continue; /* at the very moment of a step, rounding decides */
		for (uint64_t i = 0; i < 25; i++) {
			bool has = schedule_curve_has(&curve, i, ms * NS_PER_MS);

			count += has;
			if (!has) {
				uint64_t joins = schedule_curve_joins(&curve, i, ms * NS_PER_MS);

				assert_true(joins > ms * NS_PER_MS);
				assert_true(joins == UINT64_MAX || schedule_curve_has(&curve, i, joins));
				assert_true(joins == UINT64_MAX || !schedule_curve_has(&curve, i, joins - 1));
			}
		}
		assert_int_equal(count, (uint64_t)(falls ? ceil(value) : floor(value)));
	}
	assert_int_equal(schedule_curve_joins(&curve, 9, 0), S(4));
	assert_int_equal(schedule_curve_joins(&curve, 10, 0), S(6));
	assert_true(schedule_curve_joins(&curve, 20, 0) == UINT64_MAX);
}

enum { STARTS_MAX = 2000 };

/* All starts of `s` as `workers` workers see them, by number; returns how many. */
static size_t gather(const struct schedule *s, uint64_t workers, uint64_t *ret_at)
{
	size_t count = 0;

	for (uint64_t w = 0; w < workers; w++) {
		struct schedule_arrivals a;
		uint64_t last = 0;

		for (schedule_arrivals_init(&a, s, w, workers); a.at_ns != UINT64_MAX; schedule_arrivals_next(&a)) {
			assert_true(a.index < STARTS_MAX && a.index % workers == w && a.at_ns >= last);
			ret_at[a.index] = last = a.at_ns;
			count++;
		}
	}
	return count;
}

static void workers_have_every_start_once(void **state)
{
	uint64_t one[STARTS_MAX], three[STARTS_MAX];
	struct schedule s = { .curve = curve };

	(void)state;
	for (int poisson = 0; poisson < 2; poisson++) {
		size_t count;

		s.poisson = poisson;
		s.seed = 5;
		count = gather(&s, 1, one);
		assert_true(poisson || count == 90);
		assert_int_equal(gather(&s, 3, three), count);
		assert_memory_equal(one, three, count * sizeof(*one));
		s.attempts = 17;
		assert_int_equal(gather(&s, 3, three), 17);
		assert_memory_equal(one, three, 17 * sizeof(*one));
		s.attempts = 0;
	}
}

static void constant_rate_in_closed_form(void **state)
{
	static const struct schedule_stage hour[] = { { S(3600), 50000 } };
	const struct schedule s = { .curve = { 50000, hour, 1 } };
	struct schedule_arrivals a;

	(void)state;
	/* The last one of an hour is as exact as the first. */
	schedule_arrivals_init(&a, &s, 179999999, 1);
	assert_int_equal(a.at_ns, S(3600) - 20000);
	schedule_arrivals_next(&a);
	assert_true(a.at_ns == UINT64_MAX);
}

/* Gaps of a Poisson process: mean 1/rate, standard deviation as large as the mean, and another seed gives others. */
static void poisson_is_poisson(void **state)
{
	static const struct schedule_stage flat[] = { { S(100000), 1000 } };
	struct schedule s = { .curve = { 1000, flat, 1 }, .poisson = true, .seed = 1, .attempts = 100000 };
	struct schedule_arrivals a;
	double sum = 0, squares = 0, last = 0;
	uint64_t first;

	(void)state;
	schedule_arrivals_init(&a, &s, 0, 1);
	first = a.at_ns;
	for (; a.at_ns != UINT64_MAX; schedule_arrivals_next(&a)) {
		double gap = (double)a.at_ns - last;

		last = (double)a.at_ns;
		sum += gap;
		squares += gap * gap;
	}
	sum /= 1e5;
	assert_true(near(sum, 1e6, 0.02e6)); /* six standard errors */
	assert_true(near(sqrt(squares / 1e5 - sum * sum), 1e6, 0.03e6));
	s.seed = 2;
	schedule_arrivals_init(&a, &s, 0, 1);
	assert_true(a.at_ns != first);
}

static void random_numbers(void **state)
{
	double sum = 0;

	(void)state;
	for (uint64_t i = 0; i < 100000; i++) {
		double x = schedule_random(42, i);

		assert_true(x > 0 && x < 1);
		sum += x;
	}
	assert_true(near(sum / 1e5, 0.5, 0.006));
	assert_true(schedule_random(42, 7) == schedule_random(42, 7) &&
	            schedule_random(42, 7) != schedule_random(43, 7));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends),
		cmocka_unit_test(shares_add_up_and_differ_by_one),
		cmocka_unit_test(batches_empty_the_store),
		cmocka_unit_test(curves_by_hand),
		cmocka_unit_test(when_is_the_inverse_of_area),
		cmocka_unit_test(a_rate_of_zero_starts_nothing),
		cmocka_unit_test(taking_part),
		cmocka_unit_test(workers_have_every_start_once),
		cmocka_unit_test(constant_rate_in_closed_form),
		cmocka_unit_test(poisson_is_poisson),
		cmocka_unit_test(random_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
