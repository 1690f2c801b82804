/*
 * leak_stop.c - stop, copy, go on.
 *
 * A process cannot trace its own threads, so another is made for it, with the same memory (os_process_run): it seizes each thread
 * (PTRACE_SEIZE and PTRACE_INTERRUPT: no SIGSTOP that anybody could see), reads registers, forks, and lets go. Seizing goes on until
 * a whole pass over /proc/PID/task finds nobody new: a thread that was being made meanwhile is not missed. A signal
 * that was about to be delivered to a thread is given back to it at the end.
 *
 * The copy has a table of descriptors of its own and empties it, lest sockets and locks live on in it; it is idle work for the
 * scheduler, and the first that the kernel kills where memory is short. It is this process's child only through the tracer.
 *
 * With signals, where tracing is refused: a handler of ours waits in each thread, above its registers, until the copy is made.
 * Threads that block the signal go on, and are counted as missed.
 */
#include "leak_stop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/elf.h>
#include <linux/ptrace.h>
#include <linux/wait.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "arch.h"
#include "atomic.h"
#include "compiler.h"
#include "os_linux.h"
#include "real.h"
#include "say.h"
#include "units.h"

enum { THREADS_MAX = 1 << 16, REGS_BYTES = 16 << 10, REGS_ROOM = 1 << 28, PASSES = 64, DIRENT_BYTES = 4096 };
/* sched(7): SCHED_FIFO | SCHED_RESET_ON_FORK; SCHED_IDLE */
enum { SCHED_FIFO_ONCE = 0x40000001, SCHED_IDLE_POLICY = 5, CROWDED_NICE = 10, ENDED_BY_US = 9 };
#define HOLD_NS  (2 * NS_PER_S) /* to hold all threads */
#define POLL_NS  (20 * NS_PER_US)
#define CHECK_NS (2 * NS_PER_MS)

struct job {
	struct leak_stop *s;
	void (*before)(void);
	void (*mark)(const struct leak_stop *s);
	bool hurry;
	struct leak_waiter waiter;
	pid_t pid, self; /* the process, and who asks: not held */
	int rc;
	uint64_t began_ns;
	pid_t tracer; /* 0: none */
	pid_t copy;   /* 0: none */
	uint64_t deadline;
	_Atomic uint32_t taken; /* 1: rc says what became of the picture, and the threads go on */
};

static struct job job; /* one at a time */

static uint32_t nothing; /* nobody wakes who waits here */

static void pause_for(uint64_t ns)
{
	os_futex_wait(&nothing, 0, ns);
}

/* ---- the list of threads ------------------------------------------------------------------------------------------ */

static int open_tasks(pid_t pid)
{
	char path[64] = "/proc/", digits[24];

	strcat(path, say_number(digits, (uint64_t)pid));
	strcat(path, "/task");
	return os_open(path, O_RDONLY | O_DIRECTORY, 0);
}

static pid_t number_of(const char *name)
{
	pid_t n = 0;

	for (; *name >= '0' && *name <= '9'; name++)
		n = n * 10 + (*name - '0');
	return *name ? 0 : n;
}

/* linux/dirent.h: struct linux_dirent64 { u64 ino; s64 off; u16 reclen; u8 type; char name[]; } */
static int each_task(pid_t pid, int (*visit)(struct job *j, pid_t tid), struct job *j)
{
	char entries[DIRENT_BYTES];
	int fd = open_tasks(pid), rc = 0;
	long n;

	if (fd < 0)
		return fd;
	while (rc >= 0 && (n = os_call(SYS_getdents64, fd, (long)entries, sizeof(entries), 0, 0, 0)) > 0) {
		for (long at = 0; rc >= 0 && at < n;) {
			pid_t tid = number_of(entries + at + 19);
			uint16_t reclen;

			memcpy(&reclen, entries + at + 16, sizeof(reclen));
			at += reclen;
			if (tid && tid != j->self)
				rc = visit(j, tid);
		}
	}
	os_close(fd);
	return rc;
}

static struct leak_held *held_of(const struct leak_stop *s, pid_t tid)
{
	for (uint32_t i = s->count; i > 0; i--)
		if (s->held[i - 1].tid == tid)
			return &s->held[i - 1];
	return NULL;
}

/* ---- ptrace ------------------------------------------------------------------------------------------------------- */

static long trace(long request, pid_t tid, long address, const void *data)
{
	return os_call(SYS_ptrace, request, tid, address, (long)data, 0, 0);
}

/* "4711 (name) Z ...": proc(5). */
static bool has_ended(pid_t pid)
{
	char path[64] = "/proc/", digits[24], text[256];
	const char *state;

	strcat(path, say_number(digits, (uint64_t)pid));
	strcat(path, "/stat");
	if (os_read_file(path, text, sizeof(text)) <= 0)
		return false;
	state = strrchr(text, ')');
	return state && state[1] == ' ' && (state[2] == 'Z' || state[2] == 'X');
}

/* The tracer's name is in its comm file: proc(5). */
pid_t leak_stop_tracer(char *ret_name, size_t size)
{
	char text[64], path[64] = "/proc/", digits[24];
	uint64_t pid;

	ret_name[0] = '\0';
	if (!os_status("TracerPid", 0, &pid) || !pid)
		return 0;
	strcat(path, say_number(digits, pid));
	strcat(path, "/comm");
	if (os_read_file(path, text, sizeof(text)) > 0) {
		text[strcspn(text, "\n")] = '\0';
		say_append(ret_name, size, text);
	}
	return (pid_t)pid;
}

static int seize(struct job *j, pid_t tid)
{
	struct leak_stop *s = j->s;
	long rc;

	if (held_of(s, tid))
		return 0;
	if (s->count == THREADS_MAX)
		return -E2BIG;
	rc = trace(PTRACE_SEIZE, tid, 0, NULL);
	if (rc == -ESRCH || (rc == -EPERM && tid == j->pid && has_ended(j->pid)))
		return 0; /* ended meanwhile, or long ago: the first thread is listed as long as others live */
	if (rc < 0)
		return (int)rc;
	if (!j->began_ns)
		j->began_ns = os_now_ns();
	(void)trace(PTRACE_INTERRUPT, tid, 0, NULL); /* it may have ended: waiting tells */
	s->held[s->count++] = (struct leak_held){ .tid = tid };
	return 0;
}

static void read_registers(struct leak_stop *s, struct leak_held *h)
{
	static const uint32_t sets[][2] = { { NT_PRSTATUS, NT_PRSTATUS },
		                            { ARCH_REGS_VECTORS, ARCH_REGS_VECTORS_OLD } };
	uint64_t sp;

	h->regs = s->regs_used;
	for (unsigned i = 0; i < ARRAY_LEN(sets) && s->regs_used + REGS_BYTES <= REGS_ROOM; i++) {
		struct iovec to = { s->regs + s->regs_used, REGS_BYTES };

		if (trace(PTRACE_GETREGSET, h->tid, sets[i][0], &to) < 0 &&
		    trace(PTRACE_GETREGSET, h->tid, sets[i][1], &to) < 0)
			continue;
		if (i == 0) {
			memcpy(&sp, (uint64_t *)to.iov_base + ARCH_REGS_SP_WORD, sizeof(sp));
			h->sp = sp;
		}
		s->regs_used += (to.iov_len + 7) & ~(size_t)7;
		h->bytes += (uint32_t)((to.iov_len + 7) & ~(size_t)7);
	}
}

/* Until the thread stands still. False: it has ended, and is nobody's any more (tid 0), or did not come to a stop in time. */
static bool wait_for_stop(struct leak_held *h, uint64_t deadline)
{
	for (unsigned i = 0;; i++) {
		int status = 0;
		long rc = os_call(SYS_wait4, h->tid, (long)&status, WNOHANG | __WALL, 0, 0, 0);

		if (rc == h->tid) {
			if ((status & 0xff) != 0x7f) {
				h->tid = 0;
				return false;
			}
			if (status >> 16 == 0) /* a signal was on its way */
				h->signal = (uint32_t)status >> 8 & 0xff;
			return true;
		}
		if ((rc < 0 && rc != -EINTR) || os_now_ns() > deadline)
			return false;
		if (i < 100)
			os_yield();
		else
			pause_for(POLL_NS);
	}
}

static int hold_all(struct job *j)
{
	struct leak_stop *s = j->s;
	uint64_t deadline = os_now_ns() + HOLD_NS;
	uint32_t before;
	int rc = 0;

	for (unsigned pass = 0; pass < PASSES; pass++) {
		before = s->count;
		rc = each_task(j->pid, seize, j);
		if (rc < 0)
			return rc;
		for (uint32_t i = before; i < s->count; i++) {
			if (wait_for_stop(&s->held[i], deadline))
				read_registers(s, &s->held[i]);
		}
		if (s->count == before)
			return 0;
	}
	return 0;
}

static void let_go(struct leak_stop *s)
{
	for (uint32_t i = 0; i < s->count; i++)
		(void)trace(PTRACE_DETACH, s->held[i].tid, 0, (const void *)(uintptr_t)s->held[i].signal);
}

/* ---- the copy ----------------------------------------------------------------------------------------------------- */

static void close_all(void)
{
	if (os_call(SYS_close_range, 0, (long)~0u, 0, 0, 0, 0) >= 0)
		return;
	for (int fd = 0; fd < 4096; fd++) /* Linux before 5.9 */
		os_close(fd);
}

/* Do more threads want to run than there are processors? Then idle work would never end, and every page that the program writes
 * meanwhile is there twice. "0.20 0.18 0.12 3/1000 4711": proc(5). */
static bool is_crowded(void)
{
	uint64_t cpus[16];
	char text[128];
	long bytes = os_call(SYS_sched_getaffinity, 0, sizeof(cpus), (long)cpus, 0, 0, 0);
	pid_t running = 0, have = 0;
	const char *at = text;

	if (os_read_file("/proc/loadavg", text, sizeof(text)) <= 0)
		return false;
	for (long i = 0; i < bytes / 8; i++)
		have += __builtin_popcountll(cpus[i]);
	for (int field = 0; field < 3 && at; field++)
		at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL;
	for (; at && *at >= '0' && *at <= '9'; at++)
		running = running * 10 + (*at - '0');
	return running > have + 1; /* we are one */
}

static void be_humble(bool hurry)
{
	static const char last[] = "1000";
	struct rlimit none = { 0, 0 };
	int priority = 0, fd;

	close_all();
	if (!hurry && !is_crowded()) {
		(void)os_call(SYS_setpriority, PRIO_PROCESS, 0, 19, 0, 0, 0);
		(void)os_call(SYS_sched_setscheduler, 0, SCHED_IDLE_POLICY, (long)&priority, 0, 0, 0);
	} else if (!hurry) {
		(void)os_call(SYS_setpriority, PRIO_PROCESS, 0, CROWDED_NICE, 0, 0, 0);
	}
	(void)os_call(SYS_prlimit64, 0, RLIMIT_CORE, (long)&none, 0, 0, 0);
	(void)os_call(SYS_prctl, PR_SET_NAME, (long)"perfprobe-mark", 0, 0, 0, 0);
	fd = os_open("/proc/self/oom_score_adj", O_WRONLY, 0);
	if (fd >= 0)
		(void)os_write_all(fd, last, sizeof(last) - 1);
	os_close(fd);
}

/* Does not return in the copy. Its number or -errno. */
static pid_t copy(struct job *j)
{
	long pid;

	j->before();
	/* No signal at its end, and nothing else in common: as fork(2) without libc and its handlers. */
	pid = os_call(SYS_clone, 0, 0, 0, 0, 0, 0);

	if (pid)
		return (pid_t)pid;
	be_humble(j->hurry);
	j->mark(j->s);
	(void)os_call(SYS_exit_group, 0, 0, 0, 0, 0, 0);
	__builtin_unreachable();
}

/* Looks after the copy, whose parent is the caller. True: it is gone. */
static bool copy_ended(struct job *j)
{
	long rc = os_call(SYS_wait4, j->copy, (long)&j->s->status, WNOHANG | __WALL, 0, 0, 0);

	if (rc == j->copy || (rc < 0 && rc != -EINTR))
		return true;
	if (os_now_ns() > j->deadline && !j->s->late) {
		j->s->late = true;
		(void)os_call(SYS_kill, j->copy, ENDED_BY_US, 0, 0, 0, 0);
	}
	return false;
}

/* While threads are held, nothing else is to come first: where we may, and not in the copy. Else the pause is longer by what other
 * processes want. */
static void hurry_up(void)
{
	int priority = 1;

	(void)os_call(SYS_sched_setscheduler, 0, SCHED_FIFO_ONCE, (long)&priority, 0, 0, 0);
}

static void picture_is_taken(struct job *j)
{
	store_release(&j->taken, 1); /* pairs with the acquire in hold_by_tracing_once */
	os_futex_wake(&j->taken);
}

/* Runs as a process of its own. */
static void tracer(void *arg)
{
	struct job *j = arg;
	struct leak_stop *s = j->s;

	hurry_up();
	j->rc = hold_all(j);
	if (j->rc == 0) {
		for (uint32_t i = 0; i < s->count; i++) {
			s->standing += s->held[i].bytes != 0;
			s->missed += s->held[i].tid && s->held[i].bytes == 0;
		}
		s->taken_ns = os_now_ns();
		j->rc = copy(j);
		j->copy = j->rc > 0 ? j->rc : 0;
	}
	let_go(s);
	if (j->began_ns)
		s->pause_ns = os_now_ns() - j->began_ns;
	picture_is_taken(j);
	while (j->copy && !copy_ended(j))
		pause_for(CHECK_NS);
}

static int hold_by_tracing_once(struct job *j)
{
	store_relaxed(&j->taken, 0);
	j->s->count = j->s->standing = j->s->missed = 0;
	j->tracer = os_process_start(tracer, j);
	if (j->tracer < 0) {
		j->rc = j->tracer;
		j->tracer = 0;
		return j->rc;
	}
	while (!load_acquire(&j->taken) &&
	       !os_process_ended(j->tracer)) /* pairs with the release in picture_is_taken */
		os_futex_wait(&j->taken, 0, CHECK_NS);
	if (!load_acquire(&j->taken))
		j->rc = -ECHILD; /* somebody ended it */
	if (j->rc > 0)
		return 0;
	while (!os_process_ended(j->tracer))
		pause_for(POLL_NS);
	j->tracer = 0;
	return j->rc;
}

/* Yama asks a process to name who may trace it: Documentation/admin-guide/LSM/Yama.rst. The tracer is not its ancestor. */
static int hold_by_tracing(struct job *j)
{
	int rc = hold_by_tracing_once(j);

	if (rc != -EPERM)
		return rc;
	/* Only where it helps: what the program itself had set cannot be asked for. */
	(void)os_call(SYS_prctl, PR_SET_PTRACER, (long)PR_SET_PTRACER_ANY, 0, 0, 0, 0);
	rc = hold_by_tracing_once(j);
	(void)os_call(SYS_prctl, PR_SET_PTRACER, 0, 0, 0, 0, 0);
	return rc;
}

/* ---- signals ------------------------------------------------------------------------------------------------------ */

static struct leak_stop *parking;       /* read by handlers while `gate` is closed */
static _Atomic uint32_t gate;           /* odd: wait here */
static _Atomic uint32_t parked;         /* slots of parking->held that were taken */
static _Atomic uint32_t entered, asked; /* handlers that stand still; signals that were sent */

/* The interrupted registers are in `context`, on this very stack or on the alternate one; both are memory of the program's. */
static void park(int sig, siginfo_t *info, void *context)
{
	uint32_t closed = load_acquire(&gate), i; /* pairs with the release in hold_by_signals */
	uint64_t interrupted;

	(void)sig;
	(void)info;
	if (closed % 2 == 0)
		return; /* too late */
	i = add_relaxed(&parked, 1);
	if (i < THREADS_MAX - 1) {
		struct leak_held *h = &parking->held[i];

		memcpy(&interrupted, (const uint8_t *)context + ARCH_CONTEXT_SP, sizeof(interrupted));
		h->tid = os_tid();
		h->sp = (uint64_t)__builtin_frame_address(0);
		h->sp = h->sp <= interrupted && interrupted - h->sp < (64 << 10) ? h->sp : interrupted;
		h->regs = (uint64_t)context - (uint64_t)parking->regs; /* vector registers are behind it, above sp */
		h->bytes = sizeof(ucontext_t);
	}
	add_relaxed(&entered, 1);
	while (load_acquire(&gate) == closed)
		os_futex_wait(&gate, closed, NS_PER_S);
}

static int send(struct job *j, pid_t tid)
{
	if (tid != j->waiter.tid && os_kill_thread(j->pid, tid, j->rc) == 0)
		add_relaxed(&asked, 1);
	return 0;
}

/* Ours may have stayed: see give_back. */
static bool is_free(int sig, struct sigaction *ret_old)
{
	return real.sigaction(sig, NULL, ret_old) == 0 &&
	       (ret_old->sa_handler == SIG_DFL || ret_old->sa_sigaction == park);
}

/* Not where the program has set its own meanwhile. A thread that blocks the signal gets it late: then a real-time one, which would
 * end the process, keeps our handler, which returns at once. */
static void give_back(int sig, const struct sigaction *old, uint32_t missed)
{
	struct sigaction now;

	if (missed && sig >= SIGRTMIN)
		return;
	if (real.sigaction(sig, NULL, &now) == 0 && now.sa_sigaction == park)
		(void)real.sigaction(sig, old, NULL);
}

/* A signal that nobody uses; 0: all are in use. First those that do nothing where nobody wants them, so that one that comes late
 * is harmless; debuggers let them pass. A real-time signal would stop the program in a debugger, without a word to its user. */
static int free_signal(struct sigaction *ret_old)
{
	char name[16];

	if (is_free(SIGURG, ret_old))
		return SIGURG;
	if (is_free(SIGWINCH, ret_old))
		return SIGWINCH;
	if (leak_stop_tracer(name, sizeof(name)))
		return 0;
	for (int sig = SIGRTMAX; sig > SIGRTMIN; sig--)
		if (is_free(sig, ret_old))
			return sig;
	return 0;
}

static int hold_by_signals(struct job *j)
{
	struct leak_stop *s = j->s;
	struct sigaction act, old;
	int sig = real.sigaction ? free_signal(&old) : 0;
	uint64_t deadline;
	pid_t pid;

	if (!sig)
		return -EBUSY;
	memset(&act, 0, sizeof(act));
	act.sa_sigaction = park;
	act.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
	sigfillset(&act.sa_mask);
	parking = s;
	store_relaxed(&parked, 0);
	store_relaxed(&entered, 0);
	store_relaxed(&asked, 0);
	if (real.sigaction(sig, &act, NULL) != 0)
		return -EINVAL;
	j->began_ns = os_now_ns();
	store_release(&gate, load_relaxed(&gate) + 1); /* pairs with the acquire in park */
	j->rc = sig;
	(void)each_task(j->pid, send, j);
	deadline = os_now_ns() + HOLD_NS / 20;
	while (load_relaxed(&entered) < load_relaxed(&asked) && os_now_ns() < deadline)
		pause_for(POLL_NS);
	s->count = load_relaxed(&parked) < THREADS_MAX - 1 ? load_relaxed(&parked) : THREADS_MAX - 1;
	s->missed = load_relaxed(&asked) - s->count;
	if (j->waiter.tid)
		s->held[s->count++] = (struct leak_held){ .tid = j->waiter.tid, .sp = j->waiter.sp };
	s->standing = s->count;
	s->taken_ns = os_now_ns();
	pid = copy(j);
	store_release(&gate, load_relaxed(&gate) + 1);
	os_futex_wake(&gate);
	s->pause_ns = os_now_ns() - j->began_ns;
	j->copy = pid > 0 ? pid : 0;
	give_back(sig, &old, s->missed);
	return pid < 0 ? pid : 0;
}

/* ------------------------------------------------------------------------------------------------------------------- */

int leak_stop(struct leak_stop *s, enum leak_stop_way way, bool hurry, struct leak_waiter waiter, uint64_t patience_ns,
              void (*before)(void), void (*mark)(const struct leak_stop *s))
{
	*s = (struct leak_stop){ .held = os_map(THREADS_MAX * sizeof(*s->held)), .process = os_pid() };
	s->regs = s->held ? os_map(REGS_ROOM) : NULL;
	if (!s->regs)
		return -ENOMEM;
	job = (struct job){
		.s = s,
		.before = before,
		.mark = mark,
		.hurry = hurry,
		.waiter = waiter,
		.pid = os_pid(),
		.self = os_tid(),
		.deadline = os_now_ns() + patience_ns,
	};
	return way == LEAK_STOP_PTRACE ? hold_by_tracing(&job) : hold_by_signals(&job);
}

bool leak_stop_ended(void)
{
	bool ended = job.tracer ? os_process_ended(job.tracer) : !job.copy || copy_ended(&job);

	if (ended)
		job.tracer = job.copy = 0;
	return ended;
}

void leak_stop_cancel(void)
{
	if (job.copy)
		(void)os_call(SYS_kill, job.copy, ENDED_BY_US, 0, 0, 0, 0);
	while ((job.tracer || job.copy) && !leak_stop_ended())
		pause_for(CHECK_NS);
}

void leak_stop_done(struct leak_stop *s)
{
	os_unmap(s->regs, REGS_ROOM);
	os_unmap(s->held, THREADS_MAX * sizeof(*s->held));
	s->regs = NULL;
	s->held = NULL;
}
