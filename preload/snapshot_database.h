/* The section DATABASE of a snapshot.
 * Context    as snapshot_write.h: what other threads count meanwhile may or may not be in. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct config;
struct snapshot_out;

/* `threads`: records that the section THREADS has. `head`: without rows, for a live file, which has them in its tables. */
void snapshot_database(struct snapshot_out *out, const struct config *config, uint32_t threads, bool head);
