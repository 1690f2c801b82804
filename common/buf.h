/* Growable bytes. Hosted programs only. The buffer owns its memory until buf_done() or buf_take().
 * A failed growth sets `failed` and later writes are ignored, so callers append freely and test once.
 * Large results need not be held as a whole: with a `drain`, buf_pour() hands over what has gathered. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"

struct buf {
	char *data; /* NUL-terminated whenever not NULL */
	size_t len, cap;
	bool failed; /* out of memory at some append, or the drain has failed */
	/* Takes data[0..len), all of it: 0, or else the buffer has failed. NULL: the buffer keeps everything. */
	int (*drain)(void *context, const char *data, size_t len);
	void *drain_context;
};

void buf_add(struct buf *b, const void *data, size_t len);
void buf_add_str(struct buf *b, const char *text);
void buf_add_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
/* Hands the content to the drain if there is one and it is worth a write: the content is empty then. For writers to call
 * wherever nobody holds an offset into it. Others need not care: without a drain nothing happens. */
void buf_pour(struct buf *b);
/* The same, however little there is. */
void buf_pour_all(struct buf *b);
/* Forget the content, keep the memory. */
void buf_clear(struct buf *b);
/* Moves the memory to the caller, who free()s it; NULL if an append failed. The buffer is empty afterwards. */
char *buf_take(struct buf *b, size_t *ret_len);
void buf_done(struct buf *b);
