/*
 * metrics_socket.c - Prometheus and its like at the door.
 *
 * Whom       anybody who reaches the address: it is this machine's alone unless another one was written out. Nothing can be asked for
 *            but the page, nothing is changed by asking.
 * Bounds     CLIENTS connections at once, one request each. A head has HEAD_NS and 8 KiB; an answer SEND_NS, and its memory is
 *            given back with its end. Who has asked for nothing makes room for a new one, then who takes nothing. After a page
 *            none is made for PAGE_SHARE times as long as it took. No call waits.
 * Ends       after an answer the connection is half closed, and what still comes is read for a moment: closing it at once would
 *            have the kernel reset it, and the client lose what it has not read (RFC 9112 section 9.6).
 * Address    of a range of ports the first that is free; where none is, somebody else's is never taken, and we ask again. A Unix
 *            socket's name is taken over only from a socket of this user's on which nobody listens.
 * Descriptors  own_socket.h: none of these is in the program's table, and none is seen by the hooks, so that a scrape is no
 *            request of the program's.
 */
#include "metrics_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "atomic.h"
#include "compiler.h"
#include "losses.h"
#include "metrics_address.h"
#include "metrics_http.h"
#include "metrics_page.h"
#include "os_linux.h"
#include "own_socket.h"
#include "say.h"
#include "start.h"
#include "units.h"

enum {
	CLIENTS = 4,
	FEW_DESCRIPTORS = 32,   /* fewer than this: one client */
	LEAST_DESCRIPTORS = 16, /* profiles and the control socket come first */
	BACKLOG = 32,
	ACCEPTS = 16, /* in one tick */
	PAGE_SHARE = 9,
	SEND_BUFFER = 128 << 10, /* what the kernel keeps for who does not read, and what is sent in 5 ms */
	DRAIN_BYTES = 4096,
	DRAINS = 16, /* in one tick */
};

#define OPEN_AFTER_NS   (100 * NS_PER_MS)
#define LOOK_NS         NS_PER_S        /* is it still there? */
#define RETRY_NS        (5 * NS_PER_S)  /* where none could be had */
#define RETRY_RARELY_NS (60 * NS_PER_S) /* a filter of system calls, or rights: asking takes a process */
#define HEAD_NS         (2 * NS_PER_S)
#define SEND_NS         (10 * NS_PER_S)
#define STALLED_NS      NS_PER_S /* who has taken nothing for so long makes room */
#define LINGER_NS       (500 * NS_PER_MS)
#define POLL_NS         (5 * NS_PER_MS) /* while there is a client */
#define PAGE_GAP_NS     (5 * NS_PER_MS) /* from one page to the next at least */

enum stage { READING, WAITING /* for its turn */, SENDING, LINGERING };

struct client {
	struct own_socket socket;
	enum stage stage;
	uint64_t deadline_ns, moved_ns; /* moved: when it last took something */
	size_t used;                    /* of its head */
	int status;
	struct metrics_request request;
	char *page; /* METRICS_PAGE_BYTES, or NULL */
	size_t head_bytes, page_bytes, sent;
	const char *body; /* page, or a sentence */
	char head[METRICS_ANSWER_HEAD];
};

static struct metrics_address address;
static struct own_socket listener = { -1, 0 };
static struct client clients[CLIENTS];
static unsigned clients_now, clients_most;
static char heads[CLIENTS][METRICS_HEAD_MAX];
static uint64_t next_look, next_try, next_page;
static uint32_t changes; /* of options, when `address` was read */
static bool said;        /* why there is none, by this process */
static char where[METRICS_WHERE_BYTES + 64];
static _Atomic bool off; /* for good */

/* A Unix socket's name, for whichever thread ends the process. */
static struct {
	char path[METRICS_PATH_BYTES];
	dev_t dev;
	ino_t ino;
	_Atomic uint32_t there;
} name;

/* ---- making it ---------------------------------------------------------------------------------------------------- */

static bool is_still_there(void)
{
	struct stat st;

	if (!own_socket_is(&listener))
		return false;
	return address.kind != METRICS_UNIX ||
	       (load_relaxed(&name.there) && own_socket_stat(name.path, AT_SYMLINK_NOFOLLOW, &st) == 0 &&
	        st.st_dev == name.dev && st.st_ino == name.ino);
}

static uint32_t user(void)
{
	return (uint32_t)os_call(SYS_geteuid, 0, 0, 0, 0, 0, 0);
}

/* -EADDRINUSE: another process listens there; -EEXIST: what stands there is not ours to take away. */
static int bind_path(int fd, const char *path)
{
	struct sockaddr_un to = own_socket_address(path);
	struct stat st;
	int rc = (int)os_call(SYS_bind, fd, (long)&to, sizeof(to), 0, 0, 0);

	if (rc != -EADDRINUSE)
		return rc;
	if (own_socket_stat(path, AT_SYMLINK_NOFOLLOW, &st) < 0 || !S_ISSOCK(st.st_mode) || st.st_uid != user())
		return -EEXIST;
	if (!own_socket_is_deserted(path))
		return rc;
	(void)os_unlinkat(AT_FDCWD, path); /* if that fails, so does what follows */
	return (int)os_call(SYS_bind, fd, (long)&to, sizeof(to), 0, 0, 0);
}

/* Mode 0600, whatever the umask; of what bind() has made, and nothing else: who may write the directory may have put something in its
 * place, a link to a file of ours. */
static int close_to_others(const char *path, struct stat *ret_st)
{
	char own[64] = "/proc/thread-self/fd/", digits[24];
	int fd = os_open(path, O_PATH | O_NOFOLLOW, 0), rc;

	if (fd < 0)
		return fd;
	rc = os_fstat(fd, ret_st);
	if (rc == 0 && (!S_ISSOCK(ret_st->st_mode) || ret_st->st_uid != user()))
		rc = -EEXIST;
	say_append(own, sizeof(own), say_number(digits, (uint64_t)fd));
	if (rc == 0 && (ret_st->st_mode & 07777) != 0600)
		rc = (int)os_call(SYS_fchmodat, AT_FDCWD, (long)own, 0600, 0, 0, 0);
	os_close(fd);
	return rc;
}

/* Its descriptor or -errno. */
static int listen_path(const char *path, struct stat *ret_st)
{
	int fd = own_socket_new(AF_UNIX), rc;

	if (fd < 0)
		return fd;
	(void)os_call(SYS_fchmod, fd, 0600, 0, 0, 0, 0); /* what bind() makes has this mode, less the umask */
	rc = bind_path(fd, path);
	if (rc == 0)
		rc = close_to_others(path, ret_st);
	if (rc == 0)
		rc = (int)os_call(SYS_listen, fd, BACKLOG, 0, 0, 0, 0);
	if (rc == 0)
		return fd;
	os_close(fd);
	return rc;
}

union ip_address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static uint16_t big_endian(uint16_t port)
{
	return (uint16_t)(port << 8 | port >> 8); /* x86-64 and aarch64 are little-endian */
}

static socklen_t ip_address(const struct metrics_address *a, uint16_t port, union ip_address *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (a->kind == METRICS_IPV4) {
		ret->v4.sin_family = AF_INET;
		ret->v4.sin_port = big_endian(port);
		memcpy(&ret->v4.sin_addr, a->ip, sizeof(ret->v4.sin_addr));
		return sizeof(ret->v4);
	}
	ret->v6.sin6_family = AF_INET6;
	ret->v6.sin6_port = big_endian(port);
	memcpy(&ret->v6.sin6_addr, a->ip, sizeof(ret->v6.sin6_addr));
	return sizeof(ret->v6);
}

/* Its descriptor or -errno. SO_REUSEADDR: over connections that have ended a moment ago, never over a listener (socket(7)). */
static int listen_port(uint16_t port)
{
	union ip_address to;
	socklen_t len = ip_address(&address, port, &to);
	int fd = own_socket_new(to.any.sa_family), rc, on = 1, most = SEND_BUFFER;

	if (fd < 0)
		return fd;
	(void)os_call(SYS_setsockopt, fd, SOL_SOCKET, SO_REUSEADDR, (long)&on, sizeof(on), 0);
	(void)os_call(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDBUF, (long)&most, sizeof(most), 0); /* its connections' */
	rc = (int)os_call(SYS_bind, fd, (long)&to, (long)len, 0, 0, 0);
	if (rc == 0)
		rc = (int)os_call(SYS_listen, fd, BACKLOG, 0, 0, 0, 0);
	if (rc == 0)
		return fd;
	os_close(fd);
	return rc;
}

static int listen_ports(void)
{
	int fd = -EADDRINUSE;

	for (uint32_t port = address.first; port <= address.last && fd == -EADDRINUSE; port++)
		fd = listen_port((uint16_t)port);
	return fd;
}

static uint16_t port_of(int fd)
{
	union ip_address is;
	socklen_t len = sizeof(is);

	memset(&is, 0, sizeof(is));
	(void)os_call(SYS_getsockname, fd, (long)&is, (long)&len, 0, 0, 0);
	return big_endian(is.any.sa_family == AF_INET6 ? is.v6.sin6_port : is.v4.sin_port);
}

/* The calls that follow, none of which does anything: a filter of system calls may refuse them, or kill who makes them. */
static int try_calls(void)
{
	int fd = own_socket_new(address.kind == METRICS_UNIX   ? AF_UNIX
	                        : address.kind == METRICS_IPV4 ? AF_INET
	                                                       : AF_INET6);
	struct timespec none = { 0, 0 };
	int on = 1;

	if (fd < 0)
		return fd;
	if (os_call(SYS_bind, fd, 0, 0, 0, 0, 0) == -EPERM || os_call(SYS_listen, -1, 0, 0, 0, 0, 0) == -EPERM ||
	    os_call(SYS_accept4, fd, 0, 0, SOCK_CLOEXEC, 0, 0) == -EPERM ||
	    os_call(SYS_setsockopt, fd, SOL_SOCKET, SO_REUSEADDR, (long)&on, sizeof(on), 0) == -EPERM ||
	    os_call(SYS_getsockname, fd, 0, 0, 0, 0, 0) == -EPERM ||
	    os_call(SYS_shutdown, fd, 0, 0, 0, 0, 0) == -EPERM ||
	    os_call(SYS_recvfrom, fd, 0, 0, MSG_DONTWAIT, 0, 0) == -EPERM ||
	    os_call(SYS_sendto, fd, 0, 0, MSG_NOSIGNAL | MSG_DONTWAIT, 0, 0) == -EPERM ||
	    os_call(SYS_ppoll, 0, 0, (long)&none, 0, 0, 0) != 0)
		return -EPERM;
	if (address.kind == METRICS_UNIX) {
		(void)os_call(SYS_fchmod, fd, 0600, 0, 0, 0, 0);
		(void)os_call(SYS_fchmodat, AT_FDCWD, (long)"", 0600, 0, 0, 0);
		(void)os_unlinkat(AT_FDCWD, "");
		(void)os_call(SYS_connect, fd, 0, 0, 0, 0, 0);
	}
	os_close(fd);
	return 0;
}

static int may_have_one(void)
{
	static enum metrics_kind known; /* may be made; a filter that comes later ends the recording: hook_rights.c */
	struct rlimit limit = { 1024, 1024 };

	(void)os_call(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&limit, 0, 0); /* keeps the guess on failure */
	if (limit.rlim_cur < LEAST_DESCRIPTORS)
		return -EMFILE;
	clients_most = limit.rlim_cur < FEW_DESCRIPTORS ? 1 : CLIENTS;
	if (known != address.kind && !os_may(try_calls))
		return -EACCES;
	known = address.kind;
	return 0;
}

static int open_path(void)
{
	char path[METRICS_PATH_BYTES];
	struct stat st;
	int fd;

	metrics_address_path(&address, (uint64_t)os_pid(), path);
	fd = listen_path(path, &st);
	if (fd < 0)
		return fd;
	own_socket_close(&listener);
	listener = own_socket_take(fd);
	store_release(&name.there, 0);
	memcpy(name.path, path, sizeof(path));
	name.dev = st.st_dev;
	name.ino = st.st_ino;
	store_release(&name.there, 1); /* pairs with the exchange in metrics_socket_remove */
	if (load_relaxed(&off))
		metrics_socket_remove(true);
	return 0;
}

/* 0 or -errno. */
static int open_socket(void)
{
	int rc = may_have_one(), fd;

	if (rc < 0)
		return rc;
	if (address.kind == METRICS_UNIX) {
		rc = open_path();
	} else {
		fd = listen_ports();
		if (fd >= 0)
			listener = own_socket_take(fd);
		rc = fd < 0 ? fd : 0;
	}
	if (rc == 0)
		metrics_address_where(&address, port_of(listener.fd), name.path, where);
	return rc;
}

/* ---- telling ------------------------------------------------------------------------------------------------------ */

static void explain(int rc)
{
	const char *text = start_config()->text[CONFIG_METRICS], *advice = "", *why = say_errno(rc);

	store_relaxed(&losses_count[LOSS_METRICS_FAILED], 1);
	if (rc == -EADDRINUSE && address.kind == METRICS_UNIX) {
		why = "another process has it";
		advice = "; unix:/path.%p gives each process its own";
	} else if (rc == -EADDRINUSE) {
		why = address.first == address.last ? "another process has it" : "other processes have all of them";
		advice = address.first == address.last
		                 ? "; a range (127.0.0.1:9464-9479) or unix:/path.%p gives each process its own"
		                 : "";
	} else if (rc == -EEXIST) {
		why = "something that is no socket of this user's stands there";
	}
	where[0] = '\0';
	say_append(where, sizeof(where), "none: ");
	say_append(where, sizeof(where), why);
	/* Workers have it taken in turn, by thousands in some servers: one of them says it. */
	if (rc == -EADDRINUSE ? metrics_page_refused() : !said)
		say("no metrics at ", text, ": ", why, advice, NULL);
	said = true;
}

/* ---- clients ------------------------------------------------------------------------------------------------------ */

static void drop_page(struct client *c)
{
	os_unmap(c->page, c->page ? METRICS_PAGE_BYTES : 0);
	c->page = NULL;
}

static void client_end(struct client *c)
{
	own_socket_close(&c->socket);
	drop_page(c);
	clients_now--;
}

static void forget_all(void)
{
	listener.fd = -1;
	for (unsigned i = 0; i < CLIENTS; i++)
		clients[i].socket.fd = -1;
	clients_now = 0;
}

/* Which of two has to go first for a new one? Who has asked for nothing, then who is only to hang up. */
static unsigned rank(const struct client *c)
{
	return c->stage == READING ? 0 : c->stage == LINGERING ? 1 : 2;
}

static bool may_go(const struct client *c, uint64_t now)
{
	return c->stage == READING || c->stage == LINGERING || (c->stage == SENDING && c->moved_ns + STALLED_NS < now);
}

/* A place for a new client, or NULL. */
static struct client *client_place(uint64_t now)
{
	struct client *first = NULL;

	for (unsigned i = 0; i < CLIENTS; i++) {
		struct client *c = &clients[i];

		if (c->socket.fd < 0 && clients_now < clients_most)
			return c;
		if (c->socket.fd >= 0 && may_go(c, now) &&
		    (!first || rank(c) < rank(first) || (rank(c) == rank(first) && c->moved_ns < first->moved_ns)))
			first = c;
	}
	if (first)
		client_end(first);
	return first;
}

static void begin_answer(struct client *c, int status, uint64_t now)
{
	c->head_bytes = metrics_http_head(status, &c->request, c->page_bytes, c->head);
	if (c->request.head)
		c->page_bytes = 0;
	c->sent = 0;
	c->stage = SENDING;
	c->moved_ns = now;
	c->deadline_ns = now + SEND_NS;
}

static void refuse(struct client *c, int status, uint64_t now)
{
	c->body = metrics_http_body(status);
	c->page_bytes = strlen(c->body);
	begin_answer(c, status, now);
}

/* The four stages; true: it may be gone on with at once. */

static bool client_read(struct client *c, uint64_t now)
{
	char *head = heads[c - clients];
	long n = os_call(SYS_recvfrom, c->socket.fd, (long)(head + c->used), (long)(METRICS_HEAD_MAX - c->used),
	                 MSG_DONTWAIT, 0, 0);

	if (n == -EINTR || n == -EAGAIN)
		return false;
	if (n <= 0) {
		client_end(c);
		return false;
	}
	c->used += (size_t)n;
	c->status = metrics_http_read(head, c->used, &c->request);
	if (c->status == 200)
		c->stage = WAITING;
	else if (c->status)
		refuse(c, c->status, now);
	return true;
}

static bool client_wait(struct client *c, uint64_t now)
{
	uint64_t began, took;

	if (now < next_page)
		return false;
	os_follow_credentials();
	began = os_now_ns();
	c->page = os_map(METRICS_PAGE_BYTES);
	c->page_bytes =
	        c->page ? metrics_page(c->page, METRICS_PAGE_BYTES, c->request.otel, c->request.openmetrics) : 0;
	took = os_now_ns() - began;
	next_page = began + took + (took * PAGE_SHARE > PAGE_GAP_NS ? took * PAGE_SHARE : PAGE_GAP_NS);
	c->body = c->page;
	if (c->page_bytes)
		begin_answer(c, 200, now);
	else
		refuse(c, 500, now);
	return true;
}

static bool client_send(struct client *c, uint64_t now)
{
	bool in_head = c->sent < c->head_bytes;
	const char *from = in_head ? c->head + c->sent : c->body + (c->sent - c->head_bytes);
	size_t left = in_head ? c->head_bytes - c->sent : c->head_bytes + c->page_bytes - c->sent;
	long n = left ? os_call(SYS_sendto, c->socket.fd, (long)from, (long)left,
	                        MSG_NOSIGNAL | MSG_DONTWAIT | (in_head && c->page_bytes ? MSG_MORE : 0), 0, 0)
	              : 0;

	if (n == -EINTR || n == -EAGAIN)
		return false;
	if (n < 0) {
		client_end(c);
		return false;
	}
	c->sent += (size_t)n;
	c->moved_ns = now;
	if (c->sent < c->head_bytes + c->page_bytes)
		return true;
	(void)os_call(SYS_shutdown, c->socket.fd, SHUT_WR, 0, 0, 0, 0); /* it may be gone */
	drop_page(c);
	c->stage = LINGERING;
	c->deadline_ns = now + LINGER_NS;
	return true;
}

static bool client_linger(struct client *c)
{
	char drain[DRAIN_BYTES];
	long n = sizeof(drain);

	for (unsigned i = 0; i < DRAINS && n > 0; i++)
		n = os_call(SYS_recvfrom, c->socket.fd, (long)drain, sizeof(drain), MSG_DONTWAIT, 0, 0);
	if (n <= 0 && n != -EAGAIN && n != -EINTR)
		client_end(c);
	return false;
}

static void client_serve(struct client *c, uint64_t now)
{
	bool more = true;

	while (more && c->socket.fd >= 0) {
		if (!own_socket_is(&c->socket)) {
			client_end(c);
			return;
		}
		more = c->stage == READING   ? client_read(c, now)
		       : c->stage == WAITING ? client_wait(c, now)
		       : c->stage == SENDING ? client_send(c, now)
		                             : client_linger(c);
	}
	/* What has come meanwhile was looked at before: a profile may have taken longer than the client has. */
	if (c->socket.fd >= 0 && c->stage != WAITING && now >= c->deadline_ns)
		client_end(c);
}

static void accept_some(uint64_t now)
{
	for (unsigned i = 0; i < ACCEPTS && own_socket_is_called(&listener); i++) {
		struct client *c = client_place(now);
		int fd;

		if (!c)
			return; /* all are being answered: it waits */
		fd = (int)os_call(SYS_accept4, listener.fd, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK, 0, 0);
		if (fd == -ECONNABORTED || fd == -EINTR)
			continue;
		if (fd < 0)
			return; /* nobody is there, or no descriptor: later */
		memset(c, 0, offsetof(struct client, head));
		c->socket = own_socket_take(fd);
		c->moved_ns = now + i; /* in their order */
		c->deadline_ns = now + HEAD_NS;
		clients_now++;
		client_serve(c, now);
	}
}

/* ---- public ------------------------------------------------------------------------------------------------------- */

/* The option may have changed. */
static void follow_option(void)
{
	uint32_t seen = config_changes();
	struct metrics_address asked;

	if (seen == changes)
		return;
	changes = seen;
	/* Only what can be parsed becomes an option. */
	if (metrics_address_parse(start_config()->text[CONFIG_METRICS], &asked) ||
	    memcmp(&asked, &address, sizeof(asked)) == 0)
		return;
	metrics_socket_end();
	address = asked;
	said = false;
	next_try = 0;
}

/* Made for the first time, or again: the option changed, a port became free, somebody removed the name. */
static void look_after(uint64_t now)
{
	int rc;

	next_look = now + LOOK_NS;
	follow_option();
	if (load_relaxed(&off) || address.kind == METRICS_OFF || now < next_try || is_still_there())
		return;
	os_follow_credentials();
	if (address.kind != METRICS_UNIX || !own_socket_is(&listener))
		own_socket_close(&listener);
	rc = open_socket();
	if (rc == 0) {
		store_relaxed(&losses_count[LOSS_METRICS_FAILED], 0);
		return;
	}
	if (rc == -EADDRINUSE) /* somebody has taken the name while we were between having it and listening */
		own_socket_close(&listener);
	if (listener.fd < 0)
		explain(rc);
	next_try = now + (rc == -EACCES ? RETRY_RARELY_NS : RETRY_NS);
}

void metrics_socket_begin(uint64_t now_ns)
{
	forget_all();
	changes = config_changes() - 1;
	memset(&address, 0, sizeof(address));
	next_look = now_ns + OPEN_AFTER_NS;
	next_try = 0;
}

uint64_t metrics_socket_tick(uint64_t now_ns)
{
	if (now_ns >= next_look)
		look_after(now_ns);
	if (listener.fd < 0)
		return next_look - now_ns;
	for (unsigned i = 0; i < CLIENTS && clients_now; i++)
		client_serve(&clients[i], now_ns);
	accept_some(now_ns);
	return clients_now ? POLL_NS : next_look - now_ns;
}

void metrics_socket_end(void)
{
	metrics_socket_remove(false);
	own_socket_close(&listener);
	for (unsigned i = 0; i < CLIENTS; i++)
		if (clients[i].socket.fd >= 0)
			client_end(&clients[i]);
	forget_all();
	store_relaxed(&losses_count[LOSS_METRICS_FAILED], 0);
	where[0] = '\0';
}

const char *metrics_socket_where(void)
{
	if (where[0])
		return where;
	return start_config()->metrics ? "none yet" : "off";
}

void metrics_socket_remove(bool for_good)
{
	struct stat st;

	if (for_good)
		store_relaxed(&off, true); /* late by a look: the name stays, and the next process takes it over */
	/* acquire, pairs with the release in open_path: the path is complete */
	if (exchange_acq_rel(&name.there, 0) && own_socket_stat(name.path, AT_SYMLINK_NOFOLLOW, &st) == 0 &&
	    st.st_dev == name.dev && st.st_ino == name.ino)
		(void)os_unlinkat(AT_FDCWD, name.path); /* best effort */
}

void metrics_socket_fork_child(void)
{
	/* Else they are in the table of a thread that is not in this process. A page under way stays mapped: whether it is, only
	 * that thread knows. */
	for (unsigned i = 0; i < CLIENTS && own_socket_is_shared(); i++)
		own_socket_close(&clients[i].socket);
	if (own_socket_is_shared())
		own_socket_close(&listener);
	forget_all();
	store_relaxed(&name.there, 0);
	store_relaxed(&off, false);
	said = false;
	where[0] = '\0';
	metrics_page_fork_child();
}
