#include "keep.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 64 << 10, ALIGN = 16 };

struct keep_block {
	struct keep_block *older;
	size_t used, size;
	_Alignas(ALIGN) char data[];
};

struct keep_end {
	struct keep_end *older;
	void (*end)(void *);
	void *of;
};

void *keep_large(struct keep *k, size_t bytes)
{
	struct keep_block *b = k->blocks;
	size_t size = (bytes + ALIGN - 1) / ALIGN * ALIGN;
	void *at;

	if (k->failed || bytes > KEEP_LIMIT || k->bytes + size > KEEP_LIMIT) {
		k->failed = true;
		return NULL;
	}
	if (!b || b->size - b->used < size) {
		size_t room = size > BLOCK_BYTES ? size : BLOCK_BYTES;

		b = calloc(1, sizeof(*b) + room);
		if (!b) {
			k->failed = true;
			return NULL;
		}
		b->size = room;
		b->older = k->blocks;
		k->blocks = b;
	}
	at = b->data + b->used;
	b->used += size;
	k->bytes += size;
	return at;
}

void *keep_alloc(struct keep *k, size_t bytes)
{
	void *at;

	assert(bytes <= KEEP_SCRAP);
	at = keep_large(k, bytes);
	if (!at)
		memset(at = k->scrap, 0, bytes);
	return at;
}

const char *keep_text(struct keep *k, const char *text, size_t len)
{
	char *copy = keep_large(k, len + 1);

	if (!copy)
		return "";
	if (len)
		memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

const char *keep_printf(struct keep *k, const char *fmt, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, fmt);
	len = vasprintf(&text, fmt, args);
	va_end(args);
	if (len < 0) {
		k->failed = true;
		return "";
	}
	const char *copy = keep_text(k, text, (size_t)len);
	free(text);
	return copy;
}

void *keep_grow(struct keep *k, void *array, size_t count, size_t size)
{
	void *larger;

	if (count != 0 && (count < 4 || (count & (count - 1)) != 0))
		return array;
	if (count > KEEP_LIMIT / 2) {
		k->failed = true;
		return NULL;
	}
	larger = keep_large(k, (count ? 2 * count : 4) * size);
	if (larger && count)
		memcpy(larger, array, count * size);
	return larger;
}

bool keep_at_end(struct keep *k, void (*end)(void *), void *of)
{
	struct keep_end *e = keep_large(k, sizeof(*e));

	if (!e)
		return false;
	*e = (struct keep_end){ k->ends, end, of };
	k->ends = e;
	return true;
}

void keep_done(struct keep *k)
{
	for (struct keep_end *e = k->ends; e; e = e->older)
		e->end(e->of);
	k->ends = NULL;
	while (k->blocks) {
		struct keep_block *older = k->blocks->older;

		free(k->blocks);
		k->blocks = older;
	}
	k->bytes = 0;
}
