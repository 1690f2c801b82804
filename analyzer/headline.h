/* The one function by which a stack is called when there is room for one. Pure. */
#pragma once
#include <stdint.h>

struct profile_frame;

/* For memory: the innermost frame that is neither an allocator, nor a wrapper around one, nor the language's runtime. For
 * time: the innermost frame that has a name. `list` are indices into `frames`, leaf first. Returns an index into `list`;
 * 0 if nothing is better. */
uint32_t headline_find(const struct profile_frame *frames, const uint32_t *list, uint32_t depth, int is_memory);
