/* The libunwind engine: libunwind.so.8 opened privately (its `backtrace` would shadow the host's). For comparison and as
 * the tests' oracle: it may take the loader's lock, so it is never chosen by itself. [hook], and handlers with that risk. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct unwind_start;

bool unwind_libunwind_init(void);
size_t unwind_libunwind_walk(const struct unwind_start *start, uintptr_t *pcs, size_t max);
/* Does a signal handler return to `pc`? */
bool unwind_is_trampoline(uintptr_t pc);
