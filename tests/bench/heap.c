/* A large heap of small blocks, and a leak check in it: for how long does the program stand still?
 *
 * usage: heap [MIB [BLOCKS]]
 *
 * Half of the blocks are in lists of a thousand, half in trees of a thousand, all held by one table; a thousand more are lost. Then the
 * check is asked for in LeakSanitizer's words, which whoever is preloaded answers. A thread reads the clock all the while: the
 * longest time between two readings is what the program felt, be it the check's doing or the scheduler's; so that is
 * noted for a second before the check, too. Prints, separated by blanks: blocks, bytes asked for, resident MiB before the check, growth
 * of the most that was resident by the check in MiB, longest gap before in ms, longest gap during it in ms, duration of the check in s, its
 * answer (-1: nobody is there). */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

enum { GROUP = 1000, LOST = 1000 };

struct node {
	struct node *left, *right;
};

static struct node **roots;
static uint64_t bytes_asked;
static uint32_t seed = 1;
static _Atomic uint64_t longest_gap_ns, readings;
static _Atomic int stop;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void *read_clock(void *unused)
{
	uint64_t last = now_ns();

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		uint64_t now = now_ns();

		if (now - last > atomic_load_explicit(&longest_gap_ns, memory_order_relaxed))
			atomic_store_explicit(&longest_gap_ns, now - last, memory_order_relaxed);
		last = now;
		atomic_fetch_add(&readings, 1);
	}
	return unused;
}

/* Sizes from half the mean to one and a half times it, from a fixed sequence. */
static __attribute__((noinline)) struct node *make_node(uint32_t mean)
{
	size_t size;
	struct node *node;

	seed = seed * 1664525 + 1013904223;
	size = mean / 2 + (size_t)((uint64_t)(seed >> 8) * mean >> 24);
	if (size < sizeof(*node))
		size = sizeof(*node);
	node = malloc(size);
	if (!node)
		abort();
	memset(node, 0, size);
	bytes_asked += size;
	return node;
}

static struct node *make_list(uint32_t mean)
{
	struct node *first = NULL;

	for (int i = 0; i < GROUP; i++) {
		struct node *node = make_node(mean);

		node->left = first;
		first = node;
	}
	return first;
}

/* Filled level by level: node i hangs below node (i - 1) / 2. */
static struct node *make_tree(uint32_t mean)
{
	struct node *all[GROUP];

	for (int i = 0; i < GROUP; i++) {
		all[i] = make_node(mean);
		if (i > 0 && i % 2)
			all[(i - 1) / 2]->left = all[i];
		else if (i > 0)
			all[(i - 1) / 2]->right = all[i];
	}
	return all[0];
}

/* A line of /proc/self/status, in MiB. */
static double status_mib(const char *name)
{
	char line[128];
	double kib = 0;
	FILE *file = fopen("/proc/self/status", "r");

	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, name, strlen(name)) == 0)
			kib = strtod(line + strlen(name) + 1, NULL);
	if (file)
		fclose(file);
	return kib / 1024;
}

/* The longest gap since it was last asked for. One that just ended is known when the clock has been read once more. */
static double gap_ms(void)
{
	uint64_t seen = atomic_load(&readings);

	while (atomic_load(&readings) < seen + 2)
		usleep(100);
	return (double)atomic_exchange(&longest_gap_ns, 0) / 1e6;
}

int main(int argc, char **argv)
{
	uint64_t mib = argc > 1 ? strtoull(argv[1], NULL, 10) : 1024,
	         blocks = argc > 2 ? strtoull(argv[2], NULL, 10) : 10000000;
	uint64_t groups = blocks / GROUP;
	pthread_t thread;
	double before, after, resident, growth, seconds;
	uint64_t began;
	int answer = -1;

	if (groups == 0 || mib == 0)
		return 2;
	roots = calloc(groups, sizeof(*roots));
	if (!roots)
		return 1;
	for (uint64_t i = 0; i < groups; i++)
		roots[i] = (i % 2 ? make_tree : make_list)((uint32_t)((mib << 20) / blocks));
	for (int i = 0; i < LOST; i++)
		(void)make_node(48);
	if (pthread_create(&thread, NULL, read_clock, NULL) != 0)
		return 1;
	sleep(1);
	resident = status_mib("VmRSS:");
	growth = status_mib("VmHWM:");
	before = gap_ms();
	began = now_ns();
	if (__lsan_do_recoverable_leak_check)
		answer = __lsan_do_recoverable_leak_check();
	seconds = (double)(now_ns() - began) / 1e9;
	after = gap_ms();
	growth = status_mib("VmHWM:") - growth;
	atomic_store(&stop, 1);
	pthread_join(thread, NULL);
	printf("%llu %llu %.0f %.0f %.3f %.3f %.3f %d\n", (unsigned long long)(groups * GROUP + LOST),
	       (unsigned long long)bytes_asked, resident, growth, before, after, seconds, answer);
	fflush(stdout);
	_exit(0); /* not measured: what is freed, written and checked at an ordinary end */
}
