/* Stacks that are hard to walk: very deep ones; code that is unloaded, with other code loaded in its place, while other
 * threads allocate. Prints what the test must know.
 *
 *   unwinding deep N              allocates at the end of a recursion of N calls
 *   unwinding reload A B ROUNDS   calls through plugins A and B in turn, each loaded anew */
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLACE __attribute__((noinline))
enum { THREADS = 3 };

static volatile int over;

PLACE static void allocate_here(void)
{
	void *volatile p = malloc(100);

	free(p);
}

PLACE static void down(int n)
{
	volatile int keep = n;

	if (n == 0)
		allocate_here();
	else
		down(n - 1);
	(void)keep;
}

static void *in_thread(void *arg)
{
	while (!over)
		down(20);
	return arg;
}

PLACE static int reload(const char *const plugin[2], int rounds)
{
	uintptr_t last = 0;
	int again = 0;

	for (int i = 0; i < rounds; i++) {
		void *handle = dlopen(plugin[i % 2], RTLD_NOW | RTLD_LOCAL);
		void (*call)(void (*)(void)) = NULL;

		if (handle)
			*(void **)&call = dlsym(handle, "plugin_call");
		if (!call) {
			fprintf(stderr, "%s\n", dlerror());
			return 1;
		}
		again += (uintptr_t)call == last;
		last = (uintptr_t)call;
		for (int k = 0; k < 10; k++)
			call(allocate_here);
		dlclose(handle);
	}
	printf("same address %d\n", again);
	return 0;
}

int main(int argc, char **argv)
{
	pthread_t thread[THREADS];
	int rc;

	if (argc == 3 && strcmp(argv[1], "deep") == 0) {
		down(atoi(argv[2]));
		return 0;
	}
	if (argc != 5 || strcmp(argv[1], "reload") != 0)
		return 2;
	for (int i = 0; i < THREADS; i++) {
		if (pthread_create(&thread[i], NULL, in_thread, NULL) != 0)
			return 1;
	}
	rc = reload((const char *const[]){ argv[2], argv[3] }, atoi(argv[4]));
	over = 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	return rc;
}
