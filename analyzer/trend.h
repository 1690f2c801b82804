/* Does a series of measurements grow, and how fast? Pure arithmetic; no clock, no memory but the caller's.
 *
 * Slope      median of the slopes of all pairs (Theil 1950, Sen 1968): a third of the points may be nonsense.
 * Interval   the slopes at the ranks that Kendall's exact distribution gives (Sen 1968; Hollander and Wolfe, chapter 9).
 * Growth     Kendall's S, one-sided, exact. It takes the points' order for chance unless there is a trend; a random walk (a
 *            queue that happens to be longer now) is no chance in that sense, so certainty asks for steady steps as well.
 * Levelled   the slope of the later half of the points is less than a third of the slope of all.
 * Step       apart from the largest jump, the slope within what lies before and behind it is less than a third.
 *
 * Measured rates of wrong answers: docs/adr/0017. Context: any thread. */
#pragma once
#include <stddef.h>

enum { TREND_MAX_POINTS = 64, TREND_MAX_PAIRS = TREND_MAX_POINTS * (TREND_MAX_POINTS - 1) / 2 };

/* Kendall's distribution for n points: made once for many series. */
struct trend_kendall {
	size_t n;
	double at_most[TREND_MAX_PAIRS + 1]; /* P(at most so many of the pairs are inverted) */
};

struct trend_point {
	double t, y; /* t rises strictly */
};

enum trend_kind {
	TREND_NONE,     /* does not grow, or nothing tells growth from chance */
	TREND_LEVELLED, /* grew at first */
	TREND_STEP,     /* grew once */
	TREND_GROWS
};

enum trend_certainty {
	TREND_POSSIBLE, /* two or three points, or growth that slows down */
	TREND_LIKELY,   /* one in twenty series without a trend looks like it */
	TREND_STEADY    /* and it grew in nearly every interval */
};

struct trend {
	enum trend_kind kind;
	enum trend_certainty certainty; /* of TREND_GROWS */
	double slope;                   /* of y per t */
	double low, high;               /* the slope lies between them ... */
	double level;            /* ... with this probability: 0.95, less with fewer than five points, 0 with two */
	double p;                /* that chance alone makes an order that rises so much; 1: unknown (two points) */
	size_t risen, intervals; /* in how many of the intervals it grew */
	double late;             /* slope of the later half, as a share of the slope */
};

/* 2 <= n <= TREND_MAX_POINTS. */
void trend_kendall_init(struct trend_kendall *k, size_t n);
/* P(S >= s), for points in random order. */
double trend_kendall_p(const struct trend_kendall *k, long s);
/* points[0 .. k->n) */
void trend_find(const struct trend_kendall *k, const struct trend_point *points, struct trend *ret);
