#include "start.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "dump.h"
#include "live_keep.h"
#include "real.h"
#include "recorder.h"
#include "samples.h"
#include "say.h"
#include "state.h"
#include "units.h"

_Atomic int state_now = STATE_NEW;

static struct config config;
static const char *passive_reason;
static _Atomic int starting;

/* Sanitizers and valgrind replace the allocator themselves and do not take a second one in front of them. */
#if defined(__x86_64__)
/* valgrind.h: the request RUNNING_ON_VALGRIND, 0x1001; instructions that do nothing on a processor. */
static bool under_valgrind(void)
{
	volatile uint64_t request[6] = { 0x1001, 0, 0, 0, 0, 0 };
	uint64_t result = 0;

	__asm__ volatile("rolq $3, %%rdi; rolq $13, %%rdi; rolq $61, %%rdi; rolq $51, %%rdi; xchgq %%rbx, %%rbx"
	                 : "+d"(result)
	                 : "a"(request)
	                 : "cc", "memory");
	return result != 0;
}
#else
static bool under_valgrind(void)
{
	return false;
}
#endif

static const char *find_passive_reason(void)
{
	if (under_valgrind())
		return "the program runs under valgrind, which replaces the allocator and simulates the processor";
	if (dlsym(RTLD_DEFAULT, "__asan_init"))
		return "the program is built with AddressSanitizer, which tracks allocations itself";
	if (dlsym(RTLD_DEFAULT, "__tsan_init"))
		return "the program is built with ThreadSanitizer, which replaces the allocator itself";
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
	if (config.cpu_hz)
		samples_init(ring_entries(), config.window);
	recorder_init(&config);
	/* release: hooks of threads made later see the tables by their creation */
	store_release(&state_now, passive_reason ? STATE_OFF : STATE_RUNNING);
	return !passive_reason;
}

const struct config *start_config(void)
{
	return &config;
}

const char *start_passive_reason(void)
{
	return passive_reason;
}
