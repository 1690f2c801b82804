/* spin SECONDS [THREADS]: each thread burns that much CPU time, two thirds in spin_most() and one third in spin_some();
 * prints the CPU seconds of the whole process. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double seconds;

static double cpu(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

#define WORK(name)                                                                       \
	__attribute__((noinline, no_icf)) static uint64_t name(double until, uint64_t x) \
	{                                                                                \
		while (cpu(CLOCK_THREAD_CPUTIME_ID) < until)                             \
			for (int i = 0; i < 200000; i++)                                 \
				x = x * UINT64_C(6364136223846793005) + 1;               \
		__asm__ volatile("" : "+r"(x));                                          \
		return x;                                                                \
	}
WORK(spin_most)
WORK(spin_some)

__attribute__((noinline)) static void *spin_thread(void *arg)
{
	double start = cpu(CLOCK_THREAD_CPUTIME_ID);
	uint64_t x = 1;

	/* In short turns, so that neither function has one end of the run to itself. */
	for (double at = 0; at < seconds; at += 0.03) {
		x = spin_most(start + at + 0.02, x);
		x = spin_some(start + at + 0.03, x);
	}
	__asm__ volatile("" : "+r"(x));
	return arg;
}

int main(int argc, char **argv)
{
	long threads = argc > 2 ? strtol(argv[2], NULL, 10) : 1;
	pthread_t t[64];

	seconds = argc > 1 ? strtod(argv[1], NULL) : 1;
	if (threads > 64)
		return 2;
	for (long i = 1; i < threads; i++)
		if (pthread_create(&t[i], NULL, spin_thread, NULL) != 0)
			return 1;
	spin_thread(NULL);
	for (long i = 1; i < threads; i++)
		pthread_join(t[i], NULL);
	printf("%.6f\n", cpu(CLOCK_PROCESS_CPUTIME_ID));
	return 0;
}
