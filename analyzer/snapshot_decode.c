/*
 * snapshot_decode.c - sections to tables.
 *
 * A table is allocated only when the section's remaining bytes could hold its rows at their smallest, so memory is at
 * most a fixed multiple of the bytes read. Sums that views form (bytes, samples) are proved here to fit 63 bits.
 */
#include "snapshot_decode.h"

#include <errno.h>
#include <string.h>

#include "model_memory.h"
#include "snapshot_codec.h"
#include "snapshot_decode_part.h"

int decode_cut_short(struct decode *d)
{
	return err_set(d->err, -EPROTO, "is cut short or holds a number or string out of bounds");
}

int decode_no_memory(struct decode *d)
{
	return err_set(d->err, -ENOMEM, "out of memory");
}

/* NUL bytes inside become blanks, NULs at the end go: what comes out is a C string. NULL when memory runs out. */
static const char *text(struct decode *d, size_t *ret_len)
{
	size_t len = 0;
	const uint8_t *bytes = cursor_string(&d->c, SNAP_MAX_STRING, &len);
	char *copy;

	while (len > 0 && bytes[len - 1] == '\0')
		len--;
	copy = arena_text(model_arena(d->m), (const char *)bytes, len);
	for (size_t i = 0; copy && i < len; i++)
		if (copy[i] == '\0')
			copy[i] = ' ';
	if (ret_len)
		*ret_len = len;
	return copy;
}

bool decode_read_text(struct decode *d, const char **field)
{
	const char *copy = text(d, NULL);

	if (copy)
		*field = copy;
	return copy != NULL;
}

/* Reads a table's length and makes room. `least` is the smallest row in bytes. */
int decode_table(struct decode *d, const char *rows, size_t least, size_t row_bytes, uint64_t most, size_t *ret_count,
                 void **ret_table)
{
	uint64_t n = cursor_varint(&d->c);
	uint64_t left = (uint64_t)(d->c.end - d->c.at);
	void *memory;

	if (d->c.bad)
		return decode_cut_short(d);
	if (n > most || n > left / least)
		return err_set(d->err, -EPROTO, "%llu %s claimed in %llu bytes", (unsigned long long)n, rows,
		               (unsigned long long)left);
	memory = arena_array(model_arena(d->m), (size_t)n, row_bytes);
	if (!memory)
		return decode_no_memory(d);
	*ret_table = memory;
	*ret_count = (size_t)n;
	return 0;
}

static bool info_strings(struct decode *d, const char **const *fields, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!decode_read_text(d, fields[i]))
			return false;
	return true;
}

static int decode_times(struct decode *d, struct model_times *t)
{
	uint64_t used, sum = 0;

	t->most_ns = cursor_varint(&d->c);
	used = cursor_varint(&d->c);
	if (d->c.bad)
		return decode_cut_short(d);
	if (used > SNAP_SAMPLER_RANGES)
		return err_set(d->err, -EPROTO, "has %llu ranges of durations", (unsigned long long)used);
	for (uint64_t i = 0; i < used; i++) {
		t->range[i] = cursor_varint(&d->c);
		if (!decode_sum_fits(&sum, t->range[i]))
			return err_set(d->err, -EPROTO, "has more than 63 bits of durations");
	}
	return d->c.bad ? decode_cut_short(d) : 0;
}

/* Since 1.6. */
static int decode_info_more(struct decode *d)
{
	struct model *m = d->m;
	int rc;

	m->because = "";
	if (d->c.at >= d->c.end)
		return 0;
	if (!decode_read_text(d, &m->because))
		return decode_no_memory(d);
	rc = decode_times(d, &m->handler);
	if (rc == 0)
		rc = decode_times(d, &m->late);
	if (rc < 0)
		return rc;
	return decode_read_text(d, &m->boot) ? 0 : decode_no_memory(d);
}

static int decode_info(struct decode *d)
{
	struct model *m = d->m;
	const char **who[] = { &m->comm, &m->exe, &m->cmdline, &m->reason };
	const char **engines[] = { &m->engine_cpu, &m->engine_cpu_why, &m->engine_heap, &m->engine_unwind };
	const char **host[] = { &m->kernel, &m->machine, &m->recorder_version };
	uint64_t clock;
	int rc;

	m->pid = cursor_varint(&d->c);
	m->ppid = cursor_varint(&d->c);
	m->sequence = cursor_varint(&d->c);
	if (!info_strings(d, who, ARRAY_LEN(who)))
		return decode_no_memory(d);
	m->start_ns = cursor_varint(&d->c);
	m->start_wall_ns = cursor_varint(&d->c);
	m->end_ns = cursor_varint(&d->c);
	m->end_wall_ns = cursor_varint(&d->c);
	m->process_cpu_ns = cursor_varint(&d->c);
	m->cpu_hz = cursor_varint(&d->c);
	m->cpu_period_ns = cursor_varint(&d->c);
	clock = cursor_varint(&d->c);
	m->clock_is_wall = clock == 1;
	if (!info_strings(d, engines, ARRAY_LEN(engines)))
		return decode_no_memory(d);
	m->page_bytes = cursor_varint(&d->c);
	m->cpus = cursor_varint(&d->c);
	if (!info_strings(d, host, ARRAY_LEN(host)))
		return decode_no_memory(d);
	if (d->c.bad)
		return decode_cut_short(d);
	rc = decode_info_more(d);
	if (rc < 0)
		return rc;
	if (clock > 1)
		return err_set(d->err, -EPROTO, "unknown clock %llu", (unsigned long long)clock);
	if (m->end_ns < m->start_ns)
		return err_set(d->err, -EPROTO, "ends before it starts");
	return 0;
}

static int decode_options(struct decode *d)
{
	void *rows;
	size_t n;
	int rc = decode_table(d, "options", 3, sizeof(struct model_option), UINT32_MAX, &n, &rows);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++) {
		struct model_option *o = (struct model_option *)rows + i;
		uint64_t source;

		if (!decode_read_text(d, &o->name) || !decode_read_text(d, &o->value))
			return decode_no_memory(d);
		source = cursor_varint(&d->c);
		if (d->c.bad)
			return decode_cut_short(d);
		if (source > SNAP_OPTION_RUNTIME)
			return err_set(d->err, -EPROTO, "option %zu has the unknown source %llu", i + 1,
			               (unsigned long long)source);
		o->source = (enum snap_option_source)source;
	}
	d->m->options = rows;
	d->m->option_count = n;
	return 0;
}

static int decode_losses(struct decode *d)
{
	void *rows;
	size_t n;
	int rc = decode_table(d, "losses", 2, sizeof(struct model_loss), UINT32_MAX, &n, &rows);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++) {
		struct model_loss *l = (struct model_loss *)rows + i;

		if (!decode_read_text(d, &l->name))
			return decode_no_memory(d);
		l->count = cursor_varint(&d->c);
		if (d->c.bad)
			return decode_cut_short(d);
	}
	d->m->losses = rows;
	d->m->loss_count = n;
	return 0;
}

static int decode_module(struct decode *d, struct model_module *mod, size_t number)
{
	const uint8_t *id;
	size_t id_bytes;
	uint64_t flags;

	mod->start = cursor_varint(&d->c);
	mod->end = cursor_varint(&d->c);
	mod->bias = cursor_varint(&d->c);
	flags = cursor_varint(&d->c);
	mod->flags = (uint32_t)flags;
	mod->load_ns = cursor_varint(&d->c);
	mod->unload_ns = cursor_varint(&d->c);
	if (!decode_read_text(d, &mod->path))
		return decode_no_memory(d);
	id = cursor_string(&d->c, SNAP_MAX_BUILD_ID, &id_bytes);
	if (d->c.bad)
		return decode_cut_short(d);
	if (mod->start > mod->end)
		return err_set(d->err, -EPROTO, "module %zu ends before it starts", number);
	memcpy(mod->build_id, id, id_bytes);
	mod->build_id_bytes = (uint32_t)id_bytes;
	return 0;
}

static int decode_modules(struct decode *d)
{
	void *rows;
	size_t n;
	int rc = decode_table(d, "modules", 8, sizeof(struct model_module), UINT32_MAX, &n, &rows);

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = decode_module(d, (struct model_module *)rows + i, i + 1);
	if (rc < 0)
		return rc;
	d->m->modules = rows;
	d->m->module_count = n;
	return 0;
}

static int decode_threads(struct decode *d)
{
	void *rows;
	size_t n;
	int rc = decode_table(d, "threads", 5, sizeof(struct model_thread), UINT32_MAX, &n, &rows);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++) {
		struct model_thread *t = (struct model_thread *)rows + i;

		t->tid = cursor_varint(&d->c);
		if (!decode_read_text(d, &t->name))
			return decode_no_memory(d);
		t->start_ns = cursor_varint(&d->c);
		t->end_ns = cursor_varint(&d->c);
		t->cpu_ns = cursor_varint(&d->c);
		if (d->c.bad)
			return decode_cut_short(d);
	}
	d->m->threads = rows;
	d->m->thread_count = n;
	return 0;
}

static int decode_stacks(struct decode *d)
{
	struct model_node *nodes;
	void *rows;
	size_t n;
	uint64_t pc = 0;
	int rc = decode_table(d, "nodes", 2, sizeof(struct model_node), SNAP_MAX_STACKS, &n, &rows);

	if (rc < 0)
		return rc;
	nodes = rows;
	for (size_t id = 1; id <= n; id++) {
		uint64_t up = cursor_varint(&d->c);

		pc += (uint64_t)cursor_signed(&d->c);
		if (d->c.bad)
			return decode_cut_short(d);
		if (up == 0 || up > id)
			return err_set(d->err, -EPROTO, "node %zu names a parent %llu before it", id,
			               (unsigned long long)up);
		if (pc == SNAP_PC_NONE)
			return err_set(d->err, -EPROTO, "node %zu has no address", id);
		nodes[id - 1] = (struct model_node){ (uint32_t)(id - up), pc };
	}
	d->m->nodes = nodes;
	d->m->node_count = n;
	return 0;
}

/* The next stack id of a sorted table; UINT64_MAX if it is out of bounds (the sentence is set). */
static uint64_t next_stack(struct decode *d, uint64_t last, size_t row)
{
	uint64_t step = cursor_varint(&d->c);

	if (step > d->m->node_count - last) { /* last <= node_count always */
		(void)err_set(d->err, -EPROTO, "row %zu names stack %llu of %zu", row + 1,
		              (unsigned long long)(last + step), d->m->node_count);
		return UINT64_MAX;
	}
	return last + step;
}

struct heap_counts {
	uint64_t alloc, freed, peak, temporary;
};

static int decode_heap_row(struct decode *d, struct model_heap_row *r, uint64_t scale, uint64_t *sum, size_t row)
{
	struct heap_counts n;
	double unit = (double)scale;

	n.alloc = cursor_varint(&d->c);
	r->alloc_bytes = cursor_varint(&d->c);
	n.freed = cursor_varint(&d->c);
	r->free_bytes = cursor_varint(&d->c);
	n.peak = cursor_varint(&d->c);
	r->peak_bytes = cursor_varint(&d->c);
	n.temporary = cursor_varint(&d->c);
	if (d->c.bad)
		return decode_cut_short(d);
	if (n.freed > n.alloc || r->free_bytes > r->alloc_bytes)
		return err_set(d->err, -EPROTO, "row %zu frees more than it allocated", row + 1);
	if (r->alloc_bytes > INT64_MAX - sum[0] || n.alloc > INT64_MAX - sum[1] || r->peak_bytes > INT64_MAX - sum[2] ||
	    n.peak > INT64_MAX - sum[3] || n.temporary > INT64_MAX - sum[4])
		return err_set(d->err, -EPROTO, "row %zu makes a sum larger than 63 bits", row + 1);
	sum[0] += r->alloc_bytes;
	sum[1] += n.alloc;
	sum[2] += r->peak_bytes;
	sum[3] += n.peak;
	sum[4] += n.temporary;
	r->alloc_count = (double)n.alloc / unit;
	r->free_count = (double)n.freed / unit;
	r->peak_count = (double)n.peak / unit;
	r->temporary_count = (double)n.temporary / unit;
	return 0;
}

static int decode_heap(struct decode *d)
{
	struct model *m = d->m;
	struct model_heap_row *heap;
	uint64_t mode = cursor_varint(&d->c), scale, last = 0, sum[5] = { 0 };
	void *rows;
	size_t n;
	int rc;

	m->heap_interval_bytes = cursor_varint(&d->c);
	scale = cursor_varint(&d->c);
	m->heap_peak_bytes = cursor_varint(&d->c);
	m->heap_peak_ns = cursor_varint(&d->c);
	rc = decode_table(d, "rows", 8, sizeof(struct model_heap_row), UINT32_MAX, &n, &rows);
	if (rc < 0)
		return rc;
	if (mode > SNAP_HEAP_FULL || scale == 0)
		return err_set(d->err, -EPROTO, "unknown mode %llu or count scale %llu", (unsigned long long)mode,
		               (unsigned long long)scale);
	heap = rows;
	for (size_t i = 0; i < n; i++) {
		uint64_t stack = next_stack(d, last, i);

		if (stack == UINT64_MAX)
			return -EPROTO;
		if (i > 0 && stack == last)
			return err_set(d->err, -EPROTO, "row %zu repeats stack %llu", i + 1, (unsigned long long)stack);
		last = stack;
		heap[i].stack = (uint32_t)stack;
		rc = decode_heap_row(d, &heap[i], scale, sum, i);
		if (rc < 0)
			return rc;
	}
	m->heap_mode = (enum snap_heap_mode)mode;
	m->heap_count_scale = scale;
	m->heap = heap;
	m->heap_count = n;
	return 0;
}

/* What a section's sums of 63 bits have left; false: it is too little. */
bool decode_sum_fits(uint64_t *sum, uint64_t add)
{
	if (add > INT64_MAX - *sum)
		return false;
	*sum += add;
	return true;
}

static int decode_heap_detail_row(struct decode *d, struct model_heap_detail *r, uint64_t sum[2], size_t row)
{
	uint64_t ranges, count;
	bool fits;

	r->largest = cursor_varint(&d->c);
	r->slop_bytes = cursor_varint(&d->c);
	fits = decode_sum_fits(&sum[0], r->slop_bytes);
	ranges = cursor_varint(&d->c);
	if (!d->c.bad && ranges > SNAP_LIFETIMES)
		return err_set(d->err, -EPROTO, "row %zu has %llu ranges of lifetimes", row + 1,
		               (unsigned long long)ranges);
	for (uint64_t i = 0; i < ranges && !d->c.bad; i++) {
		count = cursor_varint(&d->c);
		fits = fits && decode_sum_fits(&sum[1], count);
		r->lifetime[i] = (double)count / (double)(d->m->heap_count_scale ? d->m->heap_count_scale : 1);
	}
	if (d->c.bad)
		return decode_cut_short(d);
	if (!fits)
		return err_set(d->err, -EPROTO, "row %zu makes a sum larger than 63 bits", row + 1);
	return 0;
}

/* Its rows are of stacks that HEAP has too, in the same order. */
static int decode_heap_detail(struct decode *d)
{
	struct model *m = d->m;
	uint64_t one_in = cursor_varint(&d->c), last = 0, sum[2] = { 0 };
	struct model_heap_detail *details;
	size_t n, at = 0;
	void *rows;
	int rc = decode_table(d, "rows", 4, sizeof(*details), UINT32_MAX, &n, &rows);

	if (rc < 0)
		return rc;
	details = rows;
	for (size_t i = 0; i < n; i++) {
		uint64_t stack = next_stack(d, last, i);

		if (stack == UINT64_MAX)
			return -EPROTO;
		while (at < m->heap_count && m->heap[at].stack < stack)
			at++;
		if (at == m->heap_count || m->heap[at].stack != stack || m->heap[at].detail)
			return err_set(d->err, -EPROTO, "row %zu is of a stack that allocated nothing", i + 1);
		last = stack;
		rc = decode_heap_detail_row(d, &details[i], sum, i);
		if (rc < 0)
			return rc;
		m->heap[at].detail = &details[i];
	}
	m->heap_detail_one_in = one_in;
	return 0;
}

int decode_bad_thread(struct decode *d, size_t row, uint64_t thread)
{
	return err_set(d->err, -EPROTO, "row %zu names thread %llu of %zu", row + 1, (unsigned long long)thread,
	               d->m->thread_count);
}

static int decode_heap_threads(struct decode *d)
{
	struct model_heap_thread *threads;
	double unit = d->m->heap_count_scale ? (double)d->m->heap_count_scale : 1;
	uint64_t thread = 0, sum[4] = { 0 };
	void *rows;
	size_t n;
	int rc = decode_table(d, "rows", 5, sizeof(*threads), UINT32_MAX, &n, &rows);

	if (rc < 0)
		return rc;
	threads = rows;
	for (size_t i = 0; i < n; i++) {
		uint64_t step = cursor_varint(&d->c), f[4];
		bool fits = true;

		for (size_t k = 0; k < ARRAY_LEN(f); k++) {
			f[k] = cursor_varint(&d->c);
			fits = fits && decode_sum_fits(&sum[k], f[k]);
		}
		if (d->c.bad)
			return decode_cut_short(d);
		if (i > 0 && step == 0)
			return err_set(d->err, -EPROTO, "row %zu is out of order", i + 1);
		if (step >= d->m->thread_count - thread) /* thread < thread_count, or both are 0 */
			return decode_bad_thread(d, i, step);
		thread += step;
		if (!fits)
			return err_set(d->err, -EPROTO, "row %zu makes a sum larger than 63 bits", i + 1);
		threads[i] = (struct model_heap_thread){ (uint32_t)thread, (double)f[0] / unit, (double)f[2] / unit,
			                                 f[1], f[3] };
	}
	d->m->heap_threads = threads;
	d->m->heap_thread_count = n;
	return 0;
}

int decode_cpu_rows(struct decode *d, struct model_cpu_row **ret_rows, size_t *ret_count)
{
	struct model_cpu_row *cpu;
	uint64_t last = 0, sum = 0;
	void *rows;
	size_t n;
	int rc = decode_table(d, "rows", 3, sizeof(struct model_cpu_row), UINT32_MAX, &n, &rows);

	if (rc < 0)
		return rc;
	cpu = rows;
	for (size_t i = 0; i < n; i++) {
		uint64_t stack = next_stack(d, last, i), thread, samples;

		if (stack == UINT64_MAX)
			return -EPROTO;
		thread = cursor_varint(&d->c);
		samples = cursor_varint(&d->c);
		if (d->c.bad)
			return decode_cut_short(d);
		if (thread >= d->m->thread_count)
			return decode_bad_thread(d, i, thread);
		if (i > 0 && stack == last && thread <= cpu[i - 1].thread)
			return err_set(d->err, -EPROTO, "row %zu is out of order", i + 1);
		if (samples > INT64_MAX - sum)
			return err_set(d->err, -EPROTO, "row %zu makes a sum larger than 63 bits", i + 1);
		sum += samples;
		last = stack;
		cpu[i] = (struct model_cpu_row){ (uint32_t)stack, (uint32_t)thread, samples };
	}
	*ret_rows = cpu;
	*ret_count = n;
	return 0;
}

static int decode_samples(struct decode *d)
{
	struct model_sample *samples;
	uint64_t time = 0;
	void *rows;
	size_t n;
	int rc = decode_table(d, "samples", 4, sizeof(struct model_sample), UINT32_MAX, &n, &rows);

	if (rc < 0)
		return rc;
	samples = rows;
	for (size_t i = 0; i < n; i++) {
		uint64_t step = cursor_varint(&d->c);
		uint64_t thread = cursor_varint(&d->c);
		uint64_t stack = cursor_varint(&d->c);
		uint64_t weight = cursor_varint(&d->c);

		if (d->c.bad || weight > UINT32_MAX || __builtin_add_overflow(time, step, &time))
			return decode_cut_short(d);
		if (thread >= d->m->thread_count)
			return decode_bad_thread(d, i, thread);
		if (stack > d->m->node_count)
			return err_set(d->err, -EPROTO, "row %zu names stack %llu of %zu", i + 1,
			               (unsigned long long)stack, d->m->node_count);
		samples[i] = (struct model_sample){ time, (uint32_t)thread, (uint32_t)stack, (uint32_t)weight };
	}
	d->m->samples = samples;
	d->m->sample_count = n;
	return 0;
}

static int decode_misuse_row(struct decode *d, struct model_misuse *r, size_t row, uint64_t *sum)
{
	const struct model *m = d->m;
	uint64_t f[12];

	for (size_t i = 0; i < ARRAY_LEN(f); i++)
		f[i] = cursor_varint(&d->c);
	if (d->c.bad)
		return decode_cut_short(d);
	if (f[0] >= SNAP_MISUSE_COUNT || f[1] >= SNAP_FAMILY_COUNT || f[2] >= SNAP_FAMILY_COUNT ||
	    f[3] >= SNAP_NO_BLOCK_COUNT)
		return err_set(d->err, -EPROTO, "row %zu is of an unknown kind", row + 1);
	if (f[8] >= m->thread_count)
		return decode_bad_thread(d, row, f[8]);
	for (size_t i = 9; i < ARRAY_LEN(f); i++)
		if (f[i] > m->node_count)
			return err_set(d->err, -EPROTO, "row %zu names stack %llu of %zu", row + 1,
			               (unsigned long long)f[i], m->node_count);
	if (f[4] == 0 || f[4] > INT64_MAX - *sum)
		return err_set(d->err, -EPROTO, "row %zu counts nothing, or more than 63 bits", row + 1);
	*sum += f[4];
	*r = (struct model_misuse){ .kind = (enum snap_misuse)f[0],
		                    .allocated_by = (enum snap_family)f[1],
		                    .freed_by = (enum snap_family)f[2],
		                    .no_block = (enum snap_no_block)f[3],
		                    .count = f[4],
		                    .address = f[5],
		                    .bytes = f[6],
		                    .time_ns = f[7],
		                    .thread = (uint32_t)f[8],
		                    .allocated = (uint32_t)f[9],
		                    .first_freed = (uint32_t)f[10],
		                    .freed = (uint32_t)f[11] };
	return 0;
}

static int decode_misuse(struct decode *d)
{
	uint64_t sum = 0;
	void *rows;
	size_t n;
	int rc = decode_table(d, "rows", 12, sizeof(struct model_misuse), UINT32_MAX, &n, &rows);

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = decode_misuse_row(d, (struct model_misuse *)rows + i, i, &sum);
	if (rc < 0)
		return rc;
	d->m->misuse = rows;
	d->m->misuse_count = n;
	return 0;
}

static int decode_marks(struct decode *d)
{
	struct model_mark *marks;
	uint64_t time = 0;
	void *rows;
	size_t n;
	int rc = decode_table(d, "marks", 3, sizeof(struct model_mark), UINT32_MAX, &n, &rows);

	if (rc < 0)
		return rc;
	marks = rows;
	for (size_t i = 0; i < n; i++) {
		uint64_t step = cursor_varint(&d->c), thread = cursor_varint(&d->c);

		if (!decode_read_text(d, &marks[i].name))
			return decode_no_memory(d);
		if (d->c.bad || __builtin_add_overflow(time, step, &time))
			return decode_cut_short(d);
		if (thread >= d->m->thread_count)
			return decode_bad_thread(d, i, thread);
		marks[i].time_ns = time;
		marks[i].thread = (uint32_t)thread;
	}
	d->m->marks = marks;
	d->m->mark_count = n;
	return 0;
}

static int decode_mmap(struct decode *d)
{
	struct model *m = d->m;
	uint64_t recorded = cursor_varint(&d->c), stack = 0, sum = 0;
	struct model_heap_row *out;
	void *rows;
	size_t n;
	int rc;

	m->mmap_bytes = cursor_varint(&d->c);
	m->munmap_bytes = cursor_varint(&d->c);
	m->mmap_peak_bytes = cursor_varint(&d->c);
	m->mmap_peak_ns = cursor_varint(&d->c);
	rc = decode_table(d, "rows", 3, sizeof(struct model_heap_row), UINT32_MAX, &n, &rows);
	if (rc < 0)
		return rc;
	if (recorded > 1 || (!recorded && n))
		return err_set(d->err, -EPROTO, "says %llu for \"recorded\" and has %zu rows",
		               (unsigned long long)recorded, n);
	out = rows;
	for (size_t i = 0; i < n; i++) {
		uint64_t step = cursor_varint(&d->c), ranges = cursor_varint(&d->c), bytes = cursor_varint(&d->c);

		if (d->c.bad)
			return decode_cut_short(d);
		if (__builtin_add_overflow(stack, step, &stack) || stack > m->node_count)
			return err_set(d->err, -EPROTO, "row %zu names a stack beyond %zu", i + 1, m->node_count);
		if (i > 0 && step == 0)
			return err_set(d->err, -EPROTO, "row %zu is out of order", i + 1);
		if (!ranges || bytes > INT64_MAX - sum)
			return err_set(d->err, -EPROTO, "row %zu counts nothing, or more than 63 bits", i + 1);
		sum += bytes;
		out[i] = (struct model_heap_row){ .stack = (uint32_t)stack,
			                          .alloc_count = (double)ranges,
			                          .alloc_bytes = bytes };
	}
	m->mmap_recorded = recorded == 1;
	m->mmap = out;
	m->mmap_count = n;
	return 0;
}

/* The fields before the rows. */
static int decode_leaks_head(struct decode *d)
{
	struct model_leaks *l = &d->m->leaks;
	uint64_t *const numbers[] = { &l->checks, &l->time_ns,      &l->pause_ns,   &l->check_ns,
		                      &l->cpu_ns, &l->memory_bytes, &l->threads,    &l->threads_missed,
		                      &l->blocks, &l->block_bytes,  &l->root_bytes, &l->unread_bytes };
	uint64_t state = cursor_varint(&d->c), mode;

	if (!decode_read_text(d, &l->method) || !decode_read_text(d, &l->note))
		return decode_no_memory(d);
	mode = cursor_varint(&d->c);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		*numbers[i] = cursor_varint(&d->c);
	if (!decode_read_text(d, &l->suppressions))
		return decode_no_memory(d);
	if (d->c.bad)
		return decode_cut_short(d);
	if (state > 1 || mode > 1 || l->checks > SNAP_LEAK_MAX_CHECKS)
		return err_set(d->err, -EPROTO, "unknown state %llu, mode %llu or %llu checks",
		               (unsigned long long)state, (unsigned long long)mode, (unsigned long long)l->checks);
	l->done = state == 0;
	l->sampled = mode == 1;
	return 0;
}

enum { LEAK_FIELDS = 8 };

static int decode_leak(struct decode *d, struct model_leak *r, size_t row, uint64_t sum[4])
{
	const struct model *m = d->m;
	double unit = m->heap_count_scale ? (double)m->heap_count_scale : 1;
	uint64_t kind = cursor_varint(&d->c), owner = cursor_varint(&d->c), f[LEAK_FIELDS];

	for (size_t i = 0; i < LEAK_FIELDS; i++)
		f[i] = cursor_varint(&d->c);
	if (d->c.bad)
		return decode_cut_short(d);
	if (kind >= SNAP_LEAK_KIND_COUNT || owner > m->node_count || (kind == SNAP_LEAK_DIRECT && owner))
		return err_set(d->err, -EPROTO, "row %zu is of kind %llu and owned by stack %llu", row + 1,
		               (unsigned long long)kind, (unsigned long long)owner);
	if (f[0] == 0 || f[4] == 0 || f[2] > f[0] || f[3] > f[1])
		return err_set(d->err, -EPROTO, "row %zu counts nothing, or confirms more than there is", row + 1);
	if (f[5] > f[6] || (f[7] && !m->leaks.sampled))
		return err_set(d->err, -EPROTO, "row %zu has times or an error that cannot be", row + 1);
	if (!decode_sum_fits(&sum[0], f[0]) || !decode_sum_fits(&sum[1], f[1]) || !decode_sum_fits(&sum[2], f[4]) ||
	    !decode_sum_fits(&sum[3], f[7]))
		return err_set(d->err, -EPROTO, "row %zu makes a sum larger than 63 bits", row + 1);
	r->kind = (enum snap_leak_kind)kind;
	r->owner = (uint32_t)owner;
	r->count = (double)f[0] / unit;
	r->bytes = f[1];
	r->confirmed_count = (double)f[2] / unit;
	r->confirmed_bytes = f[3];
	r->samples = f[4];
	r->first_ns = f[5];
	r->last_ns = f[6];
	r->error_bytes = f[7];
	return 0;
}

static int decode_leaks(struct decode *d)
{
	struct model_leaks *l = &d->m->leaks;
	uint64_t last = 0, sum[4] = { 0 };
	struct model_leak *out;
	void *rows;
	size_t n;
	int rc = decode_leaks_head(d);

	if (rc == 0)
		rc = decode_table(d, "rows", 3 + LEAK_FIELDS, sizeof(*out), UINT32_MAX, &n, &rows);
	if (rc < 0)
		return rc;
	if (!l->done && n)
		return err_set(d->err, -EPROTO, "has %zu rows of a check that was not done", n);
	out = rows;
	for (size_t i = 0; i < n; i++) {
		uint64_t stack = next_stack(d, last, i);

		if (stack == UINT64_MAX)
			return -EPROTO;
		last = stack;
		out[i].stack = (uint32_t)stack;
		rc = decode_leak(d, &out[i], i, sum);
		if (rc < 0)
			return rc;
		if (i > 0 && stack == out[i - 1].stack &&
		    (out[i].kind < out[i - 1].kind ||
		     (out[i].kind == out[i - 1].kind && out[i].owner <= out[i - 1].owner)))
			return err_set(d->err, -EPROTO, "row %zu is out of order", i + 1);
	}
	l->recorded = true;
	l->rows = out;
	l->count = n;
	return 0;
}

int snapshot_decode(uint32_t id, const uint8_t *raw, size_t bytes, struct model *m, struct err *err)
{
	struct decode d = { { raw, raw + bytes, false }, m, err };

	switch ((enum snap_section_id)id) {
	case SNAP_INFO:
		return decode_info(&d);
	case SNAP_OPTIONS:
		return decode_options(&d);
	case SNAP_LOSSES:
		return decode_losses(&d);
	case SNAP_MODULES:
		return decode_modules(&d);
	case SNAP_THREADS:
		return decode_threads(&d);
	case SNAP_STACKS:
		return decode_stacks(&d);
	case SNAP_HEAP:
		return decode_heap(&d);
	case SNAP_CPU:
		return decode_cpu_rows(&d, &m->cpu, &m->cpu_count);
	case SNAP_SAMPLES:
		return decode_samples(&d);
	case SNAP_MISUSE:
		return decode_misuse(&d);
	case SNAP_HEAP_DETAIL:
		return decode_heap_detail(&d);
	case SNAP_HEAP_THREADS:
		return decode_heap_threads(&d);
	case SNAP_MARKS:
		return decode_marks(&d);
	case SNAP_MMAP:
		return decode_mmap(&d);
	case SNAP_LEAKS:
		return decode_leaks(&d);
	case SNAP_REQUESTS:
		return snapshot_decode_requests(&d);
	case SNAP_OFFCPU:
		return snapshot_decode_offcpu(&d);
	case SNAP_DATABASE:
		return snapshot_decode_database(&d);
	case SNAP_SERIES:
		return snapshot_decode_series(&d);
	}
	return err_set(err, -EPROTO, "unknown section");
}
