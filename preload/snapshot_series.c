#include "snapshot_series.h"

#include "os_linux.h"
#include "series.h"
#include "snapshot_out.h"

void snapshot_series(struct snapshot_out *out)
{
	size_t bytes = (SERIES_POINTS + 1) * sizeof(struct series_point), n = 0;
	struct series_point *points = os_map(bytes), last = { 0 };
	uint64_t interval_ns = 0;

	if (points)
		n = series_get(points, &interval_ns);
	snapshot_section(out, SNAP_SERIES);
	snapshot_number(out, interval_ns);
	snapshot_number(out, n);
	for (size_t i = 0; i < n; i++) {
		const struct series_point *p = &points[i];

		snapshot_number(out, p->time_ns - last.time_ns);
		snapshot_number(out, p->cpu_ns - last.cpu_ns);
		snapshot_number(out, p->resident_bytes);
		snapshot_number(out, p->live_bytes);
		snapshot_number(out, p->requests - last.requests);
		last = *p;
	}
	snapshot_section_end(out);
	os_unmap(points, points ? bytes : 0);
}
