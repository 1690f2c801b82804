/* Any bytes as a file of suppressions: refused with a line's number, or a table whose templates match or do not, in bounded time. The
 * first line is also the text that is matched. */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "suppressions.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct suppressions strict = { 0 }, lenient = { 0 };
	struct err err = { 0 }, ignored = { 0 };
	size_t bad = 0, line = 0;
	char *text;
	int rc = suppressions_add(&strict, (const char *)data, size, "file", NULL, &err);

	assert(rc == 0 || (rc == -EINVAL && strncmp(err.text, "file:", 5) == 0));
	assert(suppressions_add(&lenient, (const char *)data, size, "file", &bad, &ignored) == 0);
	assert((bad == 0) == (rc == 0) && lenient.count + bad <= size + 1);
	while (line < size && data[line] && data[line] != '\n')
		line++;
	text = malloc(line + 1);
	assert(text);
	if (line)
		memcpy(text, data, line);
	text[line] = '\0';
	for (size_t i = 0; i < lenient.count && i < 64; i++) {
		bool matches = suppression_matches(lenient.items[i].template, text);
		size_t first = suppressions_find(&lenient, NULL, text, NULL, lenient.items[i].allocating);

		assert(lenient.items[i].line >= 1);
		assert(!matches || first <= i);
	}
	free(text);
	suppressions_done(&strict);
	suppressions_done(&lenient);
	return 0;
}
