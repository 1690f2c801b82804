/* Where a search for pointers begins: the program's memory, without that of its allocator and of ours.
 * Context    the process that marks (leak_mark.h): one thread, no libc, memory by os_map(). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "leak_mark.h"

/* One line of /proc/PID/maps, as far as it matters here. */
struct leak_map {
	uint64_t start, end;
	bool readable, writable, shared;
	bool skipped; /* devices, the kernel's own: reading may have effects, or fail */
	bool anonymous, heap;
	bool in_memory; /* shared, and of no file on a disk */
};

/* Reads the line at `text`, which ends before `end`. Returns the next one's start; NULL: not understood, or the end. Pure. */
const char *leak_map_parse(const char *text, const char *end, struct leak_map *ret);

/* All mappings of this process. False: /proc cannot be read, or no memory. */
bool leak_roots_begin(void);
/* What can be read, sorted, without overlaps. */
const struct leak_range *leak_roots_readable(size_t *ret_count);

/* Before leak_roots_search(). [start, end) is no root. */
void leak_roots_exclude(uint64_t start, uint64_t end);
/* The program has mapped [start, end) itself: whatever stands beside it in one mapping of the kernel's, this is no allocator's.
 * By address, before leak_roots_block(). */
void leak_roots_programs(uint64_t start, uint64_t end);
/* glibc's first arena is in [start, end), libc's writable data: it is no root, since its lists lead to what stands behind live
 * blocks, one past their ends. False: it is not to be found there. */
bool leak_roots_arena(uint64_t start, uint64_t end);
/* A block of the program's allocator is at `address`: the memory around it is the allocator's. `libc`: glibc's malloc, whose marks
 * in front of a block say where its memory ends. */
void leak_roots_block(uint64_t address, bool libc);

/* Is the address in memory that is an allocator's? After all blocks were told of. */
bool leak_roots_is_heap(uint64_t address);

/* Calls `search` with every piece of memory that may hold pointers, but what was excluded, and what the allocators own unless
 * `heap_too`. Pages that were never written are left out. */
void leak_roots_search(void (*search)(uint64_t start, uint64_t end), bool heap_too);
/* After it: bytes that were searched, and that could not be. */
uint64_t leak_roots_bytes(void);
uint64_t leak_roots_unread(void);
