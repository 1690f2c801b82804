/* failure.c - names of the failures, and how errno values map to them. */
#include "failure.h"

#include <errno.h>
#include <stddef.h>

static const struct {
	const char *key, *text;
} names[FAILURE_COUNT] = {
#define FAILURE_NAMES(id, key, text) { key, text },
	FAILURES(FAILURE_NAMES)
#undef FAILURE_NAMES
};

const char *failure_key(enum failure kind)
{
	return names[kind].key;
}

const char *failure_text(enum failure kind)
{
	return names[kind].text;
}

enum failure failure_from_errno(int code)
{
	switch (code) {
	case ECONNREFUSED:
	case ENOENT: /* no Unix socket of that name */
	case EAGAIN: /* its queue of connections is full */
		return FAILURE_REFUSED;
	case ECONNRESET:
	case EPIPE:
	case ECONNABORTED:
		return FAILURE_RESET;
	case ETIMEDOUT:
		return FAILURE_TIMEOUT;
	case EHOSTUNREACH:
	case ENETUNREACH:
	case ENETDOWN:
	case EHOSTDOWN:
		return FAILURE_UNREACHABLE;
	case EMFILE:
	case ENFILE:
		return FAILURE_DESCRIPTORS;
	case EADDRNOTAVAIL:
	case EADDRINUSE:
		return FAILURE_PORTS;
	default:
		return FAILURE_OTHER;
	}
}
