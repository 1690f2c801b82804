#include "poisson.h"

#include <string.h>

#define LN2 0.69314718055994530942

uint64_t poisson_random(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* x = m 2^e with m in [1/sqrt 2, sqrt 2); ln m = 2 artanh((m-1)/(m+1)), series to z^11: the rest is below 1e-10. */
double poisson_log(double x)
{
	uint64_t bits;
	double m, z, zz;
	int e;

	memcpy(&bits, &x, sizeof(bits));
	e = (int)(bits >> 52) - 1023;
	bits = (bits & ((UINT64_C(1) << 52) - 1)) | UINT64_C(1023) << 52;
	memcpy(&m, &bits, sizeof(m));
	if (m > 1.41421356237309504880) {
		m *= 0.5;
		e++;
	}
	z = (m - 1) / (m + 1);
	zz = z * z;
	return e * LN2 + 2 * z * (1 + zz * (1 / 3. + zz * (1 / 5. + zz * (1 / 7. + zz * (1 / 9. + zz * (1 / 11.))))));
}

/* For small x the Taylor series, which loses nothing to cancellation; else exp(-x) = 2^-k exp(-r), r in [0, ln 2). */
double poisson_one_minus_exp(double x)
{
	double sum = 0, term = 1;
	double r = x;
	int k = 0;

	if (x > 40)
		return 1;
	if (x >= 0.5) {
		k = (int)(x / LN2);
		r = x - k * LN2;
	}
	for (int i = 1; i <= 12; i++) {
		term *= -r / i;
		sum += term; /* exp(-r) - 1 */
	}
	if (k == 0)
		return -sum;
	for (sum += 1; k > 0; k--)
		sum *= 0.5;
	return 1 - sum;
}

int64_t poisson_gap(uint64_t *state, uint64_t interval)
{
	/* u in (0, 1]: 53 random bits, never 0 */
	double u = (double)((poisson_random(state) >> 11) + 1) * 0x1p-53;
	double gap = -poisson_log(u) * (double)interval;

	return gap < 1 ? 1 : gap > 0x1p62 ? INT64_MAX / 2 : (int64_t)gap + 1;
}

double poisson_weight(uint64_t bytes, uint64_t interval)
{
	return 1 / poisson_one_minus_exp(((double)bytes + 1) / (double)interval);
}
