/* schedule.c - the arithmetic of starts. */
#include "schedule.h"

enum { BATCH_MAX = 256, BATCHES_LEFT = 16 };

uint64_t schedule_end_ns(const struct schedule *s, uint64_t start_ns)
{
	if (s->duration_ns == 0 || s->duration_ns > UINT64_MAX - start_ns)
		return UINT64_MAX;
	return start_ns + s->duration_ns;
}

uint64_t schedule_share(uint64_t total, uint64_t parts, uint64_t index)
{
	return total / parts + (index < total % parts ? 1 : 0);
}

uint64_t schedule_batch(uint64_t left, uint64_t workers)
{
	uint64_t batch = left / workers / BATCHES_LEFT;

	if (batch > BATCH_MAX)
		return BATCH_MAX;
	if (batch > 0)
		return batch;
	return left > 0 ? 1 : 0;
}
