/* Tests of pools.c: blocks and their pools, against a plain model. */
#include "t.h"

#include "pools.h"

static const void *at(uint64_t n)
{
	return (const void *)(UINT64_C(0x620000000000) + n); /* never read: only a name; any alignment */
}

static bool put(uint64_t pool, uint64_t block, uint64_t bytes)
{
	struct block b = { .bytes = bytes, .stack = 3 }, was;
	bool replaced;

	assert_true(pools_put(at(pool), at(block), &b, &was, &replaced));
	return replaced;
}

static bool take(uint64_t pool, uint64_t block, uint64_t bytes)
{
	struct block b;
	bool found = pools_take(at(pool), at(block), &b);

	if (found) {
		assert_int_equal(b.bytes, bytes);
		assert_int_equal(b.stack, 3);
	}
	return found;
}

static unsigned destroy(uint64_t pool)
{
	struct block b;
	unsigned n = 0;

	while (pools_take_any(at(pool), &b))
		n++;
	return n;
}

static void test_blocks_of_two_pools(void **state)
{
	(void)state;
	assert_false(take(1, 2, 0));
	assert_int_equal(destroy(1), 0);
	assert_false(put(1, 1, 10)); /* a block may begin where its pool does */
	assert_false(put(1, 2, 20));
	assert_false(put(2, 3, 30));
	assert_int_equal(pools_check(), 3);
	assert_false(take(2, 1, 10)); /* another pool's */
	assert_true(take(1, 1, 10));
	assert_false(take(1, 1, 10));
	assert_true(put(2, 2, 25)); /* its free was missed; now it is another pool's */
	assert_int_equal(pools_check(), 2);
	assert_int_equal(destroy(1), 0);
	assert_int_equal(destroy(2), 2);
	assert_int_equal(pools_check(), 0);
	assert_false(
	        pools_put(at(1), NULL, &(struct block){ .bytes = 1 }, &(struct block){ .bytes = 0 }, &(bool){ false }));
}

static void add_up(void *sum, UNUSED uint64_t address, const struct block *b)
{
	*(uint64_t *)sum += b->bytes;
}

/* Grows several times; random order; every block is found, and each pool's blocks go with it. */
static void test_many(void **state)
{
	enum { BLOCKS = 20000, POOLS = 37 };
	static bool alive[BLOCKS];
	unsigned count = 0, of_first = 0, random = 1;
	uint64_t bytes = 0, seen = 0;

	(void)state;
	for (unsigned i = 0; i < 6 * BLOCKS; i++) {
		unsigned n;

		random = random * 1103515245 + 12345;
		n = (random >> 8) % BLOCKS;
		if (alive[n])
			assert_true(take(n % POOLS, 100 + n, n));
		else
			assert_false(put(n % POOLS, 100 + n, n));
		alive[n] = !alive[n];
	}
	for (unsigned n = 0; n < BLOCKS; n++) {
		count += alive[n];
		bytes += alive[n] ? n : 0;
		of_first += alive[n] && n % POOLS == 0;
	}
	assert_int_equal(pools_check(), count);
	pools_each(add_up, &seen);
	assert_true(seen == bytes);
	assert_int_equal(destroy(0), of_first);
	assert_int_equal(pools_check(), count - of_first);
	for (unsigned p = 1; p < POOLS; p++)
		(void)destroy(p);
	assert_int_equal(pools_check(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks_of_two_pools),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
