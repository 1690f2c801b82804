/* Random graphs of blocks in one piece of memory, against a search without any cleverness. */
#include <string.h>

#include "leak_index.h"
#include "leak_mark.h"
#include "t.h"

enum { NODES = 600, WORDS = 1 << 15, LINKS = 3 };

static uint64_t memory[WORDS];
static uint64_t *node[NODES];
static size_t size_of[NODES];          /* in words */
static unsigned link_to[NODES][LINKS]; /* NODES: none */
static unsigned count;
static bool live[NODES];
static uint64_t state = 7;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Some point at the start, some inside, some one past the end. */
static uint64_t pointer_to(unsigned n)
{
	uint64_t at = (uint64_t)node[n];

	switch (next_random() % 4) {
	case 0:
		return at + next_random() % (size_of[n] * 8);
	case 1:
		return at + size_of[n] * 8;
	default:
		return at;
	}
}

static void make_graph(unsigned links_in_eight)
{
	size_t at = 8;

	memset(memory, 0, sizeof(memory));
	count = 0;
	while (count < NODES && at + 1100 < WORDS) {
		size_of[count] = next_random() % 20 == 0 ? 500 + next_random() % 500 : LINKS + next_random() % 8;
		node[count] = &memory[at];
		assert_true(leak_index_add((uint64_t)node[count], size_of[count] * 8));
		at += size_of[count] + 1 +
		      next_random() % 4; /* a word between, so that one past the end is nobody else's */
		count++;
	}
	leak_index_whole();
	for (unsigned i = 0; i < count; i++) {
		live[i] = false;
		for (unsigned l = 0; l < LINKS; l++) {
			link_to[i][l] = next_random() % 8 < links_in_eight ? (unsigned)(next_random() % count) : NODES;
			if (link_to[i][l] < NODES)
				node[i][l * (size_of[i] / LINKS)] = pointer_to(link_to[i][l]);
			else
				node[i][l * (size_of[i] / LINKS)] = next_random() % 2 ? next_random() : 0;
		}
	}
}

static void spread(unsigned from, bool *mark)
{
	unsigned todo[NODES], n = 0;

	if (mark[from])
		return;
	mark[from] = true;
	todo[n++] = from;
	while (n) {
		unsigned at = todo[--n];

		for (unsigned l = 0; l < LINKS; l++) {
			unsigned to = link_to[at][l];

			if (to < NODES && !mark[to]) {
				mark[to] = true;
				todo[n++] = to;
			}
		}
	}
}

static struct leak_range everything;

static void begin(void)
{
	everything.start = (uint64_t)memory & ~UINT64_C(4095);
	everything.end = ((uint64_t)(memory + WORDS) + 4095) & ~UINT64_C(4095);
	assert_true(leak_mark_begin(&everything, 1, 8));
}

/* What hangs from what: a block is a head if nobody that cannot be reached by it leads to it. */
static void check_owners(void)
{
	static bool by[NODES][NODES];

	memset(by, 0, sizeof(by));
	for (unsigned i = 0; i < count; i++)
		if (!live[i])
			spread(i, by[i]);
	for (unsigned i = 0; i < count; i++) {
		struct leak_at at = leak_index_at((uint64_t)node[i]);
		uint32_t number, owner;
		bool led_to = false, lowest = true;

		assert_int_equal(at.page != NULL, !live[i]);
		if (live[i])
			continue;
		number = leak_index_number(at);
		owner = leak_mark_owner(number);
		for (unsigned j = 0; j < count; j++) {
			if (live[j] || j == i || !by[j][i])
				continue;
			led_to = led_to || !by[i][j]; /* from outside its own cycle */
			lowest = lowest && !(by[i][j] && j < i);
		}
		assert_int_equal(owner == number, !led_to && lowest);
		if (owner != number) { /* from which it is reached */
			bool found = false;

			for (unsigned j = 0; j < count && !found; j++)
				found = !live[j] && leak_index_number(leak_index_at((uint64_t)node[j])) == owner &&
				        by[j][i];
			assert_true(found);
		}
	}
}

static void marks_what_can_be_reached(void **unused)
{
	(void)unused;
	for (unsigned round = 0; round < 60; round++) {
		uint64_t roots[8];
		bool failed;
		unsigned dead = 0;

		make_graph(1 + round % 4);
		begin();
		for (unsigned i = 0; i < ARRAY_LEN(roots); i++) {
			unsigned to = (unsigned)(next_random() % count);

			roots[i] = pointer_to(to);
			spread(to, live);
		}
		leak_mark_words(roots, 4 * sizeof(*roots));
		leak_mark_roots((uint64_t)&roots[4], (uint64_t)&roots[8]);
		(void)leak_mark_follow();
		for (unsigned i = 0; i < count; i++)
			dead += !live[i];
		assert_int_equal(leak_mark_rest(&failed), dead);
		assert_false(failed);
		check_owners();
		leak_mark_reset();
		leak_index_reset();
	}
}

static void no_other_word_is_a_pointer(void **unused)
{
	bool failed;

	(void)unused;
	make_graph(0);
	begin();
	assert_int_equal(leak_mark_rest(&failed), count);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(leak_mark_owner(leak_index_number(leak_index_at((uint64_t)node[i]))),
		                 leak_index_number(leak_index_at((uint64_t)node[i])));
	leak_mark_reset();
	leak_index_reset();
}

static void blocks_without_memory_are_left_out(void **unused)
{
	bool failed;

	(void)unused;
	assert_true(leak_index_add(0x5000, 64)); /* nothing is mapped there */
	assert_true(leak_index_add((uint64_t)&memory[16], 64));
	leak_index_whole();
	begin();
	assert_int_equal(leak_mark_gone(), 1);
	assert_int_equal(leak_mark_rest(&failed), 1);
	leak_mark_reset();
	leak_index_reset();
}

static void mentioned_by_itself_does_not_count(void **unused)
{
	bool failed;

	(void)unused;
	memset(memory, 0, sizeof(memory));
	for (unsigned i = 0; i < 3; i++)
		assert_true(leak_index_add((uint64_t)&memory[64 + 16 * i], 64));
	leak_index_whole();
	begin();
	memory[64] = (uint64_t)&memory[65];  /* itself */
	memory[80] = (uint64_t)&memory[96];  /* the next */
	memory[500] = (uint64_t)&memory[81]; /* from outside */
	leak_mark_mentioned((uint64_t)memory, (uint64_t)(memory + WORDS));
	assert_int_equal(leak_mark_rest(&failed), 1);
	assert_non_null(leak_index_at((uint64_t)&memory[64]).page);
	leak_mark_reset();
	leak_index_reset();
}

static void unaligned_pointers_on_demand(void **unused)
{
	uint64_t at = (uint64_t)&memory[64];
	bool failed;

	(void)unused;
	for (unsigned step = 1; step <= 8; step += 7) {
		memset(memory, 0, sizeof(memory));
		assert_true(leak_index_add(at, 64));
		leak_index_whole();
		everything.start = (uint64_t)memory & ~UINT64_C(4095);
		everything.end = ((uint64_t)(memory + WORDS) + 4095) & ~UINT64_C(4095);
		assert_true(leak_mark_begin(&everything, 1, step));
		memcpy((uint8_t *)&memory[500] + 3, &at, sizeof(at));
		leak_mark_roots((uint64_t)&memory[490], (uint64_t)&memory[510]);
		(void)leak_mark_follow();
		assert_int_equal(leak_mark_rest(&failed), step == 8);
		leak_mark_reset();
		leak_index_reset();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(marks_what_can_be_reached),
		cmocka_unit_test(no_other_word_is_a_pointer),
		cmocka_unit_test(blocks_without_memory_are_left_out),
		cmocka_unit_test(mentioned_by_itself_does_not_count),
		cmocka_unit_test(unaligned_pointers_on_demand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
