/* The merged call tree of one profile, or of two that are compared. Pure: const profiles in, a tree out.
 * Units      values are the metric's (scaled, see tree_input); [0] is the first profile, [1] the second.
 * Ownership  tree_free() frees it; it holds no pointers into the profiles.
 * Context    hosted programs, any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "err.h"

struct functions;
struct profile;

#define TREE_NO_FUNCTION UINT32_MAX /* the root's */
#define TREE_NO_NODE     UINT32_MAX

/* Node 0 is the root. Parents stand before children; siblings are contiguous. Invariants (tree_check):
 * total[k] = self[k] + sum of the children's total[k]; depth = parent's + 1; no two siblings have one function. */
struct tree_node {
	uint32_t parent;   /* the root's is 0 */
	uint32_t function; /* index into functions */
	uint32_t first_child, child_count;
	uint32_t depth; /* root 0 */
	uint64_t total[2], self[2];
	uint64_t count[2]; /* blocks or samples, inclusive */
};

struct tree {
	struct tree_node *nodes;
	size_t count;
	uint32_t max_depth;
	/* For each stack of each profile, the node at which it ends; TREE_NO_NODE where the filter left it out. */
	uint32_t *end_of_stack[2];
};

enum tree_order {
	TREE_LARGEST_FIRST, /* by the last profile's total, then the first's, then name */
	TREE_BY_NAME,
};

#define TREE_ALL_THREADS UINT64_MAX

struct tree_options {
	bool reverse; /* leaf first: children of the root are the functions that used the metric themselves */
	enum tree_order order;
	uint64_t tid; /* only the stacks of threads with this tid; TREE_ALL_THREADS: all */
};

struct tree_input {
	const struct profile *profile;
	uint64_t scale; /* each value is multiplied by it (1, or a period where two profiles' periods differ) */
};

/* `functions` must be built from the same profiles in the same order. 0, -ENOMEM, or -E2BIG. */
int tree_build(const struct tree_input *inputs, size_t n, const struct functions *functions,
               const struct tree_options *options, struct tree **ret_tree, struct err *err) MUST_USE;
void tree_free(struct tree *t);
/* Asserts the invariants named above; for tests. */
void tree_check(const struct tree *t);
