/* TLS of the client's side, by OpenSSL: one context for a run, shared by its threads; one connection for each socket.
 * Results of I/O are as those of send() and recv(): a count, 0 at the peer's end, or -errno; -EAGAIN: wait for the socket;
 * -EPROTO: TLS itself failed, and tls_problem() says how. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "compiler.h"
#include "err.h"

struct tls;
struct tls_conn;
struct tls_session; /* what a later connection to the same server may resume */

struct tls_options {
	const char *ca_file;              /* NULL: the system's */
	const char *cert_file, *key_file; /* of the client; key_file NULL: in cert_file */
	bool insecure;                    /* any certificate will do */
};

enum { TLS_PROBLEM_BYTES = 160 };

/* -EINVAL with a sentence that names the file, -ENOMEM. Ownership: tls_free(), when no connection is left. */
int tls_new(const struct tls_options *options, struct tls **ret_tls, struct err *err) MUST_USE;
void tls_free(struct tls *tls);
/* What every thread that uses connections does first: writing to a closed socket must not end the process. */
void tls_thread_begin(void);

/* A connection over a connected, non-blocking socket, which stays the caller's. `host`: for SNI and the certificate. `session`: NULL, or
 * where a session is kept from one connection to the next; it must outlive the connection. NULL: out of memory. */
struct tls_conn *tls_open(struct tls *tls, int fd, const char *host, struct tls_session **session) MUST_USE;
void tls_close(struct tls_conn *c);
void tls_session_free(struct tls_session *session);
/* 0: done. */
int tls_handshake(struct tls_conn *c) MUST_USE;
bool tls_is_resumed(struct tls_conn *c);
ssize_t tls_send(struct tls_conn *c, const void *data, size_t bytes) MUST_USE;
ssize_t tls_recv(struct tls_conn *c, void *data, size_t bytes) MUST_USE;
/* After -EPROTO, by the same thread: one sentence. */
void tls_problem(struct tls_conn *c, char ret_text[TLS_PROBLEM_BYTES]);
