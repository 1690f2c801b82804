/* JSONPath over JSON text where it lies: $ .name ['name'] [n] [-n] [from:to] [a,b] .* [*] ..name [?(@.x == 'y')].
 * Compiled once; looking builds no tree and allocates nothing, so a response costs one pass over what the path crosses.
 * Both path and text may be hostile: steps, depth and visited values are bounded. Pure; any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "err.h"
#include "keep.h"

enum { JSONPATH_STEPS_MAX = 32, JSONPATH_DEPTH_MAX = 128, JSONPATH_VISITS_MAX = 1 << 20 };

struct jsonpath;

/* A value as it stands in the text. */
struct jsonpath_value {
	const char *at;
	size_t len;
};

/* Memory is the keep's. -EINVAL with a sentence. `$` may be left out. */
int jsonpath_compile(struct keep *k, const char *text, const struct jsonpath **ret_path, struct err *err) MUST_USE;
/* Match number `index` (from 0) in the order of the text; false if there are not so many. */
bool jsonpath_find(const struct jsonpath *path, const char *json, size_t len, size_t index,
                   struct jsonpath_value *ret_value);
/* How many match. */
size_t jsonpath_count(const struct jsonpath *path, const char *json, size_t len);
/* Can it match more than one value? */
bool jsonpath_is_definite(const struct jsonpath *path);
