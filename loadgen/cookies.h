/* The cookies of one virtual user (RFC 6265, the part that servers under test use): by host and path, Max-Age, Expires in the
 * past, Secure. A Domain attribute does not widen where a cookie goes. Bounded; one thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "buf.h"

enum { COOKIES_MAX = 64, COOKIES_BYTES_MAX = 4096 };

struct cookies {
	struct cookie *items; /* COOKIES_MAX of them, made with the first */
	size_t count;
};

void cookies_done(struct cookies *c);
/* All are forgotten. */
void cookies_clear(struct cookies *c);
/* All Set-Cookie lines of a head. False: no memory. */
bool cookies_take(struct cookies *c, const char *host, const char *target, const char *head, size_t len);
/* "a=b; c=d" of those that go there; nothing if there are none. */
void cookies_put(const struct cookies *c, const char *host, const char *target, bool tls, struct buf *out);
