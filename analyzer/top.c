/*
 * top.c - readings to pictures.
 *
 * CPU is that of the window's samples, which carry their times: one reading is enough. What needs two (growth, rates) is the
 * difference to an older reading, of which the figures are kept, not the model. Names cost most, so one symbolizer is kept as
 * long as the modules stay the same.
 */
#include "top.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "fold.h"
#include "hot.h"
#include "intern.h"
#include "model.h"
#include "profile.h"
#include "requests.h"
#include "symbolize.h"
#include "units.h"

/* Readings that are looked back to: at most so many, at least so far apart, and so old. */
#define POINTS       64
#define POINT_GAP_NS (NS_PER_S)
#define LOOK_BACK_NS (60 * NS_PER_S)
#define RATE_BACK_NS (5 * NS_PER_S)

struct point {
	uint64_t end_ns, cpu_ns, live_bytes, requests;
	uint64_t *heap;      /* live bytes by number of the function */
	uint64_t *routes;    /* counts by number of the route */
	uint64_t *durations; /* of all routes, by range; NULL: no requests */
	size_t heap_count, route_count;
};

struct top {
	uint64_t window_ns;
	struct symbolize_options options;
	struct model *named; /* whose addresses `symbols` names */
	struct symbolizer *symbols;
	struct model *model; /* the last one; may be `named` */
	struct intern texts, functions, routes;
	struct arena arena;   /* of these */
	struct arena scratch; /* the picture's */
	struct point points[POINTS];
	size_t point_count; /* the newest last */
	struct top_picture picture;
};

int top_new(uint64_t window_ns, const struct symbolize_options *options, struct top **ret_top, struct err *err)
{
	struct top *t = calloc(1, sizeof(*t));

	if (!t)
		return err_set(err, -ENOMEM, "out of memory");
	t->window_ns = window_ns;
	if (options)
		t->options = *options;
	t->texts.arena = t->functions.arena = t->routes.arena = &t->arena;
	*ret_top = t;
	return 0;
}

static void point_done(struct point *p)
{
	free(p->heap);
	free(p->routes);
	free(p->durations);
	*p = (struct point){ 0 };
}

void top_free(struct top *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->point_count; i++)
		point_done(&t->points[i]);
	symbolizer_free(t->symbols);
	if (t->named != t->model)
		model_free(t->named);
	model_free(t->model);
	intern_done(&t->texts);
	intern_done(&t->functions);
	intern_done(&t->routes);
	arena_done(&t->arena);
	arena_done(&t->scratch);
	free(t);
}

/* ---- names ---- */

static bool same_modules(const struct model *a, const struct model *b)
{
	if (a->module_count != b->module_count)
		return false;
	for (size_t i = 0; i < a->module_count; i++)
		if (a->modules[i].start != b->modules[i].start || a->modules[i].end != b->modules[i].end ||
		    a->modules[i].load_ns != b->modules[i].load_ns ||
		    strcmp(a->modules[i].path, b->modules[i].path) != 0)
			return false;
	return true;
}

static int take_model(struct top *t, struct model *m, struct err *err)
{
	if (t->model != t->named)
		model_free(t->model);
	t->model = m;
	if (t->symbols && same_modules(t->named, m))
		return 0;
	symbolizer_free(t->symbols);
	t->symbols = NULL;
	model_free(t->named);
	t->named = m;
	return symbolizer_new(m, &t->options, &t->symbols, err);
}

static int64_t number_of(struct top *t, struct intern *table, const char *a, const char *b, uint64_t c)
{
	uint64_t key[3] = { 0, 0, c };
	int64_t first = intern_add(&t->texts, a, strlen(a)), second = intern_add(&t->texts, b, strlen(b));

	if (first < 0 || second < 0)
		return -ENOMEM;
	key[0] = (uint64_t)first;
	key[1] = (uint64_t)second;
	return intern_add(table, key, sizeof(key));
}

static const char *text_of(const struct top *t, const struct intern *table, int64_t number, unsigned part)
{
	const uint64_t *key = table->keys[number];

	return t->texts.keys[key[part]];
}

/* Functions of one metric, most first. -ENODATA: there is nothing of it. */
static int functions_of(const struct model *m, struct top *t, enum profile_metric metric, struct profile **ret_folded,
                        struct hot_function **ret_hot, size_t *ret_count, struct err *err)
{
	struct profile *p = NULL;
	int rc = profile_build(m, t->symbols, metric, &p, err);

	if (rc < 0)
		return rc;
	rc = fold_names(p, true, ret_folded, err);
	profile_free(p);
	if (rc < 0)
		return rc;
	rc = hot_functions(*ret_folded, ret_hot, ret_count, err);
	if (rc < 0) {
		profile_free(*ret_folded);
		*ret_folded = NULL;
	}
	return rc;
}

/* ---- CPU of the window ---- */

static int by_stack(const void *left, const void *right)
{
	const struct model_cpu_row *a = left, *b = right;

	return (a->stack > b->stack) - (a->stack < b->stack);
}

/* The model with only the window's samples in it. `ret_rows` is the caller's. */
static int window_of(struct top *t, struct model *ret, struct model_cpu_row **ret_rows)
{
	const struct model *m = t->model;
	uint64_t from = m->end_ns > t->window_ns ? m->end_ns - t->window_ns : 0;
	struct model_cpu_row *rows = calloc(m->sample_count + 1, sizeof(*rows));
	size_t n = 0, out = 0;

	if (!rows)
		return -ENOMEM;
	for (size_t i = m->sample_count; i > 0 && m->samples[i - 1].time_ns >= from; i--)
		rows[n++] = (struct model_cpu_row){ m->samples[i - 1].stack, 0, m->samples[i - 1].weight };
	t->picture.window_ns = t->window_ns;
	if (m->end_ns - m->start_ns < t->window_ns)
		t->picture.window_ns = m->end_ns - m->start_ns;
	qsort(rows, n, sizeof(*rows), by_stack);
	for (size_t i = 0; i < n; i++) {
		t->picture.window_samples += rows[i].samples;
		if (out && rows[out - 1].stack == rows[i].stack)
			rows[out - 1].samples += rows[i].samples;
		else
			rows[out++] = rows[i];
	}
	*ret = *m;
	ret->cpu = rows;
	ret->cpu_count = m->thread_count ? out : 0;
	ret->sample_count = 0;
	ret->offcpu.row_count = ret->offcpu.sample_count = 0;
	*ret_rows = rows;
	return 0;
}

static int add_functions(struct top *t, struct err *err)
{
	struct top_picture *pic = &t->picture;
	struct model window;
	struct model_cpu_row *rows = NULL;
	struct profile *folded = NULL;
	struct hot_function *hot = NULL;
	size_t n = 0;
	int rc = window_of(t, &window, &rows);

	if (rc == 0 && window.cpu_count)
		rc = functions_of(&window, t, METRIC_CPU, &folded, &hot, &n, err);
	free(rows);
	pic->functions = rc == 0 ? arena_array(&t->scratch, n, sizeof(*pic->functions)) : NULL;
	if (rc == 0 && !pic->functions)
		rc = -ENOMEM;
	for (size_t i = 0; i < n && rc == 0; i++) {
		const struct profile_frame *f = &folded->frames[hot[i].frame];
		int64_t number = number_of(t, &t->functions, f->function, f->module, 0);

		if (number < 0)
			rc = -ENOMEM;
		else
			pic->functions[pic->function_count++] =
			        (struct top_function){ text_of(t, &t->functions, number, 0),
				                       text_of(t, &t->functions, number, 1), hot[i].self,
				                       hot[i].total };
	}
	free(hot);
	profile_free(folded);
	return rc;
}

/* ---- the heap ---- */

/* The newest reading that is at least so old, else the oldest there is. NULL: none. */
static const struct point *point_before(const struct top *t, uint64_t back_ns)
{
	for (size_t i = t->point_count; i > 0; i--)
		if (t->model->end_ns - t->points[i - 1].end_ns >= back_ns)
			return &t->points[i - 1];
	return t->point_count ? &t->points[0] : NULL;
}

static double per_minute(uint64_t now, uint64_t before, uint64_t ns)
{
	return ns ? ((double)now - (double)before) * 60 * (double)NS_PER_S / (double)ns : 0;
}

static bool room_for(uint64_t **list, size_t *count, size_t number)
{
	size_t n = *count ? *count : 64;
	uint64_t *more;

	if (number < *count)
		return true;
	while (n <= number)
		n *= 2;
	more = realloc(*list, n * sizeof(*more));
	if (!more)
		return false;
	memset(more + *count, 0, (n - *count) * sizeof(*more));
	*list = more;
	*count = n;
	return true;
}

static void count_blocks(const struct profile *p, uint64_t *blocks)
{
	for (size_t i = 0; i < p->stack_count; i++)
		if (p->stacks[i].depth)
			blocks[p->stacks[i].frames[0]] += p->stacks[i].count;
}

static int add_heap(struct top *t, struct point *now, struct err *err)
{
	const struct point *before = point_before(t, LOOK_BACK_NS);
	struct top_picture *pic = &t->picture;
	struct profile *folded = NULL;
	struct hot_function *hot = NULL;
	uint64_t *blocks = NULL;
	size_t n = 0;
	int rc = functions_of(t->model, t, METRIC_LIVE, &folded, &hot, &n, err);

	if (rc == -ENODATA)
		return 0; /* the heap is not recorded */
	if (rc == 0) {
		blocks = calloc(folded->frame_count + 1, sizeof(*blocks));
		pic->heap = arena_array(&t->scratch, n, sizeof(*pic->heap));
		rc = blocks && pic->heap ? 0 : -ENOMEM;
	}
	if (rc == 0)
		count_blocks(folded, blocks);
	for (size_t i = 0; i < n && rc == 0; i++) {
		const struct profile_frame *f = &folded->frames[hot[i].frame];
		int64_t k = number_of(t, &t->functions, f->function, f->module, 0);
		uint64_t was;

		if (k < 0 || !room_for(&now->heap, &now->heap_count, (size_t)k)) {
			rc = -ENOMEM;
			break;
		}
		now->heap[k] = hot[i].self;
		was = before && (size_t)k < before->heap_count ? before->heap[k] : 0;
		pic->heap[pic->heap_count++] =
		        (struct top_heap){ text_of(t, &t->functions, k, 0),
			                   text_of(t, &t->functions, k, 1),
			                   hot[i].self,
			                   hot[i].total,
			                   blocks[hot[i].frame],
			                   before ? per_minute(hot[i].self, was, t->model->end_ns - before->end_ns)
			                          : 0 };
	}
	free(blocks);
	free(hot);
	profile_free(folded);
	return rc;
}

/* ---- requests ---- */

static void add_durations(uint64_t *all, const struct model_route *r)
{
	for (size_t i = 0; i < r->bucket_count; i++)
		all[r->buckets[i].bucket] += r->buckets[i].count;
}

static int add_quantiles(struct top *t, const struct point *now, const struct point *before, uint64_t max_ns)
{
	struct model_bucket *lately = calloc(SNAP_REQUEST_BUCKETS, sizeof(*lately));
	uint64_t count = 0;
	size_t n = 0;

	if (!lately)
		return -ENOMEM;
	for (int pass = 0; pass < 2 && !count; pass++) { /* nothing came lately: since the start */
		const uint64_t *old = pass == 0 && before ? before->durations : NULL;

		n = 0;
		for (uint32_t i = 0; i < SNAP_REQUEST_BUCKETS; i++) {
			uint64_t had = old && old[i] <= now->durations[i] ? old[i] : 0;

			if (now->durations[i] == had)
				continue;
			lately[n++] = (struct model_bucket){ i, now->durations[i] - had };
			count += now->durations[i] - had;
		}
	}
	t->picture.p50_ns = requests_quantile_of(lately, n, count, max_ns, 0.5);
	t->picture.p99_ns = requests_quantile_of(lately, n, count, max_ns, 0.99);
	free(lately);
	return 0;
}

static double rate_of(uint64_t now, uint64_t before, uint64_t ns)
{
	return ns && now > before ? (double)(now - before) * (double)NS_PER_S / (double)ns : 0;
}

static int by_rate(const void *left, const void *right)
{
	const struct top_route *a = left, *b = right;

	if (a->count != b->count)
		return a->count < b->count ? 1 : -1;
	return strcmp(a->route, b->route);
}

static int add_routes(struct top *t, struct point *now, const struct point *before, uint64_t ns)
{
	const struct model_requests *q = &t->model->requests;
	struct top_picture *pic = &t->picture;

	pic->routes = arena_array(&t->scratch, q->route_count, sizeof(*pic->routes));
	if (!pic->routes)
		return -ENOMEM;
	for (size_t i = 0; i < q->route_count; i++) {
		const struct model_route *r = &q->routes[i];
		int64_t k = number_of(t, &t->routes, r->method, r->route, r->status);
		uint64_t was;

		if (k < 0 || !room_for(&now->routes, &now->route_count, (size_t)k))
			return -ENOMEM;
		now->routes[k] = r->count;
		was = before && (size_t)k < before->route_count ? before->routes[k] : 0;
		add_durations(now->durations, r);
		pic->routes[pic->route_count++] = (struct top_route){ .method = text_of(t, &t->routes, k, 0),
			                                              .route = text_of(t, &t->routes, k, 1),
			                                              .status = r->status,
			                                              .count = r->count,
			                                              .p50_ns = requests_quantile(r, 0.5),
			                                              .p99_ns = requests_quantile(r, 0.99),
			                                              .max_ns = r->max_ns,
			                                              .rate = before ? rate_of(r->count, was, ns) : 0 };
	}
	qsort(pic->routes, pic->route_count, sizeof(*pic->routes), by_rate);
	return 0;
}

static int add_requests(struct top *t, struct point *now)
{
	const struct model_requests *q = &t->model->requests;
	const struct point *before = point_before(t, RATE_BACK_NS);
	struct top_picture *pic = &t->picture;
	uint64_t max_ns = 0, ns = before ? t->model->end_ns - before->end_ns : 0;
	int rc;

	pic->has_requests = q->recorded;
	if (!q->recorded)
		return 0;
	now->durations = calloc(SNAP_REQUEST_BUCKETS, sizeof(*now->durations));
	rc = now->durations ? add_routes(t, now, before, ns) : -ENOMEM;
	if (rc < 0)
		return rc;
	now->requests = q->count;
	pic->requests = q->count;
	pic->slow = q->slow;
	for (size_t i = 0; i < q->request_count; i++)
		pic->in_flight += q->requests[i].end_ns == 0;
	for (size_t i = 0; i < q->route_count; i++)
		max_ns = q->routes[i].max_ns > max_ns ? q->routes[i].max_ns : max_ns;
	pic->request_rate = before ? rate_of(q->count, before->requests, ns) : 0;
	return add_quantiles(t, now, before, max_ns);
}

/* ---- all ---- */

static void add_totals(struct top *t, struct point *now)
{
	const struct model *m = t->model;
	const struct point *before = point_before(t, RATE_BACK_NS), *growth = point_before(t, LOOK_BACK_NS);
	struct top_picture *pic = &t->picture;
	double blocks = 0;

	for (size_t i = 0; i < m->heap_count; i++) {
		pic->live_bytes += m->heap[i].alloc_bytes - m->heap[i].free_bytes;
		blocks += m->heap[i].alloc_count - m->heap[i].free_count;
	}
	pic->live_blocks = profile_whole(blocks);
	pic->peak_bytes = m->heap_peak_bytes > pic->live_bytes ? m->heap_peak_bytes : pic->live_bytes;
	pic->running_ns = m->end_ns - m->start_ns;
	pic->period_ns = m->cpu_period_ns;
	for (size_t i = 0; i < m->loss_count; i++)
		pic->lost += m->losses[i].count;
	now->end_ns = m->end_ns;
	now->cpu_ns = m->process_cpu_ns;
	now->live_bytes = pic->live_bytes;
	if (before && m->end_ns > before->end_ns && m->process_cpu_ns >= before->cpu_ns)
		pic->cpu_percent =
		        100.0 * (double)(m->process_cpu_ns - before->cpu_ns) / (double)(m->end_ns - before->end_ns);
	else if (pic->window_ns)
		pic->cpu_percent = 100.0 * (double)(pic->window_samples * m->cpu_period_ns) / (double)pic->window_ns;
	if (growth) {
		pic->growth_ns = m->end_ns - growth->end_ns;
		pic->growth = per_minute(pic->live_bytes, growth->live_bytes, pic->growth_ns);
	}
}

/* Keeps the reading, if it is far enough from the one before. */
static void keep(struct top *t, struct point *now)
{
	struct point *last = t->point_count ? &t->points[t->point_count - 1] : NULL;

	if (last && now->end_ns < last->end_ns + POINT_GAP_NS) {
		point_done(now);
		return;
	}
	if (t->point_count == POINTS) {
		point_done(&t->points[0]);
		memmove(t->points, t->points + 1, (POINTS - 1) * sizeof(*t->points));
		t->point_count--;
	}
	t->points[t->point_count++] = *now; /* moved */
}

int top_add(struct top *t, struct model *m, const struct top_picture **ret_picture, struct err *err)
{
	struct point now = { 0 };
	int rc = take_model(t, m, err);

	arena_done(&t->scratch);
	t->picture = (struct top_picture){ .model = m };
	if (rc == 0)
		rc = add_functions(t, err);
	if (rc == 0)
		rc = add_heap(t, &now, err);
	if (rc == 0)
		rc = add_requests(t, &now);
	if (rc < 0) {
		point_done(&now);
		return rc == -ENOMEM ? err_set(err, rc, "out of memory") : rc;
	}
	add_totals(t, &now);
	keep(t, &now);
	*ret_picture = &t->picture;
	return 0;
}
