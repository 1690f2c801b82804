/* Random numbers that depend on nothing but a seed and the numbers given to dice_init(): the same seed gives the same picks
 * whatever the number of threads, and one shard's picks are those of the whole run. splitmix64 (Steele, Lea, Flood 2014).
 * Pure; not for secrets. */
#pragma once
#include <math.h>
#include <stdint.h>

struct dice {
	uint64_t state;
};

static inline uint64_t dice_mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* `a`, `b`: what the numbers are for (scenario, iteration). */
static inline void dice_init(struct dice *d, uint64_t seed, uint64_t a, uint64_t b)
{
	d->state = dice_mix(dice_mix(dice_mix(seed + UINT64_C(0x9e3779b97f4a7c15)) + a) + b);
}

static inline uint64_t dice_next(struct dice *d)
{
	d->state += UINT64_C(0x9e3779b97f4a7c15);
	return dice_mix(d->state);
}

/* 0 <= x < n; n >= 1. The bias is below n / 2^64. */
static inline uint64_t dice_below(struct dice *d, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)dice_next(d) * n) >> 64);
}

/* 0 <= x < 1 */
static inline double dice_unit(struct dice *d)
{
	return (double)(dice_next(d) >> 11) * 0x1p-53;
}

/* Mean 0, standard deviation 1 (Box and Muller). */
static inline double dice_normal(struct dice *d)
{
	double u = 1 - dice_unit(d), v = dice_unit(d);

	return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

/* A count with this mean. Knuth's product in steps of 500, so that exp() does not underflow; above 10^6 the normal law. */
static inline double dice_poisson(struct dice *d, double mean)
{
	double count = 0;

	if (!(mean > 0))
		return 0;
	if (mean > 1e6)
		return fmax(0, floor(mean + sqrt(mean) * dice_normal(d) + 0.5));
	while (mean > 0) {
		double part = fmin(mean, 500), limit = exp(-part), product = 1 - dice_unit(d);

		for (; product > limit; product *= 1 - dice_unit(d))
			count++;
		mean -= part;
	}
	return count;
}
