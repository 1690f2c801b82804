/* Lines and inlined calls of a module, by address in the file. Reads DWARF lazily: units' ranges at the first question,
 * a unit's functions and lines when an address falls into it. Strings belong to libdw until dwarf_frames_free(), or are
 * literals. Hosted programs; one thread at a time. */
#pragma once
#include <libelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dwarf_frames;

enum { DWARF_MAX_INLINE = 64 };

struct dwarf_frame {
	const char *name; /* linkage name, else source name; NULL if unknown */
	bool inlined;     /* its code stands inside the next frame */
	const char *file; /* NULL if unknown */
	uint32_t line;
};

/* NULL if `elf` has no DWARF, or memory runs out. `alt`: what .gnu_debugaltlink names, or NULL. Both must outlive it. */
struct dwarf_frames *dwarf_frames_new(Elf *elf, Elf *alt);
void dwarf_frames_free(struct dwarf_frames *d);
/* Frames at `address`, innermost first, the last of them the physical function. Their number; 0 if nothing is known. */
size_t dwarf_frames_find(struct dwarf_frames *d, uint64_t address, struct dwarf_frame ret_frames[DWARF_MAX_INLINE]);
/* Does any unit say that its content stands in another file (.dwo)? */
bool dwarf_frames_is_split(const struct dwarf_frames *d);
