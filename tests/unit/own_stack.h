/* For tests that walk their own stack: where it is, and repeatable chance. */
#pragma once
#include <pthread.h>
#include <stdint.h>
#include "poisson.h"
#include "t.h"

static _Thread_local uintptr_t own_lo, own_hi;
static uint64_t rng = 5;

static inline UNUSED uint32_t random_below(uint32_t n)
{
	return (uint32_t)(poisson_random(&rng) % n);
}

/* Of the calling thread. */
static inline void find_stack(void)
{
	pthread_attr_t attr;
	void *at;
	size_t bytes;

	assert_int_equal(pthread_getattr_np(pthread_self(), &attr), 0);
	assert_int_equal(pthread_attr_getstack(&attr, &at, &bytes), 0);
	own_lo = (uintptr_t)at;
	own_hi = (uintptr_t)at + bytes;
	pthread_attr_destroy(&attr);
}
