/* Lines of /proc/PID/maps, and the search of this very process. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#include "compiler.h"
#include "leak_index.h"
#include "leak_roots.h"
#include "t.h"

static struct leak_map parse(const char *line)
{
	struct leak_map m;

	memset(&m, 0xff, sizeof(m));
	assert_ptr_equal(leak_map_parse(line, line + strlen(line), &m), line + strlen(line));
	return m;
}

static void lines_are_understood(void **unused)
{
	struct leak_map m = parse("7f0000000000-7f0000021000 rw-p 00000000 00:00 0 \n");

	(void)unused;
	assert_int_equal(m.start, 0x7f0000000000);
	assert_int_equal(m.end, 0x7f0000021000);
	assert_true(m.readable && m.writable && m.anonymous && !m.shared && !m.skipped && !m.heap);
	m = parse("55e5c0000000-55e5c0021000 rw-p 00000000 00:00 0                          [heap]\n");
	assert_true(m.heap && m.anonymous);
	m = parse("7f1000000000-7f1000001000 r--s 00000000 08:01 1234     /tmp/a file with [heap] in its name\n");
	assert_true(m.readable && !m.writable && m.shared && !m.anonymous && !m.heap);
	m = parse("7f1000000000-7f1000001000 ---p 00000000 00:00 0\n");
	assert_true(!m.readable && m.anonymous);
	m = parse("7f1000000000-7f1000001000 rw-s 00000000 00:05 1    /dev/dri/card0\n");
	assert_true(m.skipped);
	m = parse("7f1000000000-7f1000001000 rw-s 00000000 00:05 1    /dev/shm/x\n");
	assert_true(!m.skipped && m.in_memory);
	m = parse("7f1000000000-7f1000001000 rw-s 00000000 00:01 1    /dev/zero (deleted)\n");
	assert_true(!m.skipped && m.in_memory);
	m = parse("7f1000000000-7f1000001000 rw-s 00000000 08:01 1    /var/lib/db\n");
	assert_true(!m.skipped && !m.in_memory);
	m = parse("7ffd00000000-7ffd00004000 r--p 00000000 00:00 0    [vvar]\n");
	assert_true(m.skipped);
	m = parse("7ffd00000000-7ffd00004000 rw-p 00000000 00:00 0    [stack]\n");
	assert_true(!m.skipped && m.anonymous);
}

static void other_lines_are_refused(void **unused)
{
	static const char *const lines[] = {
		"", "x\n", "7f00-7f10", "7f10-7f00 rw-p 0 0 0\n", "7f00 rw-p\n", "7f00-7f10 rw\n"
	};
	struct leak_map m;

	(void)unused;
	for (unsigned i = 0; i < ARRAY_LEN(lines); i++)
		assert_null(leak_map_parse(lines[i], lines[i] + strlen(lines[i]), &m));
}

static uint64_t wanted; /* an address that is to be searched, or not */
static unsigned times;
static uint64_t in_data = 1;

static void seen(uint64_t start, uint64_t end)
{
	times += wanted >= start && wanted < end;
}

static unsigned copied; /* pieces with the word: shared memory is searched in a copy */

static NO_SANITIZE void look_for_seed(uint64_t start, uint64_t end)
{
	bool found = false;

	for (uint64_t at = start; at + 8 <= end; at += 8)
		found = found || *(const volatile uint64_t *)at == UINT64_C(0x5eed5eed5eed);
	copied += found;
}

static unsigned searched(const void *at, bool exclude)
{
	wanted = (uint64_t)at;
	times = 0;
	assert_true(leak_roots_begin());
	if (exclude)
		leak_roots_exclude((uint64_t)at, (uint64_t)at + 8);
	leak_roots_search(seen, false);
	return times;
}

static void memory_of_this_process_is_searched_once(void **unused)
{
	uint64_t on_stack = 2, *own = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)unused;
	own[0] = 3;
	own[1023] = 3;
	assert_int_equal(searched(&in_data, false), 1);
	assert_int_equal(searched(&on_stack, false), 1);
	assert_int_equal(searched(&own[5], false), 1);
	assert_int_equal(searched(&own[5], true), 0);
	assert_int_equal(searched((void *)lines_are_understood, false), 0); /* code */
	assert_int_equal(mprotect(own, 8192, PROT_READ), 0);
	assert_int_equal(searched(&own[5], false), 1);
	assert_int_equal(mprotect(own, 8192, PROT_NONE), 0);
	assert_int_equal(searched(&own[5], false), 0);
	munmap(own, 8192);
}

static void what_was_never_written_is_not_searched(void **unused)
{
	uint64_t *own = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)unused;
	own[0] = 1;
	assert_int_equal(searched(&own[0], false), 1);
	assert_int_equal(searched(&own[(1 << 20) / 16], false), 0);
	munmap(own, 1 << 20);
}

/* A page of shared memory is made by who reads it first: the search must not be that. */
static void shared_memory_is_searched_and_not_made(void **unused)
{
	enum { PAGES = 1024, BYTES = PAGES * 4096 };
	static unsigned char there[PAGES], before[PAGES];
	uint64_t *own = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	unsigned pages = 0;
	struct sysinfo info;

	(void)unused;
	own[5 * 512 + 3] = UINT64_C(0x5eed5eed5eed);
	copied = 0;
	assert_true(leak_roots_begin());
	assert_int_equal(mincore(own, BYTES, before), 0);
	leak_roots_search(look_for_seed, false);
	assert_true(copied > 0);
	assert_int_equal(mincore(own, BYTES, there), 0);
	for (unsigned i = 0; i < PAGES; i++)
		pages += there[i] != before[i];
	if (sysinfo(&info) == 0 && info.freeswap == info.totalswap)
		assert_int_equal(pages, 0);
	munmap(own, BYTES);
}

/* In a piece of memory that holds blocks, only what is between them is a root. */
static void blocks_are_no_roots(void **unused)
{
	uint64_t *own = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)unused;
	memset(own, 1, 8192);
	assert_true(leak_index_add((uint64_t)&own[16], 64));
	leak_index_whole();
	assert_int_equal(searched(&own[15], false), 1);
	assert_int_equal(searched(&own[16], false), 0);
	assert_int_equal(searched(&own[23], false), 0);
	assert_int_equal(searched(&own[24], false), 1);
	assert_int_equal(searched(&own[1000], false), 1);
	leak_index_reset();
	munmap(own, 8192);
}

static void libc_marks_its_memory(void **unused)
{
	void *small = malloc(100), *large = malloc(1 << 20);

	(void)unused;
	memset(large, 1, 1 << 20);
	assert_true(leak_roots_begin());
	leak_roots_block((uint64_t)small, true);
	leak_roots_block((uint64_t)large, true);
	wanted = (uint64_t)small;
	times = 0;
	leak_roots_search(seen, false);
	assert_int_equal(times, 0);
	assert_true(leak_roots_begin());
	leak_roots_block((uint64_t)large, true);
	wanted = (uint64_t)large + 5000;
	leak_roots_search(seen, false);
	assert_int_equal(times, 0);
	free(small);
	free(large);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_understood),
		cmocka_unit_test(other_lines_are_refused),
		cmocka_unit_test(memory_of_this_process_is_searched_once),
		cmocka_unit_test(what_was_never_written_is_not_searched),
		cmocka_unit_test(shared_memory_is_searched_and_not_made),
		cmocka_unit_test(blocks_are_no_roots),
		cmocka_unit_test(libc_marks_its_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
