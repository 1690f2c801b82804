/*
 * hook_net.c - what the program receives and sends. Each hook: the real call, then what it returned is told to sockets.c, if the
 * descriptor may be an HTTP connection.
 *
 * Nothing is held across the real call: it is a cancellation point, and a signal's handler may leave it by longjmp. What was
 * asked for does not matter, what was returned does. errno is the real call's: nothing after it touches it.
 * Closing is told before the real call, since the number may be another connection's at once; not by a vfork child, whose
 * memory is its parent's and whose descriptors are not.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "compiler.h"
#include "finish.h"
#include "real.h"
#include "sockets.h"

/* ---- receiving ----------------------------------------------------------------------------------------------------- */

/* Apart, so that the hooks of ignored descriptors have small frames. */
static NOINLINE void tell_in(int fd, const void *data, size_t bytes)
{
	sockets_in(fd, &(struct iovec){ (void *)(uintptr_t)data, bytes }, 1, bytes);
}

static NOINLINE void tell_out(int fd, const void *data, size_t bytes)
{
	sockets_out(fd, &(struct iovec){ (void *)(uintptr_t)data, bytes }, 1, bytes);
}

static ALWAYS_INLINE ssize_t got(int fd, const void *data, ssize_t n)
{
	if (n > 0 && UNLIKELY(sockets_follow(fd)))
		tell_in(fd, data, (size_t)n);
	return n;
}

/* Bytes that are not taken out of the stream, or are none of it. */
enum { NOT_OF_STREAM = MSG_PEEK | MSG_OOB | MSG_ERRQUEUE };

static ALWAYS_INLINE ssize_t got_flags(int fd, const void *data, ssize_t n, int flags)
{
	if (LIKELY(!(flags & (NOT_OF_STREAM | MSG_TRUNC))))
		return got(fd, data, n);
	if (n > 0 && !(flags & NOT_OF_STREAM) && sockets_follow(fd))
		sockets_in_unseen(fd, (size_t)n); /* MSG_TRUNC: they were thrown away */
	return n;
}

EXPORT ssize_t read(int fd, void *to, size_t bytes)
{
	return real_ready() ? got(fd, to, real.read(fd, to, bytes)) : real_not_there();
}

EXPORT ssize_t recv(int fd, void *to, size_t bytes, int flags)
{
	return real_ready() ? got_flags(fd, to, real.recv(fd, to, bytes, flags), flags) : real_not_there();
}

EXPORT ssize_t recvfrom(int fd, void *to, size_t bytes, int flags, struct sockaddr *ret_peer, socklen_t *peer_bytes)
{
	if (!real_ready())
		return real_not_there();
	return got_flags(fd, to, real.recvfrom(fd, to, bytes, flags, ret_peer, peer_bytes), flags);
}

/* What programs call that were compiled with _FORTIFY_SOURCE; libc has them without declarations. */
EXPORT ssize_t __read_chk(int fd, void *to, size_t bytes, size_t room);
EXPORT ssize_t __recv_chk(int fd, void *to, size_t bytes, size_t room, int flags);
EXPORT ssize_t __recvfrom_chk(int fd, void *to, size_t bytes, size_t room, int flags, struct sockaddr *ret_peer,
                              socklen_t *peer_bytes);

EXPORT ssize_t __read_chk(int fd, void *to, size_t bytes, size_t room)
{
	return real_ready() && real.__read_chk ? got(fd, to, real.__read_chk(fd, to, bytes, room)) : real_not_there();
}

EXPORT ssize_t __recv_chk(int fd, void *to, size_t bytes, size_t room, int flags)
{
	if (!real_ready() || !real.__recv_chk)
		return real_not_there();
	return got_flags(fd, to, real.__recv_chk(fd, to, bytes, room, flags), flags);
}

EXPORT ssize_t __recvfrom_chk(int fd, void *to, size_t bytes, size_t room, int flags, struct sockaddr *ret_peer,
                              socklen_t *peer_bytes)
{
	if (!real_ready() || !real.__recvfrom_chk)
		return real_not_there();
	return got_flags(fd, to, real.__recvfrom_chk(fd, to, bytes, room, flags, ret_peer, peer_bytes), flags);
}

EXPORT ssize_t readv(int fd, const struct iovec *parts, int count)
{
	ssize_t n;

	if (!real_ready())
		return real_not_there();
	n = real.readv(fd, parts, count);
	if (n > 0 && UNLIKELY(sockets_follow(fd)))
		sockets_in(fd, parts, (size_t)count, (size_t)n);
	return n;
}

/* Descriptors that came along: their numbers may have been those of others, closed unseen. */
static void descriptors_came(const struct msghdr *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = CMSG_LEN(0); at + sizeof(int) <= c->cmsg_len; at += sizeof(int)) {
			int fd;

			memcpy(&fd, (const char *)c + at, sizeof(fd));
			sockets_fresh(fd);
		}
	}
}

static void got_message(int fd, const struct msghdr *message, size_t n, int flags)
{
	if (load_relaxed(&sockets_on) && UNLIKELY(message->msg_controllen > 0))
		descriptors_came(message);
	if (n == 0 || (flags & NOT_OF_STREAM) || LIKELY(!sockets_follow(fd)))
		return;
	if (flags & MSG_TRUNC)
		sockets_in_unseen(fd, n);
	else
		sockets_in(fd, message->msg_iov, message->msg_iovlen, n);
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	ssize_t n;

	if (!real_ready())
		return real_not_there();
	n = real.recvmsg(fd, message, flags);
	if (n >= 0)
		got_message(fd, message, (size_t)n, flags);
	return n;
}

EXPORT int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *limit)
{
	int n;

	if (!real_ready() || !real.recvmmsg)
		return real_not_there();
	n = real.recvmmsg(fd, messages, count, flags, limit);
	for (int i = 0; i < n; i++)
		got_message(fd, &messages[i].msg_hdr, messages[i].msg_len, flags);
	return n;
}

/* ---- sending ------------------------------------------------------------------------------------------------------- */

static ALWAYS_INLINE ssize_t sent(int fd, const void *data, ssize_t n)
{
	if (n > 0 && UNLIKELY(sockets_follow(fd)))
		tell_out(fd, data, (size_t)n);
	return n;
}

static ALWAYS_INLINE ssize_t sent_unseen(int fd, ssize_t n)
{
	if (n > 0 && UNLIKELY(sockets_follow(fd)))
		sockets_out_unseen(fd, (size_t)n);
	return n;
}

EXPORT ssize_t write(int fd, const void *from, size_t bytes)
{
	return real_ready() ? sent(fd, from, real.write(fd, from, bytes)) : real_not_there();
}

EXPORT ssize_t send(int fd, const void *from, size_t bytes, int flags)
{
	ssize_t n;

	if (!real_ready())
		return real_not_there();
	n = real.send(fd, from, bytes, flags);
	return flags & MSG_OOB ? n : sent(fd, from, n);
}

EXPORT ssize_t sendto(int fd, const void *from, size_t bytes, int flags, const struct sockaddr *peer,
                      socklen_t peer_bytes)
{
	ssize_t n;

	if (!real_ready())
		return real_not_there();
	n = real.sendto(fd, from, bytes, flags, peer, peer_bytes);
	return flags & MSG_OOB ? n : sent(fd, from, n);
}

EXPORT ssize_t writev(int fd, const struct iovec *parts, int count)
{
	ssize_t n;

	if (!real_ready())
		return real_not_there();
	n = real.writev(fd, parts, count);
	if (n > 0 && UNLIKELY(sockets_follow(fd)))
		sockets_out(fd, parts, (size_t)count, (size_t)n);
	return n;
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	ssize_t n;

	if (!real_ready())
		return real_not_there();
	n = real.sendmsg(fd, message, flags);
	if (n > 0 && !(flags & MSG_OOB) && UNLIKELY(sockets_follow(fd)))
		sockets_out(fd, message->msg_iov, message->msg_iovlen, (size_t)n);
	return n;
}

EXPORT int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
	int n;

	if (!real_ready() || !real.sendmmsg)
		return real_not_there();
	n = real.sendmmsg(fd, messages, count, flags);
	for (int i = 0; i < n && UNLIKELY(sockets_follow(fd)); i++)
		sockets_out(fd, messages[i].msg_hdr.msg_iov, messages[i].msg_hdr.msg_iovlen, messages[i].msg_len);
	return n;
}

EXPORT ssize_t sendfile(int to, int from, off_t *offset, size_t bytes)
{
	if (!real_ready() || !real.sendfile)
		return real_not_there();
	return sent_unseen(to, real.sendfile(to, from, offset, bytes));
}

EXPORT ssize_t sendfile64(int to, int from, off64_t *offset, size_t bytes)
{
	if (!real_ready() || !real.sendfile64)
		return real_not_there();
	return sent_unseen(to, real.sendfile64(to, from, offset, bytes));
}

EXPORT ssize_t splice(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t bytes, unsigned flags)
{
	ssize_t n;

	if (!real_ready() || !real.splice)
		return real_not_there();
	n = real.splice(from, from_offset, to, to_offset, bytes, flags);
	if (n > 0 && UNLIKELY(sockets_follow(from)))
		sockets_in_unseen(from, (size_t)n);
	return sent_unseen(to, n);
}

/* ---- descriptors --------------------------------------------------------------------------------------------------- */

static int fresh(int fd)
{
	if (fd >= 0 && load_relaxed(&sockets_on))
		sockets_fresh(fd);
	return fd;
}

EXPORT int accept(int fd, struct sockaddr *ret_peer, socklen_t *bytes)
{
	return real_ready() ? fresh(real.accept(fd, ret_peer, bytes)) : real_not_there();
}

EXPORT int accept4(int fd, struct sockaddr *ret_peer, socklen_t *bytes, int flags)
{
	return real_ready() ? fresh(real.accept4(fd, ret_peer, bytes, flags)) : real_not_there();
}

EXPORT int shutdown(int fd, int how)
{
	int rc;

	if (!real_ready())
		return real_not_there();
	rc = real.shutdown(fd, how);
	if (rc == 0 && how != SHUT_RD && UNLIKELY(sockets_known(fd)))
		sockets_shut(fd);
	return rc;
}

EXPORT int close(int fd)
{
	if (!real_ready())
		return real_not_there();
	if (load_relaxed(&sockets_on) && sockets_word(fd) != SOCKET_NEW &&
	    (sockets_word(fd) == SOCKET_IGNORED || finish_is_this_process()))
		sockets_closing(fd);
	return real.close(fd);
}

static bool closes_ours(void)
{
	return load_relaxed(&sockets_on) && finish_is_this_process();
}

EXPORT int close_range(unsigned first, unsigned last, int flags)
{
	enum { KEEPS_THEM_OPEN = 4 /* CLOSE_RANGE_CLOEXEC */ };

	if (!real_ready() || !real.close_range)
		return real_not_there();
	if (!(flags & KEEPS_THEM_OPEN) && first <= last && closes_ours())
		sockets_closing_range(first, last);
	return real.close_range(first, last, flags);
}

EXPORT void closefrom(int first)
{
	if (!real_ready() || !real.closefrom)
		return;
	if (closes_ours())
		sockets_closing_range(first > 0 ? (unsigned)first : 0, UINT32_MAX);
	real.closefrom(first);
}

static int copied(int from, int to)
{
	if (to >= 0 && load_relaxed(&sockets_on) && (sockets_word(from) || sockets_word(to)) &&
	    finish_is_this_process())
		sockets_copied(from, to);
	return to;
}

EXPORT int dup(int fd)
{
	return real_ready() ? copied(fd, real.dup(fd)) : real_not_there();
}

EXPORT int dup2(int from, int to)
{
	return real_ready() ? copied(from, real.dup2(from, to)) : real_not_there();
}

EXPORT int dup3(int from, int to, int flags)
{
	return real_ready() && real.dup3 ? copied(from, real.dup3(from, to, flags)) : real_not_there();
}

/* The third argument is a number or a pointer: a word either way. */
#define FCNTL(next)                                                         \
	do {                                                                \
		va_list list_;                                              \
		va_start(list_, command);                                   \
		word = va_arg(list_, long);                                 \
		va_end(list_);                                              \
		rc = (next) ? (next)(fd, command, word) : real_not_there(); \
	} while (0)

static int fcntl_done(int fd, int command, int rc)
{
	return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? copied(fd, rc) : rc;
}

EXPORT int fcntl(int fd, int command, ...)
{
	long word;
	int rc;

	if (!real_ready())
		return real_not_there();
	FCNTL(real.fcntl);
	return fcntl_done(fd, command, rc);
}

EXPORT int fcntl64(int fd, int command, ...)
{
	long word;
	int rc;

	if (!real_ready())
		return real_not_there();
	FCNTL(real.fcntl64);
	return fcntl_done(fd, command, rc);
}
