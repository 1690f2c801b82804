#include "view_threads.h"

#include <inttypes.h>

#include "model.h"
#include "units.h"

static uint64_t period_ns(const struct model *m, enum profile_metric metric)
{
	if (metric == METRIC_OFF_CPU)
		return m->offcpu.period_ns;
	return metric <= METRIC_WALL ? m->cpu_period_ns : 0;
}

static void threads_head(const struct view *v, const struct model *m, enum profile_metric metric, uint64_t total)
{
	view_losses(v, m);
	view_text(v, VIEW_BOLD, m->comm);
	buf_printf(v->out, " (pid %" PRIu64 "): ", m->pid);
	view_value(v, metric, period_ns(m, metric), total);
	buf_printf(v->out, " %s by thread", profile_metric_text(metric));
	if (metric == METRIC_OFF_CPU && m->offcpu.scope != SNAP_OFFCPU_ALL)
		buf_add_str(v->out, ", while they worked on slow requests");
	else if (metric > METRIC_WALL && metric != METRIC_OFF_CPU && m->heap_mode == SNAP_HEAP_SAMPLED)
		buf_add_str(v->out, ", estimated from samples");
	else if ((metric == METRIC_LIVE || metric == METRIC_LIVE_COUNT) && m->heap_detail_one_in > 1)
		buf_printf(v->out, ", exact for 256 blocks of a stack, then estimated from one in %" PRIu64,
		           m->heap_detail_one_in);
	buf_add_str(v->out, "\n\n");
	view_text(v, VIEW_BOLD, "   share          cpu      waiting    allocated       blocks         live  thread");
	buf_add_char(v->out, '\n');
}

void view_threads_text(const struct view *v, const struct model *m, enum profile_metric metric,
                       const struct by_thread *t, size_t top)
{
	size_t shown = top && top < t->count ? top : t->count;

	threads_head(v, m, metric, t->total);
	for (size_t i = 0; i < shown; i++) {
		const struct by_thread_row *r = &t->rows[i];
		char a[32], b[32], c[32], d[32];

		view_percent(v, r->value, t->total);
		buf_printf(v->out, " %12s %12s %12s %12.0f %12s  ",
		           units_print_duration(a, sizeof(a), r->cpu_samples * m->cpu_period_ns),
		           units_print_duration(d, sizeof(d), r->off_cpu_samples * m->offcpu.period_ns),
		           units_print_bytes(b, sizeof(b), r->alloc_bytes), r->alloc_count,
		           units_print_bytes(c, sizeof(c), r->live_bytes));
		view_text(v, VIEW_PLAIN, r->name);
		if (r->tid)
			buf_printf(v->out, " (%" PRIu64 ")", r->tid);
		if (r->threads > 1)
			buf_printf(v->out, " (%zu threads)", r->threads);
		if (r->ended)
			view_text(v, VIEW_DIM, " ended");
		buf_add_char(v->out, '\n');
	}
	if (shown < t->count)
		buf_printf(v->out, "\n... and %zu more threads\n", t->count - shown);
}

void view_threads_json(struct buf *out, const struct model *m, enum profile_metric metric, const struct by_thread *t,
                       size_t top)
{
	struct json j;

	json_init(&j, out);
	json_object_begin(&j);
	json_key_string(&j, "metric", profile_metric_name(metric));
	json_key_string(&j, "unit", profile_metric_unit(metric));
	json_key_u64(&j, "period_ns", period_ns(m, metric));
	json_key_u64(&j, "total", t->total);
	json_key(&j, "threads");
	json_array_begin(&j);
	for (size_t i = 0; i < t->count && (!top || i < top); i++) {
		const struct by_thread_row *r = &t->rows[i];

		json_object_begin(&j);
		json_key_string(&j, "name", r->name);
		json_key_u64(&j, "tid", r->tid);
		json_key_u64(&j, "threads", r->threads);
		json_key_bool(&j, "ended", r->ended);
		json_key_u64(&j, "value", r->value);
		json_key_u64(&j, "cpu_samples", r->cpu_samples);
		json_key_u64(&j, "off_cpu_samples", r->off_cpu_samples);
		json_key_u64(&j, "alloc_bytes", r->alloc_bytes);
		json_key_u64(&j, "alloc_count", profile_whole(r->alloc_count));
		json_key_u64(&j, "live_bytes", r->live_bytes);
		json_key_u64(&j, "live_count", profile_whole(r->live_count));
		json_object_end(&j);
	}
	json_array_end(&j);
	json_object_end(&j);
	buf_add_char(out, '\n');
}
