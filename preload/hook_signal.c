/*
 * hook_signal.c - signals that end the program, and the one that samples it.
 *
 * SIGTERM, SIGINT and SIGABRT, while the program leaves them to their default, are ours: the last profile is written and the
 * default is then carried out, so the parent sees "killed by signal" as ever. To the program all looks as if we were not
 * there: it reads back what it set, and its own handler replaces ours.
 * SIGPROF cannot be blocked or replaced while it samples; a handler of the program's is kept and gets the signals that
 * are not samples.
 */
#include "hook_signal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "compiler.h"
#include "finish.h"
#include "os_linux.h"
#include "real.h"
#include "sampler.h"

static const int ending[] = { SIGTERM, SIGINT, SIGABRT /* glibc, of a corrupt heap: what was seen is kept */ };
static bool active;
/* What the program set for each of them: SIG_DFL with its flags and mask. */
static struct sigaction app_action[ARRAY_LEN(ending)];

static void on_ending(int sig, siginfo_t *info, void *ucontext)
{
	struct sigaction dfl;

	(void)info;
	(void)ucontext;
	finish_from_handler();
	memset(&dfl, 0, sizeof(dfl));
	(void)real.sigaction(sig, &dfl, NULL);
	/* Blocked until this handler returns; then the default action ends the process. */
	(void)os_kill_thread(os_pid(), os_tid(), sig);
}

static int ending_index(int sig)
{
	for (size_t i = 0; i < ARRAY_LEN(ending); i++)
		if (ending[i] == sig)
			return (int)i;
	return -1;
}

static bool is_ours(const struct sigaction *a)
{
	return a->sa_flags & SA_SIGINFO && a->sa_sigaction == on_ending;
}

static int take_over(int sig, struct sigaction *ret_old)
{
	struct sigaction act;

	memset(&act, 0, sizeof(act));
	act.sa_sigaction = on_ending;
	act.sa_flags = SA_SIGINFO | SA_RESTART;
	sigfillset(&act.sa_mask);
	return real.sigaction(sig, &act, ret_old);
}

void hook_signal_init(void)
{
	struct sigaction now;

	if (os_pid() == 1)
		return; /* the kernel spares init the signals it has no handler for: keep it so */
	active = true;
	for (size_t i = 0; i < ARRAY_LEN(ending); i++)
		if (real.sigaction(ending[i], NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) &&
		    now.sa_handler == SIG_DFL)
			(void)take_over(ending[i], &app_action[i]); /* on failure the signal ends the program as ever */
}

static bool is_default(const struct sigaction *act)
{
	return !(act->sa_flags & SA_SIGINFO) && act->sa_handler == SIG_DFL;
}

EXPORT int sigaction(int sig, const struct sigaction *act, struct sigaction *ret_old)
{
	struct sigaction old, shown;
	int i = ending_index(sig), rc;

	if (!real_ready()) {
		errno = ENOSYS;
		return -1;
	}
	if (sig == SAMPLER_SIGNAL && sampler_uses_signal()) {
		sampler_app_action(act, ret_old);
		return 0;
	}
	if (!active || i < 0)
		return real.sigaction(sig, act, ret_old);
	rc = act && is_default(act) ? take_over(sig, &old) : real.sigaction(sig, act, &old);
	if (rc != 0)
		return rc;
	shown = is_ours(&old) ? app_action[i] : old;
	if (act && is_default(act))
		app_action[i] = *act;
	if (ret_old)
		*ret_old = shown;
	return 0;
}

/* signal() and its variants differ in flags only; ours takes the cases that concern us. False: call the real one. */
static bool simple_signal(int sig, sighandler_t handler, int flags, sighandler_t *ret_old)
{
	struct sigaction act, old;

	if (!(sig == SAMPLER_SIGNAL && sampler_uses_signal()) && !(active && ending_index(sig) >= 0))
		return false;
	memset(&act, 0, sizeof(act));
	act.sa_handler = handler;
	act.sa_flags = flags;
	if (sigaction(sig, &act, &old) < 0)
		*ret_old = SIG_ERR;
	else
		*ret_old = old.sa_flags & SA_SIGINFO ? (sighandler_t)(uintptr_t)old.sa_sigaction : old.sa_handler;
	return true;
}

#define SYSV_FLAGS ((int)(SA_RESETHAND | SA_NODEFER))

EXPORT sighandler_t signal(int sig, sighandler_t handler)
{
	sighandler_t old;

	if (!real_ready())
		return SIG_ERR;
	return simple_signal(sig, handler, SA_RESTART, &old) ? old : real.signal(sig, handler);
}

EXPORT sighandler_t bsd_signal(int sig, sighandler_t handler); /* glibc has it, and no longer declares it */
EXPORT sighandler_t bsd_signal(int sig, sighandler_t handler)
{
	return signal(sig, handler);
}

EXPORT sighandler_t ssignal(int sig, sighandler_t handler)
{
	return signal(sig, handler);
}

EXPORT sighandler_t __sysv_signal(int sig, sighandler_t handler)
{
	sighandler_t old;

	if (!real_ready() || !real.__sysv_signal)
		return SIG_ERR;
	return simple_signal(sig, handler, SYSV_FLAGS, &old) ? old : real.__sysv_signal(sig, handler);
}

EXPORT sighandler_t sysv_signal(int sig, sighandler_t handler)
{
	return __sysv_signal(sig, handler);
}

EXPORT sighandler_t sigset(int sig, sighandler_t handler)
{
	sighandler_t old;
	sigset_t one;

	if (!real_ready() || !real.sigset)
		return SIG_ERR;
	if (handler == SIG_HOLD || !simple_signal(sig, handler, 0, &old))
		return real.sigset(sig, handler);
	sigemptyset(&one);
	sigaddset(&one, sig);
	(void)real.sigprocmask(SIG_UNBLOCK, &one, NULL); /* sigset(3): the signal is removed from the mask */
	return old;
}

/* The set without the sampling signal, where it would be blocked. */
static const sigset_t *without_ours(int how, const sigset_t *set, sigset_t *room)
{
	if (!set || how == SIG_UNBLOCK || !sampler_uses_signal() || !sigismember(set, SAMPLER_SIGNAL))
		return set;
	*room = *set;
	sigdelset(room, SAMPLER_SIGNAL);
	return room;
}

EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *ret_old)
{
	sigset_t room;

	if (!real_ready()) {
		errno = ENOSYS;
		return -1;
	}
	return real.sigprocmask(how, without_ours(how, set, &room), ret_old);
}

EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *ret_old)
{
	sigset_t room;

	return real_ready() ? real.pthread_sigmask(how, without_ours(how, set, &room), ret_old) : ENOSYS;
}
