#undef NDEBUG
#include "compiler.h"
#include "snapshot_build.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "snapshot_codec.h"

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

static void text(struct put *p, const char *s)
{
	put_string(p, s, strlen(s));
}

static void put_times(struct put *p, const struct model_times *t)
{
	unsigned used = SNAP_SAMPLER_RANGES;

	while (used && !t->range[used - 1])
		used--;
	put_varint(p, t->most_ns);
	put_varint(p, used);
	for (unsigned i = 0; i < used; i++)
		put_varint(p, t->range[i]);
}

static void put_info(struct put *p, const struct model *m)
{
	put_varint(p, m->pid);
	put_varint(p, m->ppid);
	put_varint(p, m->sequence);
	text(p, m->comm);
	text(p, m->exe);
	text(p, m->cmdline);
	text(p, m->reason);
	put_varint(p, m->start_ns);
	put_varint(p, m->start_wall_ns);
	put_varint(p, m->end_ns);
	put_varint(p, m->end_wall_ns);
	put_varint(p, m->process_cpu_ns);
	put_varint(p, m->cpu_hz);
	put_varint(p, m->cpu_period_ns);
	put_varint(p, m->clock_is_wall);
	text(p, m->engine_cpu);
	text(p, m->engine_cpu_why);
	text(p, m->engine_heap);
	text(p, m->engine_unwind);
	put_varint(p, m->page_bytes);
	put_varint(p, m->cpus);
	text(p, m->kernel);
	text(p, m->machine);
	text(p, m->recorder_version);
	text(p, m->because);
	put_times(p, &m->handler);
	put_times(p, &m->late);
	text(p, m->boot);
}

static void put_modules(struct put *p, const struct model *m)
{
	put_varint(p, m->module_count);
	for (size_t i = 0; i < m->module_count; i++) {
		const struct model_module *mod = &m->modules[i];

		put_varint(p, mod->start);
		put_varint(p, mod->end);
		put_varint(p, mod->bias);
		put_varint(p, mod->flags);
		put_varint(p, mod->load_ns);
		put_varint(p, mod->unload_ns);
		text(p, mod->path);
		put_string(p, (const char *)mod->build_id, mod->build_id_bytes);
	}
}

static double count_scale(const struct model *m)
{
	return m->heap_mode == SNAP_HEAP_SAMPLED ? 65536 : 1;
}

static void put_heap(struct put *p, const struct model *m)
{
	double scale = count_scale(m);
	uint32_t last = 0;

	put_varint(p, m->heap_mode);
	put_varint(p, m->heap_interval_bytes);
	put_varint(p, (uint64_t)scale);
	put_varint(p, m->heap_peak_bytes);
	put_varint(p, m->heap_peak_ns);
	put_varint(p, m->heap_count);
	for (size_t i = 0; i < m->heap_count; i++) {
		const struct model_heap_row *r = &m->heap[i];

		put_varint(p, r->stack - last);
		last = r->stack;
		put_varint(p, (uint64_t)llround(r->alloc_count * scale));
		put_varint(p, r->alloc_bytes);
		put_varint(p, (uint64_t)llround(r->free_count * scale));
		put_varint(p, r->free_bytes);
		put_varint(p, (uint64_t)llround(r->peak_count * scale));
		put_varint(p, r->peak_bytes);
		put_varint(p, (uint64_t)llround(r->temporary_count * scale));
	}
}

static void put_heap_detail(struct put *p, const struct model *m)
{
	uint32_t last = 0;
	size_t n = 0;

	for (size_t i = 0; i < m->heap_count; i++)
		n += m->heap[i].detail != NULL;
	put_varint(p, m->heap_detail_one_in);
	put_varint(p, n);
	for (size_t i = 0; i < m->heap_count; i++) {
		const struct model_heap_detail *d = m->heap[i].detail;

		if (!d)
			continue;
		put_varint(p, m->heap[i].stack - last);
		last = m->heap[i].stack;
		put_varint(p, d->largest);
		put_varint(p, d->slop_bytes);
		put_varint(p, SNAP_LIFETIMES);
		for (unsigned k = 0; k < SNAP_LIFETIMES; k++)
			put_varint(p, (uint64_t)llround(d->lifetime[k] * count_scale(m)));
	}
}

static void put_heap_threads(struct put *p, const struct model *m)
{
	uint32_t last = 0;

	put_varint(p, m->heap_thread_count);
	for (size_t i = 0; i < m->heap_thread_count; i++) {
		const struct model_heap_thread *t = &m->heap_threads[i];

		put_varint(p, t->thread - last);
		last = t->thread;
		put_varint(p, (uint64_t)llround(t->alloc_count * count_scale(m)));
		put_varint(p, t->alloc_bytes);
		put_varint(p, (uint64_t)llround(t->live_count * count_scale(m)));
		put_varint(p, t->live_bytes);
	}
}

static void put_rows(struct put *p, const struct model *m, enum snap_section_id id)
{
	uint64_t last = 0;

	if (id == SNAP_STACKS) {
		put_varint(p, m->node_count);
		for (size_t i = 0; i < m->node_count; i++) {
			put_varint(p, i + 1 - m->nodes[i].parent);
			put_signed(p, (int64_t)(m->nodes[i].pc - last));
			last = m->nodes[i].pc;
		}
	} else if (id == SNAP_CPU) {
		put_varint(p, m->cpu_count);
		for (size_t i = 0; i < m->cpu_count; i++) {
			put_varint(p, m->cpu[i].stack - last);
			last = m->cpu[i].stack;
			put_varint(p, m->cpu[i].thread);
			put_varint(p, m->cpu[i].samples);
		}
	} else {
		put_varint(p, m->sample_count);
		for (size_t i = 0; i < m->sample_count; i++) {
			put_varint(p, m->samples[i].time_ns - last);
			last = m->samples[i].time_ns;
			put_varint(p, m->samples[i].thread);
			put_varint(p, m->samples[i].stack);
			put_varint(p, m->samples[i].weight);
		}
	}
}

static void put_misuse(struct put *p, const struct model *m)
{
	put_varint(p, m->misuse_count);
	for (size_t i = 0; i < m->misuse_count; i++) {
		const struct model_misuse *r = &m->misuse[i];
		uint64_t fields[] = { r->kind,  r->allocated_by, r->freed_by, r->no_block,  r->count,       r->address,
			              r->bytes, r->time_ns,      r->thread,   r->allocated, r->first_freed, r->freed };

		for (size_t k = 0; k < sizeof(fields) / sizeof(fields[0]); k++)
			put_varint(p, fields[k]);
	}
}

static void put_marks(struct put *p, const struct model *m)
{
	uint64_t last = 0;

	put_varint(p, m->mark_count);
	for (size_t i = 0; i < m->mark_count; i++) {
		put_varint(p, m->marks[i].time_ns - last);
		last = m->marks[i].time_ns;
		put_varint(p, m->marks[i].thread);
		text(p, m->marks[i].name);
	}
}

static void put_mmap(struct put *p, const struct model *m)
{
	uint32_t last = 0;

	put_varint(p, m->mmap_recorded);
	put_varint(p, m->mmap_bytes);
	put_varint(p, m->munmap_bytes);
	put_varint(p, m->mmap_peak_bytes);
	put_varint(p, m->mmap_peak_ns);
	put_varint(p, m->mmap_count);
	for (size_t i = 0; i < m->mmap_count; i++) {
		put_varint(p, m->mmap[i].stack - last);
		last = m->mmap[i].stack;
		put_varint(p, (uint64_t)m->mmap[i].alloc_count);
		put_varint(p, m->mmap[i].alloc_bytes);
	}
}

static void put_leaks(struct put *p, const struct model *m)
{
	const struct model_leaks *l = &m->leaks;
	const uint64_t numbers[] = { l->checks, l->time_ns,      l->pause_ns,   l->check_ns,
		                     l->cpu_ns, l->memory_bytes, l->threads,    l->threads_missed,
		                     l->blocks, l->block_bytes,  l->root_bytes, l->unread_bytes };
	uint32_t last = 0;

	put_varint(p, !l->done);
	text(p, l->method);
	text(p, l->note);
	put_varint(p, l->sampled);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		put_varint(p, numbers[i]);
	text(p, l->suppressions);
	put_varint(p, l->count);
	for (size_t i = 0; i < l->count; i++) {
		const struct model_leak *r = &l->rows[i];

		put_varint(p, r->stack - last);
		last = r->stack;
		put_varint(p, r->kind);
		put_varint(p, r->owner);
		put_varint(p, (uint64_t)llround(r->count * count_scale(m)));
		put_varint(p, r->bytes);
		put_varint(p, (uint64_t)llround(r->confirmed_count * count_scale(m)));
		put_varint(p, r->confirmed_bytes);
		put_varint(p, r->samples);
		put_varint(p, r->first_ns);
		put_varint(p, r->last_ns);
		put_varint(p, r->error_bytes);
	}
}

static void put_tables(struct put *p, const struct model *m, enum snap_section_id id)
{
	if (id == SNAP_OPTIONS) {
		put_varint(p, m->option_count);
		for (size_t i = 0; i < m->option_count; i++) {
			text(p, m->options[i].name);
			text(p, m->options[i].value);
			put_varint(p, m->options[i].source);
		}
	} else if (id == SNAP_LOSSES) {
		put_varint(p, m->loss_count);
		for (size_t i = 0; i < m->loss_count; i++) {
			text(p, m->losses[i].name);
			put_varint(p, m->losses[i].count);
		}
	} else {
		put_varint(p, m->thread_count);
		for (size_t i = 0; i < m->thread_count; i++) {
			put_varint(p, m->threads[i].tid);
			text(p, m->threads[i].name);
			put_varint(p, m->threads[i].start_ns);
			put_varint(p, m->threads[i].end_ns);
			put_varint(p, m->threads[i].cpu_ns);
		}
	}
}

static uint64_t later(uint64_t start, uint64_t ns)
{
	return ns ? ns - start + 1 : 0;
}

static void put_request(struct put *p, const struct model_request *r, uint64_t last)
{
	put_varint(p, r->id - last);
	put_varint(p, r->start_ns);
	put_varint(p, later(r->start_ns, r->first_ns));
	put_varint(p, later(r->start_ns, r->end_ns));
	put_varint(p, r->thread_start);
	put_varint(p, r->thread_end);
	put_varint(p, r->status);
	put_varint(p, r->bytes_in);
	put_varint(p, r->bytes_out);
	text(p, r->method);
	text(p, r->path);
}

static void put_ranges(struct put *p, const struct model_bucket *buckets, size_t n)
{
	put_varint(p, n);
	for (size_t i = 0; i < n; i++) {
		put_varint(p, buckets[i].bucket - (i ? buckets[i - 1].bucket : 0));
		put_varint(p, buckets[i].count);
	}
}

static void put_requests(struct put *p, const struct model_requests *q)
{
	uint64_t last = 0;

	put_varint(p, q->recorded);
	put_varint(p, q->count);
	put_varint(p, q->slow);
	put_varint(p, q->unanswered);
	put_varint(p, q->latency_ns);
	put_varint(p, q->route_count);
	for (size_t i = 0; i < q->route_count; i++) {
		const struct model_route *r = &q->routes[i];

		text(p, r->method);
		text(p, r->route);
		put_varint(p, r->status);
		put_varint(p, r->sum_ns);
		put_varint(p, r->max_ns);
		put_ranges(p, r->buckets, r->bucket_count);
	}
	put_varint(p, q->request_count);
	for (size_t i = 0; i < q->request_count; i++)
		put_request(p, &q->requests[i], i ? q->requests[i - 1].id : 0);
	put_varint(p, q->span_count);
	for (size_t i = 0; i < q->span_count; i++) {
		put_varint(p, q->spans[i].from_ns - last);
		last = q->spans[i].from_ns;
		put_varint(p, q->spans[i].to_ns - q->spans[i].from_ns);
		put_varint(p, q->spans[i].thread);
		put_varint(p, q->spans[i].request);
		put_varint(p, q->spans[i].shared);
	}
}

static void put_series(struct put *p, const struct model_series *s)
{
	struct model_series_point last = { 0 };

	put_varint(p, s->interval_ns);
	put_varint(p, s->count);
	for (size_t i = 0; i < s->count; i++) {
		const struct model_series_point *x = &s->points[i];

		put_varint(p, x->time_ns - last.time_ns);
		put_varint(p, x->cpu_ns - last.cpu_ns);
		put_varint(p, x->resident_bytes);
		put_varint(p, x->live_bytes);
		put_varint(p, x->requests - last.requests);
		last = *x;
	}
}

static void put_offcpu(struct put *p, const struct model_offcpu *o)
{
	uint64_t last = 0;

	put_varint(p, o->scope);
	put_varint(p, o->period_ns);
	text(p, o->why);
	put_varint(p, o->row_count);
	for (size_t i = 0; i < o->row_count; i++) {
		put_varint(p, o->rows[i].stack - last);
		last = o->rows[i].stack;
		put_varint(p, o->rows[i].thread);
		put_varint(p, o->rows[i].samples);
	}
	last = 0;
	put_varint(p, o->sample_count);
	for (size_t i = 0; i < o->sample_count; i++) {
		const struct model_offcpu_sample *s = &o->samples[i];

		put_varint(p, s->time_ns - last);
		last = s->time_ns;
		put_varint(p, s->stack);
		put_varint(p, s->thread);
		put_varint(p, s->weight);
		put_varint(p, s->request);
	}
}

static void put_database(struct put *p, const struct model_database *d)
{
	uint64_t last = 0;

	put_varint(p, d->recorded);
	put_varint(p, d->row_count);
	for (size_t i = 0; i < d->row_count; i++) {
		const struct model_database_row *r = &d->rows[i];

		text(p, r->system);
		text(p, r->operation);
		text(p, r->table);
		put_varint(p, r->errors);
		put_varint(p, r->sum_ns);
		put_varint(p, r->max_ns);
		put_ranges(p, r->buckets, r->bucket_count);
	}
	put_varint(p, d->span_count);
	for (size_t i = 0; i < d->span_count; i++) {
		const struct model_database_span *s = &d->spans[i];

		put_varint(p, s->start_ns - last);
		last = s->start_ns;
		put_varint(p, s->ns);
		put_varint(p, s->thread);
		put_varint(p, s->request);
		put_varint(p, s->row + 1);
		put_varint(p, (s->failed ? SNAP_DATABASE_FAILED : 0) | (s->unfinished ? SNAP_DATABASE_UNFINISHED : 0));
	}
}

uint8_t *build_section(const struct model *m, enum snap_section_id id, size_t *ret_bytes)
{
	uint8_t *raw = malloc(ROOM);
	struct put p = { raw, raw + ROOM, false };

	assert(raw);
	switch (id) {
	case SNAP_INFO:
		put_info(&p, m);
		break;
	case SNAP_OPTIONS:
	case SNAP_LOSSES:
	case SNAP_THREADS:
		put_tables(&p, m, id);
		break;
	case SNAP_MODULES:
		put_modules(&p, m);
		break;
	case SNAP_HEAP:
		put_heap(&p, m);
		break;
	case SNAP_STACKS:
	case SNAP_CPU:
	case SNAP_SAMPLES:
		put_rows(&p, m, id);
		break;
	case SNAP_MISUSE:
		put_misuse(&p, m);
		break;
	case SNAP_HEAP_DETAIL:
		put_heap_detail(&p, m);
		break;
	case SNAP_HEAP_THREADS:
		put_heap_threads(&p, m);
		break;
	case SNAP_MARKS:
		put_marks(&p, m);
		break;
	case SNAP_MMAP:
		put_mmap(&p, m);
		break;
	case SNAP_LEAKS:
		if (m->leaks.recorded)
			put_leaks(&p, m);
		break;
	case SNAP_REQUESTS:
		put_requests(&p, &m->requests);
		break;
	case SNAP_OFFCPU:
		put_offcpu(&p, &m->offcpu);
		break;
	case SNAP_DATABASE:
		put_database(&p, &m->database);
		break;
	case SNAP_SERIES:
		put_series(&p, &m->series);
		break;
	}
	assert(!p.full);
	*ret_bytes = (size_t)(p.at - raw);
	return raw;
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
