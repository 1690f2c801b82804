/*
 * conn.c - one connection's state machine.
 *
 *     CLOSED --start--> CONNECTING --writable--> (HANDSHAKE) --> SENDING --all sent--> WAITING --response--> IDLE --start--> SENDING
 *        ^------------------ failure, or a response after which the connection cannot go on ---'
 *
 * System calls  two per request on a warm connection: one send() and one recv(). The socket is registered once,
 *               edge-triggered; a recv() that returns less than was asked for has emptied a stream socket (epoll(7),
 *               Q9), so no second one is made to hear EAGAIN. Long bodies are dropped in the kernel by MSG_TRUNC (tcp(7)).
 * Clock         read once per recv() that brought data; the end of one response is the beginning of the next request.
 * No retries    an attempt whose request was handed to the kernel ends as a response or as a failure, even where a
 *               browser would quietly try again: the server may have seen it. A close that was already announced when the last
 *               response came in costs no attempt: the next one opens a new connection.
 */
#include "conn.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"
#include "compiler.h"
#include "net.h"

enum { SKIP_BYTES_MIN = 32 << 10, SKIP_BYTES_MAX = 1 << 20 };

void conn_init(struct conn *c)
{
	*c = (struct conn){ .fd = -1, .state = CONN_CLOSED };
}

void conn_target_done(struct conn_target *target)
{
	tls_session_free(target->session);
	target->session = NULL;
}

void conn_close(struct conn *c)
{
	tls_close(c->tls);
	c->tls = NULL;
	if (c->fd >= 0)
		(void)close(c->fd); /* takes it out of epoll too; nothing is pending that an error could concern */
	c->fd = -1;
	c->state = CONN_CLOSED;
}

static enum conn_result fail(struct conn *c, const struct conn_env *env, enum failure why)
{
	c->failed_to_connect = c->state == CONN_CLOSED || c->state == CONN_CONNECTING || c->state == CONN_HANDSHAKE;
	c->failure = (uint8_t)why;
	c->end_ns = env->now_ns;
	conn_close(c);
	return CONN_FAILED;
}

static enum conn_result fail_code(struct conn *c, struct conn_env *env, int code)
{
	if (code == EPROTO && c->tls) {
		if (!env->tls_problem[0])
			tls_problem(c->tls, env->tls_problem);
		return fail(c, env, FAILURE_TLS);
	}
	return fail(c, env, failure_from_errno(code));
}

/* Tries addresses until one takes the connection up or all have refused at once. */
static enum conn_result open_next(struct conn *c, struct conn_env *env)
{
	int code = ECONNREFUSED;

	while (c->tried < c->target->addresses->count) {
		int fd;

		c->address = (uint8_t)((c->target->preferred + c->tried++) % c->target->addresses->count);
		fd = net_connect(&c->target->addresses->items[c->address]);
		if (fd < 0) {
			code = -fd;
			continue;
		}
		code = -net_watch(env->epoll_fd, fd, c);
		if (code != 0) {
			(void)close(fd);
			continue;
		}
		c->fd = fd;
		c->state = CONN_CONNECTING;
		return CONN_PENDING;
	}
	return fail(c, env, failure_from_errno(code));
}

/* One call for what is left of the request. */
static ssize_t send_parts(const struct conn *c)
{
	const struct conn_request *r = c->request;
	struct iovec rest[CONN_PARTS_MAX];
	struct msghdr message = { .msg_iov = rest };
	size_t skip = c->sent;

	if (LIKELY(r->count == 1))
		return send(c->fd, (const char *)r->parts[0].iov_base + skip, r->parts[0].iov_len - skip, MSG_NOSIGNAL);
	for (size_t i = 0; i < r->count; i++) {
		size_t len = r->parts[i].iov_len;

		if (skip < len)
			rest[message.msg_iovlen++] = (struct iovec){ (char *)r->parts[i].iov_base + skip, len - skip };
		skip -= skip < len ? skip : len;
	}
	return sendmsg(c->fd, &message, MSG_NOSIGNAL);
}

/* A record from what is left of the request. */
static ssize_t send_record(const struct conn *c, char *scratch)
{
	const struct conn_request *r = c->request;
	size_t skip = c->sent, len = 0;

	if (r->count == 1)
		return tls_send(c->tls, (const char *)r->parts[0].iov_base + skip, r->parts[0].iov_len - skip);
	for (size_t i = 0; i < r->count && len < CONN_BUFFER_BYTES; i++) {
		size_t part = r->parts[i].iov_len, n = skip < part ? part - skip : 0;

		if (n > CONN_BUFFER_BYTES - len)
			n = CONN_BUFFER_BYTES - len;
		if (n)
			memcpy(scratch + len, (const char *)r->parts[i].iov_base + skip, n);
		len += n;
		skip -= skip < part ? skip : part;
	}
	return tls_send(c->tls, scratch, len);
}

static inline ssize_t send_some(const struct conn *c, char *scratch)
{
	ssize_t n;

	if (UNLIKELY(c->tls != NULL))
		return send_record(c, scratch);
	n = send_parts(c);
	return n < 0 ? -errno : n;
}

static enum conn_result send_rest(struct conn *c, struct conn_env *env)
{
	while (c->sent < c->request->bytes) {
		ssize_t n = send_some(c, env->buffer);

		if (n < 0) {
			if (n == -EAGAIN)
				return CONN_PENDING; /* an EPOLLOUT edge will come */
			if (n == -EINTR)
				continue;
			return fail_code(c, env, (int)-n);
		}
		c->sent += (size_t)n;
		env->bytes_out += (uint64_t)n;
	}
	c->sent_ns = env->now_ns;
	c->state = CONN_WAITING;
	return CONN_PENDING;
}

static enum conn_result begin_request(struct conn *c, struct conn_env *env)
{
	c->send_ns = env->now_ns;
	c->state = CONN_SENDING;
	http1_begin(&c->http, c->request->is_head);
	return send_rest(c, env);
}

enum conn_result conn_start(struct conn *c, struct conn_env *env)
{
	c->began_ns = env->now_ns;
	c->bytes_in = 0;
	c->sent = 0;
	c->first_ns = c->sent_ns = c->tls_ns = 0;
	if (c->state == CONN_IDLE) {
		c->is_new = false;
		return begin_request(c, env);
	}
	c->is_new = true;
	c->send_ns = 0;
	c->tried = 0;
	return open_next(c, env);
}

static enum conn_result handshake(struct conn *c, struct conn_env *env)
{
	int rc = tls_handshake(c->tls);

	env->now_ns = clock_now();
	if (rc == -EAGAIN)
		return CONN_PENDING;
	if (rc < 0)
		return fail_code(c, env, -rc);
	env->resumed += tls_is_resumed(c->tls);
	return begin_request(c, env);
}

static enum conn_result begin_tls(struct conn *c, struct conn_env *env)
{
	c->tls_ns = env->now_ns;
	c->state = CONN_HANDSHAKE;
	c->tls = tls_open(c->target->tls, c->fd, c->target->host, c->target->resume ? &c->target->session : NULL);
	return c->tls ? handshake(c, env) : fail(c, env, FAILURE_OTHER);
}

static enum conn_result connect_ready(struct conn *c, struct conn_env *env)
{
	int code = net_take_error(c->fd);

	env->now_ns = clock_now();
	if (code != 0) {
		(void)close(c->fd);
		c->fd = -1;
		c->state = CONN_CLOSED;
		if (c->tried < c->target->addresses->count)
			return open_next(c, env);
		return fail(c, env, failure_from_errno(code));
	}
	c->target->preferred = c->address;
	env->connected++;
	env->reopened += c->was_open;
	c->was_open = true;
	return c->target->tls ? begin_tls(c, env) : begin_request(c, env);
}

/* The response is complete. `is_over`: no further request can use the connection. */
static enum conn_result respond(struct conn *c, const struct conn_env *env, bool is_over)
{
	c->end_ns = env->now_ns;
	/* An answer to half a request: what is left of it would be taken for the next one. */
	if (is_over || !c->http.keep_alive || c->sent < c->request->bytes)
		conn_close(c);
	else
		c->state = CONN_IDLE;
	return CONN_RESPONSE;
}

static enum conn_result on_eof(struct conn *c, struct conn_env *env)
{
	bool untouched = http1_is_untouched(&c->http);

	env->now_ns = clock_now();
	if (http1_eof(&c->http) == HTTP1_DONE)
		return respond(c, env, true);
	return fail(c, env, untouched ? FAILURE_CLOSED : FAILURE_TRUNCATED);
}

static void keep(struct conn *c, const char *data, size_t bytes)
{
	size_t room = c->kept_max - c->kept->len;

	buf_add(c->kept, data, bytes < room ? bytes : room);
}

static inline ssize_t receive_some(const struct conn *c, char *buffer, size_t want, bool skip)
{
	ssize_t n;

	if (UNLIKELY(c->tls != NULL))
		return tls_recv(c->tls, buffer, want);
	n = skip ? recv(c->fd, NULL, want, MSG_TRUNC) : recv(c->fd, buffer, want, 0);
	return n < 0 ? -errno : n;
}

/* Nobody asked: a close, bytes that belong to no request, or in TLS a session that comes late. */
static void idle_ready(struct conn *c, struct conn_env *env, uint32_t events)
{
	if (!(events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
		return;
	if (c->tls && !(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) && tls_recv(c->tls, env->buffer, 1) == -EAGAIN)
		return;
	conn_close(c);
}

/* One recv(). CONN_PENDING with *ret_drained false: there may be more. */
static enum conn_result receive(struct conn *c, struct conn_env *env, bool peer_closed, bool *ret_drained)
{
	uint64_t skippable = http1_skippable(&c->http);
	bool skip = skippable >= SKIP_BYTES_MIN && !c->tls && (!c->kept || c->kept->len >= c->kept_max);
	size_t want = !skip ? CONN_BUFFER_BYTES : skippable > SKIP_BYTES_MAX ? SKIP_BYTES_MAX : (size_t)skippable;
	ssize_t n = receive_some(c, env->buffer, want, skip);
	enum http1_outcome outcome;
	size_t used;

	if (n < 0) {
		*ret_drained = n == -EAGAIN;
		if (n == -EAGAIN || n == -EINTR)
			return CONN_PENDING;
		env->now_ns = clock_now();
		return fail_code(c, env, (int)-n);
	}
	if (n == 0)
		return on_eof(c, env);
	used = (size_t)n;
	env->now_ns = clock_now();
	env->bytes_in += used;
	c->bytes_in += used;
	if (c->first_ns == 0)
		c->first_ns = env->now_ns;
	if (c->kept && !skip)
		keep(c, env->buffer, used);
	outcome = skip ? http1_skip(&c->http, used) : http1_feed(&c->http, env->buffer, used, &used);
	if (outcome == HTTP1_DONE && used == (size_t)n)
		return respond(c, env, peer_closed);
	if (outcome == HTTP1_DONE)
		c->http.problem = HTTP1_PROBLEM_SURPLUS;
	if (outcome != HTTP1_MORE)
		return fail(c, env, FAILURE_MALFORMED);
	/* After the peer's close no edge will come: read on until recv() says 0. */
	*ret_drained = (size_t)n < want && !peer_closed && !c->tls; /* a record is not all that has come */
	return CONN_PENDING;
}

enum conn_result conn_ready(struct conn *c, struct conn_env *env, uint32_t events)
{
	bool drained = false;
	enum conn_result result = CONN_PENDING;

	if (c->state == CONN_CONNECTING)
		return events & (EPOLLOUT | EPOLLERR | EPOLLHUP) ? connect_ready(c, env) : CONN_PENDING;
	if (c->state == CONN_HANDSHAKE)
		return handshake(c, env);
	if (c->state == CONN_IDLE)
		idle_ready(c, env, events);
	if (c->state == CONN_CLOSED || c->state == CONN_IDLE)
		return CONN_PENDING;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		while (result == CONN_PENDING && !drained)
			result = receive(c, env, events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR), &drained);
	if (result == CONN_PENDING && c->state == CONN_SENDING && ((events & EPOLLOUT) || c->tls))
		result = send_rest(c, env);
	return result;
}

enum conn_result conn_expire(struct conn *c, struct conn_env *env)
{
	return fail(c, env, FAILURE_TIMEOUT);
}
