#include "metrics_address.h"

#include <stdbool.h>
#include <string.h>

#include "say.h"

enum { PID_DIGITS = 10, GROUPS = 8 /* of an IPv6 address */ };

static const char what[] = "an address is 127.0.0.1:9464, 127.0.0.1:9464-9479, [::1]:9464, unix:/path or off";

/* Decimal digits at *at, not above `most`; moves behind them. */
static bool number(const char **at, uint32_t most, uint32_t *ret)
{
	const char *from = *at;
	uint32_t value = 0;

	while (**at >= '0' && **at <= '9' && value <= most)
		value = value * 10 + (uint32_t)(*(*at)++ - '0');
	*ret = value;
	return *at != from && value <= most;
}

static bool ipv4(const char **at, uint8_t ip[16])
{
	uint32_t part;

	for (unsigned i = 0; i < 4; i++) {
		if ((i && *(*at)++ != '.') || !number(at, 255, &part))
			return false;
		ip[i] = (uint8_t)part;
	}
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool hex_group(const char **at, uint16_t *ret)
{
	const char *from = *at;
	unsigned value = 0;

	while (hex_digit(**at) >= 0 && *at - from < 4)
		value = value << 4 | (unsigned)hex_digit(*(*at)++);
	*ret = (uint16_t)value;
	return *at != from;
}

/* RFC 4291 section 2.2, forms 1 and 2. */
static bool ipv6(const char **at, uint8_t ip[16])
{
	uint16_t group[GROUPS] = { 0 };
	unsigned n = 0, gap = GROUPS; /* where "::" stands; GROUPS: nowhere */

	while (**at != ']') {
		if ((*at)[0] == ':' && (*at)[1] == ':' && gap == GROUPS) {
			gap = n;
			*at += 2;
			continue;
		}
		if (n && gap != n && *(*at)++ != ':')
			return false;
		if (n == GROUPS || !hex_group(at, &group[n]))
			return false;
		n++;
	}
	if (gap == GROUPS ? n != GROUPS : n == GROUPS)
		return false;
	memset(ip, 0, 16);
	for (unsigned i = 0; i < n; i++) {
		unsigned to = i < gap ? i : GROUPS - n + i;

		ip[2 * to] = (uint8_t)(group[i] >> 8);
		ip[2 * to + 1] = (uint8_t)group[i];
	}
	return true;
}

static const char *ports(const char *at, struct metrics_address *a)
{
	uint32_t first, last;

	if (!number(&at, UINT16_MAX, &first))
		return what;
	last = first;
	if (*at == '-' && (at++, !number(&at, UINT16_MAX, &last)))
		return what;
	if (*at)
		return what;
	if (last < first || last - first >= METRICS_PORTS || (!first && last))
		return "a range of ports goes upwards, has 256 at most, and does not begin with 0";
	a->first = (uint16_t)first;
	a->last = (uint16_t)last;
	return NULL;
}

static const char *unix_path(const char *path, struct metrics_address *a)
{
	size_t len = strlen(path);

	for (const char *at = path; (at = strstr(at, "%p")) != NULL; at += 2)
		len += PID_DIGITS - 2;
	if (*path != '/')
		return "the path of a socket begins with /";
	if (len >= METRICS_PATH_BYTES)
		return "the path of a socket has 107 bytes at most, and %p counts as ten";
	memcpy(a->path, path, strlen(path) + 1);
	return NULL;
}

static const char *host_and_ports(const char *text, struct metrics_address *a)
{
	static const char local[] = "localhost:";
	static const uint8_t loopback[] = { 127, 0, 0, 1 };
	const char *at = text;

	if (strncmp(text, local, sizeof(local) - 1) == 0)
		at += sizeof(local) - 2;
	if (*at == ':' || !at[strcspn(at, ".:")]) { /* no address: only this machine's */
		memcpy(a->ip, loopback, sizeof(loopback));
		at += *at == ':';
	} else if (*at == '[') {
		a->kind = METRICS_IPV6;
		at++;
		if (!ipv6(&at, a->ip) || at[1] != ':')
			return what;
		at += 2;
	} else if (!ipv4(&at, a->ip) || *at++ != ':') {
		return what;
	}
	return ports(at, a);
}

const char *metrics_address_parse(const char *text, struct metrics_address *ret)
{
	static const char prefix[] = "unix:";
	struct metrics_address a;
	const char *why = NULL;

	memset(&a, 0, sizeof(a));
	if (strcmp(text, "off") != 0 && *text) {
		a.kind = strncmp(text, prefix, sizeof(prefix) - 1) == 0 ? METRICS_UNIX : METRICS_IPV4;
		why = a.kind == METRICS_UNIX ? unix_path(text + sizeof(prefix) - 1, &a) : host_and_ports(text, &a);
	}
	if (!why)
		*ret = a;
	return why;
}

void metrics_address_path(const struct metrics_address *a, uint64_t pid, char to[METRICS_PATH_BYTES])
{
	const char *at = a->path, *next;
	char digits[24], piece[METRICS_PATH_BYTES];

	to[0] = '\0';
	for (; (next = strstr(at, "%p")) != NULL; at = next + 2) {
		memcpy(piece, at, (size_t)(next - at));
		piece[next - at] = '\0';
		say_append(to, METRICS_PATH_BYTES, piece);
		say_append(to, METRICS_PATH_BYTES, say_number(digits, pid));
	}
	say_append(to, METRICS_PATH_BYTES, at);
}

static void put_hex(char to[METRICS_WHERE_BYTES], unsigned group)
{
	char digits[5], *at = digits;

	for (int shift = 12; shift >= 0; shift -= 4)
		if (at != digits || group >> shift || !shift)
			*at++ = "0123456789abcdef"[group >> shift & 15];
	*at = '\0';
	say_append(to, METRICS_WHERE_BYTES, digits);
}

/* The longest run of zeros, if there is one of two or more, is "::"; else `n`. RFC 5952. */
static unsigned zeros(const unsigned group[GROUPS], unsigned *ret_len)
{
	unsigned best = GROUPS, best_len = 1;

	for (unsigned i = 0, len; i < GROUPS; i += len ? len : 1) {
		for (len = 0; i + len < GROUPS && !group[i + len]; len++)
			;
		if (len > best_len) {
			best = i;
			best_len = len;
		}
	}
	*ret_len = best_len;
	return best;
}

static void put_ipv6(char to[METRICS_WHERE_BYTES], const uint8_t ip[16])
{
	unsigned group[GROUPS], gap, gap_len;

	for (unsigned i = 0; i < GROUPS; i++)
		group[i] = (unsigned)ip[2 * i] << 8 | ip[2 * i + 1];
	gap = zeros(group, &gap_len);
	say_append(to, METRICS_WHERE_BYTES, "[");
	for (unsigned i = 0; i < GROUPS; i++) {
		if (i == gap) {
			say_append(to, METRICS_WHERE_BYTES, "::");
			i += gap_len - 1;
			continue;
		}
		if (i && (gap == GROUPS || i != gap + gap_len))
			say_append(to, METRICS_WHERE_BYTES, ":");
		put_hex(to, group[i]);
	}
	say_append(to, METRICS_WHERE_BYTES, "]");
}

void metrics_address_where(const struct metrics_address *a, uint16_t port, const char *path,
                           char to[METRICS_WHERE_BYTES])
{
	char digits[24];

	to[0] = '\0';
	if (a->kind == METRICS_UNIX) {
		say_append(to, METRICS_WHERE_BYTES, "unix:");
		say_append(to, METRICS_WHERE_BYTES, path);
		return;
	}
	say_append(to, METRICS_WHERE_BYTES, "http://");
	if (a->kind == METRICS_IPV6)
		put_ipv6(to, a->ip);
	for (unsigned i = 0; a->kind == METRICS_IPV4 && i < 4; i++) {
		say_append(to, METRICS_WHERE_BYTES, i ? "." : "");
		say_append(to, METRICS_WHERE_BYTES, say_number(digits, a->ip[i]));
	}
	say_append(to, METRICS_WHERE_BYTES, ":");
	say_append(to, METRICS_WHERE_BYTES, say_number(digits, port));
	say_append(to, METRICS_WHERE_BYTES, "/metrics");
}
