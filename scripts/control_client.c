/*
 * control_client.c - the other side of preload/control_socket.c.
 *
 * Where      the socket is looked for in the process's own root, so that a container is reached by the number that the process
 *            has out here; it is named by the numbers that process and user have in there.
 * Safety     what stands in there is the process's to arrange. Nothing is followed out of its root, the directory must be the
 *            process's user's and closed to others, and whoever listens must be that very process, as the kernel says.
 *            What it answers is shown without what could steer a terminal.
 * Waiting    the library makes the socket a tenth of a second after the start, so for a process that has none a second is waited. A
 *            forked child that does nothing has no thread of ours to make one: it is sent the signal of the library's own
 *            CPU samples, whose handler knows it, starts that thread and has an interrupted system call made again. Only to a
 *            process that handles the signal, and that has slept while we looked: one that called exec meanwhile would die.
 */
#include "control_client.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "control_call.h"

static const char library_name[] = "/libperfprobe.so";

enum {
	ANSWER_SECONDS = 330, /* a leak check of a large heap takes seconds; a stopped process answers never */
	ANSWER_MAX = 1 << 20,
	WAIT_MS = 1000,
	STEP_MS = 20,
	NAMES = 9, /* as preload/control_socket.c has it */
};

/* A process: its user and its number, as we see them and as it does. */
struct target {
	pid_t pid, inner_pid;
	uid_t uid, inner_uid;
	bool elsewhere; /* it has another root, or other mounts */
};

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

/* ---- the process -------------------------------------------------------------------------------------------------- */

/* The file NAME of the process, NUL-terminated; 0 or -errno. */
static int read_proc(pid_t pid, const char *name, char *out, size_t size)
{
	char path[64];
	size_t len;
	FILE *file CLEANUP(close_file) = NULL;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	len = fread(out, 1, size - 1, file);
	out[len] = '\0';
	return ferror(file) ? -EIO : 0;
}

/* The user's number inside the process's user namespace: lines of "inside outside count". */
static uid_t uid_inside(pid_t pid, uid_t outside)
{
	char text[4096];
	unsigned in, out, count;

	if (read_proc(pid, "uid_map", text, sizeof(text)) < 0)
		return outside;
	for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
		if (sscanf(line, " %u %u %u", &in, &out, &count) == 3 && outside >= out && outside - out < count)
			return in + (outside - out);
	return outside;
}

static bool same_file(const char *a, const char *b)
{
	struct stat one, other;

	return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

/* -ENOENT if there is no such process. */
static int target_find(pid_t pid, struct target *ret_target)
{
	struct target t = { .pid = pid, .inner_pid = pid };
	char text[8192], root[64], mounts[64];
	const char *uids, *pids;
	unsigned real, effective;
	int rc = read_proc(pid, "status", text, sizeof(text));

	if (rc < 0)
		return rc == -ESRCH ? -ENOENT : rc;
	uids = strstr(text, "\nUid:");
	if (!uids || sscanf(uids, "\nUid: %u %u", &real, &effective) != 2)
		return -ENOENT;
	t.uid = effective;
	t.inner_uid = uid_inside(pid, t.uid);
	pids = strstr(text, "\nNSpid:"); /* outermost first */
	if (pids) {
		const char *end = strchr(pids + 1, '\n');

		while (end && end > pids && end[-1] != '\t')
			end--;
		if (end && atoi(end) > 0)
			t.inner_pid = atoi(end);
	}
	(void)snprintf(root, sizeof(root), "/proc/%d/root", (int)pid);
	(void)snprintf(mounts, sizeof(mounts), "/proc/%d/ns/mnt", (int)pid);
	/* Where that may not be read, it is our own process, and most likely here. */
	t.elsewhere = access(mounts, F_OK) == 0 && (!same_file(mounts, "/proc/self/ns/mnt") || !same_file(root, "/"));
	*ret_target = t;
	return 0;
}

static bool is_visible(const struct target *t)
{
	return geteuid() == 0 || t->uid == geteuid();
}

/* Has it begun less than WAIT_MS ago? Field 22 of stat, in clock ticks since boot; the name before it may hold anything. */
static bool is_young(pid_t pid)
{
	char text[1024];
	const char *at;
	unsigned long long start = 0;
	struct timespec now;

	if (read_proc(pid, "stat", text, sizeof(text)) < 0 || !(at = strrchr(text, ')')))
		return false;
	if (sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
	           &start) != 1)
		return false;
	(void)clock_gettime(CLOCK_BOOTTIME, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9 - (double)start / (double)sysconf(_SC_CLK_TCK) <
	       WAIT_MS / 1000.0;
}

/* ---- its socket --------------------------------------------------------------------------------------------------- */

/* The directory of the user `inner_uid`, in the process's root or, `here`, in ours. Descriptor or -errno. */
static int open_directory(const struct target *t, uid_t inner_uid, bool here)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		                .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	char path[64];
	int root, fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/root", (int)t->pid);
	root = open(here ? "/" : path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -errno;
	(void)snprintf(path, sizeof(path), "tmp/perfprobe-%u", (unsigned)inner_uid);
	fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	if (fd < 0 && errno == ENOSYS && !t->elsewhere) /* Linux before 5.6 */
		fd = openat(root, path, (int)how.flags);
	if (fd < 0)
		fd = -errno;
	close(root);
	return fd;
}

/* The directory stands in /tmp, where anybody may make names: only the owner's own, closed to others, is believed. */
static int check_directory(int dir, uid_t uid, struct err *err)
{
	struct stat st;

	if (fstat(dir, &st) < 0)
		return err_set(err, -errno, "%s", strerror(errno));
	if (!S_ISDIR(st.st_mode) || st.st_uid != uid || (st.st_mode & 077))
		return err_set(err, -EPERM, "the directory of its control socket is not user %u's alone; not trusted",
		               (unsigned)uid);
	return 0;
}

/* The socket NAME in the directory, looked at before it is connected to. Descriptor of the file, or -errno. */
static int open_name(const struct target *t, int dir, unsigned n)
{
	char name[48];
	struct stat st;
	int fd;

	if (n == 1)
		(void)snprintf(name, sizeof(name), "%d.sock", (int)t->inner_pid);
	else
		(void)snprintf(name, sizeof(name), "%d.%u.sock", (int)t->inner_pid, n);
	fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode))
		return fd;
	close(fd);
	return -ENOTSOCK;
}

/* Connects, and asks the kernel who listens. Descriptor or -errno; -ESRCH: another process. */
static int connect_to_file(const struct target *t, int file)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = ANSWER_SECONDS };
	struct ucred peer = { 0, 0, 0 };
	socklen_t len = sizeof(peer);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), rc = 0;

	if (fd < 0)
		return -errno;
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d", file);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)); /* without it: waits for good */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		rc = -errno;
	else if (peer.pid != t->pid)
		rc = -ESRCH;
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

/* The first of its names on which the process itself listens. `only_look`: 0 if there is any such name. -ENOENT: there is none. */
static int connect_in(const struct target *t, int dir, bool only_look, struct err *err)
{
	int first = -ENOENT;

	for (unsigned n = 1; n <= NAMES; n++) {
		int file = open_name(t, dir, n), rc = file;

		if (file >= 0) {
			rc = only_look ? 0 : connect_to_file(t, file);
			close(file);
			if (rc >= 0)
				return rc;
		}
		if (rc != -ENOENT && rc != -ESRCH && first == -ENOENT)
			first = err_set(err, rc, "its control socket: %s", strerror(-rc));
	}
	return first;
}

/* The socket in the directory of a user: `inner_uid` there, `uid` to us. */
static int try_place(const struct target *t, uid_t inner_uid, uid_t uid, bool here, bool only_look, struct err *err)
{
	int dir = open_directory(t, inner_uid, here), rc;

	if (dir == -ENOTDIR || dir == -ELOOP)
		return err_set(err, -EPERM,
		               "the directory of its control socket is a link or none at all; not trusted");
	if (dir < 0)
		return err_set(err, dir, "the directory of its control socket: %s", strerror(-dir));
	rc = check_directory(dir, uid, err);
	if (rc == 0)
		rc = connect_in(t, dir, only_look, err);
	close(dir);
	return rc;
}

/* In its root; and in ours, since it may have changed its root after the socket was made, or not let us look. */
static int try_user(const struct target *t, uid_t inner_uid, uid_t uid, bool only_look, struct err *err)
{
	struct err other = { 0 };
	int rc = try_place(t, inner_uid, uid, false, only_look, err), here;

	if (rc != -ENOENT && rc != -EACCES)
		return rc;
	here = try_place(t, inner_uid, uid, true, only_look, &other);
	if (rc == -ENOENT && here < 0)
		return rc;
	*err = other;
	return here;
}

static int try_connect(const struct target *t, bool only_look, struct err *err)
{
	int rc = try_user(t, t->inner_uid, t->uid, only_look, err);

	/* A program that gave up root past libc was root when the library made it. */
	if (rc == -ENOENT && geteuid() == 0 && t->uid != 0)
		rc = try_user(t, 0, 0, only_look, err);
	return rc;
}

/* ---- a call ------------------------------------------------------------------------------------------------------- */

/* A number of /proc/PID/status, in base 16 or 10; 0: there is none. */
static unsigned long long status_number(const char *text, const char *name, int base)
{
	const char *at = strstr(text, name);

	return at ? strtoull(at + strlen(name), NULL, base) : 0;
}

/* Asleep, of one thread, and with a handler for the signal that is not blocked. Its voluntary switches so far; 0: it is not so. */
static unsigned long long asleep_since(pid_t pid)
{
	const unsigned long long bit = 1ull << (SIGPROF - 1);
	char text[8192];

	if (read_proc(pid, "status", text, sizeof(text)) < 0 || !strstr(text, "\nState:\tS") ||
	    status_number(text, "\nThreads:", 10) != 1)
		return 0;
	if (!(status_number(text, "\nSigCgt:", 16) & bit) || status_number(text, "\nSigBlk:", 16) & bit)
		return 0;
	return status_number(text, "\nvoluntary_ctxt_switches:", 10);
}

static bool can_be_called(const struct target *t)
{
	const struct timespec step = { .tv_nsec = STEP_MS * 1000000L };
	bool mapped = false;
	unsigned long long since;

	if (maps_library(t->pid, &mapped) < 0 || !mapped || is_young(t->pid))
		return false;
	since = asleep_since(t->pid);
	(void)nanosleep(&step, NULL);
	return since && asleep_since(t->pid) == since;
}

static void call(const struct target *t)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_signo = SIGPROF;
	info.si_code = SI_QUEUE;
	info.si_pid = getpid();
	info.si_uid = getuid();
	info.si_ptr = (void *)CONTROL_CALL;                                   /* NOLINT: a number */
	(void)syscall(SYS_rt_tgsigqueueinfo, t->pid, t->pid, SIGPROF, &info); /* it may have ended */
}

/* ---- list --------------------------------------------------------------------------------------------------------- */

static void list_one(FILE *out, pid_t pid, int *count)
{
	struct target t;
	struct err ignored = { 0 };
	char line[512];
	bool mapped = false, reachable;
	const char *how;
	int rc;

	if (target_find(pid, &t) < 0 || !is_visible(&t))
		return;
	rc = maps_library(pid, &mapped);
	if (rc == 0 && !mapped)
		return;
	reachable = try_connect(&t, true, &ignored) == 0;
	if (rc < 0 && !reachable) /* a process that may not be looked into has a socket all the same */
		return;
	if ((*count)++ == 0)
		fprintf(out, "%8s  %8s  %-7s  %s\n", "PID", "UID", "CONTROL", "COMMAND");
	command_line(pid, line, sizeof(line));
	how = reachable ? "yes" : can_be_called(&t) ? "on call" : "no";
	fprintf(out, "%8d  %8u  %-7s  %s\n", (int)pid, (unsigned)t.uid, how, line);
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

/* ---- requests ----------------------------------------------------------------------------------------------------- */

/* Why there is no socket to talk to: the sentence names the next step. */
static int explain_missing(const struct target *t, struct err *err)
{
	bool mapped = false;
	int rc = maps_library(t->pid, &mapped);

	if (!is_visible(t))
		return err_set(err, -EPERM, "process %d is user %u's; only that user and root may ask it", (int)t->pid,
		               (unsigned)t->uid);
	if (rc < 0)
		return err_set(err, rc, "process %d: cannot look into it: %s", (int)t->pid, strerror(-rc));
	if (!mapped)
		return err_set(err, -ENOENT,
		               "process %d does not run under perfprobe; start it with 'perfprobe run -- ...'",
		               (int)t->pid);
	return err_set(
	        err, -ENOENT,
	        "process %d runs under perfprobe but offers no control socket (/tmp/perfprobe-%u/%d.sock); a forked "
	        "child without CPU samples has none before its first thread; PERFPROBE_VERBOSE=1 tells why there is "
	        "none",
	        (int)t->pid, (unsigned)t->inner_uid, (int)t->inner_pid);
}

static int connect_within(const struct target *t, struct err *err)
{
	const struct timespec step = { .tv_nsec = STEP_MS * 1000000L };
	bool mapped = false;
	int rc = -ENOENT;

	for (int waited = 0; waited <= WAIT_MS; waited += STEP_MS) {
		rc = try_connect(t, false, err);
		if (rc >= 0)
			return rc;
		if (rc == -EPERM || (maps_library(t->pid, &mapped) == 0 && !mapped && !is_young(t->pid)))
			break;
		(void)nanosleep(&step, NULL); /* shorter when a signal comes: no harm */
	}
	return rc;
}

static int connect_to(const struct target *t, struct err *err)
{
	int rc;

	if (!is_visible(t))
		return explain_missing(t, err);
	rc = connect_within(t, err);
	if (rc == -ENOENT && can_be_called(t)) {
		call(t);
		rc = connect_within(t, err);
	}
	if (rc >= 0)
		return rc;
	return rc == -ENOENT ? explain_missing(t, err) : err_wrap(err, "process %d", (int)t->pid);
}

static int read_answer(int fd, struct buf *answer, struct err *err)
{
	char chunk[4096];

	for (;;) {
		ssize_t n = recv(fd, chunk, sizeof(chunk), 0);

		/* Reset: closed before it had read all that we sent, perhaps after an answer to that. */
		if (n == 0 || (n < 0 && errno == ECONNRESET && answer->len > 0))
			return answer->failed ? err_set(err, -ENOMEM, "out of memory") : 0;
		if (n > 0 && answer->len > ANSWER_MAX)
			return err_set(err, -EMSGSIZE, "the answer has no end");
		if (n > 0)
			buf_add(answer, chunk, (size_t)n);
		else if (errno == EAGAIN)
			return err_set(err, -ETIMEDOUT, "no answer for %d s", ANSWER_SECONDS);
		else if (errno != EINTR)
			return err_set(err, -errno, "%s", strerror(errno));
	}
}

/* It comes from the process: nothing in it may steer a terminal. */
static void make_clean(struct buf *answer)
{
	char *at = answer->data, *end = at ? at + answer->len : at;

	for (; at < end; at++) {
		if (*at != '\n' && iscntrl((unsigned char)*at))
			*at = '?';
		/* U+0080 to U+009F, control characters as well, in UTF-8: data ends in a NUL, so the next byte can be read. */
		else if ((unsigned char)*at == 0xc2 && (unsigned char)at[1] >= 0x80 && (unsigned char)at[1] < 0xa0)
			at[0] = at[1] = '?';
	}
}

/* "ok TEXT\nmore\n" -> TEXT and the rest on `out`; "error TEXT" -> the sentence. A path is told as it is reached from here. */
static int judge_answer(const struct target *t, struct buf *answer, FILE *out, struct err *err)
{
	const char *text = answer->data ? answer->data : "";
	size_t first = strcspn(text, "\n");

	make_clean(answer);

	if (first >= 5 && strncmp(text, "error", 5) == 0) {
		size_t skip = text[5] == ' ' ? 6 : 5;

		return err_set(err, -EIO, "%.*s", (int)(first - skip), text + skip);
	}
	if (first < 2 || strncmp(text, "ok", 2) != 0 || (first > 2 && text[2] != ' '))
		return err_set(err, -EPROTO, "the answer is not understood: '%.*s'", (int)(first > 60 ? 60 : first),
		               text);
	text += first > 2 ? 3 : text[2] == '\n' ? 3 : 2;
	if (t->elsewhere && *text == '/')
		fprintf(out, "/proc/%d/root", (int)t->pid);
	fputs(text, out);
	return 0;
}

/* One connection. -ECONNRESET: it was closed before anybody read the request, and nothing was done. */
static int exchange(const struct target *t, const struct buf *request, struct buf *answer, struct err *err)
{
	int fd = connect_to(t, err), rc = 0;

	if (fd < 0)
		return fd;
	if (send(fd, request->data, request->len, MSG_NOSIGNAL) != (ssize_t)request->len && errno != EPIPE)
		rc = err_set(err, -EIO, "the request could not be sent");
	if (rc == 0) /* closed already: there may be an answer that says why */
		rc = read_answer(fd, answer, err);
	if (rc < 0)
		rc = err_wrap(err, "process %d", (int)t->pid);
	close(fd);
	return rc;
}

int control_client_send(pid_t pid, const char *line, FILE *out, struct err *err)
{
	const struct timespec step = { .tv_nsec = STEP_MS * 1000000L };
	struct buf request = { 0 }, answer = { 0 };
	struct target t;
	int rc = target_find(pid, &t);

	if (rc < 0)
		return err_set(err, rc, "there is no process %d", (int)pid);
	buf_printf(&request, "%s\n", line);
	if (request.failed)
		rc = err_set(err, -ENOMEM, "out of memory");
	else
		rc = exchange(&t, &request, &answer, err);
	/* It may be on its way through exec(2): the program that it becomes is asked. */
	for (int waited = 0; rc == -ECONNRESET && waited < WAIT_MS; waited += STEP_MS) {
		(void)nanosleep(&step, NULL);
		rc = exchange(&t, &request, &answer, err);
	}
	if (rc == 0) {
		rc = judge_answer(&t, &answer, out, err);
		if (rc < 0)
			rc = err_wrap(err, "process %d", (int)pid);
	}
	buf_done(&request);
	buf_done(&answer);
	return rc;
}
