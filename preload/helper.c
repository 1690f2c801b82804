#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

#include "atomic.h"
#include "compiler.h"
#include "dump.h"
#include "live_keep.h"
#include "modules.h"
#include "os_linux.h"
#include "recorder.h"
#include "sampler.h"
#include "units.h"
#include "unwind.h"

#define TICK_NS  (100 * NS_PER_MS)
#define CHECK_NS NS_PER_S

static const struct config *config;
static _Atomic uint32_t running;
/* Requests: `asked` counts them, `done` those answered. A request is asked by one compare-and-swap, so that handlers may. */
static _Atomic uint32_t asked, done;
static _Atomic(const char *) asked_reason;
static _Atomic int done_rc;

/* Has every thread of the program ended, so that only we keep the process alive? Two entries beyond . and .. are two
 * threads. linux/dirent.h: struct linux_dirent64 { u64 ino; s64 off; u16 reclen; u8 type; char name[]; }. */
static bool alone(void)
{
	char entries[1024];
	unsigned threads = 0;
	int fd = os_open("/proc/self/task", O_RDONLY | O_DIRECTORY, 0);
	long n;

	if (fd < 0)
		return false;
	n = os_call(SYS_getdents64, fd, (long)entries, sizeof(entries), 0, 0, 0);
	os_close(fd);
	for (long at = 0; n > 0 && at < n;) {
		uint16_t reclen;

		memcpy(&reclen, entries + at + 16, sizeof(reclen));
		threads += entries[at + 19] != '.';
		at += reclen;
	}
	return threads == 1;
}

/* A program that gave up its privileges must not have a thread that kept them: credentials are each thread's own, and
 * libc, which spreads setuid() to its threads, does not know ours. */
static void follow_credentials(void)
{
	char text[4096];
	const char *line;
	uint32_t uid = 0, own = (uint32_t)os_call(SYS_geteuid, 0, 0, 0, 0, 0, 0);

	if (own != 0 || os_read_file("/proc/self/status", text, sizeof(text)) <= 0)
		return;
	line = strstr(text, "\nUid:\t");
	line = line ? strchr(line + 6, '\t') : NULL; /* real, effective, saved, file system */
	for (line = line ? line + 1 : "0"; *line >= '0' && *line <= '9'; line++)
		uid = uid * 10 + (uint32_t)(*line - '0');
	if (uid != own)
		(void)os_call(SYS_setresuid, uid, uid, uid, 0, 0,
		              0); /* root may; then /proc and files are as the program's */
}

static void answer(void)
{
	uint32_t n = load_acquire(&asked); /* pairs with the CAS in helper_dump: the reason is in place */

	if (n == load_relaxed(&done))
		return;
	follow_credentials();
	store_relaxed(&done_rc, dump_write(load_relaxed(&asked_reason), 5 * NS_PER_S));
	store_release(&done, n); /* pairs with the acquire in helper_dump */
	os_futex_wake(&done);
}

static void loop(void *unused)
{
	uint64_t next_check = 0, next_every = config->every ? os_now_ns() + config->every : UINT64_MAX;

	(void)unused;
	for (;;) {
		uint32_t seen = load_acquire(&asked);
		uint64_t now = os_now_ns(), wait = TICK_NS;

		recorder_tick(now);
		live_keep_tick(now);
		answer();
		if (now >= next_every) {
			follow_credentials();
			(void)dump_write("interval", 0); /* a failure is said and counted there */
			next_every += config->every;
			if (next_every <= os_now_ns()) /* writing took longer than the interval */
				next_every = os_now_ns() + config->every;
		}
		if (now >= next_check) {
			if (alone())
				break;
			sampler_check();
			if (modules_scan())
				unwind_forget();
			next_check = now + CHECK_NS;
		}
		if (next_every != UINT64_MAX && next_every > now && next_every - now < wait)
			wait = next_every - now;
		os_futex_wait(&asked, seen, wait);
	}
	store_release(&running, 0);
}

bool helper_start(const struct config *with)
{
	uint32_t expected = 0;

	if (!cas_acq_rel(&running, &expected, 1))
		return true;
	config = with;
	if (os_thread_start(loop, NULL) < 0) {
		store_release(&running, 0);
		return false;
	}
	return true;
}

int helper_dump(const char *reason, uint64_t patience_ns)
{
	uint64_t deadline = os_now_ns() + patience_ns;
	uint32_t n = load_relaxed(&asked);

	store_relaxed(&asked_reason, reason);
	if (!cas_acq_rel(&asked, &n,
	                 n + 1)) /* pairs with the acquire in answer(); lost to another request: wait for its file */
		n = n - 1;
	os_futex_wake(&asked);
	for (;;) {
		uint32_t seen = load_acquire(&done); /* pairs with the release in answer() */
		uint64_t now = os_now_ns();

		if ((int32_t)(seen - (n + 1)) >= 0)
			return load_relaxed(&done_rc);
		if (now >= deadline)
			return -ETIMEDOUT;
		os_futex_wait(&done, seen, deadline - now);
	}
}

void helper_fork_child(void)
{
	store_relaxed(&running, 0);
	store_relaxed(&done, load_relaxed(&asked));
}
