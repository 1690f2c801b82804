/*
 * snapshot_encode.c - tables to sections to a file: what snapshot_decode.c and snapshot_read.c take apart.
 *
 * The codec writes into a range of a given size, as the recorder must. Here a section that does not fit is written again into twice
 * the room: sections are many small numbers, and the second time costs less than asking before each.
 */
#include "snapshot_encode.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "buf.h"
#include "model.h"
#include "snapshot_codec.h"

enum { FIRST_ROOM = 1 << 16, ZSTD_LEVEL = 3 };

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
	if (m->heap_count_scale)
		return (double)m->heap_count_scale;
	return m->heap_mode == SNAP_HEAP_SAMPLED ? 65536 : 1;
}

/* In the file's units. A count beyond 63 bits is no count of a validated model's. */
static void put_count(struct put *p, const struct model *m, double count)
{
	double units = count * count_scale(m);

	put_varint(p, units >= 0x1p63 ? INT64_MAX : (uint64_t)llround(units));
}

static void put_heap(struct put *p, const struct model *m)
{
	uint32_t last = 0;

	put_varint(p, m->heap_mode);
	put_varint(p, m->heap_interval_bytes);
	put_varint(p, m->heap_count_scale ? m->heap_count_scale : (uint64_t)count_scale(m));
	put_varint(p, m->heap_peak_bytes);
	put_varint(p, m->heap_peak_ns);
	put_varint(p, m->heap_count);
	for (size_t i = 0; i < m->heap_count; i++) {
		const struct model_heap_row *r = &m->heap[i];

		put_varint(p, r->stack - last);
		last = r->stack;
		put_count(p, m, r->alloc_count);
		put_varint(p, r->alloc_bytes);
		put_count(p, m, r->free_count);
		put_varint(p, r->free_bytes);
		put_count(p, m, r->peak_count);
		put_varint(p, r->peak_bytes);
		put_count(p, m, r->temporary_count);
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
			put_count(p, m, d->lifetime[k]);
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
		put_count(p, m, t->alloc_count);
		put_varint(p, t->alloc_bytes);
		put_count(p, m, t->live_count);
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

		for (size_t k = 0; k < ARRAY_LEN(fields); k++)
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
		put_varint(p, m->mmap[i].alloc_count >= 0x1p63 ? INT64_MAX : (uint64_t)m->mmap[i].alloc_count);
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
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		put_varint(p, numbers[i]);
	text(p, l->suppressions);
	put_varint(p, l->count);
	for (size_t i = 0; i < l->count; i++) {
		const struct model_leak *r = &l->rows[i];

		put_varint(p, r->stack - last);
		last = r->stack;
		put_varint(p, r->kind);
		put_varint(p, r->owner);
		put_count(p, m, r->count);
		put_varint(p, r->bytes);
		put_count(p, m, r->confirmed_count);
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

static void put_section(struct put *p, const struct model *m, enum snap_section_id id)
{
	switch (id) {
	case SNAP_INFO:
		put_info(p, m);
		break;
	case SNAP_OPTIONS:
	case SNAP_LOSSES:
	case SNAP_THREADS:
		put_tables(p, m, id);
		break;
	case SNAP_MODULES:
		put_modules(p, m);
		break;
	case SNAP_HEAP:
		put_heap(p, m);
		break;
	case SNAP_STACKS:
	case SNAP_CPU:
	case SNAP_SAMPLES:
		put_rows(p, m, id);
		break;
	case SNAP_MISUSE:
		put_misuse(p, m);
		break;
	case SNAP_HEAP_DETAIL:
		put_heap_detail(p, m);
		break;
	case SNAP_HEAP_THREADS:
		put_heap_threads(p, m);
		break;
	case SNAP_MARKS:
		put_marks(p, m);
		break;
	case SNAP_MMAP:
		put_mmap(p, m);
		break;
	case SNAP_LEAKS:
		if (m->leaks.recorded)
			put_leaks(p, m);
		break;
	case SNAP_REQUESTS:
		put_requests(p, &m->requests);
		break;
	case SNAP_OFFCPU:
		put_offcpu(p, &m->offcpu);
		break;
	case SNAP_DATABASE:
		put_database(p, &m->database);
		break;
	case SNAP_SERIES:
		put_series(p, &m->series);
		break;
	}
}

int snapshot_encode_section(const struct model *m, enum snap_section_id id, struct buf *out)
{
	for (size_t room = FIRST_ROOM;; room *= 2) {
		uint8_t *raw = room <= SNAP_MAX_RAW_BYTES ? malloc(room) : NULL;
		struct put p = { raw, raw + room, false };

		if (!raw)
			return room <= SNAP_MAX_RAW_BYTES ? -ENOMEM : -E2BIG;
		put_section(&p, m, id);
		if (!p.full)
			buf_add(out, raw, (size_t)(p.at - raw));
		free(raw);
		if (!p.full)
			return out->failed ? -ENOMEM : 0;
	}
}

/* ---- the file ---- */

static const enum snap_section_id ids[] = {
#define ENCODE_SECTION_ID(id, name, text) SNAP_##name,
	SNAP_SECTIONS(ENCODE_SECTION_ID)
#undef ENCODE_SECTION_ID
};

/* Appends the section's stored bytes to `body`, and tells of them in `ret`. */
static int add_section(const struct model *m, enum snap_section_id id, struct buf *body, struct snap_section *ret)
{
	struct buf raw = { 0 };
	size_t bound, stored;
	char *packed = NULL;
	int rc = snapshot_encode_section(m, id, &raw);

	if (rc == 0) {
		bound = ZSTD_compressBound(raw.len);
		packed = malloc(bound);
		rc = packed ? 0 : -ENOMEM;
	}
	if (rc == 0) {
		stored = ZSTD_compress(packed, bound, raw.data, raw.len, ZSTD_LEVEL);
		rc = ZSTD_isError(stored) ? -ENOMEM : 0; /* the one failure of a destination that is large enough */
	}
	if (rc == 0) {
		*ret = (struct snap_section){ .id = id,
			                      .codec = SNAP_CODEC_ZSTD,
			                      .offset = body->len,
			                      .stored_bytes = stored,
			                      .raw_bytes = raw.len,
			                      .crc = crc32c(0, packed, stored) };
		buf_add(body, packed, stored);
		rc = body->failed ? -ENOMEM : 0;
	}
	free(packed);
	buf_done(&raw);
	return rc;
}

static void add_head(struct buf *out, struct snap_section *sections, uint32_t count, size_t body_bytes)
{
	uint64_t index_bytes = count * sizeof(*sections);
	struct snap_header h = { .major = SNAP_MAJOR,
		                 .minor = SNAP_MINOR,
		                 .header_bytes = sizeof(h),
		                 .section_count = count,
		                 .entry_bytes = sizeof(*sections),
		                 .file_bytes = sizeof(h) + index_bytes + body_bytes };

	memcpy(h.magic, SNAP_MAGIC, SNAP_MAGIC_BYTES);
	for (uint32_t i = 0; i < count; i++)
		sections[i].offset += sizeof(h) + index_bytes;
	h.head_crc = crc32c(crc32c(0, &h, sizeof(h)), sections, index_bytes);
	buf_add(out, &h, sizeof(h));
	buf_add(out, sections, index_bytes);
}

int snapshot_encode(const struct model *m, struct buf *out, struct err *err)
{
	struct snap_section sections[ARRAY_LEN(ids)];
	struct buf body = { 0 };
	uint32_t count = 0;
	int rc = 0;

	for (size_t i = 0; i < ARRAY_LEN(ids) && rc == 0; i++)
		if (ids[i] != SNAP_LEAKS || m->leaks.recorded) /* no section: there was no check */
			rc = add_section(m, ids[i], &body, &sections[count++]);
	if (rc == 0) {
		add_head(out, sections, count, body.len);
		buf_add(out, body.data, body.len);
		rc = out->failed ? -ENOMEM : 0;
	}
	buf_done(&body);
	if (rc < 0)
		return err_set(err, rc, rc == -E2BIG ? "a section would be larger than 4 GiB" : "out of memory");
	return 0;
}
