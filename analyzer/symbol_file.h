/* The bytes of one module's file in the symbol cache: which addresses have been looked up, and what was found there.
 * Reading is for untrusted bytes: what is not whole and exactly as it was written is refused. Hosted programs; any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "compiler.h"
#include "symbolize.h"

enum {
	SYMBOL_FILE_MAX_BYTES = 64 << 20,
	SYMBOL_FILE_MAX_FRAMES = 256, /* of one address */
};

/* What is known of one address. */
struct symbol_entry {
	uint64_t address; /* in the module's file */
	const struct symbol_frame *frames;
	size_t count;
};

/* A file in memory. `data` stays the caller's, and the strings point into it. */
struct symbol_file {
	void *data;
	uint32_t kind; /* enum symbols_kind */
	uint32_t pc_count, frame_count, text_bytes;
	const unsigned char *pcs, *firsts, *frames;
	const char *text;
};

/* False, and *ret untouched, unless data[0..bytes) is a file that was written for `identity` in this format. */
bool symbol_file_parse(struct symbol_file *ret, void *data, size_t bytes, const char *identity);
/* The frames at `address`, innermost first, into `ret_frames` (module and offset are not filled in); 0: it is not there. */
size_t symbol_file_find(const struct symbol_file *f, uint64_t address,
                        struct symbol_frame ret_frames[SYMBOL_FILE_MAX_FRAMES]);
/* Writes a file with the entries, and with those of `before` (may be NULL) that are not among them. Sorts the entries. A
 * result above SYMBOL_FILE_MAX_BYTES leaves out `before`, then is no result: false, as when memory runs out. */
bool symbol_file_write(struct buf *out, const char *identity, uint32_t kind, struct symbol_entry *entries, size_t count,
                       const struct symbol_file *before);
/* Sets the checksum of data[0..bytes), a file but for that. Fewer bytes than a header: nothing. */
void symbol_file_seal(void *data, size_t bytes);
