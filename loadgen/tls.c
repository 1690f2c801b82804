/*
 * tls.c - OpenSSL as a stream.
 *
 * Reading ahead  a record's header and body come by one read(), not by two.
 * Sessions       TLS 1.3 has them only after the handshake; the callback keeps the newest. Closing says nothing to the peer (it
 *                would cost a system call), but to OpenSSL that all was well, else it would throw a TLS 1.2 session away.
 * An end without close_notify is an end: the length of a response is HTTP's business.
 */
#include "tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const unsigned char alpn[] = "\x08http/1.1";

/* The opaque types are OpenSSL's own. */
static SSL *ssl_of(struct tls_conn *c)
{
	return (SSL *)(void *)c;
}

static SSL_CTX *context_of(struct tls *t)
{
	return (SSL_CTX *)(void *)t;
}

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
	SSL_SESSION **place = SSL_get_app_data(ssl);

	if (!place)
		return 0;
	SSL_SESSION_free(*place);
	*place = session;
	return 1; /* taken */
}

static const char *reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text ? text : "unknown reason";
}

static int set_trust(SSL_CTX *context, const struct tls_options *o, struct err *err)
{
	if (o->insecure) {
		SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
		return 0;
	}
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	if (o->ca_file ? SSL_CTX_load_verify_file(context, o->ca_file) != 1
	               : SSL_CTX_set_default_verify_paths(context) != 1)
		return err_set(err, -EINVAL, "cannot read the certificates to trust from '%s': %s",
		               o->ca_file ? o->ca_file : "the system", reason());
	return 0;
}

static int set_certificate(SSL_CTX *context, const struct tls_options *o, struct err *err)
{
	const char *key = o->key_file ? o->key_file : o->cert_file;

	if (!o->cert_file)
		return o->key_file ? err_set(err, -EINVAL, "--key needs the certificate that it belongs to (--cert)")
		                   : 0;
	if (SSL_CTX_use_certificate_chain_file(context, o->cert_file) != 1)
		return err_set(err, -EINVAL, "cannot read a certificate from '%s': %s", o->cert_file, reason());
	if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(context) != 1)
		return err_set(err, -EINVAL, "cannot use the key in '%s': %s", key, reason());
	return 0;
}

int tls_new(const struct tls_options *options, struct tls **ret_tls, struct err *err)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	int rc;

	if (!context)
		return err_set(err, -ENOMEM, "cannot set up TLS: %s", reason());
	(void)SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	(void)SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_read_ahead(context, 1);
	(void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(context, keep_session);
	rc = SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
	                     SSL_CTX_set_alpn_protos(context, alpn, sizeof(alpn) - 1) == 0
	             ? 0
	             : err_set(err, -EINVAL, "cannot set up TLS: %s", reason());
	if (rc == 0)
		rc = set_trust(context, options, err);
	if (rc == 0)
		rc = set_certificate(context, options, err);
	if (rc < 0) {
		SSL_CTX_free(context);
		return rc;
	}
	*ret_tls = (struct tls *)(void *)context;
	return 0;
}

void tls_free(struct tls *tls)
{
	SSL_CTX_free(context_of(tls));
}

void tls_thread_begin(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGPIPE);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL); /* cannot fail: the arguments are right */
}

static bool set_host(SSL *ssl, const char *host)
{
	unsigned char scratch[sizeof(struct in6_addr)];

	if (inet_pton(AF_INET, host, scratch) == 1 || inet_pton(AF_INET6, host, scratch) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) ==
		       1; /* and no SNI: RFC 6066 section 3 */
	return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

struct tls_conn *tls_open(struct tls *tls, int fd, const char *host, struct tls_session **session)
{
	SSL *ssl = SSL_new(context_of(tls));

	if (!ssl)
		return NULL;
	if (SSL_set_fd(ssl, fd) != 1 || !set_host(ssl, host)) {
		SSL_free(ssl);
		return NULL;
	}
	SSL_set_connect_state(ssl);
	if (session) {
		(void)SSL_set_app_data(ssl, session);
		if (*session)
			(void)SSL_set_session(
			        ssl, (SSL_SESSION *)(void *)*session); /* if it fails, there is a full handshake */
	}
	return (struct tls_conn *)(void *)ssl;
}

void tls_close(struct tls_conn *c)
{
	if (!c)
		return;
	SSL_set_shutdown(ssl_of(c), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(ssl_of(c));
}

void tls_session_free(struct tls_session *session)
{
	SSL_SESSION_free((SSL_SESSION *)(void *)session);
}

static int failed(SSL *ssl, int rc)
{
	switch (SSL_get_error(ssl, rc)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		return errno ? -errno : -ECONNRESET;
	default:
		return -EPROTO;
	}
}

int tls_handshake(struct tls_conn *c)
{
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_do_handshake(ssl_of(c));
	if (rc == 1)
		return 0;
	rc = failed(ssl_of(c), rc);
	return rc == 0 ? -ECONNRESET : rc;
}

bool tls_is_resumed(struct tls_conn *c)
{
	return SSL_session_reused(ssl_of(c)) == 1;
}

ssize_t tls_send(struct tls_conn *c, const void *data, size_t bytes)
{
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_write(ssl_of(c), data, bytes < INT_MAX ? (int)bytes : INT_MAX);
	if (rc > 0)
		return rc;
	rc = failed(ssl_of(c), rc);
	return rc == 0 ? -ECONNRESET : rc;
}

ssize_t tls_recv(struct tls_conn *c, void *data, size_t bytes)
{
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_read(ssl_of(c), data, bytes < INT_MAX ? (int)bytes : INT_MAX);
	return rc > 0 ? rc : failed(ssl_of(c), rc);
}

void tls_problem(struct tls_conn *c, char ret_text[TLS_PROBLEM_BYTES])
{
	long verified = SSL_get_verify_result(ssl_of(c));
	const char *text = reason();

	if (verified != X509_V_OK && !SSL_is_init_finished(ssl_of(c)))
		(void)snprintf(ret_text, TLS_PROBLEM_BYTES, "%s: %s", text, X509_verify_cert_error_string(verified));
	else
		(void)snprintf(ret_text, TLS_PROBLEM_BYTES, "%s", text);
}
