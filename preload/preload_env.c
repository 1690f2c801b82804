#include "preload_env.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "os_linux.h"

static const char variable[] = "LD_PRELOAD=";
enum { VARIABLE_LEN = sizeof(variable) - 1 };

static const char *file_name(const char *path, size_t len)
{
	const char *name = path;

	for (size_t i = 0; i < len; i++)
		if (path[i] == '/')
			name = path + i + 1;
	return name;
}

void preload_env_filter(const char *list, const char *own, char *to)
{
	size_t own_len = strlen(own), used = 0;

	while (*list) {
		size_t len = strcspn(list, " :");
		const char *name = file_name(list, len);
		size_t name_len = len - (size_t)(name - list);

		if (len && !(name_len == own_len && memcmp(name, own, own_len) == 0)) {
			if (used)
				to[used++] = ':';
			memcpy(to + used, list, len);
			used += len;
		}
		list += len;
		list += *list != '\0';
	}
	to[used] = '\0';
}

void preload_env_remove(char **env)
{
	Dl_info info;
	const char *own;

	if (!dladdr(&variable, &info) || !info.dli_fname)
		return;
	own = file_name(info.dli_fname, strlen(info.dli_fname));
	for (; *env; env++) {
		char *rest;

		if (strncmp(*env, variable, VARIABLE_LEN) != 0)
			continue;
		rest = os_map(strlen(*env) + 1);
		if (!rest)
			return;
		memcpy(rest, variable, VARIABLE_LEN);
		preload_env_filter(*env + VARIABLE_LEN, own, rest + VARIABLE_LEN);
		if (rest[VARIABLE_LEN]) {
			*env = rest;
			continue;
		}
		for (char **e = env; (*e = e[1]); e++)
			continue;
		env--;
	}
}
