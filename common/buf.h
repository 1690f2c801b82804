/* Growable bytes. Hosted programs only. The buffer owns its memory until buf_done() or buf_take().
 * A failed growth sets `failed` and later writes are ignored, so callers append freely and test once. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"

struct buf {
	char *data; /* NUL-terminated whenever not NULL */
	size_t len, cap;
	bool failed; /* out of memory at some append */
};

void buf_add(struct buf *b, const void *data, size_t len);
void buf_add_str(struct buf *b, const char *text);
void buf_add_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
/* Forget the content, keep the memory. */
void buf_clear(struct buf *b);
/* Moves the memory to the caller, who free()s it; NULL if an append failed. The buffer is empty afterwards. */
char *buf_take(struct buf *b, size_t *ret_len);
void buf_done(struct buf *b);
