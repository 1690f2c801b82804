/* The answer to "status": what is recorded, by which engines and options, what was lost, and what that costs.
 * A line has a name, then its figures; the options come last, as NAME=VALUE (source).
 * Context    [helper]: reads every thread's counters; a millisecond or so for ten thousand stacks. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Puts the lines behind the string in `to`, which has `size` bytes; what finds no room is left out. `requests`: so many were
 * answered. */
void control_status(char *to, size_t size, uint64_t requests);
