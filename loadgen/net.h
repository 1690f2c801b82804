/* Sockets. Errors: 0 or a descriptor, else -errno. Any thread. */
#pragma once
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "compiler.h"
#include "err.h"

struct epoll_event;

enum { NET_ADDRESSES_MAX = 16 };

union net_address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

struct net_addresses {
	union net_address items[NET_ADDRESSES_MAX];
	size_t count; /* at least 1 after success; in the resolver's order */
};

/* Blocks. -ENOENT with a sentence if the name has no address. */
int net_resolve(const char *host, uint16_t port, struct net_addresses *ret_addresses, struct err *err) MUST_USE;
/* The one address that a Unix socket has. -EINVAL with a sentence if the path is too long. */
int net_unix(const char *path, struct net_addresses *ret_addresses, struct err *err) MUST_USE;
/* A non-blocking socket on its way to `to`; whether it arrives is told by EPOLLOUT and net_take_error(). */
int net_connect(const union net_address *to) MUST_USE;
/* The pending error of a socket as a positive errno, 0 if none. */
int net_take_error(int fd);
/* Edge-triggered, once for the socket's life: reading, writing and the peer's close; `tag` comes back in data.ptr. */
int net_watch(int epoll_fd, int fd, void *tag) MUST_USE;
/* epoll_wait() with a limit in ns. Linux before 5.11, and emulators, lack the call for that: there it takes two. -1: interrupted. */
int net_wait(int epoll_fd, struct epoll_event *events, int most, uint64_t limit_ns);
/* Raises the soft limit of descriptors as far as the hard limit lets it; returns what is allowed now. */
uint64_t net_raise_descriptor_limit(uint64_t wanted);
