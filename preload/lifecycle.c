/*
 * lifecycle.c - the composition root: start before main(), fork, exit. The only file that knows all others.
 *
 * Two steps, because other libraries allocate before our constructor runs: start.c makes the recorder usable at the first
 * hook; the constructor adds what needs a complete libc (signals, events, the helper, fork handlers).
 */
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "allocs.h"
#include "compiler.h"
#include "database.h"
#include "dump.h"
#include "finish.h"
#include "helper.h"
#include "hook_map.h"
#include "hook_other.h"
#include "hook_signal.h"
#include "hook_thread.h"
#include "leaks.h"
#include "live.h"
#include "live_keep.h"
#include "losses.h"
#include "mappings.h"
#include "marks.h"
#include "metrics_page.h"
#include "modules.h"
#include "offcpu.h"
#include "os_linux.h"
#include "pools.h"
#include "preload_env.h"
#include "probes.h"
#include "real.h"
#include "recorder.h"
#include "requests.h"
#include "sampler.h"
#include "say.h"
#include "sockets.h"
#include "ssl_bio.h"
#include "ssl_libs.h"
#include "stacks.h"
#include "start.h"
#include "state.h"
#include "threads.h"
#include "unwind.h"
#include "work.h"

/* ---- start -------------------------------------------------------------------------------------------------------- */

static void say_options(const struct config *config)
{
	static const char *const sources[] = { "default", "environment", "set at run time" };

	for (unsigned i = 0; i < CONFIG_COUNT; i++)
		say("  PERFPROBE_", config_name((enum config_index)i), "=", config->text[i], " (",
		    sources[config->source[i]], ")", NULL);
}

static void say_start(const struct config *config, const char *unwind, const char *unwind_why)
{
	const struct sampler_engine *cpu = sampler_engine();

	say("version " PERFPROBE_VERSION, NULL);
	say("cpu engine ", cpu->name, *cpu->why ? ": " : "", cpu->why, NULL);
	say("heap ", config->text[CONFIG_HEAP], dump_heap_note(), ", stacks by ", unwind, *unwind_why ? ": " : "",
	    unwind_why, NULL);
	say_options(config);
}

static void on_first_sample(void)
{
	recorder_settle();
	live_keep_stay();
	(void)helper_start(start_config()); /* in forked children that live long enough to be sampled, or serve */
}

static void fork_prepare(void);
static void fork_parent(void);
static void fork_child(void);

static CONSTRUCTOR(101) void start(void)
{
	struct tls *t = &tls_self;
	const struct config *config = start_config();
	const char *unwind, *why;

	if (!start_recorder()) {
		if (start_passive_reason())
			say("passive: ", start_passive_reason(), NULL);
		return;
	}
	(void)guard_enter(t, GUARD_ALLOC); /* what follows is ours, not the program's */
	unwind = unwind_init((enum config_unwind)config->unwind, &why);
	if (config->unwind != UNWIND_AUTO && *why)
		say("PERFPROBE_UNWIND=", config->text[CONFIG_UNWIND], ": ", why, "; using ", unwind, NULL);
	dump_set_unwind_engine(unwind);
	modules_init();
	if (!t->thread)
		(void)threads_attach(t, 0, 0); /* a failure is counted there */
	hook_other_init(config);
	hook_thread_init();
	sampler_init(config);
	sampler_on_first_sample(on_first_sample);
	offcpu_init(config);
	requests_on_first(on_first_sample);
	leaks_init(config);
	finish_init(config);
	hook_signal_init(config);
	(void)pthread_atfork(fork_prepare, fork_parent, fork_child); /* without it children are not followed */
	if (!(config->follow & FOLLOW_EXEC))
		preload_env_remove(environ);
	sampler_adopt_threads(); /* before we have a thread of our own */
	/* Before there is a thread of ours: moving a descriptor up makes the kernel's table larger, and where threads share it
	 * that waits for a grace period of RCU, about 10 ms. */
	sampler_thread_start(t);
	(void)at_quick_exit(finish_process); /* _exit and exit() have their own ways */
	metrics_page_init(config);
	if (!helper_start(config))
		say("no helper thread could be started: no snapshots while the program runs", NULL);
	hook_map_init(config);
	store_relaxed(&sockets_on, config->http != 0);
	store_relaxed(&database_on, config->database != 0);
	if (config->verbose)
		say_start(config, unwind, why);
	guard_leave(t, GUARD_ALLOC);
}

/* ---- end ---------------------------------------------------------------------------------------------------------- */

/* exit() and a return from main(), after the program's own handlers. Hooks may still be called afterwards. */
static __attribute__((destructor(101))) void end(void)
{
	if (state_get() > STATE_OFF)
		finish_process();
}

/* ---- fork --------------------------------------------------------------------------------------------------------- */

/* Registered first, so the preparation runs last and undoing it first: the program's own handlers may allocate. */
static void fork_prepare(void)
{
	struct tls *t = &tls_self;

	sampler_fork_prepare(t);
	t->fork_guard = guard_enter(t, GUARD_TABLE);
	threads_fork_prepare();
	mappings_fork_prepare();
	pools_fork_prepare();
	allocs_fork_prepare();
	probes_fork_prepare();
	requests_fork_prepare();
	sockets_fork_prepare();
	stacks_fork_prepare();
}

static void fork_parent(void)
{
	struct tls *t = &tls_self;

	stacks_fork_done();
	sockets_fork_parent();
	requests_fork_parent();
	probes_fork_done();
	allocs_fork_done();
	pools_fork_done();
	mappings_fork_done();
	if (t->fork_guard)
		guard_leave(t, GUARD_TABLE);
	threads_fork_parent();
	sampler_fork_parent(t);
}

static void fork_child(void)
{
	struct tls *t = &tls_self;
	const struct config *config = start_config();
	bool follow = config->follow & FOLLOW_FORK && state_get() > STATE_OFF, forget;

	probes_fork_done();
	allocs_fork_done();
	pools_fork_done();
	mappings_fork_done();
	sampler_fork_child();
	forget = live_keep_fork_child(); /* before anything is counted: the tables are the parent's file */
	threads_fork_child(t, forget);
	stacks_fork_child();
	losses_reset();
	recorder_fork_child(forget);
	modules_fork_child();
	marks_fork_child();
	requests_fork_child();
	work_fork_child(t->thread);
	sockets_fork_child();
	ssl_libs_fork_child();
	ssl_bio_fork_child();
	database_fork_child();
	leaks_fork_child();
	dump_fork_child();
	helper_fork_child();
	finish_fork_child(follow);
	if (!follow)
		store_release(&state_now, STATE_OFF), store_relaxed(&sockets_on, false),
		        store_relaxed(&database_on, false); /* relaxed readers: only this thread lives */
	if (t->fork_guard)
		guard_leave(t, GUARD_TABLE);
	sampler_fork_child_resume(t, follow);
	if (follow && (config->every || config->metrics)) { /* who asks for either does not wait for a first sample */
		recorder_settle();                          /* while there is one thread */
		(void)helper_start(config);
	}
}
