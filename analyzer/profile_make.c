#include "profile_make.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int profile_maker_init(struct profile_maker *mk, enum profile_metric metric)
{
	struct profile *p = calloc(1, sizeof(*p));
	struct arena *arena = calloc(1, sizeof(*arena));

	*mk = (struct profile_maker){ 0 };
	if (!p || !arena) {
		free(p);
		free(arena);
		return -ENOMEM;
	}
	p->memory = arena;
	p->metric = metric;
	p->comm = p->cmdline = "";
	mk->profile = p;
	mk->arena = arena;
	mk->strings.arena = arena;
	mk->frames.arena = &mk->scratch;
	return 0;
}

const char *profile_maker_text(struct profile_maker *mk, const char *text)
{
	return intern_string(&mk->strings, text);
}

int64_t profile_maker_frame(struct profile_maker *mk, const struct profile_frame *frame)
{
	struct profile_frame f;
	int64_t i;

	memset(&f, 0, sizeof(f)); /* padding too: the bytes are the key */
	f.function = profile_maker_text(mk, frame->function);
	f.module = profile_maker_text(mk, frame->module);
	f.file = frame->file ? profile_maker_text(mk, frame->file) : NULL;
	f.line = frame->line;
	f.offset = frame->offset;
	f.inlined = frame->inlined;
	if (!f.function || !f.module || (frame->file && !f.file))
		return -ENOMEM;
	i = intern_add(&mk->frames, &f, sizeof(f));
	return i == INTERN_FAILED ? -ENOMEM : i;
}

static bool make_room(struct profile_maker *mk, size_t number)
{
	size_t cap = mk->sum_cap ? mk->sum_cap * 2 : 64;
	struct maker_stack *sums;

	if (number < mk->sum_cap)
		return true;
	sums = realloc(mk->sums, cap * sizeof(*sums));
	if (!sums)
		return false;
	memset(sums + mk->sum_cap, 0, (cap - mk->sum_cap) * sizeof(*sums));
	mk->sums = sums;
	mk->sum_cap = cap;
	return true;
}

int64_t profile_maker_add_path(struct profile_maker *mk, uint32_t path, uint32_t thread, uint64_t bytes, double count)
{
	int64_t node = paths_add(&mk->stacks, path, thread), number = node - 1;

	if (node == PATHS_FAILED || !make_room(mk, (size_t)number))
		return -ENOMEM;
	mk->sums[number].bytes += bytes;
	mk->sums[number].count += count;
	return number;
}

int64_t profile_maker_add(struct profile_maker *mk, const uint32_t *frames, uint32_t depth, uint32_t thread,
                          uint64_t bytes, double count)
{
	int64_t path = 0;

	for (uint32_t i = depth; i > 0; i--) {
		path = paths_add(&mk->paths, (uint32_t)path, frames[i - 1]);
		if (path == PATHS_FAILED)
			return -ENOMEM;
	}
	return profile_maker_add_path(mk, (uint32_t)path, thread, bytes, count);
}

int profile_maker_heap(struct profile_maker *mk, int64_t number, const struct profile_heap *heap)
{
	struct profile_heap *sum = mk->sums[number].heap;

	if (!sum)
		sum = mk->sums[number].heap = arena_array(mk->arena, 1, sizeof(*sum));
	if (!sum)
		return -ENOMEM;
	if (heap->largest > sum->largest)
		sum->largest = heap->largest;
	sum->slop_bytes += heap->slop_bytes;
	for (unsigned i = 0; i < SNAP_LIFETIMES; i++)
		sum->lifetime[i] += heap->lifetime[i];
	return 0;
}

int profile_maker_sample(struct profile_maker *mk, struct profile_sample sample)
{
	if (mk->sample_count == mk->sample_cap) {
		size_t cap = mk->sample_cap ? mk->sample_cap * 2 : 256;
		struct profile_sample *samples = realloc(mk->samples, cap * sizeof(*samples));

		if (!samples)
			return -ENOMEM;
		mk->samples = samples;
		mk->sample_cap = cap;
	}
	mk->samples[mk->sample_count++] = sample;
	return 0;
}

int profile_maker_threads(struct profile_maker *mk, const struct profile_thread *threads, size_t count)
{
	struct profile *p = mk->profile;

	p->threads = arena_array(mk->arena, count, sizeof(*threads));
	if (!p->threads)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		p->threads[i] = threads[i];
		p->threads[i].name = profile_maker_text(mk, threads[i].name);
		if (!p->threads[i].name)
			return -ENOMEM;
	}
	p->thread_count = count;
	return 0;
}

int profile_maker_losses(struct profile_maker *mk, const struct profile_loss *losses, size_t count)
{
	struct profile *p = mk->profile;

	p->losses = arena_array(mk->arena, count, sizeof(*losses));
	if (!p->losses)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const char *name = losses[i].count ? profile_maker_text(mk, losses[i].name) : "";

		if (!name)
			return -ENOMEM;
		if (losses[i].count)
			p->losses[p->loss_count++] = (struct profile_loss){ name, losses[i].count };
	}
	return 0;
}

/* ---- the order of stacks ------------------------------------------------------------------------------------------ */

static int compare_frames(const struct profile_frame *a, const struct profile_frame *b)
{
	int order = strcmp(a->function, b->function);

	if (order == 0)
		order = strcmp(a->module, b->module);
	if (order == 0)
		order = strcmp(a->file ? a->file : "", b->file ? b->file : "");
	if (order == 0)
		order = (a->line > b->line) - (a->line < b->line);
	if (order == 0)
		order = (a->offset > b->offset) - (a->offset < b->offset);
	return order ? order : b->inlined - a->inlined;
}

static int compare_indices(const void *left, const void *right, void *context)
{
	const struct profile_frame *frames = context;
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
	int order = compare_frames(&frames[a], &frames[b]);

	return order ? order : (a > b) - (a < b);
}

/* A frame's place among all of them, from 1. */
static uint32_t *rank_frames(const struct profile *p)
{
	uint32_t *order = malloc((p->frame_count + 1) * sizeof(*order));
	uint32_t *rank = malloc((p->frame_count + 1) * sizeof(*rank));

	for (uint32_t i = 0; order && i < p->frame_count; i++)
		order[i] = i;
	if (order && rank) {
		qsort_r(order, p->frame_count, sizeof(*order), compare_indices, p->frames);
		for (uint32_t i = 0; i < p->frame_count; i++)
			rank[order[i]] = i + 1;
	}
	free(order);
	if (!order) {
		free(rank);
		return NULL;
	}
	return rank;
}

/* A stack before sorting: the frames that it begins with are at hand, since they tell nearly all stacks apart. */
struct placed {
	uint64_t value;
	uint64_t begin; /* ranks of the innermost frame and of its caller; 0: none */
	uint32_t path, number;
};

struct order {
	const struct path_node *paths, *stacks;
	const uint32_t *rank;  /* by frame */
	const uint32_t *depth; /* by path */
};

static int compare_placed(const void *left, const void *right, void *context)
{
	const struct placed *a = left, *b = right;
	const struct order *o = context;
	uint32_t x = a->path, y = b->path;

	if (a->value != b->value)
		return a->value > b->value ? -1 : 1;
	if (a->begin != b->begin)
		return a->begin < b->begin ? -1 : 1;
	while (x != y && x && y) {
		uint32_t f = o->rank[o->paths[x].item], g = o->rank[o->paths[y].item];

		if (f != g)
			return f < g ? -1 : 1;
		x = o->paths[x].parent;
		y = o->paths[y].parent;
	}
	if (x != y)
		return x ? 1 : -1;         /* the shorter one first */
	x = o->stacks[a->number + 1].item; /* threads */
	y = o->stacks[b->number + 1].item;
	return (x > y) - (x < y);
}

static uint64_t rounded(double count)
{
	return count > 0 ? (uint64_t)llround(count) : 0;
}

static struct placed place_of(const struct profile_maker *mk, const struct order *o, uint64_t value, uint32_t number)
{
	struct placed q = { .value = value, .path = mk->stacks.nodes[number + 1].parent, .number = number };
	uint32_t caller = q.path ? o->paths[q.path].parent : 0;

	if (q.path)
		q.begin =
		        (uint64_t)o->rank[o->paths[q.path].item] << 32 | (caller ? o->rank[o->paths[caller].item] : 0);
	return q;
}

/* How many frames each path has: [0] to [count]. */
static uint32_t *depths_of(const struct paths *t)
{
	uint32_t *depth = malloc((t->count + 1) * sizeof(*depth));

	if (!depth)
		return NULL;
	depth[0] = 0;
	for (size_t i = 1; i <= t->count; i++)
		depth[i] = depth[t->nodes[i].parent] + 1;
	return depth;
}

/* How many there are, or -E2BIG: a small file can ask for terabytes of frames. */
static int64_t list_stacks(const struct profile_maker *mk, const struct order *o, struct placed *list)
{
	bool in_bytes = strcmp(profile_metric_unit(mk->profile->metric), "bytes") == 0;
	uint64_t refs = 0;
	int64_t n = 0;

	for (size_t i = 0; i < mk->stacks.count; i++) {
		uint64_t value = in_bytes ? mk->sums[i].bytes : rounded(mk->sums[i].count);

		if (!value)
			continue;
		list[n] = place_of(mk, o, value, (uint32_t)i);
		refs += o->depth[list[n++].path];
		if (refs > PROFILE_MAX_REFS)
			return -E2BIG;
	}
	return n;
}

static int copy_stacks(struct profile_maker *mk, const struct order *o, const struct placed *list, size_t n,
                       uint32_t *place)
{
	struct profile *p = mk->profile;

	p->stacks = arena_array(mk->arena, n, sizeof(*p->stacks));
	if (!p->stacks)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		uint32_t number = list[i].number;

		p->stacks[i] = (struct profile_stack){ .value = list[i].value,
			                               .count = rounded(mk->sums[number].count),
			                               .thread = mk->stacks.nodes[number + 1].item,
			                               .depth = o->depth[list[i].path],
			                               .path = list[i].path,
			                               .heap = mk->sums[number].heap };
		p->total += list[i].value;
		place[number] = (uint32_t)i;
	}
	p->stack_count = n;
	return 0;
}

static int copy_frames(struct profile_maker *mk)
{
	struct profile *p = mk->profile;

	p->frames = arena_array(mk->arena, mk->frames.count, sizeof(*p->frames));
	if (!p->frames)
		return -ENOMEM;
	for (size_t i = 0; i < mk->frames.count; i++)
		memcpy(&p->frames[i], mk->frames.keys[i], sizeof(p->frames[i]));
	p->frame_count = mk->frames.count;
	return 0;
}

/* `place`[number] is where the stack stands after sorting, UINT32_MAX if it was dropped. */
static int copy_samples(struct profile_maker *mk, const uint32_t *place)
{
	struct profile *p = mk->profile;

	p->samples = arena_array(mk->arena, mk->sample_count, sizeof(*p->samples));
	if (!p->samples)
		return -ENOMEM;
	for (size_t i = 0; i < mk->sample_count; i++) {
		struct profile_sample s = mk->samples[i];

		s.stack = place[s.stack];
		if (s.stack != UINT32_MAX)
			p->samples[p->sample_count++] = s;
	}
	return 0;
}

/* `place`: of each stack's number, where it stands afterwards; UINT32_MAX if it was dropped. */
static int sort_stacks(struct profile_maker *mk, uint32_t *place)
{
	struct placed *list = malloc((mk->stacks.count + 1) * sizeof(*list));
	uint32_t *rank = rank_frames(mk->profile), *depth = depths_of(&mk->paths);
	struct order o = { mk->paths.nodes, mk->stacks.nodes, rank, depth };
	int rc = -ENOMEM;

	if (list && rank && depth) {
		int64_t n = list_stacks(mk, &o, list);

		rc = n < 0 ? (int)n : 0;
		if (rc == 0) {
			qsort_r(list, (size_t)n, sizeof(*list), compare_placed, &o);
			rc = copy_stacks(mk, &o, list, (size_t)n, place);
		}
	}
	free(list);
	free(rank);
	free(depth);
	return rc;
}

int profile_maker_finish(struct profile_maker *mk, struct profile **ret_profile)
{
	struct profile *p = mk->profile;
	size_t bytes = (mk->stacks.count + 1) * sizeof(uint32_t);
	uint32_t *place = malloc(bytes);
	int rc = place ? copy_frames(mk) : -ENOMEM;

	if (rc == 0) {
		memset(place, 0xff, bytes);
		rc = sort_stacks(mk, place);
	}
	if (rc == 0)
		rc = copy_samples(mk, place);
	free(place);
	if (rc == 0) {
		p->paths = mk->paths.nodes; /* moved */
		p->path_count = mk->paths.count;
		p->in_tree = true;
		mk->paths.nodes = NULL;
		if (!mk->in_tree && profile_frames(p, SIZE_MAX) < 0)
			return -ENOMEM;
		*ret_profile = p;
		mk->profile = NULL; /* moved: the caller frees it */
		mk->arena = NULL;
	}
	return rc;
}

void profile_maker_done(struct profile_maker *mk)
{
	intern_done(&mk->strings);
	intern_done(&mk->frames);
	paths_done(&mk->paths);
	paths_done(&mk->stacks);
	arena_done(&mk->scratch);
	free(mk->sums);
	free(mk->samples);
	profile_free(mk->profile);
	*mk = (struct profile_maker){ 0 };
}
