/*
 * hook_ssl.c - TLS by OpenSSL: what the program receives and sends in the clear. Each hook: the real call of the library that made
 * the connection, then what it returned is told to sockets.c.
 *
 * A library may call its own functions by their names, which then come here: the innermost call tells (struct ssl_call).
 * Nothing is held across the real call, as in hook_net.c. OpenSSL's queue of errors is not touched, errno neither: the calls
 * that we make of ourselves (SSL_is_server, SSL_get_rbio, SSL_get_rfd) read members.
 * Where no library is found the call fails as one on a broken connection does: SSL_get_error() then says SSL_ERROR_SYSCALL, with
 * errno ENOSYS. That takes a program that calls functions of a library that it does not have.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include "compiler.h"
#include "sockets.h"
#include "ssl_bio.h"
#include "ssl_conns.h"
#include "ssl_libs.h"

static int not_there(int failed)
{
	errno = ENOSYS;
	return failed;
}

/* The library of `object`, if it has the function. */
#define LIB_WITH(name, object) lib_with((object), offsetof(struct ssl_functions, name))

static bool has(const struct ssl_lib *lib, size_t function)
{
	return *(void *const *)((const char *)&lib->call + function) != NULL;
}

static const struct ssl_lib *lib_with(const void *object, size_t function)
{
	const struct ssl_lib *lib = ssl_libs_of(object);

	if (LIKELY(lib && has(lib, function)))
		return lib;
	lib = ssl_libs_other();
	return has(lib, function) ? lib : NULL;
}

/* ---- a connection's life ------------------------------------------------------------------------------------------- */

EXPORT struct ssl_st *SSL_new(struct ssl_ctx_st *context);
EXPORT struct ssl_st *SSL_new(struct ssl_ctx_st *context)
{
	const struct ssl_lib *lib = LIB_WITH(SSL_new, context);
	struct ssl_st *ssl;

	if (!lib) {
		errno = ENOSYS;
		return NULL;
	}
	if (load_relaxed(&sockets_on) && !lib->no_tls)
		ssl_bio_follow(lib);
	ssl = lib->call.SSL_new(context);
	if (ssl)
		ssl_conns_anew(ssl); /* the one before may have been freed inside the library */
	return ssl;
}

EXPORT void SSL_free(struct ssl_st *ssl);
EXPORT void SSL_free(struct ssl_st *ssl)
{
	const struct ssl_lib *lib = LIB_WITH(SSL_free, ssl);

	ssl_conns_free(ssl);
	if (lib)
		lib->call.SSL_free(ssl);
}

EXPORT int SSL_up_ref(struct ssl_st *ssl);
EXPORT int SSL_up_ref(struct ssl_st *ssl)
{
	const struct ssl_lib *lib = LIB_WITH(SSL_up_ref, ssl);
	int rc = lib ? lib->call.SSL_up_ref(ssl) : not_there(0);

	if (rc > 0)
		ssl_conns_up_ref(ssl);
	return rc;
}

EXPORT int SSL_clear(struct ssl_st *ssl);
EXPORT int SSL_clear(struct ssl_st *ssl)
{
	const struct ssl_lib *lib = LIB_WITH(SSL_clear, ssl);

	ssl_conns_anew(ssl);
	return lib ? lib->call.SSL_clear(ssl) : not_there(0);
}

/* Seen before its first bytes are read: then its descriptor is not taken for one whose requests are not seen. */
EXPORT int SSL_accept(struct ssl_st *ssl);
EXPORT int SSL_accept(struct ssl_st *ssl)
{
	const struct ssl_lib *lib = LIB_WITH(SSL_accept, ssl);

	if (!lib)
		return not_there(-1);
	(void)ssl_conns_word(lib, ssl);
	return lib->call.SSL_accept(ssl);
}

EXPORT int SSL_do_handshake(struct ssl_st *ssl);
EXPORT int SSL_do_handshake(struct ssl_st *ssl)
{
	const struct ssl_lib *lib = LIB_WITH(SSL_do_handshake, ssl);

	if (!lib)
		return not_there(-1);
	(void)ssl_conns_word(lib, ssl);
	return lib->call.SSL_do_handshake(ssl);
}

EXPORT int SSL_shutdown(struct ssl_st *ssl);
EXPORT int SSL_shutdown(struct ssl_st *ssl)
{
	const struct ssl_lib *lib = LIB_WITH(SSL_shutdown, ssl);
	_Atomic uintptr_t *word;
	int rc;

	if (!lib)
		return not_there(-1);
	rc = lib->call.SSL_shutdown(ssl);
	word = rc >= 0 ? ssl_conns_word(lib, ssl) : NULL; /* 0: our side's end was sent */
	if (word)
		sockets_word_shut(word);
	return rc;
}

/* ---- receiving ----------------------------------------------------------------------------------------------------- */

EXPORT int SSL_read(struct ssl_st *ssl, void *to, int bytes);
EXPORT int SSL_read(struct ssl_st *ssl, void *to, int bytes)
{
	const struct ssl_lib *lib = LIB_WITH(SSL_read, ssl);
	struct ssl_call call;
	int n;

	if (!lib)
		return not_there(-1);
	call = ssl_conns_call(lib, ssl);
	n = lib->call.SSL_read(ssl, to, bytes);
	if (n > 0)
		ssl_conns_received(&call, to, (size_t)n);
	return n;
}

EXPORT int SSL_read_ex(struct ssl_st *ssl, void *to, size_t bytes, size_t *ret_bytes);
EXPORT int SSL_read_ex(struct ssl_st *ssl, void *to, size_t bytes, size_t *ret_bytes)
{
	const struct ssl_lib *lib = LIB_WITH(SSL_read_ex, ssl);
	struct ssl_call call;
	int rc;

	if (!lib)
		return not_there(0);
	call = ssl_conns_call(lib, ssl);
	rc = lib->call.SSL_read_ex(ssl, to, bytes, ret_bytes);
	if (rc > 0)
		ssl_conns_received(&call, to, *ret_bytes);
	return rc;
}

EXPORT int SSL_read_early_data(struct ssl_st *ssl, void *to, size_t bytes, size_t *ret_bytes);
EXPORT int SSL_read_early_data(struct ssl_st *ssl, void *to, size_t bytes, size_t *ret_bytes)
{
	enum { SUCCESS = 1 }; /* SSL_READ_EARLY_DATA_SUCCESS; 2: there was no more */
	const struct ssl_lib *lib = LIB_WITH(SSL_read_early_data, ssl);
	struct ssl_call call;
	int rc;

	if (!lib)
		return not_there(0);
	call = ssl_conns_call(lib, ssl);
	rc = lib->call.SSL_read_early_data(ssl, to, bytes, ret_bytes);
	if (rc == SUCCESS)
		ssl_conns_received(&call, to, *ret_bytes);
	return rc;
}

/* ---- sending ------------------------------------------------------------------------------------------------------- */

EXPORT int SSL_write(struct ssl_st *ssl, const void *from, int bytes);
EXPORT int SSL_write(struct ssl_st *ssl, const void *from, int bytes)
{
	const struct ssl_lib *lib = LIB_WITH(SSL_write, ssl);
	struct ssl_call call;
	int n;

	if (!lib)
		return not_there(-1);
	call = ssl_conns_call(lib, ssl);
	n = lib->call.SSL_write(ssl, from, bytes);
	if (n > 0)
		ssl_conns_sent(&call, from, (size_t)n);
	return n;
}

EXPORT int SSL_write_ex(struct ssl_st *ssl, const void *from, size_t bytes, size_t *ret_bytes);
EXPORT int SSL_write_ex(struct ssl_st *ssl, const void *from, size_t bytes, size_t *ret_bytes)
{
	const struct ssl_lib *lib = LIB_WITH(SSL_write_ex, ssl);
	struct ssl_call call;
	int rc;

	if (!lib)
		return not_there(0);
	call = ssl_conns_call(lib, ssl);
	rc = lib->call.SSL_write_ex(ssl, from, bytes, ret_bytes);
	if (rc > 0)
		ssl_conns_sent(&call, from, *ret_bytes);
	return rc;
}

EXPORT int SSL_write_ex2(struct ssl_st *ssl, const void *from, size_t bytes, uint64_t flags, size_t *ret_bytes);
EXPORT int SSL_write_ex2(struct ssl_st *ssl, const void *from, size_t bytes, uint64_t flags, size_t *ret_bytes)
{
	const struct ssl_lib *lib = LIB_WITH(SSL_write_ex2, ssl);
	struct ssl_call call;
	int rc;

	if (!lib)
		return not_there(0);
	call = ssl_conns_call(lib, ssl);
	rc = lib->call.SSL_write_ex2(ssl, from, bytes, flags, ret_bytes);
	if (rc > 0)
		ssl_conns_sent(&call, from, *ret_bytes);
	return rc;
}

EXPORT int SSL_write_early_data(struct ssl_st *ssl, const void *from, size_t bytes, size_t *ret_bytes);
EXPORT int SSL_write_early_data(struct ssl_st *ssl, const void *from, size_t bytes, size_t *ret_bytes)
{
	const struct ssl_lib *lib = LIB_WITH(SSL_write_early_data, ssl);
	struct ssl_call call;
	int rc;

	if (!lib)
		return not_there(0);
	call = ssl_conns_call(lib, ssl);
	rc = lib->call.SSL_write_early_data(ssl, from, bytes, ret_bytes);
	if (rc > 0)
		ssl_conns_sent(&call, from, *ret_bytes);
	return rc;
}

EXPORT ssize_t SSL_sendfile(struct ssl_st *ssl, int fd, off_t offset, size_t bytes, int flags);
EXPORT ssize_t SSL_sendfile(struct ssl_st *ssl, int fd, off_t offset, size_t bytes, int flags)
{
	const struct ssl_lib *lib = LIB_WITH(SSL_sendfile, ssl);
	struct ssl_call call;
	ssize_t n;

	if (!lib)
		return not_there(-1);
	call = ssl_conns_call(lib, ssl);
	n = lib->call.SSL_sendfile(ssl, fd, offset, bytes, flags);
	if (n > 0)
		ssl_conns_sent_unseen(&call, (size_t)n);
	return n;
}
