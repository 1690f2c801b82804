/* Blocks of known lives, slop and threads: lives blocks | many N | threads | short N | churn (until it is killed).
 * Prints what it did, one line a function: NAME ALLOCATED FREED LARGEST SLOP-OF-LIVE. */
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

static void *held[1 << 20];
static unsigned holding;

static void hold(void *block)
{
	held[holding++] = block;
}

static size_t slop(void *block, size_t asked)
{
	return malloc_usable_size(block) - asked;
}

static void sleep_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	while (nanosleep(&t, &t) != 0)
		continue;
}

static NOINLINE void at_once(void)
{
	for (int i = 0; i < 100; i++) {
		void *block = malloc(1000);

		__asm__ volatile("" : : "r"(block) : "memory");
		free(block);
	}
	puts("at_once 100 100 1000 0");
}

static NOINLINE void after_60_ms(void)
{
	void *block[40];

	for (int i = 0; i < 40; i++)
		block[i] = calloc(1, 100);
	sleep_ms(60);
	for (int i = 0; i < 40; i++)
		free(block[i]);
	puts("after_60_ms 40 40 100 0");
}

static NOINLINE void odd_sizes(void)
{
	size_t sum = 0;

	for (size_t i = 1; i <= 200; i++) {
		void *block = malloc(i * 7);

		sum += slop(block, i * 7);
		hold(block);
	}
	printf("odd_sizes 200 0 1400 %zu\n", sum);
}

static NOINLINE void half_freed(void)
{
	size_t sum = 0;

	for (size_t i = 0; i < 100; i++) {
		void *block = malloc(33);

		if (i % 2) {
			free(block);
			continue;
		}
		sum += slop(block, 33);
		hold(block);
	}
	printf("half_freed 100 50 33 %zu\n", sum);
}

static NOINLINE void grown(void)
{
	void *block = malloc(20);

	for (size_t size = 200; size <= 20000; size *= 10)
		block = realloc(block, size);
	hold(block);
	printf("grown 4 3 20000 %zu\n", slop(block, 20000));
}

/* One in four stays; the other three go in the order they came, 64 later. */
static NOINLINE void many_blocks(unsigned n)
{
	static void *ring[64];
	size_t live = 0, sum = 0;

	for (unsigned i = 0; i < n; i++) {
		void *block = malloc(20 + i % 50);

		if (i % 4 == 0) {
			hold(block);
			live += 20 + i % 50;
			sum += slop(block, 20 + i % 50);
			continue;
		}
		free(ring[i % 64]);
		ring[i % 64] = block;
	}
	for (unsigned i = 0; i < 64; i++)
		free(ring[i]);
	printf("many_blocks %u %u 69 %zu %zu\n", n, n - holding, sum, live);
}

static pthread_barrier_t barrier;
static void *made[3][300];

static void *maker(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;
	char name[16];

	(void)snprintf(name, sizeof(name), "maker-%u", me);
	(void)pthread_setname_np(pthread_self(), name);
	for (unsigned i = 0; i < (me + 1) * 100; i++)
		made[me][i] = malloc(64);
	pthread_barrier_wait(&barrier); /* 1: all was made */
	pthread_barrier_wait(&barrier); /* 2: main has freed its part */
	if (me == 2)
		pause(); /* two end, one lives on; exit() ends it */
	return NULL;
}

/* main frees the first 50 of each. */
static void threads(void)
{
	pthread_t thread[3];

	pthread_barrier_init(&barrier, NULL, 4);
	for (uintptr_t i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, maker, (void *)i);
	pthread_barrier_wait(&barrier);
	for (unsigned i = 0; i < 3; i++)
		for (unsigned k = 0; k < 50; k++)
			free(made[i][k]);
	pthread_barrier_wait(&barrier);
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
}

static NOINLINE void *one_block(void *arg)
{
	(void)pthread_setname_np(pthread_self(), (uintptr_t)arg % 2 ? "odd" : "even");
	return malloc(100);
}

static void short_threads(unsigned n)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	for (uintptr_t i = 0; i < n; i++) {
		pthread_t thread;
		void *block;

		if (pthread_create(&thread, &attr, one_block, (void *)i) != 0 || pthread_join(thread, &block) != 0)
			exit(1);
		if (i % 4 != 0)
			free(block);
	}
}

static NOINLINE void churn(void)
{
	void *block[16] = { 0 };

	for (unsigned i = 0;; i++) {
		if (i == 1000) {
			puts("ready");
			(void)fflush(stdout);
		}
		free(block[i % 16]);
		block[i % 16] = malloc(100 + i % 100);
		if (i % 16 == 0)
			sleep_ms(1);
	}
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	unsigned n = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;

	if (strcmp(what, "blocks") == 0) {
		at_once();
		after_60_ms();
		odd_sizes();
		half_freed();
		grown();
	} else if (strcmp(what, "many") == 0 && n < 1 << 20) {
		many_blocks(n);
	} else if (strcmp(what, "threads") == 0) {
		threads();
	} else if (strcmp(what, "short") == 0) {
		short_threads(n);
	} else if (strcmp(what, "churn") == 0) {
		threads();
		churn();
	} else {
		return 2;
	}
	return 0;
}
