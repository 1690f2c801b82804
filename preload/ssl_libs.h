/* Which of the loaded libraries a TLS connection belongs to, and that library's own functions.
 * Context    [hook], not in signal handlers: the list of objects is read under the loader's lock for that (dl_iterate_phdr), which
 *            is held for changes of the list only, never while code of a library runs.
 * Errors     none are returned: NULL is "there is no such library", and the caller fails as the function would.
 * Ownership  a struct ssl_lib is never given back; it tells of a library as long as that is loaded. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "compiler.h"

/* OpenSSL's SSL and SSL_CTX. */
struct ssl_st;
struct ssl_ctx_st;

struct ssl_functions {
#define HOOK(need, returns, name, params, args) returns(*name) params;
#define SSL_USED(returns, name, params)         returns(*name) params;
#include "hooks_ssl.def"
#undef SSL_USED
#undef HOOK
};

enum { SSL_LIBS = 32 }; /* in the life of a process */

struct ssl_lib {
	struct ssl_functions call; /* NULL: it has none of that name */
	uintptr_t base, end;
	_Atomic bool gone; /* it was unloaded */
	bool no_tls;       /* functions of these names, of nobody knows what */
};

/* The library that made `object`, an SSL, an SSL_CTX or a BIO of libssl's, or NULL if there is none. errno is kept. */
const struct ssl_lib *ssl_libs_of(const void *object);
/* For calls of functions that this one has not: those that other objects define. Never NULL; it may have none. */
const struct ssl_lib *ssl_libs_other(void);
/* Something was unloaded. After dlclose(). */
void ssl_libs_unloaded(void);
/* In a forked child: who was looking for libraries is not there. */
void ssl_libs_fork_child(void);
