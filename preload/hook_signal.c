/*
 * hook_signal.c - signals that end the program, and the one that samples it.
 *
 * SIGTERM, SIGINT and SIGABRT, while the program leaves them to their default, are ours: the last profile is written and the
 * default is then carried out, so the parent sees "killed by signal" as ever. To the program all looks as if we were not
 * there: it reads back what it set, and its own handler replaces ours.
 * SIGPROF cannot be blocked or replaced while it samples. The program sees the mask and the handler it set; a signal of its
 * own reaches its handler, or is kept while it believes to block it, or ends its sigwait(). By signalfd it gets none.
 * Both handlers are on the alternate stack exactly where the program's own are.
 */
#include "hook_signal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "compiler.h"
#include "finish.h"
#include "helper.h"
#include "os_linux.h"
#include "real.h"
#include "sampler.h"
#include "say.h"
#include "units.h"

static const int ending[] = { SIGTERM, SIGINT, SIGABRT /* glibc, of a corrupt heap: what was seen is kept */ };
static bool active;
static _Atomic bool alternate_stacks;
/* What the program set for each of them: SIG_DFL with its flags and mask. */
static struct sigaction app_action[ARRAY_LEN(ending)];

static void on_ending(int sig, siginfo_t *info, void *ucontext)
{
	struct sigaction dfl;

	(void)info;
	(void)ucontext;
	/* It met this thread in the middle of a change of tables that the profile is made of: a moment later. */
	if (tls_self.guard & GUARD_TABLE && helper_send_soon(sig))
		return;
	if (os_pid() == 1 && finish_is_this_process())
		return; /* a forked child became init of its namespace: the kernel would have spared it */
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

static bool is_default(const struct sigaction *act)
{
	return !(act->sa_flags & SA_SIGINFO) && act->sa_handler == SIG_DFL;
}

static int take_over(int sig, struct sigaction *ret_old)
{
	struct sigaction act;

	memset(&act, 0, sizeof(act));
	act.sa_sigaction = on_ending;
	act.sa_flags = SA_SIGINFO | SA_RESTART | (load_relaxed(&alternate_stacks) ? SA_ONSTACK : 0);
	sigfillset(&act.sa_mask);
	return real.sigaction(sig, &act, ret_old);
}

static bool is_fault(int sig)
{
	return sig == SIGSEGV || sig == SIGBUS || sig == SIGILL || sig == SIGFPE || sig == SIGTRAP || sig == SIGABRT;
}

/* A program that wants the alternate stack for signals that are no faults runs on stacks which have no room for a handler:
 * Go's begin with 2 KiB. Then ours must be there too. Otherwise they must not: what was made for the handler of a stack
 * overflow may be too small for us. */
static void look_at_stack(int sig, const struct sigaction *act)
{
	struct sigaction now;

	if (!(act->sa_flags & SA_ONSTACK) || is_fault(sig) || is_default(act) ||
	    exchange_acq_rel(&alternate_stacks, true))
		return;
	sampler_use_alternate_stacks();
	for (size_t i = 0; active && i < ARRAY_LEN(ending); i++)
		if (real.sigaction(ending[i], NULL, &now) == 0 && is_ours(&now))
			(void)take_over(ending[i], NULL);
}

/* PERFPROBE_SIGNAL; 0: none, or the program has taken it. */
static _Atomic int asking_signal;

static void on_asking(int sig)
{
	int saved_errno = errno;

	(void)sig;
	helper_ask_by_signal();
	errno = saved_errno;
}

static void asking_init(int sig)
{
	struct sigaction act, now;

	if (!sig)
		return;
	memset(&act, 0, sizeof(act));
	act.sa_handler = on_asking;
	act.sa_flags = SA_RESTART;
	sigfillset(&act.sa_mask);
	if (real.sigaction(sig, NULL, &now) < 0 || !is_default(&now) || real.sigaction(sig, &act, NULL) < 0)
		say("PERFPROBE_SIGNAL: the signal is in use: it asks for no profile", NULL);
	else
		store_relaxed(&asking_signal, sig);
}

/* The program's handler replaces ours: it knows what it needs. */
static void asking_replaced(int sig)
{
	int asking = sig;

	if (load_relaxed(&asking_signal) == sig && cas_relaxed(&asking_signal, &asking, 0))
		say("PERFPROBE_SIGNAL: the program handles the signal itself: it asks for no profile from now on",
		    NULL);
}

void hook_signal_init(const struct config *config)
{
	struct sigaction now;

	asking_init((int)config->signal);

	if (os_pid() == 1)
		return; /* the kernel spares init the signals it has no handler for: keep it so */
	active = true;
	for (size_t i = 0; i < ARRAY_LEN(ending); i++)
		if (real.sigaction(ending[i], NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) &&
		    now.sa_handler == SIG_DFL)
			(void)take_over(ending[i], &app_action[i]); /* on failure the signal ends the program as ever */
}

void hook_signal_done(void)
{
	struct sigaction now;

	for (size_t i = 0; active && i < ARRAY_LEN(ending); i++)
		if (real.sigaction(ending[i], NULL, &now) == 0 && is_ours(&now))
			(void)real.sigaction(ending[i], &app_action[i], NULL); /* it was the program's before */
	active = false;
}

EXPORT int sigaction(int sig, const struct sigaction *act, struct sigaction *ret_old)
{
	struct sigaction old, shown;
	int i = ending_index(sig), rc;

	if (!real_ready()) {
		errno = ENOSYS;
		return -1;
	}
	if (act)
		look_at_stack(sig, act);
	if (sig == SAMPLER_SIGNAL && sampler_uses_signal()) {
		sampler_app_action(act, ret_old);
		return 0;
	}
	if (act)
		asking_replaced(sig);
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

	if (!(sig == SAMPLER_SIGNAL && sampler_uses_signal()) && !(active && ending_index(sig) >= 0)) {
		asking_replaced(sig);
		return false;
	}
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

/* ---- masks and waits ---------------------------------------------------------------------------------------------- */

/* The set without the sampling signal, where that is in it. */
static const sigset_t *without_ours(const sigset_t *set, sigset_t *room)
{
	if (!set || !sampler_uses_signal() || !sigismember(set, SAMPLER_SIGNAL))
		return set;
	*room = *set;
	sigdelset(room, SAMPLER_SIGNAL);
	return room;
}

typedef int set_mask(int how, const sigset_t *set, sigset_t *ret_old);

/* The mask as the program sees it has the signal in it when it put it there. */
static int change_mask(set_mask *change, int how, const sigset_t *set, sigset_t *ret_old)
{
	struct tls *t = &tls_self;
	bool was = t->prof_blocked, has;
	sigset_t room, asked;
	int rc;

	if (!sampler_uses_signal())
		return change(how, set, ret_old);
	if (set)
		asked = *set; /* the two may be one variable */
	rc = change(how, how == SIG_UNBLOCK ? set : without_ours(set, &room), ret_old);
	if (rc != 0)
		return rc;
	if (ret_old && was)
		sigaddset(ret_old, SAMPLER_SIGNAL);
	has = set && sigismember(&asked, SAMPLER_SIGNAL);
	if (set && how == SIG_SETMASK)
		sampler_app_blocks(t, has);
	else if (has)
		sampler_app_blocks(t, how == SIG_BLOCK);
	return rc;
}

EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *ret_old)
{
	if (!real_ready()) {
		errno = ENOSYS;
		return -1;
	}
	return change_mask(real.sigprocmask, how, set, ret_old);
}

EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *ret_old)
{
	return real_ready() ? change_mask(real.pthread_sigmask, how, set, ret_old) : ENOSYS;
}

static struct timespec time_left(uint64_t deadline_ns)
{
	uint64_t now = os_now_ns(), left = deadline_ns > now ? deadline_ns - now : 0;

	return (struct timespec){ (time_t)(left / NS_PER_S), (long)(left % NS_PER_S) };
}

/* As sigtimedwait(2); our signals, which end the wait too while the signal is waited for, do not count. */
static int wait_for(const sigset_t *set, siginfo_t *ret_info, const struct timespec *limit)
{
	uint64_t end = 0;
	siginfo_t info;
	int sig;

	if (limit)
		end = os_now_ns() + (uint64_t)limit->tv_sec * NS_PER_S + (uint64_t)limit->tv_nsec;
	if (sampler_app_waits(true)) {
		memset(&info, 0, sizeof(info));
		info.si_signo = sig = SAMPLER_SIGNAL;
	} else {
		struct timespec left;

		sig = real.sigtimedwait(set, &info, limit);
		while (sig == SAMPLER_SIGNAL && sampler_swallow(&info)) {
			left = time_left(end);
			sig = real.sigtimedwait(set, &info, limit ? &left : NULL);
		}
	}
	(void)sampler_app_waits(false);
	if (sig >= 0 && ret_info)
		*ret_info = info;
	return sig;
}

static bool concerns_us(const sigset_t *set)
{
	return sampler_uses_signal() && real.sigtimedwait && sigismember(set, SAMPLER_SIGNAL);
}

EXPORT int sigtimedwait(const sigset_t *set, siginfo_t *ret_info, const struct timespec *limit)
{
	if (!real_ready() || !real.sigtimedwait) {
		errno = ENOSYS;
		return -1;
	}
	return concerns_us(set) ? wait_for(set, ret_info, limit) : real.sigtimedwait(set, ret_info, limit);
}

EXPORT int sigwaitinfo(const sigset_t *set, siginfo_t *ret_info)
{
	return sigtimedwait(set, ret_info, NULL);
}

EXPORT int sigwait(const sigset_t *set, int *ret_sig)
{
	int saved_errno = errno, sig;

	if (!real_ready() || !real.sigwait)
		return ENOSYS;
	if (!concerns_us(set))
		return real.sigwait(set, ret_sig);
	do
		sig = wait_for(set, NULL, NULL);
	while (sig < 0 && errno == EINTR); /* as glibc's does */
	if (sig < 0)
		return errno;
	errno = saved_errno;
	*ret_sig = sig;
	return 0;
}

/* The kernel lets a descriptor take signals that are not blocked, when they come while it is read. */
EXPORT int signalfd(int fd, const sigset_t *set, int flags)
{
	sigset_t room;

	if (!real_ready() || !real.signalfd) {
		errno = ENOSYS;
		return -1;
	}
	return real.signalfd(fd, without_ours(set, &room), flags);
}
