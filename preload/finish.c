#include "finish.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>

#include "atomic.h"
#include "control_socket.h"
#include "dump.h"
#include "helper.h"
#include "live.h"
#include "metrics_socket.h"
#include "os_linux.h"
#include "sampler.h"
#include "units.h"

/* The longest that the end of a process is held up. */
#define PATIENCE_NS (2 * NS_PER_S)
/* ... and where it is to be searched for leaks. */
#define LEAKS_PATIENCE_NS (120 * NS_PER_S)
/* A forked child that is replaced sooner than this was made to be replaced: no profile of it. */
#define SHORT_LIFE_NS NS_PER_S

static const struct config *config;
static _Atomic pid_t own_pid;    /* 0: not recording */
static _Atomic bool finished;    /* the last profile is being written, or was */
static _Atomic uint32_t written; /* it was */
static _Atomic pid_t finisher;   /* by whom */
static _Atomic pid_t exiting;    /* the thread that called exit() first; 0: none did */
static bool forked;
static uint64_t born_ns;

void finish_init(const struct config *with)
{
	config = with;
	born_ns = os_now_ns();
	store_release(&own_pid, os_pid());
}

bool finish_is_this_process(void)
{
	return load_acquire(&own_pid) == os_pid(); /* pairs with finish_init */
}

/* In this thread; where the program has used up its descriptors, in the helper, which has its own. */
static int write_last(void)
{
	int fd = os_open("/", O_PATH, 0),
	    other = fd < 0 ? fd : os_open("/", O_PATH, 0); /* as many as a dump needs at once */

	os_close(fd);
	os_close(other);
	if (other == -EMFILE && helper_start(config))
		return helper_dump("exit", PATIENCE_NS);
	return dump_write("exit", PATIENCE_NS); /* a failure is said there */
}

/* Another thread is at it, and this one would end the process under its hands. */
static void wait_for_other(void)
{
	uint64_t patience = config->leaks == LEAKS_EXIT ? LEAKS_PATIENCE_NS : PATIENCE_NS;
	uint64_t deadline = os_now_ns() + patience, now;

	while (!load_acquire(&written) && (now = os_now_ns()) < deadline) /* pairs with the release in finish_process */
		os_futex_wait(&written, 0, deadline - now);
}

/* Is the last profile this thread's to write? Where another thread writes it, waits for that. */
static bool last_begin(void)
{
	if (!finish_is_this_process())
		return false;
	if (exchange_acq_rel(&finished, true)) {
		if (load_relaxed(&finisher) != os_tid())
			wait_for_other();
		return false;
	}
	store_relaxed(&finisher, os_tid());
	return true;
}

/* `rc` says whether it was written. Else the live file is all that is left of the recording, and stays. */
static void last_done(int rc)
{
	control_socket_remove(true);
	metrics_socket_remove(true);
	if (rc == 0)
		live_remove();
	store_release(&written, 1); /* pairs with the acquire in wait_for_other */
	os_futex_wake(&written);
}

void finish_process(void)
{
	uint64_t all = ~UINT64_C(0), was = 0;

	if (!last_begin())
		return;
	/* A signal that ends the process waits until the profile is there: blocked here, and by on_ending() elsewhere. */
	(void)os_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&was, sizeof(all), 0, 0);
	sampler_stop_all(); /* a late sample would begin a live file anew */
	if (config->leaks == LEAKS_EXIT && helper_start(config))
		(void)helper_check_leaks(LEAKS_PATIENCE_NS); /* the profile says what came of it */
	last_done(write_last());
	(void)os_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&was, 0, sizeof(all), 0, 0);
}

void finish_exit_called(void)
{
	pid_t none = 0, own = os_tid();

	if (!finish_is_this_process())
		return;
	if (!cas_acq_rel(&exiting, &none, own) && none != own)
		wait_for_other();
	else if (load_relaxed(&finished) && load_relaxed(&finisher) != own)
		wait_for_other();
}

void finish_from_handler(void)
{
	if (!last_begin())
		return;
	if (!helper_start(config)) {
		last_done(-EAGAIN);
		return;
	}
	if (config->leaks == LEAKS_EXIT)
		(void)helper_check_leaks(LEAKS_PATIENCE_NS);
	last_done(helper_dump("exit", PATIENCE_NS));
}

void finish_before_exec(void)
{
	if (!finish_is_this_process() || load_relaxed(&finished))
		return;
	if ((forked && os_now_ns() - born_ns <= SHORT_LIFE_NS) || dump_write("exit", PATIENCE_NS) == 0)
		live_remove(); /* should the call fail, the recording goes on without the file */
	control_socket_remove(false);
	metrics_socket_remove(false);
}

void finish_fork_child(bool follow)
{
	forked = true;
	born_ns = os_now_ns();
	store_relaxed(&finished, false);
	store_relaxed(&written, 0);
	store_relaxed(&finisher, 0);
	store_relaxed(&exiting, 0);
	store_release(&own_pid, follow ? os_pid() : 0);
}
