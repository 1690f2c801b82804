/* Any bytes: the reader either refuses with a sentence, or yields a model that passes every invariant and can be viewed.
 * The input is read as it is, and once more with its index and checksums mended, or no fuzzer would get past them. */
#undef NDEBUG
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "merge_check.h"
#include "model.h"
#include "snapshot_build.h"
#include "snapshot_read.h"
#include "views_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_one(const uint8_t *data, size_t size)
{
	struct model *m = NULL;
	struct err err = { 0 };
	int rc = snapshot_read(data, size, &m, &err);

	if (rc < 0) {
		assert(err.text[0] && !m); /* a refusal without a reason is a bug */
		return;
	}
	model_check(m);
	views_check(m);
	merge_check(m);
	model_free(m);
}

/* The index is rebuilt around what is there: sizes and offsets that fit, checksums that match. */
static void mend(uint8_t *file, size_t size)
{
	struct snap_header h;
	uint64_t at;

	memcpy(&h, file, sizeof(h));
	memcpy(h.magic, SNAP_MAGIC, SNAP_MAGIC_BYTES);
	h.major = SNAP_MAJOR;
	h.file_bytes = size;
	h.header_bytes = sizeof(h);
	h.entry_bytes = sizeof(struct snap_section);
	h.section_count %= 20; /* the known sections, or fewer */
	at = sizeof(h) + h.section_count * sizeof(struct snap_section);
	if (at > size)
		return;
	memcpy(file, &h, sizeof(h));
	for (uint32_t i = 0; i < h.section_count; i++) {
		uint8_t *entry = file + sizeof(h) + i * sizeof(struct snap_section);
		struct snap_section s;

		memcpy(&s, entry, sizeof(s));
		s.offset = at;
		if (i + 1 == h.section_count || s.stored_bytes > size - at)
			s.stored_bytes = size - at;
		if (s.codec == SNAP_CODEC_RAW)
			s.raw_bytes = s.stored_bytes;
		at += s.stored_bytes;
		memcpy(entry, &s, sizeof(s));
	}
	build_seal(file, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	read_one(data, size);
	if (size < sizeof(struct snap_header) || size > 1 << 20)
		return 0;
	copy = malloc(size);
	assert(copy);
	memcpy(copy, data, size);
	mend(copy, size);
	read_one(copy, size);
	free(copy);
	return 0;
}
