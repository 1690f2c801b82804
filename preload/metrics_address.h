/* Where the metrics are served, as PERFPROBE_METRICS says: "9464" or ":9464" (127.0.0.1), "127.0.0.1:9464", "[::1]:9464",
 * "127.0.0.1:9464-9479" (the first port of these that is free: one for each process), port 0 (the kernel's choice),
 * "unix:/path" (%p: the process's number), "off". An address that others can reach is only used where it is written out.
 * Context    [any]: pure. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum metrics_kind { METRICS_OFF, METRICS_IPV4, METRICS_IPV6, METRICS_UNIX };
enum {
	METRICS_PORTS = 256,       /* in one range */
	METRICS_PATH_BYTES = 108,  /* sockaddr_un; with the final NUL, after %p */
	METRICS_WHERE_BYTES = 160, /* an address in words */
};

struct metrics_address {
	enum metrics_kind kind;
	uint8_t ip[16];       /* in network order; the first four for IPv4 */
	uint16_t first, last; /* ports */
	char path[METRICS_PATH_BYTES];
};

/* NULL; or what is wrong with it, in words that stand between brackets, and nothing is set. */
const char *metrics_address_parse(const char *text, struct metrics_address *ret);
/* The path for that process. */
void metrics_address_path(const struct metrics_address *a, uint64_t pid, char to[METRICS_PATH_BYTES]);
/* "http://127.0.0.1:9464/metrics" or "unix:/path": what a person can use. `path` is of METRICS_UNIX only. */
void metrics_address_where(const struct metrics_address *a, uint16_t port, const char *path,
                           char to[METRICS_WHERE_BYTES]);
