/* Live files made in memory, for tests, from the structures of common/live_layout.h. As snapshot_build.h: everything asserts. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "live_layout.h"
#include "snapshot_build.h"

enum { LIVE_BUILD_PAGE = 4096 };

struct live_build {
	uint8_t *file; /* free()d by the caller */
	size_t bytes;
	uint32_t chunks; /* in the list */
};

/* A header and room for the list. */
struct live_build live_build_new(void);
/* The header in the file: valid until a chunk is added. */
struct live_header *live_build_header(const struct live_build *b);
/* A chunk behind the others, listed and active; its number. */
uint32_t live_build_add(struct live_build *b, enum live_kind kind, uint32_t owner, const void *content, size_t bytes);
/* Where a chunk's bytes stand. */
void *live_build_content(const struct live_build *b, uint32_t chunk);

/* build_example() as the recorder of a running process would have it, in these chunks. */
enum live_example {
	LIVE_EXAMPLE_FRAME,
	LIVE_EXAMPLE_NODES_0,
	LIVE_EXAMPLE_NODES_1,
	LIVE_EXAMPLE_COUNTERS_0,
	LIVE_EXAMPLE_COUNTERS_1,
	LIVE_EXAMPLE_COUNTERS_ENDED,
	LIVE_EXAMPLE_RING_0,
	LIVE_EXAMPLE_RING_1,
	LIVE_EXAMPLE_MISUSE,
	LIVE_EXAMPLE_THREADS,
	LIVE_EXAMPLE_REQUESTS,
	LIVE_EXAMPLE_WORK,
	LIVE_EXAMPLE_OFFCPU,
	LIVE_EXAMPLE_OFFCPU_SAMPLES,
	LIVE_EXAMPLE_DATABASE,
};
struct live_build live_build_example(void);
/* What a reader makes of it: without marks, mmap and leaks; a detail for every row. Static, never freed. */
struct model *live_build_expected(void);
/* The same of the example as an older minor version had it. */
struct model *live_build_expected_of(uint32_t minor);
