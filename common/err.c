#include "err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void mark_cut(char *text, size_t size)
{
	memcpy(text + size - 4, "...", 4);
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
	va_list args;
	int n;

	if (!err)
		return code;
	va_start(args, fmt);
	n = vsnprintf(err->text, sizeof(err->text), fmt, args);
	va_end(args);
	if (n >= (int)sizeof(err->text))
		mark_cut(err->text, sizeof(err->text));
	err->code = code;
	return code;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
	char inner[sizeof(err->text)];
	va_list args;
	size_t used;
	int n;

	if (!err)
		return -EIO;
	memcpy(inner, err->text, sizeof(inner));
	va_start(args, fmt);
	n = vsnprintf(err->text, sizeof(err->text), fmt, args);
	va_end(args);
	used = n < 0 ? 0 : (size_t)n;
	if (used >= sizeof(err->text)) {
		mark_cut(err->text, sizeof(err->text));
		return err->code;
	}
	n = snprintf(err->text + used, sizeof(err->text) - used, ": %s", inner);
	if (n >= (int)(sizeof(err->text) - used))
		mark_cut(err->text, sizeof(err->text));
	return err->code;
}
