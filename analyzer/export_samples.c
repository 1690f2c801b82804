#include "export_samples.h"

#include <errno.h>
#include <stdlib.h>

bool export_has_tid(const struct profile *p, uint32_t thread, uint64_t tid)
{
	return tid == UINT64_MAX || (thread < p->thread_count && p->threads[thread].tid == tid);
}

int export_samples_get(const struct profile *p, uint64_t tid, struct export_samples *ret)
{
	struct export_samples s = { 0 };
	uint64_t *left = calloc(p->stack_count + 1, sizeof(*left));
	size_t timed =
	        p->stack_count; /* timed samples are put after the place for all stacks, and moved down at the end */

	s.items = calloc(p->stack_count + p->sample_count + 1, sizeof(*s.items));
	if (!left || !s.items) {
		free(left);
		free(s.items);
		return -ENOMEM;
	}
	for (size_t i = 0; i < p->stack_count; i++)
		left[i] = p->stacks[i].value;
	for (size_t i = 0; i < p->sample_count; i++) {
		const struct profile_sample *sample = &p->samples[i];
		uint64_t weight = sample->weight < left[sample->stack] ? sample->weight : left[sample->stack];

		if (weight == 0 || !export_has_tid(p, p->stacks[sample->stack].thread, tid))
			continue;
		left[sample->stack] -= weight;
		s.total += weight;
		s.items[timed++] =
		        (struct export_sample){ sample->stack, weight, sample->time_ns ? sample->time_ns : 1 };
	}
	for (size_t i = 0; i < p->stack_count; i++) {
		if (left[i] == 0 || !export_has_tid(p, p->stacks[i].thread, tid))
			continue;
		s.items[s.count++] = (struct export_sample){ (uint32_t)i, left[i], 0 };
		s.untimed += left[i];
	}
	s.total += s.untimed;
	for (size_t i = p->stack_count; i < timed; i++)
		s.items[s.count++] = s.items[i];
	free(left);
	*ret = s; /* moved */
	return 0;
}

void export_samples_done(struct export_samples *s)
{
	free(s->items);
	*s = (struct export_samples){ 0 };
}
