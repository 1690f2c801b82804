/* Tests of mappings.c: parts of ranges, and a random course compared with a map of single pages. */
#include "t.h"

#include "mappings.h"

enum { PAGE = 4096, PAGES = 512 };
static const uintptr_t base = UINT64_C(0x7f0000000000);

static void add(unsigned first, unsigned pages, uint32_t stack)
{
	mappings_add(base + (uintptr_t)first * PAGE, (size_t)pages * PAGE, stack);
}

static struct mappings_taken forget(unsigned first, unsigned pages)
{
	struct mappings_taken taken;

	mappings_forget(base + (uintptr_t)first * PAGE, (size_t)pages * PAGE, &taken);
	return taken;
}

/* Pages by stack, of all ranges. */
static uint64_t pages_of(uint32_t stack)
{
	static struct mapping_row rows[4096];
	struct mappings_totals totals;
	uint64_t bytes = 0;
	size_t n;

	assert_true(mappings_copy(rows, ARRAY_LEN(rows), &n, &totals));
	assert_int_equal(n, mappings_count());
	for (size_t i = 0; i < n; i++)
		bytes += rows[i].stack == stack ? rows[i].bytes : 0;
	return bytes / PAGE;
}

static void test_parts(void **state)
{
	struct mappings_taken taken;

	(void)state;
	add(10, 10, 1);
	taken = forget(13, 2); /* a hole */
	assert_true(taken.count == 1 && taken.bytes == 2 * PAGE);
	assert_int_equal(mappings_count(), 2);
	assert_int_equal(pages_of(1), 8);
	mappings_restore(&taken); /* the call failed */
	assert_int_equal(pages_of(1), 10);
	add(5, 10, 2); /* over the begin of what is there */
	assert_int_equal(pages_of(1), 5);
	assert_int_equal(pages_of(2), 10);
	taken = forget(0, 100);
	assert_int_equal(taken.bytes, 15 * PAGE);
	assert_int_equal(mappings_check(), 0);
	assert_int_equal(forget(0, 100).bytes, 0);
	mappings_forget(UINTPTR_MAX - PAGE, SIZE_MAX, &taken); /* beyond the end of addresses */
	assert_int_equal(taken.bytes, 0);
}

static void test_random_course(void **state)
{
	static uint32_t page[PAGES];
	unsigned random = 7;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		unsigned first, pages;
		uint32_t stack;

		random = random * 1103515245 + 12345;
		first = (random >> 8) % PAGES;
		random = random * 1103515245 + 12345;
		pages = 1 + (random >> 8) % 40;
		pages = pages > PAGES - first ? PAGES - first : pages;
		stack = (random >> 20) % 5;
		if (stack) {
			add(first, pages, stack);
		} else {
			struct mappings_taken taken = forget(first, pages);
			unsigned known = 0;

			for (unsigned p = first; p < first + pages; p++)
				known += page[p] != 0;
			assert_int_equal(taken.bytes, (uint64_t)known * PAGE);
			if (i % 3 == 0 && taken.count < MAPPINGS_TAKEN) {
				mappings_restore(&taken);
				continue;
			}
		}
		for (unsigned p = first; p < first + pages; p++)
			page[p] = stack;
		if (i % 500 == 0) {
			uint64_t known[5] = { 0 };

			for (unsigned p = 0; p < PAGES; p++)
				known[page[p]]++;
			for (uint32_t s = 1; s < 5; s++)
				assert_int_equal(pages_of(s), known[s]);
			(void)mappings_check();
		}
	}
	(void)forget(0, PAGES);
	assert_int_equal(mappings_check(), 0);
}

/* More ranges than the table begins with. */
static void test_many(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3000; i++)
		add(2 * i, 1, 1 + i % 2);
	assert_int_equal(mappings_check(), 3000 * PAGE);
	assert_int_equal(pages_of(2), 1500);
	assert_int_equal(forget(0, 6000).bytes, 3000 * PAGE);
	assert_int_equal(mappings_check(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_random_course),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
