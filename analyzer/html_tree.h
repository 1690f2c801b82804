/* All stacks of a recording, whatever metric they are of, as one tree of functions: what the page holds instead of stacks.
 * A node stands for its function called by its parent's; a stack is the node it ends at. Functions are one by name and module.
 * Ownership  copies every string. Errors: -ENOMEM, -E2BIG. Hosted programs; one thread at a time. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "arena.h"
#include "compiler.h"
#include "intern.h"

struct profile_frame;

struct html_function {
	const char *name, *module, *file; /* file NULL: unknown */
	uint32_t line;                    /* the smallest seen in that file; 0: unknown */
};

struct html_tree {
	struct arena arena, keys;
	struct intern texts, functions, nodes;
	struct html_function *info; /* by function */
	size_t info_cap;
	uint32_t *order;  /* after html_tree_finish(): places to nodes, callers first and callees by name behind them */
	uint32_t *place;  /* nodes to places; a place is what the page calls a node */
	uint32_t *depth;  /* by place, outermost 1 */
	uint32_t *called; /* by place: its function */
};

void html_tree_init(struct html_tree *t);
/* The number of a frame's function. */
int64_t html_tree_function(struct html_tree *t, const struct profile_frame *f) MUST_USE;
/* The node at which a stack ends; functions[0..depth), leaf first. */
int64_t html_tree_stack(struct html_tree *t, const uint32_t *functions, uint32_t depth) MUST_USE;
/* No more stacks: puts the nodes in order. */
int html_tree_finish(struct html_tree *t) MUST_USE;
void html_tree_done(struct html_tree *t);
