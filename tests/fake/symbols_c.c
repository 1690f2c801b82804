/* A program whose addresses the symbolizer's test looks up: inlined calls three deep, a cold part, an alias, static
 * functions. Compiled with -O2 -g; its output does not matter. */
#include <stdio.h>
#include <stdlib.h>

static volatile unsigned sink;

static inline __attribute__((always_inline)) unsigned innermost(unsigned x)
{
	sink += x;
	for (unsigned i = 0; i < x; i++)
		sink ^= i * x;
	return sink;
}

static inline __attribute__((always_inline)) unsigned middle(unsigned x)
{
	if (x > 3) {
		unsigned y = innermost(x * 2);

		return y + innermost(y);
	}
	return innermost(x) + 1;
}

unsigned __attribute__((noinline)) outer(unsigned x);
unsigned __attribute__((noinline)) outer(unsigned x)
{
	unsigned y = middle(x);

	y += middle(y + 7);
	return y;
}

static unsigned __attribute__((noinline)) hidden(unsigned x)
{
	char *p = malloc(x + 1);

	if (__builtin_expect(!p, 0)) {
		puts("no memory");
		abort();
	}
	sink += (unsigned)(size_t)p;
	free(p);
	return outer(x) + sink;
}

unsigned __public_alias(unsigned x) __attribute__((alias("public_alias")));
unsigned public_alias(unsigned x);
unsigned __attribute__((noinline)) public_alias(unsigned x)
{
	return hidden(x) * 3;
}

int main(int argc, char **argv)
{
	(void)argv;
	return (int)(public_alias((unsigned)argc) & 1);
}
