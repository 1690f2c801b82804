/* Any name: something is appended, bounded in length, and what stood before is kept. */
#undef NDEBUG
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "demangle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *name = malloc(size + 1);
	struct buf out = { 0 };

	assert(name);
	if (size)
		memcpy(name, data, size);
	name[size] = '\0';
	buf_add_str(&out, "kept");
	demangle(name, &out);
	assert(!out.failed && memcmp(out.data, "kept", 4) == 0);
	assert(out.data[out.len] == '\0');
	assert(out.len <= 4 + DEMANGLE_MAX_OUT + size);
	assert((name[0] == '\0') == (out.len == 4));
	buf_done(&out);
	free(name);
	return 0;
}
