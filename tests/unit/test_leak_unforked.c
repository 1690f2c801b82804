/* Memory that fork leaves out: which of it is kept, and what is counted as lost. */
#include <string.h>
#include <sys/mman.h>

#include "compiler.h"
#include "leak_unforked.h"
#include "t.h"

enum { PAGE = 4096 };

static char *map(size_t bytes)
{
	char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_true(at != MAP_FAILED);
	(void)madvise(at, bytes, MADV_NOHUGEPAGE);
	return at;
}

/* Is the page, filled with this byte, among what is kept? */
static bool has(char with)
{
	size_t bytes;
	const char *at = leak_unforked_kept(&bytes);
	unsigned found = 0;

	for (size_t i = 0; i < bytes; i += PAGE)
		found += at[i] == with && at[i + PAGE - 1] == with;
	assert_true(found <= 1);
	return found;
}

static size_t keep(void)
{
	size_t bytes;

	leak_unforked_prepare();
	leak_unforked_keep();
	(void)leak_unforked_kept(&bytes);
	return bytes;
}

static char *letters(void)
{
	char *at = map(5 * PAGE);

	for (int i = 0; i < 5; i++)
		memset(at + i * PAGE, 'a' + i, PAGE);
	return at;
}

static void parts_leave_and_the_rest_is_kept(void **unused)
{
	char *at = letters();

	(void)unused;
	assert_false(leak_unforked_any());
	assert_int_equal(keep(), 0);
	leak_unforked_add(at, 5 * PAGE, false);
	assert_true(leak_unforked_any());
	assert_int_equal(keep(), 5 * PAGE);
	leak_unforked_remove(at + PAGE, PAGE); /* the middle */
	assert_int_equal(keep(), 4 * PAGE);
	assert_true(has('a') && !has('b') && has('c') && has('e'));
	leak_unforked_add(at, 5 * PAGE, false); /* again: once */
	assert_int_equal(keep(), 5 * PAGE);
	leak_unforked_remove(at + 3 * PAGE, 20 * PAGE);
	assert_int_equal(keep(), 3 * PAGE);
	assert_true(has('c') && !has('d'));
	assert_int_equal(leak_unforked_lost(), 0);
	leak_unforked_remove(at - PAGE, 30 * PAGE);
	assert_false(leak_unforked_any());
	assert_int_equal(keep(), 0);
	munmap(at, 5 * PAGE);
}

static void moved_with_the_memory(void **unused)
{
	char *from = letters(), *to = letters();

	(void)unused;
	memset(to, 'x', PAGE);
	leak_unforked_moved(from, PAGE, to, 2 * PAGE); /* nobody asked for it */
	assert_false(leak_unforked_any());
	leak_unforked_add(from, 2 * PAGE, false);
	leak_unforked_moved(from, PAGE, to, PAGE);
	assert_int_equal(keep(), 2 * PAGE);
	assert_true(has('x') && has('b') && !has('a'));
	leak_unforked_remove(from, 5 * PAGE);
	leak_unforked_remove(to, 5 * PAGE);
	munmap(from, 5 * PAGE);
	munmap(to, 5 * PAGE);
}

static void a_child_has_what_is_wiped(void **unused)
{
	char *gone = letters(), *wiped = letters();

	(void)unused;
	memset(gone, 'x', PAGE);
	leak_unforked_add(gone, PAGE, false);
	leak_unforked_add(wiped, PAGE, true);
	leak_unforked_fork_child();
	assert_int_equal(keep(), PAGE);
	assert_true(has('a') && !has('x'));
	leak_unforked_remove(wiped, PAGE);
	assert_false(leak_unforked_any());
	munmap(gone, 5 * PAGE);
	munmap(wiped, 5 * PAGE);
}

/* 64 MiB are kept; of a larger range whatever was never written does not count. */
static void beyond_the_limit_is_counted(void **unused)
{
	size_t limit = 64 << 20, bytes = 4 * limit;
	char *at = map(bytes);

	(void)unused;
	memset(at + bytes - PAGE, 'z', PAGE);
	leak_unforked_add(at, bytes, false);
	assert_int_equal(keep(), PAGE);
	assert_true(has('z'));
	assert_int_equal(leak_unforked_lost(), 0);
	memset(at, 1, limit + 3 * PAGE);
	assert_int_equal(keep(), limit);
	assert_int_equal(leak_unforked_lost(), 4 * PAGE);
	leak_unforked_remove(at, bytes);
	munmap(at, bytes);
	assert_int_equal(keep(), 0);
	assert_int_equal(leak_unforked_lost(), 0);
}

static void too_many_ranges_are_counted(void **unused)
{
	char *at = map(4096 * PAGE);
	size_t kept;

	(void)unused;
	memset(at, 1, 4096 * PAGE);
	for (int i = 0; i < 2048; i++)
		leak_unforked_add(at + 2 * i * PAGE, PAGE, false);
	kept = keep();
	assert_int_equal(kept, 1024 * PAGE);
	assert_int_equal(leak_unforked_lost(), 1024 * PAGE);
	leak_unforked_remove(at, 4096 * PAGE);
	assert_false(leak_unforked_any());
	munmap(at, 4096 * PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_leave_and_the_rest_is_kept), cmocka_unit_test(moved_with_the_memory),
		cmocka_unit_test(a_child_has_what_is_wiped),        cmocka_unit_test(beyond_the_limit_is_counted),
		cmocka_unit_test(too_many_ranges_are_counted), /* last: what was refused stays counted */
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
