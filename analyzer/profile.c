/*
 * profile.c - one metric of a model as stacks of named frames.
 *
 * Every node of the stack tree that some row needs is named once; a row's stack is then its chain of nodes, each of which
 * stands for one frame or, where calls were inlined, for several.
 */
#include "profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "model.h"
#include "profile_make.h"
#include "symbolize.h"

static const struct {
	const char *name, *unit, *text;
} metrics[METRIC_COUNT] = {
#define PROFILE_METRIC_ROW(id, name, unit, text) { name, unit, text },
	PROFILE_METRICS(PROFILE_METRIC_ROW)
#undef PROFILE_METRIC_ROW
};

/* The causes that make a total too small; what else is counted as lost only blurs stacks. */
static const char *const cpu_losses[] = { "cpu.dropped", "cpu.deferred_full" };
static const char *const offcpu_losses[] = { "offcpu.dropped" };
static const char *const heap_losses[] = { "heap.table_full" };
/* Blocks of another allocator; these counts are of objects and references, not of events. */
static const char *const heap_unseen[] = { "heap.own_allocator", "heap.hidden_allocator", "heap.unseen_calls" };

const char *profile_metric_name(enum profile_metric metric)
{
	return metrics[metric].name;
}

const char *profile_metric_unit(enum profile_metric metric)
{
	return metrics[metric].unit;
}

const char *profile_metric_text(enum profile_metric metric)
{
	return metrics[metric].text;
}

const char *profile_text(const struct profile *p)
{
	if (p->lower_bound)
		return "bytes leaked at least";
	return p->checked ? "bytes leaked" : metrics[p->metric].text;
}

int profile_metric_parse(const char *text, enum profile_metric *ret_metric, struct err *err)
{
	for (unsigned i = 0; i < METRIC_COUNT; i++) {
		if (strcmp(metrics[i].name, text) == 0) {
			*ret_metric = (enum profile_metric)i;
			return 0;
		}
	}
	return cli_check_choice("the metric", PROFILE_METRIC_VALUE, text, err);
}

/* The frames that one address stands for: list[first .. first + count), innermost first. */
struct span {
	uint32_t first, count;
};

/* Many nodes are of few addresses, and these are named once. */
struct named {
	uint64_t pc; /* 0: free */
	struct span span;
};

struct build {
	const struct model *m;
	struct symbolizer *symbols;
	struct profile_maker mk;
	enum profile_metric metric;
	struct span *spans; /* by node id; [0] is the empty stack */
	uint32_t *paths;    /* ... the maker's paths */
	bool *used;
	struct named *named; /* a hash table */
	size_t named_count, named_slots;
	uint32_t *list;
	size_t list_count, list_cap;
};

static bool is_time(enum profile_metric metric)
{
	return metric == METRIC_CPU || metric == METRIC_WALL || metric == METRIC_OFF_CPU;
}

/* The rows of the time metrics: those of threads that ran, then those of threads that waited. */
static size_t time_row_count(const struct model *m, enum profile_metric metric)
{
	return (metric == METRIC_OFF_CPU ? 0 : m->cpu_count) + (metric == METRIC_CPU ? 0 : m->offcpu.row_count);
}

static const struct model_cpu_row *time_row(const struct model *m, enum profile_metric metric, size_t i)
{
	size_t on = metric == METRIC_OFF_CPU ? 0 : m->cpu_count;

	return i < on ? &m->cpu[i] : &m->offcpu.rows[i - on];
}

/* Both kinds of samples in the order of their times: where each is. */
struct time_samples {
	const struct model *m;
	size_t on, on_end, off, off_end;
};

static struct time_samples time_samples(const struct model *m, enum profile_metric metric)
{
	return (struct time_samples){ m, 0, metric == METRIC_OFF_CPU ? 0 : m->sample_count, 0,
		                      metric == METRIC_CPU ? 0 : m->offcpu.sample_count };
}

/* False: there are no more. `ret->stack` is the model's. */
static bool next_time_sample(struct time_samples *t, struct profile_sample *ret)
{
	const struct model *m = t->m;

	if (t->on < t->on_end &&
	    (t->off == t->off_end || m->samples[t->on].time_ns <= m->offcpu.samples[t->off].time_ns)) {
		const struct model_sample *s = &m->samples[t->on++];

		*ret = (struct profile_sample){ s->time_ns, s->thread, s->stack, s->weight, 0 };
		return true;
	}
	if (t->off < t->off_end) {
		const struct model_offcpu_sample *s = &m->offcpu.samples[t->off++];

		*ret = (struct profile_sample){ s->time_ns, s->thread, s->stack, s->weight, s->request };
		return true;
	}
	return false;
}

struct amount {
	uint64_t bytes;
	double count;
};

/* Whether the metric is of unreachable blocks. Without a check that was done, "leaked" is what was not freed. */
static bool is_of_leaks(const struct model *m, enum profile_metric metric)
{
	return metric == METRIC_LEAKED && m->leaks.done;
}

/* What the metric is of: blocks, mappings or leaks. */
static size_t heap_row_count(const struct model *m, enum profile_metric metric)
{
	if (is_of_leaks(m, metric))
		return m->leaks.count;
	return metric == METRIC_MMAP ? m->mmap_count : m->heap_count;
}

static struct amount heap_amount(const struct model_heap_row *r, enum profile_metric metric)
{
	switch (metric) {
	case METRIC_ALLOC:
	case METRIC_ALLOC_COUNT:
		return (struct amount){ r->alloc_bytes, r->alloc_count };
	case METRIC_PEAK:
		return (struct amount){ r->peak_bytes, r->peak_count };
	case METRIC_SLOP:
		return (struct amount){ r->detail ? r->detail->slop_bytes : 0, r->alloc_count - r->free_count };
	case METRIC_TEMPORARY:
		return (struct amount){ 0, r->temporary_count };
	case METRIC_LIVE:
	case METRIC_LIVE_COUNT:
	case METRIC_LEAKED:
	case METRIC_MMAP:
	case METRIC_CPU:
	case METRIC_WALL:
	case METRIC_OFF_CPU:
	case METRIC_COUNT:
		break;
	}
	return (struct amount){ r->alloc_bytes - r->free_bytes, r->alloc_count - r->free_count };
}

struct heap_row {
	uint32_t stack;
	struct amount amount;
	const struct model_heap_detail *detail;
};

static struct heap_row heap_row(const struct model *m, enum profile_metric metric, size_t i)
{
	const struct model_heap_row *r;

	if (is_of_leaks(m, metric)) {
		const struct model_leak *l = &m->leaks.rows[i];

		return (struct heap_row){ l->stack, { l->bytes, l->count }, NULL };
	}
	r = metric == METRIC_MMAP ? &m->mmap[i] : &m->heap[i];
	return (struct heap_row){ r->stack, heap_amount(r, metric), r->detail };
}

static bool has_amount(struct amount a)
{
	return a.bytes > 0 || a.count > 0;
}

static int add_to_list(struct build *b, uint32_t frame)
{
	if (b->list_count == b->list_cap) {
		size_t cap = b->list_cap ? b->list_cap * 2 : 1024;
		uint32_t *list = realloc(b->list, cap * sizeof(*list));

		if (!list || cap > UINT32_MAX) {
			b->list = list ? list : b->list;
			return -ENOMEM;
		}
		b->list = list;
		b->list_cap = cap;
	}
	b->list[b->list_count++] = frame;
	return 0;
}

static struct named *named_place(struct named *table, size_t slots, uint64_t pc)
{
	size_t at = (size_t)(pc * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (slots - 1);

	while (table[at].pc && table[at].pc != pc)
		at = (at + 1) & (slots - 1);
	return &table[at];
}

static int more_named(struct build *b)
{
	size_t slots = b->named_slots ? 2 * b->named_slots : 4096;
	struct named *table = calloc(slots, sizeof(*table));

	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < b->named_slots; i++)
		if (b->named[i].pc)
			*named_place(table, slots, b->named[i].pc) = b->named[i];
	free(b->named);
	b->named = table;
	b->named_slots = slots;
	return 0;
}

static int name_address(struct build *b, uint64_t pc, struct span *ret)
{
	const struct symbol_frame *frames;
	size_t n;
	int rc = symbolizer_frames(b->symbols, pc, &frames, &n);

	if (rc < 0)
		return rc;
	*ret = (struct span){ (uint32_t)b->list_count, (uint32_t)n };
	for (size_t i = 0; i < n && rc == 0; i++) {
		const struct symbol_frame *f = &frames[i];
		struct profile_frame out = { f->function, f->module, f->file, f->line, f->offset, f->inlined };
		int64_t number = profile_maker_frame(&b->mk, &out);

		rc = number < 0 ? (int)number : add_to_list(b, (uint32_t)number);
	}
	return rc;
}

static int name_node(struct build *b, uint32_t id, uint64_t pc)
{
	struct named *at;
	int rc = 0;

	if (b->named_count >= b->named_slots / 2 && more_named(b) < 0)
		return -ENOMEM;
	at = named_place(b->named, b->named_slots, pc);
	if (!at->pc) {
		rc = name_address(b, pc, &at->span);
		at->pc = pc; /* a pc of 0 is named each time */
		b->named_count += pc != 0;
	}
	b->spans[id] = at->span;
	return rc;
}

static int name_unknown(struct build *b)
{
	static const struct profile_frame unknown = { "[unknown]", "", NULL, 0, 0, false };
	int64_t number = profile_maker_frame(&b->mk, &unknown);

	if (number < 0)
		return (int)number;
	b->spans[0] = (struct span){ (uint32_t)b->list_count, 1 };
	return add_to_list(b, (uint32_t)number);
}

static int name_nodes(struct build *b)
{
	const struct model *m = b->m;
	int rc = 0;

	if (is_time(b->metric)) {
		for (size_t i = 0; i < time_row_count(m, b->metric); i++) {
			const struct model_cpu_row *r = time_row(m, b->metric, i);

			b->used[r->stack] |= r->samples > 0;
		}
	} else {
		for (size_t i = 0; i < heap_row_count(m, b->metric); i++) {
			struct heap_row r = heap_row(m, b->metric, i);

			b->used[r.stack] |= has_amount(r.amount);
		}
	}
	for (size_t id = m->node_count; id > 0; id--)
		if (b->used[id])
			b->used[m->nodes[id - 1].parent] = true;
	if (b->used[0]) /* an outermost frame's parent, or a row without a stack */
		rc = name_unknown(b);
	for (size_t id = 1; id <= m->node_count && rc == 0; id++)
		if (b->used[id])
			rc = name_node(b, (uint32_t)id, m->nodes[id - 1].pc);
	return rc;
}

/* The path of a node's frames below its caller's, outermost first. */
static int64_t path_of(struct build *b, uint32_t id)
{
	struct span s = b->spans[id];
	int64_t path = id ? b->paths[b->m->nodes[id - 1].parent] : 0;

	for (uint32_t i = s.count; i > 0 && path != PATHS_FAILED; i--)
		path = paths_add(&b->mk.paths, (uint32_t)path, b->list[s.first + i - 1]);
	return path;
}

/* Its parent's path may not be there yet: then the wrong place is fetched, which harms nothing. */
static void expect_path(const struct build *b, size_t id)
{
	struct span s;

	if (id > b->m->node_count || !b->used[id])
		return;
	s = b->spans[id];
	if (s.count)
		paths_expect(&b->mk.paths, b->paths[b->m->nodes[id - 1].parent], b->list[s.first + s.count - 1]);
}

static int make_paths(struct build *b)
{
	size_t nodes = 0;

	for (size_t id = 1; id <= b->m->node_count; id++)
		nodes += b->used[id] ? b->spans[id].count : 0;
	if (nodes < UINT32_MAX / 2 && paths_reserve(&b->mk.paths, nodes + 1) < 0)
		return -ENOMEM;
	for (size_t id = 1; id <= b->m->node_count; id++) {
		int64_t path;

		expect_path(b, id + PATHS_AHEAD);
		if (!b->used[id])
			continue;
		path = path_of(b, (uint32_t)id);
		if (path == PATHS_FAILED)
			return -ENOMEM;
		b->paths[id] = (uint32_t)path;
	}
	/* Last: until here it was the outermost frames' parent, the empty path. */
	if (b->used[0]) {
		int64_t path = path_of(b, 0);

		if (path == PATHS_FAILED)
			return -ENOMEM;
		b->paths[0] = (uint32_t)path;
	}
	return 0;
}

static int64_t add_row(struct build *b, uint32_t stack, uint32_t thread, struct amount a)
{
	return profile_maker_add_path(&b->mk, b->paths[stack], thread, a.bytes, a.count);
}

static int add_detail(struct build *b, int64_t number, const struct model_heap_detail *d)
{
	struct profile_heap heap = { .largest = d->largest, .slop_bytes = d->slop_bytes };

	memcpy(heap.lifetime, d->lifetime, sizeof(heap.lifetime));
	return profile_maker_heap(&b->mk, number, &heap);
}

static int add_heap(struct build *b)
{
	for (size_t i = 0; i < heap_row_count(b->m, b->metric); i++) {
		struct heap_row r = heap_row(b->m, b->metric, i);

		if (has_amount(r.amount)) {
			int64_t number = add_row(b, r.stack, PROFILE_NO_THREAD, r.amount);

			int rc = number < 0 ? (int)number : 0;

			if (rc == 0 && r.detail)
				rc = add_detail(b, number, r.detail);
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

/* Samples with a time refer to the stacks that the counts have made. */
static int add_samples(struct build *b)
{
	struct time_samples t = time_samples(b->m, b->metric);
	struct profile_sample s;

	while (next_time_sample(&t, &s)) {
		int64_t number;
		int rc;

		if (!b->used[s.stack])
			continue; /* not contained in the counts: a torn write, or no snapshot of ours */
		number = add_row(b, s.stack, s.thread, (struct amount){ 0, 0 });
		if (number < 0)
			return (int)number;
		s.stack = (uint32_t)number;
		rc = profile_maker_sample(&b->mk, s);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int add_time(struct build *b)
{
	for (size_t i = 0; i < time_row_count(b->m, b->metric); i++) {
		const struct model_cpu_row *r = time_row(b->m, b->metric, i);
		int64_t number;

		if (r->samples == 0)
			continue;
		number = add_row(b, r->stack, r->thread, (struct amount){ 0, (double)r->samples });
		if (number < 0)
			return (int)number;
	}
	return add_samples(b);
}

static uint64_t count_lost(const struct model *m, const char *const *names, size_t n)
{
	uint64_t lost = 0;

	for (size_t i = 0; i < m->loss_count; i++)
		for (size_t k = 0; k < n; k++)
			if (strcmp(m->losses[i].name, names[k]) == 0 &&
			    __builtin_add_overflow(lost, m->losses[i].count, &lost))
				return UINT64_MAX;
	return lost;
}

static int add_losses(struct build *b)
{
	const struct model *m = b->m;
	struct profile_loss *losses = calloc(m->loss_count + 1, sizeof(*losses));
	int rc;

	if (!losses)
		return -ENOMEM;
	for (size_t i = 0; i < m->loss_count; i++)
		losses[i] = (struct profile_loss){ m->losses[i].name, m->losses[i].count };
	rc = profile_maker_losses(&b->mk, losses, m->loss_count);
	free(losses);
	return rc;
}

static int add_about(struct build *b)
{
	const struct model *m = b->m;
	struct profile *p = b->mk.profile;
	struct profile_thread *threads = calloc(m->thread_count + 1, sizeof(*threads));
	int rc;

	if (!threads)
		return -ENOMEM;
	for (size_t i = 0; i < m->thread_count; i++) {
		const struct model_thread *t = &m->threads[i];

		threads[i] = (struct profile_thread){ t->tid, t->name, t->start_ns, t->end_ns };
	}
	rc = profile_maker_threads(&b->mk, threads, m->thread_count);
	free(threads);
	if (rc == 0)
		rc = add_losses(b);
	if (rc < 0)
		return rc;
	if (is_time(b->metric)) {
		p->period_ns = b->metric == METRIC_OFF_CPU ? m->offcpu.period_ns : m->cpu_period_ns;
		p->lost = (b->metric == METRIC_OFF_CPU ? 0 : count_lost(m, cpu_losses, ARRAY_LEN(cpu_losses))) +
		          (b->metric == METRIC_CPU ? 0 : count_lost(m, offcpu_losses, ARRAY_LEN(offcpu_losses)));
	} else {
		p->lost = count_lost(m, heap_losses, ARRAY_LEN(heap_losses));
		p->partial = b->metric != METRIC_MMAP && count_lost(m, heap_unseen, ARRAY_LEN(heap_unseen));
		p->followed = m->heap_detail_one_in > 0;
		p->checked = is_of_leaks(m, b->metric);
		p->lower_bound = p->checked && m->leaks.sampled;
	}
	p->pid = m->pid;
	p->start_ns = m->start_ns;
	p->end_ns = m->end_ns;
	p->start_wall_ns = m->start_wall_ns;
	p->comm = profile_maker_text(&b->mk, m->comm);
	p->cmdline = profile_maker_text(&b->mk, m->cmdline);
	return p->comm && p->cmdline ? 0 : -ENOMEM;
}

int profile_check_time(const struct model *m, enum profile_metric metric, struct err *err)
{
	if (metric == METRIC_OFF_CPU && m->offcpu.row_count == 0)
		return err_set(err, -ENODATA, "%s%s",
		               *m->offcpu.why
		                       ? "recorded without off-CPU samples: "
		                       : "no thread was looked at while it waited: that is done while a request is "
		                         "slow, or all the time with PERFPROBE_CLOCK=wall",
		               m->offcpu.why);
	if (metric == METRIC_WALL && m->offcpu.scope != SNAP_OFFCPU_ALL)
		return err_set(err, -ENODATA,
		               "recorded CPU time, not wall-clock time (PERFPROBE_CLOCK=wall records it; "
		               "--metric cpu shows what there is)");
	if (metric == METRIC_CPU && m->cpu_hz == 0 && m->cpu_count == 0)
		return err_set(err, -ENODATA, "recorded without CPU samples (PERFPROBE_CPU=99 records them)");
	return 0;
}

static int check_recorded(const struct model *m, enum profile_metric metric, struct err *err)
{
	if (is_time(metric))
		return profile_check_time(m, metric, err);
	if (metric == METRIC_MMAP && !m->mmap_recorded)
		return err_set(err, -ENODATA, "recorded without mappings (PERFPROBE_MMAP=on records them)");
	if (metric != METRIC_MMAP && m->heap_mode == SNAP_HEAP_OFF && m->heap_count == 0)
		return err_set(err, -ENODATA, "recorded without the heap (PERFPROBE_HEAP=sampled or full records it)");
	if (metric == METRIC_SLOP && m->heap_detail_one_in == 0)
		return err_set(err, -ENODATA,
		               "recorded without what the allocator gave beyond the sizes asked for "
		               "(PERFPROBE_DETAIL=64, the default, records it)");
	return 0;
}

static int build_all(struct build *b)
{
	size_t n = b->m->node_count + 1;
	int rc = profile_maker_init(&b->mk, b->metric);

	if (rc < 0)
		return rc;
	b->spans = calloc(n, sizeof(*b->spans));
	b->paths = calloc(n, sizeof(*b->paths));
	b->used = calloc(n, sizeof(*b->used));
	if (!b->spans || !b->paths || !b->used)
		return -ENOMEM;
	rc = add_about(b);
	if (rc == 0)
		rc = name_nodes(b);
	if (rc == 0)
		rc = make_paths(b);
	if (rc == 0)
		rc = is_time(b->metric) ? add_time(b) : add_heap(b);
	return rc;
}

int profile_build_tree(const struct model *model, struct symbolizer *symbols, enum profile_metric metric,
                       struct profile **ret_profile, struct err *err)
{
	struct build b = { .m = model, .symbols = symbols, .metric = metric };
	int rc = check_recorded(model, metric, err);

	if (rc < 0)
		return rc;
	rc = build_all(&b);
	b.mk.in_tree = true;
	if (rc == 0)
		rc = profile_maker_finish(&b.mk, ret_profile);
	profile_maker_done(&b.mk);
	free(b.spans);
	free(b.paths);
	free(b.used);
	free(b.named);
	free(b.list);
	if (rc == -E2BIG)
		return err_set(err, rc, "its stacks have more frames than can be shown");
	return rc < 0 ? err_set(err, rc, "out of memory") : 0;
}

int profile_build(const struct model *model, struct symbolizer *symbols, enum profile_metric metric,
                  struct profile **ret_profile, struct err *err)
{
	int rc = profile_build_tree(model, symbols, metric, ret_profile, err);

	if (rc < 0)
		return rc;
	if (profile_frames(*ret_profile, SIZE_MAX) == 0)
		return 0;
	profile_free(*ret_profile);
	*ret_profile = NULL;
	return err_set(err, -ENOMEM, "out of memory");
}

int profile_frames(struct profile *p, size_t count)
{
	size_t n = count < p->stack_count ? count : p->stack_count, refs = 0;
	uint32_t *frames;

	for (size_t i = 0; i < n; i++)
		refs += p->stacks[i].frames ? 0 : p->stacks[i].depth;
	frames = arena_array(p->memory, refs, sizeof(*frames));
	if (!frames)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct profile_stack *s = &p->stacks[i];
		uint32_t *to = frames;

		if (s->frames)
			continue;
		for (uint32_t at = s->path; at; at = p->paths[at].parent)
			*to++ = p->paths[at].item;
		s->frames = frames;
		frames = to;
	}
	p->in_tree &= n < p->stack_count;
	return 0;
}

void profile_free(struct profile *p)
{
	if (!p)
		return;
	arena_done(p->memory);
	free(p->paths);
	free(p->memory);
	free(p);
}
