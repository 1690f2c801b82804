/* Sections of an ELF file by name. Hosted programs; one thread at a time a file. */
#pragma once
#include <libelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_section {
	const uint8_t *data; /* in the file, as it stands there */
	size_t bytes;
	uint64_t address;
};

/* False if there is none of that name with bytes in the file. `elf` may be NULL. */
bool elf_section_find(Elf *elf, const char *name, struct elf_section *ret);
