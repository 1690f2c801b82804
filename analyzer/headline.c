#include "headline.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "compiler.h"
#include "profile.h"

/* Whole names. */
static const char *const allocators[] = {
	"malloc",
	"calloc",
	"realloc",
	"reallocarray",
	"free",
	"posix_memalign",
	"aligned_alloc",
	"memalign",
	"valloc",
	"pvalloc",
	"strdup",
	"strndup",
	"xmalloc",
	"xcalloc",
	"xrealloc",
	"xstrdup",
	"zmalloc",
	"zcalloc",
	"zrealloc",
	"ztrymalloc_usable",
	"zmalloc_usable",
	"g_malloc",
	"g_malloc0",
	"g_realloc",
	"g_strdup",
	"ngx_alloc",
	"ngx_calloc",
	"ngx_palloc",
	"ngx_pnalloc",
	"ngx_pcalloc",
	"palloc",
	"palloc0",
	"MemoryContextAlloc",
	"sqlite3Malloc",
	"sqlite3_malloc",
	"sqlite3MemMalloc",
	"PyMem_Malloc",
	"PyMem_RawMalloc",
	"PyObject_Malloc",
	"_PyMem_RawMalloc",
	"CRYPTO_malloc",
	"CRYPTO_zalloc",
	"__rust_alloc",
	"__rdl_alloc",
	"__rust_realloc",
	"__rdl_realloc",
};
/* Beginnings. */
static const char *const runtime_names[] = {
	"operator new", "std::",       "__gnu_cxx::", "alloc::",        "<alloc::", "core::",
	"<core::",      "void* std::", "__libc_",     "__interceptor_", "je_",      "tc_",
};
static const char *const runtime_modules[] = {
	"libc.so",      "libc-",       "ld-linux",    "libstdc++",   "libc++",
	"libperfprobe", "libjemalloc", "libtcmalloc", "libmimalloc",
};

static bool begins(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

static bool is_special(const struct profile_frame *f)
{
	return f->function[0] == '[';
}

static bool is_allocator(const struct profile_frame *f)
{
	size_t len = strlen(f->function);

	if (len > 4 && strcmp(f->function + len - 4, "@plt") == 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(allocators); i++)
		if (strcmp(f->function, allocators[i]) == 0)
			return true;
	for (size_t i = 0; i < ARRAY_LEN(runtime_names); i++)
		if (begins(f->function, runtime_names[i]))
			return true;
	return false;
}

static bool is_runtime(const struct profile_frame *f)
{
	const char *slash = strrchr(f->module, '/');
	const char *name = slash ? slash + 1 : f->module;

	for (size_t i = 0; i < ARRAY_LEN(runtime_modules); i++)
		if (begins(name, runtime_modules[i]))
			return true;
	return false;
}

uint32_t headline_find(const struct profile_frame *frames, const uint32_t *list, uint32_t depth, int is_memory)
{
	uint32_t second = 0;
	bool has_second = false;

	for (uint32_t i = 0; i < depth; i++) {
		const struct profile_frame *f = &frames[list[i]];

		if (is_special(f))
			continue;
		if (!is_memory)
			return i;
		if (is_allocator(f))
			continue;
		if (!is_runtime(f))
			return i;
		if (!has_second) {
			second = i;
			has_second = true;
		}
	}
	return second;
}
