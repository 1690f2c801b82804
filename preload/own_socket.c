#include "own_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "os_linux.h"

static bool shared;

void own_socket_begin(bool is_shared)
{
	shared = is_shared;
}

bool own_socket_is_shared(void)
{
	return shared;
}

struct own_socket own_socket_take(int fd)
{
	struct own_socket it = { fd, 0 };
	struct stat st;

	if (shared)
		it.fd = os_move_up(fd);
	if (os_fstat(it.fd, &st) == 0)
		it.ino = st.st_ino;
	return it;
}

bool own_socket_is(const struct own_socket *it)
{
	struct stat st;

	if (it->fd < 0 || !shared)
		return it->fd >= 0;
	return os_fstat(it->fd, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_ino == it->ino;
}

void own_socket_close(struct own_socket *it)
{
	if (own_socket_is(it))
		os_close(it->fd);
	it->fd = -1;
}

bool own_socket_is_called(const struct own_socket *listener)
{
	struct pollfd it = { listener->fd, POLLIN, 0 };
	struct timespec none = { 0, 0 };

	return own_socket_is(listener) && os_call(SYS_ppoll, (long)&it, 1, (long)&none, 0, 0, 0) == 1;
}

int own_socket_new(int family)
{
	return (int)os_call(SYS_socket, family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, 0, 0, 0);
}

int own_socket_stat(const char *path, int flags, struct stat *ret_st)
{
	return (int)os_call(SYS_newfstatat, AT_FDCWD, (long)path, (long)ret_st, flags, 0, 0);
}

struct sockaddr_un own_socket_address(const char *path)
{
	struct sockaddr_un address;

	memset(&address, 0, sizeof(address));
	address.sun_family = AF_UNIX;
	memcpy(address.sun_path, path, strlen(path));
	return address;
}

bool own_socket_is_deserted(const char *path)
{
	struct sockaddr_un address = own_socket_address(path);
	int fd = own_socket_new(AF_UNIX), rc;

	if (fd < 0)
		return false;
	rc = (int)os_call(SYS_connect, fd, (long)&address, sizeof(address), 0, 0, 0);
	os_close(fd);
	return rc == -ECONNREFUSED;
}
