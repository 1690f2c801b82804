#include "by_thread.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

static uint64_t value_of(const struct by_thread_row *r, enum profile_metric metric)
{
	switch (metric) {
	case METRIC_CPU:
		return r->cpu_samples;
	case METRIC_WALL:
		return r->cpu_samples + r->off_cpu_samples;
	case METRIC_OFF_CPU:
		return r->off_cpu_samples;
	case METRIC_LIVE:
		return r->live_bytes;
	case METRIC_LIVE_COUNT:
		return profile_whole(r->live_count);
	case METRIC_ALLOC_COUNT:
		return profile_whole(r->alloc_count);
	default:
		return r->alloc_bytes;
	}
}

static bool is_known(enum profile_metric metric)
{
	return metric <= METRIC_ALLOC_COUNT || metric == METRIC_OFF_CPU;
}
static_assert(METRIC_CPU == 0 && METRIC_ALLOC_COUNT == 5, "the metrics that are known by thread come first");

static int check(const struct model *m, enum profile_metric metric, struct err *err)
{
	if (!is_known(metric))
		return err_set(err, -EINVAL,
		               "'%s' is not recorded by thread; cpu, wall, off-cpu, live, live-count, alloc and "
		               "alloc-count are",
		               profile_metric_name(metric));
	if (metric <= METRIC_WALL || metric == METRIC_OFF_CPU)
		return profile_check_time(m, metric, err);
	if (m->heap_thread_count == 0)
		return err_set(err, -ENODATA,
		               "recorded without the threads of the heap (PERFPROBE_HEAP=off, or a "
		               "recorder older than format 1.2)");
	if ((metric == METRIC_LIVE || metric == METRIC_LIVE_COUNT) && m->heap_detail_one_in == 0)
		return err_set(
		        err, -ENODATA,
		        "recorded without whose blocks are alive (PERFPROBE_DETAIL=64, the default, records it)");
	return 0;
}

static struct by_thread_row *rows_of(const struct model *m)
{
	struct by_thread_row *rows = calloc(m->thread_count + 1, sizeof(*rows));

	for (size_t i = 0; rows && i < m->thread_count; i++)
		rows[i] = (struct by_thread_row){ .name = m->threads[i].name,
			                          .tid = m->threads[i].tid,
			                          .threads = 1,
			                          .ended = m->threads[i].end_ns != 0 || !m->threads[i].tid };
	for (size_t i = 0; rows && i < m->cpu_count; i++)
		rows[m->cpu[i].thread].cpu_samples += m->cpu[i].samples;
	for (size_t i = 0; rows && i < m->offcpu.row_count; i++)
		rows[m->offcpu.rows[i].thread].off_cpu_samples += m->offcpu.rows[i].samples;
	for (size_t i = 0; rows && i < m->heap_thread_count; i++) {
		const struct model_heap_thread *t = &m->heap_threads[i];
		struct by_thread_row *r = &rows[t->thread];

		r->alloc_bytes = t->alloc_bytes;
		r->alloc_count = t->alloc_count;
		r->live_bytes = t->live_bytes;
		r->live_count = t->live_count;
	}
	return rows;
}

static int by_name(const void *left, const void *right)
{
	const struct by_thread_row *a = left, *b = right;
	int order = strcmp(a->name, b->name);

	if (order == 0)
		order = (int)a->ended - (int)b->ended;
	return order ? order : (a->tid > b->tid) - (a->tid < b->tid);
}

static int by_value(const void *left, const void *right)
{
	const struct by_thread_row *a = left, *b = right;

	return a->value != b->value ? (a->value > b->value ? -1 : 1) : by_name(left, right);
}

static void join(struct by_thread_row *to, const struct by_thread_row *from)
{
	to->tid = 0;
	to->threads += from->threads;
	to->cpu_samples += from->cpu_samples;
	to->off_cpu_samples += from->off_cpu_samples;
	to->alloc_bytes += from->alloc_bytes;
	to->alloc_count += from->alloc_count;
	to->live_bytes += from->live_bytes;
	to->live_count += from->live_count;
}

/* Ended neighbours of one name become one row. */
static size_t fold(struct by_thread_row *rows, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		struct by_thread_row *last = kept ? &rows[kept - 1] : NULL;

		if (rows[i].cpu_samples == 0 && rows[i].off_cpu_samples == 0 && rows[i].alloc_count <= 0 &&
		    rows[i].live_count <= 0)
			continue;
		if (last && last->ended && rows[i].ended && strcmp(last->name, rows[i].name) == 0)
			join(last, &rows[i]);
		else
			rows[kept++] = rows[i];
	}
	return kept;
}

int by_thread(const struct model *m, enum profile_metric metric, struct by_thread *ret, struct err *err)
{
	int rc = check(m, metric, err);
	struct by_thread t = { NULL, 0, 0 };

	if (rc < 0)
		return rc;
	t.rows = rows_of(m);
	if (!t.rows)
		return err_set(err, -ENOMEM, "out of memory");
	qsort(t.rows, m->thread_count, sizeof(*t.rows), by_name);
	t.count = fold(t.rows, m->thread_count);
	for (size_t i = 0; i < t.count; i++) {
		t.rows[i].value = value_of(&t.rows[i], metric);
		t.total += t.rows[i].value;
	}
	qsort(t.rows, t.count, sizeof(*t.rows), by_value);
	*ret = t;
	return 0;
}
