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
	mk->frames.arena = mk->stacks.arena = &mk->scratch;
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

int64_t profile_maker_add(struct profile_maker *mk, const uint32_t *frames, uint32_t depth, uint32_t thread,
                          uint64_t bytes, double count)
{
	uint32_t small[128], *key = small;
	int64_t number;

	mk->refs += depth;
	if (mk->refs > PROFILE_MAX_REFS)
		return -E2BIG;
	if (depth + 1 > ARRAY_LEN(small)) {
		key = malloc(((size_t)depth + 1) * sizeof(*key));
		if (!key)
			return -ENOMEM;
	}
	key[0] = thread;
	if (depth)
		memcpy(key + 1, frames, depth * sizeof(*key));
	number = intern_add(&mk->stacks, key, ((size_t)depth + 1) * sizeof(*key));
	if (key != small)
		free(key);
	if (number == INTERN_FAILED || !make_room(mk, (size_t)number))
		return -ENOMEM;
	mk->sums[number].bytes += bytes;
	mk->sums[number].count += count;
	return number;
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

/* A stack with its number before sorting. */
struct numbered {
	struct profile_stack stack;
	uint32_t number;
};

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
	return order;
}

/* Frames are distinct, so stacks of equal value differ somewhere; frames that compare equal differ in `inlined` only. */
static int compare_stacks(const void *left, const void *right, void *context)
{
	const struct profile_stack *a = &((const struct numbered *)left)->stack;
	const struct profile_stack *b = &((const struct numbered *)right)->stack;
	const struct profile_frame *frames = context;

	if (a->value != b->value)
		return a->value > b->value ? -1 : 1;
	for (uint32_t i = 0; i < a->depth && i < b->depth; i++) {
		int order;

		if (a->frames[i] == b->frames[i])
			continue;
		order = compare_frames(&frames[a->frames[i]], &frames[b->frames[i]]);
		if (order != 0)
			return order;
		if (frames[a->frames[i]].inlined != frames[b->frames[i]].inlined)
			return frames[a->frames[i]].inlined ? -1 : 1;
	}
	if (a->depth != b->depth)
		return a->depth < b->depth ? -1 : 1;
	return (a->thread > b->thread) - (a->thread < b->thread);
}

static uint64_t rounded(double count)
{
	return count > 0 ? (uint64_t)llround(count) : 0;
}

static int copy_stacks(struct profile_maker *mk, struct numbered *list, size_t *ret_count)
{
	bool in_bytes = strcmp(profile_metric_unit(mk->profile->metric), "bytes") == 0;
	size_t n = 0;

	for (size_t i = 0; i < mk->stacks.count; i++) {
		const uint32_t *key = mk->stacks.keys[i];
		uint32_t depth = (uint32_t)(mk->stacks.key_bytes[i] / sizeof(*key)) - 1;
		uint64_t count = rounded(mk->sums[i].count);
		uint64_t value = in_bytes ? mk->sums[i].bytes : count;
		uint32_t *frames;

		if (value == 0)
			continue;
		frames = arena_array(mk->arena, depth, sizeof(*frames));
		if (!frames)
			return -ENOMEM;
		if (depth)
			memcpy(frames, key + 1, depth * sizeof(*frames));
		list[n].stack = (struct profile_stack){ value, count, key[0], depth, frames, mk->sums[i].heap };
		list[n++].number = (uint32_t)i;
		mk->profile->total += value;
	}
	*ret_count = n;
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

int profile_maker_finish(struct profile_maker *mk, struct profile **ret_profile)
{
	struct profile *p = mk->profile;
	size_t all = mk->stacks.count, n = 0;
	struct numbered *list = calloc(all + 1, sizeof(*list));
	uint32_t *place = malloc((all + 1) * sizeof(*place));
	int rc = list && place ? copy_frames(mk) : -ENOMEM;

	if (rc == 0)
		rc = copy_stacks(mk, list, &n);
	if (rc == 0) {
		p->stacks = arena_array(mk->arena, n, sizeof(*p->stacks));
		rc = p->stacks ? 0 : -ENOMEM;
	}
	if (rc == 0) {
		qsort_r(list, n, sizeof(*list), compare_stacks, p->frames);
		memset(place, 0xff, (all + 1) * sizeof(*place));
		for (size_t i = 0; i < n; i++) {
			p->stacks[i] = list[i].stack;
			place[list[i].number] = (uint32_t)i;
		}
		p->stack_count = n;
		rc = copy_samples(mk, place);
	}
	free(list);
	free(place);
	if (rc == 0) {
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
	intern_done(&mk->stacks);
	arena_done(&mk->scratch);
	free(mk->sums);
	free(mk->samples);
	profile_free(mk->profile);
	*mk = (struct profile_maker){ 0 };
}
