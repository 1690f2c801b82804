/*
 * dump.c - where profiles go.
 *
 * No descriptor is kept between dumps: programs that close all of theirs would hand its number to a socket. The directory
 * is opened by name each time; where it cannot be written, /tmp/perfprobe-UID is used, which must be a real directory
 * of this user's that nobody else may write.
 */
#include "dump.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "compiler.h"
#include "leaks.h"
#include "lock.h"
#include "losses.h"
#include "os_linux.h"
#include "recorder.h"
#include "sampler.h"
#include "say.h"
#include "units.h"

enum { MAX_SEQUENCE_TRIES = 1000 };

static const struct config *config;
static char dir[PATH_MAX];
static const char *unwind_engine = "", *heap_note = "";
static char heap_engine[200];
static uint64_t start_ns, start_wall_ns;
static uint32_t sequence;
static uint64_t written;
static struct lock dump_lock; /* one dump at a time; guards what is above and `said` */
static bool said_fallback;
static int said_rc;

void dump_init(const struct config *with)
{
	const char *given = with->text[CONFIG_DIR];

	config = with;
	dir[0] = '\0';
	if (given[0] != '/') {
		if (os_call(SYS_getcwd, (long)dir, sizeof(dir) - 1, 0, 0, 0, 0) < 0 || dir[0] != '/')
			memcpy(dir, "/", 2);
		if (given[0] && !(given[0] == '.' && !given[1])) {
			say_append(dir, sizeof(dir), "/");
			say_append(dir, sizeof(dir), given);
		}
	} else {
		say_append(dir, sizeof(dir), given);
	}
	dump_set_start();
}

void dump_set_unwind_engine(const char *name)
{
	unwind_engine = name;
}

void dump_set_heap_redirected(const char *library, unsigned names, unsigned references)
{
	const char *slash = strrchr(library, '/');
	char number[24];
	size_t mode;

	heap_engine[0] = '\0';
	say_append(heap_engine, sizeof(heap_engine), config->heap == HEAP_FULL ? "full" : "sampled");
	mode = strlen(heap_engine);
	say_append(heap_engine, sizeof(heap_engine), ", calls led here from ");
	say_append(heap_engine, sizeof(heap_engine), slash ? slash + 1 : library);
	say_append(heap_engine, sizeof(heap_engine), ": ");
	say_append(heap_engine, sizeof(heap_engine), say_number(number, names));
	say_append(heap_engine, sizeof(heap_engine), " functions, ");
	say_append(heap_engine, sizeof(heap_engine), say_number(number, references));
	say_append(heap_engine, sizeof(heap_engine), " references");
	heap_note = heap_engine + mode;
}

const char *dump_heap_note(void)
{
	return heap_note;
}

void dump_set_start(void)
{
	start_ns = os_now_ns();
	start_wall_ns = os_wall_ns();
}

/* ---- directories -------------------------------------------------------------------------------------------------- */

static int open_dir(const char *path, int flags)
{
	int fd = os_open(path, O_RDONLY | O_DIRECTORY | flags, 0);

	if (fd != -ENOENT)
		return fd;
	fd = (int)os_call(SYS_mkdirat, AT_FDCWD, (long)path, 0700, 0, 0, 0);
	return fd < 0 ? fd : os_open(path, O_RDONLY | O_DIRECTORY | flags, 0);
}

/* May this process create files there? */
static int test_write(int fd)
{
	int rc = (int)os_call(SYS_faccessat2, fd, (long)".", 2 /* W_OK */, AT_EACCESS, 0, 0);

	return rc == -ENOSYS ? 0 : rc; /* Linux before 5.8: the write itself will tell */
}

int dump_set_dir(const char *path)
{
	int fd = open_dir(path, 0), rc = fd < 0 ? fd : test_write(fd);

	os_close(fd);
	if (rc < 0)
		return rc;
	dir[0] = '\0';
	say_append(dir, sizeof(dir), path);
	said_fallback = false;
	said_rc = 0;
	return 0;
}

static int open_fallback(char *path, size_t size)
{
	char digits[24];
	struct stat st;
	uint32_t uid = (uint32_t)os_call(SYS_geteuid, 0, 0, 0, 0, 0, 0);
	int fd;

	path[0] = '\0';
	say_append(path, size, "/tmp/perfprobe-");
	say_append(path, size, say_number(digits, uid));
	fd = open_dir(path, O_NOFOLLOW);
	if (fd < 0)
		return fd;
	if (os_fstat(fd, &st) < 0 || st.st_uid != uid || st.st_mode & 022) {
		os_close(fd);
		return -EPERM; /* somebody else's, or open to others */
	}
	return fd;
}

int dump_open_dir(char *path, size_t size)
{
	int rc, fd = open_dir(dir, 0), other;

	path[0] = '\0';
	say_append(path, size, dir);
	rc = fd < 0 ? fd : test_write(fd);
	if (rc == 0)
		return fd;
	if (fd >= 0)
		os_close(fd);
	other = open_fallback(path, size);
	if (other < 0) {
		say_append(path, size, "");
		return rc;
	}
	if (!said_fallback && config->source[CONFIG_DIR] != SNAP_OPTION_DEFAULT)
		say("cannot write to ", dir, " (", say_errno(rc), "): profiles go to ", path, NULL);
	said_fallback = true;
	return other;
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

struct snapshot_about dump_about(const char *reason)
{
	const struct sampler_engine *cpu = sampler_engine();

	return (struct snapshot_about){
		.config = config,
		.reason = reason,
		.because = "",
		.engine_cpu = cpu->name,
		.engine_cpu_why = cpu->why,
		.engine_heap = heap_engine[0]                 ? heap_engine
		               : config->heap == HEAP_FULL    ? "full"
		               : config->heap == HEAP_SAMPLED ? "sampled"
		                                              : "off",
		.engine_unwind = unwind_engine,
		.start_ns = start_ns,
		.start_wall_ns = start_wall_ns,
		.period_ns = cpu->period_ns,
	};
}

static int write_numbered(const char *reason, const char *because, char *ret_path, size_t path_size)
{
	struct snapshot_about about = dump_about(reason);
	char path[PATH_MAX];
	int fd = dump_open_dir(path, sizeof(path)), rc = fd;

	if (fd < 0)
		return fd;
	os_give_way();
	about.because = because;
	for (int i = 0; i < MAX_SEQUENCE_TRIES; i++) {
		about.sequence = ++sequence;
		rc = snapshot_write(&about, fd, path, ret_path, path_size);
		if (rc != -EEXIST) /* left by an earlier process of the same number */
			break;
	}
	os_close(fd);
	return rc;
}

/* At the end of a program that was to be searched. */
static void say_leaks(const char *path)
{
	const struct leaks_result *r = leaks_last();
	uint64_t count = 0, bytes = 0;
	char counted[24], sum[24];

	if (!r || r->state) {
		say("leaks: not searched for: ", r ? r->note : "the helper thread did not answer", NULL);
		return;
	}
	for (size_t i = 0; i < r->count; i++) {
		count += r->rows[i].samples;
		bytes += r->rows[i].bytes;
	}
	if (count)
		say("leaks: ", say_number(counted, count), " blocks with ", say_number(sum, bytes),
		    " bytes: probe-analyze leaks ", path, NULL);
}

int dump_write(const char *reason, uint64_t patience_ns)
{
	char path[PATH_MAX];

	return dump_write_named(reason, patience_ns, path, sizeof(path));
}

int dump_write_named(const char *reason, uint64_t patience_ns, char *ret_path, size_t path_size)
{
	return dump_write_because(reason, "", patience_ns, ret_path, path_size);
}

int dump_write_because(const char *reason, const char *because, uint64_t patience_ns, char *ret_path, size_t path_size)
{
	int rc;

	if (!lock_within(&dump_lock, patience_ns))
		return -EBUSY;
	recorder_settle(); /* a forked child that did nothing yet; one that has other threads settled before */
	rc = write_numbered(reason, because, ret_path, path_size);
	written += rc == 0;
	if (rc < 0) {
		loss_add(LOSS_SNAPSHOT_FAILED, 1);
		if (rc != said_rc)
			say("no profile was written to ", dir, ": ", say_errno(rc), NULL);
		said_rc = rc;
	} else {
		if (config->verbose)
			say("wrote ", ret_path, NULL);
		if (config->leaks == LEAKS_EXIT && strcmp(reason, "exit") == 0)
			say_leaks(ret_path);
	}
	lock_leave(&dump_lock);
	return rc;
}

bool dump_hold(uint64_t patience_ns)
{
	return lock_within(&dump_lock, patience_ns);
}

void dump_release(void)
{
	lock_leave(&dump_lock);
}

const char *dump_dir(void)
{
	return dir;
}

uint64_t dump_count(void)
{
	return written;
}

void dump_fork_child(void)
{
	store_release(&dump_lock.word, 0); /* its holder does not exist here */
	sequence = 0;
	written = 0;
	said_fallback = false;
	said_rc = 0;
	dump_set_start();
}
