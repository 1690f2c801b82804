/* How far an estimate may be off. Values of profiles are counted one by one, or are estimates from samples: of those the variance
 * grows with the value (docs/page-format.md says why). Pure. Context: hosted programs, any thread. */
#pragma once
#include <stdbool.h>

struct model;
struct profile;

/* A 95 % interval is so many standard errors to either side. */
#define ESTIMATE_Z95 1.96

/* Variance of a value of 1, in squares of the profile's unit; 0: exact. That of a value v is v times as much. */
double estimate_variance(const struct model *m, const struct profile *p);
/* A change that chance alone makes in more than one of twenty cases. An exact one never is. */
bool estimate_is_noise(double change, double variance);
