/* Which pages were written, by both ways of asking: they must tell the same. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "compiler.h"
#include "leak_pages.h"
#include "t.h"

static struct {
	uint64_t start, end;
} run[64];
static unsigned runs;

static void note(void *context, uint64_t start, uint64_t end)
{
	(void)context;
	assert_true(start < end && runs < ARRAY_LEN(run));
	if (runs && run[runs - 1].end == start) { /* one run, told in pieces */
		run[runs - 1].end = end;
		return;
	}
	run[runs].start = start;
	run[runs++].end = end;
}

static uint64_t ask(struct leak_pages *p, enum leak_pages_of which, const char *start, size_t bytes)
{
	uint64_t unasked = 1;

	runs = 0;
	assert_true(leak_pages_each(p, which, (uint64_t)start, (uint64_t)start + bytes, note, NULL, &unasked));
	return unasked;
}

static void expect_run(unsigned i, const char *start, const char *end)
{
	assert_true(i < runs);
	assert_int_equal(run[i].start, (uint64_t)start);
	assert_int_equal(run[i].end, (uint64_t)end);
}

/* Every way that this kernel has. */
static void each_way(void (*check)(struct leak_pages *p))
{
	struct leak_pages p;

	leak_pages_open(&p);
	assert_true(p.fd >= 0);
	check(&p);
	p.scan = false;
	check(&p);
	leak_pages_close(&p);
}

static char *map(size_t bytes, int prot, int flags, int fd)
{
	char *at = mmap(NULL, bytes, prot, flags, fd, 0);

	assert_true(at != MAP_FAILED);
	return at;
}

static void check_written(struct leak_pages *p)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = 10000 * page; /* more than one reading */
	char *at = map(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);

	(void)madvise(at, bytes, MADV_NOHUGEPAGE);
	assert_int_equal(ask(p, LEAK_PAGES_WRITTEN, at, bytes), 0);
	assert_int_equal(runs, 0);
	memset(at + 3 * page, 1, 2 * page);
	at[4095 * page] = at[4096 * page] = at[bytes - 1] = 1;
	assert_int_equal(ask(p, LEAK_PAGES_WRITTEN, at, bytes), 0);
	assert_int_equal(runs, 3);
	expect_run(0, at + 3 * page, at + 5 * page);
	expect_run(1, at + 4095 * page, at + 4097 * page);
	expect_run(2, at + 9999 * page, at + bytes);
	/* Cut to what was asked for. */
	assert_int_equal(ask(p, LEAK_PAGES_WRITTEN, at + 3 * page + 8, page), 0);
	assert_int_equal(runs, 1);
	expect_run(0, at + 3 * page + 8, at + 4 * page + 8);
	munmap(at, bytes);
}

static void written_pages_are_told(void **unused)
{
	(void)unused;
	each_way(check_written);
}

static void check_files(struct leak_pages *p)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char name[] = "/tmp/test_leak_pages.XXXXXX", *own, *shared;
	volatile char seen;
	int fd = mkstemp(name);

	assert_true(fd >= 0 && unlink(name) == 0 && ftruncate(fd, (off_t)(4 * page)) == 0);
	own = map(4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
	shared = map(4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	seen = own[0];
	own[2 * page] = 1;
	shared[page] = 1;
	(void)seen;
	assert_int_equal(ask(p, LEAK_PAGES_WRITTEN, own, 4 * page), 0);
	assert_int_equal(runs, 1);
	expect_run(0, own + 2 * page, own + 3 * page);
	assert_int_equal(ask(p, LEAK_PAGES_WRITTEN, shared, 4 * page), 0);
	assert_int_equal(runs, 0);
	assert_int_equal(ask(p, LEAK_PAGES_ANY, shared, 4 * page), 0);
	assert_true(runs >= 1 && run[0].start <= (uint64_t)shared + page &&
	            run[runs - 1].end > (uint64_t)shared + page);
	munmap(own, 4 * page);
	munmap(shared, 4 * page);
	close(fd);
}

static void what_a_file_backs_is_not_written(void **unused)
{
	(void)unused;
	each_way(check_files);
}

/* A word for each page is too much: what was not asked for is told, and by the scan all of it is found. */
static void a_reservation_of_terabytes(void **unused)
{
#ifdef __x86_64__
	size_t bytes = (size_t)1 << 44;
#else
	size_t bytes = (size_t)1 << 34; /* qemu-user keeps a record of each page */
#endif
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct leak_pages p;
	char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	(void)unused;
	if (at == MAP_FAILED)
		skip(); /* the machine does not give that much, or a sanitizer has it */
	(void)madvise(at, bytes, MADV_NOHUGEPAGE);
	at[0] = at[bytes - 1] = 1;
	leak_pages_open(&p);
	if (p.scan) {
		assert_int_equal(ask(&p, LEAK_PAGES_WRITTEN, at, bytes), 0);
		assert_int_equal(runs, 2);
		expect_run(1, at + bytes - page, at + bytes);
	}
	p.scan = false;
	p.words_max = 1 << 10;
	p.words_left = 1500;
	assert_int_equal(ask(&p, LEAK_PAGES_WRITTEN, at, bytes), bytes - 1024 * page);
	assert_int_equal(runs, 1);
	expect_run(0, at, at + page);
	assert_int_equal(ask(&p, LEAK_PAGES_WRITTEN, at + 8, bytes - 8), bytes - 476 * page); /* what is left of 1500 */
	assert_int_equal(runs, 1);
	assert_int_equal(ask(&p, LEAK_PAGES_WRITTEN, at + 8, bytes - 8), bytes - 8);
	assert_int_equal(runs, 0);
	leak_pages_close(&p);
	munmap(at, bytes);
}

static void shared_pages_that_somebody_wrote(void **unused)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = 10000 * page;
	char *at = map(bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	uint64_t unasked = 1;

	(void)unused;
	at[5 * page] = at[6 * page] = at[9999 * page] = 1;
	runs = 0;
	if (!leak_pages_shared((uint64_t)at, (uint64_t)at + bytes, note, NULL, &unasked))
		skip(); /* swap space is in use */
	assert_int_equal(unasked, 0);
	assert_int_equal(runs, 2);
	expect_run(0, at + 5 * page, at + 7 * page);
	expect_run(1, at + 9999 * page, at + bytes);
	munmap(at, bytes);
}

static void nothing_is_told_without_the_file(void **unused)
{
	struct leak_pages p = { .fd = -EACCES };
	uint64_t unasked;

	(void)unused;
	assert_false(leak_pages_each(&p, LEAK_PAGES_ANY, 4096, 8192, note, NULL, &unasked));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(written_pages_are_told),           cmocka_unit_test(what_a_file_backs_is_not_written),
		cmocka_unit_test(a_reservation_of_terabytes),       cmocka_unit_test(shared_pages_that_somebody_wrote),
		cmocka_unit_test(nothing_is_told_without_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
