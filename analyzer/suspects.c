/*
 * suspects.c - one series a stack, then a verdict on each.
 *
 * Stacks are matched over the snapshots by their frames. Of a stack, each snapshot tells how many bytes and blocks are alive
 * and how many blocks it has allocated so far, so also how many it has freed. Blocks that were alive at one snapshot and
 * outnumber those freed since are alive still: that is how "older than" is known without the age of any block.
 */
#include "suspects.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "intern.h"
#include "units.h"

#define NS_PER_MIN (60.0 * (double)NS_PER_S)

/* In sampled mode: with fewer samples, what is seen is the sampler's chance. */
#define LEAST_SAMPLES 4
/* What one snapshot must show. Freed: enough to know how long blocks usually live. Share: of the recording within which 99 of
 * 100 of them are freed. Times: more live blocks than those lifetimes explain (Little's law: rate x mean lifetime). */
#define SURVIVE_FREED 100
#define SURVIVE_LIVE  10
#define SURVIVE_SHARE 0.05
#define SURVIVE_TIMES 5

struct point {
	uint64_t bytes, blocks, allocated;
};

struct series {
	struct point *points; /* one a snapshot */
	uint64_t leaked_bytes;
	const struct profile_heap *heap; /* the last snapshot's; NULL: not known */
};

struct join {
	const struct suspects_input *inputs;
	size_t n;
	const struct suspects_options *options;
	struct arena scratch;
	struct arena *arena; /* the result's */
	struct intern texts, frames, stacks;
	struct profile_frame *shown; /* by frame number: the last one seen */
	size_t shown_cap;
	struct series *series; /* by stack number */
	size_t series_cap;
	struct trend_kendall kendall;
	struct suspects *out;
};

/* ---- series ------------------------------------------------------------------------------------------------------- */

static bool make_room(void *list, size_t *cap, size_t number, size_t item_bytes)
{
	void **items = list;
	size_t grown = *cap ? *cap * 2 : 256;
	void *p;

	if (number < *cap)
		return true;
	p = realloc(*items, grown * item_bytes);
	if (!p)
		return false;
	*items = p;
	*cap = grown;
	return true;
}

struct frame_key {
	const char *function, *module, *file; /* interned */
	uint64_t line, inlined, offset;
};

static int64_t frame_number(struct join *j, const struct profile_frame *f)
{
	struct frame_key key = { 0 };
	size_t before = j->frames.count;
	int64_t n;

	key.function = intern_string(&j->texts, f->function);
	key.module = intern_string(&j->texts, f->module);
	if (!j->options->by_names && f->file)
		key.file = intern_string(&j->texts, f->file);
	if (!key.function || !key.module || (!j->options->by_names && f->file && !key.file))
		return -ENOMEM;
	if (!j->options->by_names) {
		key.line = f->line;
		key.inlined = f->inlined;
		key.offset = f->file && f->line ? 0 : f->offset;
	}
	n = intern_add(&j->frames, &key, sizeof(key));
	if (n == INTERN_FAILED || !make_room(&j->shown, &j->shown_cap, (size_t)n, sizeof(*j->shown)))
		return -ENOMEM;
	if ((size_t)n == before)
		j->shown[n] = (struct profile_frame){ key.function,       key.module, key.file,
			                              (uint32_t)key.line, key.offset, key.inlined != 0 };
	return n;
}

static struct series *series_of(struct join *j, const struct profile_stack *s, const uint32_t *number_of, uint32_t *key)
{
	size_t before = j->stacks.count;
	int64_t n;

	for (uint32_t k = 0; k < s->depth; k++)
		key[k] = number_of[s->frames[k]];
	n = intern_add(&j->stacks, key, s->depth * sizeof(*key));
	if (n == INTERN_FAILED || !make_room(&j->series, &j->series_cap, (size_t)n, sizeof(*j->series)))
		return NULL;
	if ((size_t)n == before) {
		j->series[n] = (struct series){ .points = arena_array(&j->scratch, j->n, sizeof(struct point)) };
		if (!j->series[n].points)
			return NULL;
	}
	return &j->series[n];
}

static void add_stack(struct series *series, const struct profile *p, const struct profile_stack *s, size_t snapshot,
                      bool is_last)
{
	struct point *point = &series->points[snapshot];

	if (p->metric == METRIC_LIVE) {
		point->bytes += s->value;
		point->blocks += s->count;
		if (is_last && p->followed)
			series->heap = s->heap;
	} else if (p->metric == METRIC_ALLOC) {
		point->allocated += s->count;
	} else {
		series->leaked_bytes += s->value;
	}
}

static int add_profile(struct join *j, const struct profile *p, size_t snapshot)
{
	uint32_t *number_of = malloc((p->frame_count + 1) * sizeof(*number_of)), *key = NULL, deepest = 0;
	int rc = number_of ? 0 : -ENOMEM;

	for (size_t i = 0; i < p->frame_count && rc == 0; i++) {
		int64_t n = frame_number(j, &p->frames[i]);

		rc = n < 0 ? (int)n : 0;
		number_of[i] = (uint32_t)n;
	}
	for (size_t i = 0; i < p->stack_count; i++)
		deepest = p->stacks[i].depth > deepest ? p->stacks[i].depth : deepest;
	if (rc == 0) {
		key = malloc(((size_t)deepest + 1) * sizeof(*key));
		rc = key ? 0 : -ENOMEM;
	}
	for (size_t i = 0; i < p->stack_count && rc == 0; i++) {
		struct series *series = series_of(j, &p->stacks[i], number_of, key);

		if (series)
			add_stack(series, p, &p->stacks[i], snapshot, snapshot + 1 == j->n);
		else
			rc = -ENOMEM;
	}
	free(number_of);
	free(key);
	return rc;
}

static int add_profiles(struct join *j)
{
	int rc = 0;

	for (size_t i = 0; i < j->n && rc == 0; i++) {
		rc = add_profile(j, j->inputs[i].live, i);
		if (rc == 0)
			rc = add_profile(j, j->inputs[i].alloc, i);
	}
	if (rc == 0 && j->options->leaked)
		rc = add_profile(j, j->options->leaked, j->n - 1);
	return rc;
}

/* ---- verdicts ----------------------------------------------------------------------------------------------------- */

/* How many samples stand behind an estimate of so many blocks: each is taken with p = 1 - exp(-(bytes + 1)/interval). */
static double samples_of(const struct join *j, double bytes, double blocks)
{
	double interval = (double)j->options->interval_bytes;

	if (interval <= 0 || blocks <= 0)
		return blocks;
	return blocks * -expm1(-(bytes / blocks + 1) / interval);
}

/* Whether samples rather than blocks may have made the growth: few of them, or, where no trend test stands behind it, within
 * three times what a sum of so many varies by. */
static bool is_chance(const struct join *j, const struct point *first, const struct point *last)
{
	double now = samples_of(j, (double)last->bytes, (double)last->blocks);
	double then = samples_of(j, (double)first->bytes, (double)first->blocks);

	return j->options->interval_bytes && (now < LEAST_SAMPLES || (j->n < 4 && now - then < 3 * sqrt(now)));
}

static void find_trend(struct join *j, const struct series *s, bool of_blocks, struct trend *ret)
{
	struct trend_point points[TREND_MAX_POINTS];

	for (size_t i = 0; i < j->n; i++)
		points[i] = (struct trend_point){
			(double)(j->inputs[i].end_ns - j->inputs[0].end_ns) / NS_PER_MIN,
			(double)(of_blocks ? s->points[i].blocks : s->points[i].bytes),
		};
	trend_find(&j->kendall, points, ret);
}

/* Blocks that outnumber those freed since then are that old at least. */
static int find_survivors(struct join *j, const struct series *s, struct suspect *ret)
{
	const struct point *last = &s->points[j->n - 1];
	struct suspect_survivors *list = arena_array(j->arena, j->n, sizeof(*list));

	if (!list)
		return -ENOMEM;
	ret->survivors = list;
	for (size_t i = j->n - 1; i-- > 0;) {
		const struct point *then = &s->points[i];
		/* Estimates may contradict each other a little. */
		uint64_t freed_then = then->allocated > then->blocks ? then->allocated - then->blocks : 0;
		uint64_t freed_now = last->allocated > last->blocks ? last->allocated - last->blocks : 0;
		uint64_t since = freed_now > freed_then ? freed_now - freed_then : 0;

		if (then->blocks > since)
			list[ret->survivor_count++] =
			        (struct suspect_survivors){ j->inputs[j->n - 1].end_ns - j->inputs[i].end_ns,
				                            then->blocks - since };
	}
	return 0;
}

/* 1: a suspect; 0: none; -errno. */
static int judge_growth(struct join *j, const struct series *s, struct suspect *ret)
{
	const struct point *first = &s->points[0], *last = &s->points[j->n - 1];
	int64_t grown = (int64_t)(last->bytes - first->bytes);
	struct trend blocks;

	if (grown <= 0)
		return 0;
	find_trend(j, s, false, &ret->trend);
	find_trend(j, s, true, &blocks);
	if (ret->trend.kind != TREND_GROWS && blocks.kind == TREND_GROWS && ret->trend.slope > 0) {
		ret->trend.kind = TREND_GROWS; /* sizes vary; their number grows all the same */
		ret->trend.certainty = blocks.certainty;
		ret->trend.p = blocks.p;
	}
	if (ret->trend.kind == TREND_LEVELLED || ret->trend.kind == TREND_STEP)
		j->out->levelled++;
	if (ret->trend.kind != TREND_GROWS || is_chance(j, first, last))
		return 0;
	if (s->leaked_bytes >= (uint64_t)grown) {
		j->out->leaking++;
		return 0;
	}
	ret->reason = SUSPECT_GROWS;
	ret->grown_bytes = grown;
	return find_survivors(j, s, ret) < 0 ? -ENOMEM : 1;
}

/* Below which lifetime 99 of 100 freed blocks stayed, and how long they lived at most in the mean; in seconds. */
static double usual_lifetime(const struct profile_heap *h, double *ret_freed, double *ret_mean)
{
	double freed = 0, sum = 0, seen = 0, end = (double)SNAP_LIFETIME_NS / (double)NS_PER_S, usual = INFINITY;

	for (unsigned i = 0; i < SNAP_LIFETIMES; i++)
		freed += h->lifetime[i];
	for (unsigned i = 0; i < SNAP_LIFETIMES; i++, end *= 4) {
		if (i == SNAP_LIFETIMES - 1 && h->lifetime[i] > 0)
			end = INFINITY;
		if (h->lifetime[i] > 0)
			sum += h->lifetime[i] * end;
		seen += h->lifetime[i];
		if (usual == INFINITY && seen >= 0.99 * freed)
			usual = end;
	}
	*ret_freed = freed;
	*ret_mean = freed > 0 ? sum / freed : INFINITY;
	return usual;
}

/* One snapshot: 1 a suspect, 0 none. */
static int judge_survival(const struct join *j, const struct series *s, struct suspect *ret)
{
	const struct profile *p = j->inputs[0].live;
	double seconds = (double)(p->end_ns - p->start_ns) / (double)NS_PER_S, freed, mean, usual, explained;
	const struct point *now = &s->points[0];
	double samples = samples_of(j, (double)now->bytes, (double)now->blocks);

	if (!s->heap || p->end_ns <= p->start_ns || samples < SURVIVE_LIVE || s->leaked_bytes >= now->bytes)
		return 0;
	usual = usual_lifetime(s->heap, &freed, &mean);
	if (samples_of(j, (double)now->bytes / (double)now->blocks * freed, freed) < SURVIVE_FREED ||
	    usual > SURVIVE_SHARE * seconds)
		return 0;
	explained = ((double)now->blocks + freed) / seconds * mean;
	if ((double)now->blocks < SURVIVE_LIVE + SURVIVE_TIMES * explained)
		return 0;
	ret->reason = SUSPECT_SURVIVES;
	ret->freed_within_ns = (uint64_t)(usual * (double)NS_PER_S);
	ret->trend = (struct trend){
		.kind = TREND_GROWS, .certainty = TREND_POSSIBLE, .slope = (double)now->bytes / seconds * 60, .p = 1
	};
	return 1;
}

static int compare(const void *left, const void *right, void *context)
{
	const struct suspect *a = left, *b = right;
	const struct profile_frame *frames = context;

	if (a->trend.certainty != b->trend.certainty)
		return a->trend.certainty > b->trend.certainty ? -1 : 1;
	if (a->trend.slope != b->trend.slope)
		return a->trend.slope > b->trend.slope ? -1 : 1;
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

static int add_suspect(struct join *j, size_t stack, const struct suspect *found)
{
	const struct point *last = &j->series[stack].points[j->n - 1];
	struct suspect *s = &j->out->items[j->out->count++];
	uint32_t *frames;

	*s = *found;
	s->bytes = last->bytes;
	s->blocks = last->blocks;
	s->depth = (uint32_t)(j->stacks.key_bytes[stack] / sizeof(*frames));
	frames = arena_array(j->arena, s->depth, sizeof(*frames));
	if (!frames)
		return -ENOMEM;
	if (s->depth)
		memcpy(frames, j->stacks.keys[stack], s->depth * sizeof(*frames));
	s->frames = frames;
	return 0;
}

static int judge_all(struct join *j)
{
	struct suspects *out = j->out;
	struct profile_frame *frames = arena_array(j->arena, j->frames.count, sizeof(*frames));

	out->items = arena_array(j->arena, j->stacks.count, sizeof(*out->items));
	if (!out->items || !frames)
		return -ENOMEM;
	if (j->frames.count)
		memcpy(frames, j->shown, j->frames.count * sizeof(*frames));
	out->frames = frames;
	out->frame_count = j->frames.count;
	for (size_t i = 0; i < j->stacks.count; i++) {
		struct suspect s = { 0 };
		int rc = j->n > 1 ? judge_growth(j, &j->series[i], &s) : judge_survival(j, &j->series[i], &s);

		if (rc > 0)
			rc = add_suspect(j, i, &s);
		if (rc < 0)
			return rc;
	}
	qsort_r(out->items, out->count, sizeof(*out->items), compare, frames);
	return 0;
}

int suspects_find(const struct suspects_input *inputs, size_t n, const struct suspects_options *options,
                  struct suspects **ret_suspects, struct err *err)
{
	struct suspects *out = calloc(1, sizeof(*out));
	struct join *j = calloc(1, sizeof(*j));
	int rc = -ENOMEM;

	assert(n >= 1 && n <= TREND_MAX_POINTS);
	if (out && j)
		out->memory = j->arena = calloc(1, sizeof(*j->arena));
	if (out && out->memory) {
		j->inputs = inputs;
		j->n = n;
		j->options = options;
		j->out = out;
		j->texts.arena = j->arena;
		j->frames.arena = j->stacks.arena = &j->scratch;
		if (n > 1)
			trend_kendall_init(&j->kendall, n);
		rc = add_profiles(j);
		if (rc == 0)
			rc = judge_all(j);
	}
	if (j) {
		intern_done(&j->texts);
		intern_done(&j->frames);
		intern_done(&j->stacks);
		arena_done(&j->scratch);
		free(j->shown);
		free(j->series);
	}
	free(j);
	if (rc == 0)
		*ret_suspects = out;
	else if (out && out->memory)
		suspects_free(out);
	else
		free(out);
	return rc < 0 ? err_set(err, rc, "out of memory") : 0;
}

void suspects_free(struct suspects *s)
{
	if (!s)
		return;
	arena_done(s->memory);
	free(s->memory);
	free(s);
}

double suspect_confidence(const struct suspect *s)
{
	return s->trend.p < 1 ? 1 - s->trend.p : 0.5;
}

const char *suspect_certainty(const struct suspect *s)
{
	static const char *const words[] = { "possible", "likely", "steady" };

	return words[s->trend.certainty];
}
