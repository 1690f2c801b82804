/* Random blocks against a list of them: every look-up says what the list says. Addresses are made up; nothing is there. */
#include "leak_index.h"
#include "t.h"

enum { BLOCKS = 4000 };

static struct {
	uint64_t start, end; /* end in whole units */
} list[BLOCKS];
static unsigned count;
static uint64_t state = 1;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static uint64_t some_size(void)
{
	switch (next_random() % 16) {
	case 0:
		return 0;
	case 1:
		return 3000 + next_random() % 20000;
	case 2:
		return (64 << 10) + next_random() % (300 << 10);
	case 3:
		return 4096 * (1 + next_random() % 4); /* ends at the end of a page, perhaps */
	default:
		return 1 + next_random() % 200;
	}
}

static void make_blocks(uint64_t from)
{
	uint64_t at = from;

	count = 0;
	for (unsigned i = 0; i < BLOCKS; i++) {
		uint64_t size = some_size();

		at += 8 * (next_random() % 8 == 0 ? next_random() % 2000 : next_random() % 3);
		if (next_random() % 32 == 0)
			at = (at + 4095) & ~UINT64_C(4095);
		assert_true(leak_index_add(at, size));
		list[count].start = at;
		list[count].end = size ? (at + size + 7) & ~UINT64_C(7) : at + 8;
		at = list[count++].end;
	}
	leak_index_whole();
	assert_int_equal(leak_index_blocks(), BLOCKS);
}

/* The start of the block that holds the value; 0: none. */
static uint64_t expected(uint64_t value, const bool *gone)
{
	uint64_t past = 0;

	for (unsigned i = 0; i < count; i++) {
		if (gone && gone[i])
			continue;
		if (value >= list[i].start && value < list[i].end)
			return list[i].start;
		if (value == list[i].end)
			past = list[i].start;
	}
	return past;
}

static void look_around(const bool *gone)
{
	for (unsigned i = 0; i < 20000; i++) {
		unsigned b = (unsigned)(next_random() % count);
		uint64_t value = next_random() % 2 ? list[b].start : list[b].end;
		struct leak_at at;
		uint64_t want;

		if (next_random() % 4 == 0)
			value = list[b].start + next_random() % (list[b].end - list[b].start + 64);
		else
			value += next_random() % 33 - 16;
		want = expected(value, gone);
		at = leak_index_find(value);
		assert_int_equal(at.page ? leak_address(at) : 0, want);
	}
}

static void finds_what_a_list_finds(void **unused)
{
	(void)unused;
	for (unsigned round = 0; round < 4; round++) {
		make_blocks((UINT64_C(0x7f) << 40) + (UINT64_C(1) << 30) - (8 << 20)); /* over a region's end */
		look_around(NULL);
		for (unsigned i = 0; i < count; i++) {
			struct leak_at at = leak_index_at(list[i].start);

			assert_non_null(at.page);
			assert_int_equal(leak_index_end(at), list[i].end);
		}
		leak_index_reset();
	}
}

struct seen {
	uint32_t number;
	uint64_t last;
};

static void see(void *context, struct leak_at at)
{
	struct seen *s = context;

	assert_int_equal(leak_index_number(at), s->number++);
	assert_true(leak_address(at) > s->last);
	s->last = leak_address(at);
}

static void what_was_reached_is_dropped(void **unused)
{
	static bool gone[BLOCKS];
	struct seen seen = { 0, 0 };
	unsigned left = 0;

	(void)unused;
	make_blocks(UINT64_C(0x5555) << 32);
	for (unsigned i = 0; i < count; i++) {
		struct leak_at at = leak_index_at(list[i].start);

		gone[i] = next_random() % 3 != 0;
		left += !gone[i];
		if (gone[i])
			leak_group(at)->reached |= leak_bit(at);
	}
	assert_int_equal(leak_index_drop_reached(), left);
	leak_index_each(see, &seen);
	assert_int_equal(seen.number, left);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(leak_index_at(list[i].start).page == NULL, gone[i]);
	/* One past a dropped block's end is nobody's, and a block before a dropped one does not reach into it. */
	look_around(gone);
	leak_index_reset();
}

static void says_where_there_are_any(void **unused)
{
	(void)unused;
	assert_true(leak_index_add(0x10000010, 24));
	assert_true(leak_index_add(0x10003ff0, 32));
	leak_index_whole();
	assert_true(leak_index_any(0x10000000, 0x10001000));
	assert_false(leak_index_any(0x10001000, 0x10003000));
	assert_true(leak_index_any(0x10004000, 0x10004008)); /* reaches into it */
	assert_false(leak_index_any(0x20000000, 0x30000000));
	leak_index_reset();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_a_list_finds),
		cmocka_unit_test(what_was_reached_is_dropped),
		cmocka_unit_test(says_where_there_are_any),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
