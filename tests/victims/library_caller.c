/* library_caller LIBRARY [ROUNDS]: four threads that call its LibraryWork(), compute in caller_hot() and keep blocks of 50 bytes made
 * in caller_keeps(). Prints what LibraryWork() returned, summed up for each thread. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 4, BLOCKS = 5 };

static int32_t (*library_work)(int32_t);
static int rounds = 20;
static int sums[THREADS];

__attribute__((noinline)) static void caller_keeps(void)
{
	void *block = malloc(50);

	__asm__ volatile("" : : "r"(block) : "memory"); /* lost on purpose */
}

__attribute__((noinline)) static uint64_t caller_hot(uint64_t n)
{
	uint64_t x = n;

	for (uint64_t i = 0; i < n; i++)
		x = x * 6364136223846793005u + 1;
	return x;
}

static void *thread(void *arg)
{
	int *sum = arg;

	for (int i = 0; i < rounds; i++) {
		*sum += library_work(2000);
		__asm__ volatile("" : : "r"(caller_hot(2000000)));
		for (int k = 0; k < BLOCKS; k++)
			caller_keeps();
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL;

	if (library)
		*(void **)&library_work = dlsym(library, "LibraryWork");
	if (!library_work) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	if (argc > 2)
		rounds = atoi(argv[2]);
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, thread, &sums[i]) != 0)
			return 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	printf("%d %d %d %d\n", sums[0], sums[1], sums[2], sums[3]);
	return 0;
}
