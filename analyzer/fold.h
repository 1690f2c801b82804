/* Profiles out of profiles: what two stacks have in common decides whether they become one. Pure. */
#pragma once
#include <stdbool.h>
#include "compiler.h"
#include "err.h"

struct profile;

/* Frames become function and module only: stacks that differ in lines or addresses are one. With `join_threads`, those of
 * different threads too. The result is in_tree if `p` is. The caller frees *ret_profile; `p` may go before it. 0, -ENOMEM or -E2BIG. */
int fold_names(const struct profile *p, bool join_threads, struct profile **ret_profile, struct err *err) MUST_USE;
