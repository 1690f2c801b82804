/* churn FILE THREADS [FORKS]: each thread allocates and frees in churn_once() for ever (30 s at most) and keeps its own count of
 * finished allocations in the mapped FILE, one word a thread, one page a process: what the recording is compared with after
 * this program was killed. Every 64th block is kept. FORKS children do the same. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { MAX_THREADS = 64, MAX_PROCESSES = 8, KEEP = 1 << 16 };

static _Atomic uint64_t *counts; /* of this process */
static void *volatile keep[KEEP];
static atomic_uint kept;

__attribute__((noinline)) static void *churn_once(size_t n)
{
	void *p = malloc(n);

	__asm__ volatile("" : "+r"(p));
	return p;
}

static void *churn(void *arg)
{
	uintptr_t me = (uintptr_t)arg;
	time_t end = time(NULL) + 30;

	for (uint64_t i = 0; i % 65536 != 0 || time(NULL) < end; i++) {
		void *p = churn_once(16 + i % 200);

		/* relaxed: a count of its own, read after this process is gone */
		atomic_store_explicit(&counts[me], i + 1, memory_order_relaxed);
		if (i % 64 == 0)
			keep[atomic_fetch_add(&kept, 1) % KEEP] = p;
		else
			free(p);
	}
	return NULL;
}

static void run(unsigned threads, uint64_t *page)
{
	pthread_t t;

	counts = (_Atomic uint64_t *)page;
	for (uintptr_t i = 1; i < threads; i++)
		if (pthread_create(&t, NULL, churn, (void *)i) != 0)
			exit(1);
	counts[MAX_THREADS] = (uint64_t)getpid(); /* the word after the counts */
	churn(NULL);
}

int main(int argc, char **argv)
{
	int fd = argc > 2 ? open(argv[1], O_RDWR | O_CREAT, 0600) : -1;
	unsigned threads = argc > 2 ? (unsigned)atoi(argv[2]) : 1, forks = argc > 3 ? (unsigned)atoi(argv[3]) : 0;
	uint64_t *pages;

	if (fd < 0 || threads > MAX_THREADS || forks >= MAX_PROCESSES || ftruncate(fd, MAX_PROCESSES * 4096) != 0)
		return 2;
	pages = mmap(NULL, MAX_PROCESSES * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (pages == MAP_FAILED)
		return 2;
	for (unsigned i = 0; i < forks; i++) {
		if (fork() == 0) {
			run(threads, pages + (i + 1) * 512);
			return 0;
		}
	}
	run(threads, pages);
	return 0;
}
