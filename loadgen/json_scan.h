/* JSON text looked at where it lies: where a value ends, what a string says. No tree, no allocation, no recursion. Pure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Behind the value that begins at `at` (no blanks before it), or NULL where none does. Brackets and strings are matched;
 * what stands between them is not judged. */
const char *json_scan_value(const char *at, const char *end);
const char *json_scan_blanks(const char *at, const char *end);
/* What a string in its quotes says: at most `len` bytes and a NUL go to `out`. False: an escape that JSON does not have. */
bool json_scan_text(const char *quoted, size_t len, char *out, size_t *ret_len);
