#include "symbolize_package.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LISTS_BYTES = 256 << 20 };

/* Before each list stands this byte, the package's name and a line break. */
static const char mark = '\001';

static void add_list(struct buf *lists, const char *path, const char *name)
{
	FILE *f = fopen(path, "re");
	char block[16384];
	size_t n;

	if (!f)
		return;
	buf_add_char(lists, mark);
	buf_add(lists, name, strcspn(name, ":")); /* without the architecture */
	buf_add_char(lists, '\n');
	while ((n = fread(block, 1, sizeof(block), f)) > 0 && lists->len < MAX_LISTS_BYTES)
		buf_add(lists, block, n);
	(void)fclose(f); /* read only: nothing can be lost */
}

static void load(struct symbolize_packages *p, const char *sysroot)
{
	char dir[PATH_MAX], path[PATH_MAX + 300];
	struct dirent *e;
	DIR *d;

	p->loaded = true;
	(void)snprintf(dir, sizeof(dir), "%s/var/lib/dpkg/info", sysroot ? sysroot : "");
	d = opendir(dir);
	if (!d)
		return;
	while ((e = readdir(d)) != NULL) {
		char name[256];
		size_t len = strlen(e->d_name);

		if (len <= 5 || strcmp(e->d_name + len - 5, ".list") != 0)
			continue;
		(void)snprintf(name, sizeof(name), "%.*s", (int)len - 5, e->d_name);
		(void)snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		add_list(&p->lists, path, name);
	}
	(void)closedir(d);
}

static bool find_line(const struct buf *lists, const char *path, char *ret_package, size_t size)
{
	char line[PATH_MAX + 2];
	int n = snprintf(line, sizeof(line), "\n%s\n", path);
	const char *at, *from;

	if (!lists->data || n < 0 || (size_t)n >= sizeof(line))
		return false;
	at = memmem(lists->data, lists->len, line, (size_t)n);
	from = at ? memrchr(lists->data, mark, (size_t)(at - lists->data)) : NULL;
	if (!from)
		return false;
	(void)snprintf(ret_package, size, "%.*s", (int)strcspn(from + 1, "\n"), from + 1);
	return true;
}

void symbolize_packages_find(struct symbolize_packages *p, const char *sysroot, const char *path, char *ret_package,
                             size_t size, bool debug)
{
	char other[PATH_MAX], package[100] = "";
	bool found;

	ret_package[0] = '\0';
	if (!p->loaded)
		load(p, sysroot);
	found = find_line(&p->lists, path, package, sizeof(package));
	if (!found) { /* /lib and /usr/lib are one where the system is merged, but not in the lists */
		if (strncmp(path, "/usr/", 5) == 0)
			(void)snprintf(other, sizeof(other), "%s", path + 4);
		else
			(void)snprintf(other, sizeof(other), "/usr%.*s", PATH_MAX - 8, path);
		found = find_line(&p->lists, other, package, sizeof(package));
	}
	if (!found && !sysroot) {
		char *real = realpath(path, NULL);

		found = real && strcmp(real, path) != 0 && find_line(&p->lists, real, package, sizeof(package));
		free(real);
	}
	if (!found)
		return;
	/* Debug information is in a package of its own since Debian 9; libc's has another name. */
	(void)snprintf(ret_package, size, "%s%s", package,
	               !debug                          ? ""
	               : strcmp(package, "libc6") == 0 ? "-dbg"
	                                               : "-dbgsym");
}

void symbolize_packages_done(struct symbolize_packages *p)
{
	buf_done(&p->lists);
}
