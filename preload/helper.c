#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

#include "atomic.h"
#include "compiler.h"
#include "control.h"
#include "control_socket.h"
#include "dump.h"
#include "leaks.h"
#include "live.h"
#include "live_keep.h"
#include "metrics_page.h"
#include "metrics_socket.h"
#include "modules.h"
#include "offcpu.h"
#include "os_linux.h"
#include "own_socket.h"
#include "recorder.h"
#include "sampler.h"
#include "say.h"
#include "series.h"
#include "triggers.h"
#include "units.h"
#include "unwind.h"

#define BEGIN_NS         (10 * NS_PER_MS)
#define TICK_NS          (100 * NS_PER_MS)
#define CHECK_NS         NS_PER_S
#define SAMPLER_CHECK_NS (NS_PER_S / 4)
/* Between two checks for leaks: long enough for what was under way to be done. */
#define LEAK_GAP_NS       (500 * NS_PER_MS)
#define LEAK_GAP_SHORT_NS (50 * NS_PER_MS) /* who asks waits */
#define LEAK_STEP_NS      (2 * NS_PER_MS)
#define PAUSE_NS          (2 * NS_PER_S)
#define PAUSE_STEP_NS     (20 * NS_PER_US)

enum { LEAK_CHECKS = 2, STACK_MARGIN = 256 /* the registers that a function saves */ };

static const struct config *config;
static _Atomic uint32_t running; /* 0 none, 1 being made or running */
static _Atomic int32_t helper_tid;
static _Atomic uint32_t bell;      /* moves whenever there is something to do before the next tick */
static _Atomic uint32_t pausing;   /* callers of helper_pause() that have not resumed */
static uint64_t next_every, every; /* they go on when the helper is made anew; every: what next_every was made with */
/* A signal to be sent: its number and the thread, 0 = none. */
static _Atomic uint64_t send_soon;

static void ring(void)
{
	add_relaxed(&bell, 1); /* orders nothing: what is to be done is in words of its own */
	os_futex_wake(&bell);
}

/* Has every thread of the program ended, so that only we keep the process alive? Two entries beyond . and .. are two
 * threads. linux/dirent.h: struct linux_dirent64 { u64 ino; s64 off; u16 reclen; u8 type; char name[]; }. */
static bool alone(void)
{
	char entries[1024];
	unsigned threads = 0;
	int fd = os_open("/proc/self/task", O_RDONLY | O_DIRECTORY, 0);
	long n;

	if (fd < 0)
		return false;
	n = os_call(SYS_getdents64, fd, (long)entries, sizeof(entries), 0, 0, 0);
	os_close(fd);
	for (long at = 0; n > 0 && at < n;) {
		uint16_t reclen;

		memcpy(&reclen, entries + at + 16, sizeof(reclen));
		threads += entries[at + 19] != '.';
		at += reclen;
	}
	return threads == 1;
}

/* ---- requests ----------------------------------------------------------------------------------------------------- */

/* Requests for a profile, and for a leak check, which takes longer and whose askers wait for it alone. */
static struct requests {
	/* `asked` counts them, `done` those answered. A request is asked by one compare-and-swap, so that handlers may. */
	_Atomic uint32_t asked, done;
	_Atomic(const char *)
	        reason; /* of the last one asked for; a leak check: of the profile after it, or NULL: none */
	_Atomic int rc;
} for_dump, for_leaks;

static bool waits(const struct requests *r)
{
	return load_acquire(&r->asked) != load_relaxed(&r->done); /* pairs with the CAS in ask() */
}

static void answered(struct requests *r, uint32_t n, int rc)
{
	store_relaxed(&r->rc, rc);
	store_release(&r->done, n); /* pairs with the acquire in ask() */
	os_futex_wake(&r->done);
}

static void answer(void)
{
	uint32_t n = load_acquire(&for_dump.asked); /* pairs with the CAS in ask(): the reason is in place */

	if (n == load_relaxed(&for_dump.done))
		return;
	os_follow_credentials();
	answered(&for_dump, n, dump_write(load_relaxed(&for_dump.reason), 5 * NS_PER_S));
}

/* ---- leak checks -------------------------------------------------------------------------------------------------- */

static enum asker { NOBODY, PROGRAM, SOCKET } checking; /* for whom a check is under way */

/* Begins the check, or goes on with it. True: it is done; else it was not this asker's turn, or it takes longer. */
static bool is_checked(enum asker who, uint64_t gap_ns, bool at_exit)
{
	if (checking == NOBODY && leaks_begin(LEAK_CHECKS, gap_ns, at_exit))
		checking = who;
	if (checking != who || !leaks_step())
		return false;
	checking = NOBODY;
	return true;
}

static void answer_leaks(void)
{
	static uint32_t n; /* of the request under way */
	const char *reason = load_relaxed(&for_leaks.reason);

	if (!waits(&for_leaks))
		return;
	if (checking != PROGRAM)
		n = load_acquire(&for_leaks.asked);
	os_follow_credentials();
	if (is_checked(PROGRAM, LEAK_GAP_SHORT_NS, !reason))
		answered(&for_leaks, n, reason ? dump_write(reason, 5 * NS_PER_S) : 0);
}

/* control_leaks_fn. */
static int socket_leaks(char *text, size_t size)
{
	int rc;

	os_follow_credentials();
	if (!is_checked(SOCKET, LEAK_GAP_NS, false))
		return -EINPROGRESS;
	rc = dump_write_named("leaks", 5 * NS_PER_S, text, size);
	if (rc == 0 && leaks_last()->state) {
		text[0] = '\0';
		say_append(text, size, "the program could not be searched: ");
		say_append(text, size, leaks_last()->note);
		rc = -ENOTSUP;
	}
	return rc;
}

static void send_signal(void)
{
	uint64_t to = exchange_acq_rel(&send_soon, 0); /* pairs with the CAS in helper_send_soon */

	if (to)
		(void)os_kill_thread(os_pid(), (pid_t)(to & UINT32_MAX), (int)(to >> 32)); /* it may have ended */
}

/* The interval is an option that may change. */
static void follow_interval(uint64_t now)
{
	if (every == config->every && next_every)
		return;
	every = config->every;
	next_every = every ? now + every : UINT64_MAX;
}

static void write_interval(uint64_t now)
{
	follow_interval(now);
	if (now < next_every)
		return;
	os_follow_credentials();
	(void)dump_write("interval", 0); /* a failure is said and counted there */
	next_every += config->every;
	if (next_every <= os_now_ns()) /* writing took longer than the interval */
		next_every = os_now_ns() + config->every;
}

/* False: nobody else is left. */
static bool check_now_and_then(uint64_t now, uint64_t *next_check)
{
	static uint64_t next_sampler; /* one helper at a time */

	if (now >= next_sampler) {
		sampler_check();
		next_sampler = now + SAMPLER_CHECK_NS;
	}
	if (now < *next_check)
		return true;
	if (alone())
		return false;
	if (modules_scan())
		unwind_forget();
	*next_check = now + CHECK_NS;
	return true;
}

/* Most processes end within milliseconds: what would be done for each is not done for them. */
static void let_it_begin(void)
{
	uint32_t seen = load_acquire(&bell);

	if (!live_is_open() && !load_relaxed(&pausing) && !load_relaxed(&send_soon) && !waits(&for_dump) &&
	    !waits(&for_leaks))
		os_futex_wait(&bell, seen, BEGIN_NS);
}

static uint64_t at_most(uint64_t ns, uint64_t limit)
{
	return ns < limit ? ns : limit;
}

static void loop(void *unused)
{
	static uint64_t next_check; /* goes on when the helper is made anew */

	(void)unused;
	if (!next_check)
		next_check = os_now_ns() + CHECK_NS;
	/* First of all: until then whatever is opened here takes a number that the program's next file would have had. */
	own_socket_begin(os_own_descriptors() < 0);
	/* A program's thread on the same processor does not wait for the some milliseconds that a profile takes. */
	os_background();
	control_on_leaks(socket_leaks);
	control_socket_begin(os_now_ns());
	metrics_socket_begin(os_now_ns());
	let_it_begin();
	(void)modules_scan();
	while (!load_relaxed(&pausing)) {
		uint32_t seen = load_acquire(&bell);
		uint64_t now = os_now_ns(), wait = TICK_NS;

		recorder_tick(now);
		live_keep_tick(now);
		series_tick(now);
		answer();
		answer_leaks();
		write_interval(now);
		wait = at_most(wait, triggers_tick(config, now));
		wait = at_most(wait, offcpu_tick(now));
		if (!check_now_and_then(now, &next_check))
			break;
		wait = at_most(wait, control_socket_tick(now));
		wait = at_most(wait, metrics_socket_tick(now));
		if (next_every > now)
			wait = at_most(wait, next_every - now);
		if (checking != NOBODY)
			wait = at_most(wait, LEAK_STEP_NS);
		os_futex_wait(&bell, seen, wait);
		send_signal();
	}
	control_socket_end();
	metrics_socket_end();
	metrics_page_helper_ends();
	leaks_cancel();
	checking = NOBODY;
	store_release(&running, 0);
}

bool helper_start(const struct config *with)
{
	uint32_t expected = 0;
	int tid;

	if (load_relaxed(&pausing))
		return false;
	if (!cas_acq_rel(&running, &expected, 1))
		return true;
	config = with;
	if (!next_every)
		follow_interval(os_now_ns());
	tid = os_thread_start(loop, NULL);
	if (tid < 0) {
		store_release(&running, 0);
		return false;
	}
	store_release(&helper_tid, tid); /* pairs with the acquire in helper_pause */
	return true;
}

bool helper_pause(void)
{
	uint64_t deadline = os_now_ns() + PAUSE_NS;
	bool runs = load_acquire(&running);
	uint32_t never = 0;
	pid_t tid;

	if (!runs)
		return false;
	add_relaxed(&pausing, 1);
	ring();
	/* Its last instructions come after `running` is 0; unshare(2) counts it until it is gone. */
	while (os_now_ns() < deadline) {
		tid = load_acquire(&helper_tid); /* 0: its maker has not come to write it */
		if (!load_acquire(&running) && tid && os_kill_thread(os_pid(), tid, 0) < 0)
			break;
		os_futex_wait(&never, 0, PAUSE_STEP_NS);
	}
	return true;
}

void helper_resume(void)
{
	if (sub_relaxed(&pausing, 1) == 1)
		(void)helper_start(config); /* where no thread can be made, the end of the program writes its profile */
}

bool helper_send_soon(int sig)
{
	uint64_t none = 0, to = (uint64_t)sig << 32 | (uint32_t)os_tid();

	if (!load_acquire(&running))
		return false;
	/* Lost to another thread's signal of the same kind: that one ends the process. */
	(void)cas_acq_rel(&send_soon, &none, to); /* pairs with the exchange in send_signal */
	ring();
	return true;
}

static int ask(struct requests *r, const char *reason, uint64_t patience_ns)
{
	uint64_t deadline = os_now_ns() + patience_ns;
	uint32_t n = load_relaxed(&r->asked);

	store_relaxed(&r->reason, reason);
	if (!cas_acq_rel(&r->asked, &n,
	                 n + 1)) /* pairs with the acquire in answer(); lost to another request: wait for its file */
		n = n - 1;
	ring();
	for (;;) {
		uint32_t seen = load_acquire(&r->done); /* pairs with the release in answered() */
		uint64_t now = os_now_ns();

		if ((int32_t)(seen - (n + 1)) >= 0)
			return load_relaxed(&r->rc);
		if (now >= deadline)
			return -ETIMEDOUT;
		os_futex_wait(&r->done, seen, deadline - now);
	}
}

int helper_dump(const char *reason, uint64_t patience_ns)
{
	return ask(&for_dump, reason, patience_ns);
}

/* What this thread has in registers is on its stack while it waits: where threads are held by signals, that is all that is known
 * of it, since it may have blocked them. */
static NOINLINE int wait_on_stack(const char *reason, uint64_t patience_ns)
{
	int rc;

	__builtin_unwind_init();
	leaks_set_waiter(os_tid(), (uint64_t)__builtin_frame_address(0) - STACK_MARGIN);
	rc = ask(&for_leaks, reason, patience_ns);
	leaks_set_waiter(0, 0);
	return rc;
}

int helper_check_leaks(uint64_t patience_ns)
{
	return wait_on_stack(NULL, patience_ns);
}

int helper_leaks_now(uint64_t patience_ns)
{
	return wait_on_stack("leaks", patience_ns);
}

void helper_ask_by_signal(void)
{
	triggers_ask();
	ring();
}

void helper_fork_child(void)
{
	triggers_fork_child();
	offcpu_fork_child();
	series_fork_child();
	store_relaxed(&running, 0);
	store_relaxed(&helper_tid, 0);
	store_relaxed(&pausing, 0);
	store_relaxed(&send_soon, 0);
	next_every = 0;
	control_fork_child();
	control_socket_fork_child();
	metrics_socket_fork_child();
	store_relaxed(&for_dump.done, load_relaxed(&for_dump.asked));
	store_relaxed(&for_leaks.done, load_relaxed(&for_leaks.asked));
	checking = NOBODY;
}
