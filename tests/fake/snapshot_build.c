#undef NDEBUG
#include "compiler.h"
#include "snapshot_build.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "buf.h"
#include "snapshot_codec.h"
#include "snapshot_encode.h"

enum { ROOM = 4 << 20 };

void build_seal(uint8_t *file, size_t bytes)
{
	struct snap_header h;

	assert(bytes >= sizeof(h));
	memcpy(&h, file, sizeof(h));
	for (uint32_t i = 0; i < h.section_count; i++) {
		uint8_t *entry = file + h.header_bytes + (size_t)i * h.entry_bytes;
		struct snap_section s;

		memcpy(&s, entry, sizeof(s));
		if (s.offset > bytes || s.stored_bytes > bytes - s.offset)
			continue;
		s.crc = crc32c(0, file + s.offset, s.stored_bytes);
		memcpy(entry, &s, sizeof(s));
	}
	h.head_crc = 0;
	memcpy(file, &h, sizeof(h));
	h.head_crc = crc32c(0, file, h.header_bytes + (size_t)h.section_count * h.entry_bytes);
	memcpy(file, &h, sizeof(h));
}

uint8_t *build_frame(const struct raw_section *sections, size_t count, uint16_t major, uint16_t minor,
                     size_t *ret_bytes)
{
	uint8_t *file = calloc(1, ROOM);
	size_t at = sizeof(struct snap_header) + count * sizeof(struct snap_section);
	struct snap_header h = { 0 };

	assert(file);
	for (size_t i = 0; i < count; i++) {
		struct snap_section s = { 0 };

		s.id = sections[i].id;
		s.codec = sections[i].codec;
		s.offset = at;
		s.raw_bytes = sections[i].claim_raw ? sections[i].claim_raw : sections[i].count;
		if (s.codec == SNAP_CODEC_ZSTD) {
			s.stored_bytes = ZSTD_compress(file + at, ROOM - at, sections[i].bytes, sections[i].count, 3);
			assert(!ZSTD_isError(s.stored_bytes));
		} else {
			s.stored_bytes = sections[i].count;
			assert(s.stored_bytes <= ROOM - at);
			if (s.stored_bytes)
				memcpy(file + at, sections[i].bytes, s.stored_bytes);
		}
		at += s.stored_bytes;
		memcpy(file + sizeof(h) + i * sizeof(s), &s, sizeof(s));
	}
	memcpy(h.magic, SNAP_MAGIC, SNAP_MAGIC_BYTES);
	h.major = major;
	h.minor = minor;
	h.header_bytes = sizeof(h);
	h.section_count = (uint32_t)count;
	h.entry_bytes = sizeof(struct snap_section);
	h.file_bytes = at;
	memcpy(file, &h, sizeof(h));
	build_seal(file, at);
	*ret_bytes = at;
	return file;
}

uint8_t *build_section(const struct model *m, enum snap_section_id id, size_t *ret_bytes)
{
	struct buf raw = { 0 };
	char *bytes;

	assert(snapshot_encode_section(m, id, &raw) == 0);
	buf_add(&raw, "", 0); /* an empty section has memory, too */
	bytes = buf_take(&raw, ret_bytes);
	assert(bytes);
	return (uint8_t *)bytes;
}

static const enum snap_section_id ids[] = {
#define BUILD_SECTION_ID(id, name, text) SNAP_##name,
	SNAP_SECTIONS(BUILD_SECTION_ID)
#undef BUILD_SECTION_ID
};

uint8_t *build_snapshot(const struct model *m, bool compressed, size_t *ret_bytes)
{
	struct raw_section sections[ARRAY_LEN(ids)];
	uint8_t *raw[ARRAY_LEN(ids)], *file;
	unsigned count = 0;

	for (unsigned n = 0; n < ARRAY_LEN(ids); n++) {
		enum snap_section_id id = ids[n];
		unsigned i = count;

		if (id == SNAP_LEAKS && !m->leaks.recorded)
			continue; /* there and empty would be cut short */
		count++;
		sections[i] = (struct raw_section){ .id = id, .codec = compressed ? SNAP_CODEC_ZSTD : SNAP_CODEC_RAW };
		raw[i] = build_section(m, id, &sections[i].count);
		sections[i].bytes = raw[i];
	}
	file = build_frame(sections, count, SNAP_MAJOR, SNAP_MINOR, ret_bytes);
	for (unsigned i = 0; i < count; i++)
		free(raw[i]);
	return file;
}

static bool same_section(const struct model *a, const struct model *b, enum snap_section_id id)
{
	size_t na, nb;
	uint8_t *ra = build_section(a, id, &na), *rb = build_section(b, id, &nb);
	bool same = na == nb && memcmp(ra, rb, na) == 0;

	free(ra);
	free(rb);
	return same;
}

unsigned build_differs(const struct model *a, const struct model *b)
{
	for (unsigned n = 0; n < ARRAY_LEN(ids); n++)
		if (!same_section(a, b, ids[n]))
			return ids[n];
	return 0;
}

struct model build_empty(void)
{
	return (struct model){
		.major = SNAP_MAJOR,
		.minor = SNAP_MINOR,
		.pid = 4711,
		.ppid = 1,
		.sequence = 1,
		.comm = "example",
		.exe = "/nowhere/example",
		.reason = "exit",
		.cmdline = "/nowhere/example --verbose",
		.start_ns = 1000000000,
		.start_wall_ns = 1790000000000000000,
		.end_ns = 11000000000,
		.end_wall_ns = 1790000010000000000,
		.process_cpu_ns = 1000000000,
		.cpu_hz = 100,
		.cpu_period_ns = 10000000,
		.engine_cpu = "perf_event",
		.engine_cpu_why = "the kernel allows it",
		.engine_heap = "shadow",
		.engine_unwind = "cfi",
		.page_bytes = 4096,
		.cpus = 2,
		.kernel = "6.1.0",
		.machine = "x86_64",
		.recorder_version = "0.1.0",
		.leaks = { .method = "", .note = "", .suppressions = "" },
		.because = "",
		.boot = "",
		.offcpu = { .why = "" },
	};
}

/* Options, losses, modules and threads of the example. */
static void add_surroundings(struct model *m)
{
	static struct model_option options[] = {
		{ "CPU", "100", SNAP_OPTION_ENVIRONMENT },
		{ "HEAP", "full", SNAP_OPTION_ENVIRONMENT },
		{ "WINDOW", "30s", SNAP_OPTION_DEFAULT },
	};
	static struct model_loss losses[] = { { "cpu.dropped", 3 }, { "heap.table_full", 0 }, { "stacks.full", 0 } };
	static struct model_module modules[] = {
		{ .start = 0x400000,
		  .end = 0x500000,
		  .bias = 0,
		  .flags = SNAP_MODULE_MAIN,
		  .load_ns = 1,
		  .path = "/nowhere/example",
		  .build_id = { 1, 2, 3, 4 },
		  .build_id_bytes = 4 },
		{ .start = 0x7f0000000000,
		  .end = 0x7f0000100000,
		  .bias = 0x7f0000000000,
		  .load_ns = 2,
		  .unload_ns = 500,
		  .path = "/nowhere/libold.so" },
		{ .start = 0x7f0000000000,
		  .end = 0x7f0000200000,
		  .bias = 0x7f0000000000,
		  .load_ns = 3,
		  .path = "/nowhere/libnew.so" },
	};
	static struct model_thread threads[] = {
		{ 4711, "example", 1000000000, 0, 900000000 },
		{ 4712, "worker", 2000000000, 9000000000, 100000000 },
	};

	m->options = options;
	m->option_count = 3;
	m->losses = losses;
	m->loss_count = 3;
	m->modules = modules;
	m->module_count = 3;
	m->threads = threads;
	m->thread_count = 2;
}

static void add_leaks(struct model *m)
{
	/* Of a's six live blocks two are lost; the library's five are held by one of them. */
	static struct model_leak leaks[] = {
		{ 2, SNAP_LEAK_DIRECT, 0, 2, 2, 200, 200, 2, 2000000000, 9000000000, 0 },
		{ 4, SNAP_LEAK_INDIRECT, 2, 5, 4, 5000, 4000, 5, 3000000000, 3000000000, 0 },
	};

	m->leaks = (struct model_leaks){ .recorded = true,
		                         .done = true,
		                         .method = "ptrace",
		                         .note = "",
		                         .checks = 2,
		                         .time_ns = 10500000000,
		                         .pause_ns = 1200000,
		                         .check_ns = 40000000,
		                         .cpu_ns = 30000000,
		                         .memory_bytes = 3 << 20,
		                         .threads = 2,
		                         .blocks = 11,
		                         .block_bytes = 5600,
		                         .root_bytes = 1 << 20,
		                         .suppressions = "# the example's own\nleak:libknown.so\n",
		                         .rows = leaks,
		                         .count = 2 };
}

static void add_requests(struct model *m)
{
	static struct model_bucket fast[] = { { 300, 7 }, { 310, 2 } }, slow[] = { { 650, 1 } };
	static struct model_route routes[] = { { "GET", "/users/*", 200, 9, 50000, 9000, fast, 2 },
		                               { "POST", "/slow", 500, 1, 1500000000, 1500000000, slow, 1 } };
	static struct model_request requests[] = {
		{ 3, 1000, 1500, 2000, 80, 900, 0, 0, 200, "GET", "/users/17" },
		{ 4, 2000, 1500002000, 1500002000, 80, 50, 0, 1, 500, "POST", "/slow" },
		{ 6, 5000, 0, 0, 44, 0, 1, 0, 0, "GET", "/running" },
	};
	static struct model_request_span spans[] = { { 2000, 1500002000, 4, 0, false }, { 5100, 9000, 6, 1, true } };

	m->requests = (struct model_requests){ true, 10, 1, 2, 1000000000, routes, requests, spans, 2, 3, 2 };
}

static void add_offcpu(struct model *m)
{
	static struct model_cpu_row rows[] = { { 2, 0, 5 }, { 4, 1, 200 } };
	static struct model_offcpu_sample samples[] = { { 9000000000, 1, 4, 3, 4 }, { 9010000000, 0, 2, 1, 0 } };

	m->because = "a request took 1500 ms (limit 1000 ms)";
	m->boot = "b75c9f6e-5f2c-4d1f-9d3c-2f1d2a3b4c5d";
	m->handler = (struct model_times){ 9000, { [13] = 90, [20] = 10 } };
	m->late = (struct model_times){ 3000000, { 50, [40] = 49, [SNAP_SAMPLER_RANGES - 1] = 1 } };
	m->offcpu = (struct model_offcpu){ SNAP_OFFCPU_REQUESTS, 10000000, "", rows, samples, 2, 2 };
}

static void add_series(struct model *m)
{
	static struct model_series_point points[] = { { 1000000000, 5000000, 3 << 20, 0, 0 },
		                                      { 1100000000, 105000000, 4 << 20, 1 << 20, 7 },
		                                      { 1100000000, 105000000, 2 << 20, 3, 7 } };

	m->series = (struct model_series){ 100000000, points, 3 };
}

static void add_database(struct model *m)
{
	static struct model_bucket quick[] = { { 280, 3 }, { 300, 1 } }, once[] = { { 640, 1 } };
	static struct model_database_row rows[] = {
		{ "postgresql", "SELECT", "public.users", 1, 4, 40000, 15000, quick, 2 },
		{ "sqlite", "INSERT", "log", 0, 1, 1200000000, 1200000000, once, 1 },
		{ "mysql", "BEGIN", "", 0, 0, 0, 0, NULL, 0 },
	};
	static struct model_database_span spans[] = {
		{ 1100, 300, 3, 0, 0, true, false },
		{ 3000, 1200000000, 4, 0, 1, false, false },
		{ 5200, 3000, 6, 1, 2, false, true },
	};

	m->database = (struct model_database){ true, rows, spans, 3, 3 };
}

static void add_heap(struct model *m)
{
	static const struct model_heap_detail details[] = {
		{ 16, 8, { 1 } },
		{ 300, 48, { [2] = 1, [5] = 2, [SNAP_LIFETIMES - 1] = 1 } },
	};
	static struct model_heap_row heap[] = {
		{ 0, 1, 1, 0, 0, 16, 16, 0, NULL },
		{ 2, 10, 4, 8, 2, 1000, 400, 800, NULL },
		{ 4, 5, 0, 5, 0, 5000, 0, 5000, NULL },
	};
	static struct model_heap_thread heap_threads[] = { { 0, 11, 6, 1016, 600 }, { 1, 5, 5, 5000, 5000 } };

	m->heap_mode = SNAP_HEAP_FULL;
	m->heap_peak_bytes = 5800;
	m->heap_peak_ns = 5000000000;
	m->heap = heap;
	m->heap_count = 3;
	heap[0].detail = details;
	heap[1].detail = details + 1;
	m->heap_detail_one_in = 64;
	m->heap_threads = heap_threads;
	m->heap_thread_count = 2;
}

static void add_mmap(struct model *m)
{
	static struct model_heap_row mmap[] = { { .stack = 0, .alloc_count = 1, .alloc_bytes = 4096 },
		                                { .stack = 4, .alloc_count = 3, .alloc_bytes = 1 << 20 } };

	m->mmap_recorded = true;
	m->mmap_bytes = 3 << 20;
	m->munmap_bytes = (2 << 20) - 4096;
	m->mmap_peak_bytes = 2 << 20;
	m->mmap_peak_ns = 1600000000;
	m->mmap = mmap;
	m->mmap_count = 2;
}

struct model *build_example(void)
{
	/* main (1) calls a (2) and b (3); b calls the library (4); 5 was truncated above the library. */
	static struct model_node nodes[] = {
		{ 0, 0x401000 },       { 1, 0x402000 },          { 1, 0x403000 },
		{ 3, 0x7f0000001234 }, { 0, SNAP_PC_TRUNCATED }, { 5, 0x7f0000001234 },
	};
	static struct model_cpu_row cpu[] = { { 2, 0, 60 }, { 4, 0, 30 }, { 4, 1, 9 }, { 6, 1, 1 } };
	static struct model_sample samples[] = { { 10000000000, 0, 2, 1 },
		                                 { 10010000000, 0, 4, 1 },
		                                 { 10010000000, 1, 4, 2 } };
	static struct model_misuse misuse[] = {
		{ SNAP_MISUSE_MISMATCH, SNAP_FAMILY_NEW, SNAP_FAMILY_MALLOC, 0, 1, 2, 0, 3, 7, 0x5000, 24, 2000000000 },
		{ SNAP_MISUSE_DOUBLE_FREE, 0, SNAP_FAMILY_MALLOC, 0, 0, 4, 6, 3, 1, 0x6000, 0, 3000000000 },
		{ SNAP_MISUSE_NO_BLOCK, 0, SNAP_FAMILY_NEW, SNAP_NO_BLOCK_STACK, 0, 0, 0, 2, 1, 0x7ffc0000, 0,
		  4000000000 },
	};
	static struct model_mark marks[] = { { 1500000000, 0, "warm" }, { 1500000000, 1, "" } };
	static struct model m;

	m = build_empty();
	add_surroundings(&m);
	add_heap(&m);
	add_mmap(&m);
	add_leaks(&m);
	add_requests(&m);
	add_offcpu(&m);
	add_database(&m);
	add_series(&m);
	m.nodes = nodes;
	m.node_count = 6;
	m.cpu = cpu;
	m.cpu_count = 4;
	m.samples = samples;
	m.misuse = misuse;
	m.sample_count = m.misuse_count = 3;
	m.marks = marks;
	m.mark_count = 2;
	return &m;
}

struct model *build_example_of(uint16_t minor)
{
	struct model *m = build_example();

	if (minor < 1)
		m->misuse_count = 0;
	if (minor < 2) {
		m->heap_detail_one_in = m->heap_thread_count = 0;
		for (size_t i = 0; i < m->heap_count; i++)
			m->heap[i].detail = NULL;
	}
	if (minor < 3) {
		m->mark_count = m->mmap_count = 0;
		m->mmap_recorded = false;
		m->mmap_bytes = m->munmap_bytes = m->mmap_peak_bytes = m->mmap_peak_ns = 0;
	}
	if (minor < 4)
		m->leaks = build_empty().leaks;
	if (minor < 5)
		m->requests = build_empty().requests;
	if (minor < 6) {
		m->because = "";
		m->boot = "";
		m->handler = m->late = build_empty().handler;
		m->offcpu = build_empty().offcpu;
		m->database = build_empty().database;
		m->series = build_empty().series;
	}
	return m;
}
