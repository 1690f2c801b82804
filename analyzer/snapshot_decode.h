/* One section's raw bytes into the model's tables. Private to the reader.
 * Sections are decoded in the order of their ids: stacks and threads before what refers to them. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "err.h"

struct model;

/* `id` is one of enum snap_section_id. 0 or -errno with a sentence without the section's name. */
int snapshot_decode(uint32_t id, const uint8_t *raw, size_t bytes, struct model *m, struct err *err) MUST_USE;
