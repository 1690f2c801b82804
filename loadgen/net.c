/* net.c - name lookup, sockets, limits. */
#include "net.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "atomic.h"
#include "units.h"

int net_resolve(const char *host, uint16_t port, struct net_addresses *ret_addresses, struct err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	struct addrinfo *list = NULL;
	char service[8];
	int rc;

	(void)snprintf(service, sizeof(service), "%u", (unsigned)port);
	rc = getaddrinfo(host, service, &hints, &list);
	if (rc != 0)
		return err_set(err, -ENOENT, "the host name '%s' was not found: %s", host,
		               rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
	ret_addresses->count = 0;
	for (const struct addrinfo *a = list; a && ret_addresses->count < NET_ADDRESSES_MAX; a = a->ai_next) {
		if (a->ai_addrlen > sizeof(union net_address) || (a->ai_family != AF_INET && a->ai_family != AF_INET6))
			continue;
		memcpy(&ret_addresses->items[ret_addresses->count++], a->ai_addr, a->ai_addrlen);
	}
	freeaddrinfo(list);
	if (ret_addresses->count == 0)
		return err_set(err, -ENOENT, "the host name '%s' has no IPv4 or IPv6 address", host);
	return 0;
}

int net_unix(const char *path, struct net_addresses *ret_addresses, struct err *err)
{
	struct sockaddr_un *un = &ret_addresses->items[0].un;

	if (strlen(path) >= sizeof(un->sun_path))
		return err_set(err, -EINVAL, "the path of the socket is longer than the %zu bytes that are possible",
		               sizeof(un->sun_path) - 1);
	*un = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(un->sun_path, path, strlen(path));
	ret_addresses->count = 1;
	return 0;
}

static socklen_t address_bytes(const union net_address *to)
{
	return to->any.sa_family == AF_INET    ? sizeof(to->in)
	       : to->any.sa_family == AF_INET6 ? sizeof(to->in6)
	                                       : sizeof(to->un);
}

int net_connect(const union net_address *to)
{
	int fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	const int on = 1;

	if (fd < 0)
		return -errno;
	/* A request is sent whole: waiting to join it with more would only add to its latency. */
	if (to->any.sa_family != AF_UNIX)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, &to->any, address_bytes(to)) < 0 && errno != EINPROGRESS) {
		int code = errno;

		(void)close(fd); /* nothing was sent on it */
		return -code;
	}
	return fd;
}

int net_take_error(int fd)
{
	int code = 0;
	socklen_t len = sizeof(code);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0)
		return errno;
	return code;
}

int net_watch(int epoll_fd, int fd, void *tag)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = tag };

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int net_wait(int epoll_fd, struct epoll_event *events, int most, uint64_t limit_ns)
{
	static _Atomic bool lacking;
	const struct timespec limit = { .tv_sec = (time_t)(limit_ns / NS_PER_S),
		                        .tv_nsec = (long)(limit_ns % NS_PER_S) };
	struct pollfd ready = { .fd = epoll_fd, .events = POLLIN };
	int n = load_relaxed(&lacking) ? -1 : epoll_pwait2(epoll_fd, events, most, &limit, NULL);

	if (n >= 0 || (!load_relaxed(&lacking) && errno != ENOSYS))
		return n;
	store_relaxed(&lacking, true); /* relaxed: who does not see it asks once more */
	n = ppoll(&ready, 1, &limit, NULL);
	return n > 0 ? epoll_wait(epoll_fd, events, most, 0) : n;
}

uint64_t net_raise_descriptor_limit(uint64_t wanted)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return wanted; /* unknown: let the system answer */
	if (limit.rlim_cur < wanted) {
		limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
		if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
			(void)getrlimit(RLIMIT_NOFILE, &limit);
	}
	return limit.rlim_cur;
}
