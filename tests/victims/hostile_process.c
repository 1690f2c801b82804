/* hostile_process HOW: processes made in every way, and ended at bad moments. All output is the same in every run. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PLACE __attribute__((noinline))

static _Atomic bool over;

PLACE static void *churn(void *arg)
{
	void *held[32] = { NULL };
	uint32_t seed = (uint32_t)(uintptr_t)arg + 1;

	while (!atomic_load_explicit(&over, memory_order_relaxed)) {
		void **h;

		seed = seed * 1664525u + 1013904223u;
		h = &held[seed >> 8 & 31];
		free(*h);
		*h = malloc(seed >> 16 & 2047);
	}
	for (int i = 0; i < 32; i++)
		free(held[i]);
	return NULL;
}

static pthread_t threads[3];

static void start_churning(void)
{
	for (uintptr_t i = 0; i < 3; i++)
		if (pthread_create(&threads[i], NULL, churn, (void *)i) != 0)
			abort();
}

static void stop_churning(void)
{
	atomic_store(&over, true);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			abort();
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

PLACE static void child_keeps(void)
{
	void *volatile p = malloc(500);

	(void)p;
}

/* What a child does: allocate, free, perhaps be a parent, end by exit() or _exit(). */
static void child(int i)
{
	for (int n = 0; n < 200; n++)
		free(malloc((size_t)n * 10));
	child_keeps();
	if (i % 3 == 0) {
		pid_t pid = fork();

		if (pid == 0) {
			child_keeps();
			exit(i % 50);
		}
		if (wait_for(pid) != i % 50)
			_exit(99);
	}
	if (i % 2)
		_exit(i % 50);
	exit(i % 50);
}

static void fork_storm(void)
{
	start_churning();
	for (int i = 0; i < 60; i++) {
		pid_t pid = fork();

		if (pid == 0)
			child(i);
		if (pid < 0 || wait_for(pid) != i % 50)
			abort();
	}
	stop_churning();
	puts("60 children");
}

static void spawn_all_ways(void)
{
	char *const args[] = { "true", NULL }, *const env[] = { "A=b", NULL };
	char line[64];

	start_churning();
	for (int i = 0; i < 20; i++) {
		pid_t pid;
		FILE *f;

		if (posix_spawn(&pid, "/bin/true", NULL, NULL, args, env) != 0 || wait_for(pid) != 0)
			abort();
		pid = vfork();
		if (pid == 0) {
			execle("/bin/sh", "sh", "-c", "exit 7", (char *)NULL, env);
			_exit(98);
		}
		if (wait_for(pid) != 7)
			abort();
		pid = vfork();
		if (pid == 0)
			_exit(9);
		if (wait_for(pid) != 9)
			abort();
		pid = vfork();
		if (pid == 0) {
			execl("/does/not/exist", "x", (char *)NULL);
			_exit(11);
		}
		if (wait_for(pid) != 11 || WEXITSTATUS(system("exit 5")) != 5)
			abort();
		f = popen("echo hello", "r");
		if (!f || !fgets(line, sizeof(line), f) || strcmp(line, "hello\n") != 0 || pclose(f) != 0)
			abort();
	}
	stop_churning();
	puts("all spawned");
}

/* The environment as this program and as its children see it. */
static void environment(char **argv)
{
	size_t n = 0;
	char **copy;

	for (char **e = environ; *e; e++, n++)
		if (strncmp(*e, "PERFPROBE_", 10) != 0)
			puts(*e);
	printf("%s\n", getenv("LD_PRELOAD") ? getenv("LD_PRELOAD") : "none");
	fflush(stdout);
	copy = calloc(n + 1, sizeof(*copy));
	for (size_t i = 0, k = 0; i < n; i++)
		if (strncmp(environ[i], "PERFPROBE_", 10) != 0)
			copy[k++] = strdup(environ[i]);
	if (argv[2] == NULL)
		execle(argv[0], argv[0], "environment", "again", (char *)NULL, copy);
}

static void *exits(void *status)
{
	while (!atomic_load(&over))
		sched_yield();
	exit((int)(uintptr_t)status);
}

/* Two threads call exit() at once with the same status, while others allocate. */
static void two_exits(void)
{
	pthread_t t[2];

	start_churning();
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, exits, (void *)(uintptr_t)3);
	usleep(20000);
	atomic_store(&over, true);
	for (;;)
		pause();
}

static void exit_while_others_allocate(void)
{
	start_churning();
	usleep(20000);
	exit(3);
}

/* One thread or several that allocate until a signal ends the process. */
static void until_ended(bool several)
{
	puts("ready");
	fflush(stdout);
	alarm(20);
	if (several)
		start_churning();
	churn(NULL);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";

	if (!strcmp(how, "fork_storm"))
		fork_storm();
	else if (!strcmp(how, "spawn"))
		spawn_all_ways();
	else if (!strcmp(how, "environment"))
		environment(argv);
	else if (!strcmp(how, "two_exits"))
		two_exits();
	else if (!strcmp(how, "exit_while_others_allocate"))
		exit_while_others_allocate();
	else if (!strcmp(how, "until_ended"))
		until_ended(argc > 2);
	else if (!strcmp(how, "abort"))
		abort();
	else
		return 96;
	return 0;
}
