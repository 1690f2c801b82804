/* Memory that a forked copy of the process does not have, or finds empty (madvise(2): MADV_DONTFORK, MADV_WIPEONFORK), and what stands
 * in it, for the leak check to search.
 * Errors     what cannot be kept is counted in bytes. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Does anybody use it? One load. [any thread, hooks] */
bool leak_unforked_any(void);
/* [start, start + bytes) is such memory; `wiped`: it is there in a forked child, empty. [any thread, hooks] */
void leak_unforked_add(const void *start, size_t bytes, bool wiped);
/* It is not, or will not be mapped: ranges that reach beyond it keep the rest. [any thread, hooks] */
void leak_unforked_remove(const void *start, size_t bytes);
/* The kernel has moved it, with what was asked for it. [any thread, hooks] */
void leak_unforked_moved(const void *from, size_t old_bytes, const void *to, size_t bytes);

/* Before the threads are held; after that, while they are. [helper] */
void leak_unforked_prepare(void);
void leak_unforked_keep(void);
/* What was kept, aligned; and the bytes that were not. */
const void *leak_unforked_kept(size_t *ret_bytes);
uint64_t leak_unforked_lost(void);

void leak_unforked_fork_child(void);
