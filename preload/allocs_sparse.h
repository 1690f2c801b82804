/* Blocks of sampled mode, few and far between: address -> struct block.
 * Context    [hook] under GUARD_TABLE, for sampled blocks only; one lock.
 * fork       sparse_fork_prepare() before, sparse_fork_done() after, in both processes. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "allocs.h"

/* As allocs_put(), allocs_take(). */
bool sparse_put(uint64_t address, const struct block *block, struct block *ret_was, bool *ret_replaced);
bool sparse_take(uint64_t address, struct block *ret_block);
bool sparse_find(uint64_t address, struct block *ret_block);
/* As allocs_each(). */
void sparse_each(void (*visit)(void *context, uint64_t address, const struct block *block), void *context);
void sparse_fork_prepare(void);
void sparse_fork_done(void);
bool sparse_hold(uint64_t patience_ns);
