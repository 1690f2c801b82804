/* An object that allocates whenever it comes and goes. */
#include <stdlib.h>

static void *mine;

__attribute__((noinline)) static void plugin_kept(void)
{
	void *volatile p = malloc(24);

	(void)p;
}

__attribute__((constructor)) static void come(void)
{
	mine = malloc(333);
	plugin_kept();
}

__attribute__((destructor)) static void go(void)
{
	free(mine);
	free(malloc(444));
}

int plugin_work(int n);
int plugin_work(int n)
{
	int *p = calloc((size_t)n + 1, sizeof(*p));
	int sum = 1;

	for (int i = 0; i <= n; i++)
		sum += p[i];
	free(p);
	return sum;
}
