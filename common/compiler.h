/* Compiler extensions, in one place. C17 with the GNU extensions below and no others:
 * attributes, statement-free cleanup, __builtin_expect, __int128, and asm in the files that say so. */
#pragma once
#include <assert.h>

#define HIDDEN             __attribute__((visibility("hidden")))
#define EXPORT             __attribute__((visibility("default")))
#define TLS_INITIAL_EXEC   __attribute__((tls_model("initial-exec")))
#define PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define MUST_USE           __attribute__((warn_unused_result))
#define MALLOC_LIKE        __attribute__((malloc))
#define NOINLINE           __attribute__((noinline))
#define ALWAYS_INLINE      inline __attribute__((always_inline))
#define NORETURN           __attribute__((noreturn))
#define UNUSED             __attribute__((unused))
#define CONSTRUCTOR(prio)  __attribute__((constructor(prio)))
#define ALIAS_OF(name)     __attribute__((alias(name)))
/* Run `fn(&variable)` when the variable goes out of scope. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))
/* A structure that may look at the bytes of any other. */
#define MAY_ALIAS __attribute__((may_alias))
/* No sanitizer instrumentation: for code that walks stacks it does not own. */
#define NO_SANITIZE __attribute__((no_sanitize("address", "thread", "undefined")))
/* The same on a hot path. What is inlined would be instrumented as its caller is. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define INLINE_NO_SANITIZE NOINLINE UNUSED NO_SANITIZE
#else
#define INLINE_NO_SANITIZE ALWAYS_INLINE
#endif

#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

typedef unsigned __int128 u128;
