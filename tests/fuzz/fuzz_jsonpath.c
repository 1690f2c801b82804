/* Any path and any text: what is found lies in the text, and there are as many as are counted. Input: the path, a NUL, the text. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "json_scan.h"
#include "jsonpath.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
	if (!condition)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = memchr(data, 0, size);
	const struct jsonpath *path = NULL;
	struct keep keep = { 0 };
	struct err err = { 0 };
	struct jsonpath_value v;
	const char *text;
	size_t len, count, decoded;
	char *out;

	if (!nul)
		return 0;
	text = (const char *)nul + 1;
	len = size - (size_t)(text - (const char *)data);
	if (jsonpath_compile(&keep, (const char *)data, &path, &err) < 0) {
		require(err.text[0] != '\0');
	} else {
		count = jsonpath_count(path, text, len);
		require(!jsonpath_is_definite(path) || count <= 1 || len > 0);
		if (count < 1000)
			require(!jsonpath_find(path, text, len, count, &v));
		for (size_t i = 0; i < count && i < 8; i++) {
			require(jsonpath_find(path, text, len, i, &v));
			require(v.at >= text && v.at + v.len <= text + len && v.len > 0);
			require(json_scan_value(v.at, v.at + v.len) == v.at + v.len);
			out = malloc(v.len + 1);
			if (out && *v.at == '"' && json_scan_text(v.at, v.len, out, &decoded))
				require(decoded <= v.len);
			free(out);
		}
	}
	keep_done(&keep);
	return 0;
}
