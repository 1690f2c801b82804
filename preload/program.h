/* What kind of program this is.
 * Context    [init]: calls the loader, which may allocate. */
#pragma once
#include <stdbool.h>

/* Does it begin in libc, as everything does that a C compiler linked? One that does not (Go without cgo) may use the thread
 * pointer for its own ends: then no code of libc's, and none of ours, may run in its threads. */
bool program_begins_in_libc(void);
