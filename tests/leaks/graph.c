/* Who points to whom: chains, trees, cycles, owners; where in a block a pointer may point. */
#include "leaks.h"

SITE(lost)
SITE(lost_child)
SITE(kept)
SITE(kept_child)

static void *volatile global;
static struct node *volatile list;

static void case_global(void)
{
	global = kept(100);
	KEPT(kept, 1, 100);
}

static void case_function_static(void)
{
	static void *volatile mine;

	mine = kept(24);
	ESCAPE(mine);
	KEPT(kept, 1, 24);
}

static void case_kept_through_heap(void)
{
	list = chain(kept, 10, NULL);
	KEPT(kept, 10, 10 * sizeof(struct node));
}

static void case_direct(void)
{
	for (size_t i = 1; i <= 3; i++)
		(void)lost(16 * i);
	DIRECT(lost, 3, 96);
}

/* One line of code whose blocks are partly held. */
static void case_some_of_one_site(void)
{
	static void *volatile held[10];

	for (size_t i = 0; i < 10; i++)
		held[i] = lost(100 + i);
	held[2] = held[3] = held[9] = NULL;
	DIRECT(lost, 3, 102 + 103 + 109);
	KEPT(lost, 7, 7 * 100 + 0 + 1 + 4 + 5 + 6 + 7 + 8);
}

static void case_overwritten(void)
{
	global = lost(500);
	global = kept(30);
	DIRECT(lost, 1, 500);
	KEPT(kept, 1, 30);
}

/* Freed as it should be: nothing is left to tell. */
static void case_freed(void)
{
	for (size_t i = 0; i < 50; i++)
		free(kept(i * 40));
}

/* The only pointer lies in a block that was freed: what is left of that is no owner. Beyond the words that the allocator
 * writes into it. */
static void case_parent_was_freed(void)
{
	struct node *parent = (struct node *)kept(sizeof(*parent));

	*(void **)(void *)(parent->rest + 16) = lost(64);
	free(parent);
	DIRECT(lost, 1, 64);
}

static void case_indirect(void)
{
	struct node *parent = (struct node *)lost(sizeof(*parent));

	parent->next = (struct node *)lost_child(77);
	DIRECT(lost, 1, sizeof(*parent));
	INDIRECT(lost_child, 1, 77);
}

static void case_chain(void)
{
	(void)chain(lost, 100, NULL);
	DIRECT(lost, 1, sizeof(struct node));
	INDIRECT(lost, 99, 99 * sizeof(struct node));
}

/* Deeper than any recursion could follow. */
static void case_long_chain_lost(void)
{
	(void)chain(lost, 200000, NULL);
	DIRECT(lost, 1, sizeof(struct node));
	INDIRECT(lost, 199999, 199999 * sizeof(struct node));
}

static void case_long_chain_kept(void)
{
	list = chain(kept, 200000, NULL);
	KEPT(kept, 200000, 200000 * sizeof(struct node));
}

static struct node *tree(void *(*site)(size_t), int depth)
{
	struct node *node = (struct node *)site(sizeof(*node));

	if (depth > 1) {
		node->next = tree(site, depth - 1);
		node->other = tree(site, depth - 1);
	}
	return node;
}

static void case_tree_lost(void)
{
	(void)tree(lost, 6);
	DIRECT(lost, 1, sizeof(struct node));
	INDIRECT(lost, 62, 62 * sizeof(struct node));
}

static void case_tree_kept(void)
{
	list = tree(kept, 6);
	KEPT(kept, 63, 63 * sizeof(struct node));
}

/* Only the left half of a tree is held: what is above it and beside it cannot be reached from below. */
static void case_tree_held_in_the_middle(void)
{
	struct node *root = (struct node *)lost(sizeof(*root));

	root->next = tree(kept, 3);
	root->other = (struct node *)lost_child(sizeof(*root));
	list = root->next;
	DIRECT(lost, 1, sizeof(*root));
	INDIRECT(lost_child, 1, sizeof(*root));
	KEPT(kept, 7, 7 * sizeof(*root));
}

static void case_wide(void)
{
	void **parent = (void **)lost(1000 * sizeof(*parent));

	for (int i = 0; i < 1000; i++)
		parent[i] = lost_child(20);
	DIRECT(lost, 1, 8000);
	INDIRECT(lost_child, 1000, 20000);
}

static void case_cycle_self(void)
{
	(void)ring(lost, 1);
	DIRECT(lost, 1, sizeof(struct node));
}

static void case_cycle_two(void)
{
	(void)ring(lost, 2);
	DIRECT(lost, 1, sizeof(struct node));
	INDIRECT(lost, 1, sizeof(struct node));
}

static void case_cycle_five(void)
{
	(void)ring(lost, 5);
	DIRECT(lost, 1, sizeof(struct node));
	INDIRECT(lost, 4, 4 * sizeof(struct node));
}

static void case_cycle_kept(void)
{
	list = ring(kept, 5);
	KEPT(kept, 5, 5 * sizeof(struct node));
}

static void case_cycle_with_tail(void)
{
	ring(lost, 3)->other = chain(lost_child, 4, NULL);
	DIRECT(lost, 1, sizeof(struct node));
	INDIRECT(lost, 2, 2 * sizeof(struct node));
	INDIRECT(lost_child, 4, 4 * sizeof(struct node));
}

/* A cycle that a lost block leads to has no head of its own. */
static void case_cycle_entered_from_a_leak(void)
{
	(void)chain(lost, 2, ring(lost_child, 3));
	DIRECT(lost, 1, sizeof(struct node));
	INDIRECT(lost, 1, sizeof(struct node));
	INDIRECT(lost_child, 3, 3 * sizeof(struct node));
}

static void case_cycle_leads_to_cycle(void)
{
	ring(lost, 2)->other = ring(lost_child, 2);
	DIRECT(lost, 1, sizeof(struct node));
	INDIRECT(lost, 1, sizeof(struct node));
	INDIRECT(lost_child, 2, 2 * sizeof(struct node));
}

/* A lost cycle that points to what is held takes nothing with it. */
static void case_cycle_points_to_kept(void)
{
	list = chain(kept, 3, NULL);
	ring(lost, 4)->other = list;
	DIRECT(lost, 1, sizeof(struct node));
	INDIRECT(lost, 3, 3 * sizeof(struct node));
	KEPT(kept, 3, 3 * sizeof(struct node));
}

static void case_two_lost_owners(void)
{
	struct node *one = (struct node *)lost(sizeof(*one)), *two = (struct node *)lost(sizeof(*two));

	one->next = two->next = (struct node *)lost_child(40);
	DIRECT(lost, 2, 2 * sizeof(*one));
	INDIRECT(lost_child, 1, 40);
}

static void case_one_of_two_owners_kept(void)
{
	struct node *one = (struct node *)lost(sizeof(*one)), *two = (struct node *)kept(sizeof(*two));

	one->next = two->next = (struct node *)kept_child(40);
	list = two;
	DIRECT(lost, 1, sizeof(*one));
	KEPT(kept, 1, sizeof(*two));
	KEPT(kept_child, 1, 40);
}

static void case_interior(void)
{
	global = (char *)kept(1000) + 496;
	KEPT(kept, 1, 1000);
}

static void case_interior_from_heap(void)
{
	list = (struct node *)kept(sizeof(struct node));
	list->next = (struct node *)(void *)((char *)kept_child(1000) + 24);
	KEPT(kept, 1, sizeof(struct node));
	KEPT(kept_child, 1, 1000);
}

static void case_last_byte(void)
{
	global = (char *)kept(72) + 71;
	KEPT(kept, 1, 72);
}

/* The end of a range, as containers keep it. */
static void case_one_past_the_end(void)
{
	global = (char *)kept(72) + 72;
	KEPT(kept, 1, 72);
}

static void case_before_the_beginning(void)
{
	(void)lost(4000);
	global = (char *)lost(72) - 1;
	DIRECT(lost, 2, 4072);
}

/* Flags in the low bits still point into the block. */
static void case_tagged_low_bits(void)
{
	global = (char *)kept(48) + 7;
	KEPT(kept, 1, 48);
}

/* Flags in the high bits do not: only the program knows. So says the manual of every such tool. */
static void case_tagged_high_bits(void)
{
	global = (void *)((uintptr_t)lost(48) | (uintptr_t)0x5a << 56); /* NOLINT */
	DIRECT(lost, 1, 48);
}

static void case_complemented(void)
{
	static volatile uintptr_t hidden;

	hidden = hide(lost(48));
	ESCAPE(hidden);
	DIRECT(lost, 1, 48);
}

/* By default only words at their natural place are looked at. */
static void case_unaligned(void)
{
	static char packed[32] __attribute__((aligned(8)));
	void *block = lost(48);

	memcpy(packed + 3, &block, sizeof(block));
	ESCAPE(packed);
	DIRECT(lost, 1, 48);
}

/* Two ways to the same allocating line: two stacks, one function. */
static ALONE void *one_way(size_t bytes)
{
	void *block = lost(bytes);

	ESCAPE(block);
	return block;
}
static ALONE void *other_way(size_t bytes)
{
	void *block = lost(bytes);

	ESCAPE(block);
	return block;
}
static void case_two_stacks_of_one_site(void)
{
	(void)one_way(10);
	(void)other_way(20);
	DIRECT(lost, 2, 30);
}

static const struct leak_case cases[] = {
	CASE(global),
	CASE(function_static),
	CASE(kept_through_heap),
	CASE(direct),
	CASE(some_of_one_site),
	CASE(overwritten),
	CASE(freed),
	CASE(parent_was_freed),
	CASE(indirect),
	CASE(chain),
	CASE(long_chain_lost),
	CASE(long_chain_kept),
	CASE(tree_lost),
	CASE(tree_kept),
	CASE(tree_held_in_the_middle),
	CASE(wide),
	CASE(cycle_self),
	CASE(cycle_two),
	CASE(cycle_five),
	CASE(cycle_kept),
	CASE(cycle_with_tail),
	CASE(cycle_entered_from_a_leak),
	CASE(cycle_leads_to_cycle),
	CASE(cycle_points_to_kept),
	CASE(two_lost_owners),
	CASE(one_of_two_owners_kept),
	CASE(interior),
	CASE(interior_from_heap),
	CASE(last_byte),
	CASE(one_past_the_end),
	CASE(before_the_beginning),
	CASE(tagged_low_bits),
	CASE(tagged_high_bits),
	CASE(complemented),
	CASE(unaligned),
	CASE(two_stacks_of_one_site),
};
LEAKS_MAIN
