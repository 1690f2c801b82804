/* hostile_limits HOW: programs that give up rights, descriptors, threads. Ends with status 0 and "ok" when every thread of
 * the process gave up what the program gave up, and every resource was there that is without the library. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(ok)                                                                             \
	do {                                                                                  \
		if (!(ok)) {                                                                  \
			fprintf(stderr, "line %d: %s: %s\n", __LINE__, #ok, strerror(errno)); \
			exit(1);                                                              \
		}                                                                             \
	} while (0)
#define NOBODY 65534

static double cpu_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

__attribute__((noinline)) static void burn(double s)
{
	double end = cpu_seconds() + s;

	while (cpu_seconds() < end)
		free(malloc(100));
}

/* Runs on each thread's status file; aborts where it lacks `want`. */
static void every_thread(const char *want)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;

	CHECK(d);
	while ((e = readdir(d))) {
		char path[300], text[8192];
		ssize_t n;
		int fd;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/status", e->d_name);
		fd = open(path, O_RDONLY);
		n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
		close(fd);
		CHECK(n > 0);
		text[n] = '\0';
		if (!strstr(text, want)) {
			fprintf(stderr, "thread %s is not as told:\n%s", e->d_name, text);
			exit(1);
		}
	}
	closedir(d);
}

static void drops_privileges(const char *unused)
{
	gid_t group = NOBODY;

	(void)unused;
	burn(0.1);
	CHECK(setgroups(1, &group) == 0 && setgid(NOBODY) == 0);
	every_thread("\nGid:\t65534\t65534\t65534\t65534\n");
	every_thread("\nGroups:\t65534 \n");
	CHECK(setuid(NOBODY) == 0);
	every_thread("\nUid:\t65534\t65534\t65534\t65534\n");
	every_thread("\nCapEff:\t0000000000000000\n");
	CHECK(setuid(0) == -1 && errno == EPERM);
	CHECK(prctl(PR_SET_DUMPABLE, 1) == 0);
	burn(0.1);
	CHECK(prctl(PR_GET_DUMPABLE) == 1);
}

/* As a file server does for each of its users. */
static void becomes_others(const char *unused)
{
	(void)unused;
	for (int i = 0; i < 300; i++) {
		CHECK(seteuid(NOBODY) == 0);
		every_thread("\nUid:\t0\t65534\t0\t65534\n");
		CHECK(seteuid(0) == 0);
	}
	every_thread("\nUid:\t0\t0\t0\t0\n");
}

static void not_dumpable(const char *unused)
{
	(void)unused;
	CHECK(prctl(PR_SET_DUMPABLE, 0) == 0);
	burn(0.2);
}

static void changes_root(const char *dir)
{
	CHECK(chroot(dir) == 0 && chdir("/") == 0);
	burn(0.1);
}

/* ---- descriptors ---- */

static int count_until_full(void)
{
	int fds[4096], n = 0;

	while (n < 4096 && (fds[n] = open("/dev/null", O_RDONLY)) >= 0)
		n++;
	CHECK(errno == EMFILE);
	burn(0.05);
	for (int i = 0; i < n; i++)
		close(fds[i]);
	return n;
}

/* They have all begun before anything is counted: an event has a low number at the moment that it is opened. */
static pthread_barrier_t begun;
static bool counted;

static void *hold(void *arg)
{
	if (counted)
		pthread_barrier_wait(&begun);
	burn(0.3);
	return arg;
}

static void few_descriptors(const char *limit)
{
	struct rlimit l;
	pthread_t t[8];

	CHECK(getrlimit(RLIMIT_NOFILE, &l) == 0);
	CHECK(l.rlim_cur == (rlim_t)atoi(limit));
	CHECK(pthread_barrier_init(&begun, NULL, 9) == 0);
	counted = true;
	for (int i = 0; i < 8; i++)
		CHECK(pthread_create(&t[i], NULL, hold, NULL) == 0);
	pthread_barrier_wait(&begun);
	printf("%d\n", count_until_full());
	for (int i = 0; i < 8; i++)
		pthread_join(t[i], NULL);
	CHECK(getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur == (rlim_t)atoi(limit));
}

/* As daemons do, and then once more while they work. */
static void closes_all(const char *unused)
{
	int fd;

	(void)unused;
	burn(0.1);
	CHECK(close_range(3, ~0u, 0) == 0);
	CHECK((fd = open("/dev/null", O_WRONLY)) == 3);
	burn(1.3); /* the second event is opened meanwhile: it must not take 4 */
	CHECK(dup(fd) == 4);
	for (int i = 3; i < (1 << 16); i++)
		close(i);
	CHECK(open("/dev/zero", O_RDONLY) == 3 && open("/dev/null", O_RDONLY) == 4);
	burn(0.5);
}

static void *sleeps(void *arg)
{
	pause();
	return arg;
}

/* As many threads as it may; then no more, and it goes on. */
static void few_threads(const char *unused)
{
	struct rlimit l = { 12, 12 };
	pthread_t t;
	int n = 0, rc;

	(void)unused;
	CHECK(setrlimit(RLIMIT_NPROC, &l) == 0);
	while ((rc = pthread_create(&t, NULL, sleeps, NULL)) == 0)
		n++;
	CHECK(rc == EAGAIN && n >= 1 && n <= 12);
	burn(0.2);
}

/* ---- namespaces ---- */

static void own_namespace(const char *unused)
{
	(void)unused;
	burn(0.1);
	CHECK(unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0);
	burn(0.1);
	CHECK(unshare(CLONE_FS) == 0);
	burn(0.1);
}

/* ---- seccomp ---- */

#define REFUSE(nr, action) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1), BPF_STMT(BPF_RET | BPF_K, (action))

static void filter_calls(uint32_t action)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		REFUSE(SYS_perf_event_open, action),
		REFUSE(SYS_ptrace, action),
		REFUSE(SYS_timer_create, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0);
}

static void *short_thread(void *arg)
{
	burn(0.1);
	return arg;
}

/* "errno" or "kill", and where: "now" in this program, or "before" the start of what it becomes. */
static void under_filter(char **argv)
{
	pthread_t t;

	if (argv[3] && !strcmp(argv[3], "before")) {
		filter_calls(!strcmp(argv[2], "kill") ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | EPERM);
		execl(argv[0], argv[0], "seccomp", "none", (char *)NULL);
		exit(98);
	}
	burn(0.2);
	if (argv[3])
		filter_calls(!strcmp(argv[2], "kill") ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | EPERM);
	burn(0.2);
	CHECK(pthread_create(&t, NULL, short_thread, NULL) == 0 && pthread_join(t, NULL) == 0);
}

/* Only what a pure computation needs: read, write, exit, memory. Everything else kills. */
static void in_a_cage(const char *unused)
{
	static const int allowed[] = { SYS_read,         SYS_write,         SYS_exit,       SYS_exit_group, SYS_mmap,
		                       SYS_munmap,       SYS_mprotect,      SYS_brk,        SYS_madvise,    SYS_futex,
		                       SYS_rt_sigreturn, SYS_clock_gettime, SYS_newfstatat, SYS_mremap };
	struct sock_filter code[64];
	struct sock_fprog program = { 0, code };

	(void)unused;
	burn(0.1);
	code[program.len++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
		code[program.len++] =
		        (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)allowed[i], 0, 1);
		code[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	code[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0);
	burn(0.3);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(const char *);
	} all[] = {
		{ "drops_privileges", drops_privileges },
		{ "becomes_others", becomes_others },
		{ "not_dumpable", not_dumpable },
		{ "changes_root", changes_root },
		{ "few_descriptors", few_descriptors },
		{ "closes_all", closes_all },
		{ "few_threads", few_threads },
		{ "own_namespace", own_namespace },
		{ "in_a_cage", in_a_cage },
	};

	if (argc > 2 && !strcmp(argv[1], "seccomp")) {
		under_filter(argv);
		puts("ok");
		return 0;
	}
	for (size_t i = 0; argc > 1 && i < sizeof(all) / sizeof(all[0]); i++) {
		if (strcmp(argv[1], all[i].name) == 0) {
			all[i].run(argv[2]);
			puts("ok");
			return 0;
		}
	}
	return 96;
}
