/* From a file to a plan. What kind of plan it is, its content says, not its name. Main thread. */
#pragma once
#include <stddef.h>
#include "dialect.h"
#include "err.h"
#include "testplan.h"

enum { LOAD_FILE_MAX = 64 << 20, LOAD_BODY_MAX = 64 << 20 };

struct load_options {
	struct dialect_values values;
	const char *target; /* in place of the plan's, or NULL */
	bool no_files;      /* nothing but the plan itself is read: for fuzzing */
};

/* -EIO (cannot be read), -EPROTO or -EINVAL ("PATH:LINE: reason"), -ENOTSUP (a kind that is not built), -ENOMEM. */
int load_plan(const char *path, const struct load_options *options, struct testplan **ret_plan,
              struct err *err) MUST_USE;
/* The same of a text; `path` is for messages, and for the files that the plan names: they are beside it. */
int load_plan_text(const char *path, const char *text, size_t len, const struct load_options *options,
                   struct testplan **ret_plan, struct err *err) MUST_USE;
