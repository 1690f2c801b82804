/* What every unit test includes: cmocka with its required headers, table-case reporting, and buffers that end at a
 * page nobody may touch, so that one byte read or written past the end is a crash and not luck. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "compiler.h"

/* Fails with the name of the table row in front. */
#define T_CHECK(row, condition)                                \
	do {                                                   \
		if (!(condition))                              \
			fail_msg("%s: %s", (row), #condition); \
	} while (0)

#define T_STR(row, got, want)                                                      \
	do {                                                                       \
		if (strcmp((got), (want)) != 0)                                    \
			fail_msg("%s: got '%s', want '%s'", (row), (got), (want)); \
	} while (0)

struct t_guarded {
	uint8_t *data; /* `len` writable bytes; data[len] faults */
	size_t len;
	void *map;
	size_t map_len;
};

static inline struct t_guarded t_guarded_new(const void *content, size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t body = (len + page - 1) / page * page;
	struct t_guarded g = { .len = len, .map_len = body + page };
	uint8_t *map = mmap(NULL, g.map_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(map != MAP_FAILED);
	assert_int_equal(mprotect(map + body, page, PROT_NONE), 0);
	g.map = map;
	g.data = map + body - len;
	if (content && len)
		memcpy(g.data, content, len);
	return g;
}

static inline void t_guarded_free(struct t_guarded *g)
{
	assert_int_equal(munmap(g->map, g->map_len), 0);
	g->data = NULL;
}
