/* A server whose main thread reads requests, and whose pool of threads does the work and answers. "handoff told" says so with
 * perfprobe.h, "handoff" does not. /red and /blue burn CPU time in a function of that name, /job does so as work of its own.
 * Prints its port; ends by SIGTERM. */
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "perfprobe.h"

enum { WORKERS = 4, CONNECTIONS = 64, BURN_MS = 150 };

struct task {
	int fd;
	char what[8];
	uint64_t request;
};

static bool told;
static struct task queue[CONNECTIONS];
static unsigned first, after_last;
static _Atomic int busy[1024]; /* by descriptor: requests that are worked on, so that nobody closes it meanwhile */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t some = PTHREAD_COND_INITIALIZER;
static volatile unsigned sink;

static double cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

#define BURNER(name)                                                  \
	static __attribute__((noinline)) void burn_##name(void)       \
	{                                                             \
		double end = cpu_ms() + BURN_MS;                      \
                                                                      \
		while (cpu_ms() < end)                                \
			for (unsigned i = 0; i < 20000; i++)          \
				sink = sink * 31 + i + (#name)[0];    \
		__asm__ volatile(""); /* no tail: it stays a frame */ \
	}
BURNER(red)
BURNER(blue)
BURNER(job)

static void work(const char *what)
{
	uint64_t job;

	if (strcmp(what, "red") == 0) {
		burn_red();
	} else if (strcmp(what, "blue") == 0) {
		poll(NULL, 0, 10); /* a wait in the middle */
		burn_blue();
	} else if (strcmp(what, "job") == 0) {
		job = perfprobe_begin("job/4711");
		burn_job();
		perfprobe_end(job);
	}
}

static void *worker(void *unused)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

	for (;;) {
		struct task task;

		pthread_mutex_lock(&lock);
		while (first == after_last)
			pthread_cond_wait(&some, &lock);
		task = queue[first++ % CONNECTIONS];
		pthread_mutex_unlock(&lock);
		if (told)
			perfprobe_adopt(task.request);
		work(task.what);
		if (write(task.fd, answer, sizeof(answer) - 1) < 0)
			_exit(3);
		busy[task.fd]--;
		if (told)
			perfprobe_adopt(0);
	}
	return unused;
}

/* A whole request is in one piece: that is how the test sends them. False: the connection has ended. */
static bool serve(int fd)
{
	char text[1000];
	ssize_t n = read(fd, text, sizeof(text) - 1);
	struct task task = { .fd = fd };

	if (n <= 0)
		return false;
	text[n] = 0;
	if (sscanf(text, "GET /%7[a-z]", task.what) != 1)
		_exit(4);
	task.request = perfprobe_current();
	busy[fd]++;
	pthread_mutex_lock(&lock);
	queue[after_last++ % CONNECTIONS] = task;
	pthread_cond_signal(&some);
	pthread_mutex_unlock(&lock);
	if (told)
		perfprobe_adopt(0);
	return true;
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct pollfd fds[CONNECTIONS] = { { socket(AF_INET, SOCK_STREAM, 0), POLLIN, 0 } };
	socklen_t bytes = sizeof(at);
	nfds_t count = 1;

	told = argc > 1 && strcmp(argv[1], "told") == 0;
	if (bind(fds[0].fd, (struct sockaddr *)&at, bytes) || listen(fds[0].fd, CONNECTIONS) ||
	    getsockname(fds[0].fd, (struct sockaddr *)&at, &bytes))
		return 2;
	for (int i = 0; i < WORKERS; i++)
		if (pthread_create(&(pthread_t){ 0 }, NULL, worker, NULL))
			return 2;
	printf("port %d\n", ntohs(at.sin_port));
	fflush(stdout);
	for (;;) {
		if (poll(fds, count, -1) < 0)
			return 2;
		for (nfds_t i = count; i-- > 1;)
			if (fds[i].revents && !serve(fds[i].fd)) {
				while (busy[fds[i].fd])
					poll(NULL, 0, 1);
				close(fds[i].fd);
				fds[i] = fds[--count];
			}
		if (fds[0].revents && count < CONNECTIONS)
			fds[count++] = (struct pollfd){ accept(fds[0].fd, NULL, NULL), POLLIN, 0 };
	}
}
