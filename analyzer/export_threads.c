#include "export_threads.h"

#include <errno.h>
#include <stdlib.h>

#include "units.h"

/* ---- by thread ---- */

static int by_tid(const void *a, const void *b, void *context)
{
	const struct profile *p = context;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	if (p->threads[x].tid != p->threads[y].tid)
		return p->threads[x].tid < p->threads[y].tid ? -1 : 1;
	return (x > y) - (x < y);
}

/* first_of[i]: the first thread with the tid of thread i. */
static int find_first(const struct profile *p, uint32_t *first_of)
{
	uint32_t *order = calloc(p->thread_count + 1, sizeof(*order));

	if (!order)
		return -ENOMEM;
	for (size_t i = 0; i < p->thread_count; i++)
		order[i] = (uint32_t)i;
	qsort_r(order, p->thread_count, sizeof(*order), by_tid, (void *)p);
	for (size_t i = 0, run = 0; i < p->thread_count; i++) {
		if (p->threads[order[i]].tid != p->threads[order[run]].tid)
			run = i;
		first_of[order[i]] = order[run];
	}
	free(order);
	return 0;
}

static void note_times(const struct profile *p, struct export_thread *t, const struct profile_thread *from)
{
	uint64_t end = from->end_ns ? from->end_ns : p->end_ns;

	if (t->start_ns == 0 || from->start_ns < t->start_ns)
		t->start_ns = from->start_ns;
	if (end > t->end_ns)
		t->end_ns = end;
}

/* `lists` has a place for each thread and one, the last, for samples without; place_of gives a sample's. */
static size_t place_of(const struct profile *p, const uint32_t *first_of, const struct export_sample *s)
{
	uint32_t thread = p->stacks[s->stack].thread;

	return thread < p->thread_count ? first_of[thread] : p->thread_count;
}

static void distribute(const struct profile *p, const uint32_t *first_of, const struct export_samples *all,
                       struct export_thread *lists, struct export_sample *out)
{
	for (size_t i = 0; i < all->count; i++)
		lists[place_of(p, first_of, &all->items[i])].samples.count++;
	for (size_t k = 0; k <= p->thread_count; k++) {
		lists[k].samples.items = out;
		out += lists[k].samples.count;
		lists[k].samples.count = 0;
	}
	for (size_t i = 0; i < all->count; i++) { /* their order stays: those without a time come first */
		struct export_samples *s = &lists[place_of(p, first_of, &all->items[i])].samples;

		s->items[s->count++] = all->items[i];
		s->total += all->items[i].weight;
		s->untimed += all->items[i].time_ns ? 0 : all->items[i].weight;
	}
}

int export_threads_get(const struct profile *p, uint64_t tid, struct export_threads *ret)
{
	struct export_samples all = { 0 };
	struct export_threads t = { .items = calloc(p->thread_count + 1, sizeof(*t.items)) };
	uint32_t *first_of = calloc(p->thread_count + 1, sizeof(*first_of));
	int rc = t.items && first_of ? find_first(p, first_of) : -ENOMEM;

	if (rc == 0)
		rc = export_samples_get(p, tid, &all);
	if (rc == 0) {
		t.samples = calloc(all.count + 1, sizeof(*t.samples));
		rc = t.samples ? 0 : -ENOMEM;
	}
	if (rc == 0) {
		distribute(p, first_of, &all, t.items, t.samples);
		for (size_t i = 0; i < p->thread_count; i++)
			note_times(p, &t.items[first_of[i]], &p->threads[i]);
		note_times(p, &t.items[p->thread_count], &(struct profile_thread){ .start_ns = p->start_ns });
		for (size_t i = 0; i <= p->thread_count; i++) {
			struct export_thread *from = &t.items[i];

			from->tid = i < p->thread_count ? p->threads[i].tid : p->pid;
			from->name = i < p->thread_count ? p->threads[i].name : p->comm;
			if (from->samples.count)
				t.items[t.count++] = *from;
		}
	}
	free(first_of);
	export_samples_done(&all);
	if (rc < 0)
		export_threads_done(&t);
	else
		*ret = t; /* moved */
	return rc;
}

void export_threads_done(struct export_threads *t)
{
	free(t->items);
	free(t->samples);
	*t = (struct export_threads){ 0 };
}

/* ---- on a time line ---- */

static void add_instant(struct export_timeline *t, uint32_t stack, uint64_t weight, uint64_t length_ns)
{
	if (t->count == t->cap && !t->failed) {
		size_t cap = t->cap ? t->cap * 2 : 256;
		struct export_instant *items = realloc(t->items, cap * sizeof(*items));

		t->failed = !items;
		t->items = items ? items : t->items;
		t->cap = items ? cap : t->cap;
	}
	if (t->failed)
		return;
	t->items[t->count++] =
	        (struct export_instant){ stack, weight, t->at_ns / EXPORT_GRID_NS * (EXPORT_GRID_NS / NS_PER_US) };
	t->at_ns += length_ns;
}

static void add_weight(struct export_timeline *t, const struct export_sample *s, bool repeat, uint64_t period_ns)
{
	if (!repeat) {
		add_instant(t, s->stack, s->weight, s->weight * period_ns);
		return;
	}
	for (uint64_t n = 0; n < s->weight; n++)
		add_instant(t, s->stack, 1, period_ns);
}

static uint64_t subtract(uint64_t from, uint64_t what)
{
	return from > what ? from - what : 0;
}

/* When the first sample's period began, if it and all before it had run without a gap up to the first time known. */
static uint64_t first_ns(const struct export_samples *samples, uint64_t period_ns, bool by_clock, uint64_t start_ns)
{
	for (size_t i = 0; by_clock && i < samples->count; i++)
		if (samples->items[i].time_ns)
			return subtract(samples->items[i].time_ns,
			                (samples->untimed + samples->items[i].weight) * period_ns);
	return start_ns;
}

/* A sample's period ended at its time. Timers are late by less than a period; only longer gaps are real. */
static uint64_t add_gap(struct export_timeline *t, const struct export_sample *s, uint64_t period_ns)
{
	uint64_t begin = subtract(s->time_ns, s->weight * period_ns + t->start_ns), gap;

	if (s->time_ns == 0 || begin < t->at_ns + period_ns)
		return 0;
	gap = begin - t->at_ns;
	add_instant(t, EXPORT_IDLE, 0, gap);
	return gap;
}

int export_timeline_get(const struct export_samples *samples, uint64_t period_ns, bool by_clock, uint64_t start_ns,
                        uint64_t end_ns, uint64_t most, struct export_timeline *ret)
{
	struct export_timeline t = { 0 };
	uint64_t idle_ns = 0, end;

	by_clock = by_clock && samples->untimed < samples->total;
	t.start_ns = first_ns(samples, period_ns, by_clock, start_ns) / EXPORT_GRID_NS * EXPORT_GRID_NS;
	if (t.start_ns == 0)
		t.start_ns = EXPORT_GRID_NS; /* readers want a start above 0 */
	for (size_t i = 0; i < samples->count; i++) {
		if (by_clock)
			idle_ns += add_gap(&t, &samples->items[i], period_ns);
		add_weight(&t, &samples->items[i], samples->total <= most, period_ns);
	}
	end = by_clock ? subtract(end_ns, t.start_ns) : 0;
	if (end > t.at_ns)
		idle_ns += end - t.at_ns;
	t.idle_periods = (idle_ns + period_ns - 1) / period_ns;
	end = (samples->total + t.idle_periods) * period_ns;
	if (end > t.at_ns)
		add_instant(&t, EXPORT_IDLE, 0, end - t.at_ns);
	add_instant(&t, EXPORT_IDLE, 0, 0);
	if (t.failed) {
		export_timeline_done(&t);
		return -ENOMEM;
	}
	*ret = t; /* moved */
	return 0;
}

void export_timeline_done(struct export_timeline *t)
{
	free(t->items);
	*t = (struct export_timeline){ 0 };
}
