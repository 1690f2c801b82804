/* Snapshots made in memory, for tests: valid ones from tables, and hostile ones from raw sections.
 * Everything asserts: a test that cannot build its input has failed. Not for products. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "model.h"

struct raw_section {
	uint32_t id, codec; /* enum snap_codec; the bytes below are compressed for SNAP_CODEC_ZSTD */
	const void *bytes;
	size_t count;
	uint64_t claim_raw; /* raw_bytes in the index if not 0 */
};

/* Header, index and sections with right checksums. The caller free()s the result. */
uint8_t *build_frame(const struct raw_section *sections, size_t count, uint16_t major, uint16_t minor,
                     size_t *ret_bytes);
/* Puts the right checksums into a frame that was edited. */
void build_seal(uint8_t *file, size_t bytes);
/* One section's raw bytes from a model. The caller free()s the result. */
uint8_t *build_section(const struct model *m, enum snap_section_id id, size_t *ret_bytes);
/* The whole model as a file: every section (LEAKS if a check was recorded), compressed or not. Counts of the heap are scaled as its mode asks. */
uint8_t *build_snapshot(const struct model *m, bool compressed, size_t *ret_bytes);

/* Field by field, through a second encoding: the same bytes come from the same tables. The first section that differs, or 0. */
unsigned build_differs(const struct model *a, const struct model *b);

/* A small model with something in every table; static, never freed. Addresses are of no real file. */
struct model *build_example(void);
/* The same as a file of an older minor version holds it. */
struct model *build_example_of(uint16_t minor);
/* A model without anything in it but the header fields. */
struct model build_empty(void);
