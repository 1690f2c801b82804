/*
 * live_read.c - the tables of a process that may have been killed between any two stores.
 *
 * Nothing is believed: chunks outside the file, nodes that name no earlier parent, counters of stacks that are not there
 * and samples without a time are left out. Of two tables of one thread (it was growing) the newer complete one counts.
 *
 * Bounds     chunks may be claimed to overlap, so a list of thousands could have a small file read thousands of times: the chunks
 *            that count hold at most twice the file (a list and content read at different moments may overlap a little).
 *            Sums that views form fit 63 bits, as in snapshot_decode.c: a row that would not let them is left out.
 */
#include "live_read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "live_layout.h"
#include "live_read_part.h"
#include "model_memory.h"
#include "snapshot_layout.h"
#include "snapshot_read.h"

#define LATE_MOST_NS UINT64_C(3600000000000) /* a header that is older than that describes another time */

/* Counters of version 1 had this size when it was new; what they lack is 0. */
enum { LEAST_COUNTER = offsetof(struct live_counter, largest) };

bool live_is(const uint8_t *data, size_t bytes)
{
	return bytes >= LIVE_MAGIC_BYTES && memcmp(data, LIVE_MAGIC, LIVE_MAGIC_BYTES) == 0;
}

int live_no_memory(struct err *err)
{
	return err_set(err, -ENOMEM, "out of memory");
}

static int check_header(const struct live *l, struct err *err)
{
	const struct live_header *h = l->header;

	if (h->version != LIVE_VERSION)
		return err_set(err, -EPROTO, "live format version %u is not the one that this program reads (%d)",
		               h->version, LIVE_VERSION);
	if (h->chunk_bytes != sizeof(struct live_chunk) || h->node_bytes < sizeof(struct live_node) ||
	    h->counter_bytes < LEAST_COUNTER || h->sample_bytes < sizeof(struct live_sample) ||
	    (h->detail_bytes && h->detail_bytes < sizeof(struct live_detail)) || h->detail_bytes > 4096 ||
	    h->node_bytes > 4096 || h->counter_bytes > 4096 || h->sample_bytes > 4096)
		return err_set(err, -EPROTO, "damaged: structures of impossible sizes");
	if (h->segment_nodes == 0 || h->segment_nodes > 1u << 24 || h->count_scale == 0 ||
	    h->heap_mode > SNAP_HEAP_FULL)
		return err_set(err, -EPROTO, "damaged: the header makes no sense");
	return 0;
}

/* The chunk's bytes, or NULL: it is not one of that kind, or lies outside the file. */
const uint8_t *live_chunk(const struct live *l, uint32_t i, enum live_kind kind, size_t *ret_bytes)
{
	const struct live_chunk *c = &l->header->chunk[i];

	if (c->kind != (uint32_t)kind || !c->active || c->offset % 8 != 0 || c->offset < sizeof(*l->header) ||
	    c->offset > l->bytes || c->bytes > l->bytes - c->offset)
		return NULL;
	*ret_bytes = c->bytes;
	return l->data + c->offset;
}

/* Sets how many entries of the list count: see above. */
static void count_chunks(struct live *l)
{
	uint64_t left = 2 * (uint64_t)l->bytes;

	for (l->chunks = 0; l->chunks < LIVE_CHUNKS; l->chunks++) {
		size_t bytes = 0;

		if (!live_chunk(l, l->chunks, (enum live_kind)l->header->chunk[l->chunks].kind, &bytes))
			continue;
		if (bytes > left)
			break;
		left -= bytes;
	}
}

/* The newest complete chunk of that kind and owner; LIVE_CHUNKS: there is none. */
uint32_t live_newest(const struct live *l, enum live_kind kind, uint32_t owner)
{
	uint32_t best = LIVE_CHUNKS;
	size_t bytes;

	for (uint32_t i = 0; i < l->chunks; i++) {
		const struct live_chunk *c = &l->header->chunk[i];

		if (c->owner == owner && live_chunk(l, i, kind, &bytes) &&
		    (best == LIVE_CHUNKS || c->serial > l->header->chunk[best].serial))
			best = i;
	}
	return best;
}

/* ---- frame -------------------------------------------------------------------------------------------------------- */

static int read_frame(struct live *l, struct err *err)
{
	uint32_t i = live_newest(l, LIVE_FRAME, 0);
	struct snap_header h;
	const uint8_t *at;
	size_t bytes = 0;

	at = i < LIVE_CHUNKS ? live_chunk(l, i, LIVE_FRAME, &bytes) : NULL;
	if (!at || bytes < sizeof(h))
		return err_set(err, -EPROTO, "the process ended before it had described itself here");
	memcpy(&h, at, sizeof(h));
	if (h.file_bytes > bytes)
		return err_set(err, -EPROTO, "damaged: its description is cut short");
	return snapshot_read(at, h.file_bytes, &l->m, err) < 0 ? err_wrap(err, "description") : 0;
}

/* ---- tables that describe themselves: since 1.2 ---------------------------------------------------------------------- */

const uint8_t *live_only(const struct live *l, enum live_kind kind, size_t head_bytes, size_t *ret_bytes)
{
	uint32_t i = live_newest(l, kind, 0);
	const uint8_t *at = i < LIVE_CHUNKS ? live_chunk(l, i, kind, ret_bytes) : NULL;

	return at && *ret_bytes >= head_bytes && l->m->thread_count ? at : NULL;
}

struct live_rows live_rows(const uint8_t *chunk, size_t bytes, const struct live_table *t, size_t least)
{
	size_t room;

	if (t->row_bytes < least || t->offset > bytes)
		return (struct live_rows){ chunk, least, 0 };
	room = (bytes - t->offset) / t->row_bytes;
	return (struct live_rows){ chunk + t->offset, t->row_bytes, t->rows < room ? t->rows : room };
}

void live_note_time(struct live *l, uint64_t ns)
{
	if (ns > l->newest_ns && ns < l->m->end_ns + LATE_MOST_NS)
		l->newest_ns = ns;
}

bool live_is_whole(struct live *l, uint64_t number, uint64_t again)
{
	if (number == 0)
		return false;
	if (number == again && number != LIVE_WRITING)
		return true;
	l->torn++;
	return false;
}

uint32_t live_thread(const struct live *l, uint64_t thread)
{
	return thread < l->m->thread_count ? (uint32_t)thread : 0;
}

const char *live_text(struct live *l, const char *text, size_t most)
{
	return arena_text(model_arena(l->m), text, strnlen(text, most));
}

bool live_ranges(struct live *l, const struct live_durations *d, uint64_t *sum, struct model_bucket **ret,
                 size_t *ret_n, uint64_t *ret_count)
{
	struct model_bucket *buckets;
	size_t n = 0;

	*ret_count = 0;
	for (unsigned i = 0; i < SNAP_REQUEST_BUCKETS; i++) {
		n += d->range[i] != 0;
		*ret_count += d->range[i];
	}
	if (!live_sum_fits(*sum, *ret_count)) {
		*ret_n = *ret_count = 0;
		return true;
	}
	*sum += *ret_count;
	buckets = arena_array(model_arena(l->m), n, sizeof(*buckets));
	*ret = buckets;
	*ret_n = n;
	for (uint32_t i = 0; buckets && i < SNAP_REQUEST_BUCKETS; i++)
		if (d->range[i])
			*buckets++ = (struct model_bucket){ i, d->range[i] };
	return *ret != NULL;
}

/* ---- stacks ------------------------------------------------------------------------------------------------------- */

static int read_nodes(struct live *l, struct err *err)
{
	const struct live_header *h = l->header;
	const uint8_t *segment = NULL;
	uint32_t segment_at = UINT32_MAX;
	size_t bytes = 0, room = 0;

	for (uint32_t i = 0; i < l->chunks; i++)
		if (live_chunk(l, i, LIVE_NODES, &bytes))
			room += bytes / h->node_bytes;
	if (room > SNAP_MAX_STACKS)
		room = SNAP_MAX_STACKS;
	l->m->nodes = arena_array(model_arena(l->m), room + 1, sizeof(*l->m->nodes));
	if (!l->m->nodes)
		return live_no_memory(err);
	for (uint32_t id = 1; id <= room; id++) {
		struct live_node n;
		size_t in_segment = (size_t)(id % h->segment_nodes) * h->node_bytes;

		if (id / h->segment_nodes != segment_at) {
			uint32_t i;

			segment_at = id / h->segment_nodes;
			i = live_newest(l, LIVE_NODES, segment_at);
			segment = i < LIVE_CHUNKS ? live_chunk(l, i, LIVE_NODES, &bytes) : NULL;
		}
		if (!segment || in_segment + sizeof(n) > bytes)
			break;
		memcpy(&n, segment + in_segment, sizeof(n));
		if (n.pc == SNAP_PC_NONE || n.parent >= id)
			break; /* the first that was not complete */
		l->m->nodes[id - 1] = (struct model_node){ n.parent, n.pc };
		l->m->node_count = id;
	}
	return 0;
}

/* ---- counters ----------------------------------------------------------------------------------------------------- */

/* What the threads' counters of one stack add up to. */
struct sum {
	uint64_t alloc_count, alloc_bytes, free_count, free_bytes, temporary_count;
	int64_t peak_count, peak_bytes, slop_bytes;
	uint64_t largest, *lifetime; /* SNAP_LIFETIMES of them, in the model's arena; NULL: none */
};

/* What views add up over all rows. */
enum total {
	TOTAL_ALLOC_COUNT,
	TOTAL_ALLOC_BYTES,
	TOTAL_FREE_COUNT,
	TOTAL_FREE_BYTES,
	TOTAL_TEMPORARY,
	TOTAL_PEAK_COUNT, /* sizes, whatever the sign */
	TOTAL_PEAK_BYTES,
	TOTAL_CPU,
	TOTALS
};

struct sums {
	uint64_t total[TOTALS], slop, lifetimes, live_bytes;
	struct sum *heap; /* by stack */
	struct model_heap_thread *threads;
	struct model_cpu_row *cpu;
	size_t cpu_count, cpu_room;
};

bool live_sum_fits(uint64_t sum, uint64_t add)
{
	return add <= INT64_MAX - sum;
}

static uint64_t size_of(int64_t n)
{
	return n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
}

static bool add_cpu(struct live *l, struct sums *s, uint32_t stack, uint32_t thread, uint64_t samples)
{
	if (s->cpu_count == s->cpu_room) {
		size_t room = s->cpu_room ? s->cpu_room * 2 : 256;
		struct model_cpu_row *grown = realloc(s->cpu, room * sizeof(*grown));

		if (!grown)
			return false;
		s->cpu = grown;
		s->cpu_room = room;
	}
	s->cpu[s->cpu_count++] = (struct model_cpu_row){ stack, thread < l->m->thread_count ? thread : 0, samples };
	return true;
}

/* The details of the counters in one table. */
struct details {
	const uint8_t *at;
	size_t rows;
};

static bool detail_fits(struct sums *s, const struct live_detail *d)
{
	uint64_t lifetimes = s->lifetimes;

	for (unsigned i = 0; i < SNAP_LIFETIMES; i++) {
		if (!live_sum_fits(lifetimes, d->lifetime[i]))
			return false;
		lifetimes += d->lifetime[i];
	}
	if (!live_sum_fits(s->slop, size_of(d->slop_bytes)))
		return false;
	s->slop += size_of(d->slop_bytes);
	s->lifetimes = lifetimes;
	return true;
}

static bool add_detail(struct live *l, struct sums *s, struct sum *to, const struct details *from, uint32_t place)
{
	struct live_detail d;

	if (place >= from->rows)
		return true;
	memcpy(&d, from->at + (size_t)place * l->header->detail_bytes, sizeof(d));
	if (!detail_fits(s, &d))
		return true;
	to->slop_bytes += d.slop_bytes;
	if (!to->lifetime)
		to->lifetime = arena_array(model_arena(l->m), SNAP_LIFETIMES, sizeof(*to->lifetime));
	for (unsigned i = 0; to->lifetime && i < SNAP_LIFETIMES; i++)
		to->lifetime[i] += d.lifetime[i];
	return to->lifetime != NULL;
}

static void add_thread(struct live *l, struct sums *s, const struct live_counter *c, uint32_t owner)
{
	if (owner == LIVE_ENDED || owner >= l->m->thread_count)
		return;
	s->threads[owner].alloc_count += (double)c->alloc_count;
	s->threads[owner].alloc_bytes += c->alloc_bytes;
}

static bool counter_fits(struct sums *s, const struct live_counter *c)
{
	const uint64_t add[TOTALS] = {
		[TOTAL_ALLOC_COUNT] = c->alloc_count,        [TOTAL_ALLOC_BYTES] = c->alloc_bytes,
		[TOTAL_FREE_COUNT] = c->free_count,          [TOTAL_FREE_BYTES] = c->free_bytes,
		[TOTAL_TEMPORARY] = c->temporary_count,      [TOTAL_PEAK_COUNT] = size_of(c->peak_count),
		[TOTAL_PEAK_BYTES] = size_of(c->peak_bytes), [TOTAL_CPU] = c->cpu_samples,
	};

	for (unsigned i = 0; i < TOTALS; i++)
		if (!live_sum_fits(s->total[i], add[i]))
			return false;
	for (unsigned i = 0; i < TOTALS; i++)
		s->total[i] += add[i];
	return true;
}

/* `c` is the caller's copy. */
static bool add_counter(struct live *l, struct sums *s, struct live_counter *c, uint32_t owner,
                        const struct details *details)
{
	uint32_t stack = (uint32_t)c->key - 1, thread = c->key >> 32 ? (uint32_t)(c->key >> 32) : owner;
	struct sum *sum;

	if (c->epoch != l->epoch) {
		c->peak_count = (int64_t)(c->alloc_count - c->free_count);
		c->peak_bytes = (int64_t)(c->alloc_bytes - c->free_bytes);
	}
	if (c->key == 0 || stack > l->m->node_count || !counter_fits(s, c))
		return true;
	sum = &s->heap[stack];
	sum->alloc_count += c->alloc_count;
	sum->alloc_bytes += c->alloc_bytes;
	sum->free_count += c->free_count;
	sum->free_bytes += c->free_bytes;
	sum->temporary_count += c->temporary_count;
	sum->peak_count += c->peak_count;
	sum->peak_bytes += c->peak_bytes;
	sum->largest = c->largest > sum->largest ? c->largest : sum->largest;
	add_thread(l, s, c, owner);
	if (!add_detail(l, s, sum, details, c->detail))
		return false;
	return c->cpu_samples == 0 || l->m->thread_count == 0 || add_cpu(l, s, stack, thread, c->cpu_samples);
}

/* Calls `add` (may be NULL: only looks for the newest epoch) with every counter of the chunk. */
static bool walk_table(struct live *l, uint32_t i, struct sums *s)
{
	size_t bytes = 0, slots;
	const uint8_t *at = live_chunk(l, i, LIVE_COUNTERS, &bytes);
	size_t counter = l->header->counter_bytes;
	struct details details = { NULL, 0 };
	struct live_counters head;

	if (!at || bytes < sizeof(head))
		return true;
	memcpy(&head, at, sizeof(head));
	slots = (bytes - sizeof(head)) / counter;
	if (slots > (size_t)head.mask + 1)
		slots = (size_t)head.mask + 1;
	if (l->header->detail_bytes) {
		details.at = at + sizeof(head) + slots * counter;
		details.rows = (bytes - sizeof(head) - slots * counter) / l->header->detail_bytes;
	}
	for (size_t k = 0; k < slots; k++) {
		struct live_counter c = { 0 };

		memcpy(&c, at + sizeof(head) + k * counter, counter < sizeof(c) ? counter : sizeof(c));
		if (!s)
			l->epoch = c.key && c.epoch > l->epoch ? c.epoch : l->epoch;
		else if (!add_counter(l, s, &c, l->header->chunk[i].owner, &details))
			return false;
	}
	return true;
}

static uint64_t at_most(uint64_t value, uint64_t limit)
{
	return value < limit ? value : limit;
}

static const struct model_heap_detail *make_detail(struct live *l, const struct sum *h)
{
	struct model_heap_detail *d = arena_array(model_arena(l->m), 1, sizeof(*d));

	if (!d)
		return NULL;
	d->largest = h->largest;
	d->slop_bytes = h->slop_bytes > 0 ? (uint64_t)h->slop_bytes : 0;
	for (unsigned i = 0; h->lifetime && i < SNAP_LIFETIMES; i++)
		d->lifetime[i] = (double)h->lifetime[i] / l->header->count_scale;
	return d;
}

static int make_heap(struct live *l, const struct sums *s, struct err *err)
{
	double scale = l->header->count_scale;
	struct model *m = l->m;
	size_t rows = 0;

	for (size_t id = 0; id <= m->node_count; id++)
		rows += s->heap[id].alloc_count != 0;
	m->heap = arena_array(model_arena(m), rows, sizeof(*m->heap));
	if (!m->heap)
		return live_no_memory(err);
	for (size_t id = 0; id <= m->node_count; id++) {
		const struct sum *h = &s->heap[id];

		if (h->alloc_count == 0)
			continue;
		m->heap[m->heap_count++] = (struct model_heap_row){
			.stack = (uint32_t)id,
			.alloc_count = (double)h->alloc_count / scale,
			.free_count = (double)at_most(h->free_count, h->alloc_count) / scale,
			.peak_count = h->peak_count > 0 ? (double)h->peak_count / scale : 0,
			.temporary_count = (double)at_most(h->temporary_count, h->alloc_count) / scale,
			.alloc_bytes = h->alloc_bytes,
			.free_bytes = at_most(h->free_bytes, h->alloc_bytes),
			.peak_bytes = h->peak_bytes > 0 ? (uint64_t)h->peak_bytes : 0,
			.detail = make_detail(l, h),
		};
		if (!m->heap[m->heap_count - 1].detail)
			return live_no_memory(err);
	}
	return 0;
}

/* What threads allocated that have ended, and what is left of all. */
static void add_ended_threads(struct live *l, struct sums *s)
{
	uint32_t i = live_newest(l, LIVE_THREADS, 0);
	size_t bytes = 0;
	const uint8_t *at = i < LIVE_CHUNKS ? live_chunk(l, i, LIVE_THREADS, &bytes) : NULL;

	for (size_t k = 0; at && k < l->m->thread_count && k < bytes / sizeof(struct live_thread); k++) {
		struct model_heap_thread *to = &s->threads[k];
		struct live_thread t;

		memcpy(&t, at + k * sizeof(t), sizeof(t));
		if (live_sum_fits(s->total[TOTAL_ALLOC_BYTES], t.ended_bytes)) {
			s->total[TOTAL_ALLOC_BYTES] += t.ended_bytes;
			to->alloc_bytes += t.ended_bytes;
			to->alloc_count += (double)t.ended_count;
		}
		if (t.live_bytes > 0 && live_sum_fits(s->live_bytes, (uint64_t)t.live_bytes)) {
			s->live_bytes += (uint64_t)t.live_bytes;
			to->live_bytes = (uint64_t)t.live_bytes;
		}
		to->live_count = t.live_count > 0 ? (double)t.live_count : 0;
	}
}

static int make_heap_threads(struct live *l, struct sums *s, struct err *err)
{
	double scale = l->header->count_scale;
	struct model *m = l->m;

	add_ended_threads(l, s);
	m->heap_threads = arena_array(model_arena(m), m->thread_count, sizeof(*m->heap_threads));
	if (!m->heap_threads)
		return live_no_memory(err);
	for (size_t i = 0; i < m->thread_count; i++) {
		struct model_heap_thread t = s->threads[i];

		if (t.alloc_count <= 0)
			continue;
		t.thread = (uint32_t)i;
		t.alloc_count /= scale;
		t.live_count /= scale;
		m->heap_threads[m->heap_thread_count++] = t;
	}
	return 0;
}

int live_by_stack_and_thread(const void *a, const void *b)
{
	const struct model_cpu_row *x = a, *y = b;

	if (x->stack != y->stack)
		return x->stack < y->stack ? -1 : 1;
	return x->thread < y->thread ? -1 : x->thread > y->thread;
}

static int make_cpu(struct live *l, struct sums *s, struct err *err)
{
	struct model *m = l->m;

	m->cpu = arena_array(model_arena(m), s->cpu_count, sizeof(*m->cpu));
	if (!m->cpu)
		return live_no_memory(err);
	if (s->cpu_count)
		qsort(s->cpu, s->cpu_count, sizeof(*s->cpu), live_by_stack_and_thread);
	for (size_t i = 0; i < s->cpu_count; i++) {
		struct model_cpu_row *last = m->cpu_count ? &m->cpu[m->cpu_count - 1] : NULL;

		if (last && live_by_stack_and_thread(last, &s->cpu[i]) == 0)
			last->samples += s->cpu[i].samples;
		else
			m->cpu[m->cpu_count++] = s->cpu[i];
	}
	return 0;
}

static int read_counters(struct live *l, struct err *err)
{
	struct sums s = { .heap = calloc(l->m->node_count + 1, sizeof(*s.heap)),
		          .threads = calloc(l->m->thread_count + 1, sizeof(*s.threads)) };
	int rc = s.heap && s.threads ? 0 : live_no_memory(err);

	l->epoch = l->header->epoch;
	for (uint32_t i = 0; i < l->chunks; i++)
		(void)walk_table(l, i, NULL);
	for (uint32_t i = 0; i < l->chunks && rc == 0; i++)
		if (l->header->chunk[i].kind == LIVE_COUNTERS &&
		    live_newest(l, LIVE_COUNTERS, l->header->chunk[i].owner) == i && !walk_table(l, i, &s))
			rc = live_no_memory(err);
	if (rc == 0)
		rc = make_heap(l, &s, err);
	if (rc == 0)
		rc = make_heap_threads(l, &s, err);
	if (rc == 0)
		rc = make_cpu(l, &s, err);
	free(s.heap);
	free(s.threads);
	free(s.cpu);
	return rc;
}

/* ---- samples ------------------------------------------------------------------------------------------------------ */

static int by_time(const void *a, const void *b)
{
	const struct model_sample *x = a, *y = b;

	return x->time_ns < y->time_ns ? -1 : x->time_ns > y->time_ns;
}

static int read_samples(struct live *l, struct err *err)
{
	const struct live_header *h = l->header;
	struct model *m = l->m;
	size_t bytes, room = 0;

	for (uint32_t i = 0; i < l->chunks; i++)
		if (live_chunk(l, i, LIVE_RING, &bytes))
			room += bytes / h->sample_bytes;
	m->samples = arena_array(model_arena(m), room, sizeof(*m->samples));
	if (!m->samples)
		return live_no_memory(err);
	for (uint32_t i = 0; i < l->chunks; i++) {
		const uint8_t *at = live_chunk(l, i, LIVE_RING, &bytes);

		for (size_t k = 0; at && k < bytes / h->sample_bytes; k++) {
			struct live_sample s;

			memcpy(&s, at + k * h->sample_bytes, sizeof(s));
			if (s.time_ns < m->start_ns || s.stack > m->node_count || s.thread >= m->thread_count ||
			    s.weight == 0)
				continue;
			live_note_time(l, s.time_ns);
			m->samples[m->sample_count++] = (struct model_sample){ s.time_ns, s.thread, s.stack, s.weight };
		}
	}
	if (m->sample_count)
		qsort(m->samples, m->sample_count, sizeof(*m->samples), by_time);
	return 0;
}

/* ---- misuse ------------------------------------------------------------------------------------------------------- */

static uint32_t known_stack(const struct live *l, uint32_t stack)
{
	return stack <= l->m->node_count ? stack : 0;
}

/* Its count is written last, so only damage makes a row that is counted and of no kind. */
static bool is_row(const struct live_misuse *r, uint64_t room)
{
	return r->kind < SNAP_MISUSE_COUNT && r->allocated_by < SNAP_FAMILY_COUNT && r->freed_by < SNAP_FAMILY_COUNT &&
	       r->no_block < SNAP_NO_BLOCK_COUNT && r->count <= room;
}

static int read_misuse(struct live *l, struct err *err)
{
	uint32_t i = live_newest(l, LIVE_MISUSE, 0), step = l->header->misuse_bytes;
	const uint8_t *at = NULL;
	uint64_t room = INT64_MAX;
	size_t bytes = 0;

	if (i < LIVE_CHUNKS && step >= sizeof(struct live_misuse) && step <= 4096 && l->m->thread_count)
		at = live_chunk(l, i, LIVE_MISUSE, &bytes);
	if (!at)
		return 0;
	l->m->misuse = arena_array(model_arena(l->m), bytes / step, sizeof(*l->m->misuse));
	if (!l->m->misuse)
		return live_no_memory(err);
	for (size_t k = 0; k < bytes / step; k++) {
		struct live_misuse r;

		memcpy(&r, at + k * step, sizeof(r));
		if (r.count == 0)
			break;
		if (!is_row(&r, room))
			continue;
		room -= r.count;
		l->m->misuse[l->m->misuse_count++] = (struct model_misuse){
			.kind = (enum snap_misuse)r.kind,
			.allocated_by = (enum snap_family)r.allocated_by,
			.freed_by = (enum snap_family)r.freed_by,
			.no_block = (enum snap_no_block)r.no_block,
			.thread = r.thread < l->m->thread_count ? r.thread : 0,
			.allocated = known_stack(l, r.allocated),
			.first_freed = known_stack(l, r.first_freed),
			.freed = known_stack(l, r.freed),
			.count = r.count,
			.address = r.address,
			.bytes = r.bytes,
			.time_ns = r.time_ns,
		};
	}
	return 0;
}

/* ---- all ---------------------------------------------------------------------------------------------------------- */

static int add_losses(struct live *l, struct err *err)
{
	struct model *m = l->m;
	struct model_loss *losses = arena_array(model_arena(m), m->loss_count + 2, sizeof(*losses));

	if (!losses)
		return live_no_memory(err);
	if (m->loss_count)
		memcpy(losses, m->losses, m->loss_count * sizeof(*losses));
	losses[m->loss_count++] = (struct model_loss){ "live.tables_outside", l->header->missing };
	losses[m->loss_count++] = (struct model_loss){ "live.torn", l->torn };
	m->losses = losses;
	return 0;
}

/* What the description may not have: tables that go by stacks, which are ours. */
static void forget_tables(struct model *m)
{
	static const struct model_leaks none = { .method = "", .note = "", .suppressions = "" };

	m->node_count = m->heap_count = m->heap_thread_count = m->cpu_count = m->sample_count = m->misuse_count = 0;
	m->mmap_recorded = false;
	m->mmap_bytes = m->munmap_bytes = m->mmap_peak_bytes = m->mmap_peak_ns = m->mmap_count = 0;
	m->leaks = none;
	m->offcpu.row_count = m->offcpu.sample_count = 0;
	m->requests.route_count = m->requests.request_count = m->requests.span_count = 0;
	m->database.row_count = m->database.span_count = 0;
}

static void take_header(struct live *l)
{
	const struct live_header *h = l->header;
	struct model *m = l->m;

	l->newest_ns = 0;
	if (h->end_ns > m->end_ns && h->end_ns < UINT64_MAX / 2) {
		m->end_ns = h->end_ns;
		m->end_wall_ns = h->end_wall_ns;
		m->process_cpu_ns = h->cpu_ns;
	}
	m->heap_mode = (enum snap_heap_mode)h->heap_mode;
	m->heap_interval_bytes = h->heap_interval;
	m->heap_peak_bytes = h->peak_bytes;
	m->heap_peak_ns = h->peak_ns;
	m->heap_count_scale = h->count_scale;
	m->heap_detail_one_in = h->heap_detail;
}

static int read_tables(struct live *l, struct err *err)
{
	int rc = read_nodes(l, err);

	if (rc == 0)
		rc = live_read_threads(l, err);
	if (rc == 0)
		rc = read_counters(l, err);
	if (rc == 0)
		rc = read_samples(l, err);
	if (rc == 0)
		rc = read_misuse(l, err);
	if (rc == 0)
		rc = live_read_offcpu(l, err);
	if (rc == 0)
		rc = live_read_requests(l, err);
	if (rc == 0)
		rc = live_read_database(l, err);
	if (rc == 0)
		rc = live_read_running(l, err);
	return rc == 0 ? add_losses(l, err) : rc;
}

int live_read(const uint8_t *data, size_t bytes, struct model **ret_model, struct err *err)
{
	struct live l = { .data = data, .bytes = bytes };
	int rc;

	if (bytes < sizeof(*l.header))
		return err_set(err, -EPROTO, "truncated: %zu bytes, less than a live file's header", bytes);
	l.header = malloc(sizeof(*l.header));
	if (!l.header)
		return live_no_memory(err);
	memcpy(l.header, data, sizeof(*l.header));
	rc = check_header(&l, err);
	if (rc == 0) {
		count_chunks(&l);
		rc = read_frame(&l, err);
	}
	if (rc == 0) {
		forget_tables(l.m);
		take_header(&l);
		rc = read_tables(&l, err);
	}
	free(l.header);
	if (rc < 0) {
		model_free(l.m);
		return rc;
	}
	*ret_model = l.m;
	return 0;
}
