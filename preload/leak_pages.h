/* Which pages has the process written? The kernel tells; what it never gave memory to is passed over.
 * Context    the process that marks, or [helper] while threads are held: no libc. One at a time.
 * Source     Documentation/admin-guide/mm/pagemap.rst. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct leak_pages {
	int fd;              /* /proc/self/pagemap; negative: it cannot be read */
	bool scan;           /* PAGEMAP_SCAN, Linux 6.7: memory without page tables costs nothing */
	uint64_t words_max;  /* else, pages that may be asked for one by one: of a call, */
	uint64_t words_left; /* and of all */
};

enum leak_pages_of {
	LEAK_PAGES_WRITTEN, /* in private memory: what no file backs, and is not the page of zeros */
	LEAK_PAGES_ANY      /* all that have memory */
};

void leak_pages_open(struct leak_pages *p);
void leak_pages_close(struct leak_pages *p);
/* Calls `visit` with each run of such pages, cut to [start, end). False: the kernel does not tell. *ret_unasked: bytes at the end
 * that were not asked for, since the limit was met. */
bool leak_pages_each(struct leak_pages *p, enum leak_pages_of which, uint64_t start, uint64_t end,
                     void (*visit)(void *context, uint64_t start, uint64_t end), void *context, uint64_t *ret_unasked);
/* The same of a shared mapping whose pages are in memory or nowhere (of no file on a disk): those that anybody has written. False: the
 * kernel does not tell, or some may be in swap space. */
bool leak_pages_shared(uint64_t start, uint64_t end, void (*visit)(void *context, uint64_t start, uint64_t end),
                       void *context, uint64_t *ret_unasked);
