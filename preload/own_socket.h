/* Sockets of ours, in the helper's own table of descriptors; before Linux 5.9 that is the program's, which may close ours and
 * get the number for something else: so each is looked at before it is used. And names of Unix sockets.
 * Context    [helper]: system calls that do not wait. */
#pragma once
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/un.h>

/* A descriptor and what it was; fd -1: none. */
struct own_socket {
	int fd;
	ino_t ino;
};

/* The helper begins. `shared`: it has no table of its own. */
void own_socket_begin(bool shared);
bool own_socket_is_shared(void);
/* Takes `fd` over. */
struct own_socket own_socket_take(int fd);
bool own_socket_is(const struct own_socket *it);
void own_socket_close(struct own_socket *it);
/* Is somebody there to be accepted? accept() makes a socket before it finds that nobody is; this does not. */
bool own_socket_is_called(const struct own_socket *listener);
/* A socket that does not wait; its descriptor or -errno. */
int own_socket_new(int family);

int own_socket_stat(const char *path, int flags, struct stat *ret_st);
/* `path` is shorter than sun_path. */
struct sockaddr_un own_socket_address(const char *path);
/* Is it a name on which nobody listens? Connecting tells, in whatever process namespace. */
bool own_socket_is_deserted(const char *path);
