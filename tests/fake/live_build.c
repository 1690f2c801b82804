#undef NDEBUG
#include "live_build.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "compiler.h"

enum { SEGMENT_NODES = 4, EPOCH = 7, FRAME_SECTIONS = SNAP_THREADS };

struct live_header *live_build_header(const struct live_build *b)
{
	return (struct live_header *)(void *)b->file;
}

static size_t pages(size_t bytes)
{
	return (bytes + LIVE_BUILD_PAGE - 1) / LIVE_BUILD_PAGE * LIVE_BUILD_PAGE;
}

struct live_build live_build_new(void)
{
	struct live_build b = { .bytes = pages(sizeof(struct live_header)) };
	struct live_header *h;

	b.file = calloc(1, b.bytes);
	assert(b.file);
	h = live_build_header(&b);
	memcpy(h->magic, LIVE_MAGIC, LIVE_MAGIC_BYTES);
	h->version = LIVE_VERSION;
	h->minor = LIVE_MINOR;
	h->chunk_bytes = sizeof(struct live_chunk);
	h->node_bytes = sizeof(struct live_node);
	h->counter_bytes = sizeof(struct live_counter);
	h->sample_bytes = sizeof(struct live_sample);
	h->misuse_bytes = sizeof(struct live_misuse);
	h->detail_bytes = sizeof(struct live_detail);
	h->segment_nodes = SEGMENT_NODES;
	h->count_scale = 1;
	return b;
}

uint32_t live_build_add(struct live_build *b, enum live_kind kind, uint32_t owner, const void *content, size_t bytes)
{
	uint32_t i = b->chunks++;

	assert(i < LIVE_CHUNKS);
	b->file = realloc(b->file, b->bytes + pages(bytes));
	assert(b->file);
	memset(b->file + b->bytes, 0, pages(bytes));
	if (bytes)
		memcpy(b->file + b->bytes, content, bytes);
	live_build_header(b)->chunk[i] = (struct live_chunk){
		.offset = b->bytes, .bytes = bytes, .kind = (uint32_t)kind, .owner = owner, .serial = i + 1, .active = 1
	};
	b->bytes += pages(bytes);
	return i;
}

void *live_build_content(const struct live_build *b, uint32_t chunk)
{
	return b->file + live_build_header(b)->chunk[chunk].offset;
}

/* ---- the example -------------------------------------------------------------------------------------------------- */

static void add_frame(struct live_build *b)
{
	struct model m = *build_example();
	struct raw_section sections[FRAME_SECTIONS];
	uint8_t *frame, *raw[FRAME_SECTIONS];
	size_t bytes;

	m.reason = "live";
	m.because = m.boot = "";
	m.handler = m.late = build_empty().handler;
	m.end_ns -= 500000000; /* older than the header */
	m.end_wall_ns -= 500000000;
	m.process_cpu_ns -= 400000000;
	for (unsigned i = 0; i < FRAME_SECTIONS; i++) {
		sections[i] = (struct raw_section){ .id = i + 1 };
		raw[i] = build_section(&m, (enum snap_section_id)(i + 1), &sections[i].count);
		sections[i].bytes = raw[i];
	}
	frame = build_frame(sections, FRAME_SECTIONS, SNAP_MAJOR, SNAP_MINOR, &bytes);
	(void)live_build_add(b, LIVE_FRAME, 0, frame, bytes);
	for (unsigned i = 0; i < FRAME_SECTIONS; i++)
		free(raw[i]);
	free(frame);
}

static void add_nodes(struct live_build *b, const struct model *m)
{
	for (uint32_t segment = 0; segment * SEGMENT_NODES <= m->node_count; segment++) {
		struct live_node nodes[SEGMENT_NODES] = { 0 };

		for (uint32_t i = 0; i < SEGMENT_NODES; i++) {
			size_t id = (size_t)segment * SEGMENT_NODES + i;

			if (id >= 1 && id <= m->node_count)
				nodes[i] = (struct live_node){ .parent = m->nodes[id - 1].parent,
					                       .pc = m->nodes[id - 1].pc };
		}
		(void)live_build_add(b, LIVE_NODES, segment, nodes, sizeof(nodes));
	}
}

enum { SLOTS = 4 };

struct table {
	struct live_counters head;
	struct live_counter slot[SLOTS];
	struct live_detail detail[SLOTS / 2];
};

static void add_table(struct live_build *b, uint32_t owner, struct table t)
{
	t.head.mask = SLOTS - 1;
	for (unsigned i = 0; i < SLOTS; i++) {
		t.head.used += t.slot[i].key != 0;
		if (t.slot[i].key && !t.slot[i].epoch)
			t.slot[i].epoch = EPOCH;
	}
	(void)live_build_add(b, LIVE_COUNTERS, owner, &t, sizeof(t));
}

static uint64_t key(uint32_t stack, uint32_t thread)
{
	return (uint64_t)thread << 32 | (stack + 1);
}

/* Of stack 2's ten blocks four were allocated by threads that have ended; its peak is told by one table's epoch and by what
 * lives now of the other, whose epoch is older. */
static void add_counters(struct live_build *b)
{
	add_table(b, 0,
	          (struct table){
	                  .slot = { { .key = key(0, 0),
	                              .alloc_count = 1,
	                              .alloc_bytes = 16,
	                              .free_count = 1,
	                              .free_bytes = 16,
	                              .largest = 16 },
	                            { .key = key(2, 0),
	                              .detail = 1,
	                              .alloc_count = 6,
	                              .alloc_bytes = 700,
	                              .free_count = 2,
	                              .free_bytes = 300,
	                              .temporary_count = 2,
	                              .peak_count = 6,
	                              .peak_bytes = 600,
	                              .cpu_samples = 60,
	                              .largest = 300 },
	                            { .key = key(4, 0), .detail = UINT32_MAX, .cpu_samples = 30 } },
	                  .detail = { { 8, { 1 } }, { -52, { [2] = 1, [5] = 1 } } },
	          });
	add_table(b, 1,
	          (struct table){
	                  .slot = { { .key = key(4, 0),
	                              .detail = 7,
	                              .alloc_count = 5,
	                              .alloc_bytes = 5000,
	                              .peak_count = 5,
	                              .peak_bytes = 5000,
	                              .cpu_samples = 9 },
	                            { .key = key(6, 0), .detail = 7, .cpu_samples = 1 } },
	          });
	add_table(b, LIVE_ENDED,
	          (struct table){
	                  .slot = { { .key = key(2, 0),
	                              .epoch = EPOCH - 1,
	                              .alloc_count = 4,
	                              .alloc_bytes = 300,
	                              .free_count = 2,
	                              .free_bytes = 100,
	                              .peak_count = 77, /* of an epoch that counts no more */
	                              .peak_bytes = 77,
	                              .largest = 100 } },
	                  .detail = { { 100, { [5] = 1, [SNAP_LIFETIMES - 1] = 1 } } },
	          });
}

static void add_samples(struct live_build *b, const struct model *m)
{
	for (uint32_t thread = 0; thread < m->thread_count; thread++) {
		struct live_sample ring[8] = { 0 };
		size_t n = ARRAY_LEN(ring); /* the newest first */

		for (size_t i = 0; i < m->sample_count; i++)
			if (m->samples[i].thread == thread)
				ring[--n] = (struct live_sample){ m->samples[i].time_ns, m->samples[i].stack,
					                          (uint16_t)thread, (uint16_t)m->samples[i].weight };
		(void)live_build_add(b, LIVE_RING, thread, ring, sizeof(ring));
	}
}

static void add_misuse(struct live_build *b, const struct model *m)
{
	struct live_misuse rows[8] = { 0 };

	for (size_t i = 0; i < m->misuse_count; i++) {
		const struct model_misuse *r = &m->misuse[i];

		rows[i] = (struct live_misuse){ r->count,    r->kind,      r->allocated_by, r->freed_by,
			                        r->no_block, r->allocated, r->first_freed,  r->freed,
			                        r->thread,   r->address,   r->bytes,        r->time_ns };
	}
	(void)live_build_add(b, LIVE_MISUSE, 0, rows, sizeof(rows));
}

struct live_build live_build_example(void)
{
	static const struct live_thread threads[] = { { 4, 300, 6, 600 }, { 0, 0, 5, 5000 } };
	const struct model *m = build_example();
	struct live_build b = live_build_new();
	struct live_header *h;

	add_frame(&b);
	add_nodes(&b, m);
	add_counters(&b);
	add_samples(&b, m);
	add_misuse(&b, m);
	(void)live_build_add(&b, LIVE_THREADS, 0, threads, sizeof(threads));
	h = live_build_header(&b);
	h->heap_mode = m->heap_mode;
	h->heap_interval = m->heap_interval_bytes;
	h->heap_detail = (uint32_t)m->heap_detail_one_in;
	h->peak_bytes = m->heap_peak_bytes;
	h->peak_ns = m->heap_peak_ns;
	h->end_ns = m->end_ns;
	h->end_wall_ns = m->end_wall_ns;
	h->cpu_ns = m->process_cpu_ns;
	h->epoch = EPOCH - 2; /* older than the newest in a table */
	h->missing = 5;
	return b;
}

struct model *live_build_expected(void)
{
	static const struct model_heap_detail none;
	static struct model_heap_row heap[3];
	static struct model_loss losses[4];
	static struct model m;

	m = *build_example();
	memcpy(heap, m.heap, sizeof(heap));
	memcpy(losses, m.losses, 3 * sizeof(losses[0]));
	heap[2].detail = &none;
	losses[3] = (struct model_loss){ "live.tables_outside", 5 };
	m.reason = "live";
	m.heap = heap;
	m.losses = losses;
	m.loss_count = 4;
	m.mark_count = m.mmap_count = 0;
	m.mmap_recorded = false;
	m.mmap_bytes = m.munmap_bytes = m.mmap_peak_bytes = m.mmap_peak_ns = 0;
	m.leaks = build_empty().leaks;
	m.requests = build_empty().requests;
	m.offcpu = build_empty().offcpu;
	m.because = m.boot = "";
	m.handler = m.late = build_empty().handler;
	m.database = build_empty().database;
	m.series = build_empty().series;
	return &m;
}
