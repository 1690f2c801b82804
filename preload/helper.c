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
#include "live.h"
#include "live_keep.h"
#include "modules.h"
#include "os_linux.h"
#include "recorder.h"
#include "sampler.h"
#include "units.h"
#include "unwind.h"

#define BEGIN_NS         (10 * NS_PER_MS)
#define TICK_NS          (100 * NS_PER_MS)
#define CHECK_NS         NS_PER_S
#define SAMPLER_CHECK_NS (NS_PER_S / 4)
#define PAUSE_NS         (2 * NS_PER_S)
#define PAUSE_STEP_NS    (20 * NS_PER_US)

static const struct config *config;
static _Atomic uint32_t running; /* 0 none, 1 being made or running */
static _Atomic int32_t helper_tid;
static _Atomic uint32_t bell;      /* moves whenever there is something to do before the next tick */
static _Atomic uint32_t pausing;   /* callers of helper_pause() that have not resumed */
static uint64_t next_every, every; /* they go on when the helper is made anew; every: what next_every was made with */
/* A signal to be sent: its number and the thread, 0 = none. */
static _Atomic uint64_t send_soon;
/* Requests: `asked` counts them, `done` those answered. A request is asked by one compare-and-swap, so that handlers may. */
static _Atomic uint32_t asked, done;
static _Atomic(const char *) asked_reason;
static _Atomic int done_rc;

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

static void answer(void)
{
	uint32_t n = load_acquire(&asked); /* pairs with the CAS in helper_dump: the reason is in place */

	if (n == load_relaxed(&done))
		return;
	os_follow_credentials();
	store_relaxed(&done_rc, dump_write(load_relaxed(&asked_reason), 5 * NS_PER_S));
	store_release(&done, n); /* pairs with the acquire in helper_dump */
	os_futex_wake(&done);
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

	if (!live_is_open() && !load_relaxed(&pausing) && !load_relaxed(&send_soon) &&
	    load_acquire(&asked) == load_relaxed(&done))
		os_futex_wait(&bell, seen, BEGIN_NS);
}

static void loop(void *unused)
{
	static uint64_t next_check; /* goes on when the helper is made anew */

	(void)unused;
	if (!next_check)
		next_check = os_now_ns() + CHECK_NS;
	control_socket_begin(os_own_descriptors() < 0, os_now_ns());
	let_it_begin();
	(void)modules_scan();
	while (!load_relaxed(&pausing)) {
		uint32_t seen = load_acquire(&bell);
		uint64_t now = os_now_ns(), wait = TICK_NS, control;

		recorder_tick(now);
		live_keep_tick(now);
		answer();
		write_interval(now);
		if (!check_now_and_then(now, &next_check))
			break;
		control = control_socket_tick(now);
		if (control < wait)
			wait = control;
		if (next_every > now && next_every - now < wait)
			wait = next_every - now;
		os_futex_wait(&bell, seen, wait);
		send_signal();
	}
	control_socket_end();
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

int helper_dump(const char *reason, uint64_t patience_ns)
{
	uint64_t deadline = os_now_ns() + patience_ns;
	uint32_t n = load_relaxed(&asked);

	store_relaxed(&asked_reason, reason);
	if (!cas_acq_rel(&asked, &n,
	                 n + 1)) /* pairs with the acquire in answer(); lost to another request: wait for its file */
		n = n - 1;
	ring();
	for (;;) {
		uint32_t seen = load_acquire(&done); /* pairs with the release in answer() */
		uint64_t now = os_now_ns();

		if ((int32_t)(seen - (n + 1)) >= 0)
			return load_relaxed(&done_rc);
		if (now >= deadline)
			return -ETIMEDOUT;
		os_futex_wait(&done, seen, deadline - now);
	}
}

void helper_fork_child(void)
{
	store_relaxed(&running, 0);
	store_relaxed(&helper_tid, 0);
	store_relaxed(&pausing, 0);
	store_relaxed(&send_soon, 0);
	next_every = 0;
	control_fork_child();
	control_socket_fork_child();
	store_relaxed(&done, load_relaxed(&asked));
}
