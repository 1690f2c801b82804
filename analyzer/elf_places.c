#include "elf_places.h"

#include <stdio.h>
#include <string.h>

static const char usual_dir[] = "/usr/lib/debug";

/* False, and an empty path, where it does not fit. */
static bool join(char path[PATH_MAX], const char *a, const char *b, const char *c)
{
	int n = snprintf(path, PATH_MAX, "%s%s%s", a, b, c);

	if (n >= 0 && n < PATH_MAX)
		return true;
	path[0] = '\0';
	return false;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* "/.build-id/ab/cdef" and the ending. */
static void build_id_path(const struct elf_wanted *w, const char *dir, const char *ending, char path[PATH_MAX])
{
	char id[2 * 64 + 2];
	size_t n = 0;

	path[0] = '\0';
	if (w->id_bytes < 2 || w->id_bytes > 64)
		return;
	for (size_t i = 0; i < w->id_bytes; i++)
		n += (size_t)snprintf(id + n, sizeof(id) - n, i == 1 ? "/%02x" : "%02x", w->id[i]);
	if (join(path, "/.build-id/", id, ending)) {
		char tail[PATH_MAX];

		memcpy(tail, path, sizeof(tail));
		(void)join(path, dir, tail, "");
	}
}

/* What `map` ("OLD=NEW") makes of the path; "" if it is not below OLD. */
static void mapped(const char *map, const char *path, char ret[PATH_MAX])
{
	const char *equals = strchr(map, '=');
	size_t len = equals ? (size_t)(equals - map) : 0;

	ret[0] = '\0';
	while (len > 1 && map[len - 1] == '/')
		len--;
	if (len == 0 || strncmp(path, map, len) != 0 || (path[len] != '/' && path[len] != '\0' && map[len - 1] != '/'))
		return;
	(void)join(ret, equals + 1, path[len] && path[len] != '/' ? "/" : "", path + len);
}

bool elf_places_file(const struct elf_places *p, const struct elf_wanted *w, size_t k, char ret_path[PATH_MAX])
{
	ret_path[0] = '\0';
	if (k < p->map_count) {
		mapped(p->maps[k], w->path, ret_path);
		return true;
	}
	k -= p->map_count;
	if (k == 0) {
		if (p->sysroot)
			(void)join(ret_path, p->sysroot, w->path, "");
		return true;
	}
	if (k == 1) {
		/* A local file is another machine's only if its build-id says so. */
		if (!p->sysroot || w->id_bytes)
			(void)join(ret_path, w->path, "", "");
		return true;
	}
	k -= 2;
	if (k >= 2 * p->debug_dir_count || !w->id_bytes)
		return false;
	if (k % 2)
		(void)join(ret_path, p->debug_dirs[k / 2], "/", base_name(w->path));
	else
		build_id_path(w, p->debug_dirs[k / 2], "", ret_path);
	return true;
}

/* Directories of debug files: those named, then the usual one below the sysroot, then the usual one. */
static bool debug_dir(const struct elf_places *p, size_t k, char ret[PATH_MAX])
{
	if (k < p->debug_dir_count)
		return join(ret, p->debug_dirs[k], "", "");
	k -= p->debug_dir_count;
	if (p->sysroot && k == 0)
		return join(ret, p->sysroot, usual_dir, "");
	return k == (p->sysroot ? 1 : 0) && join(ret, usual_dir, "", "");
}

/* The directory of `path` with its slash. */
static void directory_of(const char *path, char ret[PATH_MAX])
{
	int n = snprintf(ret, PATH_MAX, "%.*s", (int)(base_name(path) - path), path);

	if (n < 0 || n >= PATH_MAX)
		ret[0] = '\0';
}

/* In one directory: by build-id, at the place of the module's file, and flat. */
static void debug_in(const char *dir, const struct elf_wanted *w, const char *link, size_t form,
                     char ret_path[PATH_MAX])
{
	char own[PATH_MAX], place[PATH_MAX];

	ret_path[0] = '\0';
	if (form == 0) {
		build_id_path(w, dir, ".debug", ret_path);
		return;
	}
	directory_of(w->path, own);
	if (link[0])
		(void)join(place, link, "", "");
	else if (!join(place, base_name(w->path), ".debug", ""))
		return;
	if (form == 1 && own[0] == '/') {
		char with_dir[PATH_MAX];

		if (join(with_dir, dir, own, ""))
			(void)join(ret_path, with_dir, place, "");
	} else if (form == 2) {
		(void)join(ret_path, dir, "/", place);
	}
}

bool elf_places_debug(const struct elf_places *p, const struct elf_wanted *w, const char *object, const char *link,
                      size_t k, char ret_path[PATH_MAX])
{
	char dir[PATH_MAX];

	ret_path[0] = '\0';
	if (strchr(link, '/'))
		link = "";
	if (k < 2) { /* beside the file, and in .debug beside it */
		directory_of(object, dir);
		if (link[0] && dir[0])
			(void)join(ret_path, dir, k ? ".debug/" : "", link);
		if (strcmp(ret_path, object) == 0)
			ret_path[0] = '\0';
		return true;
	}
	k -= 2;
	if (!debug_dir(p, k / 3, dir))
		return false;
	debug_in(dir, w, link, k % 3, ret_path);
	return true;
}

bool elf_places_alt(const struct elf_places *p, const struct elf_wanted *w, const char *from, size_t k,
                    char ret_path[PATH_MAX])
{
	char dir[PATH_MAX];

	ret_path[0] = '\0';
	if (k == 0) { /* a relative name is relative to the file that has it */
		directory_of(from, dir);
		if (w->path[0] != '/')
			(void)join(ret_path, dir, w->path, "");
		else if (p->sysroot)
			(void)join(ret_path, p->sysroot, w->path, "");
		return true;
	}
	if (k == 1) {
		if (w->path[0] == '/')
			(void)join(ret_path, w->path, "", "");
		return true;
	}
	k -= 2;
	if (!debug_dir(p, k / 3, dir))
		return false;
	if (k % 3 == 0)
		build_id_path(w, dir, ".debug", ret_path);
	else
		(void)join(ret_path, dir, k % 3 == 1 ? "/.dwz/" : "/", base_name(w->path));
	return true;
}

void elf_places_usual(const struct elf_wanted *w, char ret_path[PATH_MAX])
{
	build_id_path(w, usual_dir, ".debug", ret_path);
}
