/* What was found out about addresses, kept from run to run: a directory with one file for each module.
 * Nothing depends on it: where it cannot be read or written, everything is found out again.
 * Hosted programs; one thread at a time in a process, any number of processes in a directory. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "symbol_file.h"

struct symbol_cache;

/* What a module's file belongs to: it is found by `name`, and used only if `identity` is what it was written for. */
struct symbol_key {
	char name[80];
	char *identity;
};

/* The directory that PERFPROBE_SYMBOL_CACHE names; else perfprobe in $XDG_CACHE_HOME, or in .cache in $HOME; made if it is
 * not there. NULL if that says off, if there is none, or if it, or the directory it would be made in, is not ours alone. */
struct symbol_cache *symbol_cache_open(void);
void symbol_cache_close(struct symbol_cache *c);

/* The name of a file for `identity`, which is taken over (malloc()ed; NULL: no memory), of a module with this build-id. */
void symbol_cache_key(struct symbol_key *key, char *identity, const uint8_t *build_id, size_t build_id_bytes);
/* The file of that key. NULL: there is none that can be used. The caller free()s ret_file->data. */
bool symbol_cache_read(struct symbol_cache *c, const struct symbol_key *key, struct symbol_file *ret_file);
/* Adds the entries (sorting them) to the key's file, as it is now. Readers see the old one or the new one. */
void symbol_cache_write(struct symbol_cache *c, const struct symbol_key *key, uint32_t kind,
                        struct symbol_entry *entries, size_t count);
