/* Tests of histogram.c: the error bound, no gaps between buckets, merge as if recorded together, quantiles against sorted samples. */
#include "t.h"

#include <math.h>

#include "histogram.h"

static uint64_t rng = 88172645463325252u;

static uint64_t next_random(void) /* xorshift64, seeded: the same every time */
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

/* Any magnitude with equal likelihood. */
static uint64_t random_magnitude(void)
{
	return next_random() >> (next_random() % 64);
}

static void buckets_are_contiguous(void **state)
{
	(void)state;
	for (uint32_t i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
		assert_int_equal(histogram_index(histogram_bucket_low(i)), i);
		assert_int_equal(histogram_bucket_low(i) + histogram_bucket_width(i), histogram_bucket_low(i + 1));
	}
	assert_int_equal(histogram_index(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void one_value_is_within_the_bound(void **state)
{
	(void)state;
	for (int i = 0; i < 200000; i++) {
		uint64_t v = random_magnitude(), low = histogram_bucket_low(histogram_index(v));
		uint64_t width = histogram_bucket_width(histogram_index(v));

		assert_true(low <= v && v - low < width);
		assert_true(width == 1 || width <= low >> HISTOGRAM_BITS);
	}
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void quantiles_match_sorted_samples(void **state)
{
	static const double quantiles[] = { 0, 0.001, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 0.99999, 1 };
	enum { SAMPLES = 50000 };
	uint64_t *samples = calloc(SAMPLES, sizeof(*samples));
	struct histogram h;
	double sum = 0;

	(void)state;
	assert_non_null(samples);
	assert_int_equal(histogram_init(&h), 0);
	for (int i = 0; i < SAMPLES; i++) {
		samples[i] = random_magnitude() >> 20;
		sum += (double)samples[i];
		histogram_record(&h, samples[i]);
	}
	qsort(samples, SAMPLES, sizeof(*samples), compare_u64);
	for (size_t i = 0; i < ARRAY_LEN(quantiles); i++) {
		double rank = ceil(quantiles[i] * SAMPLES);
		uint64_t exact = samples[rank < 1 ? 0 : (size_t)rank - 1], got = histogram_quantile(&h, quantiles[i]);

		if (fabs((double)got - (double)exact) > (double)exact / 1024 + 0.5)
			fail_msg("q %g: got %llu, exact %llu", quantiles[i], (unsigned long long)got,
			         (unsigned long long)exact);
	}
	assert_int_equal(h.count, SAMPLES);
	assert_int_equal(h.min, samples[0]);
	assert_int_equal(h.max, samples[SAMPLES - 1]);
	assert_true(fabs(histogram_mean(&h) - sum / SAMPLES) <= 1e-9 * sum / SAMPLES);
	histogram_done(&h);
	free(samples);
}

/* In binary, some of these products are a little above the whole number that they are. */
static void ranks_are_not_rounded_up(void **state)
{
	struct histogram h;

	(void)state;
	assert_int_equal(histogram_init(&h), 0);
	for (uint64_t i = 1; i <= 1000; i++)
		histogram_record(&h, i);
	for (uint64_t i = 1; i <= 1000; i++)
		assert_int_equal(histogram_quantile(&h, (double)i * 0.001), i);
	for (uint64_t i = 1; i <= 100; i++)
		assert_int_equal(histogram_quantile(&h, (double)i * 0.01), 10 * i);
	histogram_done(&h);
}

static void merge_is_recording_together(void **state)
{
	struct histogram all, parts[3];

	(void)state;
	assert_int_equal(histogram_init(&all), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(histogram_init(&parts[i]), 0);
	for (int i = 0; i < 30000; i++) {
		uint64_t v = random_magnitude();

		histogram_record(&all, v);
		histogram_record(&parts[1 + i % 2], v); /* parts[0] stays empty */
	}
	histogram_merge(&parts[0], &parts[1]);
	histogram_merge(&parts[0], &parts[2]);
	assert_int_equal(parts[0].count, all.count);
	assert_int_equal(parts[0].min, all.min);
	assert_int_equal(parts[0].max, all.max);
	assert_true(parts[0].sum == all.sum);
	assert_memory_equal(parts[0].buckets, all.buckets, HISTOGRAM_BUCKETS * sizeof(*all.buckets));
	histogram_done(&all);
	for (int i = 0; i < 3; i++)
		histogram_done(&parts[i]);
}

static void empty_and_merging_empty(void **state)
{
	struct histogram h, none;

	(void)state;
	assert_int_equal(histogram_init(&h), 0);
	assert_int_equal(histogram_init(&none), 0);
	assert_int_equal(histogram_quantile(&h, 0.5), 0);
	assert_true(histogram_mean(&h) == 0);
	histogram_record(&h, 7);
	histogram_merge(&h, &none);
	assert_int_equal(h.count, 1);
	assert_int_equal(h.min, 7);
	assert_int_equal(histogram_quantile(&h, 0), 7);
	assert_int_equal(histogram_quantile(&h, 1), 7);
	histogram_done(&h);
	histogram_done(&none);
}

static void counting_between(void **state)
{
	struct histogram h;

	(void)state;
	assert_int_equal(histogram_init(&h), 0);
	for (uint64_t v = 0; v < 1000; v++)
		histogram_record(&h, v);
	assert_int_equal(histogram_count_between(&h, 0, UINT64_MAX), 1000);
	assert_int_equal(histogram_count_between(&h, 100, 200), 100);
	assert_int_equal(histogram_count_between(&h, 0, 100) + histogram_count_between(&h, 100, UINT64_MAX), 1000);
	histogram_done(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets_are_contiguous),
		cmocka_unit_test(one_value_is_within_the_bound),
		cmocka_unit_test(quantiles_match_sorted_samples),
		cmocka_unit_test(ranks_are_not_rounded_up),
		cmocka_unit_test(merge_is_recording_together),
		cmocka_unit_test(empty_and_merging_empty),
		cmocka_unit_test(counting_between),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
