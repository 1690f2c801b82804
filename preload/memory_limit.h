/* How much memory may this process still take before the kernel ends somebody for it? The tightest limit of its control groups,
 * version 2 (memory.max) and 1 (memory.limit_in_bytes), at its own group and all above it: Documentation/admin-guide/cgroup-v2.rst.
 * Context    [helper]: opens files. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes; UINT64_MAX: there is no limit, or none that can be read. */
uint64_t memory_limit_headroom(void);
/* The tightest limit; UINT64_MAX: there is none, or none that can be read. */
uint64_t memory_limit_bytes(void);
/* Pressure stall information, Documentation/accounting/psi.rst: for how long, in us since its beginning, some task of the process's
 * control group (version 2), or else of the machine, has waited for memory. False: the kernel does not say. */
bool memory_limit_stalled(uint64_t *ret_us);
/* May so many bytes be taken? Else *ret_why says why not, in words. */
bool memory_limit_allows(uint64_t bytes, char *ret_why, size_t why_size);
