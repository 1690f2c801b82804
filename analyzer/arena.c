#include "arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct arena_block {
	struct arena_block *before;
	size_t used, size; /* of data */
	alignas(max_align_t) char data[];
};

enum { FIRST_BYTES = 16 << 10, MOST_BYTES = 1 << 20 };

static void *take(struct arena *a, size_t bytes)
{
	struct arena_block *b = a->last;
	size_t size = a->block_bytes ? a->block_bytes : FIRST_BYTES;

	bytes = (bytes + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	if (!b || b->size - b->used < bytes) {
		if (size < bytes)
			size = bytes;
		b = calloc(1, sizeof(*b) + size);
		if (!b)
			return NULL;
		b->size = size;
		b->before = a->last;
		a->last = b;
		a->block_bytes = size >= MOST_BYTES / 2 ? MOST_BYTES : size * 2;
	}
	b->used += bytes;
	return b->data + b->used - bytes;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 2)
		return NULL;
	return take(a, bytes);
}

char *arena_text(struct arena *a, const char *text, size_t len)
{
	char *copy = arena_array(a, len + 1, 1);

	if (copy && len)
		memcpy(copy, text, len);
	return copy;
}

void arena_done(struct arena *a)
{
	while (a->last) {
		struct arena_block *b = a->last;

		a->last = b->before;
		free(b);
	}
	a->block_bytes = 0;
}
