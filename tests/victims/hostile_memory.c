/* hostile_memory HOW: allocations at awkward moments. What is live at the end is printed, one line a function: its name,
 * blocks, bytes. The test compares that with the profile, and all output with a run without the library. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define PLACE __attribute__((noinline))
enum { THREADS = 4, SLOTS = 64 };

static void say(const char *name, unsigned long blocks, unsigned long bytes)
{
	printf("%s %lu %lu\n", name, blocks, bytes);
}

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* Allocates for good; not as the last thing of its caller, which would be off the stack then. */
#define KEEP(bytes)                                \
	do {                                       \
		void *volatile p_ = malloc(bytes); \
		(void)p_;                          \
	} while (0)

static double seconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

PLACE static void burn(double s)
{
	double end = seconds(CLOCK_THREAD_CPUTIME_ID) + s;

	while (seconds(CLOCK_THREAD_CPUTIME_ID) < end)
		continue;
}

static void each_thread(unsigned n, void *(*run)(void *))
{
	pthread_t t[64];

	for (uintptr_t i = 0; i < n; i++)
		if (pthread_create(&t[i], NULL, run, (void *)i) != 0)
			abort();
	for (unsigned i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

/* ---- addresses go from thread to thread through realloc ---- */

struct sized {
	size_t bytes;
	char rest[];
};
static _Atomic(struct sized *) slots[SLOTS];

PLACE static void *race(void *arg)
{
	uint32_t seed = (uint32_t)(uintptr_t)arg + 1;

	for (int i = 0; i < 60000; i++) {
		_Atomic(struct sized *) *slot = &slots[next_random(&seed) % SLOTS];
		struct sized *p = atomic_exchange(slot, NULL), *back;
		size_t bytes = sizeof(*p) + next_random(&seed) % 400;

		if (i % 7 == 0 && p) {
			errno = 0;
			if (realloc(p, (size_t)PTRDIFF_MAX) || errno != ENOMEM) /* fails: p lives on */
				abort();
		}
		p = realloc(p, bytes);
		p->bytes = bytes;
		back = atomic_exchange(slot, p);
		free(back);
	}
	return NULL;
}

static void realloc_race(void)
{
	unsigned long blocks = 0, bytes = 0;

	each_thread(THREADS, race);
	for (int i = 0; i < SLOTS; i++) {
		struct sized *p = atomic_load(&slots[i]);

		blocks += p != NULL;
		bytes += p ? p->bytes : 0;
	}
	fprintf(stderr, "race %lu %lu\n", blocks, bytes); /* differs from run to run: not among what is compared */
}

/* ---- objects come and go while others allocate and are sampled ---- */

static _Atomic bool over;

PLACE static void *churn(void *arg)
{
	void *held[32] = { NULL };
	uint32_t seed = 7;

	while (!atomic_load(&over)) {
		void **h = &held[next_random(&seed) % 32];

		free(*h);
		*h = malloc(next_random(&seed) % 2000);
	}
	for (int i = 0; i < 32; i++)
		free(held[i]);
	return arg;
}

static void dlopen_storm(const char *plugin)
{
	pthread_t t[3];
	int calls = 0;

	for (int i = 0; i < 3; i++)
		if (pthread_create(&t[i], NULL, churn, NULL) != 0)
			abort();
	for (int i = 0; i < 300; i++) {
		void *h = dlopen(plugin, i % 2 ? RTLD_NOW : RTLD_LAZY);
		int (*work)(int) = h ? (int (*)(int))dlsym(h, "plugin_work") : NULL;

		if (!work || dlsym(h, "there_is_no_such_name"))
			abort();
		(void)dlerror();
		calls += work(i);
		dlclose(h);
	}
	atomic_store(&over, true);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	say("churn", 0, 0);
	say("plugin_kept", 300, 300 * 24);
	printf("%d\n", calls);
}

/* ---- after a thread's last instruction of its own ---- */

extern int __cxa_thread_atexit_impl(void (*fn)(void *), void *arg, void *dso); /* what thread_local of C++ uses */
extern void *__dso_handle;
static pthread_key_t key;

PLACE static void key_end(void *value)
{
	free(value);
	free(malloc(77));
	KEEP(50); /* kept */
}

PLACE static void thread_local_end(void *value)
{
	free(value);
	KEEP(30); /* kept */
}

static void *with_locals(void *arg)
{
	__cxa_thread_atexit_impl(thread_local_end, malloc(10), &__dso_handle);
	pthread_setspecific(key, malloc(20));
	return arg;
}

static void tls_destructors(void)
{
	pthread_key_create(&key, key_end);
	for (int i = 0; i < 20; i++)
		each_thread(10, with_locals);
	say("with_locals", 0, 0);
	say("key_end", 200, 200 * 50);
	say("thread_local_end", 200, 200 * 30);
}

/* ---- after main ---- */

PLACE static void at_exit(void)
{
	free(malloc(1000));
	KEEP(60);
}

PLACE static __attribute__((destructor)) void at_the_end(void)
{
	free(malloc(1000));
}

/* ---- in signal handlers, on a stack of their own ---- */

static volatile sig_atomic_t handled;

PLACE static void handler(int sig)
{
	void *volatile p = malloc(200);

	(void)sig;
	free(p);
	if (handled++ < 100)
		KEEP(45); /* kept */
}

/* The main thread only computes: a handler that allocates inside malloc would be its own mistake. */
static void in_handlers(void)
{
	static char stack[1 << 16];
	stack_t alt = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction act = { .sa_handler = handler, .sa_flags = SA_ONSTACK | SA_RESTART };
	struct itimerval every = { { 0, 1000 }, { 0, 1000 } }, never = { { 0, 0 }, { 0, 0 } };

	sigaltstack(&alt, NULL);
	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	while (handled < 150)
		burn(0.01);
	setitimer(ITIMER_REAL, &never, NULL);
	say("handler", 100, 4500);
}

/* ---- on stacks that are not a thread's ---- */

enum { COROUTINES = 8, CO_STACK = 64 << 10 };
static ucontext_t co_main, co[COROUTINES];
static int co_now;

PLACE static void co_level(int depth)
{
	if (depth > 0) {
		free(malloc((size_t)depth * 10));
		co_level(depth - 1);
		__asm__ volatile("" ::: "memory");
		return;
	}
	swapcontext(&co[co_now], &co_main);
}

PLACE static void co_keep(void)
{
	KEEP(70);
}

static void co_body(void)
{
	for (int i = 0; i < 400; i++)
		co_level(i % 20);
	co_keep();
}

static void coroutines(void)
{
	for (int i = 0; i < COROUTINES; i++) {
		getcontext(&co[i]);
		co[i].uc_stack.ss_sp = mmap(NULL, CO_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		co[i].uc_stack.ss_size = CO_STACK;
		co[i].uc_link = &co_main;
		makecontext(&co[i], co_body, 0);
	}
	for (int round = 0; round <= 400; round++)
		for (co_now = 0; co_now < COROUTINES; co_now++)
			swapcontext(&co_main, &co[co_now]);
	for (int i = 0; i < COROUTINES; i++)
		munmap(co[i].uc_stack.ss_sp, CO_STACK);
	say("co_level", 0, 0);
	say("co_keep", COROUTINES, COROUTINES * 70);
}

/* ---- many threads ---- */

static pthread_barrier_t all_here;

PLACE static void *small_thread(void *arg)
{
	void *p = malloc(100);

	if (arg)
		pthread_barrier_wait(&all_here);
	free(p);
	KEEP(8);
	return NULL;
}

static void many_threads(void)
{
	enum { AT_ONCE = 1100, OVER_TIME = 4000 };
	static pthread_t t[AT_ONCE];
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	pthread_barrier_init(&all_here, NULL, AT_ONCE);
	for (int i = 0; i < AT_ONCE; i++)
		if (pthread_create(&t[i], &attr, small_thread, (void *)1) != 0)
			abort();
	for (int i = 0; i < AT_ONCE; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < OVER_TIME; i += 4) {
		for (int j = 0; j < 4; j++)
			if (pthread_create(&t[j], &attr, small_thread, NULL) != 0)
				abort();
		for (int j = 0; j < 4; j++)
			pthread_join(t[j], NULL);
	}
	say("small_thread", AT_ONCE + OVER_TIME, (AT_ONCE + OVER_TIME) * 8);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";

	if (!strcmp(how, "realloc_race"))
		realloc_race();
	else if (!strcmp(how, "dlopen_storm"))
		dlopen_storm(argv[2]);
	else if (!strcmp(how, "tls_destructors"))
		tls_destructors();
	else if (!strcmp(how, "after_main"))
		return atexit(at_exit);
	else if (!strcmp(how, "in_handlers"))
		in_handlers();
	else if (!strcmp(how, "coroutines"))
		coroutines();
	else if (!strcmp(how, "many_threads"))
		many_threads();
	else
		return 96;
	return 0;
}
