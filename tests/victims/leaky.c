/* leaky HOW: loses blocks and ends in the way named.
 * lose_one_size() loses 20,000 blocks of 100 bytes, lose_many_sizes() 3,000 of 1 to 3,000 bytes, lose_seven() 7 of 64. What was
 * lost is printed, "bytes blocks function" a line; with "wait" it then waits for a signal. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *volatile last; /* only the last one can be reached, until it is overwritten */

__attribute__((noinline)) static void lose_seven(void)
{
	for (int i = 0; i < 7; i++)
		last = malloc(64);
	last = NULL;
	puts("448 7 lose_seven");
}

__attribute__((noinline)) static void lose_one_size(void)
{
	for (int i = 0; i < 20000; i++)
		last = malloc(100);
	last = NULL;
	puts("2000000 20000 lose_one_size");
}

__attribute__((noinline)) static void lose_many_sizes(void)
{
	for (size_t bytes = 1; bytes <= 3000; bytes++)
		last = malloc(bytes * 7919 % 3001); /* each of them once, in no order: 3001 is a prime */
	last = NULL;
	puts("4501500 3000 lose_many_sizes");
}

static void *end_here(void *unused)
{
	_exit(4);
	return unused;
}

static void end(const char *how)
{
	pthread_t thread;

	if (!strcmp(how, "_exit"))
		_exit(4);
	if (!strcmp(how, "_Exit"))
		_Exit(4);
	if (!strcmp(how, "quick_exit"))
		quick_exit(4);
	if (!strcmp(how, "thread") && pthread_create(&thread, NULL, end_here, NULL) == 0)
		pause();
	if (!strcmp(how, "abort"))
		abort();
	if (!strcmp(how, "raise"))
		raise(SIGTERM);
	if (!strcmp(how, "wait"))
		for (int i = 0; i < 300; i++)
			poll(NULL, 0, 100);
	exit(4);
}

/* What malloc leaves in registers and on the stack would keep the last block. */
__attribute__((noinline)) static void wipe(void)
{
	char room[65536];

	memset(room, 0, sizeof(room));
	__asm__ volatile("" : : "r"(room) : "memory");
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "exit";

	lose_seven();
	if (!strcmp(how, "much")) {
		lose_one_size();
		lose_many_sizes();
	}
	wipe();
	puts("ready");
	fflush(stdout);
	end(how);
}
