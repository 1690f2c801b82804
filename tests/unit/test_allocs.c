/* Tests of allocs.c against a plain array: random puts and takes, dense pages, threads, and the memory goal. */
#include "t.h"

#include <pthread.h>

#include "allocs.h"
#include "os_linux.h"
#include "poisson.h"
#include "units.h"

enum { SLOTS = 20000 };

static const void *address_of(uint64_t base, uint64_t i, uint64_t step)
{
	return (const void *)(uintptr_t)(base + i * step); /* never read: only a name */
}

static _Atomic uint64_t puts_quick, takes_quick;

static struct block block_of(uint64_t n)
{
	return (struct block){ .bytes = n * 3 + 1,
		               .stack = (uint32_t)(n & 0xfffffff),
		               .born = (n * UINT64_C(0x9e3779b97f4a7c15)) >> 32,
		               .family = (uint32_t)n & 15 };
}

static void check_equal(const struct block *a, const struct block *b)
{
	assert_true(a->bytes == b->bytes && a->stack == b->stack && a->born == b->born && a->family == b->family);
}

/* By the way of the hooks: the short one first. */
static bool put(const void *address, const struct block *block, struct block *ret_was, bool *ret_replaced)
{
	*ret_replaced = false;
	if (!allocs_put_quickly(address, block))
		return allocs_put(address, block, ret_was, ret_replaced);
	puts_quick++;
	return true;
}

static bool take(const void *address, struct block *ret_block)
{
	struct allocs_entry *e = allocs_find_quickly(address);

	if (!e)
		return allocs_take(address, ret_block);
	takes_quick++;
	*ret_block = allocs_unpack(load_relaxed(&e->head), load_relaxed(&e->size));
	allocs_clear(e);
	return true;
}

/* The table must answer as the array does. `step` decides how many blocks share a page. */
static void like_an_array(uint64_t base, uint64_t step)
{
	static uint64_t known[SLOTS]; /* 0: not there; else what was put */
	uint64_t seed = step, count = 0, before = allocs_check();

	memset(known, 0, sizeof(known));
	for (uint64_t n = 1; n < 200000; n++) {
		uint64_t i = poisson_random(&seed) % SLOTS;
		const void *address = address_of(base, i, step);
		struct block b = block_of(n), was = { 0 }, want = block_of(known[i]);
		bool replaced = false;

		if (poisson_random(&seed) % 3) {
			assert_true(put(address, &b, &was, &replaced));
			assert_int_equal(replaced, known[i] != 0);
			if (replaced)
				check_equal(&was, &want);
			else
				count++;
			assert_true(allocs_maybe(address));
			known[i] = n;
		} else {
			assert_int_equal(take(address, &was), known[i] != 0);
			if (known[i]) {
				check_equal(&was, &want);
				count--;
			}
			known[i] = 0;
		}
	}
	assert_true(allocs_check() == before + count);
	for (uint64_t i = 0; i < SLOTS; i++) {
		struct block was;

		assert_int_equal(take(address_of(base, i, step), &was), known[i] != 0);
	}
	assert_true(allocs_check() == before);
}

static void like_an_array_for_every_density(void **state)
{
	static const uint64_t steps[] = { 8, 16, 48, 256, 4096, 65536 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		like_an_array(UINT64_C(0x7f0000000000) + (uint64_t)i * 0x400000000, steps[i]);
	assert_true(puts_quick > 40000 && takes_quick > 90000); /* those of their kind: 81,198 and 179,610 */
	like_an_array(0x10000, 16);
	like_an_array(UINT64_C(0x7fffc0000000) - (uint64_t)SLOTS * 16, 16); /* the top of user space */
}

/* The block that an inner address belongs to, near and far; none where blocks end before it. */
static void blocks_are_found_around_an_address(void **state)
{
	static const struct {
		uint64_t start, bytes;
	} blocks[] = { { 0x60000010, 24 }, { 0x60000040, 100 }, { 0x60000ff0, 3 << 20 }, { 0x60400000, 16 } };
	struct block found, was;
	uint64_t start;
	bool replaced;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
		struct block b = { .bytes = blocks[i].bytes, .stack = (uint32_t)i + 1 };

		assert_true(allocs_put((const void *)blocks[i].start, &b, &was, &replaced));
	}
	for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
		const uint64_t inside[] = { 1, 8, blocks[i].bytes / 2, blocks[i].bytes - 1 };

		for (size_t k = 0; k < ARRAY_LEN(inside); k++) {
			assert_true(allocs_find_around((const void *)(blocks[i].start + inside[k]), &found, &start));
			assert_int_equal(found.stack, i + 1);
			assert_true(start == blocks[i].start);
		}
		assert_false(allocs_find_around((const void *)(blocks[i].start + blocks[i].bytes), &found, &start));
	}
	assert_false(allocs_find_around((const void *)0x60000008, &found, &start));
	for (size_t i = 0; i < ARRAY_LEN(blocks); i++)
		assert_true(allocs_take((const void *)blocks[i].start, &was));
}

static void nothing_is_there_at_first(void **state)
{
	struct block was;

	(void)state;
	assert_false(allocs_maybe((const void *)(uintptr_t)0x123456780000));
	assert_false(allocs_take((const void *)(uintptr_t)0x123456780000, &was));
}

enum { THREADS = 4, ROUNDS = 30000 };

/* Each thread has every fourth block of the same pages: neighbours in a page, never the same address. */
static void *churn(void *arg)
{
	uint64_t me = (uint64_t)(uintptr_t)arg, seed = me + 1;
	static _Thread_local bool here[256];

	for (int n = 0; n < ROUNDS; n++) {
		uint64_t i = poisson_random(&seed) % 256;
		const void *address = address_of(UINT64_C(0x600000000000) + me * 16, i, (uint64_t)THREADS * 16);
		struct block b = block_of(me * 1000 + i), was = { 0 };
		bool replaced = true;

		if (here[i]) {
			if (!take(address, &was) || was.bytes != b.bytes)
				return (void *)1;
		} else if (!put(address, &b, &was, &replaced) || replaced) {
			return (void *)1;
		}
		here[i] = !here[i];
	}
	for (uint64_t i = 0; i < 256; i++) {
		struct block was;

		if (here[i] && !take(address_of(UINT64_C(0x600000000000) + me * 16, i, (uint64_t)THREADS * 16), &was))
			return (void *)1;
	}
	return NULL;
}

static void threads_do_not_lose_blocks(void **state)
{
	uint64_t before = allocs_check();
	pthread_t threads[THREADS];

	(void)state;
	allocs_share();
	for (uintptr_t t = 0; t < THREADS; t++)
		assert_int_equal(pthread_create(&threads[t], NULL, churn, (void *)t), 0);
	for (int t = 0; t < THREADS; t++) {
		void *failed;

		assert_int_equal(pthread_join(threads[t], &failed), 0);
		assert_null(failed);
	}
	assert_true(allocs_check() == before);
}

static void add_up(void *context, UNUSED uint64_t address, const struct block *block)
{
	uint64_t *sums = context;

	sums[0]++;
	sums[1] += block->bytes;
}

/* In several regions, and on pages of which only some have records. */
static void each_block_is_visited_once(void **state)
{
	enum { BLOCKS = 5000 };
	uint64_t before[2] = { 0 }, now[2] = { 0 }, bytes = 0;

	(void)state;
	allocs_each(add_up, before);
	assert_true(before[0] == allocs_check());
	for (uint64_t i = 0; i < BLOCKS; i++) {
		struct block b = { .bytes = i, .stack = 1 }, was;
		bool replaced;

		assert_true(allocs_put((void *)((UINT64_C(0x520000000000) + (i % 3 << 32)) + i * 4720), &b, &was,
		                       &replaced));
		bytes += i;
	}
	allocs_each(add_up, now);
	assert_true(now[0] == before[0] + BLOCKS && now[1] == before[1] + bytes);
	for (uint64_t i = 0; i < BLOCKS; i++) {
		struct block was;

		assert_true(allocs_take((void *)((UINT64_C(0x520000000000) + (i % 3 << 32)) + i * 4720), &was));
	}
	now[0] = 0;
	allocs_each(add_up, now);
	assert_true(now[0] == before[0]);
}

/* ADR 0003: at most 32 bytes a live block, and 16 MiB. */
static void memory_goal(uint64_t base, uint64_t step, uint64_t bytes)
{
	enum { BLOCKS = 1000000 };
	uint64_t before = allocs_memory(), used;

	for (uint64_t i = 0; i < BLOCKS; i++) {
		struct block b = { .bytes = bytes, .stack = 1 }, was;
		bool replaced;

		assert_true(allocs_put(address_of(base, i, step), &b, &was, &replaced));
	}
	used = allocs_memory() - before;
	assert_true(used <= UINT64_C(32) * BLOCKS + (16 << 20));
	allocs_compact(os_now_ns() + 10 * NS_PER_S); /* memory moves, nothing in it does */
	for (uint64_t i = 0; i < BLOCKS; i++) {
		struct block was;

		assert_true(allocs_take(address_of(base, i, step), &was) && was.bytes == bytes);
	}
}

static void memory_goals(void **state)
{
	(void)state;
	memory_goal(UINT64_C(0x500000000000), 80, 64);     /* blocks of 64 bytes as glibc places them */
	memory_goal(UINT64_C(0x510000000000), 1040, 1024); /* of 1 KiB */
	memory_goal(UINT64_C(0x520000000000), 32, 24);     /* the smallest of glibc's */
	memory_goal(UINT64_C(0x530000000000), 16, 16);     /* of jemalloc's, tcmalloc's */
}

/* Blocks of 1 to 256 bytes in no order, as glibc places them. */
static void memory_goal_of_a_mixture(void **state)
{
	enum { BLOCKS = 500000 };
	uint64_t before = allocs_memory(), at = UINT64_C(0x540000000000), seed = 5;

	(void)state;
	for (uint64_t i = 0; i < BLOCKS; i++) {
		struct block b = { .bytes = 1 + poisson_random(&seed) % 256, .stack = 1 }, was;
		bool replaced;

		assert_true(allocs_put((const void *)at, &b, &was, &replaced));
		at += b.bytes <= 24 ? 32 : (b.bytes + 8 + 15) / 16 * 16;
	}
	assert_true(allocs_memory() - before <= UINT64_C(48) * BLOCKS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_there_at_first),       cmocka_unit_test(blocks_are_found_around_an_address),
		cmocka_unit_test(like_an_array_for_every_density), cmocka_unit_test(threads_do_not_lose_blocks),
		cmocka_unit_test(each_block_is_visited_once),      cmocka_unit_test(memory_goals),
		cmocka_unit_test(memory_goal_of_a_mixture),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
