/* Equal byte strings to one number, from 0 in order of first appearance. Hosted programs; one thread at a time. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "arena.h"

struct intern_slot {
	uint32_t hash, index1; /* index + 1; 0: free */
};
struct intern {
	struct arena *arena; /* where keys are copied to */
	struct intern_slot *slots;
	const void **keys;
	uint32_t *key_bytes;
	size_t count, key_cap, slot_count;
};

enum { INTERN_FAILED = -1 };

/* The index, or INTERN_FAILED when memory runs out. A new key is copied. */
int64_t intern_add(struct intern *t, const void *key, size_t bytes);
/* The index of a key that is there, or INTERN_FAILED. */
int64_t intern_find(const struct intern *t, const void *key, size_t bytes);
/* The one copy of a string; NULL when memory runs out. */
const char *intern_string(struct intern *t, const char *text);
/* Frees the table, not the keys. */
void intern_done(struct intern *t);
