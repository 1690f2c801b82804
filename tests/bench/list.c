/* Threads that each build a linked list of NODES nodes and destroy it, all at once.
 *
 * usage: list [THREADS [NODES]]      prints seconds: wall time of the slowest thread */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { THREADS_MAX = 256 };

struct node {
	struct node *next;
	uint64_t value;
};

struct worker {
	pthread_t thread;
	double seconds;
	uint64_t sum;
};

static uint64_t nodes = 1000000;
static pthread_barrier_t start;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static __attribute__((noinline)) struct node *build(void)
{
	struct node *list = NULL;

	for (uint64_t i = 0; i < nodes; i++) {
		struct node *n = malloc(sizeof(*n));

		if (!n)
			abort();
		*n = (struct node){ list, i };
		list = n;
	}
	return list;
}

static __attribute__((noinline)) uint64_t destroy(struct node *list)
{
	uint64_t sum = 0;

	while (list) {
		struct node *next = list->next;

		sum += list->value;
		free(list);
		list = next;
	}
	return sum;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	double began;

	pthread_barrier_wait(&start);
	began = now();
	w->sum = destroy(build());
	w->seconds = now() - began;
	return NULL;
}

int main(int argc, char **argv)
{
	static struct worker workers[THREADS_MAX];
	unsigned long threads = argc > 1 ? strtoul(argv[1], NULL, 10) : 16;
	double slowest = 0;

	if (argc > 2)
		nodes = strtoull(argv[2], NULL, 10);
	if (threads < 1 || threads > THREADS_MAX || nodes < 1)
		return 2;
	pthread_barrier_init(&start, NULL, (unsigned)threads);
	for (unsigned long i = 0; i < threads; i++)
		if (pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]) != 0)
			return 1;
	for (unsigned long i = 0; i < threads; i++) {
		pthread_join(workers[i].thread, NULL);
		if (workers[i].sum != nodes * (nodes - 1) / 2)
			return 1;
		if (workers[i].seconds > slowest)
			slowest = workers[i].seconds;
	}
	printf("%.4f\n", slowest);
	return 0;
}
