/*
 * control_socket.c - how `perfprobe` reaches the process.
 *
 * Safety     /tmp belongs to everybody, so the directory must be this user's, closed to others, and no link; /tmp itself must not
 *            let others rename it. In there only this user and root can make, remove or open anything. A name that is taken is
 *            only taken over if it is a socket of this user's on which nobody listens. Who connects is asked for again, by
 *            SO_PEERCRED.
 * Bounds     CLIENTS connections at once, each with a deadline, a request of bounded length and one answer; where a new one
 *            finds no place, the one that was silent longest goes. No call waits, so that profiles are written meanwhile.
 * Names      PID.sock; where containers share /tmp another process may have that number: then PID.2.sock, and so on. The client
 *            tells them apart by the process that the kernel says is listening.
 * Descriptors  own_socket.h.
 */
#include "control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "atomic.h"
#include "compiler.h"
#include "control.h"
#include "losses.h"
#include "os_linux.h"
#include "own_socket.h"
#include "say.h"
#include "start.h"
#include "units.h"

enum {
	CLIENTS = 4,
	FEW_DESCRIPTORS = 32,  /* fewer than this: one client */
	LEAST_DESCRIPTORS = 8, /* a profile, a client and this socket need not get in each other's way */
	BACKLOG = 128,
	ACCEPTS = 64, /* in one tick */
	NAMES = 9,
	STALE_MAX = 4096, /* names looked at */
};

#define OPEN_AFTER_NS (100 * NS_PER_MS)
#define LOOK_NS       NS_PER_S        /* is it still there? */
#define RETRY_NS      (60 * NS_PER_S) /* where none could be made */
#define DEADLINE_NS   (2 * NS_PER_S)
#define POLL_NS       (5 * NS_PER_MS) /* while there is a client */

struct client {
	struct own_socket socket;
	uint64_t deadline_ns;
	size_t used; /* of its line */
	bool later;  /* has asked for what takes long */
};

static struct own_socket listener = { -1, 0 };
static struct client clients[CLIENTS];
static unsigned clients_now, clients_most;
static char lines[CLIENTS][CONTROL_REQUEST_MAX];
static char answer[CONTROL_ANSWER_MAX];
static uint64_t next_look;
static uint32_t owner;   /* the user it was made as */
static bool said;        /* why there is none */
static _Atomic bool off; /* for good */

/* The socket's name in the file system, for whichever thread ends the process. */
static struct {
	char path[64];
	dev_t dev;
	ino_t ino;
	_Atomic uint32_t there;
} name;

/* ---- names -------------------------------------------------------------------------------------------------------- */

static uint32_t user(void)
{
	return (uint32_t)os_call(SYS_geteuid, 0, 0, 0, 0, 0, 0);
}

/* The number behind the first `skip` ones of a file of /proc; 0 where it cannot be read. */
static uint64_t number_in(const char *path, unsigned skip)
{
	char text[4096];
	const char *at = text;
	uint64_t value = 0;

	if (os_read_file(path, text, sizeof(text)) <= 0)
		return 0;
	for (;; skip--) {
		at += strspn(at, " \n");
		if (!skip)
			break;
		at += strspn(at, "0123456789");
	}
	while (*at >= '0' && *at <= '9' && value < UINT32_MAX)
		value = value * 10 + (uint64_t)(*at++ - '0');
	return value;
}

/* Has our namespace of users no number for some users out there, and is this the number that stands for all of those? */
static bool is_from_outside(uint32_t uid)
{
	return number_in("/proc/self/uid_map", 2) != UINT32_MAX && uid == number_in("/proc/sys/kernel/overflowuid", 0);
}

/* /tmp/perfprobe-UID, of the user we are now. */
static void directory_name(char *path, size_t size)
{
	char digits[24];

	path[0] = '\0';
	say_append(path, size, "/tmp/perfprobe-");
	say_append(path, size, say_number(digits, user()));
}

static void socket_name(char *path, size_t size, unsigned n)
{
	char digits[24];

	directory_name(path, size);
	say_append(path, size, "/");
	say_append(path, size, say_number(digits, (uint64_t)os_pid()));
	if (n > 1) {
		say_append(path, size, ".");
		say_append(path, size, say_number(digits, n));
	}
	say_append(path, size, ".sock");
}

/* The directory, made if need be; its descriptor, or -errno. -EPERM with `why` set: somebody else's hand is in it. */
static int open_directory(const char **why)
{
	char path[64];
	struct stat st;
	int fd, made;

	if (own_socket_stat("/tmp", 0, &st) < 0)
		return -ENOENT;
	if (st.st_mode & S_IWOTH && !(st.st_mode & S_ISVTX)) {
		*why = "/tmp has no sticky bit: others could exchange what stands in it";
		return -EPERM;
	}
	directory_name(path, sizeof(path));
	made = (int)os_call(SYS_mkdirat, AT_FDCWD, (long)path, 0700, 0, 0, 0);
	if (made == 0) /* whatever the program's umask */
		(void)os_call(SYS_fchmodat, AT_FDCWD, (long)path, 0700, 0, 0, 0);
	else if (made != -EEXIST)
		return made;
	fd = os_open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd >= 0 && os_fstat(fd, &st) == 0 && st.st_uid == user() && !(st.st_mode & 077))
		return fd;
	os_close(fd);
	if (fd == -EMFILE || fd == -ENFILE || fd == -ENOENT)
		return fd;
	/* A sandbox that shares /tmp with the system: the directory of the user who has our number out there. */
	if (own_socket_stat(path, AT_SYMLINK_NOFOLLOW, &st) == 0 && S_ISDIR(st.st_mode) && is_from_outside(st.st_uid))
		return -EACCES;
	*why = "the directory of the control sockets is not this user's alone";
	return -EPERM;
}

/* "123.sock" or "123.2.sock" -> 123; else 0. */
static pid_t pid_of_name(const char *text)
{
	const char *at = text;
	pid_t pid = 0;

	while (*at >= '0' && *at <= '9' && at - text < 9)
		pid = pid * 10 + (*at++ - '0');
	if (at[0] == '.' && at[1] >= '2' && at[1] <= '9')
		at += 2;
	return strcmp(at, ".sock") == 0 ? pid : 0;
}

static void remove_if_stale(int dir, const char *entry)
{
	char path[64];
	struct stat st;
	pid_t pid = pid_of_name(entry);

	if (pid <= 0 || os_call(SYS_kill, pid, 0, 0, 0, 0, 0) != -ESRCH)
		return;
	directory_name(path, sizeof(path));
	say_append(path, sizeof(path), "/");
	say_append(path, sizeof(path), entry);
	if (own_socket_stat(path, AT_SYMLINK_NOFOLLOW, &st) == 0 && S_ISSOCK(st.st_mode) &&
	    own_socket_is_deserted(path))
		(void)os_unlinkat(dir, entry); /* best effort */
}

/* Processes that were killed leave theirs. linux/dirent.h, as in helper.c. */
static void remove_stale(int dir)
{
	char entries[4096];
	unsigned seen = 0;
	long n;

	while (seen < STALE_MAX && (n = os_call(SYS_getdents64, dir, (long)entries, sizeof(entries), 0, 0, 0)) > 0) {
		for (long at = 0; at < n; seen++) {
			uint16_t reclen;

			memcpy(&reclen, entries + at + 16, sizeof(reclen));
			remove_if_stale(dir, entries + at + 19);
			at += reclen;
		}
	}
}

/* ---- making it ---------------------------------------------------------------------------------------------------- */

/* -EADDRINUSE: another process listens there. */
static int bind_to(int fd, const char *path, const char **why)
{
	struct sockaddr_un address = own_socket_address(path);
	struct stat st;
	int rc = (int)os_call(SYS_bind, fd, (long)&address, sizeof(address), 0, 0, 0);

	if (rc != -EADDRINUSE)
		return rc;
	if (own_socket_stat(path, AT_SYMLINK_NOFOLLOW, &st) < 0 || !S_ISSOCK(st.st_mode) || st.st_uid != user()) {
		*why = "something that is no socket of this user's stands at its place";
		return -EPERM;
	}
	if (!own_socket_is_deserted(path))
		return rc;
	(void)os_unlinkat(AT_FDCWD, path); /* if that fails, so does what follows */
	return (int)os_call(SYS_bind, fd, (long)&address, sizeof(address), 0, 0, 0);
}

static int bind_somewhere(int fd, char *path, size_t size, const char **why)
{
	int rc = -EADDRINUSE;

	for (unsigned n = 1; n <= NAMES && rc == -EADDRINUSE; n++) {
		socket_name(path, size, n);
		rc = bind_to(fd, path, why);
	}
	return rc;
}

/* The calls that follow, none of which does anything: a filter of system calls may refuse them, or kill who makes them. */
static int try_calls(void)
{
	struct timespec none = { 0, 0 };
	int fd = own_socket_new(AF_UNIX);

	if (fd < 0)
		return fd;
	if (os_call(SYS_bind, fd, 0, 0, 0, 0, 0) == -EPERM || os_call(SYS_listen, fd, 0, 0, 0, 0, 0) == -EPERM ||
	    os_call(SYS_accept4, fd, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK, 0, 0) == -EPERM ||
	    os_call(SYS_connect, fd, 0, 0, 0, 0, 0) == -EPERM || os_call(SYS_getsockopt, fd, 0, 0, 0, 0, 0) == -EPERM ||
	    os_call(SYS_recvfrom, fd, 0, 0, MSG_DONTWAIT, 0, 0) == -EPERM ||
	    os_call(SYS_sendto, fd, 0, 0, MSG_NOSIGNAL | MSG_DONTWAIT, 0, 0) == -EPERM ||
	    os_call(SYS_ppoll, 0, 0, (long)&none, 0, 0, 0) != 0)
		return -EPERM;
	(void)os_call(SYS_fchmod, fd, 0600, 0, 0, 0, 0);
	(void)os_call(SYS_kill, os_pid(), 0, 0, 0, 0, 0);
	(void)os_call(SYS_fchmodat, AT_FDCWD, (long)"", 0700, 0, 0, 0);
	(void)os_call(SYS_mkdirat, AT_FDCWD, (long)"", 0700, 0, 0, 0);
	(void)os_unlinkat(AT_FDCWD, "");
	os_close(fd);
	return 0;
}

static int may_have_one(void)
{
	static int known; /* a filter that comes later ends the recording: hook_rights.c */
	struct rlimit limit = { 1024, 1024 };

	(void)os_call(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&limit, 0, 0); /* keeps the guess on failure */
	if (limit.rlim_cur < LEAST_DESCRIPTORS)
		return -EMFILE;
	clients_most = limit.rlim_cur < FEW_DESCRIPTORS ? 1 : CLIENTS;
	if (!known)
		known = os_may(try_calls) ? 1 : -EACCES;
	return known < 0 ? known : 0;
}

/* The socket at one of its names, listening. Its descriptor or -errno; `path` and ret_st are then its own. */
static int make_socket(int dir, char *path, size_t size, struct stat *ret_st, const char **why)
{
	int fd = own_socket_new(AF_UNIX), rc;

	if (fd < 0)
		return fd;
	remove_stale(dir);
	(void)os_call(SYS_fchmod, fd, 0600, 0, 0, 0, 0); /* what bind() makes has this mode, less the umask */
	rc = bind_somewhere(fd, path, size, why);
	if (rc == 0)
		rc = (int)os_call(SYS_listen, fd, BACKLOG, 0, 0, 0, 0);
	if (rc == 0)
		rc = own_socket_stat(path, AT_SYMLINK_NOFOLLOW, ret_st);
	if (rc == 0 && (ret_st->st_mode & 07777) != 0600)
		rc = (int)os_call(SYS_fchmodat, AT_FDCWD, (long)path, 0600, 0, 0, 0);
	if (rc < 0) {
		os_close(fd);
		return rc;
	}
	return fd;
}

static int open_socket(const char **why)
{
	char path[sizeof(name.path)];
	struct stat st;
	int dir, fd, rc = may_have_one();

	if (rc < 0)
		return rc;
	dir = open_directory(why);
	if (dir < 0)
		return dir;
	fd = make_socket(dir, path, sizeof(path), &st, why);
	os_close(dir);
	if (fd < 0)
		return fd;
	own_socket_close(&listener);
	listener = own_socket_take(fd);
	owner = user();
	store_release(&name.there, 0);
	memcpy(name.path, path, sizeof(path));
	name.dev = st.st_dev;
	name.ino = st.st_ino;
	store_release(&name.there, 1); /* pairs with the exchange in control_socket_remove */
	if (load_relaxed(&off))
		control_socket_remove(true);
	return 0;
}

static void explain(const char *why, int rc)
{
	bool asked = start_config()->verbose > 0;

	store_relaxed(&losses_count[LOSS_CONTROL_FAILED], 1);
	if (!said && (why || asked))
		say("no control socket, so that perfprobe(1) does not reach this process: ", why ? why : say_errno(rc),
		    NULL);
	said = true;
}

static bool is_still_there(void)
{
	struct stat st;

	return own_socket_is(&listener) && owner == user() && load_relaxed(&name.there) &&
	       own_socket_stat(name.path, AT_SYMLINK_NOFOLLOW, &st) == 0 && st.st_dev == name.dev &&
	       st.st_ino == name.ino;
}

/* Made for the first time, or again: /tmp was cleaned, the program changed its root. The old one serves until there is a new. */
static void look_after(uint64_t now)
{
	const char *why = NULL;
	int rc;

	next_look = now + LOOK_NS;
	if (load_relaxed(&off) || is_still_there())
		return;
	if (!own_socket_is(&listener))
		listener.fd = -1;
	rc = open_socket(&why);
	if (rc == 0) {
		store_relaxed(&losses_count[LOSS_CONTROL_FAILED], 0);
		return;
	}
	if (listener.fd < 0)
		explain(why, rc);
	next_look = now + RETRY_NS;
}

/* ---- clients ------------------------------------------------------------------------------------------------------ */

/* Best effort: an answer fits into the socket's buffer, and who does not read it has not asked. */
static void send_answer(struct client *c)
{
	size_t len = strlen(answer), sent = 0;
	long n = 1;

	while (n > 0 && sent < len && own_socket_is(&c->socket)) {
		n = os_call(SYS_sendto, c->socket.fd, (long)(answer + sent), (long)(len - sent),
		            MSG_NOSIGNAL | MSG_DONTWAIT, 0, 0);
		sent += n > 0 ? (size_t)n : 0;
	}
}

static void client_end(struct client *c)
{
	own_socket_close(&c->socket);
	c->later = false;
	clients_now--;
}

static void client_answer(struct client *c, const char *text)
{
	answer[0] = '\0';
	say_append(answer, sizeof(answer), text);
	send_answer(c);
	client_end(c);
}

/* This user or root. A user from outside of our namespace got here past a directory that is closed to all but us and those who
 * may do anything: it is the root of outside, or who made the namespace. */
static bool is_allowed(int fd)
{
	struct ucred peer = { 0, 0, 0 };
	socklen_t len = sizeof(peer);

	if (os_call(SYS_getsockopt, fd, SOL_SOCKET, SO_PEERCRED, (long)&peer, (long)&len, 0) < 0)
		return false;
	return peer.uid == user() || peer.uid == 0 || is_from_outside(peer.uid);
}

/* A place for a new client: a free one, or that of the one that has been silent longest. */
static struct client *client_place(void)
{
	struct client *oldest = NULL;

	for (unsigned i = 0; i < CLIENTS; i++) {
		struct client *c = &clients[i];

		if (c->socket.fd < 0 && clients_now < clients_most)
			return c;
		if (c->socket.fd >= 0 && !c->later && (!oldest || c->deadline_ns < oldest->deadline_ns))
			oldest = c;
	}
	if (oldest)
		client_end(oldest);
	return oldest;
}

/* False: it has sent no more for now, or is gone. */
static bool client_read(struct client *c, uint64_t now)
{
	char *line = lines[c - clients], *end;
	long n;

	if (!own_socket_is(&c->socket)) {
		client_end(c);
		return false;
	}
	n = os_call(SYS_recvfrom, c->socket.fd, (long)(line + c->used), (long)(CONTROL_REQUEST_MAX - c->used),
	            MSG_DONTWAIT, 0, 0);
	if (n == -EINTR || (n == -EAGAIN && now < c->deadline_ns))
		return false;
	if (n <= 0) {
		client_end(c);
		return false;
	}
	c->used += (size_t)n;
	end = memchr(line, '\n', c->used);
	if (!end && c->used < CONTROL_REQUEST_MAX)
		return true;
	if (!end) {
		client_answer(c, "error the request is too long\n");
	} else if (end + 1 != line + c->used || memchr(line, '\0', (size_t)(end - line))) {
		client_answer(c, "error a request is one line of text\n");
	} else {
		*end = '\0';
		os_follow_credentials();
		if (control_answer(line, answer, sizeof(answer)) == CONTROL_LATER) {
			c->later = true;
			return false;
		}
		send_answer(c);
		client_end(c);
	}
	return false;
}

static void client_serve(struct client *c, uint64_t now)
{
	while (c->socket.fd >= 0 && !c->later && client_read(c, now))
		continue;
}

static void accept_some(uint64_t now)
{
	for (unsigned i = 0; i < ACCEPTS && own_socket_is_called(&listener); i++) {
		int fd = (int)os_call(SYS_accept4, listener.fd, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK, 0, 0);
		struct client *c;

		if (fd == -ECONNABORTED || fd == -EINTR)
			continue;
		if (fd < 0)
			return; /* nobody is there, or no descriptor: later */
		c = client_place();
		if (!c) {
			os_close(fd);
			continue;
		}
		*c = (struct client){ .socket = own_socket_take(fd),
			              .deadline_ns = now + DEADLINE_NS + i }; /* in their order */
		clients_now++;
		if (is_allowed(c->socket.fd))
			client_serve(c, now);
		else
			client_answer(c, "error only the process's own user and root may ask\n");
	}
}

/* What took long is done: the client that asked for it may have gone. */
static void answer_later(void)
{
	if (!control_is_busy() || !control_later(answer, sizeof(answer)))
		return;
	for (unsigned i = 0; i < CLIENTS; i++) {
		if (clients[i].socket.fd >= 0 && clients[i].later) {
			send_answer(&clients[i]);
			client_end(&clients[i]);
		}
	}
}

/* ---- public ------------------------------------------------------------------------------------------------------- */

static void forget_all(void)
{
	listener.fd = -1;
	for (unsigned i = 0; i < CLIENTS; i++)
		clients[i] = (struct client){ .socket = { -1, 0 } };
	clients_now = 0;
}

static void close_all(void)
{
	own_socket_close(&listener);
	for (unsigned i = 0; i < CLIENTS; i++)
		own_socket_close(&clients[i].socket);
}

void control_socket_begin(uint64_t now_ns)
{
	forget_all();
	next_look = now_ns + OPEN_AFTER_NS;
}

uint64_t control_socket_tick(uint64_t now_ns)
{
	if (now_ns >= next_look)
		look_after(now_ns);
	if (listener.fd >= 0)
		accept_some(now_ns);
	for (unsigned i = 0; i < CLIENTS; i++)
		client_serve(&clients[i], now_ns);
	answer_later();
	if (clients_now || control_is_busy())
		return POLL_NS;
	return next_look > now_ns ? next_look - now_ns : 0;
}

void control_socket_end(void)
{
	control_socket_remove(false);
	close_all();
	forget_all();
}

void control_socket_remove(bool for_good)
{
	struct stat st;

	if (for_good)
		store_relaxed(
		        &off,
		        true); /* late by a look: the name stays, and the next process of this user takes it away */
	/* acquire, pairs with the release in open_socket: the path is complete */
	if (exchange_acq_rel(&name.there, 0) && own_socket_stat(name.path, AT_SYMLINK_NOFOLLOW, &st) == 0 &&
	    st.st_dev == name.dev && st.st_ino == name.ino)
		(void)os_unlinkat(AT_FDCWD, name.path); /* best effort */
}

void control_socket_fork_child(void)
{
	if (own_socket_is_shared()) /* else they are in the table of a thread that is not in this process */
		close_all();
	forget_all();
	store_relaxed(&name.there, 0);
	store_relaxed(&off, false);
	said = false;
}
