/* Tests of live.c: tables are zeroed and listed, what was given back serves again, and a forked child leaves its parent's file
 * alone. Each test runs in a child of its own, because a process has one file. */
#include "t.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "arch.h"
#include "atomic.h"
#include "guard.h"
#include "live.h"
#include "threads.h"

enum { SMALL = ARCH_PAGE_MAX > 8192 ? ARCH_PAGE_MAX : 8192, LARGE = 1 << 20, PAGE_BYTES = 4096 };

static char directory[] = "/tmp/test_live.XXXXXX";

static bool make(void)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY), rc = live_open(fd, directory, "a.live");

	close(fd);
	return rc == 0;
}

static const struct live_header *map_file(const char *name)
{
	char path[128];
	struct stat st;
	void *at;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	assert_true(at != MAP_FAILED);
	close(fd);
	return at;
}

/* The content of the only active chunk of that kind, or NULL; *ret_count: how many there are. */
static const char *content(const struct live_header *h, enum live_kind kind, int *ret_count)
{
	const char *found = NULL;

	*ret_count = 0;
	for (int i = 0; i < LIVE_CHUNKS; i++) {
		if (h->chunk[i].kind != (uint32_t)kind || !h->chunk[i].active)
			continue;
		found = (const char *)h + h->chunk[i].offset;
		++*ret_count;
	}
	return found;
}

static bool all_zeros(const char *at, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (at[i])
			return false;
	return true;
}

static void pieces_are_listed_and_serve_again(void **state)
{
	const struct live_header *h;
	char *a, *b, *c;
	int n;

	(void)state;
	live_want(make);
	assert_non_null(threads_attach(&tls_self, 0, 0));
	assert_false(live_is_open()); /* not before it is needed: most processes are short */
	a = live_map(LIVE_COUNTERS, 1, SMALL);
	assert_true(live_is_open() && a);
	h = map_file("a.live");
	assert_memory_equal(h->magic, LIVE_MAGIC, LIVE_MAGIC_BYTES);
	assert_null(content(h, LIVE_COUNTERS, &n)); /* not complete yet */
	memset(a, 1, SMALL);
	live_activate(a);
	assert_memory_equal(content(h, LIVE_COUNTERS, &n), a, SMALL);
	b = live_map(LIVE_RING, 2, SMALL);
	assert_true(b && b != a && all_zeros(b, SMALL));
	live_unmap(a, SMALL);
	assert_null(content(h, LIVE_COUNTERS, &n));
	c = live_map(LIVE_COUNTERS, 3, 2 * SMALL); /* of another size */
	assert_true(c && c != a);
	c = live_map(LIVE_COUNTERS, 4, SMALL);
	assert_true(c == a && all_zeros(c, SMALL));
	live_activate(c);
	assert_true(content(h, LIVE_COUNTERS, &n) && n == 1);
	live_retire(c); /* for readers outside only */
	assert_null(content(h, LIVE_COUNTERS, &n));
	memset(c, 2, SMALL);
}

static void large_ones_are_given_back_to_the_disk(void **state)
{
	const struct live_header *h;
	struct stat before, after;
	char path[128], *a;
	int n;

	(void)state;
	live_want(make);
	a = live_map(LIVE_NODES, 0, LARGE);
	assert_non_null(a);
	memset(a, 1, LARGE);
	live_activate(a);
	h = map_file("a.live");
	assert_memory_equal(content(h, LIVE_NODES, &n), a, LARGE);
	snprintf(path, sizeof(path), "%s/a.live", directory);
	assert_int_equal(stat(path, &before), 0);
	live_unmap(a, LARGE);
	assert_int_equal(stat(path, &after), 0);
	assert_true(after.st_blocks < before.st_blocks);
	live_remove();
	assert_int_equal(access(path, F_OK), -1);
}

enum { THREADS = 4, ROUNDS = 3000 };

/* Takes, fills, looks, gives back: nobody else's bytes, zeros at first. */
static void *churn(void *arg)
{
	char mine = (char)(uintptr_t)arg, *held[8] = { NULL };
	size_t sizes[8] = { 0 };

	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned k = i * 7 % 8;

		for (size_t b = 0; b < sizes[k]; b++)
			if (held[k][b] != mine)
				return (void *)"another's bytes";
		live_unmap(held[k], sizes[k]);
		sizes[k] = (size_t)PAGE_BYTES << i % 3;
		held[k] = live_map(LIVE_COUNTERS, i, sizes[k]);
		if (!held[k] || !all_zeros(held[k], sizes[k]))
			return (void *)"no zeroed memory";
		memset(held[k], mine, sizes[k]);
		live_activate(held[k]);
	}
	for (unsigned k = 0; k < 8; k++)
		live_unmap(held[k], sizes[k]);
	return NULL;
}

static void threads_never_share_a_piece(void **state)
{
	pthread_t threads[THREADS];
	int n;

	(void)state;
	live_want(make);
	for (uintptr_t t = 0; t < THREADS; t++)
		assert_int_equal(pthread_create(&threads[t], NULL, churn, (void *)(t + 1)), 0);
	for (int t = 0; t < THREADS; t++) {
		void *failed;

		assert_int_equal(pthread_join(threads[t], &failed), 0);
		if (failed)
			fail_msg("%s", (const char *)failed);
	}
	assert_null(content(map_file("a.live"), LIVE_COUNTERS, &n));
	assert_true(live_header()->missing == 0);
}

/* In the child; `nodes` and `counters` are the parent's tables. */
static void be_child(char *nodes, const char *counters)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY), n;
	const struct live_header *h;
	char *own;

	assert_true(live_fork_child());
	assert_false(live_is_open());
	assert_true(nodes[0] == 1 && counters[0] == 2); /* still to be read */
	own = live_map(LIVE_COUNTERS, 9, SMALL);
	assert_non_null(own);
	own[0] = 3;
	live_activate(own);
	assert_true(live_own(nodes, 100));
	assert_true(nodes[99] == 1 && nodes[100] == 0); /* what the parent adds is not the child's */
	nodes[100] = 4;
	assert_true(live_is_pending());
	assert_int_equal(live_open_late(fd, directory, "child.live"), 0);
	close(fd);
	assert_true(own[0] == 3 && nodes[0] == 1 && nodes[100] == 4);
	h = map_file("child.live");
	assert_true(content(h, LIVE_COUNTERS, &n)[0] == 3 && n == 1);
	assert_true(content(h, LIVE_NODES, &n)[100] == 4 && n == 1);
	own[1] = 5; /* the file has it at once */
	assert_true(content(h, LIVE_COUNTERS, &n)[1] == 5);
	assert_non_null(live_map(LIVE_RING, 9, SMALL));
}

static void a_child_leaves_its_parents_file_alone(void **state)
{
	const struct live_header *h;
	char *nodes, *counters;
	int status = 1, n;
	pid_t child;

	(void)state;
	live_want(make);
	nodes = live_map(LIVE_NODES, 0, LARGE);
	counters = live_map(LIVE_COUNTERS, 1, SMALL);
	assert_true(nodes && counters);
	memset(nodes, 1, LARGE);
	memset(counters, 2, SMALL);
	live_activate(nodes);
	live_activate(counters);
	child = fork();
	if (child == 0) {
		be_child(nodes, counters);
		_exit(0);
	}
	assert_true(child > 0 && waitpid(child, &status, 0) == child);
	assert_int_equal(status, 0);
	h = map_file("a.live");
	assert_true(content(h, LIVE_NODES, &n)[100] == 1 && n == 1);
	assert_true(content(h, LIVE_COUNTERS, &n)[0] == 2 && n == 1);
	assert_true(content(h, LIVE_COUNTERS, &n)[SMALL - 1] == 2);
	assert_true(live_is_open() && h->missing == 0);
}

static bool cannot(void)
{
	return false;
}

static void without_a_file_memory_is_anonymous(void **state)
{
	char *a;

	(void)state;
	live_want(cannot);
	a = live_map(LIVE_COUNTERS, 1, SMALL);
	assert_true(a && all_zeros(a, SMALL) && !live_is_open());
	live_activate(a);
	assert_false(live_fork_child()); /* nothing is the parent's */
	assert_true(live_own(a, 10));
	live_unmap(a, SMALL);
}

/* Runs the test in a child: live.c is as new there. */
static void apart(void (*test)(void **state))
{
	int status = 1;
	pid_t child = fork();

	if (child == 0) {
		test(NULL);
		_exit(0);
	}
	assert_true(child > 0 && waitpid(child, &status, 0) == child);
	assert_int_equal(status, 0);
}

#define APART(test)                            \
	static void test##_apart(void **state) \
	{                                      \
		(void)state;                   \
		apart(test);                   \
	}
APART(pieces_are_listed_and_serve_again)
APART(large_ones_are_given_back_to_the_disk)
APART(threads_never_share_a_piece)
APART(a_child_leaves_its_parents_file_alone)
APART(without_a_file_memory_is_anonymous)

static int new_directory(void **state)
{
	(void)state;
	memcpy(directory + sizeof(directory) - 7, "XXXXXX", 6);
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/a.live", directory);
	unlink(path);
	snprintf(path, sizeof(path), "%s/child.live", directory);
	unlink(path);
	return rmdir(directory);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test##_apart, new_directory, remove_directory)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pieces_are_listed_and_serve_again),  TEST(large_ones_are_given_back_to_the_disk),
		TEST(threads_never_share_a_piece),        TEST(a_child_leaves_its_parents_file_alone),
		TEST(without_a_file_memory_is_anonymous),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
