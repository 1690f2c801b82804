#include "finish.h"

#include "atomic.h"
#include "dump.h"
#include "helper.h"
#include "live.h"
#include "os_linux.h"
#include "units.h"

/* The longest that the end of a process is held up. */
#define PATIENCE_NS (2 * NS_PER_S)
/* A forked child that is replaced sooner than this was made to be replaced: no profile of it. */
#define SHORT_LIFE_NS NS_PER_S

static const struct config *config;
static _Atomic pid_t own_pid; /* 0: not recording */
static _Atomic bool finished;
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

void finish_process(void)
{
	if (!finish_is_this_process() || exchange_acq_rel(&finished, true))
		return;
	/* A failure is said there. Then the live file is all that is left of the recording, and stays. */
	if (dump_write("exit", PATIENCE_NS) == 0)
		live_remove();
}

void finish_from_handler(void)
{
	if (!finish_is_this_process() || exchange_acq_rel(&finished, true))
		return;
	if (helper_start(config) && helper_dump("exit", PATIENCE_NS) == 0)
		live_remove();
}

void finish_before_exec(void)
{
	if (!finish_is_this_process() || load_relaxed(&finished))
		return;
	if ((forked && os_now_ns() - born_ns <= SHORT_LIFE_NS) || dump_write("exit", PATIENCE_NS) == 0)
		live_remove(); /* should the call fail, the recording goes on without the file */
}

void finish_fork_child(bool follow)
{
	forked = true;
	born_ns = os_now_ns();
	store_relaxed(&finished, false);
	store_release(&own_pid, follow ? os_pid() : 0);
}
