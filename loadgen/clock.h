/* The one clock of the driver: ns of CLOCK_MONOTONIC. Any thread; no system call (vDSO). */
#pragma once
#include <stdint.h>
#include <time.h>
#include "units.h"

static inline uint64_t clock_now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail for this clock */
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}
