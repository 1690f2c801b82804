/* Durations and sizes as people write them, parsed and printed from one table. No globals, no allocation; any thread.
 * A duration is nanoseconds: "10s", "250ms", "1m30s", "1.5h"; a bare number is seconds.
 * A size is bytes: "512k", "500M", "2GiB", "64"; k, M, G, T are powers of 1024, with or without "B" or "iB".
 * Errors: -EINVAL (not a value of that kind, or a sign, or trailing characters), -ERANGE (does not fit 64 bits).
 * On failure *ret_ is untouched. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)

int units_parse_duration(const char *text, uint64_t *ret_ns) MUST_USE;
int units_parse_bytes(const char *text, uint64_t *ret_bytes) MUST_USE;
int units_parse_count(const char *text, uint64_t *ret_count) MUST_USE; /* decimal digits only */

/* For people: "1.50 ms", "12.0 MiB". Writes at most `size` bytes with NUL; returns `out`. 24 bytes are enough. */
char *units_print_duration(char *out, size_t size, uint64_t ns);
char *units_print_bytes(char *out, size_t size, uint64_t bytes);
/* For reading back: exact, in the largest unit that divides it ("90s", "512k"). */
char *units_format_duration(char *out, size_t size, uint64_t ns);
char *units_format_bytes(char *out, size_t size, uint64_t bytes);
