/* Names of the kernel's functions, for addresses of a snapshot: from the running kernel where it is the recorded one, or
 * from the cache, which saves reading its hundred thousands of names.
 * Ownership  strings live as long as the object. Hosted programs; one thread at a time. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "arena.h"
#include "symbol_cache.h"

struct kernel_symbols;

struct symbolize_kernel {
	const char *boot; /* of the snapshot (random(4), boot_id) */
	struct symbol_cache *cache;
	struct arena *arena;
	bool opened, loaded;
	struct kernel_symbols *symbols;
	struct symbol_key key;
	struct symbol_file cached;
	struct symbol_entry *fresh;
	size_t fresh_count, fresh_cap;
};

/* The function at `pc`, and its module; NULL: not known. */
const char *symbolize_kernel_find(struct symbolize_kernel *k, uint64_t pc, const char **ret_module);
/* Keeps what is new, and frees everything. */
void symbolize_kernel_done(struct symbolize_kernel *k);
