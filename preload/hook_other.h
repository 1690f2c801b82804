/* Other allocators beside ours: jemalloc, tcmalloc, mimalloc, a malloc of the program's own.
 * Context    start-up, under GUARD_ALLOC. */
#pragma once
#include "config.h"

/* Finds out who answers the program's malloc, and leads calls that would pass us by to the recorder (redirect.h). Says what
 * cannot be followed. */
void hook_other_init(const struct config *config);
