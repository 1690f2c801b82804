/* sizes BYTES COUNT: COUNT live blocks of BYTES each, allocated in live_blocks(); as much again allocated and freed. */
#include <stdlib.h>

static void *volatile keep;

__attribute__((noinline)) static void *live_blocks(size_t bytes)
{
	void *p = malloc(bytes);

	__asm__ volatile("" : "+r"(p));
	return p;
}

__attribute__((noinline)) static void *freed_blocks(size_t bytes)
{
	void *p = malloc(bytes);

	__asm__ volatile("" : "+r"(p));
	return p;
}

int main(int argc, char **argv)
{
	size_t bytes = argc > 1 ? strtoul(argv[1], NULL, 10) : 100;
	long count = argc > 2 ? strtol(argv[2], NULL, 10) : 1000;

	for (long i = 0; i < count; i++) {
		keep = live_blocks(bytes);
		free(freed_blocks(bytes));
	}
	return 0;
}
