/* The tree of call stacks: (parent, pc) -> node id, one node per distinct path from the root.
 * Units      a pc is a run-time address inside the executing instruction; ids run from 1; 0 is "no stack".
 * Context    [hook] and signal handlers; never two at once on one thread (guard.h).
 * Errors     none are returned: what cannot be stored is counted in losses.h and answered with 0.
 * Ownership  nodes live until the process ends. fork: stacks_fork_* hold the lock across it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STACKS_MAX_DEPTH = 256 };

/* The last stack a thread interned: the part it shares with the next one, from the root, is not looked up again. */
struct stack_memo {
	uint32_t depth;
	uint32_t id[STACKS_MAX_DEPTH];  /* root first */
	uintptr_t pc[STACKS_MAX_DEPTH]; /* root first */
};

/* Id of pcs[0..depth), innermost first. May be called before anything else. `in_handler`: do not wait for a lock. */
uint32_t stacks_intern(struct stack_memo *memo, const uintptr_t *pcs, size_t depth, bool in_handler);

/* The node below `parent` (0: the root) for `pc`. [as stacks_intern] */
uint32_t stacks_child(uint32_t parent, uintptr_t pc, bool in_handler);

/* Nodes in one segment of the live file (live_layout.h). */
uint32_t stacks_segment_nodes(void);
/* Nodes so far: ids 1..count are complete. */
uint32_t stacks_count(void);
/* Parent and pc of node `id` (1..stacks_count()). */
uint32_t stacks_parent(uint32_t id);
uintptr_t stacks_pc(uint32_t id);

void stacks_fork_prepare(void);
void stacks_fork_done(void);  /* parent */
void stacks_fork_child(void); /* after live_fork_child() */
/* In a forked child: the segment that gets the next node is the child's own from now on. False without memory. */
bool stacks_own(void);

/* Asserts the invariants; for tests. Returns the number of nodes checked. */
uint32_t stacks_check(void);
