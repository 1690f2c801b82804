/* Addresses to named frames: a side table over a model, which it never edits.
 * A file is used only when its build-id is the recorded one; nothing is downloaded unless the options say so.
 * Ownership  the symbolizer owns every string and frame it returns, until symbolizer_free(). The model must outlive it.
 * Context    hosted programs; one thread at a time. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "err.h"

struct model;
struct symbol_cache;
struct elf_places;
struct symbolizer;

struct symbol_frame {
	const char *function; /* demangled; "libfoo.so+0x1234" where nothing names it; "[truncated]" and the like */
	const char *module;   /* path as recorded; "" for special frames and addresses outside every module */
	const char *file;     /* NULL: unknown */
	uint32_t line;        /* 0: unknown */
	uint64_t offset;      /* address in the module's file */
	bool inlined;
};

enum symbols_kind {
	SYMBOLS_NONE,
	SYMBOLS_DYNAMIC, /* exported names only: the file is stripped */
	SYMBOLS_TABLE,   /* every function's name, no lines */
	SYMBOLS_DEBUG,   /* names, lines, inlined calls */
};

struct symbols_state {
	enum symbols_kind kind;
	char why[600];            /* what is missing, and why; "" if nothing is */
	char file[512];           /* separate debug file in use; "" if none */
	char wanted_package[128]; /* what would bring the rest, as far as that is known: a package of Debian's; */
	char wanted_file[512];    /* a file */
};

/* How names are found. What it points to must outlive the symbolizer. */
struct symbolize_options {
	struct symbol_cache *cache;      /* NULL: nothing is kept */
	const struct elf_places *places; /* NULL: local files in their usual places */
};

/* 0 or -ENOMEM. `options` NULL: as if all were NULL. The caller frees *ret_symbolizer. */
int symbolizer_new(const struct model *model, const struct symbolize_options *options,
                   struct symbolizer **ret_symbolizer, struct err *err) MUST_USE;
/* Also writes what is new to the cache. */
void symbolizer_free(struct symbolizer *s);
/* Frames at `pc`, innermost first; at least one. 0 or -ENOMEM. The same pc costs a lookup once. */
int symbolizer_frames(struct symbolizer *s, uint64_t pc, const struct symbol_frame **ret_frames,
                      size_t *ret_count) MUST_USE;
/* Opens the module's file if that has not happened. `module` is an index into the model's. */
void symbolizer_state(struct symbolizer *s, size_t module, struct symbols_state *ret_state);
/* "debug", "symtab", "dynsym", "none". */
const char *symbols_kind_name(enum symbols_kind kind);
