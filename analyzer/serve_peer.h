/* Who asks: is a request for us, and from our own user? Hosted programs, any thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct sockaddr;

/* The kernel's lists of TCP sockets can be read, so that the next one can answer. */
bool serve_peer_known(void);
/* The other end of a connection from 127.0.0.1 to `port` is a socket of this user's, or root's. False also if it cannot be found. */
bool serve_peer_is_ours(const struct sockaddr *peer, uint16_t port);
/* A Host header that names this machine itself: 127.0.0.1, localhost or [::1], with this port or, for port 80, without. Anything
 * else is a page elsewhere whose name was made to lead here. NULL: there is none. */
bool serve_peer_host_fits(const char *host, uint16_t port);
/* One line of /proc/net/tcp or tcp6: true if it is the socket with local port `from` and remote port `to` on loopback; *ret_uid is
 * then whose. */
bool serve_peer_line(const char *line, uint16_t from, uint16_t to, uint32_t *ret_uid);
