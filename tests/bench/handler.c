/* How long the handler of a CPU sample takes, on a stack 30 functions deep; real samples of this very program.
 *
 * usage: handler warm|cold|unknown [SECONDS]      (options by PERFPROBE_*, as for the library)
 *
 * warm     the program computes; the handler finds its data in the caches
 * cold     the program walks 64 MB, so it does not
 * unknown  the rules for every frame have been forgotten and are decoded anew
 *
 * Links the library's modules; a handler in front of theirs takes the time. Arming the perf event for the next sample, a system
 * call that the handler ends with, is done and timed here: most of it is the kernel's, or the hypervisor's, timer. Prints
 * one line of JSON, in nanoseconds, without what reading the clock twice takes. */
#include <linux/perf_event.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "atomic.h"
#include "eh_frame.h"
#include "guard.h"
#include "modules.h"
#include "sampler.h"
#include "start.h"
#include "threads.h"
#include "unwind.h"

enum { MAX_SAMPLES = 1 << 20, WALKED_BYTES = 64 << 20, LINE_BYTES = 64, DEPTH = 30, ROUNDS_MAX = 60, WARM_UP = 20 };

static uint32_t handler_ns[MAX_SAMPLES], rearm_ns[MAX_SAMPLES];
static _Atomic uint32_t samples;
static size_t frames;
static void (*handler)(int, siginfo_t *, void *);
static uint64_t end_ns;
static void (*work)(void);
static char *walked;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void on_sample(int sig, siginfo_t *info, void *ucontext)
{
	struct thread *th = tls_self.thread;
	uint32_t n = load_relaxed(&samples);
	int fd = -1;
	uint64_t began, done, armed;

	if (n >= WARM_UP)
		fd = exchange_acq_rel(&th->perf_fd, -1); /* hidden: the handler has nothing to arm */
	began = now_ns();
	handler(sig, info, ucontext);
	done = now_ns();
	if (fd >= 0) {
		store_relaxed(&th->perf_fd, fd);
		(void)ioctl(fd, PERF_EVENT_IOC_REFRESH, 1);
	}
	armed = now_ns();
	if (n == WARM_UP) { /* once: how deep it was */
		uintptr_t regs[DW_REGS], pcs[STACKS_MAX_DEPTH];
		struct unwind_start start = unwind_from_signal(ucontext, regs, 0, 0);

		frames = unwind_walk(&start, pcs, STACKS_MAX_DEPTH);
	}
	if (n < MAX_SAMPLES) {
		handler_ns[n] = (uint32_t)(done - began);
		rearm_ns[n] = (uint32_t)(armed - done);
	}
	store_relaxed(&samples, n + 1);
}

static void compute(void)
{
	uint64_t x = 1;

	while (now_ns() < end_ns)
		for (int i = 0; i < 1000; i++)
			x = x * 6364136223846793005u + 1;
	__asm__ volatile("" : : "r"(x));
}

static void walk_memory(void)
{
	while (now_ns() < end_ns)
		for (size_t i = 0; i < WALKED_BYTES; i += LINE_BYTES)
			walked[i]++;
}

static void forget(void)
{
	while (now_ns() < end_ns) {
		uint32_t before = load_relaxed(&samples);

		unwind_forget();
		while (load_relaxed(&samples) == before && now_ns() < end_ns)
			;
	}
}

/* Ten functions that call each other in turn, DEPTH deep. */
static int left = DEPTH;
static void level_0(void);
#define LEVEL(n, next)                                             \
	static __attribute__((noinline)) void level_##n(void)      \
	{                                                          \
		left--;                                            \
		if (left > 0)                                      \
			level_##next();                            \
		else                                               \
			work();                                    \
		__asm__ volatile("" : : : "memory"); /* a frame */ \
	}
LEVEL(9, 0)
LEVEL(8, 9)
LEVEL(7, 8)
LEVEL(6, 7)
LEVEL(5, 6)
LEVEL(4, 5)
LEVEL(3, 4)
LEVEL(2, 3)
LEVEL(1, 2)
LEVEL(0, 1)

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t clock_cost_ns(void)
{
	uint64_t least = UINT64_MAX;

	for (int i = 0; i < 1000; i++) {
		uint64_t began = now_ns(), took = now_ns() - began;

		if (took < least)
			least = took;
	}
	return least;
}

/* Percentiles of figures[WARM_UP..n). */
static void print_percentiles(const char *name, uint32_t *figures, uint32_t n, uint64_t clock_ns)
{
	figures += WARM_UP;
	n -= WARM_UP;
	qsort(figures, n, sizeof(figures[0]), compare);
	printf(", \"%s\": {\"p50\": %ld, \"p99\": %ld}", name, (long)figures[n / 2] - (long)clock_ns,
	       (long)figures[n - n / 100 - 1] - (long)clock_ns);
}

/* As the library's constructor, without the hooks. */
static void start_sampling(void)
{
	struct tls *t = &tls_self;
	struct sigaction theirs, ours;
	const char *why;

	if (!start_recorder() || !threads_attach(t, 0, 0))
		exit(1);
	(void)unwind_init((enum config_unwind)start_config()->unwind, &why);
	(void)modules_scan();
	sampler_init(start_config());
	memset(&ours, 0, sizeof(ours));
	if (sigaction(SAMPLER_SIGNAL, NULL, &theirs) != 0 || !(theirs.sa_flags & SA_SIGINFO))
		exit(1);
	handler = theirs.sa_sigaction;
	ours = theirs;
	ours.sa_sigaction = on_sample;
	if (sigaction(SAMPLER_SIGNAL, &ours, NULL) != 0)
		exit(1);
	sampler_thread_start(t);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*work)(void);
	} kinds[] = { { "warm", compute }, { "cold", walk_memory }, { "unknown", forget } };
	double seconds = argc > 2 ? strtod(argv[2], NULL) : 2;
	uint64_t clock_ns = clock_cost_ns();
	uint32_t n;

	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(kinds); i++)
		if (strcmp(argv[1], kinds[i].name) == 0)
			work = kinds[i].work;
	walked = calloc(1, WALKED_BYTES);
	if (!work || !walked)
		return 2;
	start_sampling();
	for (int i = 0; i < ROUNDS_MAX && load_relaxed(&samples) <= 2 * WARM_UP; i++) { /* more where time is scarce */
		left = DEPTH;
		end_ns = now_ns() + (uint64_t)(seconds * 1e9);
		level_0();
	}
	sampler_thread_stop(&tls_self);
	n = load_relaxed(&samples);
	n = n > MAX_SAMPLES ? MAX_SAMPLES : n;
	if (n <= 2 * WARM_UP || frames < DEPTH)
		return 1;
	printf("{\"engine\": \"%s\", \"samples\": %u, \"frames\": %zu", sampler_engine()->name, n - WARM_UP, frames);
	print_percentiles("handler", handler_ns, n, clock_ns);
	print_percentiles("rearm", rearm_ns, n, clock_ns);
	printf("}\n");
	free(walked);
	return 0;
}
