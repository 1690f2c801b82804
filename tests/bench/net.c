/* What a read or a write costs of descriptors that are no HTTP connection: run without and with the library, the difference is
 * what its hooks take.
 *
 * usage: net [CALLS]      prints nanoseconds a call, the least of 20 rounds: a write to /dev/null, a read of /dev/zero, and one
 *                         byte through a pipe and a pair of sockets (write and read, by the call) */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 20 };

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* One of the two may be -1. */
static double round_of(int to, int from, uint64_t calls)
{
	uint64_t start = now_ns(), end;
	char byte = 'x';

	for (uint64_t i = 0; i < calls; i++) {
		if (to >= 0 && write(to, &byte, 1) != 1)
			abort();
		if (from >= 0 && read(from, &byte, 1) != 1)
			abort();
	}
	end = now_ns();
	return (double)(end - start) / ((double)calls * ((to >= 0) + (from >= 0)));
}

static void measure(const char *name, int to, int from, uint64_t calls)
{
	double least = 1e18;

	for (int i = 0; i < ROUNDS; i++) {
		double ns = round_of(to, from, calls);

		least = ns < least ? ns : least;
	}
	printf("%-12s %8.1f ns\n", name, least);
}

int main(int argc, char **argv)
{
	uint64_t calls = argc > 1 ? strtoull(argv[1], NULL, 10) : 200000;
	int ends[2], pair[2], null = open("/dev/null", O_WRONLY | O_CLOEXEC),
	                      zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	if (null < 0 || zero < 0 || calls == 0 || pipe(ends) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
		return 1;
	measure("write null", null, -1, calls);
	measure("read zero", -1, zero, calls);
	measure("pipe", ends[1], ends[0], calls);
	measure("socketpair", pair[1], pair[0], calls);
	return 0;
}
