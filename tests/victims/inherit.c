/* inherit N: threads keep blocks of 1000 bytes, made by kept(), while the main thread forks N times, one child after another.
 * A child says what its memory tells at that moment, frees half of it, makes a few blocks in own(), and ends: one line
 * "pid blocks": of kept(), those it did not free. A block that a thread was making during the fork may or may not be there. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLACE __attribute__((noinline))
enum { THREADS = 4, KEPT = 100000, OWN = 7 };

static void *_Atomic blocks[THREADS][KEPT];
static _Atomic int made[THREADS];
static atomic_bool stop;
static void *volatile sink[OWN];

PLACE static void *kept(void)
{
	void *p = malloc(1000);

	__asm__ volatile("" : "+r"(p)); /* not a tail call: the function is on the stack */
	return p;
}

PLACE static void own(void)
{
	for (int i = 0; i < OWN; i++)
		sink[i] = malloc(50);
}

static void *keeper(void *arg)
{
	uintptr_t t = (uintptr_t)arg;

	for (int i = 0; i < KEPT && !atomic_load(&stop); i++) {
		atomic_store(&blocks[t][i], kept());
		atomic_store(&made[t], i + 1);
		for (int k = 0; k < 20; k++) { /* so that it lasts for all forks, with other events */
			void *p = malloc(64);

			__asm__ volatile("" : "+r"(p));
			free(p);
		}
	}
	return NULL;
}

static void child(void)
{
	int here = 0, freed = 0;

	for (int t = 0; t < THREADS; t++) {
		int n = atomic_load(&made[t]);

		here += n;
		for (int i = 0; i < n; i += 2, freed++)
			free(atomic_load(&blocks[t][i]));
	}
	own();
	printf("%d %d\n", getpid(), here - freed);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 10, bad = 0;
	pthread_t t[THREADS];

	for (uintptr_t i = 0; i < THREADS; i++)
		if (pthread_create(&t[i], NULL, keeper, (void *)i) != 0)
			return 1;
	while (atomic_load(&made[THREADS - 1]) == 0)
		continue;
	for (int i = 0; i < n; i++) {
		int status = 1;
		pid_t pid = fork();

		if (pid == 0) {
			child();
			exit(0);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			bad = 1;
		bad |= status;
	}
	atomic_store(&stop, 1);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	return bad != 0;
}
