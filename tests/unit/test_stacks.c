/* Tests of stacks.c: one id per distinct path, the memo changes nothing, and threads agree. */
#include "t.h"

#include <pthread.h>

#include "poisson.h"
#include "stacks.h"

/* The stack of `id`, innermost first. */
static size_t read_back(uint32_t id, uintptr_t *pcs)
{
	size_t depth = 0;

	for (; id; id = stacks_parent(id)) {
		assert_true(stacks_parent(id) < id);
		assert_true(depth < STACKS_MAX_DEPTH);
		pcs[depth++] = stacks_pc(id);
	}
	return depth;
}

static void same_frames_same_id(void **state)
{
	static struct stack_memo a, b;
	const uintptr_t pcs[] = { 0x5003, 0x5002, 0x5001 };
	const uintptr_t other[] = { 0x5004, 0x5002, 0x5001 };
	uintptr_t back[STACKS_MAX_DEPTH];
	uint32_t id = stacks_intern(&a, pcs, 3, false), outer;

	(void)state;
	assert_int_not_equal(id, 0);
	assert_int_equal(stacks_intern(&a, pcs, 3, false), id); /* by the memo */
	assert_int_equal(stacks_intern(&b, pcs, 3, false), id); /* without */
	outer = stacks_intern(&a, pcs + 1, 2, false);           /* shorter: the caller's node */
	assert_int_equal(outer, stacks_parent(id));
	assert_int_not_equal(stacks_intern(&a, other, 3, false), id);
	assert_int_equal(stacks_parent(stacks_intern(&a, other, 3, false)), outer);
	assert_int_equal(stacks_intern(&a, pcs, 3, true), id); /* in a handler: nobody holds the lock */
	assert_int_equal(read_back(id, back), 3);
	assert_memory_equal(back, pcs, sizeof(pcs));
}

static void depth_limits(void **state)
{
	static struct stack_memo memo;
	uintptr_t pcs[STACKS_MAX_DEPTH] = { 0 }, back[STACKS_MAX_DEPTH];

	(void)state;
	assert_int_equal(stacks_intern(&memo, pcs, 0, false), 0);
	for (size_t i = 0; i < STACKS_MAX_DEPTH; i++)
		pcs[i] = 0x70000 + i;
	for (size_t depth = 1; depth <= STACKS_MAX_DEPTH; depth++) {
		uint32_t id = stacks_intern(&memo, pcs, depth, false);

		assert_int_equal(read_back(id, back), depth);
		assert_memory_equal(back, pcs, depth * sizeof(*pcs));
	}
}

/* Random walks over a small alphabet, so that prefixes are shared in every way; the memo of each step must not lie. */
static void random_stacks_read_back(void **state)
{
	static struct stack_memo memo;
	uintptr_t pcs[40], back[STACKS_MAX_DEPTH];
	uint64_t seed = 3;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		size_t depth = 1 + poisson_random(&seed) % 40;
		uint32_t id;

		for (size_t k = 0; k < depth; k++)
			pcs[k] = 0x100000 + poisson_random(&seed) % (i % 3 ? 2 : 50);
		id = stacks_intern(&memo, pcs, depth, i % 2 == 0);
		assert_int_not_equal(id, 0);
		assert_int_equal(read_back(id, back), depth);
		assert_memory_equal(back, pcs, depth * sizeof(*pcs));
	}
	assert_int_equal(stacks_check(), stacks_count());
}

enum { THREADS = 4, STACKS = 3000 };

static void *intern_all(void *arg)
{
	static _Thread_local struct stack_memo memo;
	uint32_t *ids = arg;

	for (uintptr_t i = 0; i < STACKS; i++) {
		const uintptr_t pcs[] = { 0x900000 + i, 0x800000 + i % 100, 0x800000 };

		ids[i] = stacks_intern(&memo, pcs, 3, false);
	}
	return NULL;
}

static void threads_agree(void **state)
{
	static uint32_t ids[THREADS][STACKS];
	pthread_t threads[THREADS];

	(void)state;
	for (int t = 0; t < THREADS; t++)
		assert_int_equal(pthread_create(&threads[t], NULL, intern_all, ids[t]), 0);
	for (int t = 0; t < THREADS; t++)
		assert_int_equal(pthread_join(threads[t], NULL), 0);
	for (int t = 1; t < THREADS; t++)
		assert_memory_equal(ids[t], ids[0], sizeof(ids[0]));
	for (int i = 0; i < STACKS; i++)
		assert_int_not_equal(ids[0][i], 0);
	assert_int_equal(stacks_check(), stacks_count());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_frames_same_id),
		cmocka_unit_test(depth_limits),
		cmocka_unit_test(random_stacks_read_back),
		cmocka_unit_test(threads_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
