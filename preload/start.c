#include "start.h"

#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "arch.h"
#include "database.h"
#include "dump.h"
#include "live_keep.h"
#include "objects.h"
#include "program.h"
#include "real.h"
#include "recorder.h"
#include "requests.h"
#include "samples.h"
#include "say.h"
#include "state.h"
#include "units.h"

_Atomic int state_now = STATE_NEW;

static struct config config;
static const char *passive_reason;
static _Atomic int starting;

/* Sanitizers and valgrind replace the allocator themselves and do not take a second one in front of them. */
static const char *find_passive_reason(void)
{
#ifndef PROBE_UNDER_VALGRIND /* a build whose instructions are counted: CONTRIBUTING.md */
	if (arch_under_valgrind())
		return "the program runs under valgrind, which replaces the allocator and simulates the processor";
#endif
	if (objects_define("__asan_init"))
		return "the program is built with AddressSanitizer, which tracks allocations itself";
	if (objects_define("__tsan_init"))
		return "the program is built with ThreadSanitizer, which replaces the allocator itself";
	if (objects_define("__msan_init"))
		return "the program is built with MemorySanitizer, which tracks allocations itself";
	if (objects_define("__lsan_init"))
		return "the program is built with LeakSanitizer, which tracks allocations itself";
	if (objects_define("__hwasan_init"))
		return "the program is built with HWAddressSanitizer, which tracks allocations itself";
	if (!program_begins_in_libc())
		return "the program does not begin in libc (Go without cgo, or assembler): its threads may not be "
		       "libc's";
	return NULL;
}

/* Samples that the window can hold for one thread that never sleeps. */
static uint64_t ring_entries(void)
{
	return config.cpu_hz * (config.window / NS_PER_S + 1);
}

bool start_recorder(void)
{
	int expected = 0;

	if (state_get() != STATE_NEW)
		return state_get() > STATE_OFF;
	if (!environ || !real_ready())
		return false; /* the loader allocates before libc is initialised */
	if (!cas_acq_rel(&starting, &expected, 1))
		return false; /* this thread inside itself: no other thread can exist yet */
	say_init();
	config_parse(&config, environ);
	passive_reason = find_passive_reason();
	dump_init(&config);
	if (!passive_reason)
		live_keep_init(&config);
	start_set_window();
	recorder_init(&config);
	/* release: hooks of threads made later see the tables by their creation */
	store_release(&state_now, passive_reason ? STATE_OFF : STATE_RUNNING);
	return !passive_reason;
}

const struct config *start_config(void)
{
	return &config;
}

struct config *start_config_to_change(void)
{
	return &config;
}

void start_set_window(void)
{
	if (config.cpu_hz)
		samples_init(ring_entries(), config.window);
	requests_init(&config);
	database_init(&config);
}

const char *start_passive_reason(void)
{
	return passive_reason;
}
