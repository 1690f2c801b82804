/* snapshot_decode_series.c - the section SERIES. */
#include <errno.h>

#include "model.h"
#include "snapshot_decode_part.h"

static int decode_point(struct decode *d, struct model_series_point *p, const struct model_series_point *before)
{
	uint64_t time = cursor_varint(&d->c), cpu = cursor_varint(&d->c), resident = cursor_varint(&d->c);
	uint64_t live = cursor_varint(&d->c), requests = cursor_varint(&d->c);

	if (d->c.bad || __builtin_add_overflow(before->time_ns, time, &p->time_ns) ||
	    __builtin_add_overflow(before->cpu_ns, cpu, &p->cpu_ns) ||
	    __builtin_add_overflow(before->requests, requests, &p->requests))
		return decode_cut_short(d);
	p->resident_bytes = resident;
	p->live_bytes = live;
	return 0;
}

int snapshot_decode_series(struct decode *d)
{
	struct model_series *s = &d->m->series;
	struct model_series_point before = { 0 };
	void *rows;
	int rc;

	s->interval_ns = cursor_varint(&d->c);
	rc = decode_table(d, "points", 5, sizeof(*s->points), UINT32_MAX, &s->count, &rows);
	if (rc < 0)
		return rc;
	s->points = rows;
	for (size_t i = 0; i < s->count && rc == 0; i++) {
		rc = decode_point(d, &s->points[i], &before);
		before = s->points[i];
	}
	return rc;
}
