/* http and https URLs as typed on a command line. Pure; any thread. Ownership: url_done() frees what url_parse() filled. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "compiler.h"
#include "err.h"

struct url {
	char *host;      /* for the resolver: IPv6 literals without brackets */
	char *authority; /* for the Host header: brackets kept, port only if it is not the scheme's own */
	char *target;    /* path and query, at least "/"; bytes above 127 percent-encoded; the fragment is dropped */
	uint16_t port;
	bool tls;
	bool is_ipv6;
};

/* "http://host:port/path?query", or without the scheme (http). -EINVAL with a sentence, -ENOMEM. */
int url_parse(const char *text, struct url *ret_url, struct err *err) MUST_USE;
void url_done(struct url *url);
