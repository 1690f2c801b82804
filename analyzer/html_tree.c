/*
 * html_tree.c - stacks of several profiles into one tree.
 *
 * Nodes are interned by (parent, function), so a parent's number is smaller than its children's. The page wants them in the
 * order of a walk from the root: then one array of depths says who is whose child, and one pass adds up what callees used.
 * The order of siblings is that of their names, so that a function keeps its place whatever part of the recording is looked at.
 */
#include "html_tree.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "profile.h"

#define NO_PARENT UINT32_MAX

struct function_key {
	const char *name, *module;
};

struct node_key {
	uint32_t parent, function;
};

void html_tree_init(struct html_tree *t)
{
	*t = (struct html_tree){ 0 };
	t->texts.arena = &t->arena;
	t->functions.arena = t->nodes.arena = &t->keys;
}

static bool make_room(struct html_tree *t, size_t n)
{
	size_t cap = t->info_cap ? t->info_cap * 2 : 256;
	struct html_function *info;

	if (n < t->info_cap)
		return true;
	info = realloc(t->info, cap * sizeof(*info));
	if (!info)
		return false;
	t->info = info;
	t->info_cap = cap;
	return true;
}

int64_t html_tree_function(struct html_tree *t, const struct profile_frame *f)
{
	struct function_key key = { intern_string(&t->texts, f->function), intern_string(&t->texts, f->module) };
	const char *file = f->file ? intern_string(&t->texts, f->file) : NULL;
	size_t before = t->functions.count;
	struct html_function *info;
	int64_t n;

	if (!key.name || !key.module || (f->file && !file))
		return -ENOMEM;
	n = intern_add(&t->functions, &key, sizeof(key));
	if (n == INTERN_FAILED || !make_room(t, (size_t)n))
		return -ENOMEM;
	info = &t->info[n];
	if ((size_t)n == before)
		*info = (struct html_function){ key.name, key.module, NULL, 0 };
	if (file && !info->file) {
		info->file = file;
		info->line = f->line;
	} else if (file == info->file && f->line && (!info->line || f->line < info->line)) {
		info->line = f->line;
	}
	return n;
}

int64_t html_tree_stack(struct html_tree *t, const uint32_t *functions, uint32_t depth)
{
	uint32_t at = NO_PARENT;

	for (uint32_t i = depth; i > 0; i--) {
		struct node_key key = { at, functions[i - 1] };
		int64_t n = intern_add(&t->nodes, &key, sizeof(key));

		if (n == INTERN_FAILED)
			return -ENOMEM;
		if (n >= NO_PARENT)
			return -E2BIG;
		at = (uint32_t)n;
	}
	return at == NO_PARENT ? -EINVAL : (int64_t)at;
}

static const struct node_key *key_of(const struct html_tree *t, uint32_t node)
{
	return t->nodes.keys[node];
}

/* For sorting: the rank of a function by name and module. */
struct ranked {
	const struct html_function *f;
	uint32_t number;
};

static int by_name(const void *a, const void *b)
{
	const struct html_function *x = ((const struct ranked *)a)->f, *y = ((const struct ranked *)b)->f;
	int c = strcmp(x->name, y->name);

	return c ? c : strcmp(x->module, y->module);
}

static uint32_t *rank_functions(const struct html_tree *t)
{
	size_t n = t->functions.count;
	struct ranked *list = malloc((n + 1) * sizeof(*list));
	uint32_t *rank = malloc((n + 1) * sizeof(*rank));

	if (!list || !rank) {
		free(list);
		free(rank);
		return NULL;
	}
	for (uint32_t i = 0; i < n; i++)
		list[i] = (struct ranked){ &t->info[i], i };
	if (n)
		qsort(list, n, sizeof(*list), by_name);
	for (uint32_t i = 0; i < n; i++)
		rank[list[i].number] = i;
	free(list);
	return rank;
}

struct sibling {
	uint32_t parent, rank, node;
};

static int by_parent(const void *a, const void *b)
{
	const struct sibling *x = a, *y = b;

	if (x->parent != y->parent)
		return x->parent < y->parent ? -1 : 1;
	return (x->rank > y->rank) - (x->rank < y->rank);
}

/* The sorted list holds each node's children together: `first` of node n, and of the roots at the end (NO_PARENT sorts last). */
static void walk(struct html_tree *t, const struct sibling *list, const uint32_t *first, uint32_t *next, size_t n)
{
	uint32_t at = NO_PARENT, depth = 0, root = first[n];

	for (uint32_t count = 0; count < n;) {
		uint32_t *cursor = at == NO_PARENT ? &root : &next[at];

		if (*cursor < n && list[*cursor].parent == at) {
			at = list[(*cursor)++].node;
			depth++;
			t->order[count] = at;
			t->place[at] = count;
			t->depth[count] = depth;
			t->called[count] = key_of(t, at)->function;
			count++;
		} else {
			at = key_of(t, at)->parent;
			depth--;
		}
	}
}

int html_tree_finish(struct html_tree *t)
{
	size_t n = t->nodes.count;
	struct sibling *list = malloc((n + 1) * sizeof(*list));
	uint32_t *first = malloc((n + 1) * sizeof(*first)), *next = malloc((n + 1) * sizeof(*next));
	uint32_t *rank = rank_functions(t);
	bool ok;

	t->order = malloc((n + 1) * sizeof(*t->order));
	t->place = malloc((n + 1) * sizeof(*t->place));
	t->depth = malloc((n + 1) * sizeof(*t->depth));
	t->called = malloc((n + 1) * sizeof(*t->called));
	ok = list && first && next && rank && t->order && t->place && t->depth && t->called;
	if (ok) {
		for (uint32_t i = 0; i < n; i++)
			list[i] = (struct sibling){ key_of(t, i)->parent, rank[key_of(t, i)->function], i };
		if (n)
			qsort(list, n, sizeof(*list), by_parent);
		for (size_t i = 0; i <= n; i++)
			first[i] = (uint32_t)n;
		for (size_t i = n; i > 0; i--)
			first[list[i - 1].parent == NO_PARENT ? n : list[i - 1].parent] = (uint32_t)(i - 1);
		memcpy(next, first, (n + 1) * sizeof(*next));
		walk(t, list, first, next, n);
	}
	free(list);
	free(first);
	free(next);
	free(rank);
	return ok ? 0 : -ENOMEM;
}

void html_tree_done(struct html_tree *t)
{
	intern_done(&t->texts);
	intern_done(&t->functions);
	intern_done(&t->nodes);
	arena_done(&t->arena);
	arena_done(&t->keys);
	free(t->info);
	free(t->order);
	free(t->place);
	free(t->depth);
	free(t->called);
	*t = (struct html_tree){ 0 };
}
