/* live_read_offcpu.c - off-CPU samples in a live file. */
#include <stdlib.h>
#include <string.h>

#include "live_read_part.h"
#include "model_memory.h"

static void take_head(struct live *l, const struct live_head *head)
{
	struct model_offcpu *o = &l->m->offcpu;

	/* The description is rewritten once a second; these words are set at once. */
	if (head->scope <= SNAP_OFFCPU_ALL)
		o->scope = (enum snap_offcpu_scope)head->scope;
	if (head->period_ns)
		o->period_ns = head->period_ns;
}

/* The table of a chunk of that kind; none: *ret_rows is empty. */
static void find(struct live *l, enum live_kind kind, size_t least, struct live_rows *ret_rows)
{
	struct live_head head;
	size_t bytes = 0;
	const uint8_t *at = live_only(l, kind, sizeof(head), &bytes);

	*ret_rows = (struct live_rows){ NULL, least, 0 };
	if (!at)
		return;
	memcpy(&head, at, sizeof(head));
	if (kind == LIVE_OFFCPU)
		take_head(l, &head);
	*ret_rows = live_rows(at, bytes, &head.table, least);
}

static int read_rows(struct live *l, struct err *err)
{
	struct model_offcpu *o = &l->m->offcpu;
	struct live_rows rows;
	uint64_t sum = 0;
	size_t n = 0;

	find(l, LIVE_OFFCPU, sizeof(struct live_offcpu), &rows);
	o->rows = arena_array(model_arena(l->m), rows.count, sizeof(*o->rows));
	if (!o->rows)
		return live_no_memory(err);
	for (size_t i = 0; i < rows.count; i++) {
		struct live_offcpu r;

		memcpy(&r, rows.at + i * rows.step, sizeof(r));
		if (r.key >> 32 == 0 || r.key >> 32 > l->m->node_count || !r.samples || !live_sum_fits(sum, r.samples))
			continue;
		sum += r.samples;
		o->rows[n++] =
		        (struct model_cpu_row){ (uint32_t)(r.key >> 32), live_thread(l, (uint32_t)r.key), r.samples };
	}
	if (n)
		qsort(o->rows, n, sizeof(*o->rows), live_by_stack_and_thread);
	for (size_t i = 0; i < n; i++) {
		struct model_cpu_row *last = o->row_count ? &o->rows[o->row_count - 1] : NULL;

		if (last && live_by_stack_and_thread(last, &o->rows[i]) == 0)
			last->samples += o->rows[i].samples;
		else
			o->rows[o->row_count++] = o->rows[i];
	}
	return 0;
}

static int by_time(const void *a, const void *b)
{
	const struct model_offcpu_sample *x = a, *y = b;

	return x->time_ns < y->time_ns ? -1 : x->time_ns > y->time_ns;
}

static int read_samples(struct live *l, struct err *err)
{
	struct model_offcpu *o = &l->m->offcpu;
	struct live_rows rows;

	find(l, LIVE_OFFCPU_SAMPLES, sizeof(struct live_offcpu_sample), &rows);
	o->samples = arena_array(model_arena(l->m), rows.count, sizeof(*o->samples));
	if (!o->samples)
		return live_no_memory(err);
	for (size_t i = 0; i < rows.count; i++) {
		struct live_offcpu_sample s;

		memcpy(&s, rows.at + i * rows.step, sizeof(s));
		if (!live_is_whole(l, s.time_ns, s.again) || s.time_ns < l->m->start_ns || s.stack > l->m->node_count ||
		    s.weight == 0)
			continue;
		live_note_time(l, s.time_ns);
		o->samples[o->sample_count++] = (struct model_offcpu_sample){ s.time_ns, live_thread(l, s.thread),
			                                                      s.stack, s.weight, s.request };
	}
	if (o->sample_count)
		qsort(o->samples, o->sample_count, sizeof(*o->samples), by_time);
	return 0;
}

int live_read_offcpu(struct live *l, struct err *err)
{
	int rc = read_rows(l, err);

	return rc == 0 ? read_samples(l, err) : rc;
}
