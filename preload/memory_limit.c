#include "memory_limit.h"

#include <limits.h>
#include <string.h>

#include "compiler.h"
#include "os_linux.h"
#include "say.h"

/* Where the hierarchies are mounted, and what their files are called. A path that is not seen from here (a namespace of
 * control groups) is looked for as the root, which is then the process's own. */
static const struct kind {
	const char *mount, *limit, *used;
} v2 = { "/sys/fs/cgroup", "/memory.max", "/memory.current" },
  v1 = { "/sys/fs/cgroup/memory", "/memory.limit_in_bytes", "/memory.usage_in_bytes" };

/* Version 1 has no word for "no limit" but a number near 2^63. */
#define NO_LIMIT (UINT64_C(1) << 60)

/* The number in the file; UINT64_MAX for "max" and where there is none. */
static uint64_t read_number(const char *dir, size_t len, const char *file)
{
	char path[PATH_MAX], text[32];
	uint64_t n = 0;

	if (len + strlen(file) >= sizeof(path))
		return UINT64_MAX;
	memcpy(path, dir, len);
	memcpy(path + len, file, strlen(file) + 1);
	if (os_read_file(path, text, sizeof(text)) <= 0 || text[0] < '0' || text[0] > '9')
		return UINT64_MAX;
	for (const char *c = text; *c >= '0' && *c <= '9'; c++)
		n = n * 10 + (uint64_t)(*c - '0');
	return n;
}

struct least {
	uint64_t limit, left; /* UINT64_MAX: there is none */
};

/* From the group at `path`, which ends at a newline, up to the root. */
static void look(const struct kind *kind, const char *path, struct least *least)
{
	char dir[PATH_MAX];
	size_t root = strlen(kind->mount), len = strcspn(path, "\n");

	if (root + len >= sizeof(dir))
		return;
	memcpy(dir, kind->mount, root);
	memcpy(dir + root, path, len);
	len += root;
	for (;;) {
		uint64_t limit = read_number(dir, len, kind->limit), used = read_number(dir, len, kind->used);

		if (limit < NO_LIMIT && limit < least->limit)
			least->limit = limit;
		if (limit != UINT64_MAX && used != UINT64_MAX) {
			uint64_t left = limit > used ? limit - used : 0; /* none, if the limit was lowered */

			least->left = left < least->left ? left : least->left;
		}
		if (len <= root)
			return;
		while (len > root && dir[len - 1] != '/')
			len--;
		len -= len > root; /* the slash */
	}
}

/* A line of /proc/self/cgroup is "number:controllers:path". */
static struct least least(void)
{
	char text[8192];
	struct least all = { UINT64_MAX, UINT64_MAX };

	if (os_read_file("/proc/self/cgroup", text, sizeof(text)) <= 0)
		return all;
	for (const char *line = text; line; line = strchr(line, '\n'), line += line != NULL) {
		const char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
		const struct kind *kind = NULL;

		if (!path || path > strchr(line, '\n'))
			break;
		if (path == names + 1)
			kind = &v2;
		else if (strstr(names, "memory") && strstr(names, "memory") < path)
			kind = &v1;
		if (kind)
			look(kind, path + 1, &all);
	}
	return all;
}

/* The first line is "some avg10=0.00 avg60=0.00 avg300=0.00 total=0". */
static bool read_stalled(const char *path, uint64_t *ret_us)
{
	static const char field[] = "total=";
	char text[256], *total;
	uint64_t n = 0;

	if (os_read_file(path, text, sizeof(text)) <= 0 || strncmp(text, "some ", 5) != 0)
		return false;
	total = strstr(text, field);
	if (!total)
		return false;
	for (const char *c = total + sizeof(field) - 1; *c >= '0' && *c <= '9'; c++)
		n = n * 10 + (uint64_t)(*c - '0');
	*ret_us = n;
	return true;
}

bool memory_limit_stalled(uint64_t *ret_us)
{
	char text[8192], path[PATH_MAX];
	const char *own;

	if (os_read_file("/proc/self/cgroup", text, sizeof(text)) > 0) {
		own = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
		if (own) {
			own = strchr(own, '/');
			path[0] = '\0';
			say_append(path, sizeof(path), v2.mount);
			if (own)
				text[(size_t)(own - text) + strcspn(own, "\n")] = '\0';
			say_append(path, sizeof(path), own && own[1] ? own : "");
			say_append(path, sizeof(path), "/memory.pressure");
			if (read_stalled(path, ret_us))
				return true;
		}
	}
	return read_stalled("/proc/pressure/memory", ret_us);
}

uint64_t memory_limit_headroom(void)
{
	return least().left;
}

uint64_t memory_limit_bytes(void)
{
	return least().limit;
}

bool memory_limit_allows(uint64_t bytes, char *ret_why, size_t why_size)
{
	uint64_t room = memory_limit_headroom();
	char digits[24];

	ret_why[0] = '\0';
	if (room >= bytes)
		return true;
	say_append(ret_why, why_size, "the control group's memory limit leaves ");
	say_append(ret_why, why_size, say_number(digits, room >> 20));
	say_append(ret_why, why_size, " MiB, and the search may need ");
	say_append(ret_why, why_size, say_number(digits, bytes >> 20));
	return false;
}
