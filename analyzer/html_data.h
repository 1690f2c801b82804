/* A recording as the page holds it: one JSON object, docs/page-format.md.
 * Ownership  nothing is kept. Errors: memory exhaustion is sticky in the buffer, or -ENOMEM, -E2BIG with a sentence.
 * Context    hosted programs; one thread at a time (it asks the symbolizer). */
#pragma once
#include <stddef.h>
#include "buf.h"
#include "compiler.h"
#include "err.h"
#include "json_write.h"

struct model;
struct symbolizer;

int html_data(const char *name, const struct model *m, struct symbolizer *symbols, struct buf *out,
              struct err *err) MUST_USE;
