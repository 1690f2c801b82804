/* forks N: N children, each allocates (i + 1) blocks of 1000 bytes in child_work() and burns a little CPU; then the parent
 * makes one block of 5000 bytes in parent_work(). Allocating threads run all the while. Prints the children's pids. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void *volatile keep[100];
static atomic_bool stop;

__attribute__((noinline)) static void child_work(int blocks)
{
	uint64_t x = 1;
	struct timespec t;

	for (int i = 0; i < blocks; i++)
		keep[i] = malloc(1000);
	do {
		for (int i = 0; i < 100000; i++)
			x = x * 6364136223846793005u + 1;
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	} while (t.tv_sec == 0 && t.tv_nsec < 100000000);
	__asm__ volatile("" : "+r"(x));
}

__attribute__((noinline)) static void parent_work(void)
{
	keep[99] = malloc(5000);
}

static void *busy(void *arg)
{
	while (!atomic_load(&stop)) {
		void *p = malloc(64);

		__asm__ volatile("" : "+r"(p));
		free(p);
	}
	return arg;
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 3;
	pthread_t t[2];
	int bad = 0;

	for (int i = 0; i < 2; i++)
		if (pthread_create(&t[i], NULL, busy, NULL) != 0)
			return 1;
	for (int i = 0; i < n; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			child_work(i + 1);
			exit(0);
		}
		printf("%d\n", pid);
		fflush(stdout);
	}
	for (int status; wait(&status) > 0;)
		bad |= status;
	parent_work();
	atomic_store(&stop, 1);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	return bad != 0;
}
