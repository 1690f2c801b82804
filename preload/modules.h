/* Loaded objects: path, addresses, load bias, build-id, and when they came and went.
 * Found by reading /proc/self/maps and the ELF headers in memory: no loader lock, so never a deadlock with dlopen.
 * Context    [any thread, not in a malloc hook or handler]: system calls. One caller at a time (own lock). */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "snapshot_layout.h"

struct module {
	uintptr_t start, end; /* run-time addresses, end exclusive */
	uintptr_t bias;       /* run-time address minus the address in the file */
	uint32_t flags;       /* enum snap_module_flags */
	uint64_t load_ns, unload_ns;
	const char *path; /* arena memory, for good */
	uint8_t build_id[SNAP_MAX_BUILD_ID];
	uint32_t build_id_bytes;
	uint64_t inode;
	bool seen; /* in the scan under way */
	/* Stacks with ids up to this one were there before the module. */
	uint32_t first_stack;
	/* Another module came to its addresses later: in a snapshot it, and its part of the stacks, are told of at addresses so
	 * much higher, which no program has. 0: nothing of the kind. */
	uintptr_t moved;
};

/* What the first scan finds was there from now on. [init] */
void modules_init(void);
/* Brings the table up to date. Returns true if a module was unloaded since the last scan. */
bool modules_scan(void);
/* dlclose() has returned: stacks taken from now on may be of code that comes to the same addresses. */
void modules_unloaded(void);
/* Where a snapshot tells of `pc`, an address of the stack with this id: at `pc`, or where its module was moved to. */
uintptr_t modules_address(uint32_t stack, uintptr_t pc);
/* Modules so far, unloaded ones included. The table only grows. */
uint32_t modules_count(void);
const struct module *modules_at(uint32_t i);
/* In a forked child: the lock may have been held by a thread that does not exist here. */
void modules_fork_child(void);
