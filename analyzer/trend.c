#include "trend.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum { MAX_PAIRS = TREND_MAX_PAIRS };

#define LEAST_P     0.05
#define LEAST_SHARE (1.0 / 3) /* of the slope: what must be left in the later half, and without the largest jump */
#define STEADY_LATE (2.0 / 3)

static int rising(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Slopes of the pairs of points[0..n), and of those in more[0..m) beside them, sorted. How many. */
static size_t pair_slopes(const struct trend_point *points, size_t n, const struct trend_point *more, size_t m,
                          double slopes[MAX_PAIRS])
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t k = i + 1; k < n; k++)
			slopes[count++] = (points[k].y - points[i].y) / (points[k].t - points[i].t);
	for (size_t i = 0; i < m; i++)
		for (size_t k = i + 1; k < m; k++)
			slopes[count++] = (more[k].y - more[i].y) / (more[k].t - more[i].t);
	qsort(slopes, count, sizeof(*slopes), rising);
	return count;
}

static double median(const double *sorted, size_t n)
{
	return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

void trend_kendall_init(struct trend_kendall *k, size_t n)
{
	/* P(k of the pairs are inverted), one point after the other: the i-th is inverted with 0 to i - 1 of those before. */
	double now[MAX_PAIRS + 1] = { 1 }, next[MAX_PAIRS + 1];
	size_t pairs = n * (n - 1) / 2;

	assert(n <= TREND_MAX_POINTS);
	for (size_t i = 2; i <= n; i++) {
		double window = 0;

		for (size_t inverted = 0; inverted <= pairs; inverted++) {
			window += now[inverted];
			if (inverted >= i)
				window -= now[inverted - i];
			next[inverted] = window > 0 ? window / (double)i : 0;
		}
		for (size_t inverted = 0; inverted <= pairs; inverted++)
			now[inverted] = next[inverted];
	}
	k->n = n;
	for (size_t inverted = 0; inverted <= pairs; inverted++)
		k->at_most[inverted] = now[inverted] + (inverted ? k->at_most[inverted - 1] : 0);
}

double trend_kendall_p(const struct trend_kendall *k, long s)
{
	long pairs = (long)(k->n * (k->n - 1) / 2);
	double p = s <= -pairs ? 1 : s > pairs ? 0 : k->at_most[(pairs - s) / 2];

	return p < 1 ? p : 1;
}

/* P(at least `heads` of n coins show heads). */
static double coins(size_t n, size_t heads)
{
	double term = pow(0.5, (double)n), sum = 0;

	for (size_t k = 0; k <= n; k++) {
		if (k >= heads)
			sum += term;
		term *= (double)(n - k) / (double)(k + 1);
	}
	return sum;
}

static void find_interval(const struct trend_kendall *k, const double *slopes, size_t pairs, struct trend *t)
{
	long s = (long)pairs;
	size_t rank;

	/* The smallest S that is rarer than 2.5 %; S has the parity of the number of pairs. */
	while (s - 2 > 0 && trend_kendall_p(k, s - 2) <= 0.025)
		s -= 2;
	rank = (pairs - (size_t)(s - 2)) / 2; /* from 1 */
	t->low = slopes[rank - 1];
	t->high = slopes[pairs - rank];
	t->level = 1 - 2 * trend_kendall_p(k, s);
	if (t->level < 0)
		t->level = 0;
}

static double late_slope(const struct trend_point *points, size_t n)
{
	size_t half = (n + 1) / 2; /* of three points two */
	double slopes[MAX_PAIRS];
	size_t count = pair_slopes(points + n - half, half, NULL, 0, slopes);

	return median(slopes, count);
}

/* The slope on both sides of the largest jump, the jump left out. */
static double slope_beside_jump(const struct trend_point *points, size_t n)
{
	double slopes[MAX_PAIRS], largest = -INFINITY;
	size_t jump = 1, count;

	for (size_t i = 1; i < n; i++) {
		double grown = points[i].y - points[i - 1].y;

		if (grown > largest) {
			largest = grown;
			jump = i;
		}
	}
	count = pair_slopes(points, jump, points + jump, n - jump, slopes);
	return count ? median(slopes, count) : 0;
}

static long kendall_s(const struct trend_point *points, size_t n)
{
	long s = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t k = i + 1; k < n; k++)
			s += (points[k].y > points[i].y) - (points[k].y < points[i].y);
	return s;
}

static void judge(const struct trend_point *points, size_t n, struct trend *t)
{
	double rest = slope_beside_jump(points, n);
	bool certain = t->p <= LEAST_P;

	if (!(t->slope > 0) || points[n - 1].y <= points[0].y || (!certain && n > 3) || (n == 3 && t->risen < 2))
		t->kind = TREND_NONE;
	else if (t->late < LEAST_SHARE)
		t->kind = TREND_LEVELLED;
	else if (rest < LEAST_SHARE * t->slope)
		t->kind = TREND_STEP;
	else
		t->kind = TREND_GROWS;
	if (!certain || t->late < STEADY_LATE)
		t->certainty = TREND_POSSIBLE;
	else
		t->certainty = coins(t->intervals, t->risen) <= LEAST_P ? TREND_STEADY : TREND_LIKELY;
}

void trend_find(const struct trend_kendall *k, const struct trend_point *points, struct trend *ret)
{
	double slopes[MAX_PAIRS];
	size_t n = k->n, pairs;
	struct trend t = { .intervals = n - 1, .p = 1 };

	assert(n >= 2);
	pairs = pair_slopes(points, n, NULL, 0, slopes);
	t.slope = t.low = t.high = median(slopes, pairs);
	for (size_t i = 1; i < n; i++)
		t.risen += points[i].y > points[i - 1].y;
	if (n == 2) { /* nothing to judge by */
		t.late = 1;
		t.kind = t.slope > 0 ? TREND_GROWS : TREND_NONE;
	} else {
		t.p = trend_kendall_p(k, kendall_s(points, n));
		t.late = t.slope > 0 ? late_slope(points, n) / t.slope : 0;
		find_interval(k, slopes, pairs, &t);
		judge(points, n, &t);
	}
	*ret = t;
}
