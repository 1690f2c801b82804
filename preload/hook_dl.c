/*
 * hook_dl.c - code that goes.
 *
 * After dlclose other code may stand at the same addresses: rules and stacks that were kept by address mean nothing. The
 * helper sees unloads too (modules.c), but only every now and then. A walk that looked a rule up before the call kept it
 * under the generation before, which this one ends.
 */
#include <dlfcn.h>
#include <errno.h>

#include "compiler.h"
#include "modules.h"
#include "real.h"
#include "state.h"
#include "unwind.h"

EXPORT int dlclose(void *handle)
{
	int rc;

	if (!real_ready() || !real.dlclose)
		return -1;
	if (state_get() >= STATE_STOPPED)
		(void)modules_scan(); /* what came and goes between two looks of the helper's has a name, too */
	rc = real.dlclose(handle);
	modules_unloaded();
	unwind_forget();
	return rc;
}
