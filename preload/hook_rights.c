/*
 * hook_rights.c - programs that give up rights, change who they are, or move to other namespaces.
 *
 * The helper is a thread that libc does not know: setuid() would leave it with the rights the program gave up, and
 * unshare(CLONE_NEWUSER) refuses a process of two threads. So the helper is ended before such a call and made anew after,
 * with what its maker then has: user, groups, capabilities, namespaces, root, filters.
 */
#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "compiler.h"
#include "finish.h"
#include "helper.h"
#include "real.h"
#include "state.h"

/* Needs no header of libcap. */
EXPORT int capset(void *header, const void *data);

/* True: end_change() is due. In a vfork child the helper is the parent's. */
static bool begin_change(void)
{
	return state_get() >= STATE_STOPPED && finish_is_this_process() && helper_pause();
}

static int end_change(bool paused, int rc)
{
	int saved_errno = errno;

	if (paused)
		helper_resume();
	errno = saved_errno;
	return rc;
}

#define CHANGE(name, params, args)                              \
	EXPORT int name params                                  \
	{                                                       \
		bool paused;                                    \
                                                                \
		if (!real_ready() || !real.name) {              \
			errno = ENOSYS;                         \
			return -1;                              \
		}                                               \
		paused = begin_change();                        \
		return end_change(paused, real.name args);      \
	}

CHANGE(setuid, (uid_t uid), (uid))
CHANGE(setgid, (gid_t gid), (gid))
CHANGE(seteuid, (uid_t uid), (uid))
CHANGE(setegid, (gid_t gid), (gid))
CHANGE(setreuid, (uid_t real_uid, uid_t uid), (real_uid, uid))
CHANGE(setregid, (gid_t real_gid, gid_t gid), (real_gid, gid))
CHANGE(setresuid, (uid_t real_uid, uid_t uid, uid_t saved), (real_uid, uid, saved))
CHANGE(setresgid, (gid_t real_gid, gid_t gid, gid_t saved), (real_gid, gid, saved))
CHANGE(setgroups, (size_t n, const gid_t *groups), (n, groups))
CHANGE(initgroups, (const char *user, gid_t group), (user, group))
CHANGE(capset, (void *header, const void *data), (header, data))
CHANGE(setns, (int fd, int type), (fd, type))

/* Flags that concern every thread, or what the helper shares with the program. A new process namespace is not among them:
 * it is for children, and no thread can be made after. */
#define SHARED_FLAGS \
	(CLONE_NEWUSER | CLONE_NEWNS | CLONE_FS | CLONE_FILES | CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)

EXPORT int unshare(int flags)
{
	bool paused;

	if (!real_ready() || !real.unshare) {
		errno = ENOSYS;
		return -1;
	}
	paused = flags & SHARED_FLAGS && begin_change();
	return end_change(paused, real.unshare(flags));
}
