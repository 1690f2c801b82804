/* One module of a snapshot: its files, opened when they are first needed, and the frames at its addresses. What the cache
 * knows is not looked up: then symbols and DWARF are not even read.
 * Ownership  frames and strings belong to the module or to `names`. Hosted programs; one thread at a time. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "arena.h"
#include "compiler.h"
#include "elf_source.h"
#include "elf_starts.h"
#include "elf_symbols.h"
#include "intern.h"
#include "symbol_cache.h"
#include "symbolize.h"

struct dwarf_frames;
struct model_module;

/* What the modules of a symbolizer share. */
struct symbolize_names {
	struct arena *arena;
	struct intern mangled, texts;
	const char **readable; /* by number in mangled */
	size_t readable_cap;
};

struct symbolize_module {
	const struct model_module *about;
	bool opened, loaded;
	bool needs_itself; /* the recorded file is not here */
	struct elf_source source;
	struct elf_symbols symbols;
	struct elf_starts starts;
	struct dwarf_frames *dwarf;
	struct symbols_state state;
	struct symbol_cache *cache; /* NULL: results of this module are not kept */
	struct symbol_key key;
	struct symbol_file cached; /* data NULL: nothing there */
	struct symbol_entry *fresh;
	size_t fresh_count, fresh_cap;
};

/* Opens the module's files if that has not happened. */
void symbolize_module_open(struct symbolize_module *mod, struct symbolize_names *names,
                           const struct symbolize_options *options);
/* Frames at `address` in the file. 0 or -ENOMEM. */
int symbolize_module_frames(struct symbolize_module *mod, struct symbolize_names *names, uint64_t address,
                            const struct symbol_frame **ret_frames, size_t *ret_count) MUST_USE;
/* Keeps what is new, and frees everything. */
void symbolize_module_done(struct symbolize_module *mod);
void symbolize_names_done(struct symbolize_names *names);
