#undef NDEBUG
#include "live_build.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "compiler.h"

enum { SEGMENT_NODES = 4, EPOCH = 7 };

static const enum snap_section_id frame_ids[] = { SNAP_INFO,    SNAP_OPTIONS,  SNAP_LOSSES, SNAP_MODULES,
	                                          SNAP_THREADS, SNAP_REQUESTS, SNAP_OFFCPU, SNAP_DATABASE };
enum { FRAME_SECTIONS = ARRAY_LEN(frame_ids) };

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
	m.requests.count = m.requests.route_count = m.requests.request_count = m.requests.span_count = 0;
	m.offcpu.scope = SNAP_OFFCPU_NONE; /* as it was when this was written */
	m.offcpu.row_count = m.offcpu.sample_count = 0;
	m.database.row_count = m.database.span_count = 0;
	for (unsigned i = 0; i < FRAME_SECTIONS; i++) {
		sections[i] = (struct raw_section){ .id = frame_ids[i] };
		raw[i] = build_section(&m, frame_ids[i], &sections[i].count);
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

/* ---- requests, threads that wait, database calls ------------------------------------------------------------------- */

#define TABLE(type, member, row_type)                                                                          \
	{                                                                                                      \
		offsetof(type, member), sizeof(row_type), sizeof(((type *)NULL)->member) / sizeof(row_type), 0 \
	}

static struct live_durations durations(const struct model_bucket *buckets, size_t n, uint64_t sum, uint64_t max)
{
	struct live_durations d = { .sum_ns = sum, .max_ns = max };

	for (size_t i = 0; i < n; i++)
		d.range[buckets[i].bucket] = (uint32_t)buckets[i].count;
	return d;
}

struct requests_chunk {
	struct live_requests head;
	struct live_request open[3], answered[3], slowest[2], sampled[2];
	struct live_request_span spans[4];
	struct live_route routes[3];
};

enum { METHOD_GET = 1, METHOD_POST = 3 };

static struct live_request live_request(const struct model_request *r, uint64_t number)
{
	struct live_request l = { .number = number,
		                  .id = r->id,
		                  .start_ns = r->start_ns,
		                  .first_ns = r->first_ns,
		                  .end_ns = r->end_ns,
		                  .bytes_in = r->bytes_in,
		                  .bytes_out = r->bytes_out,
		                  .thread_start = (uint16_t)r->thread_start,
		                  .thread_end = (uint16_t)r->thread_end,
		                  .status = (uint16_t)r->status,
		                  .method = *r->method == 'G' ? METHOD_GET : METHOD_POST,
		                  .path_bytes = (uint8_t)strlen(r->path),
		                  .again = number };

	memcpy(l.path, r->path, l.path_bytes);
	return l;
}

/* The first was answered a moment ago and is still among those under way; a new one has no line yet; the slowest is in three tables. */
static void fill_requests(struct requests_chunk *c, const struct model_requests *q)
{
	c->open[0] = live_request(&q->requests[0], 3);
	c->open[0].end_ns = 0;
	c->open[1] = live_request(&q->requests[2], 6);
	c->open[2] = (struct live_request){ .number = 7, .id = 7, .start_ns = 8000, .again = 7 };
	c->answered[0] = live_request(&q->requests[1], 2);
	c->answered[1] = live_request(&q->requests[0], 1);
	c->answered[2] = live_request(&q->requests[0], LIVE_WRITING); /* torn */
	c->slowest[1] = live_request(&q->requests[1], 4);
	c->sampled[0] = live_request(&q->requests[1], 1);
	for (unsigned i = 0; i < 2; i++) {
		const struct model_request_span *s = &q->spans[1 - i];

		c->spans[i + 1] = (struct live_request_span){ i + 1,     s->from_ns, s->to_ns, s->request,
			                                      s->thread, s->shared,  i + 1 };
	}
	c->spans[3] = c->spans[2];
	c->spans[3].again = 1; /* torn */
	for (unsigned i = 0; i < 2; i++) {
		const struct model_route *r = &q->routes[i];
		struct live_route *to = &c->routes[i + (i > 0)];

		*to = (struct live_route){ .key = i + 1,
			                   .ready = 1,
			                   .status = (uint16_t)r->status,
			                   .method = *r->method == 'G' ? METHOD_GET : METHOD_POST,
			                   .took = durations(r->buckets, r->bucket_count, r->sum_ns, r->max_ns) };
		memcpy(to->route, r->route, strlen(r->route));
	}
	c->routes[1].key = 9; /* being made */
}

static void add_requests(struct live_build *b, const struct model_requests *q)
{
	struct requests_chunk c = {
		.head = { .total = { q->count, q->slow, q->unanswered, 0 },
		          .open = TABLE(struct requests_chunk, open, struct live_request),
		          .answered = TABLE(struct requests_chunk, answered, struct live_request),
		          .slowest = TABLE(struct requests_chunk, slowest, struct live_request),
		          .sampled = TABLE(struct requests_chunk, sampled, struct live_request),
		          .spans = TABLE(struct requests_chunk, spans, struct live_request_span),
		          .routes = TABLE(struct requests_chunk, routes, struct live_route),
		          .methods = { [METHOD_GET] = "GET", [METHOD_POST] = "POST" } },
	};

	fill_requests(&c, q);
	(void)live_build_add(b, LIVE_REQUESTS, 0, &c, sizeof(c));
}

struct work_chunk {
	struct live_head head;
	struct live_work rows[3];
};

static void add_work(struct live_build *b)
{
	struct work_chunk c = { .head = { .table = TABLE(struct work_chunk, rows, struct live_work) } };

	c.rows[0] = (struct live_work){ .request = 6,
		                        .since_ns = 6000,
		                        .request_again = 6,
		                        .call_since_ns = 7000,
		                        .call_request = 6,
		                        .call_row = 1,
		                        .call_again = 7000 };
	c.rows[1] =
	        (struct live_work){ .request_again = 4, .since_ns = 100, .call_again = 100 }; /* at nothing any more */
	c.rows[2] = (struct live_work){ .request = 4, .since_ns = 6000, .request_again = 5 }; /* torn */
	(void)live_build_add(b, LIVE_WORK, 0, &c, sizeof(c));
}

struct offcpu_chunk {
	struct live_head head;
	struct live_offcpu rows[4];
};
struct offcpu_samples_chunk {
	struct live_head head;
	struct live_offcpu_sample rows[4];
};

static void add_offcpu(struct live_build *b, const struct model_offcpu *o)
{
	struct offcpu_chunk rows = { .head = { .table = TABLE(struct offcpu_chunk, rows, struct live_offcpu),
		                               .scope = o->scope,
		                               .period_ns = o->period_ns } };
	struct offcpu_samples_chunk samples = { .head = { .table = TABLE(struct offcpu_samples_chunk, rows,
		                                                         struct live_offcpu_sample) } };

	for (unsigned i = 0; i < 2; i++) {
		const struct model_cpu_row *r = &o->rows[1 - i];
		const struct model_offcpu_sample *s = &o->samples[1 - i];

		rows.rows[2 * i] = (struct live_offcpu){ (uint64_t)r->stack << 32 | r->thread, r->samples };
		samples.rows[2 * i] = (struct live_offcpu_sample){ s->time_ns,          s->stack,   (uint16_t)s->thread,
			                                           (uint16_t)s->weight, s->request, s->time_ns };
	}
	samples.rows[1] = samples.rows[0];
	samples.rows[1].again = LIVE_WRITING; /* torn */
	(void)live_build_add(b, LIVE_OFFCPU, 0, &rows, sizeof(rows));
	(void)live_build_add(b, LIVE_OFFCPU_SAMPLES, 0, &samples, sizeof(samples));
}

struct database_chunk {
	struct live_database head;
	struct live_database_row rows[4];
	struct live_database_span spans[4];
	struct live_database_call calls[2];
};

/* The second row is being made, so that numbers in the file are not the model's. */
static void fill_database(struct database_chunk *c, const struct model_database *d)
{
	static const uint16_t place[] = { 0, 2, 3 };

	for (unsigned i = 0; i < 3; i++) {
		const struct model_database_row *r = &d->rows[i];
		struct live_database_row *to = &c->rows[place[i]];

		*to = (struct live_database_row){ .key = i + 1,
			                          .ready = 1,
			                          .system = (uint8_t)i,
			                          .operation = (uint8_t)i,
			                          .errors = r->errors,
			                          .took = durations(r->buckets, r->bucket_count, r->sum_ns,
			                                            r->max_ns) };
		memcpy(to->table, r->table, strlen(r->table));
	}
	c->rows[1].key = 9;
	for (unsigned i = 0; i < 2; i++) {
		const struct model_database_span *s = &d->spans[i];

		c->spans[2 * i] = (struct live_database_span){ i + 1,      s->start_ns, s->ns,
			                                       s->request, s->thread,   (uint16_t)(place[s->row] + 1),
			                                       s->failed,  false,       i + 1 };
	}
	c->spans[1] = c->spans[0];
	c->spans[1].number = LIVE_WRITING; /* torn */
	c->calls[1] = (struct live_database_call){ .number = 5,
		                                   .start_ns = d->spans[2].start_ns,
		                                   .request = d->spans[2].request,
		                                   .spent_ns = d->spans[2].ns,
		                                   .thread = d->spans[2].thread,
		                                   .row = place[d->spans[2].row] + 1u,
		                                   .again = 5 };
}

static void add_database(struct live_build *b, const struct model_database *d)
{
	static struct database_chunk c = {
		.head = { .rows = TABLE(struct database_chunk, rows, struct live_database_row),
		          .spans = TABLE(struct database_chunk, spans, struct live_database_span),
		          .calls = TABLE(struct database_chunk, calls, struct live_database_call),
		          .systems = { "postgresql", "sqlite", "mysql" },
		          .operations = { "SELECT", "INSERT", "BEGIN" } },
	};

	fill_database(&c, d);
	(void)live_build_add(b, LIVE_DATABASE, 0, &c, sizeof(c));
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
	add_requests(&b, &m->requests);
	add_work(&b);
	add_offcpu(&b, &m->offcpu);
	add_database(&b, &m->database);
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

/* What is under way ends with the file. */
static void add_running(struct model *m)
{
	static struct model_request_span spans[3];
	static struct model_database_span calls[4];

	memcpy(spans, m->requests.spans, 2 * sizeof(spans[0]));
	spans[2] = (struct model_request_span){ 6000, m->end_ns, 6, 0, false };
	m->requests.spans = spans;
	m->requests.span_count = 3;
	memcpy(calls, m->database.spans, 3 * sizeof(calls[0]));
	calls[3] = (struct model_database_span){ 7000, m->end_ns - 7000, 6, 0, 0, false, true };
	m->database.spans = calls;
	m->database.span_count = 4;
}

struct model *live_build_expected_of(uint32_t minor)
{
	static const struct model_heap_detail none;
	static struct model_heap_row heap[3];
	static struct model_loss losses[5];
	static struct model m;

	m = *build_example();
	memcpy(heap, m.heap, sizeof(heap));
	memcpy(losses, m.losses, 3 * sizeof(losses[0]));
	heap[2].detail = &none;
	losses[3] = (struct model_loss){ "live.tables_outside", 5 };
	losses[4] = (struct model_loss){ "live.torn", minor >= 2 ? 5 : 0 };
	m.reason = "live";
	m.heap = heap;
	m.losses = losses;
	m.loss_count = 5;
	m.mark_count = m.mmap_count = 0;
	m.mmap_recorded = false;
	m.mmap_bytes = m.munmap_bytes = m.mmap_peak_bytes = m.mmap_peak_ns = 0;
	m.leaks = build_empty().leaks;
	m.because = m.boot = "";
	m.handler = m.late = build_empty().handler;
	add_running(&m);
	if (minor < 2) {
		m.requests = build_empty().requests;
		m.offcpu = build_empty().offcpu;
		m.database = build_empty().database;
	}
	m.series = build_empty().series;
	return &m;
}

struct model *live_build_expected(void)
{
	return live_build_expected_of(LIVE_MINOR);
}
