/* Allocations whose numbers and sizes are known exactly. Prints what it did, one line a function: the function's name, then
 * allocations, bytes, live blocks, live bytes. The test compares every figure with the profile's.
 *
 * Each function below allocates from one place only, so that its name is its stack's innermost program frame. */
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLACE __attribute__((noinline))
enum { THREADS = 6, ROUNDS = 500, EACH = 40 };

static void *volatile keep[4096];
static unsigned kept;
static volatile size_t huge = SIZE_MAX / 2;

static void say(const char *name, unsigned long allocs, unsigned long bytes, unsigned long live,
                unsigned long live_bytes)
{
	printf("%s %lu %lu %lu %lu\n", name, allocs, bytes, live, live_bytes);
}

PLACE static void *from_malloc(size_t n)
{
	void *p = malloc(n);

	__asm__ volatile("" : "+r"(p));
	return p;
}

PLACE static void *from_calloc(size_t n, size_t each)
{
	void *p = calloc(n, each);

	__asm__ volatile("" : "+r"(p));
	return p;
}

PLACE static void *from_aligned(int how, size_t align, size_t n)
{
	void *p = NULL;

	switch (how) {
	case 0:
		if (posix_memalign(&p, align, n) != 0)
			p = NULL;
		break;
	case 1:
		p = aligned_alloc(align, n);
		break;
	case 2:
		p = memalign(align, n);
		break;
	case 3:
		p = valloc(n);
		break;
	default:
		p = pvalloc(n);
		break;
	}
	if ((uintptr_t)p % align)
		abort();
	__asm__ volatile("" : "+r"(p));
	return p;
}

/* 100 blocks, each grown five times from 10 to 320 bytes, then shrunk to 7: realloc counts as a free and an allocation. */
PLACE static void realloc_chain(void)
{
	unsigned long allocs = 0, bytes = 0;

	for (int i = 0; i < 100; i++) {
		char *p = NULL;

		for (size_t n = 10; n <= 320; n *= 2) {
			p = realloc(p, n);
			allocs++;
			bytes += n;
			p[n - 1] = (char)i;
		}
		p = realloc(p, 7);
		allocs++;
		bytes += 7;
		keep[kept++] = p;
	}
	say("realloc_chain", allocs, bytes, 100, 700);
}

PLACE static void array_of(void)
{
	void *p = reallocarray(NULL, 100, 12);

	p = reallocarray(p, 200, 12);
	keep[kept++] = p;
	if (reallocarray(p, huge, 4) != NULL) /* overflows: the block stays */
		abort();
	say("array_of", 2, 3600, 1, 2400);
}

PLACE static void shrunk_to_nothing(void)
{
	for (int i = 0; i < 10; i++) {
		void *p = realloc(NULL, 64);

		free(realloc(p, 0)); /* glibc frees and answers NULL; others answer a block */
	}
	say("shrunk_to_nothing", 10 + 10 * 0, 640, 0, 0);
}

PLACE static void failing_realloc(void)
{
	void *p = realloc(NULL, 48);

	if (realloc(p, huge) != NULL)
		abort();
	memset(p, 1, 48);
	keep[kept++] = p;
	say("failing_realloc", 1, 48, 1, 48);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *handed_over[THREADS * ROUNDS];
static unsigned handed;

/* Each thread makes blocks that another one frees. */
PLACE static void *made_in_thread(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		void *p = malloc(EACH);

		__asm__ volatile("" : "+r"(p));
		pthread_mutex_lock(&lock);
		handed_over[handed++] = p;
		pthread_mutex_unlock(&lock);
	}
	return arg;
}

static void threads(void)
{
	pthread_t t[THREADS];

	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&t[i], NULL, made_in_thread, NULL) != 0)
			abort();
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	for (unsigned i = 0; i < handed; i += 2) /* every second one is freed, elsewhere */
		free(handed_over[i]);
	say("made_in_thread", THREADS * ROUNDS, THREADS * ROUNDS * EACH, THREADS * ROUNDS / 2,
	    THREADS * ROUNDS * EACH / 2);
}

PLACE static void temporaries(void)
{
	for (int i = 0; i < 250; i++) {
		void *p = malloc(33);

		__asm__ volatile("" : "+r"(p));
		free(p);
	}
	say("temporaries", 250, 250 * 33, 0, 0);
}

int main(int argc, char **argv)
{
	int ways = argc > 1 && !strcmp(argv[1], "portable") ? 4 : 5; /* not every allocator has pvalloc */

	for (int i = 0; i < 1000; i++) {
		void *p = from_malloc((size_t)i);

		if (i % 4)
			free(p);
		else
			keep[kept++] = p;
	}
	say("from_malloc", 1000, 499500, 250, 4ul * 249 * 250 / 2);
	for (int i = 1; i <= 50; i++)
		keep[kept++] = from_calloc((size_t)i, 24);
	say("from_calloc", 50, 24 * 1275, 50, 24 * 1275);
	for (int i = 0; i < ways; i++) {
		size_t align = i < 3 ? (size_t)64 << i : 4096;

		free(from_aligned(i, align, 8192));
		keep[kept++] = from_aligned(i, align, 4096);
	}
	say("from_aligned", 2 * (unsigned)ways, (unsigned)ways * (8192 + 4096), (unsigned)ways, (unsigned)ways * 4096);
	realloc_chain();
	array_of();
	shrunk_to_nothing();
	failing_realloc();
	threads();
	temporaries();
	return 0;
}
