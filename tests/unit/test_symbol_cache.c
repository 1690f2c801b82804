/* The symbol cache: what is written comes back, and nothing else does. Directories are made below a temporary one. */
#include "t.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "symbol_cache.h"

static char work[] = "/tmp/perfprobe-cache-XXXXXX";
static const uint8_t id[4] = { 0xde, 0xad, 0xbe, 0xef };

static const struct symbol_frame inner = { .function = "inner", .file = "a.c", .line = 7, .inlined = true };
static const struct symbol_frame two[2] = { { .function = "inner", .file = "a.c", .line = 7, .inlined = true },
	                                    { .function = "outer", .line = 0 } };

static const char *path_in(const char *name)
{
	static char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", work, name);
	return path;
}

static struct symbol_cache *open_in(const char *name)
{
	setenv("PERFPROBE_SYMBOL_CACHE", path_in(name), 1);
	return symbol_cache_open();
}

static struct symbol_key key_of(const char *identity)
{
	struct symbol_key key;

	symbol_cache_key(&key, strdup(identity), id, sizeof(id));
	return key;
}

static void write_one(const char *dir, const char *identity, uint64_t address, const struct symbol_frame *frames,
                      size_t count)
{
	struct symbol_cache *c = open_in(dir);
	struct symbol_key key = key_of(identity);
	struct symbol_entry entry = { address, frames, count };

	assert_non_null(c);
	symbol_cache_write(c, &key, SYMBOLS_DEBUG, &entry, 1);
	symbol_cache_close(c);
	free(key.identity);
}

static size_t frames_in(const char *dir, const char *identity, uint64_t address)
{
	struct symbol_cache *c = open_in(dir);
	struct symbol_key key = key_of(identity);
	struct symbol_frame frames[SYMBOL_FILE_MAX_FRAMES];
	struct symbol_file f = { 0 };
	size_t n = 0;

	assert_non_null(c);
	if (symbol_cache_read(c, &key, &f))
		n = symbol_file_find(&f, address, frames);
	free(f.data);
	free(key.identity);
	symbol_cache_close(c);
	return n;
}

static void test_comes_back(void **state)
{
	struct symbol_cache *c;
	struct symbol_key key = key_of("one");
	struct symbol_frame frames[SYMBOL_FILE_MAX_FRAMES];
	struct symbol_file f;

	(void)state;
	write_one("back", "one", 0x2000, two, 2);
	write_one("back", "one", 0x1000, &inner, 1); /* added to it, before it */
	c = open_in("back");
	assert_true(symbol_cache_read(c, &key, &f));
	assert_int_equal(f.kind, SYMBOLS_DEBUG);
	assert_int_equal(f.pc_count, 2);
	assert_int_equal(symbol_file_find(&f, 0x2000, frames), 2);
	assert_string_equal(frames[0].function, "inner");
	assert_string_equal(frames[0].file, "a.c");
	assert_int_equal(frames[0].line, 7);
	assert_true(frames[0].inlined);
	assert_string_equal(frames[1].function, "outer");
	assert_null(frames[1].file);
	assert_false(frames[1].inlined);
	assert_int_equal(symbol_file_find(&f, 0x1000, frames), 1);
	assert_int_equal(symbol_file_find(&f, 0x1001, frames), 0);
	free(f.data);
	free(key.identity);
	symbol_cache_close(c);
	assert_int_equal(frames_in("back", "two", 0x2000), 0); /* other files of the same build-id */
}

/* Every byte of a file is covered: with any one changed, or any missing, it is as if it were not there, and the next write
 * makes it whole. */
static void test_damaged(void **state)
{
	struct symbol_key key = key_of("one");
	char path[400], data[512], name[120];
	ssize_t bytes;
	int fd;

	(void)state;
	write_one("damaged", "one", 0x2000, two, 2);
	(void)snprintf(name, sizeof(name), "damaged/%s", key.name);
	(void)snprintf(path, sizeof(path), "%s", path_in(name));
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	bytes = read(fd, data, sizeof(data));
	assert_true(bytes > 40 && bytes < (ssize_t)sizeof(data));
	for (off_t i = 0; i < bytes; i++) {
		char wrong = (char)(data[i] ^ 0x10);

		assert_int_equal(pwrite(fd, &wrong, 1, i), 1);
		assert_int_equal(frames_in("damaged", "one", 0x2000), 0);
		assert_int_equal(pwrite(fd, &data[i], 1, i), 1);
	}
	assert_int_equal(frames_in("damaged", "one", 0x2000), 2);
	for (off_t cut = bytes - 1; cut >= 0; cut--) {
		assert_int_equal(ftruncate(fd, cut), 0);
		assert_int_equal(frames_in("damaged", "one", 0x2000), 0);
	}
	close(fd);
	write_one("damaged", "one", 0x2000, two, 2);
	assert_int_equal(frames_in("damaged", "one", 0x2000), 2);
	free(key.identity);
}

/* Files and directories that others may write to are not believed; where nothing can be written, nothing goes wrong. */
static void test_not_ours(void **state)
{
	struct symbol_key key = key_of("one");
	struct symbol_entry entry = { 1, two, 2 };
	struct symbol_cache *c;
	char name[120];

	(void)state;
	write_one("ours", "one", 1, two, 2);
	(void)snprintf(name, sizeof(name), "ours/%s", key.name);
	assert_int_equal(chmod(path_in(name), 0666), 0);
	assert_int_equal(frames_in("ours", "one", 1), 0);
	assert_int_equal(chmod(path_in(name), 0600), 0);
	assert_int_equal(frames_in("ours", "one", 1), 2);
	assert_int_equal(chmod(path_in("ours"), 0777), 0);
	assert_null(open_in("ours"));
	assert_int_equal(chmod(path_in("ours"), 0700), 0);
	assert_null(open_in("not/there"));
	setenv("PERFPROBE_SYMBOL_CACHE", "off", 1);
	assert_null(symbol_cache_open());
	setenv("PERFPROBE_SYMBOL_CACHE", "/proc/self", 1); /* a directory that takes no files, for root either */
	c = symbol_cache_open();
	if (c)
		symbol_cache_write(c, &key, SYMBOLS_NONE, &entry, 1);
	symbol_cache_close(c);
	free(key.identity);
}

static void test_where(void **state)
{
	struct symbol_cache *c;
	struct stat st;

	(void)state;
	unsetenv("PERFPROBE_SYMBOL_CACHE");
	unsetenv("XDG_CACHE_HOME");
	unsetenv("HOME");
	assert_null(symbol_cache_open());
	setenv("HOME", work, 1);
	c = symbol_cache_open();
	assert_non_null(c);
	symbol_cache_close(c);
	assert_int_equal(stat(path_in(".cache/perfprobe"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	setenv("XDG_CACHE_HOME", path_in("xdg"), 1);
	c = symbol_cache_open();
	assert_non_null(c);
	symbol_cache_close(c);
	assert_int_equal(stat(path_in("xdg/perfprobe"), &st), 0);
}

/* Many that write at once: whoever reads sees a whole file, and in the end there is one. */
static void test_at_once(void **state)
{
	pid_t children[4];

	(void)state;
	write_one("once", "one", 0, two, 2);
	for (int k = 0; k < 4; k++) {
		children[k] = fork();
		assert_true(children[k] >= 0);
		if (children[k] == 0) {
			for (unsigned i = 0; i < 50; i++) {
				write_one("once", "one", (uint64_t)k * 100 + i, two, 2);
				if (frames_in("once", "one", 0) == 0)
					_exit(1);
			}
			_exit(0);
		}
	}
	for (int k = 0; k < 4; k++) {
		int status;

		assert_int_equal(waitpid(children[k], &status, 0), children[k]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(frames_in("once", "one", 0), 2);
}

/* The oldest go when there are too many; what others left there stays. */
static void test_bounded(void **state)
{
	struct dirent *e;
	unsigned left = 0;
	char name[64];
	DIR *dir;
	int fd;

	(void)state;
	write_one("many", "newest", 1, two, 2);
	for (unsigned i = 0; i < 4200; i++) {
		const struct timespec old[2] = { { 1000 + i, 0 }, { 1000 + i, 0 } };

		(void)snprintf(name, sizeof(name), "many/%u.syms", i);
		fd = open(path_in(name), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		assert_int_equal(futimens(fd, old), 0);
		close(fd);
	}
	fd = open(path_in("many/a_letter"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	write_one("many", "newest", 2, two, 2);
	dir = opendir(path_in("many"));
	assert_non_null(dir);
	while ((e = readdir(dir)) != NULL)
		left += e->d_name[0] != '.';
	closedir(dir);
	assert_int_equal(left, 3072 + 1);
	assert_int_equal(access(path_in("many/0.syms"), F_OK), -1);
	assert_int_equal(access(path_in("many/4199.syms"), F_OK), 0);
	assert_int_equal(access(path_in("many/a_letter"), F_OK), 0);
	assert_int_equal(frames_in("many", "newest", 1), 2);
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(work) ? 0 : -1;
}

static int clear(void **state)
{
	char command[128];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf %s", work);
	return system(command); /* NOLINT: its own directory */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_comes_back), cmocka_unit_test(test_damaged), cmocka_unit_test(test_not_ours),
		cmocka_unit_test(test_where),      cmocka_unit_test(test_at_once), cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests(tests, set_up, clear);
}
