/* The functions that jemalloc, tcmalloc and mimalloc add to malloc's. Weak: the program runs without any of them, and calls those
 * it finds. Prints as victim_known does: function, allocations, bytes, live blocks, live bytes; at last which it found, by name
 * and by dlsym. */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLACE __attribute__((noinline))
#define WEAK  __attribute__((weak))

WEAK void *mallocx(size_t size, int flags);
WEAK void *rallocx(void *ptr, size_t size, int flags);
WEAK size_t xallocx(void *ptr, size_t size, size_t extra, int flags);
WEAK void dallocx(void *ptr, int flags);
WEAK void sdallocx(void *ptr, size_t size, int flags);
WEAK void *tc_malloc(size_t size);
WEAK void *tc_calloc(size_t n, size_t size);
WEAK void *tc_realloc(void *ptr, size_t size);
WEAK void *tc_memalign(size_t align, size_t size);
WEAK int tc_posix_memalign(void **ret, size_t align, size_t size);
WEAK void tc_free(void *ptr);
WEAK void *tc_new(size_t size);
WEAK void tc_delete(void *ptr);
WEAK void *mi_malloc(size_t size);
WEAK void *mi_malloc_small(size_t size);
WEAK void *mi_zalloc(size_t size);
WEAK void *mi_calloc(size_t n, size_t size);
WEAK void *mi_realloc(void *ptr, size_t size);
WEAK void *mi_malloc_aligned(size_t size, size_t align);
WEAK char *mi_strdup(const char *text);
WEAK void *mi_new(size_t size);
WEAK void mi_free(void *ptr);
WEAK void *mi_heap_new(void);
WEAK void *mi_heap_malloc(void *heap, size_t size);
WEAK void mi_heap_destroy(void *heap);

static void *volatile keep[4096];
static unsigned kept;
static void *volatile last;

static void *stay(void *block)
{
	if (!block)
		abort();
	keep[kept++] = block;
	return block;
}

static void say(const char *name, unsigned long allocs, unsigned long bytes, unsigned long live,
                unsigned long live_bytes)
{
	printf("%s %lu %lu %lu %lu\n", name, allocs, bytes, live, live_bytes);
}

PLACE static void by_mallocx(void)
{
	for (int i = 0; i < 100; i++) {
		last = mallocx(100, 0);
		memset(last, 1, 100);
		if (i % 4 == 0)
			stay(last);
		else if (i % 4 == 1)
			free(last);
		else if (i % 4 == 2)
			dallocx(last, 0);
		else
			sdallocx(last, 100, 0);
	}
	say("by_mallocx", 100, 10000, 25, 2500);
}

PLACE static void by_rallocx(void)
{
	for (int i = 0; i < 10; i++) {
		last = mallocx(50, 0);
		last = rallocx(last, 5000, 0);
		stay(last);
	}
	say("by_rallocx", 20, 50500, 10, 50000);
}

/* Blocks of 100 and 97 bytes are of one size class: always possible. Far more never is. */
PLACE static void by_xallocx(void)
{
	for (int i = 0; i < 10; i++) {
		last = mallocx(100, 0);
		if (xallocx(last, 97, 0, 0) < 97 || xallocx(last, 1 << 20, 0, 0) >= 1 << 20)
			abort();
		stay(last);
	}
	say("by_xallocx", 20, 0, 10, 0); /* bytes: the class's size, which is the allocator's business */
}

PLACE static void by_tc_malloc(void)
{
	for (int i = 0; i < 100; i++) {
		last = i % 2 ? tc_malloc(40) : tc_calloc(4, 10);
		if (i % 4 == 0)
			stay(last);
		else if (i % 4 == 1)
			tc_free(last);
		else
			free(last);
	}
	say("by_tc_malloc", 100, 4000, 25, 1000);
}

PLACE static void by_tc_aligned(void)
{
	void *p;

	stay(tc_memalign(256, 300));
	if (tc_posix_memalign(&p, 64, 200) != 0)
		abort();
	stay(p);
	last = tc_realloc(tc_realloc(NULL, 10), 1000);
	stay(last);
	say("by_tc_aligned", 4, 1510, 3, 1500);
}

PLACE static void by_tc_new(void)
{
	for (int i = 0; i < 10; i++) {
		last = tc_new(32);
		if (i % 2)
			tc_delete(last);
		else
			stay(last);
	}
	say("by_tc_new", 10, 320, 5, 160);
}

PLACE static void by_mi_malloc(void)
{
	for (int i = 0; i < 100; i++) {
		switch (i % 5) {
		case 0:
			last = mi_malloc(80);
			break;
		case 1:
			last = mi_malloc_small(80);
			break;
		case 2:
			last = mi_zalloc(80);
			break;
		case 3:
			last = mi_calloc(8, 10);
			break;
		default:
			last = mi_malloc_aligned(80, 128);
			break;
		}
		if (i % 10 < 5)
			stay(last);
		else if (i % 2)
			mi_free(last);
		else
			free(last);
	}
	say("by_mi_malloc", 100, 8000, 50, 4000);
}

PLACE static void by_mi_more(void)
{
	stay(mi_strdup("nine byte"));
	last = mi_realloc(mi_realloc(NULL, 10), 3000);
	stay(last);
	last = mi_new(70);
	mi_free(last);
	say("by_mi_more", 4, 3090, 2, 3010);
}

PLACE static void by_mi_heap(void)
{
	void *heap = mi_heap_new();

	for (int i = 0; i < 50; i++)
		last = mi_heap_malloc(heap, 100);
	mi_heap_destroy(heap);
	say("by_mi_heap", 50, 5000, 0, 0);
}

/* Present by both ways of asking, or by none. */
static void presence(const char *name, bool by_name)
{
	bool by_dlsym = dlsym(RTLD_DEFAULT, name) != NULL;

	printf("%s %s\n", name, by_name && by_dlsym ? "present" : by_name || by_dlsym ? "in doubt" : "absent");
}

int main(void)
{
	if (mallocx) {
		by_mallocx();
		by_rallocx();
		by_xallocx();
	}
	if (tc_malloc) {
		by_tc_malloc();
		by_tc_aligned();
		by_tc_new();
	}
	if (mi_malloc) {
		by_mi_malloc();
		by_mi_more();
		by_mi_heap();
	}
	presence("mallocx", mallocx != NULL);
	presence("tc_malloc", tc_malloc != NULL);
	presence("mi_malloc", mi_malloc != NULL);
	return 0;
}
