/*
 * hook_wait.c - where event loops wait: between request and answer a thread works on nothing while it is in here.
 *
 * Nothing is held across the real call: it is a cancellation point, and a signal's handler may leave it by longjmp.
 */
#include <errno.h>

#include "compiler.h"
#include "os_linux.h"
#include "real.h"
#include "requests.h"
#include "sockets.h"
#include "threads.h"

static void rest(void)
{
	struct thread *th = load_relaxed(&sockets_on) ? tls_self.thread : NULL;

	/* A database library that waits for its answer is no event loop: the thread stays with its request. */
	if (UNLIKELY(th != NULL) && load_relaxed(&th->http_now) && !load_relaxed(&th->database_row))
		requests_rest(th, os_now_ns());
}

static int woken(int rc)
{
	struct thread *th = load_relaxed(&sockets_on) ? tls_self.thread : NULL;

	if (UNLIKELY(th != NULL) && load_relaxed(&th->http_last))
		requests_resume(th, os_now_ns());
	return rc;
}

EXPORT int epoll_wait(int fd, struct epoll_event *ret_events, int most, int limit_ms)
{
	if (!real_ready() || !real.epoll_wait)
		return real_not_there();
	rest();
	return woken(real.epoll_wait(fd, ret_events, most, limit_ms));
}

EXPORT int epoll_pwait(int fd, struct epoll_event *ret_events, int most, int limit_ms, const sigset_t *mask)
{
	if (!real_ready() || !real.epoll_pwait)
		return real_not_there();
	rest();
	return woken(real.epoll_pwait(fd, ret_events, most, limit_ms, mask));
}

EXPORT int epoll_pwait2(int fd, struct epoll_event *ret_events, int most, const struct timespec *limit,
                        const sigset_t *mask)
{
	if (!real_ready() || !real.epoll_pwait2)
		return real_not_there();
	rest();
	return woken(real.epoll_pwait2(fd, ret_events, most, limit, mask));
}

EXPORT int poll(struct pollfd *fds, nfds_t count, int limit_ms)
{
	if (!real_ready() || !real.poll)
		return real_not_there();
	rest();
	return woken(real.poll(fds, count, limit_ms));
}

EXPORT int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *limit, const sigset_t *mask)
{
	if (!real_ready() || !real.ppoll)
		return real_not_there();
	rest();
	return woken(real.ppoll(fds, count, limit, mask));
}

EXPORT int __poll_chk(struct pollfd *fds, nfds_t count, int limit_ms,
                      size_t room); /* libc has it without a declaration */
EXPORT int __poll_chk(struct pollfd *fds, nfds_t count, int limit_ms, size_t room)
{
	if (!real_ready() || !real.__poll_chk)
		return real_not_there();
	rest();
	return woken(real.__poll_chk(fds, count, limit_ms, room));
}

EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *limit, const sigset_t *mask,
                       size_t room); /* libc has it without a declaration */
EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *limit, const sigset_t *mask,
                       size_t room)
{
	if (!real_ready() || !real.__ppoll_chk)
		return real_not_there();
	rest();
	return woken(real.__ppoll_chk(fds, count, limit, mask, room));
}

EXPORT int select(int count, fd_set *reads, fd_set *writes, fd_set *others, struct timeval *limit)
{
	if (!real_ready() || !real.select)
		return real_not_there();
	rest();
	return woken(real.select(count, reads, writes, others, limit));
}

EXPORT int pselect(int count, fd_set *reads, fd_set *writes, fd_set *others, const struct timespec *limit,
                   const sigset_t *mask)
{
	if (!real_ready() || !real.pselect)
		return real_not_there();
	rest();
	return woken(real.pselect(count, reads, writes, others, limit, mask));
}
