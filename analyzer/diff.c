/*
 * diff.c - one table of frames for both sides, one table of stacks keyed by their frames' numbers.
 *
 * Samples of different rates are not the same unit: the first profile's are converted to the second's period.
 */
#include "diff.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "estimate.h"
#include "intern.h"

struct side {
	uint64_t value, count;
};

struct join {
	struct arena scratch;
	struct arena *arena; /* the diff's */
	struct intern texts, frames, stacks;
	struct side (*sums)[2]; /* by stack number */
	size_t sum_cap;
	struct profile_frame *shown; /* by frame number: the first one seen */
	size_t shown_cap;
	bool full;
};

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

struct frame_key {
	const char *function, *module, *file; /* interned */
	uint64_t line_inlined;
};

static int64_t frame_number(struct join *j, const struct profile_frame *f)
{
	struct frame_key key = { 0 };
	struct profile_frame shown = { 0 };
	size_t before = j->frames.count;
	int64_t n;

	key.function = shown.function = intern_string(&j->texts, f->function);
	key.module = intern_string(&j->texts, base_name(f->module));
	shown.module = intern_string(&j->texts, f->module);
	if (j->full && f->file) {
		key.file = shown.file = intern_string(&j->texts, f->file);
		if (!key.file)
			return -ENOMEM;
	}
	if (j->full) {
		key.line_inlined = (uint64_t)f->line << 1 | f->inlined;
		shown.line = f->line;
		shown.offset = f->offset;
		shown.inlined = f->inlined;
	}
	if (!key.function || !key.module || !shown.module)
		return -ENOMEM;
	n = intern_add(&j->frames, &key, sizeof(key));
	if (n == INTERN_FAILED)
		return -ENOMEM;
	if ((size_t)n < before)
		return n;
	if (before == j->shown_cap) {
		size_t cap = before ? before * 2 : 256;
		struct profile_frame *grown = realloc(j->shown, cap * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		j->shown = grown;
		j->shown_cap = cap;
	}
	j->shown[n] = shown;
	return n;
}

static bool make_room(struct join *j, size_t number)
{
	size_t cap = j->sum_cap ? j->sum_cap * 2 : 256;
	void *grown;

	if (number < j->sum_cap)
		return true;
	grown = realloc(j->sums, cap * sizeof(*j->sums));
	if (!grown)
		return false;
	j->sums = grown;
	memset(j->sums + j->sum_cap, 0, (cap - j->sum_cap) * sizeof(*j->sums));
	j->sum_cap = cap;
	return true;
}

static int add_stack(struct join *j, const struct profile_stack *s, const uint32_t *number_of, uint32_t *key, int side,
                     uint64_t value)
{
	int64_t n;

	for (uint32_t k = 0; k < s->depth; k++)
		key[k] = number_of[s->frames[k]];
	n = intern_add(&j->stacks, key, s->depth * sizeof(*key));
	if (n == INTERN_FAILED || !make_room(j, (size_t)n))
		return -ENOMEM;
	j->sums[n][side].value += value;
	j->sums[n][side].count += s->count;
	return 0;
}

static uint64_t converted(uint64_t value, uint64_t from_ns, uint64_t to_ns)
{
	if (from_ns == to_ns || to_ns == 0)
		return value;
	return (uint64_t)((double)value * (double)from_ns / (double)to_ns + 0.5);
}

static int add_profile(struct join *j, const struct profile *p, int side, uint64_t period_ns, uint64_t *ret_total)
{
	uint32_t *number_of = malloc((p->frame_count + 1) * sizeof(*number_of)), *key = NULL;
	uint32_t deepest = 0;
	int rc = number_of ? 0 : -ENOMEM;

	for (size_t i = 0; i < p->frame_count && rc == 0; i++) {
		int64_t n = frame_number(j, &p->frames[i]);

		if (n < 0)
			rc = (int)n;
		else
			number_of[i] = (uint32_t)n;
	}
	for (size_t i = 0; i < p->stack_count; i++)
		if (p->stacks[i].depth > deepest)
			deepest = p->stacks[i].depth;
	if (rc == 0) {
		key = malloc(((size_t)deepest + 1) * sizeof(*key));
		rc = key ? 0 : -ENOMEM;
	}
	for (size_t i = 0; i < p->stack_count && rc == 0; i++) {
		uint64_t value = converted(p->stacks[i].value, p->period_ns, period_ns);

		rc = add_stack(j, &p->stacks[i], number_of, key, side, value);
		*ret_total += value;
	}
	free(number_of);
	free(key);
	return rc;
}

static int compare(const void *left, const void *right, void *context)
{
	const struct diff_stack *a = left, *b = right;
	const struct profile_frame *frames = context;

	if (a->delta != b->delta)
		return a->delta > b->delta ? -1 : 1;
	if (a->after != b->after)
		return a->after > b->after ? -1 : 1;
	for (uint32_t i = 0; i < a->depth && i < b->depth; i++) {
		const struct profile_frame *f = &frames[a->frames[i]], *g = &frames[b->frames[i]];
		int order = a->frames[i] == b->frames[i] ? 0 : strcmp(f->function, g->function);

		if (order == 0)
			order = strcmp(f->module, g->module);
		if (order == 0)
			order = (f->line > g->line) - (f->line < g->line);
		if (order != 0)
			return order;
	}
	return (a->depth > b->depth) - (a->depth < b->depth);
}

static int finish(struct join *j, struct diff *d)
{
	d->scale = 1;
	d->stack_count = j->stacks.count;
	d->frame_count = j->frames.count;
	d->stacks = arena_array(j->arena, d->stack_count, sizeof(*d->stacks));
	d->frames = arena_array(j->arena, d->frame_count, sizeof(*d->frames));
	if (!d->stacks || !d->frames)
		return -ENOMEM;
	if (d->frame_count)
		memcpy((struct profile_frame *)d->frames, j->shown, d->frame_count * sizeof(*d->frames));
	for (size_t i = 0; i < d->stack_count; i++) {
		struct diff_stack *s = &d->stacks[i];
		struct side *sides = j->sums[i];
		uint32_t *frames;

		s->depth = (uint32_t)(j->stacks.key_bytes[i] / sizeof(*frames));
		frames = arena_array(j->arena, s->depth, sizeof(*frames));
		if (!frames)
			return -ENOMEM;
		if (s->depth)
			memcpy(frames, j->stacks.keys[i], s->depth * sizeof(*frames));
		s->frames = frames;
		s->before = sides[0].value;
		s->after = sides[1].value;
		s->count_before = sides[0].count;
		s->count_after = sides[1].count;
		s->delta = (int64_t)(s->after - s->before); /* both fit 63 bits: the reader saw to it */
	}
	qsort_r(d->stacks, d->stack_count, sizeof(*d->stacks), compare, (void *)d->frames);
	return 0;
}

int diff_build(const struct profile *before, const struct profile *after, bool full_frames, struct diff **ret_diff,
               struct err *err)
{
	struct diff *d = calloc(1, sizeof(*d));
	struct arena *arena = calloc(1, sizeof(*arena));
	struct join j = { .arena = arena, .full = full_frames };
	int rc = d && arena ? 0 : -ENOMEM;

	if (before->metric != after->metric) {
		free(d);
		free(arena);
		return err_set(err, -EINVAL, "one profile is of %s, the other of %s",
		               profile_metric_name(before->metric), profile_metric_name(after->metric));
	}
	if (before->checked != after->checked) {
		free(d);
		free(arena);
		return err_set(err, -EINVAL,
		               "only the %s snapshot was checked for unreachable blocks: leaks and blocks not freed "
		               "do not compare (--metric live does)",
		               before->checked ? "first" : "second");
	}
	j.texts.arena = arena;
	j.frames.arena = j.stacks.arena = &j.scratch;
	if (rc == 0) {
		d->memory = arena;
		d->metric = after->metric;
		d->checked = after->checked;
		d->period_ns = after->period_ns;
		d->unit_before = after->period_ns ? (double)before->period_ns / (double)after->period_ns : 1;
		rc = add_profile(&j, before, 0, after->period_ns, &d->total_before);
	}
	if (rc == 0)
		rc = add_profile(&j, after, 1, after->period_ns, &d->total_after);
	if (rc == 0)
		rc = finish(&j, d);
	intern_done(&j.texts);
	intern_done(&j.frames);
	intern_done(&j.stacks);
	arena_done(&j.scratch);
	free(j.sums);
	free(j.shown);
	if (rc == 0) {
		*ret_diff = d;
		return 0;
	}
	if (arena)
		arena_done(arena);
	free(arena);
	free(d);
	return err_set(err, rc, "out of memory");
}

void diff_settle(struct diff *d, double scale, const double variance[2])
{
	/* A sample of the first profile is `unit_before` of the second's: its variance that squared. */
	double var_before = variance[0] * d->unit_before, var_after = variance[1];

	d->scale = scale;
	d->variance[0] = var_before;
	d->variance[1] = var_after;
	d->noise_count = 0;
	for (size_t i = 0; i < d->stack_count; i++) {
		struct diff_stack *s = &d->stacks[i];
		double change = (double)s->after - (double)s->before * scale;

		if (scale != 1)
			s->delta = (int64_t)llround(fmax(-9e18, fmin(9e18, change)));
		s->variance = (double)s->before * scale * scale * var_before + (double)s->after * var_after;
		s->noise = estimate_is_noise(change, s->variance);
		d->noise_count += s->noise;
	}
	qsort_r(d->stacks, d->stack_count, sizeof(*d->stacks), compare, (void *)d->frames);
}

static int most_first(const void *a, const void *b)
{
	const struct diff_frame *x = a, *y = b;

	if (x->value != y->value)
		return x->value < y->value ? 1 : -1;
	return (x->frame > y->frame) - (x->frame < y->frame);
}

/* Adds a stack's values to its frames, each once. `last`: by frame, the last stack that was added to it. */
static void add_to_frames(const struct diff_stack *s, size_t number, size_t *last, uint64_t (*side)[2])
{
	for (uint32_t k = 0; k < s->depth; k++) {
		uint32_t f = s->frames[k];

		if (last[f] == number + 1)
			continue;
		last[f] = number + 1;
		side[f][0] += s->before;
		side[f][1] += s->after;
	}
}

int diff_frames(const struct diff *d, struct diff_frame **ret_list, size_t *ret_count, struct err *err)
{
	uint64_t(*side)[2] = calloc(d->frame_count + 1, sizeof(*side));
	size_t *last = calloc(d->frame_count + 1, sizeof(*last)), n = 0;
	struct diff_frame *list = calloc(d->frame_count + 1, sizeof(*list));

	if (!side || !last || !list) {
		free(side);
		free(last);
		free(list);
		return err_set(err, -ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < d->stack_count; i++)
		add_to_frames(&d->stacks[i], i, last, side);
	for (size_t i = 0; i < d->frame_count; i++) {
		size_t has = side[i][1] ? 1 : 0;

		if (!side[i][0] == !side[i][1])
			continue;
		list[n] = (struct diff_frame){ .frame = (uint32_t)i, .is_new = has == 1, .value = side[i][has] };
		list[n].noise = estimate_is_noise((double)side[i][has], (double)side[i][has] * d->variance[has]);
		n++;
	}
	free(side);
	free(last);
	qsort(list, n, sizeof(*list), most_first);
	*ret_list = list;
	*ret_count = n;
	return 0;
}

void diff_free(struct diff *d)
{
	if (!d)
		return;
	arena_done(d->memory);
	free(d->memory);
	free(d);
}
