/* Any bytes: the reader either refuses with a sentence, or yields a model that passes every invariant and can be viewed.
 * The input is read as it is, and once more with its index and checksums mended, or no fuzzer would get past them. */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "diff.h"
#include "export_sarif.h"
#include "fold.h"
#include "leaks.h"
#include "model.h"
#include "profile.h"
#include "snapshot_build.h"
#include "snapshot_read.h"
#include "suppressions.h"
#include "symbolize.h"
#include "view_leaks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print_leaks(const struct model *m, const struct leaks *l, const struct suppressions *s)
{
	struct buf out = { 0 };
	const struct view v = { &out, true };
	const struct view_leaks in = {
		.m = m,
		.path = "x",
		.leaks = l,
		.suppressions = s,
		.suppressions_note = "",
		.suspects_note = "none",
	};

	view_leaks_text(&v, &in);
	view_leaks_json(&out, &in);
	export_sarif(&out, &in);
	assert(!out.failed && out.len > 0);
	buf_done(&out);
}

/* Every row is in one leak, told or hidden. */
static void view_leaks_of(const struct model *m, struct symbolizer *symbols)
{
	const char *lines = m->leaks.suppressions;
	struct suppressions s = { 0 };
	struct leaks *l = NULL;
	struct err err = { 0 };
	size_t bad = 0;
	uint64_t bytes = 0;
	int rc;

	assert(suppressions_add(&s, lines, strlen(lines), "the program", &bad, &err) == 0);
	rc = m->leaks.done ? leaks_build(m, symbols, &s, true, &l, &err) : 0;
	assert(rc == 0 || rc == -E2BIG);
	if (l) {
		for (size_t i = 0; i < m->leaks.count; i++)
			bytes += m->leaks.rows[i].bytes;
		for (size_t i = 0; i < l->count; i++)
			bytes -= l->items[i].all.bytes;
		assert(bytes == 0);
		print_leaks(m, l, &s);
	}
	leaks_free(l);
	suppressions_done(&s);
}

static void view_all(struct model *m)
{
	struct symbolizer *symbols = NULL;
	struct err err = { 0 };

	for (size_t i = 0; i < m->module_count; i++)
		m->modules[i].path = "/nowhere"; /* a fuzzer must not open files of its own choice */
	assert(symbolizer_new(m, &symbols, &err) == 0);
	for (unsigned metric = 0; metric < METRIC_COUNT; metric++) {
		struct profile *p = NULL, *folded = NULL;
		struct diff *d = NULL;
		int rc = profile_build(m, symbols, (enum profile_metric)metric, &p, &err);

		assert(rc == 0 || ((rc == -ENODATA || rc == -E2BIG) && err.text[0]));
		if (rc < 0)
			continue;
		assert(fold_names(p, true, &folded, &err) == 0);
		assert(folded->total == p->total);
		assert(diff_build(folded, p, false, &d, &err) == 0);
		assert(d->total_before == d->total_after);
		for (size_t i = 0; i < d->stack_count; i++)
			assert(d->stacks[i].delta == 0);
		diff_free(d);
		profile_free(folded);
		profile_free(p);
	}
	view_leaks_of(m, symbols);
	symbolizer_free(symbols);
}

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
	view_all(m);
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
	h.section_count %= 16; /* the known sections, or fewer */
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
