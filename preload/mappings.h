/* Memory that the program maps by itself (mmap, mremap, munmap): ranges of addresses and the stacks that mapped them.
 * Context    [hook] under GUARD_TABLE; one lock, no other inside it.
 * Order      a range is forgotten before the real munmap, and remembered after the real mmap: addresses belong to one
 *            thread at any time.
 * Errors     none are returned: what cannot be stored is counted (mmap.table_full).
 * fork       mappings_fork_prepare() before, mappings_fork_done() after it, on both sides. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mapping {
	uintptr_t start, end; /* end exclusive, both whole pages */
	uint32_t stack;
};

/* What mappings_forget() took out. */
enum { MAPPINGS_TAKEN = 32 };
struct mappings_taken {
	struct mapping part[MAPPINGS_TAKEN];
	unsigned count;
	uint64_t bytes; /* of all, those beyond the array too */
};

/* [start, start + bytes) is mapped, by this stack. What was known there is replaced. */
void mappings_add(uintptr_t start, size_t bytes, uint32_t stack);
/* It will not be; ranges that reach beyond it keep the rest. */
void mappings_forget(uintptr_t start, size_t bytes, struct mappings_taken *ret_taken);
/* It is, after all: the call failed. */
void mappings_restore(const struct mappings_taken *taken);

struct mappings_totals {
	uint64_t live_bytes, peak_bytes, peak_ns, mapped_bytes, unmapped_bytes;
};

/* A stack's bytes, for the snapshot: sorts by its first word. */
struct mapping_row {
	uint64_t stack, bytes;
};

/* Calls `visit` with every range, by address. Nobody changes them. */
void mappings_each(void (*visit)(void *context, uintptr_t start, uintptr_t end), void *context);
/* Most rows that mappings_copy() would write now. */
size_t mappings_count(void);
/* One row a range, unsorted; at most `room`. False: the lock was not to be had within half a second. [snapshot] */
bool mappings_copy(struct mapping_row *rows, size_t room, size_t *ret_count, struct mappings_totals *ret_totals);

void mappings_fork_prepare(void);
void mappings_fork_done(void);
/* As mappings_fork_prepare(), but false if a thread that does not go on holds the lock. [helper] */
bool mappings_hold(uint64_t patience_ns);

/* Asserts the invariants; for tests. Returns the bytes that are mapped. */
uint64_t mappings_check(void);
