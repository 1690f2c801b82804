#include "answer.h"

#include <string.h>
#include <strings.h>

bool answer_header(const struct answer *a, const char *name, size_t index, const char **ret_value, size_t *ret_len)
{
	size_t name_len = strlen(name);

	for (const char *line = a->head, *end = a->head + a->head_len; line < end;) {
		const char *next = memchr(line, '\n', (size_t)(end - line)), *stop = next ? next : end;

		if ((size_t)(stop - line) > name_len && line[name_len] == ':' &&
		    strncasecmp(line, name, name_len) == 0 && index-- == 0) {
			const char *value = line + name_len + 1;

			while (value < stop && (*value == ' ' || *value == '\t'))
				value++;
			while (stop > value && (stop[-1] == '\r' || stop[-1] == ' ' || stop[-1] == '\t'))
				stop--;
			*ret_value = value;
			*ret_len = (size_t)(stop - value);
			return true;
		}
		line = next ? next + 1 : end;
	}
	return false;
}
