/* The reader: what it reads, what it refuses, and that each refusal is a sentence. */
#include <errno.h>
#include <stdio.h>

#include "snapshot_build.h"
#include "snapshot_read.h"
#include "t.h"

/* The reader's input ends at an unreadable page, so that any read past it is a crash. */
static int read_at_guard(const uint8_t *data, size_t bytes, struct model **ret_model, struct err *err)
{
	struct t_guarded g = t_guarded_new(data, bytes);
	int rc = snapshot_read(g.data, bytes, ret_model, err);

	t_guarded_free(&g);
	return rc;
}

static void refused(const uint8_t *data, size_t bytes, const char *words)
{
	struct model *m = NULL;
	struct err err = { 0 };
	int rc = read_at_guard(data, bytes, &m, &err);

	if (rc != -EPROTO || !strstr(err.text, words))
		fail_msg("rc %d, \"%s\" where \"%s\" is expected", rc, err.text, words);
	assert_null(m);
}

static void same_models(const struct model *a, const struct model *b)
{
	assert_int_equal(build_differs(a, b), 0);
}

static void reads_what_was_written(void **state)
{
	(void)state;
	for (int compressed = 0; compressed < 2; compressed++) {
		struct model *example = build_example(), *m = NULL;
		struct err err = { 0 };
		size_t bytes;
		uint8_t *file = build_snapshot(example, compressed, &bytes);

		assert_int_equal(read_at_guard(file, bytes, &m, &err), 0);
		model_check(m);
		same_models(example, m);
		assert_int_equal(m->heap[2].alloc_bytes, 5000);
		assert_int_equal(m->nodes[3].parent, 3);
		assert_true(m->nodes[5].pc == 0x7f0000001234);
		model_free(m);
		free(file);
	}
}

static void sampled_counts_are_fractions(void **state)
{
	struct model example = *build_example(), *m = NULL;
	static const struct model_heap_detail detail = { 100, 7, { 0, 0.25 } };
	struct model_heap_row rows[1] = { { 2, 1.5, 0.25, 0, 0, 100, 50, 0, &detail } };
	struct model_heap_thread threads[1] = { { 1, 1.5, 1.25, 100, 50 } };
	struct err err = { 0 };
	size_t bytes;
	uint8_t *file;

	(void)state;
	example.heap_mode = SNAP_HEAP_SAMPLED;
	example.heap_interval_bytes = 524288;
	example.heap = rows;
	example.heap_count = 1;
	example.heap_threads = threads;
	example.heap_thread_count = 1;
	file = build_snapshot(&example, true, &bytes);
	assert_int_equal(snapshot_read(file, bytes, &m, &err), 0);
	assert_true(m->heap[0].alloc_count == 1.5 && m->heap[0].free_count == 0.25);
	assert_true(m->heap[0].detail->lifetime[1] == 0.25 && m->heap[0].detail->slop_bytes == 7);
	assert_true(m->heap_threads[0].alloc_count == 1.5 && m->heap_threads[0].live_count == 1.25);
	model_free(m);
	free(file);
}

static void every_prefix_is_refused(void **state)
{
	size_t bytes;
	uint8_t *file = build_snapshot(build_example(), true, &bytes);

	(void)state;
	for (size_t n = 0; n < bytes; n++)
		refused(file, n, n == 0 ? "empty" : "truncated");
	free(file);
}

static void every_changed_byte_is_refused(void **state)
{
	static const uint8_t flips[] = { 0x01, 0x80, 0xff };
	size_t bytes;
	uint8_t *file = build_snapshot(build_example(), true, &bytes);

	(void)state;
	for (size_t i = 0; i < bytes; i++) {
		for (size_t k = 0; k < sizeof(flips); k++) {
			struct model *m = NULL;
			struct err err = { 0 };

			file[i] ^= flips[k];
			if (snapshot_read(file, bytes, &m, &err) != -EPROTO || !err.text[0])
				fail_msg("byte %zu ^ %02x: \"%s\"", i, flips[k], err.text);
			file[i] ^= flips[k];
		}
	}
	free(file);
}

static void an_added_byte_is_refused(void **state)
{
	size_t bytes;
	uint8_t *file = build_snapshot(build_example(), true, &bytes);

	(void)state;
	file[bytes] = 0; /* the builder's buffer is larger */
	refused(file, bytes + 1, "where the header says");
	free(file);
}

/* Each byte changed and the checksums made right again: the sections themselves must not be believed. */
static void sealed_changes_never_crash(void **state)
{
	size_t bytes, read_anyway = 0;
	uint8_t *file = build_snapshot(build_example(), false, &bytes), *copy = malloc(bytes);

	(void)state;
	assert_non_null(copy);
	for (size_t i = sizeof(struct snap_header); i < bytes; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			struct model *m = NULL;
			struct err err = { 0 };
			int rc;

			memcpy(copy, file, bytes);
			copy[i] = (uint8_t)(copy[i] ^ 1u << bit);
			build_seal(copy, bytes);
			rc = read_at_guard(copy, bytes, &m, &err);
			assert_true(rc == 0 || (rc == -EPROTO && err.text[0]));
			if (rc == 0) {
				model_check(m);
				read_anyway++;
			}
			model_free(m);
		}
	}
	assert_true(read_anyway > 0); /* a changed pid is a legal snapshot */
	free(copy);
	free(file);
}

static void versions(void **state)
{
	size_t info_bytes, bytes;
	uint8_t *info = build_section(build_example(), SNAP_INFO, &info_bytes), *file;
	struct raw_section sections[] = {
		{ .id = SNAP_INFO, .bytes = info, .count = info_bytes },
		{ .id = 77, .codec = 9, .bytes = "from the future", .count = 15, .claim_raw = UINT64_MAX },
	};
	struct model *m = NULL;
	struct err err = { 0 };

	(void)state;
	file = build_frame(sections, 2, SNAP_MAJOR + 1, 0, &bytes);
	refused(file, bytes, "format version 2.0 is not one that this program reads (1.x)");
	free(file);
	/* A higher minor with an unknown section: read, skipped. */
	file = build_frame(sections, 2, SNAP_MAJOR, 9, &bytes);
	assert_int_equal(snapshot_read(file, bytes, &m, &err), 0);
	assert_int_equal(m->minor, 9);
	assert_int_equal(m->node_count + m->cpu_count + m->heap_count, 0);
	model_check(m);
	model_free(m);
	/* But its checksum counts. */
	file[bytes - 1] ^= 1;
	refused(file, bytes, "section 77: damaged");
	free(file);
	free(info);
}

static void longer_headers_and_sections_are_read(void **state)
{
	size_t info_bytes, bytes;
	uint8_t *info = build_section(build_example(), SNAP_INFO, &info_bytes), *file;
	struct raw_section section = { .id = SNAP_INFO, .bytes = info, .count = info_bytes + 5 };
	struct model *m = NULL;
	struct err err = { 0 };
	struct snap_header h;

	(void)state;
	memset(info + info_bytes, 0xff, 5); /* fields of a later minor */
	file = build_frame(&section, 1, SNAP_MAJOR, 1, &bytes);
	/* Header and entries longer by 8 bytes each. */
	memmove(file + 64 + 8 + 40 + 8, file + 64 + 40, bytes - 64 - 40);
	memmove(file + 64 + 8, file + 64, 40);
	memcpy(&h, file, sizeof(h));
	h.header_bytes += 8;
	h.entry_bytes += 8;
	h.file_bytes += 16;
	memcpy(file, &h, sizeof(h));
	*(uint64_t *)(void *)(file + 72 + offsetof(struct snap_section, offset)) += 16;
	build_seal(file, bytes + 16);
	assert_int_equal(snapshot_read(file, bytes + 16, &m, &err), 0);
	assert_string_equal(m->comm, "example");
	model_free(m);
	free(file);
	free(info);
}

static void index_must_be_contiguous(void **state)
{
	static const struct {
		size_t field;
		int64_t by;
		const char *words;
	} cases[] = {
		{ offsetof(struct snap_section, offset), 1, "does not follow" },
		{ offsetof(struct snap_section, offset), -1, "does not follow" },
		{ offsetof(struct snap_section, stored_bytes), 1, "does not follow" },
		{ offsetof(struct snap_section, stored_bytes), INT64_MAX, "does not follow" },
	};
	size_t bytes;
	uint8_t *file = build_snapshot(build_example(), true, &bytes), *copy = malloc(bytes);

	(void)state;
	assert_non_null(copy);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t value;

		memcpy(copy, file, bytes);
		memcpy(&value, copy + 64 + 40 + cases[i].field, 8);
		value += (uint64_t)cases[i].by;
		memcpy(copy + 64 + 40 + cases[i].field, &value, 8);
		build_seal(copy, bytes);
		refused(copy, bytes, cases[i].words);
	}
	free(copy);
	free(file);
}

struct hostile {
	const char *name;
	enum snap_section_id id;
	const char *bytes;
	size_t count;
	const char *words;
};
#define BYTES(s) s, sizeof(s) - 1
/* LEAKS behind its state: method, note, mode, checks, eleven numbers, suppressions. A row of one block of 8 bytes. */
#define LEAKS_HEAD                   "\x00\x00\x00\x01\0\0\0\0\0\0\0\0\0\0\0\x00"
#define LEAKS_ROW(stack, kind_owner) stack kind_owner "\x01\x08\x00\x00\x01\x05\x06\x00"
/* Sections that follow an example's INFO, THREADS (2), STACKS (6 nodes) and HEAP (stacks 0, 2 and 4). */
static const struct hostile hostile[] = {
	{ "options without end", SNAP_OPTIONS, BYTES("\x01\x03NAM"), "section options: " },
	{ "option source", SNAP_OPTIONS, BYTES("\x01\x01N\x01V\x03"), "unknown source 3" },
	{ "losses claimed", SNAP_LOSSES, BYTES("\xff\xff\xff\xff\x0f\x01"), "losses claimed in 1 bytes" },
	{ "string too long", SNAP_LOSSES, BYTES("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "out of bounds" },
	{ "varint of 65 bits", SNAP_LOSSES, BYTES("\x01\x01x\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
	  "out of bounds" },
	{ "module backwards", SNAP_MODULES, BYTES("\x01\x05\x04\x00\x00\x00\x00\x00\x00"), "ends before it starts" },
	{ "build-id too long", SNAP_MODULES,
	  BYTES("\x01\x04\x05\x00\x00\x00\x00\x00\x41"
	        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
	  "out of bounds" },
	{ "heap mode", SNAP_HEAP, BYTES("\x03\x00\x01\x00\x00\x00"), "unknown mode 3" },
	{ "heap scale", SNAP_HEAP, BYTES("\x02\x00\x00\x00\x00\x00"), "count scale 0" },
	{ "heap stack", SNAP_HEAP, BYTES("\x02\x00\x01\x00\x00\x01\x07\x01\x01\x00\x00\x00\x00\x00"), "stack 7 of 6" },
	{ "heap stack overflow", SNAP_HEAP,
	  BYTES("\x02\x00\x01\x00\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01\x01\x00\x00\x00\x00\x00"),
	  "of 6" },
	{ "heap row twice", SNAP_HEAP,
	  BYTES("\x02\x00\x01\x00\x00\x02\x02\x01\x01\x00\x00\x00\x00\x00\x00\x01\x01\x00\x00\x00\x00\x00"),
	  "row 2 repeats stack 2" },
	{ "frees exceed", SNAP_HEAP, BYTES("\x02\x00\x01\x00\x00\x01\x02\x01\x01\x02\x00\x00\x00\x00"),
	  "row 1 frees more than it allocated" },
	{ "sums overflow", SNAP_HEAP,
	  BYTES("\x02\x00\x01\x00\x00\x02\x01\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x00\x00\x00\x00\x00"
	        "\x01\x01\x01\x00\x00\x00\x00\x00"),
	  "row 2 makes a sum larger than 63 bits" },
	{ "cpu thread", SNAP_CPU, BYTES("\x01\x01\x02\x01"), "row 1 names thread 2 of 2" },
	{ "cpu stack", SNAP_CPU, BYTES("\x01\x09\x00\x01"), "stack 9 of 6" },
	{ "cpu order", SNAP_CPU, BYTES("\x02\x01\x01\x01\x00\x01\x01"), "row 2 is out of order" },
	{ "sample stack", SNAP_SAMPLES, BYTES("\x01\x01\x00\x07\x01"), "stack 7 of 6" },
	{ "misuse kind", SNAP_MISUSE, BYTES("\x01\x03\x00\x00\x00\x01\x01\x00\x01\x00\x00\x00\x00"), "unknown kind" },
	{ "misuse family", SNAP_MISUSE, BYTES("\x01\x00\x07\x00\x00\x01\x01\x00\x01\x00\x00\x00\x00"), "unknown kind" },
	{ "misuse thread", SNAP_MISUSE, BYTES("\x01\x00\x00\x01\x00\x01\x01\x00\x01\x02\x00\x00\x00"),
	  "thread 2 of 2" },
	{ "misuse stack", SNAP_MISUSE, BYTES("\x01\x00\x00\x01\x00\x01\x01\x00\x01\x00\x00\x00\x07"), "stack 7 of 6" },
	{ "misuse never", SNAP_MISUSE, BYTES("\x01\x00\x00\x01\x00\x00\x01\x00\x01\x00\x00\x00\x00"),
	  "counts nothing" },
	{ "mark thread", SNAP_MARKS, BYTES("\x01\x05\x02\x00"), "thread 2" },
	{ "mark cut", SNAP_MARKS, BYTES("\x01\x05\x01\x04\x61"), "cut short" },
	{ "mark many", SNAP_MARKS, BYTES("\x09\x05\x01\x00"), "claimed in 3 bytes" },
	{ "mmap unsaid", SNAP_MMAP, BYTES("\x02\x00\x00\x00\x00\x00"), "recorded" },
	{ "mmap stack", SNAP_MMAP, BYTES("\x01\x00\x00\x00\x00\x01\x07\x01\x01"), "beyond 6" },
	{ "mmap order", SNAP_MMAP, BYTES("\x01\x00\x00\x00\x00\x02\x01\x01\x01\x00\x01\x01"), "out of order" },
	{ "mmap nothing", SNAP_MMAP, BYTES("\x01\x00\x00\x00\x00\x01\x01\x00\x01"), "counts nothing" },
	{ "requests recorded", SNAP_REQUESTS, BYTES("\x02\0\0\0\0\0\0\0"), "says 2 for" },
	{ "requests unsaid", SNAP_REQUESTS, BYTES("\x00\0\0\0\0\x01\0\0\0\0\0\0\0\0"), "says 0 for" },
	{ "requests cut", SNAP_REQUESTS, BYTES("\x01\0\0\0\0\0\0"), "cut short" },
	{ "requests routes", SNAP_REQUESTS, BYTES("\x01\0\0\0\0\x09\0"), "9 routes claimed" },
	{ "requests ranges", SNAP_REQUESTS, BYTES("\x01\0\0\0\0\x01\0\0\0\0\0\x02\x01\x01\x00\x01\0\0"),
	  "out of order or bounds" },
	{ "requests range", SNAP_REQUESTS, BYTES("\x01\0\0\0\0\x01\0\0\0\0\0\x01\x80\x0a\x01\0\0"),
	  "out of order or bounds" },
	{ "requests thread", SNAP_REQUESTS, BYTES("\x01\0\0\0\0\0\x01\x01\0\0\0\x02\0\0\0\0\0\0\0"), "thread 2 of 2" },
	{ "requests order", SNAP_REQUESTS, BYTES("\x01\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0"), "out of order" },
	{ "requests times", SNAP_REQUESTS,
	  BYTES("\x01\0\0\0\0\0\x01\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x05\0\0\0\0\0\0\0\0\0"),
	  "out of bounds" },
	{ "requests span", SNAP_REQUESTS, BYTES("\x01\0\0\0\0\0\0\x01\0\0\x02\0\0"), "thread 2 of 2" },
	{ "database recorded", SNAP_DATABASE, BYTES("\x02\0\0"), "says 2 for" },
	{ "database unsaid", SNAP_DATABASE, BYTES("\x00\x01\0\0\0\0\0\0\0\0"), "says 0 for" },
	{ "database cut", SNAP_DATABASE, BYTES("\x01\0"), "cut short" },
	{ "database rows", SNAP_DATABASE, BYTES("\x01\x09\0"), "9 rows claimed" },
	{ "database ranges", SNAP_DATABASE, BYTES("\x01\x01\0\0\0\0\0\0\x02\x01\x01\x00\x01\0"),
	  "out of order or bounds" },
	{ "database range", SNAP_DATABASE, BYTES("\x01\x01\0\0\0\0\0\0\x01\x80\x0a\x01\0"), "out of order or bounds" },
	{ "database thread", SNAP_DATABASE, BYTES("\x01\x01\0\0\0\0\0\0\0\x01\0\0\x02\0\x01\0"), "thread 2 of 2" },
	{ "database row", SNAP_DATABASE, BYTES("\x01\x01\0\0\0\0\0\0\0\x01\0\0\0\0\x02\0"), "row 2 of 1" },
	{ "database no row", SNAP_DATABASE, BYTES("\x01\x01\0\0\0\0\0\0\0\x01\0\0\0\0\x00\0"), "row 0 of 1" },
	{ "database times", SNAP_DATABASE,
	  BYTES("\x01\x01\0\0\0\0\0\0\0\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02\0\0\x01\0"), "cut short" },
	{ "leaks state", SNAP_LEAKS, BYTES("\x02" LEAKS_HEAD "\x00"), "unknown state 2" },
	{ "leaks checks", SNAP_LEAKS, BYTES("\x00\x00\x00\x00\x03\0\0\0\0\0\0\0\0\0\0\0\x00\x00"), "3 checks" },
	{ "leaks cut", SNAP_LEAKS, BYTES("\x00\x00\x00\x00\x01\0\0\0"), "cut short" },
	{ "leaks many", SNAP_LEAKS, BYTES("\x00" LEAKS_HEAD "\x09\x01"), "9 rows claimed in 1 bytes" },
	{ "leaks not done", SNAP_LEAKS, BYTES("\x01" LEAKS_HEAD "\x01" LEAKS_ROW("\x01", "\x00\x00")), "not done" },
	{ "leaks stack", SNAP_LEAKS, BYTES("\x00" LEAKS_HEAD "\x01" LEAKS_ROW("\x07", "\x00\x00")), "stack 7 of 6" },
	{ "leaks kind", SNAP_LEAKS, BYTES("\x00" LEAKS_HEAD "\x01" LEAKS_ROW("\x01", "\x02\x00")), "of kind 2" },
	{ "leaks owner", SNAP_LEAKS, BYTES("\x00" LEAKS_HEAD "\x01" LEAKS_ROW("\x01", "\x01\x07")),
	  "owned by stack 7" },
	{ "leaks owned", SNAP_LEAKS, BYTES("\x00" LEAKS_HEAD "\x01" LEAKS_ROW("\x01", "\x00\x01")),
	  "of kind 0 and owned by stack 1" },
	{ "leaks order", SNAP_LEAKS,
	  BYTES("\x00" LEAKS_HEAD "\x02" LEAKS_ROW("\x01", "\x01\x02") LEAKS_ROW("\x00", "\x01\x02")),
	  "row 2 is out of order" },
	{ "leaks order of kinds", SNAP_LEAKS,
	  BYTES("\x00" LEAKS_HEAD "\x02" LEAKS_ROW("\x01", "\x01\x02") LEAKS_ROW("\x00", "\x00\x00")),
	  "row 2 is out of order" },
	{ "leaks nothing", SNAP_LEAKS, BYTES("\x00" LEAKS_HEAD "\x01\x01\x00\x00\x00\x08\x00\x00\x01\x05\x06\x00"),
	  "counts nothing" },
	{ "leaks unseen", SNAP_LEAKS, BYTES("\x00" LEAKS_HEAD "\x01\x01\x00\x00\x01\x08\x00\x00\x00\x05\x06\x00"),
	  "counts nothing" },
	{ "leaks confirmed", SNAP_LEAKS, BYTES("\x00" LEAKS_HEAD "\x01\x01\x00\x00\x01\x08\x01\x09\x01\x05\x06\x00"),
	  "confirms more" },
	{ "leaks times", SNAP_LEAKS, BYTES("\x00" LEAKS_HEAD "\x01\x01\x00\x00\x01\x08\x01\x08\x01\x06\x05\x00"),
	  "cannot be" },
	{ "leaks error", SNAP_LEAKS, BYTES("\x00" LEAKS_HEAD "\x01\x01\x00\x00\x01\x08\x01\x08\x01\x05\x06\x01"),
	  "cannot be" },
	{ "leaks sums", SNAP_LEAKS,
	  BYTES("\x00" LEAKS_HEAD
	        "\x02\x01\x00\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x00\x00\x01\x05\x06\x00" LEAKS_ROW(
	                "\x01", "\x00\x00")),
	  "larger than 63 bits" },
	{ "misuse cut", SNAP_MISUSE, BYTES("\x01\x00\x00\x01\x00\x01\x01\x00\x01\x00\x00\x00"), "claimed in 11 bytes" },
	{ "detail stack", SNAP_HEAP_DETAIL, BYTES("\x01\x01\x07\x00\x00\x00"), "stack 7 of 6" },
	{ "detail of nothing", SNAP_HEAP_DETAIL, BYTES("\x01\x01\x01\x00\x00\x00"), "stack that allocated nothing" },
	{ "detail twice", SNAP_HEAP_DETAIL, BYTES("\x01\x02\x02\x00\x00\x00\x00\x00\x00\x00"),
	  "row 2 is of a stack that allocated nothing" },
	{ "detail ranges", SNAP_HEAP_DETAIL, BYTES("\x01\x01\x02\x00\x00\x15"), "21 ranges" },
	{ "detail cut", SNAP_HEAP_DETAIL, BYTES("\x01\x01\x02\x00\x00\x02\x01"), "out of bounds" },
	{ "detail sums", SNAP_HEAP_DETAIL, BYTES("\x01\x01\x02\x00\x00\x02\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
	  "larger than 63 bits" },
	{ "heap thread", SNAP_HEAP_THREADS, BYTES("\x01\x02\x01\x01\x00\x00"), "thread 2 of 2" },
	{ "heap thread order", SNAP_HEAP_THREADS, BYTES("\x02\x01\x01\x01\x00\x00\x00\x01\x01\x00\x00"),
	  "row 2 is out of order" },
	{ "heap thread overflow", SNAP_HEAP_THREADS,
	  BYTES("\x02\x00\x01\x01\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01\x01\x00\x00"), "of 2" },
	{ "heap thread sums", SNAP_HEAP_THREADS,
	  BYTES("\x02\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x00\x00\x01\x01\x01\x00\x00"),
	  "larger than 63 bits" },
	{ "sample thread", SNAP_SAMPLES, BYTES("\x01\x01\x05\x01\x01"), "thread 5 of 2" },
	{ "sample time", SNAP_SAMPLES,
	  BYTES("\x02\x01\x00\x01\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x01\x01"), "out of bounds" },
};
static const struct hostile hostile_stacks[] = {
	{ "parent is itself", SNAP_STACKS, BYTES("\x02\x01\x02\x00\x02"), "node 2 names a parent 0 before it" },
	{ "parent before all", SNAP_STACKS, BYTES("\x01\x02\x02"), "node 1 names a parent 2 before it" },
	{ "no address", SNAP_STACKS, BYTES("\x02\x01\x02\x01\x01"), "node 2 has no address" },
	{ "too many", SNAP_STACKS, BYTES("\x7f\x01\x02"), "127 nodes claimed in 2 bytes" },
	{ "empty section", SNAP_STACKS, BYTES(""), "cut short" },
};

static void check_hostile(const struct hostile *h, bool with_tables)
{
	size_t info_bytes, threads_bytes, stacks_bytes, heap_bytes, bytes;
	uint8_t *info = build_section(build_example(), SNAP_INFO, &info_bytes);
	uint8_t *threads = build_section(build_example(), SNAP_THREADS, &threads_bytes);
	uint8_t *stacks = build_section(build_example(), SNAP_STACKS, &stacks_bytes);
	uint8_t *heap = build_section(build_example(), SNAP_HEAP, &heap_bytes);
	struct raw_section sections[] = {
		{ .id = h->id, .bytes = h->bytes, .count = h->count }, /* before what it needs: order is free */
		{ .id = SNAP_INFO, .bytes = info, .count = info_bytes },
		{ .id = SNAP_THREADS, .bytes = threads, .count = threads_bytes },
		{ .id = SNAP_STACKS, .bytes = stacks, .count = stacks_bytes },
		{ .id = SNAP_HEAP, .bytes = heap, .count = heap_bytes },
	};
	uint8_t *file = build_frame(sections,
	                            !with_tables         ? 2
	                            : h->id == SNAP_HEAP ? 4
	                                                 : 5,
	                            SNAP_MAJOR, SNAP_MINOR, &bytes);

	print_message("case: %s\n", h->name);
	refused(file, bytes, h->words);
	free(file);
	free(info);
	free(threads);
	free(stacks);
	free(heap);
}

static void hostile_sections_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hostile); i++)
		check_hostile(&hostile[i], true);
	for (size_t i = 0; i < ARRAY_LEN(hostile_stacks); i++)
		check_hostile(&hostile_stacks[i], false);
}

static void sections_once_and_info_always(void **state)
{
	size_t info_bytes, bytes;
	uint8_t *info = build_section(build_example(), SNAP_INFO, &info_bytes), *file;
	struct raw_section twice[] = {
		{ .id = SNAP_INFO, .bytes = info, .count = info_bytes },
		{ .id = SNAP_INFO, .bytes = info, .count = info_bytes },
	};
	struct raw_section many[SNAP_MAX_SECTIONS + 1];

	(void)state;
	file = build_frame(twice, 2, SNAP_MAJOR, SNAP_MINOR, &bytes);
	refused(file, bytes, "section info appears twice");
	free(file);
	file = build_frame(twice, 0, SNAP_MAJOR, SNAP_MINOR, &bytes);
	refused(file, bytes, "section info is missing");
	free(file);
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = (struct raw_section){ .id = 100 + (uint32_t)i, .bytes = "", .count = 0 };
	file = build_frame(many, ARRAY_LEN(many), SNAP_MAJOR, SNAP_MINOR, &bytes);
	refused(file, bytes, "65 sections, more than 64");
	free(file);
	free(info);
}

static void decompression_is_bounded(void **state)
{
	size_t info_bytes, bytes, n = 3 << 20;
	uint8_t *info = build_section(build_example(), SNAP_INFO, &info_bytes), *file, *zeros = calloc(1, n);
	struct {
		uint64_t claim;
		const char *words;
	} cases[] = {
		{ n - 1, "section options: cannot be decompressed" },
		{ n + 1, "section options: 3145728 bytes where 3145729 are claimed" },
		{ SNAP_MAX_RAW_BYTES, "bytes claimed from" },
		{ SNAP_MAX_RAW_BYTES + 1, "are more than a section may have" },
		{ UINT64_MAX, "are more than a section may have" },
	};

	(void)state;
	assert_non_null(zeros);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct raw_section sections[] = {
			{ .id = SNAP_INFO, .bytes = info, .count = info_bytes },
			{ .id = SNAP_OPTIONS,
			  .codec = SNAP_CODEC_ZSTD,
			  .bytes = zeros,
			  .count = n,
			  .claim_raw = cases[i].claim },
		};

		file = build_frame(sections, 2, SNAP_MAJOR, SNAP_MINOR, &bytes);
		refused(file, bytes, cases[i].words);
		free(file);
	}
	free(zeros);
	free(info);
}

static void cannot_open(const char *path, int code, const char *words)
{
	struct model *m = NULL;
	struct err err = { 0 };

	assert_int_equal(snapshot_open(path, &m, &err), code);
	assert_non_null(strstr(err.text, path));
	if (!strstr(err.text, words))
		fail_msg("\"%s\" where \"%s\" is expected", err.text, words);
	assert_null(m);
}

static void other_files_are_named(void **state)
{
	static const struct {
		const char *bytes;
		size_t count;
		const char *words;
	} cases[] = {
		{ "w", 1, "not a perfprobe snapshot" },
		{ "wPPSN", 5, "not a perfprobe snapshot" },
		{ "\x09PPSNP\n", 7, "damaged by a text-mode transfer" },
		{ "\x89PPSNP\n\n", 8, "damaged by a text-mode transfer" },
		{ "\x7f"
		  "ELF\2\1\1",
		  8, "not a perfprobe snapshot" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		refused((const uint8_t *)cases[i].bytes, cases[i].count, cases[i].words);
}

static void files(void **state)
{
	char path[] = "/tmp/perfprobe-test-XXXXXX";
	int fd = mkstemp(path), ends[2];
	struct model *m = NULL;
	struct err err = { 0 };
	size_t bytes;
	uint8_t *file = build_snapshot(build_example(), true, &bytes);

	(void)state;
	assert_true(fd >= 0);
	cannot_open(path, -EPROTO, "the file is empty");
	assert_int_equal(write(fd, "#!/bin/sh\n", 10), 10);
	cannot_open(path, -EPROTO, "not a perfprobe snapshot");
	assert_int_equal(pwrite(fd, file, bytes, 0), (ssize_t)bytes);
	assert_int_equal(snapshot_open(path, &m, &err), 0);
	model_free(m);
	assert_int_equal(ftruncate(fd, (off_t)bytes / 2), 0);
	cannot_open(path, -EPROTO, "truncated");
	assert_int_equal(unlink(path), 0);
	cannot_open(path, -ENOENT, "cannot open");
	cannot_open("/tmp", -EISDIR, "is a directory");
	cannot_open("/dev/null", -EPROTO, "the file is empty");
	close(fd);
	/* A pipe. */
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], file, bytes), (ssize_t)bytes);
	close(ends[1]);
	(void)snprintf(path, sizeof(path), "/dev/fd/%d", ends[0]);
	assert_int_equal(snapshot_open(path, &m, &err), 0);
	same_models(build_example(), m);
	model_free(m);
	close(ends[0]);
	free(file);
}

/* One a minor version: what it did not have yet is empty. */
static void golden_files_are_read(void **state)
{
	static const char *const files[] = { "/v1/example.snap",     "/v1/example-1.1.snap", "/v1/example-1.2.snap",
		                             "/v1/example-1.3.snap", "/v1/example-1.4.snap", "/v1/example-1.5.snap",
		                             "/v1/example-1.6.snap" };

	(void)state;
	for (uint16_t minor = 0; minor < ARRAY_LEN(files); minor++) {
		char path[256];
		struct model *m = NULL;
		struct err err = { 0 };

		(void)snprintf(path, sizeof(path), "%s%s", GOLDEN_DIR, files[minor]);
		if (snapshot_open(path, &m, &err) != 0)
			fail_msg("%s", err.text);
		model_check(m);
		assert_int_equal(m->minor, minor);
		same_models(build_example_of(minor), m);
		model_free(m);
	}
	assert_int_equal(ARRAY_LEN(files) - 1, SNAP_MINOR); /* a change of bytes comes with its golden file */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_was_written),
		cmocka_unit_test(sampled_counts_are_fractions),
		cmocka_unit_test(every_prefix_is_refused),
		cmocka_unit_test(every_changed_byte_is_refused),
		cmocka_unit_test(an_added_byte_is_refused),
		cmocka_unit_test(sealed_changes_never_crash),
		cmocka_unit_test(versions),
		cmocka_unit_test(longer_headers_and_sections_are_read),
		cmocka_unit_test(index_must_be_contiguous),
		cmocka_unit_test(hostile_sections_are_refused),
		cmocka_unit_test(sections_once_and_info_always),
		cmocka_unit_test(decompression_is_bounded),
		cmocka_unit_test(other_files_are_named),
		cmocka_unit_test(files),
		cmocka_unit_test(golden_files_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
