/*
 * sampler.c - engines and handler of CPU sampling.
 *
 * perf_event  a software cpu-clock event per thread that raises SIGPROF and disables itself (PERF_EVENT_IOC_REFRESH 1);
 *             the handler arms it again at its end, so a slow handler lowers the rate instead of living on itself. Only
 *             where the kernel lets us sample kernel time too: a user-only event drops the ticks that land in system
 *             calls (perf_exclude_event() in kernel/events/core.c).
 * timer       else: timer_create on the thread's CPU clock. Expires at the kernel's ticks.
 * Weight      each sample stands for the CPU time since the last one, in whole periods, the rest carried over: totals are
 *             right even when a signal was held off or a tick came late.
 * First       delay is random within a period: threads shorter than a period are seen in proportion to their length.
 * EINTR       epoll_wait, poll and their like are not restarted by SA_RESTART. A CPU-time signal can only meet them at
 *             their entry, so the handler has the interrupted instruction executed again (signal(7), "Interruption of
 *             system calls"), where the processor leaves what that needs (arch.h).
 * Recorder    a sample that falls into the recorder's own tables is put aside and counted when it leaves them.
 */
#include "sampler.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <ucontext.h>

#include "allocs.h"
#include "arch.h"
#include "control_call.h"
#include "kernel_frames.h"
#include "lock.h"
#include "losses.h"
#include "os_linux.h"
#include "poisson.h"
#include "real.h"
#include "samples.h"
#include "say.h"
#include "state.h"
#include "threads.h"
#include "unwind.h"
#include "units.h"

enum kind { KIND_OFF, KIND_PERF, KIND_TIMER };
enum { SIGNAL_BYTES = 8 };

static enum kind kind = KIND_OFF;
static struct sampler_engine engine = { "off", "", 0 };
static bool with_kernel; /* samples have the kernel's frames too */
static _Atomic bool stopped;
static uint64_t seed;
static _Atomic uint64_t armed_count;
static _Atomic int64_t perf_fds; /* descriptors in use; a count, orders nothing */
static void (*on_first)(void);
static _Atomic bool first_seen;

/* What the program asked for; default: SIG_DFL. Guarded by nothing: a program that races sigaction with itself gets one
 * of its two answers. */
static struct sigaction app_action;
static _Atomic bool app_pending; /* a signal of the program's is kept, because it believes to block it */
static _Atomic pid_t app_waiter; /* the thread that waits for it by sigwait(), or 0 */

/* ---- engines ------------------------------------------------------------------------------------------------------ */

static int perf_open(pid_t tid, uint64_t first_ns)
{
	struct perf_event_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.type = PERF_TYPE_SOFTWARE;
	attr.size = sizeof(attr);
	attr.config = PERF_COUNT_SW_CPU_CLOCK;
	attr.sample_period = first_ns;
	attr.sample_type = PERF_SAMPLE_IP;
	if (with_kernel)
		kernel_frames_ask(&attr);
	attr.disabled = 1;
	attr.exclude_hv = 1;
	attr.wakeup_events = 1;
	return (int)os_call(SYS_perf_event_open, (long)&attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC, 0);
}

/* One thread at a time lifts the limit of descriptors, so that each sees the program's own and puts that back.
 * A thread takes it while it has no event or blocks our signal: no handler waits for its own thread. A fork holds it. */
static struct lock limit_lock;
#define LIMIT_PATIENCE_NS (100 * NS_PER_MS)

/* Descriptors are the program's: it may have use for as many as its limit says. A number at or above the limit takes none
 * of them; one can be had while the limit is lifted, up to the hard one, for the moment of opening. Where it cannot be
 * lifted, a sixteenth is taken at most, and of few none: those threads are sampled by timers. limit_lock held. */
static int perf_open_beyond(pid_t tid, uint64_t first_ns)
{
	enum { FEW = 4096, MANY = 1 << 16, ROOM = 1 << 16 };
	struct rlimit was = { FEW, FEW }, lifted, now;
	int fd, apart = -EMFILE;

	if (os_call(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&was, 0, 0) < 0)
		return -EMFILE;
	if (was.rlim_cur > MANY || was.rlim_cur == was.rlim_max) {
		if (was.rlim_cur < FEW || load_relaxed(&perf_fds) > (int64_t)(was.rlim_cur / 16))
			return -EMFILE;
		return os_move_up(perf_open(tid, first_ns));
	}
	lifted = was;
	lifted.rlim_cur = was.rlim_max - was.rlim_cur > ROOM ? was.rlim_cur + ROOM : was.rlim_max;
	fd = perf_open(tid, first_ns);
	if (os_call(SYS_prlimit64, 0, RLIMIT_NOFILE, (long)&lifted, 0, 0, 0) < 0) {
		os_close(fd);
		return -EMFILE;
	}
	if (fd == -EMFILE) /* the program has them all: no number below the limit */
		fd = perf_open(tid, first_ns);
	if (fd >= (int)was.rlim_cur)
		apart = fd;
	else if (fd >= 0)
		apart = (int)os_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, (long)was.rlim_cur, 0, 0, 0);
	/* Unless the program has set it meanwhile. */
	if (os_call(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&now, 0, 0) == 0 && now.rlim_cur == lifted.rlim_cur)
		(void)os_call(SYS_prlimit64, 0, RLIMIT_NOFILE, (long)&was, 0, 0, 0); /* lowering is always allowed */
	if (fd >= 0 && fd != apart)
		os_close(fd);
	return fd < 0 ? fd : apart;
}

static int perf_open_apart(pid_t tid, uint64_t first_ns)
{
	int fd;

	if (!lock_within(&limit_lock, LIMIT_PATIENCE_NS))
		return -EMFILE;
	fd = perf_open_beyond(tid, first_ns);
	lock_leave(&limit_lock);
	return fd;
}

static bool perf_arm(struct thread *th, pid_t tid, uint64_t first_ns)
{
	struct f_owner_ex owner = { F_OWNER_TID, tid };
	int fd = perf_open_apart(tid, first_ns), expected = -1;
	uint64_t id = 0;

	if (fd < 0)
		return false;
	if (os_call(SYS_ioctl, fd, PERF_EVENT_IOC_ID, (long)&id, 0, 0, 0) < 0 ||
	    os_call(SYS_fcntl, fd, F_SETFL, O_ASYNC | O_NONBLOCK, 0, 0, 0) < 0 ||
	    os_call(SYS_fcntl, fd, F_SETSIG, SAMPLER_SIGNAL, 0, 0, 0) < 0 ||
	    os_call(SYS_fcntl, fd, F_SETOWN_EX, (long)&owner, 0, 0, 0) < 0) {
		os_close(fd);
		return false;
	}
	th->perf_id = id;
	th->perf_first = first_ns != engine.period_ns;
	if (!cas_acq_rel(&th->perf_fd, &expected, fd)) { /* pairs with the exchange in perf_disarm */
		os_close(fd);
		return true;
	}
	add_relaxed(&perf_fds, 1);
	th->perf_ring = with_kernel ? kernel_frames_map(fd) : NULL;
	if (with_kernel && !th->perf_ring)
		loss_add(LOSS_CPU_KERNEL, 1);
	(void)os_call(SYS_ioctl, fd, PERF_EVENT_IOC_REFRESH, 1, 0, 0, 0); /* cannot fail on a counting event */
	return true;
}

static bool perf_is_ours(int fd, uint64_t id)
{
	uint64_t seen = 0;

	return os_call(SYS_ioctl, fd, PERF_EVENT_IOC_ID, (long)&seen, 0, 0, 0) == 0 && seen == id;
}

/* Whose event: the calling thread's, whose handler may interrupt this; another's, whose handler may run; of a forked child, to
 * which descriptors of its parent's events have come, and no rings. */
enum whose { WHOSE_OWN, WHOSE_OTHER, WHOSE_PARENT };

/* A ring keeps its event alive, so that is turned off before the descriptor goes. */
static void perf_disarm(struct thread *th, enum whose whose)
{
	void *ring = th->perf_ring;
	int fd = exchange_acq_rel(&th->perf_fd, -1); /* pairs with the CAS in perf_arm */

	if (fd < 0)
		return;
	add_relaxed(&perf_fds, -1);
	if (perf_is_ours(fd, th->perf_id)) {
		if (whose != WHOSE_PARENT)
			(void)os_call(SYS_ioctl, fd, PERF_EVENT_IOC_DISABLE, 0, 0, 0, 0); /* cannot fail on ours */
		os_close(fd);
	}
	if (whose == WHOSE_OTHER)
		return;
	th->perf_ring = NULL; /* from here on the handler does without */
	signal_fence();
	if (whose == WHOSE_OWN)
		kernel_frames_unmap(ring);
}

static bool timer_arm(struct thread *th, pid_t tid, uint64_t first_ns)
{
	long clock =
	        ((long)~tid) * 8 | 6; /* a thread's CPU clock: include/linux/posix-timers.h, CPUCLOCK_PERTHREAD_MASK */
	struct itimerspec when = { { (time_t)(engine.period_ns / NS_PER_S), (long)(engine.period_ns % NS_PER_S) },
		                   { (time_t)(first_ns / NS_PER_S), (long)(first_ns % NS_PER_S) } };
	struct sigevent event;
	int id = -1;

	memset(&event, 0, sizeof(event));
	event.sigev_notify = SIGEV_THREAD_ID;
	event.sigev_signo = SAMPLER_SIGNAL;
	event.sigev_value.sival_ptr = th;
	event._sigev_un._tid = tid;
	if (os_call(SYS_timer_create, clock, (long)&event, (long)&id, 0, 0, 0) < 0)
		return false;
	if (os_call(SYS_timer_settime, id, 0, (long)&when, 0, 0, 0) < 0) {
		(void)os_call(SYS_timer_delete, id, 0, 0, 0, 0, 0);
		return false;
	}
	th->timer_id = id;
	return true;
}

static void timer_disarm(struct thread *th)
{
	if (th->timer_id >= 0)
		(void)os_call(SYS_timer_delete, th->timer_id, 0, 0, 0, 0, 0);
	th->timer_id = -1;
}

static void arm(struct thread *th, pid_t tid)
{
	uint64_t state = seed + add_relaxed(&armed_count, 1) * UINT64_C(0x9e3779b97f4a7c15);
	uint64_t first_ns = 1000 + poisson_random(&state) % engine.period_ns;

	th->cpu_due_ns = 0;
	store_relaxed(&th->cpu_seen_ns, 0);
	th->cpu_checked_ns = 0;
	th->first_sample = true;
	if ((kind == KIND_PERF && perf_arm(th, tid, first_ns)) || timer_arm(th, tid, first_ns))
		th->sampled = true;
	else
		loss_add(LOSS_CPU_THREAD_FAILED, 1);
}

/* ---- figures ------------------------------------------------------------------------------------------------------ */

/* Few samples a second: one set for all threads. Each is a count that orders nothing. */
static struct figures {
	_Atomic uint64_t most_ns, range[SNAP_SAMPLER_RANGES];
} handling, lateness;

static unsigned range_of(uint64_t ns)
{
	unsigned log = ns < 128 ? 0 : 63u - (unsigned)__builtin_clzll(ns);
	unsigned i = ns < 128 ? 0 : 1 + (log - 7) * 4 + (unsigned)(ns >> (log - 2) & 3);

	return i < SNAP_SAMPLER_RANGES ? i : SNAP_SAMPLER_RANGES - 1;
}

static void add_figure(struct figures *f, uint64_t ns)
{
	uint64_t most = load_relaxed(&f->most_ns);

	add_relaxed(&f->range[range_of(ns)], 1);
	while (ns > most && !cas_relaxed(&f->most_ns, &most, ns))
		;
}

static void copy_figures(const struct figures *f, struct sampler_figures *ret)
{
	ret->most_ns = load_relaxed(&f->most_ns);
	for (unsigned i = 0; i < SNAP_SAMPLER_RANGES; i++)
		ret->range[i] = load_relaxed(&f->range[i]);
}

void sampler_figures(struct sampler_figures *ret_handler, struct sampler_figures *ret_late)
{
	copy_figures(&handling, ret_handler);
	copy_figures(&lateness, ret_late);
}

/* ---- the handler -------------------------------------------------------------------------------------------------- */

/* Whole periods of CPU time since the last sample. */
static uint16_t weight_now(struct thread *th)
{
	uint64_t now = os_thread_cpu_ns(0);
	uint64_t periods, since;

	if (th->first_sample) {
		th->first_sample = false;
		store_relaxed(&th->cpu_seen_ns, now);
		th->cpu_due_ns = 0;
		return 1;
	}
	since = now - load_relaxed(&th->cpu_seen_ns);
	add_figure(&lateness, since > engine.period_ns ? since - engine.period_ns : engine.period_ns - since);
	th->cpu_due_ns += (int64_t)since;
	store_relaxed(&th->cpu_seen_ns, now);
	periods = th->cpu_due_ns > 0 ? ((uint64_t)th->cpu_due_ns + engine.period_ns / 2) / engine.period_ns : 0;
	if (periods > UINT16_MAX)
		periods = UINT16_MAX;
	th->cpu_due_ns -= (int64_t)(periods * engine.period_ns);
	return (uint16_t)periods;
}

static void take_sample(struct tls *t, struct thread *th, const void *ucontext)
{
	uintptr_t regs[DW_REGS];
	struct unwind_start start = unwind_from_signal(ucontext, regs, th->stack_lo, th->stack_hi);
	uint16_t weight = weight_now(th);
	uint64_t now = os_now_ns();
	size_t depth = kernel_frames_take(th->perf_ring, th->cpu_pcs, KERNEL_FRAMES_MAX);

	if (weight == 0)
		return; /* early by less than half a period: the next one carries it */
	depth += unwind_walk(&start, th->cpu_pcs + depth, ARRAY_LEN(th->cpu_pcs) - depth);
	if (!guard_enter(t, GUARD_TABLE)) {
		samples_defer(th, th->cpu_pcs, depth, now, weight);
		return;
	}
	samples_record(th, th->cpu_pcs, depth, now, weight, true);
	guard_leave(t, GUARD_TABLE);
}

static void take_timed_sample(struct tls *t, struct thread *th, const void *ucontext)
{
	uint64_t began = os_now_ns();

	take_sample(t, th, ucontext);
	add_figure(&handling, os_now_ns() - began);
}

static void rearm(struct thread *th)
{
	int fd = load_relaxed(&th->perf_fd); /* relaxed: written by this thread, or whole by the helper */

	if (fd < 0)
		return;
	if (th->perf_first) {
		/* The first period was the random delay. */
		uint64_t period = engine.period_ns;

		th->perf_first = false;
		(void)os_call(SYS_ioctl, fd, PERF_EVENT_IOC_PERIOD, (long)&period, 0, 0, 0);
	}
	(void)os_call(SYS_ioctl, fd, PERF_EVENT_IOC_REFRESH, 1, 0, 0,
	              0); /* fails if the program closed it: sampler_check */
}

/* Is a signal of the program's about to be handled? Then the call was interrupted by it too, and EINTR stands. */
static bool others_pending(const ucontext_t *uc)
{
	uint64_t pending = 0, blocked;

	memcpy(&blocked, &uc->uc_sigmask, sizeof(blocked)); /* the kernel's set is the first word of libc's */
	(void)os_call(SYS_rt_sigpending, (long)&pending, SIGNAL_BYTES, 0, 0, 0, 0); /* valid arguments */
	return (pending & ~blocked & ~(UINT64_C(1) << (SAMPLER_SIGNAL - 1))) != 0;
}

static void restart_call(ucontext_t *uc)
{
	long nr;

	if (arch_interrupted_call(uc, &nr) && !others_pending(uc))
		arch_call_again(uc, nr);
}

/* Masks that are set by a system call of the program's own (Go's threads begin so) pass us by. Where one now has less in it
 * than the one we know, what the program blocked there is past. A handler's mask has only more. */
static bool app_has_blocked(struct tls *t, const ucontext_t *uc)
{
	uint64_t now;

	memcpy(&now, &uc->uc_sigmask, sizeof(now)); /* the kernel's set is the first word of libc's */
	if (t->prof_blocked && t->prof_mask & ~now)
		t->prof_blocked = false;
	return t->prof_blocked;
}

/* Not one of ours: the program, or somebody with kill(1), sent it. */
static void pass_on(int sig, siginfo_t *info, void *ucontext)
{
	struct sigaction act = app_action;

	if (app_has_blocked(&tls_self, ucontext)) {
		pid_t waiter = load_acquire(&app_waiter); /* pairs with the store in sampler_app_waits */

		store_release(&app_pending, true); /* pairs with the exchange there */
		if (waiter && waiter != os_tid())
			(void)os_kill_thread(os_pid(), waiter, sig);
	} else if (act.sa_flags & SA_SIGINFO && act.sa_sigaction) {
		act.sa_sigaction(sig, info, ucontext);
	} else if (act.sa_handler != SIG_DFL && act.sa_handler != SIG_IGN) {
		act.sa_handler(sig);
	} else if (act.sa_handler == SIG_DFL && info->si_code <= 0 && info->si_code != SI_TIMER) {
		struct sigaction dfl;

		/* The default action ends the process, as it would have without us. */
		memset(&dfl, 0, sizeof(dfl));
		(void)real.sigaction(sig, &dfl, NULL);
		(void)os_kill_thread(os_pid(), os_tid(), sig);
	}
}

static bool is_kick(const siginfo_t *info, const struct thread *th)
{
	return info->si_code == SI_QUEUE && th && info->si_ptr == th && info->si_pid == os_pid();
}

/* From `perfprobe`, which looks for a control socket. */
static bool is_call(const siginfo_t *info)
{
	return info->si_code == SI_QUEUE && (uintptr_t)info->si_ptr == CONTROL_CALL;
}

static bool is_ours(const siginfo_t *info, const struct thread *th)
{
	if (is_kick(info, th) || is_call(info))
		return true;
	if (info->si_code == SI_TIMER)
		return info->si_ptr == th;
	return info->si_code == POLL_IN || info->si_code == POLL_HUP;
}

/* The helper saw no sample for long: the event's descriptor was closed, or its signal was lost. */
static void look_after_event(struct thread *th)
{
	int fd = load_relaxed(&th->perf_fd);

	if (fd < 0 || perf_is_ours(fd, th->perf_id)) {
		rearm(th);
		return;
	}
	loss_add(LOSS_CPU_FD_LOST, 1);
	perf_disarm(th, WHOSE_OWN);
	if (!perf_arm(th, th->tid, engine.period_ns) && !timer_arm(th, th->tid, engine.period_ns))
		loss_add(LOSS_CPU_THREAD_FAILED, 1);
}

static void on_signal(int sig, siginfo_t *info, void *ucontext)
{
	int saved_errno = errno;
	struct tls *t = &tls_self;
	struct thread *th = t->thread;

	if (!th && !t->ended)
		th = t->thread = threads_find(os_tid()); /* a thread older than us: sampler_adopt_threads() */
	if (!is_ours(info, th)) {
		pass_on(sig, info, ucontext);
	} else if (th && !load_relaxed(&stopped)) {
		if (is_kick(info, th))
			look_after_event(th);
		else if (state_get() == STATE_RUNNING && !is_call(info))
			take_timed_sample(t, th, ucontext);
		/* Not inside the recorder's tables, which may move, nor inside a hook, which may have a block in its hands. */
		if (on_first && !(t->guard & (GUARD_TABLE | GUARD_ALLOC)) && !exchange_acq_rel(&first_seen, true))
			on_first();
		if (!is_kick(info, th) && !is_call(info))
			rearm(th);
		restart_call(ucontext);
	}
	errno = saved_errno;
}

/* ---- choosing ----------------------------------------------------------------------------------------------------- */

/* 6.16 and 6.17 hang when a cpu-clock event is refreshed from its own signal (fixed by kernel commit eb3182ef0405). */
static bool kernel_hangs(void)
{
	struct utsname uts;

	memset(&uts, 0, sizeof(uts));
	(void)os_call(SYS_uname, (long)&uts, 0, 0, 0, 0, 0);
	return strncmp(uts.release, "6.16.", 5) == 0 || strncmp(uts.release, "6.17.", 5) == 0;
}

static const char *why_no_perf(void)
{
	int fd;

	if (os_filtered())
		return "a seccomp filter is in force, which may forbid perf_event_open; samples come at the kernel's "
		       "timer ticks";
	if (kernel_hangs())
		return "this kernel hangs on perf cpu-clock events (6.16, 6.17); samples come at the kernel's timer "
		       "ticks";
	fd = perf_open(0, engine.period_ns);
	if (fd >= 0) {
		os_close(fd);
		return NULL;
	}
	if (fd == -EACCES || fd == -EPERM)
		return "kernel.perf_event_paranoid does not let this user sample kernel time; samples come at the "
		       "kernel's timer ticks";
	return "this kernel has no perf events; samples come at the kernel's timer ticks";
}

/* A filter of system calls may refuse. */
static int try_timer(void)
{
	struct sigevent event;
	int id = -1;
	long rc;

	memset(&event, 0, sizeof(event));
	event.sigev_notify = SIGEV_NONE;
	rc = os_call(SYS_timer_create, CLOCK_THREAD_CPUTIME_ID, (long)&event, (long)&id, 0, 0, 0);
	if (rc == 0)
		rc = os_call(SYS_timer_delete, id, 0, 0, 0, 0, 0);
	return (int)rc;
}

static bool install_handler(int more_flags, struct sigaction *ret_old)
{
	struct sigaction act;

	memset(&act, 0, sizeof(act));
	act.sa_sigaction = on_signal;
	act.sa_flags = SA_SIGINFO | SA_RESTART | more_flags;
	sigfillset(&act.sa_mask);
	return real.sigaction(SAMPLER_SIGNAL, &act, ret_old) == 0;
}

void sampler_use_alternate_stacks(void)
{
	if (kind != KIND_OFF)
		(void)install_handler(SA_ONSTACK, NULL); /* as it was, but for the flag: cannot fail */
}

void sampler_init(const struct config *config)
{
	const char *why;

	seed = config->seed ? config->seed : os_now_ns() ^ (uint64_t)os_pid() << 40;
	if (config->cpu_hz == 0) {
		engine.why = "PERFPROBE_CPU=0";
		return;
	}
	engine.period_ns = NS_PER_S / config->cpu_hz;
	if (!install_handler(0, &app_action)) {
		engine = (struct sampler_engine){ "off", "the handler of SIGPROF could not be installed", 0 };
		return;
	}
	why = why_no_perf();
	if (why && !os_may(try_timer)) {
		engine = (struct sampler_engine){ "off", "neither perf events nor timers are allowed here", 0 };
		return;
	}
	kind = why ? KIND_TIMER : KIND_PERF;
	with_kernel = !why && config->kernel;
	engine.name = why ? "timer" : "perf_event";
	engine.why = why ? why : "";
}

const struct sampler_engine *sampler_engine(void)
{
	return &engine;
}

void sampler_on_first_sample(void (*fn)(void))
{
	on_first = fn;
}

/* ---- threads ------------------------------------------------------------------------------------------------------ */

static void mask_signal(int how, uint64_t *ret_old)
{
	uint64_t set = UINT64_C(1) << (SAMPLER_SIGNAL - 1);

	(void)os_call(SYS_rt_sigprocmask, how, (long)&set, (long)ret_old, SIGNAL_BYTES, 0, 0); /* valid arguments */
}

void sampler_thread_start(struct tls *t)
{
	if (kind == KIND_OFF || load_relaxed(&stopped) || !t->thread || t->thread->sampled)
		return;
	mask_signal(SIG_UNBLOCK, NULL); /* threads inherit their maker's mask */
	arm(t->thread, t->thread->tid);
}

void sampler_thread_stop(struct tls *t)
{
	struct thread *th = t->thread;

	if (!th || !th->sampled)
		return;
	mask_signal(SIG_BLOCK, NULL);
	perf_disarm(th, WHOSE_OWN);
	timer_disarm(th);
	th->sampled = false;
}

void sampler_thread_pause(struct tls *t)
{
	struct thread *th = t->thread;

	if (!th || !th->sampled)
		return;
	perf_disarm(th, WHOSE_OWN);
	timer_disarm(th);
	(void)os_pid(); /* what was pending is delivered before this returns */
}

void sampler_thread_resume(struct tls *t)
{
	if (t->thread && t->thread->sampled && !load_relaxed(&stopped))
		arm(t->thread, t->thread->tid);
}

/* Other preloaded libraries may have made threads before our constructor ran. /proc/self/task, one entry a thread. */
void sampler_adopt_threads(void)
{
	char entries[4096];
	int fd;
	long n;

	if (kind == KIND_OFF)
		return;
	fd = os_open("/proc/self/task", O_RDONLY | O_DIRECTORY, 0);
	while (fd >= 0 && (n = os_call(SYS_getdents64, fd, (long)entries, sizeof(entries), 0, 0, 0)) > 0) {
		for (long at = 0; at < n;) {
			struct thread *th;
			uint16_t reclen;
			pid_t tid = 0;

			memcpy(&reclen, entries + at + 16, sizeof(reclen));
			for (const char *c = entries + at + 19; *c >= '0' && *c <= '9'; c++)
				tid = tid * 10 + (*c - '0');
			at += reclen;
			if (tid <= 0 || tid == os_tid() || threads_find(tid))
				continue;
			allocs_share();
			th = threads_adopt(tid);
			if (th)
				arm(th, tid);
		}
	}
	if (fd >= 0)
		os_close(fd);
}

/* rt_tgsigqueueinfo(2): the signal with our mark, so that the handler knows it. */
static void kick(struct thread *th, pid_t tid)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_signo = SAMPLER_SIGNAL;
	info.si_code = SI_QUEUE;
	info.si_pid = os_pid();
	info.si_uid = (uid_t)os_call(SYS_getuid, 0, 0, 0, 0, 0, 0);
	info.si_ptr = th;
	(void)os_call(SYS_rt_tgsigqueueinfo, os_pid(), tid, SAMPLER_SIGNAL, (long)&info, 0, 0); /* it may have ended */
}

void sampler_check(void)
{
	uint64_t limit = 8 * engine.period_ns > NS_PER_S / 8 ? 8 * engine.period_ns : NS_PER_S / 8;

	if (kind != KIND_PERF || load_relaxed(&stopped))
		return;
	for (struct thread *th = threads_first(); th; th = th->next) {
		uint64_t now, before = th->cpu_checked_ns;

		if (load_acquire(&th->use) != THREAD_LIVE || load_relaxed(&th->perf_fd) < 0)
			continue;
		now = os_thread_cpu_ns(th->tid);
		th->cpu_checked_ns = now;
		/* It runs, and has for long not been sampled. */
		if (now > before + limit / 2 && now > load_relaxed(&th->cpu_seen_ns) + limit)
			kick(th, th->tid);
	}
}

void sampler_stop_all(void)
{
	store_relaxed(&stopped, true); /* handlers that run now still count, later ones do nothing */
}

void sampler_disarm_all(struct tls *t)
{
	sampler_stop_all();
	sampler_thread_stop(t);
	mask_signal(SIG_UNBLOCK, NULL); /* with nothing pending: the program's own come as ever */
	for (struct thread *th = threads_first(); th; th = th->next) {
		perf_disarm(th, WHOSE_OTHER);
		timer_disarm(th); /* its thread may do the same: the second call fails */
	}
}

bool sampler_uses_signal(void)
{
	return kind != KIND_OFF;
}

void sampler_app_action(const struct sigaction *act, struct sigaction *ret_old)
{
	if (ret_old)
		*ret_old = app_action;
	if (act)
		app_action = *act;
}

void sampler_app_blocks(struct tls *t, bool blocks)
{
	t->prof_blocked = blocks;
	if (blocks)
		(void)os_call(SYS_rt_sigprocmask, SIG_BLOCK, 0, (long)&t->prof_mask, SIGNAL_BYTES, 0, 0); /* valid */
	if (!blocks && exchange_acq_rel(&app_pending, false)) /* pairs with the store in pass_on */
		(void)os_kill_thread(os_pid(), os_tid(), SAMPLER_SIGNAL);
}

bool sampler_app_waits(bool waits)
{
	store_release(&app_waiter, waits ? os_tid() : 0); /* pairs with the load in pass_on */
	return waits && exchange_acq_rel(&app_pending, false);
}

bool sampler_swallow(const siginfo_t *info)
{
	struct thread *th = tls_self.thread;

	if (!is_ours(info, th)) {
		store_relaxed(&app_pending, false); /* the one that was kept, passed to the waiting thread */
		return false;
	}
	if (th)
		rearm(th);
	return true;
}

/* ---- fork --------------------------------------------------------------------------------------------------------- */

/* No child is made while the limit is lifted: it would keep it. */
void sampler_fork_prepare(struct tls *t)
{
	mask_signal(SIG_BLOCK, &t->fork_mask);
	t->fork_limit = lock_within(&limit_lock, LIMIT_PATIENCE_NS);
}

void sampler_fork_parent(struct tls *t)
{
	if (t->fork_limit)
		lock_leave(&limit_lock);
	t->fork_limit = false;
	(void)os_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&t->fork_mask, 0, SIGNAL_BYTES, 0, 0);
}

/* The events belong to the parent's threads, and CPU timers are not inherited. */
void sampler_fork_child(void)
{
	memset(&handling, 0, sizeof(handling)); /* one thread runs */
	memset(&lateness, 0, sizeof(lateness));
	store_release(&limit_lock.word, 0); /* its holder, if it is another thread, is not in this process */
	for (struct thread *th = threads_first(); th; th = th->next) {
		perf_disarm(th, WHOSE_PARENT);
		th->timer_id = -1;
		th->sampled = false;
	}
}

void sampler_fork_child_resume(struct tls *t, bool follow)
{
	store_relaxed(&first_seen, false);
	if (follow)
		sampler_thread_start(t);
	else
		sampler_stop_all();
	sampler_fork_parent(t);
}
