/*
 * merge.c - models in, one model out.
 *
 * A model is added in one pass: first what makes it impossible (sums beyond 63 bits, clocks that differ) is looked for, so that one
 * which does not fit leaves no trace; then its modules, threads and stacks get their places (merge_space.c), and its tables
 * are added up by these (merge_rows.c, merge_window.c, merge_requests.c, merge_about.c).
 */
#include "merge.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "merge_part.h"
#include "model_memory.h"

const struct merge_limits merge_default_limits = {
	.nodes = 1 << 20,
	.modules = 1 << 12,
	.threads = 1 << 10,
	.rows = 1 << 20,
	.samples = 1 << 18,
	.requests = 1 << 13,
	.spans = 1 << 17,
	.routes = 1 << 10,
	.marks = 1 << 12,
	.misuse = 1 << 14,
	.names = 1 << 9,
};

/* ---- tables ---- */

void *merge_table_at(const struct merge_table *t, size_t i)
{
	return t->rows + i * t->row_bytes;
}

void *merge_table_row(struct merge_table *t, const void *key, size_t bytes, size_t reserve, int *ret_rc)
{
	int64_t i = intern_find(&t->keys, key, bytes);

	if (i >= 0)
		return merge_table_at(t, (size_t)i);
	if (t->keys.count + reserve >= t->limit) {
		*ret_rc = MERGE_FULL;
		return NULL;
	}
	if (t->keys.count == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 64;
		uint8_t *rows = realloc(t->rows, cap * t->row_bytes);

		if (!rows) {
			*ret_rc = -ENOMEM;
			return NULL;
		}
		t->rows = rows;
		t->cap = cap;
	}
	i = intern_add(&t->keys, key, bytes);
	if (i < 0) {
		*ret_rc = -ENOMEM;
		return NULL;
	}
	memset(merge_table_at(t, (size_t)i), 0, t->row_bytes);
	return merge_table_at(t, (size_t)i);
}

void *merge_list_add(struct merge_list *l)
{
	uint8_t *item;

	if (l->count == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 64;
		uint8_t *items = realloc(l->items, cap * l->item_bytes);

		if (!items)
			return NULL;
		l->items = items;
		l->cap = cap;
	}
	item = l->items + l->count++ * l->item_bytes;
	memset(item, 0, l->item_bytes);
	return item;
}

uint64_t merge_units(double count)
{
	double units = count * MERGE_UNIT;

	return units >= 0x1p63 ? INT64_MAX : (uint64_t)llround(units);
}

/* Exact up to 2^53 whole ones. */
double merge_count(uint64_t units)
{
	return (double)(units / MERGE_UNIT) + (double)(units % MERGE_UNIT) / MERGE_UNIT;
}

uint64_t merge_moved(uint64_t ns, int64_t by)
{
	__int128 moved = (__int128)ns + by;

	return moved < 1 ? 1 : moved > INT64_MAX ? INT64_MAX : (uint64_t)moved;
}

/* ---- life ---- */

static void table_init(struct merge *g, struct merge_table *t, size_t row_bytes, size_t limit)
{
	*t = (struct merge_table){ .keys = { .arena = &g->arena }, .row_bytes = row_bytes, .limit = limit };
}

static void list_init(struct merge_list *l, size_t item_bytes)
{
	*l = (struct merge_list){ .item_bytes = item_bytes };
}

int merge_new(const struct merge_limits *limits, const struct merge_about *about, struct merge **ret_merge,
              struct err *err)
{
	struct merge *g = calloc(1, sizeof(*g));

	if (!g)
		return err_set(err, -ENOMEM, "out of memory");
	g->limits = *limits;
	g->about = *about;
	g->single = about->recordings == 1;
	g->texts.arena = &g->arena;
	table_init(g, &g->options, sizeof(struct merge_option), limits->names);
	table_init(g, &g->losses, sizeof(uint64_t), limits->names);
	table_init(g, &g->modules, sizeof(struct model_module), limits->modules);
	table_init(g, &g->threads, sizeof(struct merge_thread), limits->threads);
	table_init(g, &g->nodes, sizeof(struct model_node), limits->nodes);
	table_init(g, &g->heap, sizeof(struct merge_heap_row), SIZE_MAX); /* as many as stacks, at most */
	table_init(g, &g->mmap, 2 * sizeof(uint64_t), SIZE_MAX);
	table_init(g, &g->leaks, sizeof(struct merge_leak_row), limits->rows);
	table_init(g, &g->misuse, sizeof(struct model_misuse), limits->misuse);
	table_init(g, &g->suppressions, sizeof(char), limits->names);
	table_init(g, &g->cpu.rows, sizeof(uint64_t), limits->rows);
	table_init(g, &g->offcpu.rows, sizeof(uint64_t), limits->rows);
	table_init(g, &g->routes, sizeof(struct merge_durations), limits->routes);
	table_init(g, &g->database, sizeof(struct merge_durations), limits->routes);
	list_init(&g->samples, sizeof(struct merge_sample));
	list_init(&g->offcpu_samples, sizeof(struct merge_sample));
	list_init(&g->marks, sizeof(struct model_mark));
	list_init(&g->requests, sizeof(struct merge_request));
	list_init(&g->spans, sizeof(struct model_request_span));
	list_init(&g->database_spans, sizeof(struct model_database_span));
	*ret_merge = g;
	return 0;
}

void merge_free(struct merge *g)
{
	if (!g)
		return;

	struct merge_table *const tables[] = { &g->options,     &g->losses, &g->modules,  &g->threads,     &g->nodes,
		                               &g->heap,        &g->mmap,   &g->leaks,    &g->misuse,      &g->cpu.rows,
		                               &g->offcpu.rows, &g->routes, &g->database, &g->suppressions };
	struct merge_list *const lists[] = { &g->samples,  &g->offcpu_samples, &g->marks,
		                             &g->requests, &g->spans,          &g->database_spans };

	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		intern_done(&tables[i]->keys);
		free(tables[i]->rows);
	}
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		free(lists[i]->items);
	intern_done(&g->texts);
	arena_done(&g->arena);
	free(g);
}

int merge_add(struct merge *g, const struct model *m, struct err *err)
{
	int (*const parts[])(struct merge_input *) = { merge_about_add, merge_space_begin, merge_rows_add,
		                                       merge_window_add, merge_requests_add };
	struct merge_input in = { .g = g, .m = m };
	int rc = merge_rows_fit(g, m, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < ARRAY_LEN(parts) && rc == 0; i++)
		rc = parts[i](&in);
	merge_space_end(&in);
	if (rc < 0)
		return err_set(err, rc, "out of memory");
	g->added++;
	return 0;
}

int merge_finish(struct merge *g, uint64_t unreadable, struct model **ret_model, struct err *err)
{
	int (*const parts[])(struct merge *, struct model *) = { merge_space_finish, merge_rows_finish,
		                                                 merge_window_finish, merge_requests_finish };
	struct model *m = model_new();
	int rc = m ? 0 : -ENOMEM;

	if (m) {
		void *memory = m->memory;

		*m = g->head;
		m->memory = memory;
	}
	for (size_t i = 0; i < ARRAY_LEN(parts) && rc == 0; i++)
		rc = parts[i](g, m);
	if (rc == 0)
		rc = merge_about_finish(g, unreadable, m); /* last: it tells of what the others left out */
	if (rc < 0) {
		model_free(m);
		return err_set(err, rc, "out of memory");
	}
	*ret_model = m;
	return 0;
}
