/* One connection and the attempt under way on it: open if need be, send, receive, judge. It tells its caller what came
 * of it by a return value, keeps no counts of its own, and never retries.
 * Context: the worker's thread. Errors: enum failure in the connection, never errno. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include "failure.h"
#include "http1.h"
#include "tls.h"

struct buf;
struct net_addresses;
/* What is sent; must stay until the attempt is over. */
struct conn_request {
	const struct iovec *parts;
	size_t count, bytes; /* bytes: of all parts */
	bool is_head;
};

/* Where connections go. One for each worker, which owns it. */
struct conn_target {
	const struct net_addresses *addresses;
	size_t preferred; /* address that answered last: new connections begin there */
	struct tls *tls;  /* NULL: in the clear */
	const char *host; /* for TLS */
	bool resume;      /* sessions */
	struct tls_session *session;
};

/* What all connections of a worker share; the worker owns it. */
struct conn_env {
	int epoll_fd;
	char *buffer;                                      /* CONN_BUFFER_BYTES of scratch */
	uint64_t now_ns;                                   /* the newest reading of the clock */
	uint64_t bytes_in, bytes_out, connected, reopened; /* totals, counted up here; in TLS, of what is inside */
	uint64_t resumed;
	char tls_problem[TLS_PROBLEM_BYTES]; /* of the first failure of TLS; "" */
};
enum { CONN_BUFFER_BYTES = 16 << 10, CONN_PARTS_MAX = 8 };

enum conn_state { CONN_CLOSED, CONN_CONNECTING, CONN_HANDSHAKE, CONN_SENDING, CONN_WAITING, CONN_IDLE };

enum conn_result {
	CONN_PENDING,  /* go on waiting */
	CONN_RESPONSE, /* complete: `http` and the times below are valid */
	CONN_FAILED,   /* `failure` says why; the connection is closed */
};

struct conn {
	int fd;
	uint8_t state;                      /* enum conn_state */
	uint8_t failure;                    /* enum failure, after CONN_FAILED */
	bool failed_to_connect;             /* after CONN_FAILED: no connection was made */
	bool is_new, was_open;              /* this attempt had to connect; some attempt had a connection */
	bool in_flight;                     /* the worker's: an attempt is under way */
	uint8_t address, tried;             /* which of env->addresses; how many of them this attempt tried */
	const struct conn_request *request; /* set by the worker before conn_start() */
	struct conn_target *target;         /* the same, and not changed while the connection is open */
	struct tls_conn *tls;               /* NULL: in the clear, or not connected */
	struct buf *kept; /* the response's bytes as they come, up to kept_max; NULL: they are not kept */
	size_t kept_max;
	size_t sent;               /* of the request */
	uint64_t bytes_in;         /* of this attempt */
	uint64_t intended_ns;      /* the worker's: when the attempt should have begun; open model only */
	uint64_t began_ns;         /* the attempt began: connecting or, on an open connection, sending */
	uint64_t tls_ns;           /* its handshake began; 0: there was none */
	uint64_t send_ns;          /* the first byte was sent; 0 while connecting */
	uint64_t sent_ns;          /* all of it was; 0 before */
	uint64_t first_ns, end_ns; /* first and last byte of the response were received */
	uint64_t deadline_ns;      /* the worker's: when it wants to look at this connection again; 0 = never */
	struct http1 http;
};

void conn_init(struct conn *c);
void conn_close(struct conn *c);
void conn_target_done(struct conn_target *target);
/* Begin an attempt at env->now_ns on a closed or idle connection. */
enum conn_result conn_start(struct conn *c, struct conn_env *env);
/* The connection's socket reported `events` (EPOLL*). Advances env->now_ns. */
enum conn_result conn_ready(struct conn *c, struct conn_env *env, uint32_t events);
/* Give the attempt up at env->now_ns: always CONN_FAILED, with FAILURE_TIMEOUT. */
enum conn_result conn_expire(struct conn *c, struct conn_env *env);
