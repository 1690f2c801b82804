/*
 * hook_dl.c - code that goes.
 *
 * After dlclose other code may stand at the same addresses: rules and stacks that were kept by address mean nothing. The
 * helper sees unloads too (modules.c), but only every now and then. A walk that looked a rule up before the call kept it
 * under the generation before, which this one ends. Most calls unload nothing, because others use the library too.
 */
#include <dlfcn.h>
#include <errno.h>
#include <link.h>

#include "compiler.h"
#include "definition.h"
#include "modules.h"
#include "offcpu.h"
#include "real.h"
#include "ssl_libs.h"
#include "state.h"
#include "unwind.h"

static int take_subs(struct dl_phdr_info *info, size_t size, void *ret_subs)
{
	if (size >= offsetof(struct dl_phdr_info, dlpi_subs) + sizeof(info->dlpi_subs))
		*(unsigned long long *)ret_subs = info->dlpi_subs;
	return 1; /* the first tells it */
}

/* How many objects were unloaded since the start: dl_iterate_phdr(3). */
static unsigned long long unloads(void)
{
	unsigned long long subs = 0;

	(void)dl_iterate_phdr(take_subs, &subs); /* the 1 that ends it after the first */
	return subs;
}

EXPORT int dlclose(void *handle)
{
	unsigned long long before;
	int rc;

	if (!real_ready() || !real.dlclose)
		return -1;
	if (state_get() >= STATE_STOPPED)
		(void)modules_scan(); /* what came and goes between two looks of the helper's has a name, too */
	before = unloads();
	offcpu_hold();
	rc = real.dlclose(handle);
	offcpu_release();
	if (unloads() != before) {
		modules_unloaded();
		definition_forget();
		unwind_forget();
		ssl_libs_unloaded();
	}
	return rc;
}
