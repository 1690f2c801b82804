#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool reserve(struct buf *b, size_t extra)
{
	size_t cap = b->cap ? b->cap : 64;
	char *data;

	if (b->failed)
		return false;
	if (extra > SIZE_MAX / 2 - b->len - 1) {
		b->failed = true;
		return false;
	}
	if (b->data && b->len + extra + 1 <= b->cap)
		return true;
	while (cap < b->len + extra + 1)
		cap *= 2;
	data = realloc(b->data, cap);
	if (!data) {
		b->failed = true;
		return false;
	}
	b->data = data;
	b->cap = cap;
	return true;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
	if (!reserve(b, len))
		return;
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void buf_add_str(struct buf *b, const char *text)
{
	buf_add(b, text, strlen(text));
}

void buf_add_char(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list args, again;
	int n;

	if (!reserve(b, 0))
		return;
	va_start(args, fmt);
	va_copy(again, args);
	n = vsnprintf(b->data + b->len, b->cap - b->len, fmt, args);
	if (n < 0) {
		b->failed = true;
	} else if ((size_t)n >= b->cap - b->len) {
		if (reserve(b, (size_t)n))
			(void)vsnprintf(b->data + b->len, b->cap - b->len, fmt, again); /* fits now */
	}
	if (!b->failed)
		b->len += (size_t)n;
	va_end(again);
	va_end(args);
}

/* Large enough that system calls do not count, small beside what a process has anyway. */
static const size_t WORTH_A_WRITE = 256 * 1024;

void buf_pour_all(struct buf *b)
{
	if (!b->drain || b->failed || b->len == 0)
		return;
	b->failed = b->drain(b->drain_context, b->data, b->len) != 0;
	b->len = 0;
	b->data[0] = '\0';
}

void buf_pour(struct buf *b)
{
	if (b->len >= WORTH_A_WRITE)
		buf_pour_all(b);
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->data)
		b->data[0] = '\0';
}

char *buf_take(struct buf *b, size_t *ret_len)
{
	char *data;

	buf_add(b, "", 0);
	if (b->failed) {
		buf_done(b);
		return NULL;
	}
	data = b->data;
	if (ret_len)
		*ret_len = b->len;
	*b = (struct buf){ 0 }; /* moved: the caller owns it */
	return data;
}

void buf_done(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ 0 };
}
