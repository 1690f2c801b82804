/* The section OFFCPU of a snapshot.
 * Context    as snapshot_write.h: what the helper counts meanwhile may or may not be in. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct config;
struct snapshot_out;

/* `stacks`, `threads`: ids and records that the sections STACKS and THREADS have. `head`: without rows, for a live file, which has them in its tables. */
void snapshot_offcpu(struct snapshot_out *out, const struct config *config, uint32_t stacks, uint32_t threads,
                     bool head);
