/* Linker names to the names people wrote. Hostile input is answered with the input: every step is bounded.
 * Hosted programs; one thread at a time. */
#pragma once
#include <stdbool.h>
#include "buf.h"

/* Appends the readable form of `symbol`: C++ (Itanium), Rust (legacy and v0), without version (@GLIBC_2.2.5) and without the
 * suffixes that compilers put on copies (.constprop.0, .isra.0, .part.0, .cold, .llvm.123); "@plt" stays. What is not mangled, or not
 * validly, is appended as it is. out->failed says that memory ran out. */
void demangle(const char *symbol, struct buf *out);

/* Private to demangle*.c: false, and nothing appended, if name[0..len) is no valid Rust name. */
bool demangle_rust_legacy(const char *name, size_t len, struct buf *out);
bool demangle_rust_v0(const char *name, size_t len, struct buf *out);

enum { DEMANGLE_MAX_IN = 16 << 10, DEMANGLE_MAX_OUT = 64 << 10, DEMANGLE_MAX_DEPTH = 200 };
