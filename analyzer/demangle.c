/*
 * demangle.c - which scheme a name is in; C++; suffixes of copies.
 *
 * C++ goes through libstdc++'s callback interface rather than __cxa_demangle(): a short hostile name can stand for
 * gigabytes of text, and the callback can leave. Leaving by longjmp is safe there because that code holds no heap memory.
 */
#include "demangle.h"

#include <ctype.h>
#include <setjmp.h>
#include <string.h>

/* libstdc++ src/c++98/compatibility and libiberty cp-demangle.c; exported since GLIBCXX_3.4 for the debug mode. 0: done. */
int __gcclibcxx_demangle_callback(const char *mangled, void (*callback)(const char *text, size_t len, void *opaque),
                                  void *opaque);

struct sink {
	struct buf *out;
	size_t most; /* length of out at which to leave */
	jmp_buf leave;
};

static void sink_add(const char *text, size_t len, void *opaque)
{
	struct sink *s = opaque;

	if (len > s->most || s->out->len > s->most - len)
		longjmp(s->leave, 1);
	buf_add(s->out, text, len);
}

static bool demangle_cxx(const char *name, size_t len, struct buf *out)
{
	char copy[DEMANGLE_MAX_IN];
	size_t before = out->len;
	struct sink s;

	memcpy(copy, name, len);
	copy[len] = '\0';
	s.out = out;
	s.most = before + DEMANGLE_MAX_OUT;
	if (setjmp(s.leave) == 0 && __gcclibcxx_demangle_callback(copy, sink_add, &s) == 0 && out->len > before)
		return true;
	if (out->data && !out->failed) {
		out->len = before;
		out->data[before] = '\0';
	}
	return false;
}

/* ".constprop.0", ".cold": what gcc and clang append to a function's copies and parts. */
static const char *const copy_suffixes[] = {
	".constprop", ".isra", ".part", ".cold", ".llvm", ".lto_priv", ".localalias", ".warm", ".hot", ".unlikely",
};

/* The length of `name` without such suffixes; with `all`, cut at the first dot. */
static size_t without_suffix(const char *name, size_t len, bool all)
{
	for (size_t i = 1; i < len; i++) {
		if (name[i] != '.')
			continue;
		if (all)
			return i;
		for (size_t k = 0; k < ARRAY_LEN(copy_suffixes); k++) {
			size_t n = strlen(copy_suffixes[k]);

			if (len - i >= n && memcmp(name + i, copy_suffixes[k], n) == 0 &&
			    (i + n == len || name[i + n] == '.'))
				return i;
		}
	}
	return len;
}

static size_t without_version(const char *symbol)
{
	const char *at = strchr(symbol + 1, '@'); /* what is asked for has a first byte */

	return at ? (size_t)(at - symbol) : strlen(symbol);
}

static void demangle_plain(const char *symbol, struct buf *out)
{
	size_t len = without_version(symbol);
	bool is_cxx = strncmp(symbol, "_Z", 2) == 0, is_rust = strncmp(symbol, "_R", 2) == 0;

	if (is_cxx && len < DEMANGLE_MAX_IN) {
		/* Legacy Rust names have dots inside; the hash ends them. */
		size_t cut = without_suffix(symbol, len, false);

		if (demangle_rust_legacy(symbol, cut, out) ||
		    demangle_cxx(symbol, without_suffix(symbol, len, true), out))
			return;
	}
	if (is_rust && len < DEMANGLE_MAX_IN && demangle_rust_v0(symbol, without_suffix(symbol, len, true), out))
		return;
	buf_add(out, symbol, without_suffix(symbol, len, false));
}

void demangle(const char *symbol, struct buf *out)
{
	static const char plt[] = "@plt";
	size_t len = strlen(symbol);

	if (len == 0)
		return;
	demangle_plain(symbol, out);
	if (len >= sizeof(plt) && strcmp(symbol + len - (sizeof(plt) - 1), plt) == 0)
		buf_add_str(out, plt);
}
