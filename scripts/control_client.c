#include "control_client.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "buf.h"

static const char library_name[] = "/libperfprobe.so";

enum { ANSWER_SECONDS = 120 }; /* a leak check of a large heap takes seconds; a stopped process answers never */

static void close_file(FILE **file)
{
	if (*file)
		fclose(*file);
}

static void free_line(char **line)
{
	free(*line);
}

/* Is the library among the mappings? -errno if they cannot be read (another user's process, or gone). */
static int maps_library(pid_t pid, bool *ret_mapped)
{
	char path[64];
	char *line CLEANUP(free_line) = NULL;
	size_t size = 0;
	FILE *maps CLEANUP(close_file) = NULL;

	(void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	maps = fopen(path, "re");
	if (!maps)
		return -errno;
	*ret_mapped = false;
	errno = 0;
	while (!*ret_mapped && getline(&line, &size, maps) >= 0)
		*ret_mapped = strstr(line, library_name) != NULL;
	return ferror(maps) ? -EIO : 0;
}

/* The command line with blanks between the words, nothing that could steer a terminal, at most `size` - 1 bytes. */
static void command_line(pid_t pid, char *out, size_t size)
{
	char path[64];
	size_t len = 0;
	FILE *file CLEANUP(close_file) = NULL;

	(void)snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	file = fopen(path, "re");
	if (file)
		len = fread(out, 1, size - 1, file);
	while (len > 0 && out[len - 1] == '\0')
		len--;
	out[len] = '\0';
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)out[i];

		if (c == '\0')
			out[i] = ' ';
		else if (iscntrl(c))
			out[i] = '?';
	}
}

/* Owner of the process: the user its socket belongs to. -ENOENT if there is no such process. */
static int owner_of(pid_t pid, uid_t *ret_uid)
{
	char path[64];
	struct stat st;

	(void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	if (stat(path, &st) < 0)
		return -errno;
	*ret_uid = st.st_uid;
	return 0;
}

static void socket_path(pid_t pid, uid_t uid, char *out, size_t size)
{
	(void)snprintf(out, size, "/tmp/perfprobe-%u/%d.sock", (unsigned)uid, (int)pid);
}

static void list_one(FILE *out, pid_t pid, int *count)
{
	char line[512], path[64];
	bool mapped;
	uid_t uid = 0;

	if (owner_of(pid, &uid) < 0 || (geteuid() != 0 && uid != geteuid()))
		return;
	if (maps_library(pid, &mapped) < 0 || !mapped)
		return;
	if ((*count)++ == 0)
		fprintf(out, "%8s  %8s  %-7s  %s\n", "PID", "UID", "CONTROL", "COMMAND");
	command_line(pid, line, sizeof(line));
	socket_path(pid, uid, path, sizeof(path));
	fprintf(out, "%8d  %8u  %-7s  %s\n", (int)pid, (unsigned)uid, access(path, F_OK) == 0 ? "yes" : "no", line);
}

int control_client_list(FILE *out, struct err *err)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int count = 0;

	if (!proc)
		return err_set(err, -errno, "/proc: %s", strerror(errno));
	while ((entry = readdir(proc))) {
		char *end;
		long pid = strtol(entry->d_name, &end, 10);

		if (*end == '\0' && pid > 0 && pid <= INT32_MAX)
			list_one(out, (pid_t)pid, &count);
	}
	closedir(proc);
	return count;
}

/* Why there is no socket to talk to: the sentence names the next step. */
static int explain_missing(pid_t pid, const char *path, struct err *err)
{
	bool mapped = false;
	int rc = maps_library(pid, &mapped);

	if (rc < 0)
		return err_set(err, rc, "process %d: cannot look into it: %s", (int)pid, strerror(-rc));
	if (!mapped)
		return err_set(err, -ENOENT,
		               "process %d does not run under perfprobe; start it with 'perfprobe run -- ...'",
		               (int)pid);
	return err_set(err, -ENOENT, "process %d runs under perfprobe but offers no control socket (%s)", (int)pid,
	               path);
}

/* The directory stands in /tmp, where anybody may make names: only the owner's own, closed to others, is believed. */
static int check_directory(uid_t uid, struct err *err)
{
	char dir[64];
	struct stat st;

	(void)snprintf(dir, sizeof(dir), "/tmp/perfprobe-%u", (unsigned)uid);
	if (lstat(dir, &st) < 0)
		return err_set(err, -errno, "%s: %s", dir, strerror(errno));
	if (!S_ISDIR(st.st_mode) || st.st_uid != uid || (st.st_mode & 077))
		return err_set(err, -EPERM, "%s is not a directory of user %u alone; not trusted", dir, (unsigned)uid);
	return 0;
}

static int connect_to(pid_t pid, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = ANSWER_SECONDS };
	uid_t uid = 0;
	int fd, rc = owner_of(pid, &uid);

	if (rc < 0)
		return err_set(err, rc, "there is no process %d", (int)pid);
	socket_path(pid, uid, address.sun_path, sizeof(address.sun_path));
	if (access(address.sun_path, F_OK) < 0)
		return explain_missing(pid, address.sun_path, err);
	rc = check_directory(uid, err);
	if (rc < 0)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, -errno, "socket: %s", strerror(errno));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)); /* without it: waits for good */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		rc = err_set(err, -errno, "%s: %s", address.sun_path, strerror(errno));
		close(fd);
		return rc;
	}
	return fd;
}

static int read_answer(int fd, struct buf *answer, struct err *err)
{
	char chunk[4096];

	for (;;) {
		ssize_t n = recv(fd, chunk, sizeof(chunk), 0);

		if (n == 0)
			return answer->failed ? err_set(err, -ENOMEM, "out of memory") : 0;
		if (n > 0)
			buf_add(answer, chunk, (size_t)n);
		else if (errno == EAGAIN)
			return err_set(err, -ETIMEDOUT, "no answer for %d s", ANSWER_SECONDS);
		else if (errno != EINTR)
			return err_set(err, -errno, "%s", strerror(errno));
	}
}

/* "ok TEXT\nmore\n" -> TEXT and the rest on `out`; "error TEXT" -> the sentence. */
static int judge_answer(const struct buf *answer, FILE *out, struct err *err)
{
	const char *text = answer->data ? answer->data : "";
	size_t first = strcspn(text, "\n");

	if (first >= 5 && strncmp(text, "error", 5) == 0) {
		size_t skip = text[5] == ' ' ? 6 : 5;

		return err_set(err, -EIO, "%.*s", (int)(first - skip), text + skip);
	}
	if (first < 2 || strncmp(text, "ok", 2) != 0 || (first > 2 && text[2] != ' '))
		return err_set(err, -EPROTO, "the answer is not understood: '%.*s'", (int)(first > 60 ? 60 : first),
		               text);
	text += first > 2 ? 3 : text[2] == '\n' ? 3 : 2;
	fputs(text, out);
	return 0;
}

int control_client_send(pid_t pid, const char *line, FILE *out, struct err *err)
{
	struct buf request = { 0 }, answer = { 0 };
	int fd, rc = 0;

	fd = connect_to(pid, err);
	if (fd < 0)
		return fd;
	buf_printf(&request, "%s\n", line);
	if (request.failed || send(fd, request.data, request.len, MSG_NOSIGNAL) != (ssize_t)request.len)
		rc = err_set(err, -EIO, "the request could not be sent");
	if (rc == 0)
		rc = read_answer(fd, &answer, err);
	if (rc == 0)
		rc = judge_answer(&answer, out, err);
	if (rc < 0)
		rc = err_wrap(err, "process %d", (int)pid);
	close(fd);
	buf_done(&request);
	buf_done(&answer);
	return rc;
}
