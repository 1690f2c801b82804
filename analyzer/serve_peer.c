/*
 * serve_peer.c - loopback belongs to all users of a machine, and profiles to one.
 *
 * proc(5): "  sl  local_address rem_address   st tx_queue:rx_queue tr:tm->when retrnsmt   uid ...", addresses as hexadecimal words in
 * the machine's byte order. A browser may use an IPv6 socket for an IPv4 address (::ffff:127.0.0.1), so both lists are read.
 */
#include "serve_peer.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const lists[] = { "/proc/net/tcp", "/proc/net/tcp6" };

bool serve_peer_known(void)
{
	return access(lists[0], R_OK) == 0;
}

bool serve_peer_line(const char *line, uint16_t from, uint16_t to, uint32_t *ret_uid)
{
	char local[40], remote[40], loopback[9];
	unsigned local_port, remote_port, uid;
	size_t n;

	if (sscanf(line, " %*d: %39[0-9A-Fa-f]:%4x %39[0-9A-Fa-f]:%4x %*x %*x:%*x %*x:%*x %*x %u", local, &local_port,
	           remote, &remote_port, &uid) != 5)
		return false;
	n = strlen(local);
	(void)snprintf(loopback, sizeof(loopback), "%08X", htonl(INADDR_LOOPBACK));
	/* The last word is the IPv4 address in either list. */
	if (n < 8 || strlen(remote) != n || strcmp(local + n - 8, loopback) != 0 ||
	    strcmp(remote + n - 8, loopback) != 0 || local_port != from || remote_port != to)
		return false;
	*ret_uid = uid;
	return true;
}

bool serve_peer_is_ours(const struct sockaddr *peer, uint16_t port)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)peer;
	char line[512];
	uint32_t uid;
	bool ours = false, found = false;

	if (peer->sa_family != AF_INET || in->sin_addr.s_addr != htonl(INADDR_LOOPBACK))
		return false;
	for (unsigned i = 0; i < sizeof(lists) / sizeof(lists[0]) && !found; i++) {
		FILE *f = fopen(lists[i], "re");

		while (f && !found && fgets(line, sizeof(line), f))
			found = serve_peer_line(line, ntohs(in->sin_port), port, &uid);
		if (f)
			(void)fclose(f); /* read only */
	}
	if (found)
		ours = uid == geteuid() || uid == 0;
	return ours;
}

bool serve_peer_host_fits(const char *host, uint16_t port)
{
	static const char *const names[] = { "127.0.0.1", "localhost", "[::1]" };

	for (unsigned i = 0; host && i < sizeof(names) / sizeof(names[0]); i++) {
		size_t n = strlen(names[i]);
		char text[8];

		if (strncasecmp(host, names[i], n) != 0)
			continue;
		(void)snprintf(text, sizeof(text), ":%u", port);
		if (strcmp(host + n, text) == 0 || (host[n] == '\0' && port == 80))
			return true;
	}
	return false;
}
