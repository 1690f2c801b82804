/* What by_thread() found, as text and as JSON. Hosted programs; any thread. */
#pragma once
#include <stddef.h>
#include "by_thread.h"
#include "view.h"

/* `top` 0: all threads. */
void view_threads_text(const struct view *v, const struct model *m, enum profile_metric metric,
                       const struct by_thread *t, size_t top);
void view_threads_json(struct buf *out, const struct model *m, enum profile_metric metric, const struct by_thread *t,
                       size_t top);
