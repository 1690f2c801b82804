/*
 * hook_lsan.c - LeakSanitizer's interface (compiler-rt, include/sanitizer/lsan_interface.h), for programs that were written for it:
 * they work as they do there, but that a check never ends the program, and that what is suppressed is known only to the reader
 * of the profile.
 *
 * Where the sanitizer itself is in the process, its functions answer, and ours do nothing (start.c: passive).
 */
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "guard.h"
#include "helper.h"
#include "leaks.h"
#include "losses.h"
#include "real.h"
#include "start.h"
#include "state.h"
#include "units.h"

EXPORT void __lsan_disable(void);
EXPORT void __lsan_enable(void);
EXPORT void __lsan_ignore_object(const void *block);
EXPORT void __lsan_register_root_region(const void *start, size_t bytes);
EXPORT void __lsan_unregister_root_region(const void *start, size_t bytes);
EXPORT void __lsan_do_leak_check(void);
EXPORT int __lsan_do_recoverable_leak_check(void);

/* Blocks that this thread allocates from now on are no leaks. It nests. */
EXPORT void __lsan_disable(void)
{
	if (real_ready() && real.__lsan_disable)
		real.__lsan_disable();
	else
		tls_self.unleakable++;
}

EXPORT void __lsan_enable(void)
{
	if (real_ready() && real.__lsan_enable)
		real.__lsan_enable();
	else if (tls_self.unleakable)
		tls_self.unleakable--;
}

EXPORT void __lsan_ignore_object(const void *block)
{
	if (real_ready() && real.__lsan_ignore_object)
		real.__lsan_ignore_object(block);
	else if (state_get() >= STATE_STOPPED && !leaks_ignore(block))
		loss_add(LOSS_LEAKS_IGNORED_FULL, 1);
}

EXPORT void __lsan_register_root_region(const void *start, size_t bytes)
{
	if (real_ready() && real.__lsan_register_root_region)
		real.__lsan_register_root_region(start, bytes);
	else if (!leaks_root_add(start, bytes))
		loss_add(LOSS_LEAKS_ROOTS_FULL, 1);
}

EXPORT void __lsan_unregister_root_region(const void *start, size_t bytes)
{
	if (real_ready() && real.__lsan_unregister_root_region)
		real.__lsan_unregister_root_region(start, bytes);
	else
		(void)leaks_root_remove(start, bytes); /* not registered: a sanitizer ends the program, we do not */
}

/* 1: something leaked. Also writes a profile that says what. */
static int check(void)
{
	const struct leaks_result *r;

	if (state_get() < STATE_STOPPED || !helper_start(start_config()) || helper_leaks_now(120 * NS_PER_S) < 0)
		return 0;
	r = leaks_last();
	return r && r->state == 0 && r->count > 0;
}

EXPORT void __lsan_do_leak_check(void)
{
	if (real_ready() && real.__lsan_do_leak_check)
		real.__lsan_do_leak_check();
	else
		(void)check();
}

EXPORT int __lsan_do_recoverable_leak_check(void)
{
	return real_ready() && real.__lsan_do_recoverable_leak_check ? real.__lsan_do_recoverable_leak_check()
	                                                             : check();
}
