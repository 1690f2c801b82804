/* A snapshot's bytes on their way into a file: sections of numbers and strings (docs/snapshot-format.md), compressed, checksummed.
 * Context    [helper] or a thread on its way out.
 * Errors     sticky in `rc`: a call after a failure does nothing. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>
#include "durations.h"
#include "snapshot_codec.h"
#include "snapshot_layout.h"

enum { SNAPSHOT_SECTIONS = 19 };

struct snapshot_out {
	int fd, rc;
	uint64_t base;   /* where in the file the snapshot begins */
	uint64_t limit;  /* the most bytes it may have */
	uint64_t offset; /* from the snapshot's begin */
	struct snap_section index[SNAPSHOT_SECTIONS];
	uint32_t sections;
	uint64_t raw_bytes; /* of the section under way */
	uint32_t crc;
	ZSTD_CCtx *zstd; /* NULL: not needed yet */
	uint8_t *state;  /* its memory, and that of the buffers behind it */
	size_t state_bytes;
	uint8_t *raw, *packed;
	struct put put; /* into raw */
};

/* Room for the head and so many sections is left at the front. 0 or -ENOMEM; snapshot_out_done() gives the buffers back. */
int snapshot_out_begin(struct snapshot_out *o, int fd, uint64_t base, uint64_t limit, unsigned sections);
/* Header and index: last. */
void snapshot_out_head(struct snapshot_out *o);
void snapshot_out_done(struct snapshot_out *o);

void snapshot_section(struct snapshot_out *o, enum snap_section_id id);
void snapshot_section_end(struct snapshot_out *o);
/* Room for one item of at most `bytes` in the buffer. */
struct put *snapshot_room(struct snapshot_out *o, size_t bytes);
void snapshot_number(struct snapshot_out *o, uint64_t value);
void snapshot_bytes(struct snapshot_out *o, const void *text, size_t len);
void snapshot_string(struct snapshot_out *o, const char *text);
/* What durations.h counts: DURATION_RANGES of them, those of 0 left out. */
void snapshot_ranges(struct snapshot_out *o, const _Atomic uint32_t *range);
