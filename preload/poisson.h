/* The arithmetic of heap sampling: a Poisson process on the bytes allocated, mean `interval` bytes between points.
 * Source     research notes in docs/adr/0004; Horvitz and Thompson (1952) for the weights.
 * Context    [hook]: no libm, no errno; double arithmetic only. Pure, but for the generator's state. */
#pragma once
#include <stdint.h>

/* Random 64 bits; splitmix64 (Steele, Lea, Flood 2014). Any seed will do. */
uint64_t poisson_random(uint64_t *state);
/* Bytes until the next point: exponential with mean `interval`, at least 1. */
int64_t poisson_gap(uint64_t *state, uint64_t interval);
/* 1/p of a block of `bytes`: p = 1 - exp(-(bytes + 1) / interval). Blocks are charged one byte more, so that a block of
 * 0 bytes can be sampled too. */
double poisson_weight(uint64_t bytes, uint64_t interval);

/* ln x for x > 0, and 1 - exp(-x) for x >= 0, to a relative error below 1e-6. For the tests. */
double poisson_log(double x);
double poisson_one_minus_exp(double x);
