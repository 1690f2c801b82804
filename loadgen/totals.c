/*
 * totals.c - tallies to series.
 *
 * A class of requests becomes http_reqs, http_req_failed and a trend per phase, all with the tags of its endpoint and of its outcome.
 * Zeros      k6 counts a phase that a request did not have as 0: those zeros are not recorded but made here, from the number of
 *            durations, which is read first: there are never too many of them.
 * Monotone   what is read may lag behind, but never runs ahead of the truth, and the truth only grows. So the greatest value
 *            that was seen is kept, and the difference to it is the slice.
 */
#include "totals.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog.h"
#include "outcome.h"
#include "tally.h"

enum { PARTS_MAX = 256 }; /* tallies */

struct pair {
	struct series *total, *slice;
};

struct class
{
	uint32_t endpoint, outcome;
	struct pair reqs, failed, trends[TREND_COUNT];
	struct tally_class **parts; /* one a tally that has it */
	size_t part_count;
};

struct totals {
	struct catalog *catalog;
	bool each_is_iteration;
	struct series_set all, slice;
	struct class *classes;
	size_t class_count, class_cap;
	struct pair slots[CATALOG_SLOTS_MAX];
	uint64_t lost, refused;
};

struct totals *totals_new(struct catalog *catalog, bool each_is_iteration)
{
	struct totals *t = calloc(1, sizeof(*t));

	if (t) {
		t->catalog = catalog;
		t->each_is_iteration = each_is_iteration;
	}
	return t;
}

void totals_free(struct totals *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->class_count; i++)
		free(t->classes[i].parts);
	free(t->classes);
	series_set_done(&t->all);
	series_set_done(&t->slice);
	free(t);
}

const struct series_set *totals_all(const struct totals *t)
{
	return &t->all;
}

const struct series_set *totals_slice(const struct totals *t)
{
	return &t->slice;
}

uint64_t totals_lost(const struct totals *t)
{
	return t->lost + t->refused + catalog_refused(t->catalog);
}

/* Both sets get every series in the same order, so that their places agree. False: no room; counted. */
static bool pair_get(struct totals *t, struct pair *p, const char *metric, enum series_kind kind,
                     enum series_contains contains, const struct series_tag *tags, size_t count)
{
	if (p->slice)
		return true;
	p->total = series_get(&t->all, metric, kind, contains, tags, count);
	p->slice = p->total ? series_get(&t->slice, metric, kind, contains, tags, count) : NULL;
	t->refused += p->slice == NULL;
	return p->slice != NULL;
}

struct tag_room {
	struct series_tag tags[SERIES_TAGS_MAX];
	size_t count;
	char status[16], code[16];
};

static void tag_add(struct tag_room *r, const char *key, const char *value)
{
	for (size_t i = 0; i < r->count; i++)
		if (strcmp(r->tags[i].key, key) == 0) /* the endpoint says it itself */
			return;
	if (r->count < SERIES_TAGS_MAX)
		r->tags[r->count++] = (struct series_tag){ key, value };
}

static void class_tags(const struct totals *t, const struct class *c, struct tag_room *r)
{
	const struct series *endpoint = catalog_endpoint_tags(t->catalog, c->endpoint);
	unsigned code = outcome_error_code(c->outcome);

	r->count = 0;
	for (uint32_t i = 0; endpoint && i < endpoint->tag_count; i++)
		r->tags[r->count++] = endpoint->tags[i];
	(void)snprintf(r->status, sizeof(r->status), "%u", outcome_status(c->outcome));
	(void)snprintf(r->code, sizeof(r->code), "%u", code);
	tag_add(r, "status", c->outcome == TALLY_OTHER ? "(other)" : r->status);
	tag_add(r, "expected_response", outcome_is_expected(c->outcome) ? "true" : "false");
	if (*outcome_error(c->outcome))
		tag_add(r, "error", outcome_error(c->outcome));
	if (code)
		tag_add(r, "error_code", r->code);
}

static struct class *class_get(struct totals *t, uint32_t endpoint, uint32_t outcome)
{
	struct class *c;

	for (size_t i = 0; i < t->class_count; i++)
		if (t->classes[i].endpoint == endpoint && t->classes[i].outcome == outcome)
			return &t->classes[i];
	if (t->class_count == t->class_cap) {
		size_t cap = t->class_cap ? 2 * t->class_cap : 32;
		struct class *classes = realloc(t->classes, cap * sizeof(*classes));

		if (!classes)
			return NULL;
		t->classes = classes;
		t->class_cap = cap;
	}
	c = &t->classes[t->class_count++];
	*c = (struct class){ .endpoint = endpoint, .outcome = outcome };
	return c;
}

/* A class of a tally that has not been seen before. */
static void class_meet(struct totals *t, struct tally_class *part)
{
	struct class *c = class_get(t, part->endpoint, part->outcome);
	struct tally_class **parts = c && c->part_count < PARTS_MAX
	                                     ? realloc(c->parts, (c->part_count + 1) * sizeof(struct tally_class *))
	                                     : NULL;

	if (!parts)
		return; /* tried again with the next reading */
	c->parts = parts;
	parts[c->part_count++] = part;
	part->reader = (uint32_t)(c - t->classes);
}

/* One bucket as it is now; the slice gets what is new. Returns that. */
static uint64_t bucket_read(struct pair *p, uint32_t index, uint64_t now)
{
	uint64_t was = p->total->trend.buckets[index];

	if (now <= was)
		return 0;
	histogram_add_bucket(&p->total->trend, index, now - was);
	histogram_add_bucket(&p->slice->trend, index, now - was);
	return now - was;
}

struct reading {
	const struct tally_trend *parts[PARTS_MAX];
	size_t count;
	uint64_t zeros, sum, min, max; /* of all parts */
};

static void reading_add(struct reading *r, const struct tally_trend *t, uint64_t durations)
{
	uint64_t count = load_acquire(&t->count); /* pairs with trend_record()'s release */

	r->zeros += durations > count ? durations - count : 0;
	if (count == 0 || r->count == PARTS_MAX)
		return;
	r->parts[r->count++] = t;
	r->sum += load_relaxed(&t->sum); /* relaxed, all of it: statistics, see tally.h */
	if (load_relaxed(&t->min) < r->min)
		r->min = load_relaxed(&t->min);
	if (load_relaxed(&t->max) > r->max)
		r->max = load_relaxed(&t->max);
}

/* What a slice knows of its extremes: the bounds of its buckets, within those of the whole. */
static void slice_extremes(struct pair *p, uint32_t first, uint32_t last)
{
	struct histogram *slice = &p->slice->trend;
	const struct histogram *total = &p->total->trend;
	uint64_t low = histogram_bucket_low(first),
	         high = histogram_bucket_low(last) + histogram_bucket_width(last) - 1;

	slice->min = low < total->min ? total->min : low;
	slice->max = high > total->max ? total->max : high;
}

static void trend_read(struct pair *p, const struct reading *r)
{
	uint32_t from = r->count ? histogram_index(r->min) : 1, to = r->count ? histogram_index(r->max) : 0;
	uint32_t first = UINT32_MAX, last = 0;
	uint64_t news = 0;

	if (r->zeros && from > 0) {
		news = bucket_read(p, 0, r->zeros);
		first = news ? 0 : UINT32_MAX;
	}
	for (uint32_t i = from; i <= to; i++) {
		uint64_t now = i == 0 ? r->zeros : 0;

		for (size_t k = 0; k < r->count; k++)
			now += load_relaxed(&r->parts[k]->buckets[i]); /* relaxed: statistics, see tally.h */
		now = bucket_read(p, i, now);
		if (now == 0)
			continue;
		first = first == UINT32_MAX ? i : first;
		last = i;
		news += now;
	}
	if (r->count && r->min < p->total->trend.min)
		p->total->trend.min = r->min;
	if (r->zeros)
		p->total->trend.min = 0;
	if (r->max > p->total->trend.max)
		p->total->trend.max = r->max;
	if (r->sum > (uint64_t)p->total->trend.sum) {
		p->slice->trend.sum = r->sum - (uint64_t)p->total->trend.sum;
		p->total->trend.sum = r->sum;
	}
	if (news)
		slice_extremes(p, first, last);
}

static void class_trend_read(struct totals *t, struct class *c, enum metrics_trend trend, const uint64_t *durations,
                             const struct tag_room *tags)
{
	static const uint32_t may_be_missing = 1u << TREND_LATENESS | 1u << TREND_BLOCKED | 1u << TREND_DNS |
	                                       1u << TREND_CONNECTING | 1u << TREND_TLS | 1u << TREND_SENDING;
	struct reading r = { .min = UINT64_MAX };

	for (size_t i = 0; i < c->part_count; i++) {
		const struct tally_trend *from = &c->parts[i]->trends[trend];

		/* In a closed model a request is meant to start when it starts. */
		if (trend == TREND_RESPONSE_TIME && load_acquire(&from->count) == 0) /* acquire: as in reading_add() */
			from = &c->parts[i]->trends[TREND_DURATION];
		reading_add(&r, from, may_be_missing >> trend & 1 ? durations[i] : 0);
	}
	if (r.count == 0 && r.zeros == 0)
		return;
	if (pair_get(t, &c->trends[trend], metrics_trend_key(trend), SERIES_TREND, SERIES_TIME, tags->tags,
	             tags->count))
		trend_read(&c->trends[trend], &r);
}

static void class_read(struct totals *t, struct class *c)
{
	uint64_t durations[PARTS_MAX], requests = 0;
	double before;
	struct tag_room tags;

	class_tags(t, c, &tags);
	for (size_t i = 0; i < c->part_count; i++) {
		/* acquire: pairs with trend_record()'s release; phases are read after it */
		durations[i] = load_acquire(&c->parts[i]->trends[TREND_DURATION].count);
		requests += load_relaxed(&c->parts[i]->requests); /* relaxed: a statistic */
	}
	for (enum metrics_trend i = 0; i < TREND_COUNT; i++)
		class_trend_read(t, c, i, durations, &tags);
	if (requests == 0 ||
	    !pair_get(t, &c->reqs, "http_reqs", SERIES_COUNTER, SERIES_DEFAULT, tags.tags, tags.count) ||
	    !pair_get(t, &c->failed, "http_req_failed", SERIES_RATE, SERIES_DEFAULT, tags.tags, tags.count))
		return;
	before = c->reqs.total->sum;
	c->reqs.total->sum = (double)requests;
	c->reqs.slice->sum = (double)requests - before;
	c->failed.slice->total = requests - c->failed.total->total;
	c->failed.slice->yes = outcome_is_expected(c->outcome) ? 0 : c->failed.slice->total;
	c->failed.total->total = requests;
	c->failed.total->yes += c->failed.slice->yes;
}

/* A counter or a rate of all tallies. */
static void slot_read_numbers(struct pair *p, struct tally *const *tallies, size_t count, uint32_t slot)
{
	uint64_t yes = 0, total = 0;
	double sum = 0;

	for (size_t i = 0; i < count; i++) {
		const struct tally_slot *s = load_acquire(&tallies[i]->slots[slot]); /* pairs with slot_make() */

		if (!s)
			continue;
		yes += load_relaxed(&s->yes); /* relaxed: statistics */
		total += load_relaxed(&s->total);
		sum += load_relaxed(&s->sum);
	}
	p->slice->sum = sum - p->total->sum;
	p->slice->yes = yes > p->total->yes ? yes - p->total->yes : 0;
	p->slice->total = total > p->total->total ? total - p->total->total : 0;
	p->total->sum = sum;
	p->total->yes += p->slice->yes;
	p->total->total += p->slice->total;
}

/* The newest value of all tallies; the extremes of each. */
static void slot_read_gauge(struct pair *p, struct tally *const *tallies, size_t count, uint32_t slot)
{
	uint64_t newest = 0, total = 0;

	for (size_t i = 0; i < count; i++) {
		struct tally_slot *s = load_acquire(&tallies[i]->slots[slot]); /* pairs with slot_make() */
		uint64_t set = s ? load_acquire(&s->total) : 0;                /* pairs with tally_gauge() */

		if (set == 0)
			continue;
		/* relaxed: each is right for some recent moment */
		if (total == 0 || load_relaxed(&s->min) < p->total->min)
			p->total->min = load_relaxed(&s->min);
		if (total == 0 || load_relaxed(&s->max) > p->total->max)
			p->total->max = load_relaxed(&s->max);
		if (load_relaxed(&s->at_ns) >= newest) {
			newest = load_relaxed(&s->at_ns);
			p->total->last = load_relaxed(&s->last);
		}
		total += set;
	}
	p->slice->last = p->slice->min = p->slice->max = p->total->last;
	p->slice->total = total - p->total->total;
	p->total->total = total;
}

static void slot_read(struct totals *t, struct tally *const *tallies, size_t count, uint32_t slot)
{
	const struct series *name = catalog_slot_tags(t->catalog, slot);
	struct pair *p = &t->slots[slot];
	struct reading r = { .min = UINT64_MAX };
	bool seen = false;

	for (size_t i = 0; i < count; i++) {
		const struct tally_slot *s = load_acquire(&tallies[i]->slots[slot]); /* pairs with slot_make() */

		seen = seen || s;
		if (s && name && name->kind == SERIES_TREND)
			reading_add(&r, &s->trend, 0);
	}
	if (!seen || !name || !pair_get(t, p, name->metric, name->kind, name->contains, name->tags, name->tag_count))
		return;
	if (name->kind == SERIES_TREND)
		trend_read(p, &r);
	else if (name->kind == SERIES_GAUGE)
		slot_read_gauge(p, tallies, count, slot);
	else
		slot_read_numbers(p, tallies, count, slot);
}

/* Without a scenario, a request is an iteration. */
static void iterations_make(struct totals *t)
{
	struct pair *count = &t->slots[CATALOG_ITERATIONS], *time = &t->slots[CATALOG_ITERATION_DURATION];

	if (!pair_get(t, count, "iterations", SERIES_COUNTER, SERIES_DEFAULT, NULL, 0) ||
	    !pair_get(t, time, "iteration_duration", SERIES_TREND, SERIES_TIME, NULL, 0))
		return;
	for (size_t i = 0; i < t->class_count; i++) {
		const struct class *c = &t->classes[i];
		const struct pair *duration = &c->trends[TREND_DURATION];

		if (c->reqs.slice)
			count->slice->sum += c->reqs.slice->sum;
		if (!duration->slice)
			continue;
		histogram_merge(&time->slice->trend, &duration->slice->trend);
		histogram_merge(&time->total->trend, &duration->slice->trend);
	}
	count->total->sum += count->slice->sum;
}

/* The exact extremes of all durations. */
static void iterations_extremes(struct totals *t)
{
	struct pair *time = &t->slots[CATALOG_ITERATION_DURATION];
	uint64_t min = UINT64_MAX, max = 0;

	if (!time->total || time->total->trend.count == 0)
		return;
	for (size_t i = 0; i < t->class_count; i++) {
		const struct series *s = t->classes[i].trends[TREND_DURATION].total;

		if (s && s->trend.count && s->trend.min < min)
			min = s->trend.min;
		if (s && s->trend.count && s->trend.max > max)
			max = s->trend.max;
	}
	time->total->trend.min = min;
	time->total->trend.max = max;
}

void totals_read(struct totals *t, struct tally *const *tallies, size_t count)
{
	t->lost = 0;
	for (size_t i = 0; i < t->slice.count; i++)
		series_clear(t->slice.items[i]);
	for (size_t i = 0; i < count; i++) {
		uint32_t classes = load_acquire(&tallies[i]->class_count); /* pairs with class_add() */

		for (uint32_t k = 0; k < classes; k++) {
			struct tally_class *part = load_relaxed(&tallies[i]->classes[k]);

			if (part->reader == UINT32_MAX)
				class_meet(t, part);
		}
		t->lost += load_relaxed(&tallies[i]->merged) + load_relaxed(&tallies[i]->lost);
	}
	for (size_t i = 0; i < t->class_count; i++)
		class_read(t, &t->classes[i]);
	for (uint32_t i = 0; i < CATALOG_SLOTS_MAX; i++)
		slot_read(t, tallies, count, i);
	if (t->each_is_iteration) {
		iterations_make(t);
		iterations_extremes(t);
	}
}

void totals_gauge(struct totals *t, const char *metric, double value)
{
	struct pair p = { 0 };

	if (!pair_get(t, &p, metric, SERIES_GAUGE, SERIES_DEFAULT, NULL, 0))
		return;
	series_gauge_set(p.total, value);
	series_gauge_set(p.slice, value);
}
