#include "serve_list.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "clean_text.h"

enum { HEAD_BYTES = 160 }; /* of a live file: its header without the chunks, with a clock that moves */

int serve_open_directory(const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	fd = -errno;
	return err_set(err, fd == -EINVAL ? -EIO : fd, "%s: %s", path,
	               fd == -ENOTDIR ? "is no directory; html shows a single file" : strerror(-fd));
}

static bool ends_in(const char *name, const char *ending)
{
	size_t n = strlen(name), e = strlen(ending);

	return n > e && strcmp(name + n - e, ending) == 0;
}

/* A name that would be shown as another one could not be asked for. */
static bool is_plain(const char *name)
{
	struct buf clean = { 0 };
	bool same;

	clean_text(&clean, name);
	same = clean.data && strcmp(clean.data, name) == 0;
	buf_done(&clean);
	return same;
}

static uint64_t mix(uint64_t h, const void *data, size_t bytes)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < bytes; i++)
		h = (h ^ p[i]) * 1099511628211u; /* FNV-1a */
	return h;
}

/* Writing through a mapping need not change a file's time: a live file's own clock says whether it has moved on. JSON's numbers
 * are exact below 2^53. */
static uint64_t version_of(int fd, const struct stat *st, bool live)
{
	unsigned char head[HEAD_BYTES];
	uint64_t h = 14695981039346656037u;
	ssize_t n = live ? pread(fd, head, sizeof(head), 0) : 0;

	h = mix(h, &st->st_mtim, sizeof(st->st_mtim));
	h = mix(h, &st->st_size, sizeof(st->st_size));
	h = mix(h, &st->st_ino, sizeof(st->st_ino));
	return mix(h, head, n > 0 ? (size_t)n : 0) >> 12;
}

int serve_list_open(int directory, const struct serve_file *f)
{
	/* Neither a link nor the waiting for a pipe's other end. */
	int fd = openat(directory, f->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	(void)close(fd); /* nothing was written */
	return -ENOENT;
}

/* 1: added, 0: not one to serve, -ENOMEM. */
static int add(int directory, const char *name, struct serve_list *l)
{
	struct serve_file f = { .live = ends_in(name, ".live") };
	struct stat st;
	int fd;

	if (l->count == SERVE_MOST_FILES || !is_plain(name))
		return 0;
	f.name = strdup(name);
	if (!f.name)
		return -ENOMEM;
	fd = serve_list_open(directory, &f);
	if (fd < 0 || fstat(fd, &st) < 0) {
		if (fd >= 0)
			(void)close(fd); /* nothing was written */
		free(f.name);
		return 0;
	}
	f.bytes = (uint64_t)st.st_size;
	f.modified_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
	f.version = version_of(fd, &st, f.live);
	(void)close(fd); /* nothing was written */
	l->items[l->count++] = f;
	return 1;
}

static int oldest_first(const void *a, const void *b)
{
	const struct serve_file *x = a, *y = b;

	/* A live file is the newest whatever its time says. */
	if (x->live != y->live)
		return x->live ? 1 : -1;
	if (x->modified_ns != y->modified_ns)
		return x->modified_ns < y->modified_ns ? -1 : 1;
	return strcmp(x->name, y->name);
}

int serve_list_read(int directory, struct serve_list *ret, struct err *err)
{
	struct serve_list l = { .items = calloc(SERVE_MOST_FILES, sizeof(*l.items)) };
	int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *e;

	if (!l.items || !d) {
		rc = l.items ? -errno : -ENOMEM;
		free(l.items);
		if (d)
			(void)closedir(d); /* and fd with it */
		else if (fd >= 0)
			(void)close(fd);
		return err_set(err, rc, "the directory cannot be read: %s", strerror(-rc));
	}
	while (rc >= 0 && (e = readdir(d))) {
		if (e->d_name[0] == '.' || !(ends_in(e->d_name, ".snap") || ends_in(e->d_name, ".live")))
			continue;
		rc = add(directory, e->d_name, &l);
		l.skipped += rc == 0;
	}
	(void)closedir(d);
	if (rc < 0) {
		serve_list_done(&l);
		return err_set(err, rc, "out of memory");
	}
	qsort(l.items, l.count, sizeof(*l.items), oldest_first);
	*ret = l;
	return 0;
}

void serve_list_done(struct serve_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->items[i].name);
	free(l->items);
	*l = (struct serve_list){ 0 };
}

const struct serve_file *serve_list_find(const struct serve_list *l, const char *name)
{
	for (size_t i = 0; i < l->count; i++)
		if (strcmp(l->items[i].name, name) == 0)
			return &l->items[i];
	return NULL;
}
