/*
 * merge_rows.c - tables by stack: heap, CPU and off-CPU samples, mappings, leaks, misuse.
 *
 * Samples of recordings that took them at different rates stand for different times. The merged period is the greatest that
 * divides both, and each sample counts for as many of it as its own period has: times stay exact.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "merge_part.h"
#include "model_memory.h"

/* ---- periods ---- */

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* What one of the sum's samples, and one of the new ones, is worth in the period that both become. */
struct worth {
	uint64_t period_ns, ours, theirs;
};

static struct worth worth_of(const struct merge_samples *s, uint64_t period_ns, bool any)
{
	uint64_t divisor;

	if (!any || s->period_ns == period_ns)
		return (struct worth){ s->period_ns ? s->period_ns : period_ns, 1, 1 };
	if (s->rows.keys.count == 0)
		return (struct worth){ period_ns, 1, 1 };
	if (!s->period_ns || !period_ns)
		return (struct worth){ 0, 0, 0 };
	divisor = common_divisor(s->period_ns, period_ns);
	return (struct worth){ divisor, s->period_ns / divisor, period_ns / divisor };
}

static void take_period(struct merge_samples *s, uint64_t *sum, struct merge_list *window, struct worth w)
{
	s->period_ns = w.period_ns;
	if (w.ours == 1)
		return;
	for (size_t i = 0; i < s->rows.keys.count; i++)
		*(uint64_t *)merge_table_at(&s->rows, i) *= w.ours;
	*sum *= w.ours;
	merge_window_rescale(window, w.ours);
}

/* ---- does it fit? ---- */

static uint64_t sum_cpu(const struct model_cpu_row *rows, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += rows[i].samples; /* the reader has proved the sum */
	return sum;
}

static void heap_sums(const struct model *m, uint64_t add[SUM_COUNT])
{
	for (size_t i = 0; i < m->heap_count; i++) {
		const struct model_heap_row *r = &m->heap[i];

		add[SUM_ALLOC_BYTES] += r->alloc_bytes;
		add[SUM_PEAK_BYTES] += r->peak_bytes;
		add[SUM_ALLOC] = merge_saturated(add[SUM_ALLOC], merge_units(r->alloc_count));
		add[SUM_PEAK] = merge_saturated(add[SUM_PEAK], merge_units(r->peak_count));
		add[SUM_TEMPORARY] = merge_saturated(add[SUM_TEMPORARY], merge_units(r->temporary_count));
		if (!r->detail)
			continue;
		add[SUM_SLOP] += r->detail->slop_bytes;
		for (unsigned k = 0; k < SNAP_LIFETIMES; k++)
			add[SUM_LIFETIMES] = merge_saturated(add[SUM_LIFETIMES], merge_units(r->detail->lifetime[k]));
	}
	for (size_t i = 0; i < m->heap_thread_count; i++) {
		const struct model_heap_thread *t = &m->heap_threads[i];

		add[SUM_THREAD_BYTES] =
		        merge_saturated(add[SUM_THREAD_BYTES], merge_saturated(t->alloc_bytes, t->live_bytes));
		add[SUM_THREAD_COUNT] =
		        merge_saturated(add[SUM_THREAD_COUNT],
		                        merge_saturated(merge_units(t->alloc_count), merge_units(t->live_count)));
	}
}

static void other_sums(const struct model *m, uint64_t add[SUM_COUNT])
{
	for (size_t i = 0; i < m->mmap_count; i++)
		add[SUM_MMAP] = merge_saturated(add[SUM_MMAP], m->mmap[i].alloc_bytes);
	for (size_t i = 0; i < m->leaks.count; i++) {
		const struct model_leak *r = &m->leaks.rows[i];

		add[SUM_LEAKS] = merge_saturated(add[SUM_LEAKS], merge_units(r->count));
		add[SUM_LEAK_BYTES] += r->bytes;
		add[SUM_LEAK_SAMPLES] += r->samples;
		add[SUM_LEAK_ERROR] += r->error_bytes;
	}
	for (size_t i = 0; i < m->misuse_count; i++)
		add[SUM_MISUSE] += m->misuse[i].count;
	for (size_t i = 0; i < m->requests.route_count; i++)
		add[SUM_ROUTES] += m->requests.routes[i].count;
	for (size_t i = 0; i < m->database.row_count; i++)
		add[SUM_DATABASE] += m->database.rows[i].count;
}

static bool product_fits(uint64_t value, uint64_t factor, uint64_t *ret)
{
	return !__builtin_mul_overflow(value, factor, ret) && *ret <= INT64_MAX;
}

/* Samples: the sum so far is rescaled, too. */
static int samples_fit(uint64_t sum, const struct worth *w, uint64_t *add, struct err *err)
{
	if (!w->period_ns && !w->ours)
		return err_set(err, -EINVAL, "samples that stand for no time do not go with others that do");
	if (!product_fits(*add, w->theirs, add) || !product_fits(sum, w->ours, &sum) || *add > INT64_MAX - sum)
		return err_set(err, -ERANGE, "with the others, its samples are more than 63 bits");
	*add = 0; /* done */
	return 0;
}

static bool has_samples(const struct model *m)
{
	return m->cpu_count != 0;
}

int merge_rows_fit(const struct merge *g, const struct model *m, struct err *err)
{
	uint64_t add[SUM_COUNT] = { 0 };
	struct worth cpu = worth_of(&g->cpu, m->cpu_period_ns, has_samples(m));
	struct worth off = worth_of(&g->offcpu, m->offcpu.period_ns, m->offcpu.row_count != 0);
	int rc;

	if (g->cpu.rows.keys.count && has_samples(m) && g->head.clock_is_wall != m->clock_is_wall)
		return err_set(err, -EINVAL, "has samples of %s, and the others of %s: one profile cannot have both",
		               m->clock_is_wall ? "wall-clock time" : "CPU time",
		               m->clock_is_wall ? "CPU time" : "wall-clock time");
	add[SUM_CPU] = sum_cpu(m->cpu, m->cpu_count);
	add[SUM_OFFCPU] = sum_cpu(m->offcpu.rows, m->offcpu.row_count);
	rc = samples_fit(g->sum[SUM_CPU], &cpu, &add[SUM_CPU], err);
	if (rc == 0)
		rc = samples_fit(g->sum[SUM_OFFCPU], &off, &add[SUM_OFFCPU], err);
	if (rc < 0)
		return rc;
	if (!merge_requests_fit(g, m))
		return err_set(err, -ERANGE, "with the others, its requests have numbers of more than 63 bits");
	heap_sums(m, add);
	other_sums(m, add);
	for (size_t i = 0; i < SUM_COUNT; i++)
		if (add[i] > INT64_MAX - g->sum[i])
			return err_set(err, -ERANGE, "with the others, a sum is more than 63 bits");
	return 0;
}

/* ---- adding ---- */

static int add_detail(struct merge_input *in, struct merge_heap_row *to, const struct model_heap_detail *d)
{
	if (!d)
		return 0;
	if (!to->detail)
		to->detail = arena_array(&in->g->arena, 1, sizeof(*to->detail));
	if (!to->detail)
		return -ENOMEM;
	if (d->largest > to->detail->largest)
		to->detail->largest = d->largest;
	to->detail->slop_bytes += d->slop_bytes;
	for (unsigned k = 0; k < SNAP_LIFETIMES; k++)
		to->detail->lifetime[k] += d->lifetime[k];
	return 0;
}

static int add_heap(struct merge_input *in)
{
	const struct model *m = in->m;

	for (size_t i = 0; i < m->heap_count; i++) {
		const struct model_heap_row *r = &m->heap[i];
		uint32_t stack = merge_space_stack(in, r->stack);
		struct merge_heap_row *to = merge_table_row(&in->g->heap, &stack, sizeof(stack), 0, &in->rc);

		if (!to || in->rc < 0 || add_detail(in, to, r->detail) < 0)
			return -ENOMEM;
		to->alloc += merge_units(r->alloc_count);
		to->freed += merge_units(r->free_count);
		to->peak += merge_units(r->peak_count);
		to->temporary += merge_units(r->temporary_count);
		to->alloc_bytes += r->alloc_bytes;
		to->free_bytes += r->free_bytes;
		to->peak_bytes += r->peak_bytes;
	}
	for (size_t i = 0; i < m->heap_thread_count; i++) {
		const struct model_heap_thread *t = &m->heap_threads[i];
		struct merge_thread *to = merge_table_at(&in->g->threads, in->thread_of[t->thread]);

		to->heap = true;
		to->heap_alloc += merge_units(t->alloc_count);
		to->heap_live += merge_units(t->live_count);
		to->heap_alloc_bytes += t->alloc_bytes;
		to->heap_live_bytes += t->live_bytes;
	}
	return 0;
}

static int add_samples(struct merge_input *in, struct merge_samples *s, const struct model_cpu_row *rows, size_t n,
                       uint64_t factor)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t key[2] = { merge_space_stack(in, rows[i].stack), in->thread_of[rows[i].thread] };
		uint64_t *to = merge_table_row(&s->rows, key, sizeof(key), in->g->limits.threads, &in->rc);

		if (!to && in->rc == MERGE_FULL) { /* a row for each thread is kept free */
			in->rc = 0;
			in->g->lost[MERGE_LOST_ROWS]++;
			key[0] = 0;
			to = merge_table_row(&s->rows, key, sizeof(key), 0, &in->rc);
		}
		if (!to || in->rc < 0)
			return -ENOMEM;
		*to += rows[i].samples * factor;
	}
	return 0;
}

static int add_mmap(struct merge_input *in)
{
	for (size_t i = 0; i < in->m->mmap_count; i++) {
		uint32_t stack = merge_space_stack(in, in->m->mmap[i].stack);
		uint64_t *to = merge_table_row(&in->g->mmap, &stack, sizeof(stack), 0, &in->rc);

		if (!to || in->rc < 0)
			return -ENOMEM;
		to[0] = merge_saturated(to[0], merge_units(in->m->mmap[i].alloc_count) / MERGE_UNIT);
		to[1] += in->m->mmap[i].alloc_bytes;
	}
	return 0;
}

static int add_leaks(struct merge_input *in)
{
	for (size_t i = 0; i < in->m->leaks.count; i++) {
		const struct model_leak *r = &in->m->leaks.rows[i];
		uint32_t key[3] = { merge_space_stack(in, r->stack), r->kind, merge_space_stack(in, r->owner) };
		uint64_t first = merge_space_time(in, r->first_ns), last = merge_space_time(in, r->last_ns);
		struct merge_leak_row *to = merge_table_row(&in->g->leaks, key, sizeof(key), 2, &in->rc);

		if (!to && in->rc == MERGE_FULL) { /* two are kept free, one of each kind */
			in->rc = 0;
			in->g->lost[MERGE_LOST_ROWS]++;
			key[0] = key[2] = 0;
			to = merge_table_row(&in->g->leaks, key, sizeof(key), 0, &in->rc);
		}
		if (!to || in->rc < 0)
			return -ENOMEM;
		to->first_ns = to->count && to->first_ns < first ? to->first_ns : first;
		to->last_ns = last > to->last_ns ? last : to->last_ns;
		to->count += merge_units(r->count) ? merge_units(r->count) : 1; /* finer than our unit, and not none */
		to->bytes += r->bytes;
		to->confirmed += merge_units(r->confirmed_count);
		to->confirmed_bytes += r->confirmed_bytes;
		to->samples += r->samples;
		to->variance += (double)r->error_bytes * (double)r->error_bytes;
	}
	return 0;
}

static int add_misuse(struct merge_input *in)
{
	for (size_t i = 0; i < in->m->misuse_count; i++) {
		const struct model_misuse *r = &in->m->misuse[i];
		uint32_t key[7] = { r->kind,
			            r->allocated_by,
			            r->freed_by,
			            r->no_block,
			            merge_space_stack(in, r->allocated),
			            merge_space_stack(in, r->first_freed),
			            merge_space_stack(in, r->freed) };
		uint64_t time_ns = merge_space_time(in, r->time_ns), count;
		struct model_misuse *to = merge_table_row(&in->g->misuse, key, sizeof(key), 0, &in->rc);

		if (!to && in->rc == MERGE_FULL) {
			in->rc = 0;
			in->g->lost[MERGE_LOST_MISUSE] += r->count;
			continue;
		}
		if (!to || in->rc < 0)
			return -ENOMEM;
		count = to->count;
		if (!count || time_ns < to->time_ns) {
			*to = *r;
			to->time_ns = time_ns;
			to->thread = in->thread_of[r->thread];
			to->allocated = key[4];
			to->first_freed = key[5];
			to->freed = key[6];
		}
		to->count = count + r->count;
	}
	return 0;
}

int merge_rows_add(struct merge_input *in)
{
	const struct model *m = in->m;
	struct merge *g = in->g;
	struct worth cpu = worth_of(&g->cpu, m->cpu_period_ns, has_samples(m));
	struct worth off = worth_of(&g->offcpu, m->offcpu.period_ns, m->offcpu.row_count != 0);
	int rc;

	take_period(&g->cpu, &g->sum[SUM_CPU], &g->samples, cpu);
	take_period(&g->offcpu, &g->sum[SUM_OFFCPU], &g->offcpu_samples, off);
	in->cpu_factor = cpu.theirs;
	in->offcpu_factor = off.theirs;
	g->sum[SUM_CPU] += sum_cpu(m->cpu, m->cpu_count) * cpu.theirs;
	g->sum[SUM_OFFCPU] += sum_cpu(m->offcpu.rows, m->offcpu.row_count) * off.theirs;
	heap_sums(m, g->sum);
	other_sums(m, g->sum);
	rc = add_heap(in);
	if (rc == 0)
		rc = add_samples(in, &g->cpu, m->cpu, m->cpu_count, cpu.theirs);
	if (rc == 0)
		rc = add_samples(in, &g->offcpu, m->offcpu.rows, m->offcpu.row_count, off.theirs);
	if (rc == 0)
		rc = add_mmap(in);
	if (rc == 0)
		rc = add_leaks(in);
	return rc == 0 ? add_misuse(in) : rc;
}

/* ---- the result ---- */

static int compare_keys(const void *left, const void *right, void *context)
{
	const struct merge_table *t = context;
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
	const uint32_t *ka = t->keys.keys[a], *kb = t->keys.keys[b];

	for (size_t i = 0; i < t->keys.key_bytes[a] / sizeof(*ka); i++)
		if (ka[i] != kb[i])
			return ka[i] < kb[i] ? -1 : 1;
	return 0;
}

/* Numbers of a table's rows, sorted by their keys, which are words of 32 bits. NULL: no memory. */
static uint32_t *sorted(const struct merge_table *t)
{
	uint32_t *order = calloc(t->keys.count + 1, sizeof(*order));

	for (size_t i = 0; order && i < t->keys.count; i++)
		order[i] = (uint32_t)i;
	if (order)
		qsort_r(order, t->keys.count, sizeof(*order), compare_keys, (void *)t);
	return order;
}

static void heap_row(struct model_heap_row *to, uint32_t stack, const struct merge_heap_row *r)
{
	*to = (struct model_heap_row){ .stack = stack,
		                       .alloc_count = merge_count(r->alloc),
		                       .free_count = merge_count(r->freed),
		                       .peak_count = merge_count(r->peak),
		                       .temporary_count = merge_count(r->temporary),
		                       .alloc_bytes = r->alloc_bytes,
		                       .free_bytes = r->free_bytes,
		                       .peak_bytes = r->peak_bytes };
}

static int finish_heap(const struct merge *g, struct model *m)
{
	struct arena *a = model_arena(m);
	const struct merge_table *t = &g->heap;
	uint32_t *order = sorted(t);

	m->heap_count = t->keys.count;
	m->heap = arena_array(a, m->heap_count, sizeof(*m->heap));
	if (!order || !m->heap) {
		free(order);
		return -ENOMEM;
	}
	for (size_t i = 0; i < m->heap_count; i++) {
		const struct merge_heap_row *r = merge_table_at(t, order[i]);

		heap_row(&m->heap[i], *(const uint32_t *)t->keys.keys[order[i]], r);
		m->heap[i].detail = r->detail; /* copied below, or lost with its arena */
	}
	free(order);
	for (size_t i = 0; i < m->heap_count; i++) {
		struct model_heap_detail *detail = m->heap[i].detail ? arena_array(a, 1, sizeof(*detail)) : NULL;

		if (m->heap[i].detail && !detail)
			return -ENOMEM;
		if (detail)
			*detail = *m->heap[i].detail;
		m->heap[i].detail = detail;
	}
	return 0;
}

static int finish_heap_threads(const struct merge *g, struct model *m)
{
	m->heap_threads = arena_array(model_arena(m), g->threads.keys.count, sizeof(*m->heap_threads));
	if (!m->heap_threads)
		return -ENOMEM;
	for (size_t i = 0; i < g->threads.keys.count; i++) {
		const struct merge_thread *t = merge_table_at(&g->threads, i);

		if (t->heap)
			m->heap_threads[m->heap_thread_count++] =
			        (struct model_heap_thread){ (uint32_t)i, merge_count(t->heap_alloc),
				                            merge_count(t->heap_live), t->heap_alloc_bytes,
				                            t->heap_live_bytes };
	}
	return 0;
}

static int finish_samples(const struct merge_samples *s, struct model *m, struct model_cpu_row **ret, size_t *ret_count)
{
	uint32_t *order = sorted(&s->rows);
	struct model_cpu_row *rows = arena_array(model_arena(m), s->rows.keys.count, sizeof(*rows));

	if (!order || !rows) {
		free(order);
		return -ENOMEM;
	}
	for (size_t i = 0; i < s->rows.keys.count; i++) {
		const uint32_t *key = s->rows.keys.keys[order[i]];

		rows[i] =
		        (struct model_cpu_row){ key[0], key[1], *(const uint64_t *)merge_table_at(&s->rows, order[i]) };
	}
	*ret = rows;
	*ret_count = s->rows.keys.count;
	free(order);
	return 0;
}

static int finish_mmap(const struct merge *g, struct model *m)
{
	const struct merge_table *t = &g->mmap;
	uint32_t *order = sorted(t);

	m->mmap_count = t->keys.count;
	m->mmap = arena_array(model_arena(m), m->mmap_count, sizeof(*m->mmap));
	if (!order || !m->mmap) {
		free(order);
		return -ENOMEM;
	}
	for (size_t i = 0; i < m->mmap_count; i++) {
		const uint64_t *r = merge_table_at(t, order[i]);

		m->mmap[i] = (struct model_heap_row){ .stack = *(const uint32_t *)t->keys.keys[order[i]],
			                              .alloc_count = (double)r[0],
			                              .alloc_bytes = r[1] };
	}
	free(order);
	return 0;
}

static int finish_leaks(const struct merge *g, struct model *m)
{
	const struct merge_table *t = &g->leaks;
	uint32_t *order = sorted(t);

	m->leaks.count = t->keys.count;
	m->leaks.rows = arena_array(model_arena(m), m->leaks.count, sizeof(*m->leaks.rows));
	if (!order || !m->leaks.rows) {
		free(order);
		return -ENOMEM;
	}
	for (size_t i = 0; i < m->leaks.count; i++) {
		const struct merge_leak_row *r = merge_table_at(t, order[i]);
		const uint32_t *key = t->keys.keys[order[i]];

		m->leaks.rows[i] = (struct model_leak){ .stack = key[0],
			                                .kind = (enum snap_leak_kind)key[1],
			                                .owner = key[2],
			                                .count = merge_count(r->count),
			                                .bytes = r->bytes,
			                                .confirmed_count = merge_count(r->confirmed),
			                                .confirmed_bytes = r->confirmed_bytes,
			                                .samples = r->samples,
			                                .first_ns = r->first_ns,
			                                .last_ns = r->last_ns,
			                                .error_bytes = (uint64_t)sqrt(r->variance) };
	}
	free(order);
	return 0;
}

static int by_time(const void *left, const void *right)
{
	const struct model_misuse *a = left, *b = right;

	return (a->time_ns > b->time_ns) - (a->time_ns < b->time_ns);
}

static int finish_misuse(const struct merge *g, struct model *m)
{
	m->misuse_count = g->misuse.keys.count;
	m->misuse = arena_array(model_arena(m), m->misuse_count, sizeof(*m->misuse));
	if (!m->misuse)
		return -ENOMEM;
	if (m->misuse_count) {
		memcpy(m->misuse, g->misuse.rows, m->misuse_count * sizeof(*m->misuse));
		qsort(m->misuse, m->misuse_count, sizeof(*m->misuse), by_time);
	}
	return 0;
}

int merge_rows_finish(struct merge *g, struct model *m)
{
	int (*const parts[])(const struct merge *, struct model *) = { finish_heap, finish_heap_threads, finish_mmap,
		                                                       finish_leaks, finish_misuse };
	int rc = finish_samples(&g->cpu, m, &m->cpu, &m->cpu_count);

	if (rc == 0)
		rc = finish_samples(&g->offcpu, m, &m->offcpu.rows, &m->offcpu.row_count);
	for (size_t i = 0; i < ARRAY_LEN(parts) && rc == 0; i++)
		rc = parts[i](g, m);
	m->cpu_period_ns = g->cpu.period_ns;
	m->offcpu.period_ns = g->offcpu.period_ns;
	return rc;
}
