#include "elf_debuginfod.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The interface is debuginfod_find_debuginfo(3)'s. */
typedef int find_file(void *client, const unsigned char *build_id, int bytes, char **ret_path);

struct elf_debuginfod {
	void *library, *client;
	find_file *find;
	void (*end)(void *client);
};

int elf_debuginfod_open(struct elf_debuginfod **ret, struct err *err)
{
	const char *urls = getenv("DEBUGINFOD_URLS");
	struct elf_debuginfod *d;
	void *(*begin)(void);

	if (!urls || !urls[strspn(urls, " ")])
		return err_set(err, -EDESTADDRREQ, "--debuginfod asks the servers in DEBUGINFOD_URLS, which is empty");
	d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(err, -ENOMEM, "out of memory");
	d->library = dlopen("libdebuginfod.so.1", RTLD_NOW | RTLD_LOCAL);
	if (d->library) {
		/* POSIX has it that a void * from dlsym() holds a function's address. */
		*(void **)&begin = dlsym(d->library, "debuginfod_begin");
		*(void **)&d->end = dlsym(d->library, "debuginfod_end");
		*(void **)&d->find = dlsym(d->library, "debuginfod_find_debuginfo");
		if (begin && d->end && d->find)
			d->client = begin();
	}
	if (!d->client) {
		elf_debuginfod_close(d);
		return err_set(err, -ENOENT, "--debuginfod needs libdebuginfod.so.1 (package libdebuginfod1)");
	}
	*ret = d;
	return 0;
}

void elf_debuginfod_close(struct elf_debuginfod *d)
{
	if (!d)
		return;
	if (d->client)
		d->end(d->client);
	if (d->library)
		(void)dlclose(d->library);
	free(d);
}

bool elf_debuginfod_find(struct elf_debuginfod *d, const uint8_t *id, size_t id_bytes, char ret_path[PATH_MAX])
{
	char *path = NULL;
	int fd = d->find(d->client, id, (int)id_bytes, &path);
	int n;

	if (fd < 0)
		return false;
	(void)close(fd);
	n = snprintf(ret_path, PATH_MAX, "%s", path ? path : "");
	free(path);
	return n > 0 && n < PATH_MAX;
}
