/* Any bytes as /proc/kallsyms: the function found for an address has a name, and so has its module. */
#undef NDEBUG
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "kernel_symbols.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const struct kernel_symbols *k, uint64_t address, size_t size)
{
	const char *module = NULL, *name = kernel_symbols_find(k, address, &module);

	if (name)
		assert(module && strlen(name) <= size && strlen(module) <= size + sizeof("[kernel]"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FILE *lines = size ? fmemopen((void *)(uintptr_t)data, size, "r") : NULL;
	struct kernel_symbols *k;

	if (!lines)
		return 0;
	k = kernel_symbols_read(lines);
	(void)fclose(lines);
	assert(k);
	for (uint64_t a = UINT64_MAX; a; a /= 3) {
		ask(k, a, size);
		ask(k, ~a, size);
	}
	for (size_t i = 0; i + 8 <= size; i += 8) {
		uint64_t a;

		memcpy(&a, data + i, sizeof(a));
		ask(k, a, size);
	}
	kernel_symbols_free(k);
	return 0;
}
