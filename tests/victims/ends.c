/* ends HOW: a process that ends in the way named, after it allocated 10 blocks of 100 bytes in allocate_ten().
 * "ready" is printed before it waits for a signal. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void *volatile keep[10];

__attribute__((noinline)) static void allocate_ten(void)
{
	for (int i = 0; i < 10; i++)
		keep[i] = malloc(100);
}

static void on_signal(int sig)
{
	(void)sig;
	write(1, "handled\n", 8);
	exit(7);
}

/* Sees the program what it set, and nothing of the recorder's? */
static void check_default(int sig)
{
	struct sigaction old;

	if (sigaction(sig, NULL, &old) != 0 || old.sa_handler != SIG_DFL || old.sa_flags & SA_SIGINFO)
		abort();
	if (signal(sig, SIG_DFL) != SIG_DFL)
		abort();
}

static void wait_for_signal(void)
{
	puts("ready");
	fflush(stdout);
	for (int i = 0; i < 100; i++)
		poll(NULL, 0, 100);
	exit(99);
}

static void *exit_here(void *arg)
{
	exit(5);
	return arg;
}

static int end_by_itself(const char *how)
{
	pthread_t t;

	if (!strcmp(how, "return"))
		return 3;
	if (!strcmp(how, "exit"))
		exit(4);
	if (!strcmp(how, "_exit"))
		_exit(4);
	if (!strcmp(how, "_Exit"))
		_Exit(4);
	if (!strcmp(how, "quick_exit"))
		quick_exit(4);
	if (!strcmp(how, "thread_exit")) {
		if (pthread_create(&t, NULL, exit_here, NULL) == 0)
			pause();
	}
	if (!strcmp(how, "main_pthread_exit")) {
		if (pthread_create(&t, NULL, exit_here, NULL) == 0)
			pthread_exit(NULL);
	}
	if (!strcmp(how, "last_thread"))
		pthread_exit(NULL); /* the process ends with status 0 */
	if (!strcmp(how, "abort"))
		abort();
	if (!strcmp(how, "exec")) {
		execl("/bin/sh", "sh", "-c", "exit 6", (char *)NULL);
		return 98;
	}
	if (!strcmp(how, "exec_fails")) {
		errno = 0;
		if (execl("/does/not/exist", "x", (char *)NULL) != -1 || errno != ENOENT)
			return 98;
		return 3;
	}
	return -1;
}

static int end_by_signal(const char *how)
{
	if (!strcmp(how, "default")) {
		check_default(SIGTERM);
		check_default(SIGINT);
		wait_for_signal();
	}
	if (!strcmp(how, "handler")) {
		signal(SIGTERM, on_signal);
		wait_for_signal();
	}
	if (!strcmp(how, "reset")) {
		if (signal(SIGTERM, on_signal) != SIG_DFL || signal(SIGTERM, SIG_DFL) != on_signal)
			abort();
		wait_for_signal();
	}
	if (!strcmp(how, "ignore")) {
		signal(SIGTERM, SIG_IGN);
		puts("ready");
		fflush(stdout);
		for (int i = 0; i < 10; i++)
			poll(NULL, 0, 100);
		return 8;
	}
	if (!strcmp(how, "sigprof")) {
		struct sigaction act, old;

		/* A handler of the program's own gets signals that are not samples. */
		memset(&act, 0, sizeof(act));
		act.sa_handler = on_signal;
		sigaction(SIGPROF, &act, &old);
		if (old.sa_handler != SIG_DFL)
			abort();
		raise(SIGPROF);
		return 97;
	}
	return 96;
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "return";
	int status;

	allocate_ten();
	status = end_by_itself(how);
	return status >= 0 ? status : end_by_signal(how);
}
