#include "model.h"

#include <assert.h>
#include <stdlib.h>

#include "model_memory.h"

struct model *model_new(void)
{
	struct model *m = calloc(1, sizeof(*m));
	struct arena *a = calloc(1, sizeof(*a));

	if (!m || !a) {
		free(m);
		free(a);
		return NULL;
	}
	m->memory = a;
	m->comm = m->exe = m->reason = m->cmdline = "";
	m->engine_cpu = m->engine_cpu_why = m->engine_heap = m->engine_unwind = "";
	m->kernel = m->machine = m->recorder_version = "";
	m->because = m->boot = m->offcpu.why = "";
	m->leaks.method = m->leaks.note = m->leaks.suppressions = "";
	return m;
}

struct arena *model_arena(struct model *m)
{
	return m->memory;
}

void model_free(struct model *m)
{
	if (!m)
		return;
	arena_done(m->memory);
	free(m->memory);
	free(m);
}

static void check_heap(const struct model *m)
{
	for (size_t i = 0; i < m->heap_count; i++) {
		const struct model_heap_row *r = &m->heap[i];

		assert(r->stack <= m->node_count);
		assert(i == 0 || m->heap[i - 1].stack < r->stack);
		assert(r->free_bytes <= r->alloc_bytes && r->free_count <= r->alloc_count);
		for (unsigned k = 0; r->detail && k < SNAP_LIFETIMES; k++)
			assert(r->detail->lifetime[k] >= 0);
		(void)r; /* with NDEBUG */
	}
	for (size_t i = 0; i < m->heap_thread_count; i++) {
		assert(m->heap_threads[i].thread < m->thread_count);
		assert(i == 0 || m->heap_threads[i - 1].thread < m->heap_threads[i].thread);
	}
}

static void check_cpu(const struct model *m)
{
	for (size_t i = 0; i < m->cpu_count; i++) {
		const struct model_cpu_row *r = &m->cpu[i];

		assert(r->stack <= m->node_count && r->thread < m->thread_count);
		assert(i == 0 || m->cpu[i - 1].stack < r->stack ||
		       (m->cpu[i - 1].stack == r->stack && m->cpu[i - 1].thread < r->thread));
		(void)r;
	}
	for (size_t i = 0; i < m->sample_count; i++) {
		const struct model_sample *s = &m->samples[i];

		assert(s->stack <= m->node_count && s->thread < m->thread_count);
		assert(i == 0 || m->samples[i - 1].time_ns <= s->time_ns);
		(void)s;
	}
}

static void check_misuse(const struct model *m)
{
	for (size_t i = 0; i < m->misuse_count; i++) {
		const struct model_misuse *r = &m->misuse[i];

		assert(r->kind < SNAP_MISUSE_COUNT && r->no_block < SNAP_NO_BLOCK_COUNT);
		assert(r->allocated_by < SNAP_FAMILY_COUNT && r->freed_by < SNAP_FAMILY_COUNT);
		assert(r->allocated <= m->node_count && r->first_freed <= m->node_count && r->freed <= m->node_count);
		assert(r->thread < m->thread_count && r->count > 0);
		(void)r;
	}
}

static void check_marks(const struct model *m)
{
	for (size_t i = 0; i < m->mark_count; i++) {
		assert(m->marks[i].name && m->marks[i].thread < m->thread_count);
		assert(i == 0 || m->marks[i - 1].time_ns <= m->marks[i].time_ns);
	}
}

static void check_mmap(const struct model *m)
{
	assert(m->mmap_recorded || m->mmap_count == 0);
	for (size_t i = 0; i < m->mmap_count; i++) {
		assert(m->mmap[i].stack <= m->node_count && m->mmap[i].alloc_count >= 1);
		assert(i == 0 || m->mmap[i - 1].stack < m->mmap[i].stack);
	}
}

static bool leak_follows(const struct model_leak *before, const struct model_leak *r)
{
	if (before->stack != r->stack)
		return before->stack < r->stack;
	if (before->kind != r->kind)
		return before->kind < r->kind;
	return before->owner < r->owner;
}

static void check_leaks(const struct model *m)
{
	const struct model_leaks *l = &m->leaks;

	assert(l->method && l->note && l->suppressions && l->checks <= SNAP_LEAK_MAX_CHECKS);
	assert(l->recorded || (!l->done && !l->sampled));
	assert(l->done || l->count == 0);
	for (size_t i = 0; i < l->count; i++) {
		const struct model_leak *r = &l->rows[i];

		assert(r->stack <= m->node_count && r->owner <= m->node_count && r->kind < SNAP_LEAK_KIND_COUNT);
		assert(r->kind == SNAP_LEAK_INDIRECT || r->owner == 0);
		assert(r->count > 0 && r->samples > 0 && r->confirmed_count <= r->count);
		assert(r->confirmed_bytes <= r->bytes && r->first_ns <= r->last_ns);
		assert(l->sampled || r->error_bytes == 0);
		assert(i == 0 || leak_follows(&l->rows[i - 1], r));
		(void)r; /* with NDEBUG */
	}
	(void)leak_follows;
}

static void check_buckets(const struct model_bucket *buckets, size_t n, uint64_t count)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		assert(buckets[i].bucket < SNAP_REQUEST_BUCKETS);
		assert(i == 0 || buckets[i - 1].bucket < buckets[i].bucket);
		sum += buckets[i].count;
	}
	assert(sum == count);
	(void)sum; /* with NDEBUG */
	(void)count;
}

static void check_requests(const struct model *m)
{
	const struct model_requests *q = &m->requests;

	assert(q->recorded || (!q->route_count && !q->request_count && !q->span_count));
	for (size_t i = 0; i < q->route_count; i++) {
		const struct model_route *r = &q->routes[i];

		assert(r->method && r->route);
		check_buckets(r->buckets, r->bucket_count, r->count);
	}
	for (size_t i = 0; i < q->request_count; i++) {
		const struct model_request *r = &q->requests[i];

		assert(r->method && r->path && r->thread_start < m->thread_count && r->thread_end < m->thread_count);
		assert(!r->first_ns || r->first_ns >= r->start_ns);
		assert(!r->end_ns || r->end_ns >= r->start_ns);
		assert(i == 0 || q->requests[i - 1].id < r->id);
		(void)r;
	}
	for (size_t i = 0; i < q->span_count; i++) {
		assert(q->spans[i].from_ns <= q->spans[i].to_ns && q->spans[i].thread < m->thread_count);
		assert(i == 0 || q->spans[i - 1].from_ns <= q->spans[i].from_ns);
	}
}

static void check_offcpu(const struct model *m)
{
	const struct model_offcpu *o = &m->offcpu;

	assert(o->why);
	for (size_t i = 0; i < o->row_count; i++)
		assert(o->rows[i].stack <= m->node_count && o->rows[i].thread < m->thread_count);
	for (size_t i = 0; i < o->sample_count; i++) {
		assert(o->samples[i].stack <= m->node_count && o->samples[i].thread < m->thread_count);
		assert(i == 0 || o->samples[i - 1].time_ns <= o->samples[i].time_ns);
	}
}

static void check_database(const struct model *m)
{
	const struct model_database *d = &m->database;

	assert(d->recorded || (!d->row_count && !d->span_count));
	for (size_t i = 0; i < d->row_count; i++) {
		const struct model_database_row *r = &d->rows[i];

		assert(r->system && r->operation && r->table && r->errors <= r->count);
		check_buckets(r->buckets, r->bucket_count, r->count);
	}
	for (size_t i = 0; i < d->span_count; i++) {
		assert(d->spans[i].row < d->row_count && d->spans[i].thread < m->thread_count);
		assert(i == 0 || d->spans[i - 1].start_ns <= d->spans[i].start_ns);
	}
}

static void check_series(const struct model *m)
{
	for (size_t i = 1; i < m->series.count; i++) {
		const struct model_series_point *p = &m->series.points[i];

		assert(p[-1].time_ns <= p->time_ns && p[-1].cpu_ns <= p->cpu_ns && p[-1].requests <= p->requests);
		(void)p;
	}
}

void model_check(const struct model *m)
{
	assert(m->comm && m->exe && m->reason && m->because && m->boot && m->cmdline && m->engine_cpu &&
	       m->engine_cpu_why);
	assert(m->engine_heap && m->engine_unwind && m->kernel && m->machine && m->recorder_version);
	assert(m->end_ns >= m->start_ns);
	for (size_t i = 0; i < m->option_count; i++)
		assert(m->options[i].name && m->options[i].value);
	for (size_t i = 0; i < m->loss_count; i++)
		assert(m->losses[i].name);
	for (size_t i = 0; i < m->module_count; i++)
		assert(m->modules[i].start <= m->modules[i].end && m->modules[i].path &&
		       m->modules[i].build_id_bytes <= SNAP_MAX_BUILD_ID);
	for (size_t i = 0; i < m->thread_count; i++)
		assert(m->threads[i].name);
	for (size_t i = 0; i < m->node_count; i++)
		assert(m->nodes[i].parent <= i && m->nodes[i].pc != SNAP_PC_NONE);
	check_heap(m);
	check_cpu(m);
	check_misuse(m);
	check_marks(m);
	check_mmap(m);
	check_leaks(m);
	check_requests(m);
	check_offcpu(m);
	check_database(m);
	check_series(m);
}
