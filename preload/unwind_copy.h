/* Another thread's stack as a copy, fetched piece by piece as a walk needs it: what stands there may be unmapped at any moment, and
 * a copy of it is read without a fault.
 * Context    one thread at a time per copy; system calls. The other thread must not run from before the first word until after
 *            the last one, or the words do not belong together: the caller's to find out. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "compiler.h"

enum { STACK_COPY_BYTES = 64 << 10, STACK_COPY_PIECE = 8 << 10 };

struct stack_copy {
	uintptr_t lo, hi; /* [lo, hi) is in `bytes` */
	uint8_t bytes[STACK_COPY_BYTES];
};

static inline void stack_copy_init(struct stack_copy *c)
{
	c->lo = c->hi = 0;
}

/* The word at `at`, a multiple of 8. False: there is no such memory. */
bool stack_copy_word(struct stack_copy *c, uintptr_t at, uintptr_t *ret_word) HIDDEN;
