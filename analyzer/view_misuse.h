/* What the program did wrong with its blocks, as text and JSON: `info` shows all, other commands one line.
 * A block from malloc whose caller is an operator new (linked into the program, so that it could not be told apart when it
 * was recorded) is of that operator's family; a mismatch that this explains is left out. Hosted programs; any thread. */
#pragma once
#include "json_write.h"
#include "view.h"

struct model;
struct symbolizer;

/* Nothing where nothing was found. -ENOMEM. */
int view_misuse_text(const struct view *v, const struct model *m, struct symbolizer *symbols, struct err *err) MUST_USE;
/* "misuse: 2 double frees, ..." and where to look. */
int view_misuse_line(const struct view *v, const struct model *m, struct symbolizer *symbols, struct err *err) MUST_USE;
/* The key "misuse" and its array. */
int view_misuse_json(struct json *j, const struct model *m, struct symbolizer *symbols, struct err *err) MUST_USE;
