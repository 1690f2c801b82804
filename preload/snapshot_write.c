/*
 * snapshot_write.c - gather, encode, rename.
 *
 * What other threads count meanwhile may or may not be in: a stack's
 * frees are never shown above its allocations.
 */
#include "snapshot_write.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/syscall.h>

#include "compiler.h"
#include "leak_options.h"
#include "leaks.h"
#include "losses.h"
#include "mappings.h"
#include "marks.h"
#include "misuse.h"
#include "modules.h"
#include "os_linux.h"
#include "recorder.h"
#include "sampler.h"
#include "say.h"
#include "snapshot_codec.h"
#include "snapshot_name.h"
#include "snapshot_out.h"
#include "snapshot_database.h"
#include "snapshot_offcpu.h"
#include "snapshot_requests.h"
#include "snapshot_series.h"
#include "sort.h"
#include "threads.h"

enum {
	CMDLINE_BYTES = 4096,
	FRAME_SECTIONS = 5, /* the first of them: up to THREADS; and the heads of others */
	FRAME_HEADS = 3
};

/* What a stack's counters add up to over all threads. */
struct heap_sum {
	uint64_t alloc_count, alloc_bytes, free_count, free_bytes, temporary_count;
	int64_t peak_count, peak_bytes;
	uint64_t largest;
	uint32_t detail; /* in writer.details, from 1; 0: none */
};

struct detail_sum {
	int64_t slop_bytes;
	uint64_t lifetime[SNAP_LIFETIMES];
};

/* What the threads of one record allocated. */
struct thread_sum {
	uint64_t alloc_count, alloc_bytes;
};

struct cpu_row {
	uint64_t key; /* stack << 32 | thread record: sorts by both */
	uint64_t samples;
};

struct writer {
	struct snapshot_out out;
	const struct snapshot_about *about;
	bool frame;            /* of a live file */
	uint32_t thread_count; /* as THREADS has them */
	/* gathered */
	uint32_t stacks;
	struct heap_sum *heap; /* by stack id, 0..stacks */
	struct detail_sum *details;
	size_t detail_count, detail_room;
	struct thread_sum *threads; /* by record */
	struct cpu_row *cpu;
	size_t cpu_rows;
	struct sample *samples;
	size_t sample_count;
};

/* ---- output ------------------------------------------------------------------------------------------------------- */

static struct put *room(struct writer *w, size_t bytes)
{
	return snapshot_room(&w->out, bytes);
}

static void number(struct writer *w, uint64_t value)
{
	snapshot_number(&w->out, value);
}

static void bytes_string(struct writer *w, const void *text, size_t len)
{
	snapshot_bytes(&w->out, text, len);
}

static void string(struct writer *w, const char *text)
{
	snapshot_string(&w->out, text);
}

static void section_begin(struct writer *w, enum snap_section_id id)
{
	snapshot_section(&w->out, id);
}

static void section_end(struct writer *w)
{
	snapshot_section_end(&w->out);
}

/* ---- gathering ---------------------------------------------------------------------------------------------------- */

/* A row that is newer than the room for it is left out: the next profile has it. */
static struct detail_sum *detail_of(struct writer *w, struct heap_sum *h)
{
	if (!h->detail && w->detail_count < w->detail_room)
		h->detail = (uint32_t)++w->detail_count;
	return h->detail ? &w->details[h->detail - 1] : NULL;
}

static void add_detail(struct writer *w, struct heap_sum *h, const struct counter_detail *from)
{
	struct detail_sum *to = detail_of(w, h);

	if (!to)
		return;
	to->slop_bytes += load_relaxed(&from->slop_bytes);
	for (unsigned i = 0; i < SNAP_LIFETIMES; i++)
		to->lifetime[i] += load_relaxed(&from->lifetime[i]);
}

static void add_counter(struct writer *w, const struct counter *c, uint32_t record, struct thread_sum *sum,
                        struct counter_table *table)
{
	uint64_t key = load_acquire(&c->key); /* pairs with the release in counters_at */
	uint32_t stack = (uint32_t)key - 1;
	uint64_t samples = load_relaxed(&c->cpu_samples);
	struct heap_sum *h;
	int64_t peak_count, peak_bytes;

	if (!key || stack > w->stacks)
		return; /* free, or newer than this snapshot */
	h = &w->heap[stack];
	if (load_relaxed(&c->epoch) == load_relaxed(&counters_epoch_now)) {
		peak_count = load_relaxed(&c->peak_count);
		peak_bytes = load_relaxed(&c->peak_bytes);
	} else {
		peak_count = (int64_t)(load_relaxed(&c->alloc_count) - load_relaxed(&c->free_count));
		peak_bytes = (int64_t)(load_relaxed(&c->alloc_bytes) - load_relaxed(&c->free_bytes));
	}
	h->peak_count += peak_count;
	h->peak_bytes += peak_bytes;
	/* Frees first: an allocation counted meanwhile then only makes live larger, never negative. */
	h->free_count += load_relaxed(&c->free_count);
	h->free_bytes += load_relaxed(&c->free_bytes);
	h->temporary_count += load_relaxed(&c->temporary_count);
	h->alloc_count += load_relaxed(&c->alloc_count);
	h->alloc_bytes += load_relaxed(&c->alloc_bytes);
	if (load_relaxed(&c->largest) > h->largest)
		h->largest = load_relaxed(&c->largest);
	if (load_relaxed(&c->alloc_count) || load_relaxed(&c->free_count))
		add_detail(w, h, counter_detail_of(table, c));
	if (sum) {
		sum->alloc_count += load_relaxed(&c->alloc_count);
		sum->alloc_bytes += load_relaxed(&c->alloc_bytes);
	}
	if (samples) {
		uint32_t thread = key >> 32 ? (uint32_t)(key >> 32) : record;

		if (w->cpu)
			w->cpu[w->cpu_rows] = (struct cpu_row){ (uint64_t)stack << 32 | thread, samples };
		w->cpu_rows++;
	}
}

/* `sum`: where its allocations are added; NULL for those that have ended, which threads.c has added up. */
static void add_counters(struct writer *w, const struct counters *c, uint32_t record, struct thread_sum *sum)
{
	struct counter_table *t = load_acquire(&c->now); /* pairs with the release in counters.c grow() */

	for (uint32_t i = 0; t && i <= t->mask; i++)
		add_counter(w, &t->slot[i], record, sum, t);
}

/* Copies what the ring has when `room` is enough for it. */
static void add_ring(struct writer *w, const struct thread *th, uint64_t oldest_ns, size_t room)
{
	/* The head first: a ring made later has what was before it. Both pair with the releases in samples.c. */
	uint64_t head = load_acquire(&th->ring_head);
	struct ring r = ring_of(load_acquire(&th->ring));
	uint64_t size = r.mask + 1;

	if (!r.sample || size > room)
		return;
	/* The owner may overwrite the oldest entry while it is read: leave it out. */
	for (uint64_t i = head >= size ? head - size + 1 : 0; i < head; i++) {
		struct sample s = r.sample[i & r.mask];

		if (s.time_ns >= oldest_ns && s.stack <= w->stacks)
			w->samples[w->sample_count++] = s;
	}
}

static size_t table_used(const struct counters *c)
{
	struct counter_table *t = load_acquire(&c->now);

	return t ? (size_t)t->mask + 1 : 0;
}

static_assert(sizeof(struct cpu_row) == sizeof(struct sort_row) && offsetof(struct cpu_row, key) == 0, "a record");
static_assert(sizeof(struct sample) == sizeof(struct sort_row) && offsetof(struct sample, time_ns) == 0, "a record");

/* Equal neighbours become one: threads that share record 0. */
static size_t merge_rows(struct cpu_row *rows, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (kept && rows[kept - 1].key == rows[i].key)
			rows[kept - 1].samples += rows[i].samples;
		else
			rows[kept++] = rows[i];
	}
	return kept;
}

static size_t heap_bytes(const struct writer *w)
{
	return ((size_t)w->stacks + 1) * sizeof(struct heap_sum);
}

static size_t details_bytes(const struct writer *w)
{
	return (w->detail_room + 1) * sizeof(struct detail_sum);
}

#define THREADS_BYTES (THREADS_MAX_RECORDS * sizeof(struct thread_sum))

/* The right to read counters is held, so that no thread's figures move there meanwhile. */
static void add_ended_threads(struct writer *w)
{
	for (uint32_t i = 0; i < threads_record_count(); i++) {
		const struct thread_heap *heap = threads_heap(i);

		if (!heap)
			return;
		w->threads[i].alloc_count += load_relaxed(&heap->ended_count);
		w->threads[i].alloc_bytes += load_relaxed(&heap->ended_bytes);
	}
}

static int gather(struct writer *w, size_t *ret_cpu_room, size_t *ret_sample_room)
{
	uint64_t now = os_now_ns(), window = w->about->config->window;
	const struct counters *ended = threads_lock_counters();
	size_t cpu_room = table_used(ended) + 64, sample_room = 0;

	w->detail_room = table_used(ended) / 2;
	for (struct thread *th = threads_first(); th; th = th->next) {
		cpu_room += table_used(&th->counters) * 2; /* it may double once while this runs */
		if (load_acquire(&th->ring))               /* as in add_ring */
			sample_room += 2 * (ring_bytes(load_acquire(&th->ring)) / sizeof(struct sample));
		w->detail_room += table_used(&th->counters);
	}
	w->stacks = stacks_count();
	w->heap = os_map(heap_bytes(w));
	w->cpu = os_map(cpu_room * sizeof(*w->cpu));
	w->samples = os_map((sample_room + 1) * sizeof(*w->samples));
	w->details = os_map(details_bytes(w));
	w->threads = os_map(THREADS_BYTES);
	*ret_cpu_room = cpu_room;
	*ret_sample_room = sample_room + 1;
	os_give_way();
	if (w->heap && w->cpu && w->samples && w->details && w->threads) {
		add_counters(w, ended, 0, NULL);
		add_ended_threads(w);
		for (struct thread *th = threads_first(); th; th = th->next) {
			if (table_used(&th->counters) + w->cpu_rows <= cpu_room)
				add_counters(w, &th->counters, th->record, &w->threads[th->record]);
			add_ring(w, th, now > window ? now - window : 0, sample_room - w->sample_count);
			os_give_way();
		}
	}
	threads_unlock_counters();
	if (!w->heap || !w->cpu || !w->samples || !w->details || !w->threads)
		return -ENOMEM;
	sort_rows(w->cpu, w->cpu_rows);
	w->cpu_rows = merge_rows(w->cpu, w->cpu_rows);
	sort_rows(w->samples, w->sample_count);
	return 0;
}

/* ---- sections ----------------------------------------------------------------------------------------------------- */

/* CPUs that this process may run on; 0 if the kernel does not say. */
static uint64_t cpus_allowed(void)
{
	uint64_t mask[128]; /* 8192 CPUs */
	long bytes = os_call(SYS_sched_getaffinity, 0, sizeof(mask), (long)mask, 0, 0, 0);
	uint64_t n = 0;

	for (long i = 0; i < bytes / (long)sizeof(mask[0]); i++)
		n += (uint64_t)__builtin_popcountll(mask[i]);
	return n;
}

static void write_figures(struct writer *w, const struct sampler_figures *f)
{
	unsigned used = SNAP_SAMPLER_RANGES;

	while (used && !f->range[used - 1])
		used--;
	number(w, f->most_ns);
	number(w, used);
	for (unsigned i = 0; i < used; i++)
		number(w, f->range[i]);
}

static void write_sampler(struct writer *w)
{
	struct sampler_figures handler, late;

	sampler_figures(&handler, &late);
	write_figures(w, &handler);
	write_figures(w, &late);
}

/* Which run of the kernel it was: random(4), boot_id. Addresses of the kernel mean something in that only. */
static void write_boot(struct writer *w)
{
	char text[64];
	ssize_t n = os_read_file("/proc/sys/kernel/random/boot_id", text, sizeof(text));

	while (n > 0 && text[n - 1] == '\n')
		n--;
	bytes_string(w, text, n > 0 ? (size_t)n : 0);
}

static void write_info(struct writer *w)
{
	const struct snapshot_about *a = w->about;
	char comm[32], text[CMDLINE_BYTES];
	struct utsname uts;
	ssize_t n;

	snapshot_name_comm(comm, sizeof(comm));
	section_begin(w, SNAP_INFO);
	number(w, (uint64_t)os_pid());
	number(w, (uint64_t)os_call(SYS_getppid, 0, 0, 0, 0, 0, 0));
	number(w, a->sequence);
	string(w, comm);
	n = os_call(SYS_readlinkat, AT_FDCWD, (long)"/proc/thread-self/exe", (long)text, sizeof(text), 0, 0);
	bytes_string(w, text, n > 0 ? (size_t)n : 0);
	n = os_read_file("/proc/thread-self/cmdline", text, sizeof(text));
	bytes_string(w, text, n > 0 ? (size_t)n : 0);
	string(w, a->reason);
	number(w, a->start_ns);
	number(w, a->start_wall_ns);
	number(w, os_now_ns());
	number(w, os_wall_ns());
	number(w, os_cpu_ns());
	number(w, a->config->cpu_hz);
	number(w, a->period_ns);
	number(w, a->config->clock == CLOCK_WALL);
	string(w, a->engine_cpu);
	string(w, a->engine_cpu_why);
	string(w, a->engine_heap);
	string(w, a->engine_unwind);
	number(w, getauxval(AT_PAGESZ)); /* reads a table: no lock */
	number(w, cpus_allowed());
	memset(&uts, 0, sizeof(uts));
	(void)os_call(SYS_uname, (long)&uts, 0, 0, 0, 0, 0);
	string(w, uts.release);
	string(w, uts.machine);
	string(w, PERFPROBE_VERSION);
	string(w, a->because);
	write_sampler(w);
	write_boot(w);
	section_end(w);
}

static void write_options(struct writer *w)
{
	const struct config *c = w->about->config;

	section_begin(w, SNAP_OPTIONS);
	number(w, CONFIG_COUNT);
	for (unsigned i = 0; i < CONFIG_COUNT; i++) {
		string(w, config_name((enum config_index)i));
		string(w, c->text[i]);
		number(w, c->source[i]);
	}
	section_end(w);
}

static void write_losses(struct writer *w)
{
	section_begin(w, SNAP_LOSSES);
	number(w, LOSS_COUNT);
	for (unsigned i = 0; i < LOSS_COUNT; i++) {
		string(w, loss_name((enum loss)i));
		number(w, load_relaxed(&losses_count[i]));
	}
	section_end(w);
}

static void write_modules(struct writer *w)
{
	uint32_t n = modules_count();

	section_begin(w, SNAP_MODULES);
	number(w, n);
	for (uint32_t i = 0; i < n; i++) {
		const struct module *m = modules_at(i);
		uintptr_t moved = w->frame ? 0 : m->moved; /* a live file's stacks are as they are */

		number(w, m->start + moved);
		number(w, m->end + moved);
		number(w, m->bias + moved);
		number(w, m->flags);
		number(w, m->load_ns);
		number(w, m->unload_ns);
		string(w, m->path);
		bytes_string(w, m->build_id, m->build_id_bytes);
	}
	section_end(w);
}

static void write_threads(struct writer *w)
{
	uint32_t n = threads_record_count();

	w->thread_count = n;
	section_begin(w, SNAP_THREADS);
	number(w, n);
	for (uint32_t i = 0; i < n; i++) {
		struct thread_record r = threads_record(i);

		number(w, (uint64_t)r.tid);
		bytes_string(w, r.name, strnlen(r.name, sizeof(r.name)));
		number(w, r.start_ns);
		number(w, r.end_ns);
		number(w, r.cpu_ns);
	}
	section_end(w);
}

static void write_stacks(struct writer *w)
{
	uintptr_t last = 0;

	section_begin(w, SNAP_STACKS);
	number(w, w->stacks);
	for (uint32_t id = 1; id <= w->stacks; id++) {
		struct put *p = room(w, 2 * PUT_VARINT_MAX);
		uintptr_t pc = modules_address(id, stacks_pc(id));

		put_varint(p, id - stacks_parent(id));
		put_signed(p, (int64_t)(pc - last));
		last = pc;
	}
	section_end(w);
}

static bool heap_row_used(const struct heap_sum *h)
{
	return h->alloc_count || h->free_count;
}

static uint64_t not_negative(int64_t value)
{
	return value > 0 ? (uint64_t)value : 0;
}

static uint64_t at_most(uint64_t value, uint64_t limit)
{
	if (value > limit) {
		loss_add(LOSS_SNAPSHOT_TORN, 1);
		return limit;
	}
	return value;
}

static void write_heap(struct writer *w)
{
	const struct config *c = w->about->config;
	struct recorder_totals totals = recorder_totals();
	uint64_t rows = 0;
	uint32_t last = 0;

	section_begin(w, SNAP_HEAP);
	for (uint32_t id = 0; id <= w->stacks; id++)
		rows += heap_row_used(&w->heap[id]);
	number(w, c->heap == HEAP_FULL ? SNAP_HEAP_FULL : c->heap == HEAP_SAMPLED ? SNAP_HEAP_SAMPLED : SNAP_HEAP_OFF);
	number(w, c->heap == HEAP_SAMPLED ? c->heap_interval : 0);
	number(w, c->heap == HEAP_SAMPLED ? RECORDER_COUNT_SCALE : 1);
	number(w, totals.peak_bytes);
	number(w, totals.peak_ns);
	number(w, rows);
	for (uint32_t id = 0; id <= w->stacks; id++) {
		const struct heap_sum *h = &w->heap[id];
		struct put *p;

		if (!heap_row_used(h))
			continue;
		p = room(w, 8 * PUT_VARINT_MAX);
		put_varint(p, id - last);
		last = id;
		put_varint(p, h->alloc_count);
		put_varint(p, h->alloc_bytes);
		put_varint(p, at_most(h->free_count, h->alloc_count));
		put_varint(p, at_most(h->free_bytes, h->alloc_bytes));
		put_varint(p, not_negative(h->peak_count));
		put_varint(p, not_negative(h->peak_bytes));
		put_varint(p, at_most(h->temporary_count, h->alloc_count));
	}
	section_end(w);
}

/* Lifetimes up to the last range that has any. */
static void write_lifetimes(struct writer *w, const uint64_t *lifetime)
{
	struct put *p = room(w, (SNAP_LIFETIMES + 1) * PUT_VARINT_MAX);
	unsigned n = SNAP_LIFETIMES;

	while (n > 0 && !lifetime[n - 1])
		n--;
	put_varint(p, n);
	for (unsigned i = 0; i < n; i++)
		put_varint(p, lifetime[i]);
}

static void write_heap_detail(struct writer *w)
{
	static const struct detail_sum none;
	uint64_t rows = 0;
	uint32_t last = 0;

	section_begin(w, SNAP_HEAP_DETAIL);
	number(w, recorder_detail(w->about->config));
	for (uint32_t id = 0; id <= w->stacks; id++)
		rows += heap_row_used(&w->heap[id]);
	number(w, rows);
	for (uint32_t id = 0; id <= w->stacks; id++) {
		const struct heap_sum *h = &w->heap[id];
		const struct detail_sum *d = h->detail ? &w->details[h->detail - 1] : &none;

		if (!heap_row_used(h))
			continue;
		number(w, id - last);
		last = id;
		number(w, h->largest);
		number(w, not_negative(d->slop_bytes));
		write_lifetimes(w, d->lifetime);
	}
	section_end(w);
}

static void write_heap_threads(struct writer *w)
{
	uint32_t n = threads_record_count(), rows = 0, last = 0;

	for (uint32_t i = 0; i < n; i++)
		rows += w->threads[i].alloc_count != 0;
	section_begin(w, SNAP_HEAP_THREADS);
	number(w, rows);
	for (uint32_t i = 0; i < n; i++) {
		const struct thread_heap *heap = threads_heap(i);

		if (!w->threads[i].alloc_count)
			continue;
		number(w, i - last);
		last = i;
		number(w, w->threads[i].alloc_count);
		number(w, w->threads[i].alloc_bytes);
		number(w, heap ? not_negative(load_relaxed(&heap->live_count)) : 0);
		number(w, heap ? not_negative(load_relaxed(&heap->live_bytes)) : 0);
	}
	section_end(w);
}

static void write_cpu(struct writer *w)
{
	uint32_t last = 0;

	section_begin(w, SNAP_CPU);
	number(w, w->cpu_rows);
	for (size_t i = 0; i < w->cpu_rows; i++) {
		struct put *p = room(w, 3 * PUT_VARINT_MAX);
		uint32_t stack = (uint32_t)(w->cpu[i].key >> 32);

		put_varint(p, stack - last);
		last = stack;
		put_varint(p, (uint32_t)w->cpu[i].key);
		put_varint(p, w->cpu[i].samples);
	}
	section_end(w);
}

static void write_samples(struct writer *w)
{
	uint64_t last = 0;

	section_begin(w, SNAP_SAMPLES);
	number(w, w->sample_count);
	for (size_t i = 0; i < w->sample_count; i++) {
		struct put *p = room(w, 4 * PUT_VARINT_MAX);

		put_varint(p, w->samples[i].time_ns - last);
		last = w->samples[i].time_ns;
		put_varint(p, w->samples[i].record);
		put_varint(p, w->samples[i].stack);
		put_varint(p, w->samples[i].weight);
	}
	section_end(w);
}

/* A stack that this snapshot holds; newer ones are unknown. */
static uint32_t known_stack(const struct writer *w, uint32_t stack)
{
	return stack <= w->stacks ? stack : 0;
}

static void write_misuse(struct writer *w)
{
	uint32_t n = misuse_count();

	section_begin(w, SNAP_MISUSE);
	number(w, n);
	for (uint32_t i = 0; i < n; i++) {
		const struct misuse *m = misuse_at(i);

		number(w, m->kind);
		number(w, m->allocated_by);
		number(w, m->freed_by);
		number(w, m->no_block);
		number(w, load_relaxed(&m->count));
		number(w, m->address);
		number(w, m->bytes);
		number(w, m->time_ns);
		number(w, m->thread < threads_record_count() ? m->thread : 0);
		number(w, known_stack(w, m->allocated));
		number(w, known_stack(w, m->first_freed));
		number(w, known_stack(w, m->freed));
	}
	section_end(w);
}

static void write_marks(struct writer *w)
{
	uint64_t made = marks_count(), first = made > MARKS_MAX ? made - MARKS_MAX : 0, got = 0, last = 0;
	uint32_t threads = threads_record_count();
	struct mark mark;

	section_begin(w, SNAP_MARKS);
	for (uint64_t i = first; i < made; i++)
		got += marks_get(i, &mark);
	number(w, got);
	for (uint64_t i = first; i < made && got; i++) {
		if (!marks_get(i, &mark))
			continue;
		got--;
		/* Two threads may have taken number and time in different orders. */
		number(w, mark.time_ns > last ? mark.time_ns - last : 0);
		last = mark.time_ns > last ? mark.time_ns : last;
		number(w, mark.thread < threads ? mark.thread : 0);
		string(w, mark.name);
	}
	for (; got; got--) { /* overwritten since they were counted */
		number(w, 0);
		number(w, 0);
		string(w, "");
	}
	section_end(w);
}

static_assert(sizeof(struct mapping_row) == sizeof(struct sort_row) && offsetof(struct mapping_row, stack) == 0,
              "a record");

static void write_mmap(struct writer *w)
{
	size_t room_rows = mappings_count() + 1024, n = 0, distinct = 0;
	struct mapping_row *rows = w->about->config->mmap ? os_map(room_rows * sizeof(*rows)) : NULL;
	struct mappings_totals totals = { 0 };
	uint64_t last = 0;

	if (rows && !mappings_copy(rows, room_rows, &n, &totals))
		loss_add(LOSS_MMAP_UNTRACKED, 1);
	for (size_t i = 0; i < n; i++)
		rows[i].stack = known_stack(w, (uint32_t)rows[i].stack);
	sort_rows(rows, n);
	for (size_t i = 0; i < n; i++)
		distinct += i == 0 || rows[i].stack != rows[i - 1].stack;
	section_begin(w, SNAP_MMAP);
	number(w, w->about->config->mmap);
	number(w, totals.mapped_bytes);
	number(w, totals.unmapped_bytes);
	number(w, totals.peak_bytes);
	number(w, totals.peak_ns);
	number(w, distinct);
	for (size_t i = 0; i < n;) {
		uint64_t stack = rows[i].stack, ranges = 0, bytes = 0;

		for (; i < n && rows[i].stack == stack; i++, ranges++)
			bytes += rows[i].bytes;
		number(w, stack - last);
		last = stack;
		number(w, ranges);
		number(w, bytes);
	}
	section_end(w);
	os_unmap(rows, rows ? room_rows * sizeof(*rows) : 0);
}

static uint64_t square_root(uint64_t n)
{
	uint64_t root = 0;

	for (uint64_t bit = UINT64_C(1) << 31; bit; bit >>= 1)
		if ((root | bit) * (root | bit) <= n)
			root |= bit;
	return root;
}

static void write_leak_rows(struct writer *w, const struct leaks_result *r)
{
	uint32_t last = 0;

	number(w, r->count);
	for (size_t i = 0; i < r->count; i++) {
		const struct leaks_row *row = &r->rows[i];
		uint32_t stack = row->stack <= w->stacks ? row->stack : 0;

		/* Sorted, so that only a stack which is not known breaks the order: it is told as the one before. */
		stack = stack < last ? last : stack;
		number(w, stack - last);
		number(w, row->kind);
		number(w, row->owner <= w->stacks ? row->owner : 0);
		number(w, row->count);
		number(w, row->bytes);
		number(w, row->confirmed_count);
		number(w, row->confirmed_bytes);
		number(w, row->samples);
		number(w, row->first_ns);
		number(w, row->last_ns);
		number(w, square_root(row->variance < 1e19 ? (uint64_t)row->variance : UINT64_MAX));
		last = stack;
	}
}

static void write_leaks(struct writer *w)
{
	const struct leaks_result *r = leaks_last();

	if (!r)
		return; /* the program was not checked */
	section_begin(w, SNAP_LEAKS);
	number(w, r->state);
	string(w, r->method);
	string(w, r->note);
	number(w, recorder_mode == HEAP_SAMPLED);
	number(w, r->checks);
	number(w, r->time_ns);
	number(w, r->pause_ns);
	number(w, r->check_ns);
	number(w, r->cpu_ns);
	number(w, r->memory_bytes);
	number(w, r->threads);
	number(w, r->threads_missed);
	number(w, r->blocks);
	number(w, r->block_bytes);
	number(w, r->root_bytes);
	number(w, r->unread_bytes);
	string(w, leak_options_suppressions());
	write_leak_rows(w, r);
	section_end(w);
}

static void write_requests(struct writer *w)
{
	snapshot_requests(&w->out, w->about->config, w->thread_count, w->frame);
}

static void write_offcpu(struct writer *w)
{
	snapshot_offcpu(&w->out, w->about->config, w->stacks, w->thread_count, w->frame);
}

static void write_database(struct writer *w)
{
	snapshot_database(&w->out, w->about->config, w->thread_count, w->frame);
}

static void write_series(struct writer *w)
{
	snapshot_series(&w->out);
}

static void write_sections(struct writer *w, unsigned count)
{
	static void (*const sections[SNAPSHOT_SECTIONS])(struct writer *) = {
		write_info,        write_options,      write_losses,   write_modules, write_threads,
		write_stacks,      write_heap,         write_cpu,      write_samples, write_misuse,
		write_heap_detail, write_heap_threads, write_marks,    write_mmap,    write_leaks,
		write_requests,    write_offcpu,       write_database, write_series,
	};

	for (unsigned i = 0; i < count && w->out.rc == 0; i++, os_give_way())
		sections[i](w);
	if (w->frame && w->out.rc == 0) {
		write_requests(w);
		write_offcpu(w);
		write_database(w);
	}
	snapshot_out_head(&w->out);
}

/* What is gathered from all threads, and the sections made of it. */
static void write_whole(struct writer *w, unsigned sections)
{
	size_t cpu_room = 0, sample_room = 0;

	w->out.rc = gather(w, &cpu_room, &sample_room);
	if (w->out.rc == 0)
		write_sections(w, sections);
	os_unmap(w->heap, w->heap ? heap_bytes(w) : 0);
	os_unmap(w->cpu, cpu_room * sizeof(*w->cpu));
	os_unmap(w->samples, sample_room * sizeof(*w->samples));
	os_unmap(w->details, w->details ? details_bytes(w) : 0);
	os_unmap(w->threads, THREADS_BYTES);
}

/* Buffers and the compressor's state in one mapping; 0 or -errno. `frame`: without what the live file has itself. */
static int write_to(const struct snapshot_about *about, int fd, uint64_t base, uint64_t limit, bool frame)
{
	/* LEAKS is there if the program was checked. */
	unsigned sections = frame ? FRAME_SECTIONS : SNAPSHOT_SECTIONS;
	unsigned present = frame ? FRAME_SECTIONS + FRAME_HEADS : SNAPSHOT_SECTIONS - !leaks_last();
	struct writer *w = os_map(sizeof(*w));
	int rc = w ? snapshot_out_begin(&w->out, fd, base, limit, present) : -ENOMEM;

	if (rc == 0) {
		w->about = about;
		w->frame = frame;
		if (frame) {
			write_sections(w, FRAME_SECTIONS);
		} else {
			os_give_way();
			(void)modules_scan();
			os_give_way();
			write_whole(w, sections);
		}
		rc = w->out.rc;
		snapshot_out_done(&w->out);
	}
	os_unmap(w, sizeof(*w));
	return rc;
}

int snapshot_write_frame(const struct snapshot_about *about, int fd, uint64_t offset, size_t room)
{
	return write_to(about, fd, offset, room, true);
}

int snapshot_write(const struct snapshot_about *about, int dir_fd, const char *dir_path, char *ret_path,
                   size_t path_size)
{
	char name[128], tmp[136] = ".";
	int fd, rc;

	snapshot_name(name, sizeof(name), about->sequence, about->reason);
	say_append(tmp, sizeof(tmp), name);
	say_append(tmp, sizeof(tmp), ".tmp");
	say_append(name, sizeof(name), ".snap");
	fd = os_openat(dir_fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fd;
	rc = write_to(about, fd, 0, UINT64_MAX, false);
	os_close(fd);
	if (rc == 0)
		rc = os_rename_new(dir_fd, tmp, name);
	if (rc < 0) {
		(void)os_unlinkat(dir_fd, tmp); /* best effort: rc already names the failure */
		return rc;
	}
	ret_path[0] = '\0';
	say_append(ret_path, path_size, dir_path);
	say_append(ret_path, path_size, "/");
	say_append(ret_path, path_size, name);
	return 0;
}
