/* slow_server.c - one request in so many is slow, for a known reason.
 *
 * Usage      victim_slow_server KIND EVERY MS SECONDS    "listening on 127.0.0.1:PORT" on stdout; ends by SIGTERM, or after SECONDS
 * KIND       cpu: burn_cpu() computes; lock: wait_for_lock() waits for a lock that another thread holds; file: read_slowly() reads
 *            from a pipe that nobody has written to yet; frame: as file, from a function that keeps a frame pointer; each for MS.
 * Threads    one per connection. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifdef __clang__
#define VISIBLE     __attribute__((noinline))
#define UNOPTIMIZED __attribute__((optnone))
#else
#define VISIBLE     __attribute__((noinline, noclone, noipa))
#define UNOPTIMIZED __attribute__((optimize("O0", "no-omit-frame-pointer")))
#endif
#define KEEP(p) __asm__ volatile("" : : "r"(p) : "memory")

static const char *kind;
static long every, slow_ms;
static _Atomic unsigned long requests;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int wishes[2], answers[2]; /* pipes to and from the thread that keeps others waiting */

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void sleep_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* Holds the lock, or keeps the pipe empty, when it is wished. */
static VISIBLE void *keep_waiting(void *unused)
{
	char wish;

	while (read(wishes[0], &wish, 1) == 1) {
		if (wish == 'l')
			pthread_mutex_lock(&lock);
		if (wish == 'l' && write(answers[1], "h", 1) != 1) /* held now */
			abort();
		sleep_ms(slow_ms);
		if (wish == 'l')
			pthread_mutex_unlock(&lock);
		else if (write(answers[1], "d", 1) != 1)
			abort();
	}
	return unused;
}

static void wish(char what)
{
	if (write(wishes[1], &what, 1) != 1)
		abort();
}

static VISIBLE void burn_cpu(void)
{
	uint64_t end = now_ns(CLOCK_THREAD_CPUTIME_ID) + (uint64_t)slow_ms * 1000000;
	volatile unsigned sink = 0;

	while (now_ns(CLOCK_THREAD_CPUTIME_ID) < end)
		for (unsigned i = 0; i < 20000; i++)
			sink += i;
	KEEP(&sink);
}

static VISIBLE void wait_for_lock(void)
{
	pthread_mutex_lock(&lock);
	pthread_mutex_unlock(&lock);
	KEEP(&lock);
}

static VISIBLE void read_slowly(void)
{
	char byte = 0;

	if (read(answers[0], &byte, 1) != 1)
		abort();
	KEEP(&byte);
}

/* As compilers make functions without optimization. */
static VISIBLE UNOPTIMIZED void read_in_frame(void)
{
	char room[256];

	if (read(answers[0], room, 1) != 1)
		abort();
	KEEP(room);
}

static VISIBLE void slow_request(void)
{
	static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
	char byte;

	if (strcmp(kind, "cpu") == 0) {
		burn_cpu();
		return;
	}
	pthread_mutex_lock(&one_at_a_time);
	if (strcmp(kind, "lock") == 0) {
		wish('l');
		if (read(answers[0], &byte, 1) != 1)
			abort();
		wait_for_lock();
	} else {
		wish('f');
		if (strcmp(kind, "frame") == 0)
			read_in_frame();
		else
			read_slowly();
	}
	pthread_mutex_unlock(&one_at_a_time);
}

static VISIBLE void handle(int fd)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
	unsigned long number = atomic_fetch_add(&requests, 1) + 1;

	if (number % (unsigned long)every == 0)
		slow_request();
	if (write(fd, answer, sizeof(answer) - 1) < 0)
		return;
}

static void *serve(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char text[8192];
	size_t have = 0;
	ssize_t n;

	while ((n = read(fd, text + have, sizeof(text) - 1 - have)) > 0) {
		char *end;

		have += (size_t)n;
		text[have] = '\0';
		while ((end = strstr(text, "\r\n\r\n")) != NULL) {
			handle(fd);
			have -= (size_t)(end + 4 - text);
			memmove(text, end + 4, have + 1);
		}
	}
	close(fd);
	return NULL;
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t bytes = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
	pthread_t thread;

	if (argc != 5 || pipe(wishes) < 0 || pipe(answers) < 0)
		return 2;
	kind = argv[1];
	every = atol(argv[2]);
	slow_ms = atol(argv[3]);
	alarm((unsigned)atoi(argv[4]));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 128) < 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &bytes) < 0)
		return 1;
	pthread_create(&thread, NULL, keep_waiting, NULL);
	printf("listening on 127.0.0.1:%d\n", ntohs(at.sin_port));
	fflush(stdout);
	for (;;) {
		int client = accept(fd, NULL, NULL);

		if (client < 0)
			return 1;
		setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
		pthread_create(&thread, NULL, serve, (void *)(intptr_t)client);
		pthread_detach(thread);
	}
}
