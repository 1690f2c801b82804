/* Functions of a profile by what they used themselves and with all they called. Pure.
 * Context: hosted programs, any thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "err.h"

struct profile;

struct hot_function {
	uint32_t frame;       /* index into the profile's frames */
	uint64_t self, total; /* a function that calls itself counts once a stack in total */
};

/* `p` must come from fold_names(): one frame a function. Sorted by self, then total, largest first. The caller free()s
 * *ret_functions. 0 or -ENOMEM. */
int hot_functions(const struct profile *p, struct hot_function **ret_functions, size_t *ret_count,
                  struct err *err) MUST_USE;
