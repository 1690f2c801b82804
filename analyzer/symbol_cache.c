/*
 * symbol_cache.c - the directory of the symbol cache.
 *
 * A file is written under a name of its own and renamed: whoever has opened the old one keeps it whole, and of two that
 * write at the same time the later one stays. What the other one found is found again some day; a lock could not be had on
 * every file system, and would make readers wait.
 *
 * Names from the cache go into reports without a second look, so it must be ours: the directory and the files belong to the
 * user who runs this and nobody else may write to them. The directory that holds it must be ours as well before it is made:
 * root with another user's HOME would leave one there that this user could not write to.
 */
#include "symbol_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* All files together; when it is passed, the oldest go until three quarters are left. */
#define MAX_TOTAL_BYTES (INT64_C(256) << 20)
enum { MAX_FILES = 4096, TOUCH_AFTER_S = 24 * 3600, ABANDONED_AFTER_S = 3600 };

static const char ending[] = ".syms", temporary[] = ".tmp-";

struct symbol_cache {
	int dir;
	bool written;
	unsigned serial;
};

/* ---- the directory ------------------------------------------------------------------------------------------------ */

static bool is_ours_alone(const struct stat *st)
{
	return st->st_uid == geteuid() && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

/* The directory `path`, made if the one around it is ours. -1: it cannot be used. */
static int open_or_make(const char *path)
{
	char parent[PATH_MAX];
	const char *slash = strrchr(path, '/');
	struct stat st;
	int fd;

	if (stat(path, &st) < 0) {
		int n = snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - path) + 1 : 1,
		                 slash ? path : ".");

		if (n < 0 || (size_t)n >= sizeof(parent) || stat(parent, &st) < 0 || st.st_uid != geteuid() ||
		    (mkdir(path, 0700) < 0 && errno != EEXIST))
			return -1;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && (fstat(fd, &st) < 0 || !is_ours_alone(&st))) {
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

/* The directory `name` in `base`; `base` itself is made too if `make_base`. */
static int open_below(const char *base, const char *name, bool make_base)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/%s", base, name);
	struct stat st;

	if (n < 0 || (size_t)n >= sizeof(path))
		return -1;
	if (make_base && stat(base, &st) < 0) {
		int fd = open_or_make(base);

		if (fd < 0)
			return -1;
		(void)close(fd); /* read only: nothing can be lost */
	}
	return open_or_make(path);
}

static int open_directory(void)
{
	const char *told = getenv("PERFPROBE_SYMBOL_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	char path[PATH_MAX];
	int n;

	if (told && strcmp(told, "off") == 0)
		return -1;
	if (told && told[0])
		return open_or_make(told);
	if (xdg && xdg[0] == '/') /* basedir-spec: relative ones are to be ignored */
		return open_below(xdg, "perfprobe", true);
	if (!home || home[0] != '/')
		return -1;
	n = snprintf(path, sizeof(path), "%s/.cache", home);
	return n > 0 && (size_t)n < sizeof(path) ? open_below(path, "perfprobe", true) : -1;
}

struct symbol_cache *symbol_cache_open(void)
{
	int dir = open_directory();
	struct symbol_cache *c = dir >= 0 ? calloc(1, sizeof(*c)) : NULL;

	if (c)
		c->dir = dir;
	else if (dir >= 0)
		(void)close(dir);
	return c;
}

/* ---- keeping it small --------------------------------------------------------------------------------------------- */

struct aged {
	struct timespec used;
	int64_t bytes;
	char name[96];
};
struct listing {
	struct aged *list;
	size_t count, cap;
	int64_t bytes;
};

static bool ends_with(const char *name, const char *end)
{
	size_t a = strlen(name), b = strlen(end);

	return a > b && strcmp(name + a - b, end) == 0;
}

static void list_file(struct symbol_cache *c, struct listing *l, const char *name, time_t now)
{
	bool is_temporary = strncmp(name, temporary, strlen(temporary)) == 0;
	struct stat st;

	if ((!is_temporary && !ends_with(name, ending)) || strlen(name) >= sizeof(l->list->name) ||
	    fstatat(c->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return;     /* not of our making */
	if (is_temporary) { /* of one that is writing, or that died over it */
		if (st.st_mtim.tv_sec + ABANDONED_AFTER_S < now)
			(void)unlinkat(c->dir, name, 0);
		return;
	}
	if (l->count == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 256;
		struct aged *list = realloc(l->list, cap * sizeof(*list));

		if (!list)
			return;
		l->list = list;
		l->cap = cap;
	}
	l->list[l->count] = (struct aged){ .used = st.st_mtim, .bytes = st.st_size };
	(void)snprintf(l->list[l->count++].name, sizeof(l->list->name), "%s", name);
	l->bytes += st.st_size;
}

static int oldest_first(const void *left, const void *right)
{
	const struct aged *a = left, *b = right;

	if (a->used.tv_sec != b->used.tv_sec)
		return a->used.tv_sec < b->used.tv_sec ? -1 : 1;
	return (a->used.tv_nsec > b->used.tv_nsec) - (a->used.tv_nsec < b->used.tv_nsec);
}

static void prune(struct symbol_cache *c)
{
	struct listing l = { 0 };
	int fd = openat(c->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	time_t now = time(NULL);
	size_t left;

	if (!dir) {
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	for (struct dirent *e; (e = readdir(dir)) != NULL;)
		list_file(c, &l, e->d_name, now);
	(void)closedir(dir);
	left = l.count;
	if (left > MAX_FILES || l.bytes > MAX_TOTAL_BYTES) {
		qsort(l.list, l.count, sizeof(*l.list), oldest_first);
		for (size_t i = 0; i < l.count && (left > MAX_FILES * 3 / 4 || l.bytes > MAX_TOTAL_BYTES * 3 / 4);
		     i++) {
			(void)unlinkat(c->dir, l.list[i].name, 0); /* another process may have been faster */
			l.bytes -= l.list[i].bytes;
			left--;
		}
	}
	free(l.list);
}

void symbol_cache_close(struct symbol_cache *c)
{
	if (!c)
		return;
	if (c->written)
		prune(c);
	(void)close(c->dir);
	free(c);
}

/* ---- files -------------------------------------------------------------------------------------------------------- */

void symbol_cache_key(struct symbol_key *key, char *identity, const uint8_t *build_id, size_t build_id_bytes)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a, 64 bits */
	size_t n = 0;

	key->identity = identity;
	for (const char *at = identity; at && *at; at++)
		hash = (hash ^ (unsigned char)*at) * UINT64_C(0x100000001b3);
	for (size_t i = 0; i < build_id_bytes && i < 20; i++)
		n += (size_t)snprintf(key->name + n, sizeof(key->name) - n, "%02x", build_id[i]);
	(void)snprintf(key->name + n, sizeof(key->name) - n, "%s%016llx%s", n ? "-" : "no-id-",
	               (unsigned long long)hash, ending);
}

static char *read_whole(int fd, size_t *ret_bytes)
{
	struct stat st;
	size_t got = 0;
	char *data;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !is_ours_alone(&st) || st.st_size <= 0 ||
	    st.st_size > SYMBOL_FILE_MAX_BYTES)
		return NULL;
	data = malloc((size_t)st.st_size);
	while (data && got < (size_t)st.st_size) {
		ssize_t n = read(fd, data + got, (size_t)st.st_size - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	if (data && st.st_mtim.tv_sec + TOUCH_AFTER_S < time(NULL)) {
		const struct timespec times[2] = { { 0, UTIME_OMIT }, { 0, UTIME_NOW } };

		(void)futimens(fd, times); /* the oldest go first, and this one is in use */
	}
	*ret_bytes = got;
	return data;
}

bool symbol_cache_read(struct symbol_cache *c, const struct symbol_key *key, struct symbol_file *ret_file)
{
	int fd = key->identity ? openat(c->dir, key->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
	size_t bytes = 0;
	char *data;

	if (fd < 0)
		return false;
	data = read_whole(fd, &bytes);
	(void)close(fd);
	if (data && symbol_file_parse(ret_file, data, bytes, key->identity))
		return true;
	free(data);
	return false;
}

static bool write_whole(int fd, const char *data, size_t bytes)
{
	while (bytes) {
		ssize_t n = write(fd, data, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		data += n;
		bytes -= (size_t)n;
	}
	return true;
}

void symbol_cache_write(struct symbol_cache *c, const struct symbol_key *key, uint32_t kind,
                        struct symbol_entry *entries, size_t count)
{
	struct symbol_file now = { 0 };
	struct buf out = { 0 };
	char name[64];
	bool ok;
	int fd;

	if (!key->identity)
		return;
	(void)snprintf(name, sizeof(name), "%s%ld-%u", temporary, (long)getpid(), c->serial++);
	fd = openat(c->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return; /* a read-only file system, a full one */
	ok = symbol_file_write(&out, key->identity, kind, entries, count,
	                       symbol_cache_read(c, key, &now) ? &now : NULL) &&
	     write_whole(fd, out.data, out.len);
	if (close(fd) < 0 || !ok || renameat(c->dir, name, c->dir, key->name) < 0)
		(void)unlinkat(c->dir, name, 0);
	else
		c->written = true;
	buf_done(&out);
	free(now.data);
}
