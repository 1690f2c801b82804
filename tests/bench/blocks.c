/* Many live blocks: what they take in memory, and how long a thread that goes on allocating is held up meanwhile.
 *
 * usage: blocks COUNT BYTES STACKS [SECONDS]
 *
 * Makes COUNT blocks of BYTES bytes, touched, from STACKS (1 to 10000) call stacks in turn. Prints one line of JSON: memory of
 * the process in KiB (resident, and its proportional share) and, after SECONDS of malloc + free, the longest gap between two
 * pairs in microseconds, the longest in which the thread did not lose its CPU to another one, and how many were above 1 ms. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { LEVELS = 4, STACKS_MAX = 10000, NS_PER_US = 1000, LOOK_NS = 100 * NS_PER_US, LONG_NS = 1000 * NS_PER_US };

static size_t bytes;
static char *newest; /* holds the address of the one before, and so on: all can be reached */

/* Ten functions that call the next level's by a digit of `path`: 10^LEVELS stacks. */
typedef void *maker(unsigned path, unsigned level);
static maker *const makers[10];

static __attribute__((noinline)) void *make(void)
{
	char *block = malloc(bytes);

	if (!block)
		abort();
	memset(block, 1, bytes);
	if (bytes >= sizeof(newest))
		memcpy(block, &newest, sizeof(newest));
	newest = block;
	return block;
}

#define MAKER(n)                                                                                     \
	static __attribute__((noinline)) void *maker_##n(unsigned path, unsigned level)              \
	{                                                                                            \
		void *block = level == 0 ? make() : makers[path % 10](path / 10, level - 1);         \
		__asm__ volatile("" : "+r"(block) : "i"(n) : "memory"); /* a frame; unlike others */ \
		return block;                                                                        \
	}
MAKER(0)
MAKER(1)
MAKER(2)
MAKER(3)
MAKER(4)
MAKER(5)
MAKER(6)
MAKER(7)
MAKER(8)
MAKER(9)
static maker *const makers[10] = { maker_0, maker_1, maker_2, maker_3, maker_4,
	                           maker_5, maker_6, maker_7, maker_8, maker_9 };

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static long times_preempted(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nivcsw;
}

static unsigned long figure(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? strtoul(at + strlen(name), NULL, 10) : 0;
}

static void print_memory(void)
{
	static char text[8192];
	int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		abort();
	close(fd);
	printf("{\"rss_kib\": %lu, \"pss_kib\": %lu", figure(text, "\nRss:"), figure(text, "\nPss:"));
}

static void print_gaps(uint64_t duration_ns)
{
	uint64_t began = now_ns(), last = began, longest = 0, longest_own = 0, above = 0, pairs = 0;
	long preempted = times_preempted();

	while (last - began < duration_ns) {
		void *block = malloc(64);
		uint64_t t, gap;

		__asm__ volatile("" : "+r"(block) : : "memory");
		free(block);
		pairs++;
		t = now_ns();
		gap = t - last;
		last = t;
		if (gap < LOOK_NS)
			continue;
		above += gap > LONG_NS;
		if (gap > longest)
			longest = gap;
		if (times_preempted() == preempted && gap > longest_own)
			longest_own = gap;
		preempted = times_preempted();
		last = now_ns(); /* looking is not part of a gap */
	}
	printf(", \"pairs\": %lu, \"longest_us\": %lu, \"longest_own_us\": %lu, \"above_1ms\": %lu", pairs,
	       longest / NS_PER_US, longest_own / NS_PER_US, above);
}

int main(int argc, char **argv)
{
	unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	unsigned long stacks = argc > 3 ? strtoul(argv[3], NULL, 10) : 1;

	bytes = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	if (count < 1 || bytes < 1 || stacks < 1 || stacks > STACKS_MAX) {
		fprintf(stderr, "usage: blocks COUNT BYTES STACKS [SECONDS]\n");
		return 2;
	}
	for (unsigned long i = 0; i < count; i++)
		(void)makers[0]((unsigned)(i % stacks), LEVELS); /* never freed */
	print_memory();
	if (argc > 4)
		print_gaps((uint64_t)(strtod(argv[4], NULL) * 1e9));
	printf("}\n");
	return 0;
}
