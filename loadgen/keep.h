/* Memory that lives as long as a plan: handed out in pieces, given back as a whole. One thread.
 * A failure is sticky, as in struct buf: `failed` is set, and what is handed out from then on is scrap that may be written
 * but means nothing. So loaders go on and test once, before they offer a result. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "compiler.h"

enum { KEEP_SCRAP = 4096, KEEP_LIMIT = 1 << 30 };

struct keep {
	struct keep_block *blocks; /* newest first */
	size_t bytes;              /* handed out: never above KEEP_LIMIT */
	bool failed;
	struct keep_end *ends; /* newest first */
	_Alignas(16) char scrap[KEEP_SCRAP];
};

/* Zeroed; at most KEEP_SCRAP bytes at once, for structures. */
void *keep_alloc(struct keep *k, size_t bytes);
/* The same of any size; NULL where it fails. */
void *keep_large(struct keep *k, size_t bytes);
/* A copy that ends in NUL; "" where it fails. */
const char *keep_text(struct keep *k, const char *text, size_t len);
const char *keep_printf(struct keep *k, const char *fmt, ...) PRINTF(2, 3);
/* An array that grows: room for item number `count` (of `size` bytes each), or NULL. The array may move; what it occupied
 * is not given back before keep_done(). Capacities are powers of two, so they need not be stored. */
void *keep_grow(struct keep *k, void *array, size_t count, size_t size);
/* keep_done() calls it, before memory goes: for what other libraries own. False (and the caller frees): no memory. */
bool keep_at_end(struct keep *k, void (*end)(void *), void *of);
void keep_done(struct keep *k);
