/* Maps memory in every way that matters, and prints what is left: function, ranges, bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PLACE __attribute__((noinline))
enum { KB = 1024, MB = 1024 * 1024 };

static char *volatile block;

static char *anonymous(void *at, size_t bytes, int flags)
{
	char *got = mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	if (got == MAP_FAILED)
		abort();
	got[0] = 1;
	return got;
}

PLACE static void whole(void)
{
	block = anonymous(NULL, 3 * MB - 100, 0);
	block = anonymous(NULL, MB, 0);
	if (munmap(block, MB) != 0)
		abort();
	printf("whole 1 %d\n", 3 * MB);
}

PLACE static void hole(void)
{
	block = anonymous(NULL, MB, 0);
	if (munmap(block + 256 * KB, 128 * KB) != 0)
		abort();
	printf("hole 2 %d\n", MB - 128 * KB);
}

PLACE static void over(char *at)
{
	block = anonymous(at + 64 * KB, 64 * KB, MAP_FIXED);
	printf("over 1 %d\n", 64 * KB);
}

PLACE static char *under(void)
{
	printf("under 2 %d\n", 448 * KB);
	return block = anonymous(NULL, 512 * KB, 0);
}

PLACE static void grown(void)
{
	block = anonymous(NULL, 256 * KB, 0);
	block = mremap(block, 256 * KB, 4 * MB, MREMAP_MAYMOVE);
	if (block == MAP_FAILED)
		abort();
	printf("grown 1 %d\n", 4 * MB);
}

PLACE static void shrunk(void)
{
	block = anonymous(NULL, MB, 0);
	if (mremap(block, MB, 512 * KB, 0) != block)
		abort();
	printf("shrunk 1 %d\n", 512 * KB);
}

/* Calls that fail leave all as it was. */
PLACE static void failing(void)
{
	block = anonymous(NULL, 128 * KB, 0);
	if (munmap(block + 1, 128 * KB) == 0 ||
	    mremap(block, 128 * KB, (size_t)1 << 60, MREMAP_MAYMOVE) != MAP_FAILED ||
	    mmap(block, 128 * KB, PROT_READ, MAP_PRIVATE | MAP_FIXED, 999, 0) != MAP_FAILED)
		abort();
	block[1] = 2;
	printf("failing 1 %d\n", 128 * KB);
}

PLACE static void no_mappings(void)
{
	free(malloc(64 * MB)); /* libc's own */
	printf("no_mappings 0 0\n");
}

int main(void)
{
	whole();
	hole();
	over(under());
	grown();
	shrunk();
	failing();
	no_mappings();
	return 0;
}
