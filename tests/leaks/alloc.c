/* Every way to get a block, of every size; blocks that change their size and place, while somebody looks, too. */
#include <errno.h>
#include <malloc.h>

#include "leaks.h"

SITE(lost)
SITE(lost_child)
SITE(kept)
SITE(kept_child)
SITE_OF(by_calloc, calloc(size / 8, 8))
SITE_OF(by_realloc_of_nothing, realloc(NULL, size))
SITE_OF(by_reallocarray, reallocarray(NULL, size / 8, 8))
SITE_OF(by_aligned_alloc, aligned_alloc(256, size))
SITE_OF(by_memalign, memalign(4096, size))
SITE_OF(by_valloc, valloc(size))

static ALONE void *by_posix_memalign(size_t size)
{
	void *block = NULL;

	if (posix_memalign(&block, 512, size) != 0)
		abort();
	return blank(block, size);
}

static void *volatile global;

/* One lost, one kept, of the same function and size. */
#define WAY(name, size)                \
	static void case_##name(void)  \
	{                              \
		(void)name(size);      \
		global = name(size);   \
		DIRECT(name, 1, size); \
		KEPT(name, 1, size);   \
	}
WAY(by_calloc, 720)
WAY(by_realloc_of_nothing, 720)
WAY(by_reallocarray, 720)
WAY(by_aligned_alloc, 768)
WAY(by_memalign, 720)
WAY(by_posix_memalign, 720)
WAY(by_valloc, 720)

/* Aligned blocks, held by their middle only. */
static void case_aligned_interior(void)
{
	global = (char *)by_memalign(10000) + 9992;
	KEPT(by_memalign, 1, 10000);
}

/* A block of no bytes is a block. */
static void case_empty_lost(void)
{
	(void)lost(0);
	DIRECT(lost, 1, 0);
}
static void case_empty_kept(void)
{
	global = kept(0);
	KEPT(kept, 1, 0);
}

static void case_all_small_sizes(void)
{
	for (size_t size = 1; size <= 2048; size++)
		(void)lost(size);
	DIRECT(lost, 2048, 2048UL * 2049 / 2);
}

/* Blocks that are mappings of their own. */
static void case_mapped_blocks(void)
{
	(void)lost(128 * 1024);
	(void)lost(1000001);
	global = (char *)kept(3 << 20) + (2 << 20);
	DIRECT(lost, 2, 128 * 1024 + 1000001);
	KEPT(kept, 1, 3 << 20);
}

static void case_huge_lost(void)
{
	(void)lost(64 << 20);
	DIRECT(lost, 1, 64 << 20);
}

/* What is held from within a large block, at its very end. */
static void case_huge_holds(void)
{
	void **huge = (void **)kept(64 << 20);

	huge[(64 << 20) / sizeof(void *) - 1] = kept_child(32);
	global = huge;
	KEPT(kept, 1, 64 << 20);
	KEPT(kept_child, 1, 32);
}
static void case_huge_lost_holds(void)
{
	void **huge = (void **)lost(16 << 20);

	huge[(16 << 20) / sizeof(void *) - 1] = lost_child(32);
	DIRECT(lost, 1, 16 << 20);
	INDIRECT(lost_child, 1, 32);
}

/* Never written to: the kernel has given no page yet. */
static void case_huge_untouched(void)
{
	global = malloc(512UL << 20);
	if (!global)
		abort();
	KEPT(case_huge_untouched, 1, 512UL << 20);
}

static ALONE void *resized(void *block, size_t size)
{
	void *now = realloc(block, size);

	if (!now)
		abort();
	ESCAPE(now);
	return now;
}

static void case_realloc_grown(void)
{
	void *block = resized(lost(40), 100);

	(void)lost(1000); /* in the way of the next */
	block = resized(block, 50000);
	ESCAPE(block);
	DIRECT(resized, 1, 50000);
	DIRECT(lost, 1, 1000);
}

static void case_realloc_shrunk(void)
{
	void *block = resized(lost(50000), 24);

	ESCAPE(block);
	DIRECT(resized, 1, 24);
}

static void case_realloc_of_mapped(void)
{
	void *block = resized(lost(1 << 20), 8 << 20);

	ESCAPE(block);
	DIRECT(resized, 1, 8 << 20);
}

/* The owner moves; what it owns stays with it. */
static void case_realloc_of_owner(void)
{
	struct node *owner = (struct node *)kept(sizeof(*owner));

	owner->next = chain(kept_child, 3, NULL);
	global = resized(owner, 70000);
	KEPT(resized, 1, 70000);
	KEPT(kept_child, 3, 3 * sizeof(struct node));
}
static void case_realloc_of_lost_owner(void)
{
	struct node *owner = (struct node *)lost(sizeof(*owner));

	owner->next = chain(lost_child, 3, NULL);
	owner = (struct node *)resized(owner, 70000);
	ESCAPE(owner);
	DIRECT(resized, 1, 70000);
	INDIRECT(lost_child, 3, 3 * sizeof(struct node));
}

static volatile size_t too_much = PTRDIFF_MAX - 4096;

/* p = realloc(p, n) with no memory left: the old block is lost. */
static ALONE void fail_and_forget(void)
{
	void *block = lost(88);

	block = realloc(block, too_much);
	if (block)
		abort();
	ESCAPE(block);
}
static void case_realloc_failed_lost(void)
{
	fail_and_forget();
	DIRECT(lost, 1, 88);
}
static void case_realloc_failed_kept(void)
{
	global = kept(88);
	if (realloc(global, too_much))
		abort();
	KEPT(kept, 1, 88);
}

/* With libc, a size of 0 frees. */
static void case_realloc_to_nothing(void)
{
	void *block = kept(88);

	block = realloc(block, (size_t)never);
	if (block)
		abort();
}

static void case_malloc_failed(void)
{
	if (malloc(too_much) || calloc(too_much, 2))
		abort();
	DIRECT(lost, 1, 9);
	(void)lost(9);
}

/* A vector that grows and shrinks all the time, and is never lost. For a moment its old place is free and its new one known
 * to nobody but the allocator: what it holds must not look lost then. */
static void *volatile vector;

static void *resize_for_good(void *unused)
{
	for (size_t i = 0;; i++) {
		vector = realloc(vector, i % 2 ? 300 : 40000 + i % 64 * 4096);
		if (i == 100)
			tell_in_place();
	}
	return unused;
}
static void case_realloc_in_transit(void)
{
	struct node *first = (struct node *)kept(300);

	first->next = chain(kept_child, 5, NULL);
	vector = first;
	start_and_wait(resize_for_good, NULL);
	KEPT(kept_child, 5, 5 * sizeof(struct node));
	KEPT(resize_for_good, 1, UNKNOWN);
}

/* The same with a block that the kernel moves. */
static void *resize_mapped_for_good(void *unused)
{
	for (size_t i = 0;; i++) {
		vector = realloc(vector, (1UL + i % 7) << 18);
		if (i == 100)
			tell_in_place();
	}
	return unused;
}
static void case_realloc_of_mapped_in_transit(void)
{
	struct node *first = (struct node *)kept(1 << 18);

	first->next = chain(kept_child, 5, NULL);
	vector = first;
	start_and_wait(resize_mapped_for_good, NULL);
	KEPT(kept_child, 5, 5 * sizeof(struct node));
	KEPT(resize_mapped_for_good, 1, UNKNOWN);
}

/* Blocks come and go in two threads; a block that was just made is nowhere but in a register, or not yet recorded. */
static void *make_and_free(void *unused)
{
	for (size_t i = 0;; i++) {
		struct node *block = chain(kept, 3, NULL);

		while (block) {
			struct node *next = block->next;

			free(block);
			block = next;
		}
		if (i == 100)
			tell_in_place();
	}
	return unused;
}
static void case_blocks_in_motion(void)
{
	start_and_wait(make_and_free, NULL);
	start_and_wait(make_and_free, NULL);
	(void)lost(222);
	DIRECT(lost, 1, 222);
	KEPT(kept, 1, UNKNOWN);
}

static const struct leak_case cases[] = {
	CASE(by_calloc),
	CASE(by_realloc_of_nothing),
	CASE(by_reallocarray),
	CASE(by_aligned_alloc),
	CASE(by_memalign),
	CASE(by_posix_memalign),
	CASE(by_valloc),
	CASE(aligned_interior),
	CASE(empty_lost),
	CASE(empty_kept),
	CASE(all_small_sizes),
	CASE(mapped_blocks),
	CASE(huge_lost),
	CASE(huge_holds),
	CASE(huge_lost_holds),
	CASE(huge_untouched),
	CASE(realloc_grown),
	CASE(realloc_shrunk),
	CASE(realloc_of_mapped),
	CASE(realloc_of_owner),
	CASE(realloc_of_lost_owner),
	CASE(realloc_failed_lost),
	CASE(realloc_failed_kept),
	CASE(realloc_to_nothing),
	CASE(malloc_failed),
	CASE(realloc_in_transit),
	CASE(realloc_of_mapped_in_transit),
	CASE(blocks_in_motion),
};
LEAKS_MAIN
