/* Pools that the program announces (perfprobe.h): their blocks can be lost as blocks of the heap can. The memory that they are
 * cut from is no block itself. */
#include <sys/mman.h>

#include "leaks.h"
#include "perfprobe.h"

SITE(lost)
SITE(lost_child)
SITE(kept)
SITE(memory)

#define POOL_BYTES 65536

struct pool {
	char *bytes;
	size_t used;
};
static struct pool pool, other;

static void open_pool(struct pool *p, int mapped)
{
	p->used = 16; /* or the pool's own pointer to its memory would be one to its first block */
	if (mapped)
		p->bytes = (char *)mmap(NULL, POOL_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	else
		p->bytes = (char *)memory(POOL_BYTES);
	perfprobe_pool_create(p);
	if (!mapped)
		perfprobe_pool_memory(p, p->bytes);
}
static void close_pool(struct pool *p, int mapped)
{
	perfprobe_pool_destroy(p);
	if (mapped)
		munmap(p->bytes, POOL_BYTES);
	else
		free(p->bytes);
	p->bytes = NULL;
}
static void *give(struct pool *p, size_t bytes)
{
	void *block = p->bytes + p->used;

	p->used += (bytes + 15) / 16 * 16;
	perfprobe_pool_alloc(p, block, bytes);
	return block;
}
SITE_OF(lost_in_pool, give(&pool, size))
SITE_OF(lost_child_in_pool, give(&pool, size))
SITE_OF(kept_in_pool, give(&pool, size))
SITE_OF(kept_in_other, give(&other, size))

static void *volatile global;

static void lose_and_keep(int mapped)
{
	open_pool(&pool, mapped);
	(void)lost_in_pool(40);
	(void)lost_in_pool(50);
	global = kept_in_pool(60);
	DIRECT(lost_in_pool, 2, 90);
	KEPT(kept_in_pool, 1, 60);
}
static void case_in_heap_pool(void)
{
	lose_and_keep(0);
}
static void case_in_mapped_pool(void)
{
	lose_and_keep(1);
}

static void case_chain_in_pool(void)
{
	open_pool(&pool, 1);
	global = chain(kept_in_pool, 5, NULL);
	(void)chain(lost_in_pool, 1, chain(lost_child_in_pool, 4, NULL));
	KEPT(kept_in_pool, 5, 5 * sizeof(struct node));
	DIRECT(lost_in_pool, 1, sizeof(struct node));
	INDIRECT(lost_child_in_pool, 4, 4 * sizeof(struct node));
}

/* A block of the pool holds one of the heap, and the other way round. */
static void case_pool_block_holds_heap_block(void)
{
	open_pool(&pool, 0);
	global = chain(kept_in_pool, 1, chain(kept, 1, NULL));
	(void)chain(lost_in_pool, 1, chain(lost_child, 1, NULL));
	KEPT(kept_in_pool, 1, sizeof(struct node));
	KEPT(kept, 1, sizeof(struct node));
	DIRECT(lost_in_pool, 1, sizeof(struct node));
	INDIRECT(lost_child, 1, sizeof(struct node));
}
static void case_heap_block_holds_pool_block(void)
{
	open_pool(&pool, 1);
	global = chain(kept, 1, chain(kept_in_pool, 1, NULL));
	(void)chain(lost, 1, chain(lost_child_in_pool, 1, NULL));
	KEPT(kept, 1, sizeof(struct node));
	KEPT(kept_in_pool, 1, sizeof(struct node));
	DIRECT(lost, 1, sizeof(struct node));
	INDIRECT(lost_child_in_pool, 1, sizeof(struct node));
}

static void case_given_back(void)
{
	void *block;

	open_pool(&pool, 0);
	block = lost_in_pool(70);
	perfprobe_pool_free(&pool, block);
	KEPT(kept_in_pool, 1, 80);
	global = kept_in_pool(80);
}

/* With the pool go its blocks: none is left that could be lost. What they held in the heap is. */
static void case_pool_destroyed(void)
{
	open_pool(&pool, 0);
	(void)chain(lost_in_pool, 3, chain(lost, 1, NULL));
	close_pool(&pool, 0);
	DIRECT(lost, 1, sizeof(struct node));
}

static void case_two_pools(void)
{
	open_pool(&pool, 1);
	open_pool(&other, 1);
	(void)lost_in_pool(90);
	global = kept_in_other(91);
	DIRECT(lost_in_pool, 1, 90);
	KEPT(kept_in_other, 1, 91);
}

static const struct leak_case cases[] = {
	CASE(in_heap_pool),
	CASE(in_mapped_pool),
	CASE(chain_in_pool),
	CASE(pool_block_holds_heap_block),
	CASE(heap_block_holds_pool_block),
	CASE(given_back),
	CASE(pool_destroyed),
	CASE(two_pools),
};
LEAKS_MAIN
