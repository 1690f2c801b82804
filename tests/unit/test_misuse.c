/* Tests of misuse.c through the recorder: what is told from what, once a pair of stacks, and what is never reported. */
#include "t.h"

#include "misuse.h"
#include "recorder.h"

#define FRAME() ARCH_HOOK_FRAME()

static struct config config = { .heap = HEAP_FULL };

static const void *address(uint64_t n)
{
	return (const void *)(UINT64_C(0x610000000000) + n * 64); /* never read: only a name */
}

/* Starts again: as a forked child does, but with nothing live. */
static void restart(void)
{
	recorder_init(&config);
	misuse_fork_child(false);
}

static __attribute__((noinline)) void make(uint64_t n, enum snap_family family)
{
	(void)recorder_wants(&tls_self, 24);
	recorder_alloc(&tls_self, address(n), 24, family, FRAME());
	__asm__ volatile("");
}

static __attribute__((noinline)) void drop(uint64_t n, enum snap_family by)
{
	recorder_free(&tls_self, address(n), by, FRAME());
	__asm__ volatile("");
}

static uint64_t count_of(uint32_t row)
{
	return load_relaxed(&misuse_at(row)->count);
}

static void families(void **state)
{
	(void)state;
	for (unsigned made = 0; made <= SNAP_FAMILY_POOL; made++) {
		for (unsigned by = 0; by < SNAP_FAMILY_COUNT; by++) {
			bool right = made == by || (made == SNAP_FAMILY_MALLOC && by == SNAP_FAMILY_REALLOC);

			restart();
			make(1, (enum snap_family)made);
			drop(1, (enum snap_family)by);
			assert_int_equal(misuse_count(), right ? 0 : 1);
			if (right)
				continue;
			assert_int_equal(misuse_at(0)->kind, SNAP_MISUSE_MISMATCH);
			assert_int_equal(misuse_at(0)->allocated_by, made);
			assert_int_equal(misuse_at(0)->freed_by, by);
			assert_true(misuse_at(0)->allocated && misuse_at(0)->freed && misuse_at(0)->bytes == 24);
		}
	}
}

static void one_row_a_pair_of_stacks(void **state)
{
	(void)state;
	restart();
	for (uint64_t i = 0; i < 1000; i++) {
		make(i, SNAP_FAMILY_NEW);
		drop(i, SNAP_FAMILY_MALLOC);
	}
	assert_int_equal(misuse_count(), 1);
	assert_true(count_of(0) == 1000);
	for (uint64_t i = 0; i < 10; i++)
		make(i, SNAP_FAMILY_NEW);
	drop(0, SNAP_FAMILY_MALLOC); /* another line: another stack */
	assert_int_equal(misuse_count(), 2);
	for (uint64_t i = 1; i < 10; i++)
		drop(i, SNAP_FAMILY_NEW);
}

static void second_frees(void **state)
{
	(void)state;
	restart();
	for (int round = 0; round < 3; round++) { /* the second time the first free's stack is whole: the same row */
		make(1, SNAP_FAMILY_MALLOC);
		drop(1, SNAP_FAMILY_MALLOC);
		drop(1, SNAP_FAMILY_MALLOC);
	}
	assert_int_equal(misuse_count(), 1);
	assert_int_equal(misuse_at(0)->kind, SNAP_MISUSE_DOUBLE_FREE);
	assert_true(count_of(0) == 3);
	assert_true(misuse_at(0)->allocated && misuse_at(0)->first_freed && misuse_at(0)->freed);
	/* More than the mark of a truncated stack above the caller. */
	assert_true(stacks_parent(stacks_parent(misuse_at(0)->first_freed)) != 0);
}

static void as_far_back_as_the_ring(void **state)
{
	(void)state;
	for (uint64_t between = THREAD_FREED - 1; between <= THREAD_FREED; between++) {
		restart();
		make(1, SNAP_FAMILY_MALLOC);
		drop(1, SNAP_FAMILY_MALLOC);
		for (uint64_t i = 0; i < between; i++) {
			make(1000 + i, SNAP_FAMILY_MALLOC);
			drop(1000 + i, SNAP_FAMILY_MALLOC);
		}
		drop(1, SNAP_FAMILY_MALLOC);
		assert_int_equal(misuse_count(), 1);
		assert_int_equal(misuse_at(0)->kind,
		                 between < THREAD_FREED ? SNAP_MISUSE_DOUBLE_FREE : SNAP_MISUSE_NO_BLOCK);
	}
}

static void what_is_no_block(void **state)
{
	static int object;
	int local = 0;
	const struct {
		const void *at;
		enum snap_no_block what;
	} cases[] = {
		{ &local, SNAP_NO_BLOCK_STACK },
		{ &object, SNAP_NO_BLOCK_STATIC },
		{ (const char *)address(7) + 8, SNAP_NO_BLOCK_INSIDE },
		{ address(100), SNAP_NO_BLOCK_UNMAPPED },
	};

	(void)state;
	restart();
	make(7, SNAP_FAMILY_NEW);
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		recorder_free(&tls_self, cases[i].at, SNAP_FAMILY_MALLOC, FRAME());
		assert_int_equal(misuse_count(), i + 1);
		assert_int_equal(misuse_at(i)->kind, SNAP_MISUSE_NO_BLOCK);
		assert_int_equal(misuse_at(i)->no_block, cases[i].what);
	}
	drop(7, SNAP_FAMILY_NEW);
}

/* Blocks that were not recorded are freed rightly: once each. */
static void strangers_are_not_reported(void **state)
{
	(void)state;
	restart();
	make(1, SNAP_FAMILY_MALLOC);
	drop(1, SNAP_FAMILY_MALLOC);
	misuse_stranger(address(1)); /* given away again, unseen */
	misuse_stranger(address(2));
	drop(1, SNAP_FAMILY_MALLOC);
	drop(2, SNAP_FAMILY_NEW);
	assert_int_equal(misuse_count(), 0);
	drop(1, SNAP_FAMILY_MALLOC);
	assert_int_equal(misuse_count(), 1);
}

static void sampled_mode_says_nothing_of_unknown_addresses(void **state)
{
	(void)state;
	config.heap = HEAP_SAMPLED;
	config.heap_interval = 1 << 20;
	restart();
	drop(77, SNAP_FAMILY_MALLOC);
	assert_int_equal(misuse_count(), 0);
	config.heap = HEAP_FULL;
}

/* Last: more strangers than are kept silence what rests on knowing them all. */
static void too_many_strangers(void **state)
{
	(void)state;
	restart();
	for (uint64_t i = 0; i < 10000; i++)
		misuse_stranger(address(10000 + i));
	make(1, SNAP_FAMILY_MALLOC);
	drop(1, SNAP_FAMILY_MALLOC);
	drop(1, SNAP_FAMILY_MALLOC);
	for (uint32_t i = 0; i < misuse_count(); i++)
		assert_int_not_equal(misuse_at(i)->kind, SNAP_MISUSE_DOUBLE_FREE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(families),
		cmocka_unit_test(one_row_a_pair_of_stacks),
		cmocka_unit_test(second_frees),
		cmocka_unit_test(as_far_back_as_the_ring),
		cmocka_unit_test(what_is_no_block),
		cmocka_unit_test(strangers_are_not_reported),
		cmocka_unit_test(sampled_mode_says_nothing_of_unknown_addresses),
		cmocka_unit_test(too_many_strangers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
