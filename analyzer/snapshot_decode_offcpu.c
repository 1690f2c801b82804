/* snapshot_decode_offcpu.c - the section OFFCPU. */
#include <errno.h>

#include "model.h"
#include "snapshot_decode_part.h"

static int decode_sample(struct decode *d, struct model_offcpu_sample *ret, uint64_t *time, size_t row)
{
	uint64_t step = cursor_varint(&d->c), stack = cursor_varint(&d->c), thread = cursor_varint(&d->c);
	uint64_t weight = cursor_varint(&d->c), request = cursor_varint(&d->c);

	if (d->c.bad || weight > UINT32_MAX || __builtin_add_overflow(*time, step, time))
		return decode_cut_short(d);
	if (thread >= d->m->thread_count)
		return decode_bad_thread(d, row, thread);
	if (stack > d->m->node_count)
		return err_set(d->err, -EPROTO, "row %zu names stack %llu of %zu", row + 1, (unsigned long long)stack,
		               d->m->node_count);
	*ret = (struct model_offcpu_sample){ *time, (uint32_t)thread, (uint32_t)stack, (uint32_t)weight, request };
	return 0;
}

int snapshot_decode_offcpu(struct decode *d)
{
	struct model_offcpu *o = &d->m->offcpu;
	uint64_t scope = cursor_varint(&d->c), time = 0;
	void *rows;
	int rc;

	o->period_ns = cursor_varint(&d->c);
	if (!decode_read_text(d, &o->why))
		return decode_no_memory(d);
	if (d->c.bad)
		return decode_cut_short(d);
	if (scope > SNAP_OFFCPU_ALL)
		return err_set(d->err, -EPROTO, "unknown scope %llu", (unsigned long long)scope);
	o->scope = (enum snap_offcpu_scope)scope;
	rc = decode_cpu_rows(d, &o->rows, &o->row_count);
	if (rc == 0)
		rc = decode_table(d, "samples", 5, sizeof(*o->samples), UINT32_MAX, &o->sample_count, &rows);
	if (rc < 0)
		return rc;
	o->samples = rows;
	for (size_t i = 0; i < o->sample_count && rc == 0; i++)
		rc = decode_sample(d, &o->samples[i], &time, i);
	return rc;
}
