/* What slice_routes() found, as text and as JSON. Hosted programs; any thread. */
#pragma once
#include <stddef.h>
#include "slice.h"
#include "view.h"

/* `top` 0: all routes. */
void view_routes_text(const struct view *v, const struct model *m, const struct profile *p,
                      const struct slice_routes *r, size_t top);
void view_routes_json(struct buf *out, const struct profile *p, const struct slice_routes *r, size_t top);
