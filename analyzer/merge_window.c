/* merge_window.c - what has a time of its own: samples of the window, and marks. The newest are kept. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "merge_part.h"
#include "model_memory.h"

static int newest_samples_first(const void *left, const void *right)
{
	const struct merge_sample *a = left, *b = right;

	return (a->time_ns < b->time_ns) - (a->time_ns > b->time_ns);
}

static int newest_marks_first(const void *left, const void *right)
{
	const struct model_mark *a = left, *b = right;

	return (a->time_ns < b->time_ns) - (a->time_ns > b->time_ns);
}

/* Sorts, newest first, and drops what is beyond `most`; `lost` counts it. */
static void keep_newest(struct merge_list *l, int (*order)(const void *, const void *), size_t most, uint64_t *lost)
{
	if (l->count)
		qsort(l->items, l->count, l->item_bytes, order);
	if (l->count > most) {
		*lost += l->count - most;
		l->count = most;
	}
}

/* Twice as many may gather before they are sorted out. */
static void keep_bounded(struct merge_list *l, int (*order)(const void *, const void *), size_t most, uint64_t *lost)
{
	if (l->count >= 2 * most)
		keep_newest(l, order, most, lost);
}

void merge_window_rescale(struct merge_list *samples, uint64_t factor)
{
	struct merge_sample *s = (void *)samples->items;

	for (size_t i = 0; i < samples->count; i++)
		s[i].weight *= factor; /* less than their sum, which fits */
}

static int add_sample(struct merge_input *in, struct merge_list *l, struct merge_sample s)
{
	struct merge_sample *to = merge_list_add(l);

	if (!to)
		return -ENOMEM;
	s.time_ns = merge_space_time(in, s.time_ns);
	s.thread = in->thread_of[s.thread];
	s.stack = merge_space_stack(in, s.stack);
	*to = s;
	keep_bounded(l, newest_samples_first, in->g->limits.samples, &in->g->lost[MERGE_LOST_SAMPLES]);
	return in->rc;
}

static int add_mark(struct merge_input *in, const struct model_mark *mark)
{
	struct model_mark *to = merge_list_add(&in->g->marks);

	if (!to)
		return -ENOMEM;
	to->time_ns = merge_space_time(in, mark->time_ns);
	to->thread = in->thread_of[mark->thread];
	to->name = merge_about_text(in->g, mark->name);
	if (!to->name)
		return -ENOMEM;
	keep_bounded(&in->g->marks, newest_marks_first, in->g->limits.marks, &in->g->lost[MERGE_LOST_MARKS]);
	return 0;
}

int merge_window_add(struct merge_input *in)
{
	const struct model *m = in->m;
	int rc = 0;

	in->request_base = in->g->next_request;
	for (size_t i = 0; i < m->sample_count && rc == 0; i++) {
		const struct model_sample *s = &m->samples[i];

		rc = add_sample(
		        in, &in->g->samples,
		        (struct merge_sample){ s->time_ns, s->weight * in->cpu_factor, 0, s->thread, s->stack });
	}
	for (size_t i = 0; i < m->offcpu.sample_count && rc == 0; i++) {
		const struct model_offcpu_sample *s = &m->offcpu.samples[i];

		rc = add_sample(in, &in->g->offcpu_samples,
		                (struct merge_sample){ s->time_ns, s->weight * in->offcpu_factor,
		                                       merge_requests_id(in, s->request), s->thread, s->stack });
	}
	for (size_t i = 0; i < m->mark_count && rc == 0; i++)
		rc = add_mark(in, &m->marks[i]);
	return rc;
}

/* A weight has 32 bits in the file: heavier ones are several samples. */
static size_t pieces(const struct merge_list *l)
{
	const struct merge_sample *s = (const void *)l->items;
	size_t n = 0;

	for (size_t i = 0; i < l->count; i++)
		n += (size_t)(s[i].weight / UINT32_MAX) + 1;
	return n;
}

static uint32_t next_piece(uint64_t *weight)
{
	uint32_t piece = *weight > UINT32_MAX ? UINT32_MAX : (uint32_t)*weight;

	*weight -= piece;
	return piece;
}

static int finish_samples(struct merge *g, struct model *m)
{
	struct merge_sample *s = (void *)g->samples.items;
	size_t room = pieces(&g->samples);

	m->samples = arena_array(model_arena(m), room, sizeof(*m->samples));
	if (!m->samples)
		return -ENOMEM;
	for (size_t i = g->samples.count; i > 0; i--) { /* oldest first */
		uint64_t weight = s[i - 1].weight;

		do
			m->samples[m->sample_count++] = (struct model_sample){ s[i - 1].time_ns, s[i - 1].thread,
				                                               s[i - 1].stack, next_piece(&weight) };
		while (weight);
	}
	return 0;
}

static int finish_offcpu(struct merge *g, struct model *m)
{
	struct merge_sample *s = (void *)g->offcpu_samples.items;
	struct model_offcpu *o = &m->offcpu;

	o->samples = arena_array(model_arena(m), pieces(&g->offcpu_samples), sizeof(*o->samples));
	if (!o->samples)
		return -ENOMEM;
	for (size_t i = g->offcpu_samples.count; i > 0; i--) {
		uint64_t weight = s[i - 1].weight;

		do
			o->samples[o->sample_count++] =
			        (struct model_offcpu_sample){ s[i - 1].time_ns, s[i - 1].thread, s[i - 1].stack,
				                              next_piece(&weight), s[i - 1].request };
		while (weight);
	}
	return 0;
}

int merge_window_finish(struct merge *g, struct model *m)
{
	const struct model_mark *marks;
	int rc;

	keep_newest(&g->samples, newest_samples_first, g->limits.samples, &g->lost[MERGE_LOST_SAMPLES]);
	keep_newest(&g->offcpu_samples, newest_samples_first, g->limits.samples, &g->lost[MERGE_LOST_SAMPLES]);
	keep_newest(&g->marks, newest_marks_first, g->limits.marks, &g->lost[MERGE_LOST_MARKS]);
	rc = finish_samples(g, m);
	if (rc == 0)
		rc = finish_offcpu(g, m);
	m->marks = arena_array(model_arena(m), g->marks.count, sizeof(*m->marks));
	if (rc < 0 || !m->marks)
		return -ENOMEM;
	marks = (const void *)g->marks.items;
	for (size_t i = g->marks.count; i > 0; i--) {
		struct model_mark *to = &m->marks[m->mark_count++];

		*to = marks[i - 1];
		to->name = arena_text(model_arena(m), to->name, strlen(to->name));
		if (!to->name)
			return -ENOMEM;
	}
	return 0;
}
