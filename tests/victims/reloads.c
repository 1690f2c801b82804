/* reloads FIRST SECOND: each object is loaded, keeps 100 blocks and goes, ten times in turn. Prints how often an object had
 * the addresses of the other. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

static void *load_and_go(const char *path)
{
	void *h = dlopen(path, RTLD_NOW);
	void (*keep)(int) = h ? (void (*)(int))dlsym(h, "plugin_keep") : NULL;
	Dl_info info;

	if (!keep || !dladdr((void *)keep, &info))
		abort();
	keep(100);
	dlclose(h);
	return info.dli_fbase;
}

int main(int argc, char **argv)
{
	int same = 0;

	for (int i = 0; argc > 2 && i < 10; i++) {
		void *first = load_and_go(argv[1]), *second = load_and_go(argv[2]);

		same += first == second;
	}
	printf("%d\n", same);
	return 0;
}
