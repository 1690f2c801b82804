#include "say.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "os_linux.h"

static struct {
	dev_t dev;
	ino_t ino;
	int known;
} stderr_was;

void say_init(void)
{
	struct stat st;

	if (os_fstat(2, &st) == 0) {
		stderr_was.dev = st.st_dev;
		stderr_was.ino = st.st_ino;
		stderr_was.known = 1;
	}
}

static bool is_stderr(int fd)
{
	struct stat st;

	return fd >= 0 && os_fstat(fd, &st) == 0 && st.st_dev == stderr_was.dev && st.st_ino == stderr_was.ino;
}

void say(const char *part, ...)
{
	char line[1024] = "perfprobe: ";
	size_t used = strlen(line);
	int fd = 2, copy = -1;
	va_list args;

	if (!stderr_was.known)
		return;
	if (!is_stderr(fd))
		fd = copy = os_program_descriptor(2); /* our own thread has other descriptors than the program */
	if (copy >= 0 && !is_stderr(copy)) {
		os_close(copy);
		return;
	}
	if (fd < 0)
		return;
	va_start(args, part);
	for (; part; part = va_arg(args, const char *)) {
		size_t len = strlen(part);

		if (len > sizeof(line) - 2 - used)
			len = sizeof(line) - 2 - used;
		memcpy(line + used, part, len);
		used += len;
	}
	va_end(args);
	line[used++] = '\n';
	(void)os_write_all(fd, line, used); /* nobody is left to tell */
	os_close(copy);
}

char *say_number(char *out, uint64_t value)
{
	char digits[21];
	size_t n = 0;

	do
		digits[n++] = (char)('0' + value % 10);
	while (value /= 10);
	for (size_t i = 0; i < n; i++)
		out[i] = digits[n - 1 - i];
	out[n] = '\0';
	return out;
}

void say_append(char *to, size_t size, const char *text)
{
	size_t used = strlen(to), len = strlen(text);

	if (len > size - 1 - used)
		len = size - 1 - used;
	memcpy(to + used, text, len);
	to[used + len] = '\0';
}

const char *say_errno(int code)
{
	const char *text = strerrordesc_np(code < 0 ? -code : code); /* a constant table: no locale, no allocation */

	return text ? text : "unknown error";
}
