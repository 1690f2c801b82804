/* What one malloc + free pair costs, called from a stack of DEPTH frames, on 1 or more threads at once.
 *
 * usage: pair [THREADS [PAIRS [DEPTH]]]      prints nanoseconds per pair: wall time of the slowest thread / pairs
 *
 * Blocks of 16 to 271 bytes, one in eight kept for eight rounds, so that the allocator's lists and a tracker's table see
 * more than one address. Every thread does PAIRS pairs. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { KEPT = 8, THREADS_MAX = 256, DEPTH_MAX = 200 };

static uint64_t pairs = 2000000;
static unsigned depth = 16;
static pthread_barrier_t start;

struct worker {
	pthread_t thread;
	uint64_t elapsed_ns;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The compiler may not see that the block is unused, nor drop the pair. */
static void use(void *block)
{
	__asm__ volatile("" : : "r"(block) : "memory");
}

static void __attribute__((noinline)) work(void)
{
	void *kept[KEPT] = { 0 };

	for (uint64_t i = 0; i < pairs; i++) {
		char *block = malloc(16 + (i * 37 & 255));

		if (!block)
			abort();
		block[0] = (char)i;
		use(block);
		if (i % 8 == 0) {
			free(kept[i / 8 % KEPT]);
			kept[i / 8 % KEPT] = block;
		} else {
			free(block);
		}
	}
	for (int i = 0; i < KEPT; i++)
		free(kept[i]);
}

static void __attribute__((noinline)) descend(unsigned left)
{
	if (left == 0)
		work();
	else
		descend(left - 1);
	__asm__ volatile("" : : : "memory"); /* no tail call: every level is a frame */
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	uint64_t began;

	pthread_barrier_wait(&start);
	began = now_ns();
	descend(depth);
	w->elapsed_ns = now_ns() - began;
	return NULL;
}

static uint64_t argument(int argc, char **argv, int i, uint64_t otherwise, uint64_t most)
{
	uint64_t value = argc > i ? strtoull(argv[i], NULL, 10) : otherwise;

	if (value < 1 || value > most) {
		fprintf(stderr, "pair: argument %d must be 1 to %llu\n", i, (unsigned long long)most);
		exit(2);
	}
	return value;
}

int main(int argc, char **argv)
{
	static struct worker workers[THREADS_MAX];
	unsigned threads = (unsigned)argument(argc, argv, 1, 1, THREADS_MAX);
	uint64_t slowest = 0;

	pairs = argument(argc, argv, 2, pairs, UINT64_C(1) << 40);
	depth = (unsigned)argument(argc, argv, 3, depth, DEPTH_MAX);
	pthread_barrier_init(&start, NULL, threads);
	for (unsigned i = 0; i < threads; i++)
		if (pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]) != 0)
			return 1;
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(workers[i].thread, NULL);
		if (workers[i].elapsed_ns > slowest)
			slowest = workers[i].elapsed_ns;
	}
	printf("%.1f\n", (double)slowest / (double)pairs);
	return 0;
}
