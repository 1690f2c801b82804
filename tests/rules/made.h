/* A library that does not exist, whose call frame information uses every instruction of DWARF at random: real files use half of
 * them. Tests. */
#pragma once
#include <stdint.h>

/* An ELF file of its headers and tables alone; the same for the same seed. Its descriptor, or -1. */
int made_file(uint64_t seed);
