/* The reader of live files: what it reads of a whole one, and what of one that is torn, damaged or made to mislead. Whatever the
 * bytes, it refuses with a sentence or yields a model that passes every invariant. */
#include <errno.h>
#include <stdio.h>

#include "live_build.h"
#include "live_read.h"
#include "snapshot_read.h"
#include "t.h"

enum { HEADER_BYTES = sizeof(struct live_header) };

/* The input ends at an unreadable page, so that any read past it is a crash; so it may stand at any alignment. */
static int read_prefix(const struct live_build *b, size_t bytes, struct model **ret_model, struct err *err)
{
	struct t_guarded g = t_guarded_new(b->file, bytes);
	int rc = live_read(g.data, bytes, ret_model, err);

	t_guarded_free(&g);
	return rc;
}

/* The model; fails where it is refused. */
static struct model *read_whole(const struct live_build *b)
{
	struct model *m = NULL;
	struct err err = { 0 };

	if (read_prefix(b, b->bytes, &m, &err) != 0)
		fail_msg("%s", err.text);
	model_check(m);
	return m;
}

static void refused(const struct live_build *b, size_t bytes, const char *words)
{
	struct model *m = NULL;
	struct err err = { 0 };
	int rc = read_prefix(b, bytes, &m, &err);

	if (rc != -EPROTO || !strstr(err.text, words))
		fail_msg("rc %d, \"%s\" where \"%s\" is expected", rc, err.text, words);
	assert_null(m);
}

/* Refused with a sentence (false), or read and sound (true). */
static bool bytes_are_read(const uint8_t *data, size_t bytes)
{
	struct model *m = NULL;
	struct err err = { 0 };
	int rc = live_read(data, bytes, &m, &err);

	if (rc != 0 && (rc != -EPROTO || !err.text[0] || m))
		fail_msg("rc %d, \"%s\"", rc, err.text);
	if (rc == 0)
		model_check(m);
	model_free(m);
	return rc == 0;
}

static bool is_read(const struct live_build *b, size_t bytes)
{
	struct t_guarded g = t_guarded_new(b->file, bytes);
	bool read = bytes_are_read(g.data, bytes);

	t_guarded_free(&g);
	return read;
}

static void reads_what_was_recorded(void **state)
{
	struct live_build b = live_build_example();
	struct model *m = read_whole(&b);

	(void)state;
	assert_true(live_is(b.file, b.bytes));
	assert_int_equal(build_differs(live_build_expected(), m), 0);
	model_free(m);
	free(b.file);
}

static void is_told_by_its_first_bytes(void **state)
{
	struct live_build b = live_build_new();

	(void)state;
	for (size_t n = 0; n <= LIVE_MAGIC_BYTES; n++)
		assert_int_equal(live_is(b.file, n), n == LIVE_MAGIC_BYTES);
	b.file[LIVE_MAGIC_BYTES - 1] ^= 1;
	assert_false(live_is(b.file, b.bytes));
	free(b.file);
}

/* Stays readable for ever: written by the first reader's tests, never edited. */
static void the_golden_files_are_read(void **state)
{
	struct model *m = NULL;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(LIVE_MINOR, 2); /* a change of bytes comes with its golden file */
	for (uint32_t minor = 1; minor <= LIVE_MINOR; minor++) {
		char path[256];

		snprintf(path, sizeof(path), "%s/v1/example-live-1.%u.live", GOLDEN_DIR, minor);
		if (snapshot_open(path, &m, &err) != 0)
			fail_msg("%s", err.text);
		model_check(m);
		assert_int_equal(build_differs(live_build_expected_of(minor), m), 0);
		model_free(m);
	}
}

static void other_versions_are_named(void **state)
{
	struct live_build b = live_build_example();

	(void)state;
	live_build_header(&b)->version = LIVE_VERSION + 1;
	refused(&b, b.bytes, "live format version 2 is not the one that this program reads (1)");
	live_build_header(&b)->version = 0;
	refused(&b, b.bytes, "live format version 0");
	live_build_header(&b)->version = LIVE_VERSION;
	live_build_header(&b)->minor = 99;
	model_free(read_whole(&b));
	free(b.file);
}

/* ---- torn --------------------------------------------------------------------------------------------------------- */

/* A file that ends anywhere: without its header or description there is nothing to tell, else what is there is told. */
static void every_truncation(void **state)
{
	struct live_build b = live_build_example();
	const struct live_chunk frame = live_build_header(&b)->chunk[LIVE_EXAMPLE_FRAME];
	size_t step = LIVE_BUILD_PAGE, few = live_build_header(&b)->chunk[LIVE_EXAMPLE_REQUESTS].offset;

	(void)state;
	for (size_t n = 0; n < b.bytes; n += step) {
		if (n < HEADER_BYTES)
			refused(&b, n, "truncated");
		else if (n < frame.offset + frame.bytes)
			refused(&b, n, "before it had described itself");
		else
			assert_true(is_read(&b, n));
		if (n + LIVE_BUILD_PAGE > HEADER_BYTES)
			step = n < few ? 40 : 520; /* in the content no two of a kind */
	}
	refused(&b, HEADER_BYTES - 1, "truncated");
	refused(&b, HEADER_BYTES, "before it had described itself");
	free(b.file);
}

/* Chunks outside the file are left out, the others are told. */
static void a_torn_tail_costs_its_tables_only(void **state)
{
	struct live_build b = live_build_example();
	size_t end = live_build_header(&b)->chunk[LIVE_EXAMPLE_MISUSE].offset;
	struct model *m = NULL, *whole = live_build_expected();
	struct err err = { 0 };

	(void)state;
	assert_int_equal(read_prefix(&b, end, &m, &err), 0);
	assert_int_equal(m->misuse_count, 0);
	assert_true(m->node_count == whole->node_count && m->heap_count == whole->heap_count);
	assert_true(m->cpu_count == whole->cpu_count && m->sample_count == whole->sample_count);
	assert_true(m->heap_threads[0].live_bytes == 0); /* it stood in the last table */
	model_free(m);
	free(b.file);
}

static void the_first_unwritten_node_ends_the_tree(void **state)
{
	struct live_build b = live_build_example();
	struct live_node *second = live_build_content(&b, LIVE_EXAMPLE_NODES_1);
	struct model *m;

	(void)state;
	second[1].pc = SNAP_PC_NONE; /* 5; 6 is complete */
	m = read_whole(&b);
	assert_int_equal(m->node_count, 4);
	assert_true(m->cpu_count == 3 && m->cpu[2].stack == 4); /* 6's is left out */
	model_free(m);
	second[1].pc = 1;
	second[1].parent = 5; /* itself */
	m = read_whole(&b);
	assert_int_equal(m->node_count, 4);
	model_free(m);
	live_build_header(&b)->chunk[LIVE_EXAMPLE_NODES_0].active = 0;
	m = read_whole(&b);
	assert_int_equal(m->node_count, 0);
	assert_true(m->heap_count == 1 && m->heap[0].stack == 0); /* of no stack */
	assert_true(m->misuse[0].allocated == 0 && m->misuse[0].freed == 0);
	model_free(m);
	free(b.file);
}

/* A table that grows exists twice: the newer one counts once it is complete, and never both. */
static void a_growing_table_counts_once(void **state)
{
	struct live_build b = live_build_example();
	const struct live_chunk old = live_build_header(&b)->chunk[LIVE_EXAMPLE_COUNTERS_1];
	uint8_t copy[LIVE_BUILD_PAGE];
	struct live_counter *slot;
	struct model *m;
	uint32_t grown;

	(void)state;
	memcpy(copy, live_build_content(&b, LIVE_EXAMPLE_COUNTERS_1), old.bytes);
	grown = live_build_add(&b, LIVE_COUNTERS, old.owner, copy, old.bytes);
	slot = (struct live_counter *)(void *)((char *)live_build_content(&b, grown) + sizeof(struct live_counters));
	slot->alloc_bytes = 6000;
	live_build_header(&b)->chunk[grown].active = 0;
	m = read_whole(&b);
	assert_int_equal(m->heap[2].alloc_bytes, 5000);
	model_free(m);
	live_build_header(&b)->chunk[grown].active = 1;
	m = read_whole(&b);
	assert_int_equal(m->heap[2].alloc_bytes, 6000);
	model_free(m);
	live_build_header(&b)->chunk[grown].kind = LIVE_FREE; /* given back first of all */
	m = read_whole(&b);
	assert_int_equal(m->heap[2].alloc_bytes, 5000);
	model_free(m);
	free(b.file);
}

/* Key first, all else still 0; a row of misuse whose count is not there yet. */
static void rows_that_were_being_written(void **state)
{
	struct live_build b = live_build_example();
	struct live_counters *table = live_build_content(&b, LIVE_EXAMPLE_COUNTERS_1);
	struct live_counter *slot = (struct live_counter *)(void *)(table + 1);
	struct live_misuse *misuse = live_build_content(&b, LIVE_EXAMPLE_MISUSE);
	struct live_sample *ring = live_build_content(&b, LIVE_EXAMPLE_RING_1);
	struct model *m;

	(void)state;
	slot[0] = (struct live_counter){ .key = slot[0].key };
	misuse[1].count = 0;
	ring[7].weight = 0;
	m = read_whole(&b);
	assert_int_equal(m->heap_count, 2);
	assert_int_equal(m->misuse_count, 1);
	assert_int_equal(m->sample_count, 2);
	model_free(m);
	free(b.file);
}

/* ---- damaged ------------------------------------------------------------------------------------------------------ */

static void header_fields_out_of_range(void **state)
{
	static const struct {
		const char *name;
		size_t field;
		uint32_t value;
		const char *words; /* NULL: read */
	} cases[] = {
#define FIELD(name) #name, offsetof(struct live_header, name)
		{ FIELD(chunk_bytes), 39, "impossible sizes" },
		{ FIELD(chunk_bytes), 48, "impossible sizes" },
		{ FIELD(node_bytes), 15, "impossible sizes" },
		{ FIELD(node_bytes), 4097, "impossible sizes" },
		{ FIELD(node_bytes), 0, "impossible sizes" },
		{ FIELD(node_bytes), 4096, NULL },
		{ FIELD(counter_bytes), 79, "impossible sizes" },
		{ FIELD(counter_bytes), 80, NULL },
		{ FIELD(counter_bytes), 4097, "impossible sizes" },
		{ FIELD(counter_bytes), 4096, NULL },
		{ FIELD(sample_bytes), 15, "impossible sizes" },
		{ FIELD(sample_bytes), 17, NULL },
		{ FIELD(sample_bytes), 4097, "impossible sizes" },
		{ FIELD(segment_nodes), 0, "no sense" },
		{ FIELD(segment_nodes), 1, NULL },
		{ FIELD(segment_nodes), (1 << 24) + 1, "no sense" },
		{ FIELD(segment_nodes), 1 << 24, NULL },
		{ FIELD(heap_mode), SNAP_HEAP_FULL + 1, "no sense" },
		{ FIELD(heap_mode), UINT32_MAX, "no sense" },
		{ FIELD(count_scale), 0, "no sense" },
		{ FIELD(count_scale), UINT32_MAX, NULL },
		{ FIELD(detail_bytes), 167, "impossible sizes" },
		{ FIELD(detail_bytes), 4097, "impossible sizes" },
		{ FIELD(detail_bytes), 0, NULL },
		{ FIELD(misuse_bytes), 63, NULL },
		{ FIELD(misuse_bytes), 4097, NULL },
		{ FIELD(misuse_bytes), 0, NULL },
		{ FIELD(epoch), UINT32_MAX, NULL },
		{ FIELD(heap_detail), UINT32_MAX, NULL },
#undef FIELD
	};
	struct live_build b = live_build_example();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint32_t was;

		print_message("case: %s = %u\n", cases[i].name, cases[i].value);
		memcpy(&was, b.file + cases[i].field, sizeof(was));
		memcpy(b.file + cases[i].field, &cases[i].value, sizeof(was));
		if (cases[i].words)
			refused(&b, b.bytes, cases[i].words);
		else
			model_free(read_whole(&b));
		memcpy(b.file + cases[i].field, &was, sizeof(was));
	}
	free(b.file);
}

#ifdef __SANITIZE_THREAD__ /* which takes ten times as long, and has nothing to find: there is one thread */
static const uint64_t odd_values[] = { UINT64_MAX };
#else
static const uint64_t odd_values[] = {
	0, 1, 7, 8192, UINT32_MAX, UINT64_C(1) << 32, INT64_MAX, (uint64_t)INT64_MIN, UINT64_MAX - 7, UINT64_MAX,
};
#endif

/* Every word of what is believed, set to what it should never be. How many were read all the same. */
static size_t spoil(const struct live_build *b, size_t from, size_t bytes)
{
	struct t_guarded g = t_guarded_new(b->file, b->bytes);
	size_t read = 0;

	for (size_t at = from; at + 4 <= from + bytes; at += 4) {
		for (size_t i = 0; i < ARRAY_LEN(odd_values); i++) {
			uint8_t was[8];
			size_t n = at % 8 == 0 ? 8 : 4;

			memcpy(was, g.data + at, n);
			memcpy(g.data + at, &odd_values[i], n);
			read += bytes_are_read(g.data, b->bytes);
			memcpy(g.data + at, was, n);
		}
	}
	t_guarded_free(&g);
	return read;
}

static void every_field_out_of_range(void **state)
{
	struct live_build b = live_build_example();
	const struct live_header *h = live_build_header(&b);

	(void)state;
	assert_true(spoil(&b, 0, offsetof(struct live_header, chunk)) > 0);
	assert_true(spoil(&b, offsetof(struct live_header, chunk), b.chunks * sizeof(struct live_chunk)) > 0);
	for (uint32_t i = LIVE_EXAMPLE_NODES_0; i < b.chunks; i++) { /* the description has its own tests */
		size_t most = i == LIVE_EXAMPLE_REQUESTS || i == LIVE_EXAMPLE_DATABASE ? 128 : h->chunk[i].bytes;

		assert_int_equal(spoil(&b, h->chunk[i].offset, most), most / 4 * ARRAY_LEN(odd_values));
	}
	free(b.file);
}

/* The start of the `nth` row of a table in a chunk that has several: names and ranges are for the fuzzer. */
static void spoil_row(const struct live_build *b, uint32_t chunk, size_t table_at, size_t nth)
{
	const struct live_chunk *c = &live_build_header(b)->chunk[chunk];
	struct live_table t;

	memcpy(&t, b->file + c->offset + table_at, sizeof(t));
	assert_true(nth < t.rows);
	assert_int_equal(spoil(b, c->offset + t.offset + nth * t.row_bytes, 64), 16 * ARRAY_LEN(odd_values));
	if (t.row_bytes <= 136) /* sealed */
		assert_int_equal(spoil(b, c->offset + t.offset + (nth + 1) * t.row_bytes - 8, 8),
		                 2 * ARRAY_LEN(odd_values));
}

static void every_field_of_a_row_out_of_range(void **state)
{
	struct live_build b = live_build_example();

	(void)state;
	spoil_row(&b, LIVE_EXAMPLE_REQUESTS, offsetof(struct live_requests, open), 1);
	spoil_row(&b, LIVE_EXAMPLE_REQUESTS, offsetof(struct live_requests, answered), 0);
	spoil_row(&b, LIVE_EXAMPLE_REQUESTS, offsetof(struct live_requests, spans), 1);
	spoil_row(&b, LIVE_EXAMPLE_REQUESTS, offsetof(struct live_requests, routes), 0);
	spoil_row(&b, LIVE_EXAMPLE_DATABASE, offsetof(struct live_database, rows), 0);
	spoil_row(&b, LIVE_EXAMPLE_DATABASE, offsetof(struct live_database, spans), 0);
	spoil_row(&b, LIVE_EXAMPLE_DATABASE, offsetof(struct live_database, calls), 1);
	free(b.file);
}

/* A thread that began since the description was written: what it did is its own. */
static void a_new_thread_is_one(void **state)
{
	struct live_build b = live_build_example();
	const struct live_sample ring[] = { { UINT64_C(10500000000), 2, 3, 7 } };
	struct work {
		struct live_head head;
		struct live_work rows[3];
	} *work = live_build_content(&b, LIVE_EXAMPLE_WORK);
	struct model *m;

	(void)state;
	work->rows[0].thread = 4;
	(void)live_build_add(&b, LIVE_RING, 3, ring, sizeof(ring));
	m = read_whole(&b);
	assert_int_equal(m->thread_count, 5);
	assert_string_equal(m->threads[4].name, "(new thread)");
	assert_string_equal(m->threads[1].name, "worker");
	assert_true(m->samples[m->sample_count - 1].thread == 3 && m->samples[m->sample_count - 1].weight == 7);
	assert_true(m->requests.spans[2].request == 6 && m->requests.spans[2].thread == 4);
	model_free(m);
	(void)live_build_add(&b, LIVE_RING, 1u << 20, ring, sizeof(ring)); /* no such number */
	m = read_whole(&b);
	assert_int_equal(m->thread_count, 5);
	model_free(m);
	free(b.file);
}

/* What happened last, happened at the end: the header's time is late by a tenth of a second, or by what a stopped process was. */
static void the_end_is_the_newest_event(void **state)
{
	struct live_build b = live_build_example();
	struct requests {
		struct live_requests head;
		struct live_request open[3];
	} *r = live_build_content(&b, LIVE_EXAMPLE_REQUESTS);
	uint64_t end = live_build_header(&b)->end_ns, wall = live_build_header(&b)->end_wall_ns;
	struct model *m;

	(void)state;
	r->open[1].start_ns = end + 90000000;
	m = read_whole(&b);
	assert_true(m->end_ns == end + 90000000 && m->end_wall_ns == wall + 90000000);
	assert_true(m->requests.spans[2].to_ns == m->end_ns);
	model_free(m);
	r->open[1].start_ns = UINT64_MAX - 1; /* no time at all */
	m = read_whole(&b);
	assert_true(m->end_ns == end && m->end_wall_ns == wall);
	model_free(m);
	free(b.file);
}

/* Where a chunk's entry leads anywhere else, its table is left out. */
static void chunks_outside_the_file(void **state)
{
	struct live_build b = live_build_example();
	struct live_chunk *c = &live_build_header(&b)->chunk[LIVE_EXAMPLE_MISUSE];
	const struct live_chunk was = *c;
	const struct live_chunk bad[] = {
		{ .offset = 0, .bytes = was.bytes },       { .offset = HEADER_BYTES - 8, .bytes = was.bytes },
		{ .offset = was.offset + 4, .bytes = 64 }, { .offset = b.bytes + 8, .bytes = 0 },
		{ .offset = b.bytes - 56, .bytes = 64 },   { .offset = was.offset, .bytes = UINT64_MAX },
		{ .offset = UINT64_MAX - 7, .bytes = 64 }, { .offset = UINT64_MAX - 63, .bytes = 128 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct model *m;

		c->offset = bad[i].offset;
		c->bytes = bad[i].bytes;
		m = read_whole(&b);
		assert_int_equal(m->misuse_count, 0);
		model_free(m);
	}
	free(b.file);
}

/* ---- made to mislead ---------------------------------------------------------------------------------------------- */

/* A description that brings tables of its own: their stacks are not the file's. */
static void tables_in_the_description_are_not_taken(void **state)
{
	struct live_build b = live_build_new();
	struct model *m;
	size_t bytes;
	uint8_t *whole = build_snapshot(build_example(), true, &bytes);

	(void)state;
	(void)live_build_add(&b, LIVE_FRAME, 0, whole, bytes);
	m = read_whole(&b);
	assert_string_equal(m->comm, "example");
	assert_int_equal(m->node_count + m->heap_count + m->cpu_count + m->sample_count + m->misuse_count, 0);
	assert_int_equal(m->heap_thread_count + m->mmap_count + m->leaks.count, 0);
	assert_int_equal(
	        m->requests.request_count + m->requests.route_count + m->database.row_count + m->offcpu.row_count, 0);
	assert_false(m->mmap_recorded || m->leaks.recorded);
	model_free(m);
	free(whole);
	free(b.file);
}

static void a_bad_description_is_refused(void **state)
{
	struct live_build b = live_build_example();
	struct snap_header *frame = live_build_content(&b, LIVE_EXAMPLE_FRAME);

	(void)state;
	frame->file_bytes++;
	refused(&b, b.bytes, "its description is cut short");
	frame->file_bytes--;
	frame->head_crc ^= 1;
	refused(&b, b.bytes, "description: ");
	live_build_header(&b)->chunk[LIVE_EXAMPLE_FRAME].bytes = sizeof(*frame) - 1;
	refused(&b, b.bytes, "before it had described itself");
	free(b.file);
}

/* Thousands of entries that all claim the whole file: what is read of it stays a small multiple of it. */
static void overlapping_chunks_are_bounded(void **state)
{
	enum { SAMPLES = 65536 };
	static struct live_sample samples[SAMPLES];
	struct live_build b = live_build_example();
	uint32_t ring, free_entries;
	struct model *m;

	(void)state;
	for (size_t i = 0; i < SAMPLES; i++)
		samples[i] = (struct live_sample){ UINT64_C(10000000000) + i, 1, 0, 1 };
	ring = live_build_add(&b, LIVE_RING, 0, samples, sizeof(samples));
	free_entries = LIVE_CHUNKS - b.chunks;
	for (uint32_t i = 0; i < free_entries; i++) {
		struct live_chunk *c = &live_build_header(&b)->chunk[b.chunks + i];

		*c = live_build_header(&b)->chunk[ring];
		if (i % 2)
			c->kind = LIVE_NODES; /* read as whatever */
	}
	m = read_whole(&b);
	assert_in_range(m->sample_count, SAMPLES, 2 * b.bytes / sizeof(struct live_sample));
	assert_int_equal(m->cpu_count, 4); /* the tables before them are told */
	model_free(m);
	free(b.file);
}

static void sums_fit_63_bits(void **state)
{
	struct live_build b = live_build_example();
	struct live_counters *first = live_build_content(&b, LIVE_EXAMPLE_COUNTERS_0),
	                     *second = live_build_content(&b, LIVE_EXAMPLE_COUNTERS_1);
	struct live_counter *a = (struct live_counter *)(void *)(first + 1),
	                    *c = (struct live_counter *)(void *)(second + 1);
	struct live_thread *threads = live_build_content(&b, LIVE_EXAMPLE_THREADS);
	uint64_t sum = 0;
	struct model *m;

	(void)state;
	a[0].alloc_bytes = INT64_MAX - 1000;
	a[0].peak_bytes = INT64_MIN;
	c[0].peak_bytes = INT64_MIN + 1;
	c[1].cpu_samples = INT64_MAX;
	threads[0] = (struct live_thread){ 1, UINT64_MAX, 1, INT64_MAX };
	threads[1] = (struct live_thread){ 1, 5, 1, INT64_MAX };
	m = read_whole(&b);
	for (size_t i = 0; i < m->heap_count; i++) {
		assert_true(m->heap[i].alloc_bytes <= INT64_MAX - sum);
		sum += m->heap[i].alloc_bytes;
	}
	assert_true(m->heap_threads[0].live_bytes == INT64_MAX && m->heap_threads[1].live_bytes == 0);
	assert_true(m->heap_threads[0].alloc_bytes <= INT64_MAX);
	model_free(m);
	free(b.file);
}

/* Steps are the header's: a newer recorder's rows are longer. */
static void longer_rows_are_stepped_over(void **state)
{
	enum { LONGER = sizeof(struct live_sample) + 8 };
	struct live_build b = live_build_example();
	const struct live_sample *old = live_build_content(&b, LIVE_EXAMPLE_RING_0);
	uint8_t ring[8 * LONGER] = { 0 };
	struct model *m;

	(void)state;
	for (size_t i = 0; i < 8; i++) {
		memcpy(ring + i * LONGER, &old[i], sizeof(*old));
		memset(ring + i * LONGER + sizeof(*old), 0xff, LONGER - sizeof(*old));
	}
	live_build_header(&b)->chunk[LIVE_EXAMPLE_RING_0].active = 0;
	live_build_header(&b)->chunk[LIVE_EXAMPLE_RING_1].active = 0;
	live_build_header(&b)->sample_bytes = LONGER;
	(void)live_build_add(&b, LIVE_RING, 0, ring, sizeof(ring));
	m = read_whole(&b);
	assert_int_equal(m->sample_count, 2);
	assert_true(m->samples[0].time_ns == 10000000000 && m->samples[1].stack == 4);
	model_free(m);
	free(b.file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_was_recorded),
		cmocka_unit_test(is_told_by_its_first_bytes),
		cmocka_unit_test(the_golden_files_are_read),
		cmocka_unit_test(other_versions_are_named),
		cmocka_unit_test(every_truncation),
		cmocka_unit_test(a_torn_tail_costs_its_tables_only),
		cmocka_unit_test(the_first_unwritten_node_ends_the_tree),
		cmocka_unit_test(a_growing_table_counts_once),
		cmocka_unit_test(rows_that_were_being_written),
		cmocka_unit_test(header_fields_out_of_range),
		cmocka_unit_test(every_field_out_of_range),
		cmocka_unit_test(every_field_of_a_row_out_of_range),
		cmocka_unit_test(the_end_is_the_newest_event),
		cmocka_unit_test(a_new_thread_is_one),
		cmocka_unit_test(chunks_outside_the_file),
		cmocka_unit_test(tables_in_the_description_are_not_taken),
		cmocka_unit_test(a_bad_description_is_refused),
		cmocka_unit_test(overlapping_chunks_are_bounded),
		cmocka_unit_test(sums_fit_63_bits),
		cmocka_unit_test(longer_rows_are_stepped_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
