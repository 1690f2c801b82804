/* Tests of poisson.c against libm, and of what ADR 0004 promises: unbiased estimates with the stated error. */
#include "t.h"

#include <math.h>

#include "poisson.h"

static double relative(double got, double want)
{
	return want == 0 ? fabs(got) : fabs(got - want) / fabs(want);
}

static void functions_agree_with_libm(void **state)
{
	(void)state;
	for (double x = 1e-15; x < 1e15; x *= 1.37) {
		/* near 1 the logarithm goes through 0: there the absolute error is what counts */
		assert_true(relative(poisson_log(x), log(x)) < 1e-6 || fabs(poisson_log(x) - log(x)) < 1e-9);
		assert_true(relative(poisson_one_minus_exp(x), -expm1(-x)) < 1e-6);
	}
	for (double x = 0.99; x < 1.01; x += 1e-4)
		assert_true(fabs(poisson_log(x) - log(x)) < 1e-9);
	for (double x = 0.3; x < 45; x += 0.01)
		assert_true(relative(poisson_one_minus_exp(x), -expm1(-x)) < 1e-6);
	assert_true(poisson_one_minus_exp(0) == 0);
	assert_true(poisson_one_minus_exp(1e300) == 1);
}

static void weights(void **state)
{
	(void)state;
	for (uint64_t interval = 1; interval < UINT64_C(1) << 41; interval *= 16) {
		double before = INFINITY;

		for (uint64_t bytes = 0; bytes < UINT64_C(1) << 41; bytes = bytes * 3 + 1) {
			double weight = poisson_weight(bytes, interval);
			double want = -1 / expm1(-((double)bytes + 1) / (double)interval);

			assert_true(relative(weight, want) < 1e-6);
			assert_true(weight >= 1 && weight <= before); /* larger blocks stand for fewer */
			before = weight;
		}
	}
}

/* Gaps are exponential: mean R, and standard deviation R. Bounds of five standard errors; the seed is fixed. */
static void gaps_are_exponential(void **state)
{
	enum { N = 200000, R = 1000 };
	uint64_t seed = 42;
	double sum = 0, squares = 0;

	(void)state;
	for (int i = 0; i < N; i++) {
		int64_t gap = poisson_gap(&seed, R);

		assert_true(gap >= 1);
		sum += (double)gap;
		squares += (double)gap * (double)gap;
	}
	sum /= N;
	squares = sqrt(squares / N - sum * sum);
	assert_true(fabs(sum - (R + 0.5)) < 5 * R / sqrt(N)); /* rounded up: half a byte more */
	assert_true(fabs(squares - R) < 10 * R / sqrt(N));
	assert_true(poisson_gap(&seed, UINT64_C(1) << 62) >= 1); /* the largest does not overflow */
}

/* The sampler's rule on a stream of mixed sizes: the mean of the estimates over many runs is the truth. */
static void estimates_are_unbiased(void **state)
{
	static const uint64_t sizes[] = { 0, 1, 16, 100, 1000, 4096, 100000 };
	enum { RUNS = 300, BLOCKS = 3000, R = 4096 };
	double truth = 0, mean = 0, squares = 0, count_mean = 0;
	uint64_t seed = 7;

	(void)state;
	for (int i = 0; i < BLOCKS; i++)
		truth += (double)sizes[i % 7];
	for (int run = 0; run < RUNS; run++) {
		int64_t countdown = poisson_gap(&seed, R);
		double bytes = 0, count = 0;

		for (int i = 0; i < BLOCKS; i++) {
			uint64_t size = sizes[i % 7];

			countdown -= (int64_t)size + 1;
			if (countdown > 0)
				continue;
			bytes += (double)size * poisson_weight(size, R);
			count += poisson_weight(size, R);
			countdown = poisson_gap(&seed, R);
		}
		mean += bytes / RUNS;
		squares += bytes * bytes / RUNS;
		count_mean += count / RUNS;
	}
	assert_true(fabs(mean - truth) < 5 * sqrt((squares - mean * mean) / RUNS));
	assert_true(fabs(count_mean - BLOCKS) < BLOCKS * 0.12); /* blocks of 0 bytes weigh 4096: a wide spread */
}

static void random_is_not_stuck(void **state)
{
	uint64_t seed = 0, ones = 0;

	(void)state;
	for (int i = 0; i < 10000; i++)
		ones += (uint64_t)__builtin_popcountll(poisson_random(&seed));
	assert_true(ones > 318000 && ones < 322000); /* 320000 expected, standard deviation 400 */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(functions_agree_with_libm), cmocka_unit_test(weights),
		cmocka_unit_test(gaps_are_exponential),      cmocka_unit_test(estimates_are_unbiased),
		cmocka_unit_test(random_is_not_stuck),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
