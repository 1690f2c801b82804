/*
 * hook_rights.c - programs that give up rights, change who they are, or move to other namespaces.
 *
 * The helper is a thread that libc does not know: setuid() would leave it with the rights the program gave up, and
 * unshare(CLONE_NEWUSER) refuses a process of two threads. So the helper is ended before such a call and made anew after,
 * with what its maker then has: user, groups, capabilities, namespaces, root, filters.
 * A filter of system calls that the program puts on itself may kill whoever does what we do: samples are armed again by
 * system calls, tables grow by them. So the recording ends there, with its profile.
 */
#include <errno.h>
#include <grp.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "compiler.h"
#include "finish.h"
#include "helper.h"
#include "hook_signal.h"
#include "os_linux.h"
#include "real.h"
#include "sampler.h"
#include "say.h"
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

#define CHANGE(name, params, args)                         \
	EXPORT int name params                             \
	{                                                  \
		bool paused;                               \
                                                           \
		if (!real_ready() || !real.name) {         \
			errno = ENOSYS;                    \
			return -1;                         \
		}                                          \
		paused = begin_change();                   \
		return end_change(paused, real.name args); \
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

/* ---- filters ------------------------------------------------------------------------------------------------------ */

static void end_recording(void)
{
	if (state_get() < STATE_STOPPED || !finish_is_this_process())
		return;
	say("the program restricts its system calls (seccomp), which ours may break: the recording ends here", NULL);
	finish_process();
	store_release(&state_now, STATE_OFF); /* relaxed readers: what they still record is lost with the process */
	(void)helper_pause();                 /* for good: a filter may be put on every thread */
	sampler_disarm_all(&tls_self);
	hook_signal_done();
}

/* Past the next definitions: jemalloc makes system calls while it begins, when looking a name up would call it again. */
static long as_libc(long rc)
{
	if (rc >= 0 || rc < -4095)
		return rc;
	errno = (int)-rc;
	return -1;
}

EXPORT int prctl(int option, ...)
{
	unsigned long a[4];
	va_list list;

	va_start(list, option);
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		a[i] = va_arg(list, unsigned long); /* as libc's: what was not passed is not used */
	va_end(list);
	if (option == PR_SET_SECCOMP)
		end_recording();
	return (int)as_libc(os_call(SYS_prctl, option, (long)a[0], (long)a[1], (long)a[2], (long)a[3], 0));
}

EXPORT long syscall(long number, ...)
{
	long a[6];
	va_list list;

	va_start(list, number);
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		a[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_seccomp && (a[0] == SECCOMP_SET_MODE_STRICT || (a[0] == SECCOMP_SET_MODE_FILTER && a[2])))
		end_recording(); /* without an argument it is a question */
	return as_libc(os_call(number, a[0], a[1], a[2], a[3], a[4], a[5]));
}

/* AddressSanitizer's library asks for these before anything else, and refuses to run a program in which another library
 * stands before it, as every preloaded one does. Ours is passive in such a program (start.c), so it may. */
EXPORT const char *__asan_default_options(void);
EXPORT const char *__asan_default_options(void)
{
	return "verify_asan_link_order=0";
}
