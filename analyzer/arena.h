/* Memory that is freed all at once: what a model, a symbolizer or a profile owns.
 * Errors: NULL when memory runs out. Hosted programs; one thread at a time. */
#pragma once
#include <stddef.h>
#include "compiler.h"

struct arena_block;
struct arena {
	struct arena_block *last;
	size_t block_bytes; /* of the next block; grows */
};

/* Zeroed, aligned for any object. `count * size` must not overflow, else NULL. count 0 gives a valid pointer. */
void *arena_array(struct arena *a, size_t count, size_t size) MUST_USE;
/* Copy of text[0..len) with a NUL behind it. */
char *arena_text(struct arena *a, const char *text, size_t len) MUST_USE;
void arena_done(struct arena *a);
