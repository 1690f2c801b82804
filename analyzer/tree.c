/*
 * tree.c - merge stacks into a call tree.
 *
 * Two passes. The first interns (parent, function) in an open-addressing table, so nodes come in order of first
 * appearance with every parent before its children. The second lays them out again breadth first with siblings sorted
 * and contiguous, which lets every reader walk the tree with two loops and no recursion (depth has no bound).
 * Cost: linear in the frames of all stacks, plus sorting siblings.
 */
#include "tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "functions.h"
#include "profile.h"

struct builder {
	struct tree_node *nodes;
	size_t count, cap;
	uint32_t *slots; /* node index; 0 (the root) is free */
	size_t mask;
};

static size_t slot_of(const struct builder *b, uint32_t parent, uint32_t function)
{
	uint64_t h = ((uint64_t)parent << 32 | function) * UINT64_C(0x9e3779b97f4a7c15);

	return (size_t)(h >> 20) & b->mask;
}

static int grow(struct builder *b)
{
	size_t cap = b->cap ? 2 * b->cap : 1024;
	struct tree_node *nodes;
	uint32_t *slots;

	if (cap > UINT32_MAX / 2)
		return -E2BIG;
	nodes = realloc(b->nodes, cap * sizeof(*nodes));
	if (!nodes)
		return -ENOMEM;
	b->nodes = nodes;
	slots = calloc(2 * cap, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(b->slots);
	b->slots = slots;
	b->mask = 2 * cap - 1;
	b->cap = cap;
	for (size_t i = 1; i < b->count; i++) {
		size_t s = slot_of(b, nodes[i].parent, nodes[i].function);

		while (slots[s])
			s = (s + 1) & b->mask;
		slots[s] = (uint32_t)i;
	}
	return 0;
}

static int child_of(struct builder *b, uint32_t parent, uint32_t function, uint32_t *ret)
{
	size_t s = slot_of(b, parent, function);

	for (; b->slots[s]; s = (s + 1) & b->mask) {
		const struct tree_node *node = &b->nodes[b->slots[s]];

		if (node->parent == parent && node->function == function) {
			*ret = b->slots[s];
			return 0;
		}
	}
	if (b->count == b->cap) {
		int rc = grow(b);

		if (rc < 0)
			return rc;
		return child_of(b, parent, function, ret); /* one level: there is room now */
	}
	b->nodes[b->count] =
	        (struct tree_node){ .parent = parent, .function = function, .depth = b->nodes[parent].depth + 1 };
	b->slots[s] = (uint32_t)b->count;
	*ret = (uint32_t)b->count++;
	return 0;
}

static int add_stack(struct builder *b, const struct profile_stack *stack, const uint32_t *of_frame, uint32_t unknown,
                     bool reverse, uint32_t *ret)
{
	uint32_t at = 0;
	int rc = 0;

	if (stack->depth == 0)
		rc = child_of(b, at, unknown, &at);
	for (uint32_t i = 0; rc == 0 && i < stack->depth; i++) {
		uint32_t frame = stack->frames[reverse ? i : stack->depth - 1 - i];

		rc = child_of(b, at, of_frame[frame], &at);
	}
	*ret = at;
	return rc;
}

static bool is_wanted(const struct profile *p, const struct profile_stack *stack, uint64_t tid)
{
	return tid == TREE_ALL_THREADS || (stack->thread < p->thread_count && p->threads[stack->thread].tid == tid);
}

static int add_profile(struct builder *b, const struct tree_input *in, const struct functions *functions, size_t k,
                       const struct tree_options *options, uint32_t *end_of_stack)
{
	const struct profile *p = in->profile;

	for (size_t i = 0; i < p->stack_count; i++) {
		const struct profile_stack *stack = &p->stacks[i];
		int rc;

		end_of_stack[i] = TREE_NO_NODE;
		if (!is_wanted(p, stack, options->tid))
			continue;
		rc = add_stack(b, stack, functions->of_frame[k], functions->unknown, options->reverse,
		               &end_of_stack[i]);
		if (rc < 0)
			return rc;
		b->nodes[end_of_stack[i]].self[k] += stack->value * in->scale;
		b->nodes[end_of_stack[i]].count[k] += stack->count;
	}
	return 0;
}

/* self -> total, count -> inclusive count: children stand after parents, so one loop from the end does it. */
static void add_up(struct tree_node *nodes, size_t count)
{
	for (size_t i = count; i-- > 0;) {
		for (int k = 0; k < 2; k++) {
			nodes[i].total[k] += nodes[i].self[k];
			if (i > 0) {
				nodes[nodes[i].parent].total[k] += nodes[i].total[k];
				nodes[nodes[i].parent].count[k] += nodes[i].count[k];
			}
		}
	}
}

struct order {
	const struct tree_node *nodes;
	const struct function *functions;
	enum tree_order by;
	size_t last; /* which total decides */
};

static int compare_siblings(const void *a, const void *b, void *context)
{
	const struct order *o = context;
	const struct tree_node *x = &o->nodes[*(const uint32_t *)a], *y = &o->nodes[*(const uint32_t *)b];
	int by_name;

	if (o->by == TREE_LARGEST_FIRST) {
		if (x->total[o->last] != y->total[o->last])
			return x->total[o->last] > y->total[o->last] ? -1 : 1;
		if (x->total[0] != y->total[0])
			return x->total[0] > y->total[0] ? -1 : 1;
	}
	by_name = strcmp(o->functions[x->function].name, o->functions[y->function].name);
	return by_name ? by_name : strcmp(o->functions[x->function].module, o->functions[y->function].module);
}

/* Children of each node by counting sort: first[i]..first[i + 1] in `children`. */
static void group_children(const struct tree_node *nodes, size_t count, uint32_t *first, uint32_t *children)
{
	memset(first, 0, (count + 2) * sizeof(*first));
	for (size_t i = 1; i < count; i++)
		first[nodes[i].parent + 2]++;
	for (size_t i = 2; i < count + 2; i++)
		first[i] += first[i - 1];
	for (size_t i = 1; i < count; i++)
		children[first[nodes[i].parent + 1]++] = (uint32_t)i;
}

/* Breadth first: the queue is the new order itself. */
static void lay_out(const struct order *o, const uint32_t *first, uint32_t *children, struct tree *t, uint32_t *new_of,
                    uint32_t *old_of)
{
	size_t tail = 1;

	old_of[0] = new_of[0] = 0;
	t->nodes[0] = o->nodes[0];
	for (size_t head = 0; head < tail; head++) {
		uint32_t old = old_of[head];
		uint32_t *group = children + first[old];
		size_t n = first[old + 1] - first[old];

		qsort_r(group, n, sizeof(*group), compare_siblings, (void *)o);
		t->nodes[head].first_child = (uint32_t)tail;
		t->nodes[head].child_count = (uint32_t)n;
		for (size_t i = 0; i < n; i++, tail++) {
			old_of[tail] = group[i];
			new_of[group[i]] = (uint32_t)tail;
			t->nodes[tail] = o->nodes[group[i]];
			t->nodes[tail].parent = (uint32_t)head;
			if (t->nodes[tail].depth > t->max_depth)
				t->max_depth = t->nodes[tail].depth;
		}
	}
	t->count = tail;
}

static int order_nodes(const struct order *o, size_t count, struct tree *t, const struct tree_input *inputs, size_t n)
{
	uint32_t *memory = calloc(4 * count + 2, sizeof(*memory));
	uint32_t *first = memory, *children = memory + count + 2, *new_of = children + count, *old_of = new_of + count;

	t->nodes = calloc(count, sizeof(*t->nodes));
	if (!memory || !t->nodes) {
		free(memory);
		return -ENOMEM;
	}
	group_children(o->nodes, count, first, children);
	lay_out(o, first, children, t, new_of, old_of);
	for (size_t k = 0; k < n; k++)
		for (size_t i = 0; i < inputs[k].profile->stack_count; i++)
			if (t->end_of_stack[k][i] != TREE_NO_NODE)
				t->end_of_stack[k][i] = new_of[t->end_of_stack[k][i]];
	free(memory);
	return 0;
}

int tree_build(const struct tree_input *inputs, size_t n, const struct functions *functions,
               const struct tree_options *options, struct tree **ret_tree, struct err *err)
{
	struct builder b = { 0 };
	struct tree *t = calloc(1, sizeof(*t));
	int rc = t ? grow(&b) : -ENOMEM;

	assert(n >= 1 && n <= 2);
	if (rc == 0) {
		b.nodes[0] = (struct tree_node){ .function = TREE_NO_FUNCTION };
		b.count = 1;
	}
	for (size_t k = 0; rc == 0 && k < n; k++) {
		t->end_of_stack[k] = calloc(inputs[k].profile->stack_count + 1, sizeof(uint32_t));
		rc = t->end_of_stack[k] ? add_profile(&b, &inputs[k], functions, k, options, t->end_of_stack[k])
		                        : -ENOMEM;
	}
	if (rc == 0) {
		struct order o = { b.nodes, functions->items, options->order, n - 1 };

		add_up(b.nodes, b.count);
		rc = order_nodes(&o, b.count, t, inputs, n);
	}
	free(b.nodes);
	free(b.slots);
	if (rc < 0) {
		tree_free(t);
		return err_set(err, rc,
		               rc == -E2BIG ? "the call tree has too many nodes" : "out of memory for the call tree");
	}
	*ret_tree = t; /* moved */
	return 0;
}

void tree_free(struct tree *t)
{
	if (!t)
		return;
	free(t->nodes);
	free(t->end_of_stack[0]);
	free(t->end_of_stack[1]);
	free(t);
}

void tree_check(const struct tree *t)
{
	assert(t->count >= 1 && t->nodes[0].depth == 0 && t->nodes[0].function == TREE_NO_FUNCTION);
	for (size_t i = 0; i < t->count; i++) {
		const struct tree_node *node = &t->nodes[i];
		uint64_t sum[2] = { node->self[0], node->self[1] };

		assert(i == 0 || node->parent < i);
		assert(node->child_count == 0 || node->first_child > i);
		assert((size_t)node->first_child + node->child_count <= t->count);
		for (uint32_t c = 0; c < node->child_count; c++) {
			const struct tree_node *child = &t->nodes[node->first_child + c];

			assert(child->parent == i && child->depth == node->depth + 1);
			assert(c == 0 || child->function != child[-1].function);
			sum[0] += child->total[0];
			sum[1] += child->total[1];
		}
		assert(sum[0] == node->total[0] && sum[1] == node->total[1]);
		(void)sum; /* used by the assertions only */
	}
}
