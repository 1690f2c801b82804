/* The section OFFCPU of a snapshot.
 * Context    as snapshot_write.h: what the helper counts meanwhile may or may not be in. */
#pragma once
#include <stdint.h>

struct config;
struct snapshot_out;

/* `stacks`, `threads`: ids and records that the sections STACKS and THREADS have. */
void snapshot_offcpu(struct snapshot_out *out, const struct config *config, uint32_t stacks, uint32_t threads);
