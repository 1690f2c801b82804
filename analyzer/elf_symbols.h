/* Function symbols of a module, sorted once, found by address in the file. Names point into the ELF files, which must stay
 * open. Hosted programs; one thread at a time. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "arena.h"

struct elf_source;

struct elf_symbol {
	uint64_t start, end; /* file addresses; a symbol without size reaches to the next or to its section's end */
	const char *name;    /* with @VERSION, mangled */
	uint8_t rank;        /* lower is better, among symbols of one address */
	bool sized;
};

struct elf_symbols {
	struct elf_symbol *list; /* sorted by start; one per start */
	size_t count, cap;
	bool has_table; /* .symtab was there, not only .dynsym */
};

/* false when memory runs out. Names of PLT entries ("free@plt") are made in `names`. */
bool elf_symbols_load(struct elf_symbols *t, const struct elf_source *source, struct arena *names);
/* The innermost symbol around `address`, or NULL. */
const struct elf_symbol *elf_symbols_find(const struct elf_symbols *t, uint64_t address);
void elf_symbols_done(struct elf_symbols *t);
