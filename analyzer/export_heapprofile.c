/*
 * export_heapprofile.c - V8's sampling heap profile (protocol type HeapProfiler.SamplingHeapProfile).
 *
 * {"head":NODE,"samples":[...]}: a tree nested in itself, each node with its own bytes. Every node has "children", leaves too:
 * readers do not ask. "samples" repeats the own bytes by node. There is no place for counts, units or threads, so
 * metrics in bytes only: a reader would show blocks as bytes.
 * The nesting is as deep as the stacks, which json_write.c does not keep account of: brackets are closed here.
 */
#include "export.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "export_parts.h"
#include "functions.h"
#include "json_write.h"
#include "profile.h"
#include "tree.h"

struct writer {
	const struct profile *p;
	const struct functions *functions;
	const struct tree *tree;
	struct buf *out, scratch;
};

/* All but the children and the brackets behind them. */
static void open_node(struct writer *w, uint32_t i)
{
	const struct tree_node *node = &w->tree->nodes[i];
	const struct function *f = i ? &w->functions->items[node->function] : NULL;
	struct json j;

	json_init(&j, w->out);
	json_object_begin(&j);
	export_call_frame(&j, &w->scratch, f ? f->name : "(root)", f, node->function);
	json_key_u64(&j, "selfSize", node->self[0]);
	json_key_u64(&j, "id", i + 1u);
	json_key(&j, "children");
	json_array_begin(&j);
}

/* Depth first, without recursion: stacks may be deeper than ours. Errors: -ENOMEM. */
static int write_nodes(struct writer *w)
{
	const struct tree_node *nodes = w->tree->nodes;
	struct {
		uint32_t node, next;
	} *path = calloc(w->tree->max_depth + 1u, sizeof(*path));
	size_t depth = 1;

	if (!path)
		return -ENOMEM;
	open_node(w, 0);
	while (depth > 0) {
		uint32_t at = path[depth - 1].node, child = path[depth - 1].next++;

		if (child == nodes[at].child_count) {
			buf_add_str(w->out, "]}");
			depth--;
			continue;
		}
		if (child > 0)
			buf_add_char(w->out, ',');
		path[depth].node = nodes[at].first_child + child;
		path[depth].next = 0;
		open_node(w, path[depth++].node);
		buf_pour(w->out);
	}
	free(path);
	return 0;
}

static void write_samples(struct writer *w)
{
	uint64_t ordinal = 0;

	buf_add_str(w->out, ",\"samples\":[");
	for (uint32_t i = 0; i < w->tree->count; i++) {
		uint64_t self = w->tree->nodes[i].self[0];

		if (self == 0)
			continue;
		buf_printf(w->out, "%s{\"size\":%llu,\"nodeId\":%u,\"ordinal\":%llu}", ordinal ? "," : "",
		           (unsigned long long)self, i + 1, (unsigned long long)ordinal + 1);
		ordinal++;
		buf_pour(w->out);
	}
	buf_add_str(w->out, "],");
}

/* Readers leave out what they do not know. */
static void write_losses(struct writer *w)
{
	struct buf losses = { 0 };
	struct json j;

	json_init(&j, &losses);
	json_object_begin(&j);
	export_key_losses(&j, &w->scratch, w->p);
	json_object_end(&j);
	buf_add_str(w->out,
	            losses.data ? losses.data + 1 : "}"); /* a member of the object under way: without its '{' */
	w->out->failed |= losses.failed;
	buf_done(&losses);
}

int export_heapprofile(const struct profile *p, const struct export_options *o, struct buf *out, struct err *err)
{
	struct tree_options options = { .order = TREE_LARGEST_FIRST, .tid = o->tid };
	struct functions functions = { 0 };
	struct tree *tree = NULL;
	struct writer w = { .p = p, .functions = &functions, .out = out };
	int rc;

	if (strcmp(profile_metric_unit(p->metric), "bytes") != 0)
		return err_set(
		        err, -EINVAL,
		        "a .heapprofile holds bytes, not %s: use --format speedscope, pprof or folded for this metric",
		        profile_text(p));
	rc = export_check_thread(p, o->tid, err);
	if (rc == 0)
		rc = functions_build(&p, 1, &functions, err);
	if (rc == 0)
		rc = tree_build(&(struct tree_input){ p, 1 }, 1, &functions, &options, &tree, err);
	if (rc == 0) {
		w.tree = tree;
		buf_add_str(out, "{\"head\":");
		if (write_nodes(&w) < 0)
			rc = err_set(err, -ENOMEM, "out of memory for the call tree");
		write_samples(&w);
		write_losses(&w);
		buf_add_char(out, '\n');
		out->failed |= w.scratch.failed;
	}
	buf_done(&w.scratch);
	tree_free(tree);
	functions_done(&functions);
	return rc;
}
