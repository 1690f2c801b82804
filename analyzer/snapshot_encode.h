/* A model as the bytes of a .snap file (docs/snapshot-format.md), of this version: the inverse of snapshot_read().
 * Sums that a reader checks must fit (model.h's invariants). Hosted programs; any thread. */
#pragma once
#include "compiler.h"
#include "err.h"
#include "snapshot_layout.h"

struct buf;
struct model;

/* Appends the file. 0, -ENOMEM, or -E2BIG with a sentence. */
int snapshot_encode(const struct model *m, struct buf *out, struct err *err) MUST_USE;
/* Appends one section's bytes, not compressed. 0, -ENOMEM, or -E2BIG. LEAKS only where a check was recorded. */
int snapshot_encode_section(const struct model *m, enum snap_section_id id, struct buf *out) MUST_USE;
