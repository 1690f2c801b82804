#include "os_linux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched/types.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include "arch.h"
#include "atomic.h"
#include "units.h"

static _Atomic uint64_t mapped_bytes;

long os_call(long nr, long a, long b, long c, long d, long e, long f)
{
	return arch_call(nr, a, b, c, d, e, f);
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts = { 0, 0 };

	(void)clock_gettime(id, &ts); /* cannot fail for the clocks used here, so errno is not touched */
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t os_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t os_wall_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

uint64_t os_boot_ns(void)
{
	return clock_ns(CLOCK_BOOTTIME);
}

uint64_t os_cpu_ns(void)
{
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t os_thread_cpu_ns(pid_t tid)
{
	struct timespec ts = { 0, 0 };
	/* The clock of a thread by its id: include/linux/posix-timers.h, CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED. */
	long id = ((long)~tid) * 8 | 6;

	if (os_call(SYS_clock_gettime, id, (long)&ts, 0, 0, 0, 0) < 0)
		return 0;
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

pid_t os_pid(void)
{
	return (pid_t)os_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

pid_t os_tid(void)
{
	return (pid_t)os_call(SYS_gettid, 0, 0, 0, 0, 0, 0);
}

/* Slots are taken and given back by a compare-and-swap each: signal handlers map memory too. */
enum { OWN_RANGES = 1 << 15 };
static struct own_range {
	_Atomic uintptr_t start; /* 0: free */
	_Atomic size_t bytes;    /* 0: being written */
} own[OWN_RANGES];
static _Atomic uint32_t own_used = 1; /* slots from here on were never taken; the first is the first to be free */
static _Atomic uint32_t own_free;     /* a slot that was given back, perhaps */
static _Atomic bool own_missing;

bool os_own(const void *at, size_t bytes)
{
	uint32_t i = load_relaxed(&own_free);
	uintptr_t none = 0;

	if (load_relaxed(&own[i].start) || !cas_relaxed(&own[i].start, &none, (uintptr_t)at)) {
		i = add_relaxed(&own_used, 1);
		if (i >= OWN_RANGES) {
			store_relaxed(&own_used, OWN_RANGES);
			store_relaxed(&own_missing, true);
			return false;
		}
		store_relaxed(&own[i].start, (uintptr_t)at);
	}
	store_relaxed(&own[i].bytes, bytes);
	return true;
}

void os_disown(const void *at)
{
	uint32_t used = load_relaxed(&own_used);

	for (uint32_t i = used < OWN_RANGES ? used : OWN_RANGES; i > 0; i--) {
		if (load_relaxed(&own[i - 1].start) != (uintptr_t)at)
			continue;
		store_relaxed(&own[i - 1].bytes, 0);
		store_relaxed(&own[i - 1].start, 0);
		store_relaxed(&own_free, i - 1);
		return;
	}
}

bool os_own_each(void (*visit)(void *context, uintptr_t start, uintptr_t end), void *context)
{
	for (uint32_t i = 0; i < OWN_RANGES; i++) {
		uintptr_t start = load_relaxed(&own[i].start);

		if (start)
			visit(context, start, start + load_relaxed(&own[i].bytes));
	}
	return !load_relaxed(&own_missing);
}

void *os_map(size_t bytes)
{
	long at = os_call(SYS_mmap, 0, (long)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
	                  -1, 0);

	if (at < 0 && at > -4096)
		return NULL;
	(void)os_own((void *)at, bytes);
	add_relaxed(&mapped_bytes, bytes); /* a figure: orders nothing */
	/* A core dump of the host is about the host. Best effort. */
	(void)os_call(SYS_madvise, at, (long)bytes, MADV_DONTDUMP, 0, 0, 0);
	return (void *)at;
}

void os_unmap(void *at, size_t bytes)
{
	if (!at)
		return;
	os_disown(at); /* before: another thread may map there */
	sub_relaxed(&mapped_bytes, bytes);
	(void)os_call(SYS_munmap, (long)at, (long)bytes, 0, 0, 0, 0); /* our own mapping: cannot fail */
}

uint64_t os_mapped_bytes(void)
{
	return load_relaxed(&mapped_bytes);
}

void os_populate(void *at, size_t bytes)
{
	/* Kernels before 5.14 do not know it; without memory the first write says so. */
	(void)os_call(SYS_madvise, (long)at, (long)bytes, MADV_POPULATE_WRITE, 0, 0, 0);
}

bool os_make_huge(void *at, size_t bytes)
{
	enum { COLLAPSE = 25 }; /* MADV_COLLAPSE, linux/mman.h */

	return os_call(SYS_madvise, (long)at, (long)bytes, COLLAPSE, 0, 0, 0) == 0;
}

int os_openat(int dir, const char *path, int flags, mode_t mode)
{
	return (int)os_call(SYS_openat, dir, (long)path, flags | O_CLOEXEC, (long)mode, 0, 0);
}

int os_open(const char *path, int flags, mode_t mode)
{
	return os_openat(AT_FDCWD, path, flags, mode);
}

void os_close(int fd)
{
	if (fd >= 0)
		(void)os_call(SYS_close, fd, 0, 0, 0, 0, 0); /* nothing useful can be done about a failure */
}

ssize_t os_read(int fd, void *to, size_t bytes)
{
	long n;

	do
		n = os_call(SYS_read, fd, (long)to, (long)bytes, 0, 0, 0);
	while (n == -EINTR);
	return n;
}

/* All of it by as many calls as it takes; one that has no offset does not look at it. */
static int transfer_all(long nr, int fd, long at, size_t bytes, uint64_t offset)
{
	while (bytes > 0) {
		long n = os_call(nr, fd, at, (long)bytes, (long)offset, 0, 0);

		if (n == -EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		at += n;
		offset += (uint64_t)n;
		bytes -= (size_t)n;
	}
	return 0;
}

int os_pread_all(int fd, void *to, size_t bytes, uint64_t offset)
{
	return transfer_all(SYS_pread64, fd, (long)to, bytes, offset);
}

int os_write_all(int fd, const void *data, size_t bytes)
{
	return transfer_all(SYS_write, fd, (long)data, bytes, 0);
}

int os_pwrite_all(int fd, const void *data, size_t bytes, uint64_t offset)
{
	return transfer_all(SYS_pwrite64, fd, (long)data, bytes, offset);
}

ssize_t os_read_file(const char *path, char *to, size_t size)
{
	size_t used = 0;
	int fd = os_open(path, O_RDONLY, 0);

	if (fd < 0)
		return fd;
	while (used + 1 < size) {
		ssize_t n = os_read(fd, to + used, size - 1 - used);

		if (n <= 0)
			break;
		used += (size_t)n;
	}
	os_close(fd);
	to[used] = '\0';
	return (ssize_t)used;
}

int os_fstat(int fd, struct stat *ret_stat)
{
	return (int)os_call(SYS_fstat, fd, (long)ret_stat, 0, 0, 0, 0);
}

int os_rename_new(int dir, const char *from, const char *to)
{
	enum { NOREPLACE = 1 }; /* RENAME_NOREPLACE, linux/fs.h */
	int rc = (int)os_call(SYS_renameat2, dir, (long)from, dir, (long)to, NOREPLACE, 0);

	if (rc == -EINVAL || rc == -ENOSYS) /* file systems and kernels without the flag */
		rc = (int)os_call(SYS_renameat, dir, (long)from, dir, (long)to, 0, 0);
	return rc;
}

int os_unlinkat(int dir, const char *path)
{
	return (int)os_call(SYS_unlinkat, dir, (long)path, 0, 0, 0, 0);
}

bool os_read_memory(const void *from, void *to, size_t bytes)
{
	struct iovec local = { to, bytes };
	struct iovec remote = { (void *)(uintptr_t)from, bytes };
	/* By the thread's number: the process's is its first thread's, which may have ended and has no memory then. */
	long n = os_call(SYS_process_vm_readv, os_tid(), (long)&local, 1, (long)&remote, 1, 0);

	if (n == -ENOSYS || n == -EPERM) { /* kernels built without it, filters, emulators */
		int fd = os_open("/proc/thread-self/mem", O_RDONLY, 0);

		if (fd < 0)
			return false;
		n = os_call(SYS_pread64, fd, (long)to, (long)bytes, (long)from, 0, 0);
		os_close(fd);
	}
	return n == (long)bytes;
}

/* rt_sigprocmask reads the new set from user memory before it looks at `how`: EFAULT means not readable, EINVAL means
 * it was read (kernel/signal.c, SYSCALL_DEFINE4(rt_sigprocmask)). */
bool os_readable(const void *at)
{
	uintptr_t word = (uintptr_t)at & ~(uintptr_t)7;

	return os_call(SYS_rt_sigprocmask, ~0L, (long)word, 0, 8, 0, 0) == -EINVAL;
}

void os_futex_wait(const void *word, uint32_t expected, uint64_t timeout_ns)
{
	struct timespec ts = { (time_t)(timeout_ns / NS_PER_S), (long)(timeout_ns % NS_PER_S) };

	(void)os_call(SYS_futex, (long)word, FUTEX_WAIT_PRIVATE, (long)expected, (long)&ts, 0,
	              0); /* callers test again */
}

void os_futex_wake(const void *word)
{
	(void)os_call(SYS_futex, (long)word, FUTEX_WAKE_PRIVATE, INT32_MAX, 0, 0, 0);
}

void os_yield(void)
{
	(void)os_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}

int os_kill_thread(pid_t pid, pid_t tid, int sig)
{
	return (int)os_call(SYS_tgkill, pid, tid, sig, 0, 0, 0);
}

/* "Name:\tvalue\n" or "Uid:\t0\t0\t0\t0\n": proc(5). */
bool os_status(const char *field, unsigned which, uint64_t *ret_value)
{
	char text[4096], name[32] = "\n";
	const char *at;
	uint64_t value = 0;

	if (os_read_file("/proc/self/status", text, sizeof(text)) <= 0)
		return false;
	if (strlen(field) + sizeof("\n:\t") > sizeof(name))
		return false;
	strcat(strcat(name, field), ":\t");
	at = strstr(text, name);
	at = at ? at + strlen(name) : NULL;
	for (; at && which; which--) {
		at += strcspn(at, "\t\n");
		at = *at == '\t' ? at + 1 : NULL;
	}
	if (!at || *at < '0' || *at > '9')
		return false;
	for (; *at >= '0' && *at <= '9'; at++)
		value = value * 10 + (uint64_t)(*at - '0');
	*ret_value = value;
	return true;
}

bool os_filtered(void)
{
	uint64_t mode;

	return os_status("Seccomp", 0, &mode) && mode == 2;
}

bool os_may(int (*fn)(void))
{
	struct rlimit no_core = { 0, 0 };
	int status = 1;
	pid_t child;
	long rc;

	if (!os_filtered())
		return fn() == 0;
	/* Without a signal at its end the child is waited for by __WALL (1 << 30) only: not by the program. */
	child = (pid_t)os_call(SYS_clone, 0, 0, 0, 0, 0, 0);
	if (child < 0)
		return false;
	if (child > 0) {
		do
			rc = os_call(SYS_wait4, child, (long)&status, 1L << 30, 0, 0, 0);
		while (rc == -EINTR);
		return rc == child && status == 0;
	}
	(void)os_call(SYS_prlimit64, 0, RLIMIT_CORE, (long)&no_core, 0, 0, 0); /* the child's: no noise */
	(void)os_call(SYS_exit_group, fn() != 0, 0, 0, 0, 0, 0);
	__builtin_unreachable();
}

#define SLICE_NS    100000u /* the shortest that there are */
#define GIVE_WAY_NS 150000u
#define ASIDE_NS    20000u /* and what the kernel's timers add, some 50 us */

static _Atomic pid_t background;
static uint64_t gave_way_ns; /* the background thread's */

void os_background(void)
{
	struct sched_attr attr = { .size = sizeof(attr) };

	store_relaxed(&background, os_tid()); /* its own reads matter */
	gave_way_ns = os_now_ns();
	if (os_filtered() || os_call(SYS_sched_getattr, 0, (long)&attr, sizeof(attr), 0, 0, 0) < 0 ||
	    attr.sched_policy != 0 /* SCHED_OTHER */)
		return;
	attr.sched_runtime = SLICE_NS;
	(void)os_call(SYS_sched_setattr, 0, (long)&attr, 0, 0, 0, 0); /* Linux before 6.12: no difference */
}

/* Slices alone do not do it: they end with a tick of the kernel's, which comes every 1 to 10 ms. */
void os_give_way(void)
{
	static const uint32_t never;

	if (load_relaxed(&background) != os_tid() || os_now_ns() - gave_way_ns < GIVE_WAY_NS)
		return;
	os_futex_wait(&never, 0, ASIDE_NS);
	gave_way_ns = os_now_ns();
}

int os_own_descriptors(void)
{
	enum { UNSHARE = 1 << 1 }; /* CLOSE_RANGE_UNSHARE, linux/close_range.h; Linux 5.9 */

	return (int)os_call(SYS_close_range, 0, (long)~0U, UNSHARE, 0, 0, 0);
}

int os_program_descriptor(int fd)
{
	int process = (int)os_call(SYS_pidfd_open, os_pid(), 0, 0, 0, 0, 0), copy;

	if (process < 0)
		return process;
	copy = (int)os_call(SYS_pidfd_getfd, process, fd, 0, 0, 0, 0);
	os_close(process);
	return copy;
}

int os_move_up(int fd)
{
	struct rlimit limit = { 1024, 1024 };
	long floor, moved;

	if (fd < 0)
		return fd;
	(void)os_call(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&limit, 0, 0); /* keeps the guess on failure */
	floor = limit.rlim_cur > 4096 ? 2048 : (long)(limit.rlim_cur / 2);
	moved = os_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, floor, 0, 0, 0);
	if (moved < 0)
		return fd; /* full up there: the low number has to do */
	os_close(fd);
	return (int)moved;
}
