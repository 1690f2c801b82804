/* Blocks that are looked at closely: what a free must know of them beyond what allocs.h holds for every block.
 * Context    [hook] under GUARD_TABLE. A probe belongs to whoever took its block out of allocs.h.
 * Ownership  a thread keeps a few unused ones in its struct probe_cache, so that the shared list is seldom asked.
 * fork       probes_fork_prepare() before, probes_fork_done() after in both. What other threads have in their caches is lost
 *            to the child. */
#pragma once
#include <stdint.h>

struct probe {
	uint64_t born_ns;
	uint32_t slop;   /* bytes beyond what was asked, at most UINT32_MAX; in an unused one the next in its list */
	uint16_t thread; /* record of the thread that allocated it */
	uint16_t generation : 15; /* of the process that allocated it: forks since the first */
	uint16_t weighted : 1;    /* one of many: recorder.c knows of how many */
};

struct probe_cache {
	uint32_t first, count;
};

/* Number of a probe, its content undefined; 0 without memory (not counted here). */
uint32_t probes_take(struct probe_cache *cache);
struct probe *probes_at(uint32_t number);
void probes_give(struct probe_cache *cache, uint32_t number);

void probes_fork_prepare(void);
void probes_fork_done(void);
