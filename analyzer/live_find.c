#include "live_find.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool ends_in_live(const char *path)
{
	size_t n = strlen(path);

	return n > 5 && strcmp(path + n - 5, ".live") == 0;
}

/* "start-end rw-s offset device inode  /path/COMM.PID.live"; a file that is gone has " (deleted)" behind it. */
static bool is_live_line(char *line, char **ret_path, uint64_t *ret_inode)
{
	static const char deleted[] = " (deleted)";
	char shared[8] = "";
	size_t n;
	char *path = strchr(line, '/');

	if (!path || sscanf(line, "%*x-%*x %7s %*x %*s %" SCNu64, shared, ret_inode) != 2 || !strchr(shared, 's'))
		return false;
	path[strcspn(path, "\n")] = '\0';
	n = strlen(path);
	if (n > sizeof(deleted) - 1 && strcmp(path + n - (sizeof(deleted) - 1), deleted) == 0)
		path[n - (sizeof(deleted) - 1)] = '\0';
	*ret_path = path;
	return ends_in_live(path);
}

/* By its name as seen from here, or from the root that the process has (a container); the same file either way. */
static int open_same(pid_t pid, const char *path, uint64_t inode)
{
	for (int in_root = 0; in_root < 2; in_root++) {
		char name[4096 + 32];
		struct stat st;
		int fd;

		if (in_root)
			(void)snprintf(name, sizeof(name), "/proc/%d/root%s", (int)pid, path);
		fd = open(in_root ? name : path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
		if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_ino == inode)
			return fd;
		if (fd >= 0)
			(void)close(fd);
	}
	return -1;
}

int live_find(pid_t pid, char *ret_path, size_t size, int *ret_fd, struct err *err)
{
	char name[32], *line = NULL, *path;
	size_t room = 0;
	uint64_t inode = 0;
	FILE *maps;
	int rc, fd = -1;
	bool seen = false;

	(void)snprintf(name, sizeof(name), "/proc/%d/maps", (int)pid);
	maps = fopen(name, "re");
	rc = maps ? 0 : -errno;
	if (rc == -ENOENT)
		return err_set(err, -ESRCH, "there is no process %d", (int)pid);
	if (rc < 0)
		return err_set(err, rc, "process %d: cannot read what it has mapped: %s", (int)pid, strerror(-rc));
	errno = 0;
	while (fd < 0 && getline(&line, &room, maps) > 0) {
		if (!is_live_line(line, &path, &inode) || strlen(path) >= size)
			continue;
		seen = true;
		(void)snprintf(ret_path, size, "%s", path);
		fd = open_same(pid, path, inode);
	}
	rc = ferror(maps) ? -errno : 0;
	free(line);
	(void)fclose(maps); /* read only */
	if (rc < 0)
		return err_set(err, rc, "process %d: cannot read what it has mapped: %s", (int)pid, strerror(-rc));
	if (fd < 0 && seen)
		return err_set(err, -ENOENT, "process %d: its live file %s cannot be opened", (int)pid, ret_path);
	if (fd < 0)
		return err_set(err, -ENODATA,
		               "process %d has no live file: it is not recorded, or PERFPROBE_LIVE=off, or it began a "
		               "moment ago",
		               (int)pid);
	*ret_fd = fd;
	return 0;
}

/* Of "PID (COMM) STATE ...": COMM may have blanks and parentheses. NULL: no such process. */
static const char *after_comm(const char *stat)
{
	const char *end = strrchr(stat, ')');

	return end && end[1] == ' ' ? end + 2 : NULL;
}

static bool read_small(pid_t pid, const char *what, char *to, size_t size)
{
	char name[48];
	ssize_t n;
	int fd;

	(void)snprintf(name, sizeof(name), "/proc/%d/%s", (int)pid, what);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, to, size - 1);
	(void)close(fd);
	to[n > 0 ? n : 0] = '\0';
	return n > 0;
}

void live_find_process(pid_t pid, struct live_process *ret)
{
	char text[1024];
	const char *rest;
	char state = 0;
	uint64_t pages = 0;
	long page = sysconf(_SC_PAGESIZE);

	*ret = (struct live_process){ 0 };
	rest = read_small(pid, "stat", text, sizeof(text)) ? after_comm(text) : NULL;
	/* Fields 3 (state), 20 (threads) and 22 (start) of proc(5). */
	if (!rest ||
	    sscanf(rest, "%c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64 " %*s %" SCNu64,
	           &state, &ret->threads, &ret->started) != 3)
		return;
	ret->runs = state != 'Z' && state != 'X';
	if (read_small(pid, "statm", text, sizeof(text)) && sscanf(text, "%*s %" SCNu64, &pages) == 1 && page > 0)
		ret->rss_bytes = pages * (uint64_t)page;
}
