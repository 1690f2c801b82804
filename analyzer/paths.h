/* A tree of paths: each node is its parent's path and one item more; equal paths are one node. Numbers run from 1, parents before
 * their children; 0 is the empty path. (Nothing is asked of a parent: pairs of any other numbers get theirs just so.) Hosted programs; one thread at a time.
 * A table of millions is out of every cache, so a look-up waits for memory twice; who knows the next ones says so beforehand. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"

struct path_node {
	uint32_t parent, item;
};

struct path_slot {
	uint32_t hash, node; /* node 0: free */
};

struct paths {
	struct path_node *nodes; /* node n at [n]; [0] is the empty path. Freed with free() */
	struct path_slot *slots;
	size_t count, cap, slot_count; /* count: without the empty path */
};

enum { PATHS_FAILED = -1, PATHS_AHEAD = 16 /* look-ups from paths_expect() to paths_add() */ };

/* Room for so many at once. 0 or -ENOMEM. */
int paths_reserve(struct paths *t, size_t count) MUST_USE;
/* The node's number, or PATHS_FAILED when memory runs out or 2^32 are not enough. */
int64_t paths_add(struct paths *t, uint32_t parent, uint32_t item);
/* paths_add() will be asked for this one. */
void paths_expect(const struct paths *t, uint32_t parent, uint32_t item);
void paths_done(struct paths *t);
