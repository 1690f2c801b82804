/* url.c - the part of RFC 3986 that a load driver's target needs; what it would have to guess, it refuses. */
#include "url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "buf.h"

void url_done(struct url *url)
{
	free(url->host);
	free(url->authority);
	free(url->target);
	*url = (struct url){ 0 };
}

/* Skips "http://" or "https://"; another scheme is refused. */
static int parse_scheme(const char **text, bool *ret_tls, struct err *err)
{
	const char *colon = strstr(*text, "://");
	const char *slash = strpbrk(*text, "/?#");
	size_t len;

	*ret_tls = false;
	if (!colon || (slash && slash < colon))
		return 0;
	len = (size_t)(colon - *text);
	if (len == 5 && strncasecmp(*text, "https", 5) == 0)
		*ret_tls = true;
	else if (len != 4 || strncasecmp(*text, "http", 4) != 0)
		return err_set(err, -EINVAL, "the scheme '%.*s' is not http or https", (int)len, *text);
	*text = colon + 3;
	return 0;
}

static int parse_port(const char *text, size_t len, uint16_t *ret_port, struct err *err)
{
	uint32_t port = 0;

	for (size_t i = 0; i < len && port < 65536; i++) {
		if (!isdigit((unsigned char)text[i]))
			return err_set(err, -EINVAL, "the port '%.*s' is not a number", (int)len, text);
		port = port * 10 + (uint32_t)(text[i] - '0');
	}
	if (port == 0 || port > 65535)
		return err_set(err, -EINVAL, "the port '%.*s' is not in 1..65535", (int)len, text);
	*ret_port = (uint16_t)port;
	return 0;
}

/* Splits "[::1]:80" or "host:80". *ret_host points at the host without brackets. */
static int split_authority(const char *text, size_t len, struct url *u, const char **ret_host, size_t *ret_host_len,
                           struct err *err)
{
	const char *end = text + len, *host_end, *rest;

	if (memchr(text, '@', len))
		return err_set(err, -EINVAL, "a user name in the URL is not supported; use -H 'Authorization: ...'");
	u->is_ipv6 = len > 0 && text[0] == '[';
	if (u->is_ipv6) {
		host_end = memchr(text, ']', len);
		if (!host_end)
			return err_set(err, -EINVAL, "the IPv6 address has no closing ']'");
		*ret_host = text + 1;
		rest = host_end + 1;
	} else {
		host_end = memchr(text, ':', len);
		if (!host_end)
			host_end = end;
		*ret_host = text;
		rest = host_end;
	}
	*ret_host_len = (size_t)(host_end - *ret_host);
	if (!u->is_ipv6 && rest < end && memchr(rest + 1, ':', (size_t)(end - rest - 1)))
		return err_set(err, -EINVAL, "an IPv6 address in a URL stands in brackets: http://[::1]:8080/");
	if (*ret_host_len == 0)
		return err_set(err, -EINVAL, "the URL has no host");
	if (rest == end)
		return 0;
	if (*rest != ':')
		return err_set(err, -EINVAL, "'%.*s' does not follow an address", (int)(end - rest), rest);
	return parse_port(rest + 1, (size_t)(end - rest - 1), &u->port, err);
}

static int check_host(const struct url *u, const char *host, size_t len, struct err *err)
{
	char copy[INET6_ADDRSTRLEN + 1];
	struct in6_addr in6;

	if (u->is_ipv6) {
		if (len >= sizeof(copy))
			return err_set(err, -EINVAL, "'%.*s' is not an IPv6 address", (int)len, host);
		memcpy(copy, host, len);
		copy[len] = '\0';
		if (inet_pton(AF_INET6, copy, &in6) != 1)
			return err_set(err, -EINVAL, "'%s' is not an IPv6 address", copy);
		return 0;
	}
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)host[i]) && !strchr("-._~", host[i]))
			return err_set(err, -EINVAL, "the host name holds the character '%c'", host[i]);
	return 0;
}

/* Path and query; an empty path is "/". */
static char *encode_target(const char *text)
{
	struct buf b = { 0 };

	if (*text != '/')
		buf_add_char(&b, '/');
	for (; *text && *text != '#'; text++) {
		if ((unsigned char)*text >= 0x80)
			buf_printf(&b, "%%%02X", (unsigned)(unsigned char)*text);
		else
			buf_add_char(&b, *text);
	}
	return buf_take(&b, NULL);
}

static int fill(struct url *u, const char *host, size_t host_len, const char *target)
{
	struct buf b = { 0 };

	u->host = strndup(host, host_len);
	buf_printf(&b, u->is_ipv6 ? "[%.*s]" : "%.*s", (int)host_len, host);
	if (u->port != (u->tls ? 443 : 80))
		buf_printf(&b, ":%u", (unsigned)u->port);
	u->authority = buf_take(&b, NULL);
	u->target = encode_target(target);
	return u->host && u->authority && u->target ? 0 : -ENOMEM;
}

int url_parse(const char *text, struct url *ret_url, struct err *err)
{
	struct url u = { 0 };
	const char *host = NULL, *at = text;
	size_t host_len = 0, authority_len;
	int rc;

	for (const char *c = text; *c; c++)
		if ((unsigned char)*c <= 0x20 || *c == 0x7f)
			return err_set(err, -EINVAL, "'%s': a URL holds no spaces or control characters (write %%%02X)",
			               text, (unsigned)(unsigned char)*c);
	rc = parse_scheme(&at, &u.tls, err);
	if (rc < 0)
		return err_wrap(err, "'%s'", text);
	u.port = u.tls ? 443 : 80;
	authority_len = strcspn(at, "/?#");
	rc = split_authority(at, authority_len, &u, &host, &host_len, err);
	if (rc == 0)
		rc = check_host(&u, host, host_len, err);
	if (rc < 0)
		return err_wrap(err, "'%s'", text);
	rc = fill(&u, host, host_len, at + authority_len);
	if (rc < 0) {
		url_done(&u);
		return err_set(err, rc, "out of memory");
	}
	*ret_url = u;
	return 0;
}
