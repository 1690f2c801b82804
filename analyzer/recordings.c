/* recordings.c - of each file only what INFO says is kept: memory grows by a hundred bytes a recording. */
#include "recordings.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "buf.h"
#include "model.h"
#include "snapshot_read.h"

void recordings_init(struct recordings *r, const char *output)
{
	struct stat st;

	*r = (struct recordings){ 0 };
	r->keys.arena = r->paths.arena = &r->arena;
	if (output && stat(output, &st) == 0 && S_ISREG(st.st_mode)) {
		r->has_output = true;
		r->output_device = st.st_dev;
		r->output_inode = st.st_ino;
	}
}

void recordings_done(struct recordings *r)
{
	if (r->dir)
		(void)closedir(r->dir);
	free(r->items);
	intern_done(&r->keys);
	intern_done(&r->paths);
	arena_done(&r->arena);
	*r = (struct recordings){ 0 };
}

static bool is_merged(const struct model *m)
{
	return strcmp(m->reason, "merge") == 0;
}

/* A merged one has no process; it is itself only. */
static int64_t number_of(struct recordings *r, const struct model *m)
{
	uint64_t numbers[5] = { m->pid, m->start_ns, m->start_wall_ns };
	struct buf key = { 0 };
	int64_t n;

	if (is_merged(m)) {
		numbers[3] = m->end_ns;
		numbers[4] = m->process_cpu_ns + 1;
	}
	buf_add(&key, numbers, sizeof(numbers));
	buf_add_str(&key, m->boot);
	if (is_merged(m))
		buf_add_str(&key, m->cmdline);
	n = key.failed ? -1 : intern_add(&r->keys, key.data, key.len);
	buf_done(&key);
	return n;
}

static bool is_later(const struct model *m, const struct recording *than)
{
	if (m->end_ns != than->end_ns)
		return m->end_ns > than->end_ns;
	return m->sequence > than->sequence;
}

static int note(struct recordings *r, const char *path, const struct model *m)
{
	int64_t n = number_of(r, m);
	struct recording *to;

	if (n < 0)
		return -ENOMEM;
	if ((size_t)n == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 64;

		to = realloc(r->items, cap * sizeof(*to));
		if (!to)
			return -ENOMEM;
		r->items = to;
		r->cap = cap;
	}
	to = &r->items[n];
	if ((size_t)n == r->count) {
		r->count++;
		*to = (struct recording){ 0 };
	}
	if (!to->files++ || is_later(m, to)) {
		to->path = intern_string(&r->paths, path);
		to->start_wall_ns = m->start_wall_ns;
		to->pid = m->pid;
		to->end_ns = m->end_ns;
		to->sequence = m->sequence;
	}
	return to->path ? 0 : -ENOMEM;
}

static bool is_output(const struct recordings *r, const struct stat *st)
{
	return r->has_output && st->st_dev == r->output_device && st->st_ino == r->output_inode;
}

int recordings_add(struct recordings *r, const char *path, struct err *err)
{
	struct model *m = NULL;
	struct stat st;
	int rc;

	if (strcmp(path, "-") == 0)
		return err_set(err, -EINVAL, "standard input cannot be merged: it is read twice");
	if (stat(path, &st) < 0) {
		rc = -errno;
		return err_set(err, rc, "%s: cannot open: %s", path, strerror(-rc));
	}
	if (S_ISDIR(st.st_mode)) {
		r->dir = opendir(path);
		r->dir_path = path;
		if (r->dir)
			return 0;
		rc = -errno;
		return err_set(err, rc, "%s: cannot open: %s", path, strerror(-rc));
	}
	if (is_output(r, &st))
		return err_set(err, -EEXIST, "%s: is to be read and to be written", path);
	r->files++;
	rc = snapshot_open_info(path, &m, err);
	if (rc < 0)
		return rc;
	rc = note(r, path, m);
	model_free(m);
	return rc < 0 ? err_set(err, rc, "out of memory") : 0;
}

static bool has_suffix(const char *name, const char *suffix)
{
	size_t n = strlen(name), k = strlen(suffix);

	return n > k && strcmp(name + n - k, suffix) == 0;
}

/* A file of the directory: what cannot be read is counted. */
static int look_at(struct recordings *r, const char *path, struct err *err)
{
	struct err why = { 0 };
	struct model *m = NULL;
	struct stat st;
	int rc;

	if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode) || is_output(r, &st))
		return 0; /* gone meanwhile, or no file */
	r->files++;
	rc = snapshot_open_info(path, &m, &why);
	if (rc == -ENOMEM)
		return err_set(err, rc, "%s", why.text);
	if (rc == -ENOENT) {
		r->files--;
		return 0;
	}
	if (rc < 0) {
		if (!r->unreadable++)
			r->first_unreadable = why;
		return 0;
	}
	if (is_merged(m))
		r->merged++;
	else
		rc = note(r, path, m);
	model_free(m);
	return rc < 0 ? err_set(err, rc, "out of memory") : 0;
}

bool recordings_step(struct recordings *r, int *ret_rc, struct err *err)
{
	struct buf path = { 0 };
	struct dirent *e;

	*ret_rc = 0;
	if (!r->dir)
		return false;
	do
		e = readdir(r->dir);
	while (e && !has_suffix(e->d_name, ".snap") && !has_suffix(e->d_name, ".live"));
	if (!e) {
		(void)closedir(r->dir);
		r->dir = NULL;
		return false;
	}
	buf_add_str(&path, r->dir_path);
	buf_add_char(&path, '/');
	buf_add_str(&path, e->d_name);
	*ret_rc = path.failed ? err_set(err, -ENOMEM, "out of memory") : look_at(r, path.data, err);
	buf_done(&path);
	return *ret_rc == 0;
}

static int by_start(const void *left, const void *right)
{
	const struct recording *a = left, *b = right;

	if (a->start_wall_ns != b->start_wall_ns)
		return a->start_wall_ns < b->start_wall_ns ? -1 : 1;
	if (a->pid != b->pid)
		return a->pid < b->pid ? -1 : 1;
	return strcmp(a->path, b->path);
}

void recordings_sort(struct recordings *r)
{
	if (r->count)
		qsort(r->items, r->count, sizeof(*r->items), by_start);
}
