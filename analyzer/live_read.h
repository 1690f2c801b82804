/* A .live file (docs/live-format.md) to a validated model: what a process had recorded when it was killed, or has so far.
 * Errors: as snapshot_read(). What was being written at that moment is left out, never guessed. Hosted, any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "err.h"

struct model;

bool live_is(const uint8_t *data, size_t bytes);
/* `data` may be freed afterwards. The caller frees *ret_model with model_free(). */
int live_read(const uint8_t *data, size_t bytes, struct model **ret_model, struct err *err) MUST_USE;
