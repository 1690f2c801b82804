/*
 * export_folded.c - "root;caller;leaf VALUE", one line for each distinct stack of function names.
 *
 * Readers split at ';' and take the last blank-separated word as the value; some take two trailing numbers for a
 * differential pair. So ';' in a name becomes ':', and a blank before a number that ends a name becomes '_'.
 */
#include "export.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "export_parts.h"
#include "functions.h"
#include "profile.h"
#include "tree.h"

void export_folded_name(struct buf *out, const char *name)
{
	size_t start = out->len, digits, len;

	export_line_name(out, name);
	if (out->failed)
		return;
	for (size_t i = start; i < out->len; i++)
		if (out->data[i] == ';')
			out->data[i] = ':';
	len = out->len - start;
	for (digits = 0; digits < len && strchr("0123456789.", out->data[out->len - 1 - digits]); digits++) {}
	if (digits && digits < len && out->data[out->len - 1 - digits] == ' ')
		out->data[out->len - 1 - digits] = '_';
}

/* Nodes from the root to `node`, the root left out. */
static size_t path_of(const struct tree *t, uint32_t node, uint32_t *path)
{
	size_t n = t->nodes[node].depth;

	for (size_t i = n; i-- > 0; node = t->nodes[node].parent)
		path[i] = node;
	return n;
}

struct line {
	uint64_t value;
	uint32_t node;
};

static int largest_first(const void *a, const void *b)
{
	const struct line *x = a, *y = b;

	if (x->value != y->value)
		return x->value > y->value ? -1 : 1;
	return x->node < y->node ? -1 : x->node > y->node;
}

static int write_tree(const struct tree *t, const struct functions *functions, const char *first, struct buf *out)
{
	uint32_t *path = calloc(t->max_depth + 1u, sizeof(*path));
	struct line *lines = calloc(t->count, sizeof(*lines));
	size_t count = 0;

	for (uint32_t i = 1; path && lines && i < t->count; i++)
		if (t->nodes[i].self[0])
			lines[count++] = (struct line){ t->nodes[i].self[0], i };
	if (path && lines)
		qsort(lines, count, sizeof(*lines), largest_first);
	for (size_t i = 0; i < count; i++) {
		size_t depth = path_of(t, lines[i].node, path);

		if (first)
			export_folded_name(out, first);
		for (size_t k = 0; k < depth; k++) {
			if (k || first)
				buf_add_char(out, ';');
			export_folded_name(out, functions->items[t->nodes[path[k]].function].name);
		}
		buf_printf(out, " %llu\n", (unsigned long long)lines[i].value);
		buf_pour(out);
	}
	if (!path || !lines)
		out->failed = true;
	free(path);
	free(lines);
	return 0;
}

static int write_filtered(const struct profile *p, const struct functions *functions, uint64_t tid, const char *first,
                          struct buf *out, struct err *err)
{
	struct tree_options options = { .order = TREE_LARGEST_FIRST, .tid = tid };
	struct tree *t = NULL;
	int rc = tree_build(&(struct tree_input){ p, 1 }, 1, functions, &options, &t, err);

	if (rc < 0)
		return rc;
	rc = write_tree(t, functions, first, out);
	tree_free(t);
	return rc;
}

/* Is there an earlier thread with this one's tid? The kernel uses numbers again. */
static bool is_repeated(const struct profile *p, size_t thread)
{
	for (size_t i = 0; i < thread; i++)
		if (p->threads[i].tid == p->threads[thread].tid)
			return true;
	return false;
}

static int write_by_thread(const struct profile *p, const struct functions *functions, uint64_t tid, struct buf *out,
                           struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < p->thread_count; i++) {
		struct buf name = { 0 };

		if ((tid != EXPORT_ALL_THREADS && p->threads[i].tid != tid) || is_repeated(p, i))
			continue;
		buf_printf(&name, "%s-%llu", p->threads[i].name, (unsigned long long)p->threads[i].tid);
		rc = write_filtered(p, functions, p->threads[i].tid, name.data ? name.data : "", out, err);
		buf_done(&name);
	}
	return rc;
}

int export_folded(const struct profile *p, const struct export_options *o, struct buf *out, struct err *err)
{
	struct functions functions;
	int rc = export_check_thread(p, o->tid, err);

	if (rc == 0 && o->thread_frames && p->period_ns == 0)
		rc = err_set(err, -EINVAL, "%s is not recorded by thread; leave --with-thread out", profile_text(p));
	if (rc == 0)
		rc = functions_build(&p, 1, &functions, err);
	if (rc < 0)
		return rc;
	rc = o->thread_frames ? write_by_thread(p, &functions, o->tid, out, err)
	                      : write_filtered(p, &functions, o->tid, NULL, out, err);
	functions_done(&functions);
	return rc;
}
