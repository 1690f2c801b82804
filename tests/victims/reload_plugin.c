/* One of two objects that reloads.c has at the same addresses, one after the other: NAME tells them apart, and PAD has their
 * code at different places in them. */
#include <stdlib.h>

#define JOIN(a, b) a##b
#define KEEP(name) JOIN(name, _kept)

__attribute__((noinline, used)) static void padding(void)
{
	__asm__ volatile(".skip " PAD ", 0x90");
}

__attribute__((noinline)) static void KEEP(NAME)(void)
{
	void *volatile p = malloc(24);

	(void)p;
}

void plugin_keep(int n);
void plugin_keep(int n)
{
	for (int i = 0; i < n; i++)
		KEEP(NAME)();
}
