/* tally.c - classes are found by two look-ups; what is not there yet is made. */
#include "tally.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void trend_init(struct tally_trend *t, _Atomic uint64_t *buckets)
{
	atomic_init(&t->min, UINT64_MAX);
	t->buckets = buckets;
}

/* One block: the class and the buckets of its trends, of which only pages that are hit are touched. */
static struct tally_class *class_new(uint32_t endpoint, uint32_t outcome)
{
	struct tally_class *c = calloc(1, sizeof(*c));
	_Atomic uint64_t *buckets = calloc((size_t)TREND_COUNT * HISTOGRAM_BUCKETS, sizeof(*buckets));

	if (!c || !buckets) {
		free(c);
		free(buckets);
		return NULL;
	}
	c->endpoint = endpoint;
	c->outcome = outcome;
	c->reader = UINT32_MAX;
	for (size_t i = 0; i < TREND_COUNT; i++)
		trend_init(&c->trends[i], buckets + i * HISTOGRAM_BUCKETS);
	return c;
}

/* NULL: no room. */
static struct tally_class *class_add(struct tally *t, uint32_t endpoint, uint32_t outcome)
{
	uint32_t n = load_relaxed(&t->class_count); /* relaxed: ours */
	struct tally_class *c = n < TALLY_CLASSES_MAX ? class_new(endpoint, outcome) : NULL;

	if (!c)
		return NULL;
	store_relaxed(&t->classes[n], c);
	store_release(&t->class_count, n + 1); /* pairs with the reader's acquire: the class is complete */
	return c;
}

int tally_init(struct tally *t)
{
	memset(t, 0, sizeof(*t));
	if (!class_add(t, CATALOG_REST, TALLY_OTHER))
		return -ENOMEM;
	return 0;
}

void tally_done(struct tally *t)
{
	uint32_t n = load_relaxed(&t->class_count); /* relaxed: nobody else is left */

	for (uint32_t i = 0; i < n; i++) {
		struct tally_class *c = load_relaxed(&t->classes[i]);

		free(c->trends[0].buckets);
		free(c);
	}
	for (size_t i = 0; i < CATALOG_SLOTS_MAX; i++) {
		struct tally_slot *s = load_relaxed(&t->slots[i]);

		if (s)
			free(s->trend.buckets);
		free(s);
	}
	for (size_t i = 0; i < CATALOG_ENDPOINTS_MAX; i++)
		free(t->class_of[i]);
	memset(t, 0, sizeof(*t));
}

/* A class that is not there yet: its own, else that of all other outcomes of its endpoint, else the one for everything. */
static NOINLINE struct tally_class *class_make(struct tally *t, uint32_t endpoint, uint32_t outcome)
{
	struct tally_class **of = t->class_of[endpoint], *c;

	if (!of)
		of = t->class_of[endpoint] = calloc(TALLY_OUTCOMES, sizeof(struct tally_class *));
	if (!of)
		return load_relaxed(&t->classes[0]); /* relaxed: we have stored it */
	if (t->distinct[endpoint] < TALLY_OUTCOMES_MAX) {
		c = class_add(t, endpoint, outcome);
		if (c) {
			t->distinct[endpoint]++;
			of[outcome] = c;
			return c;
		}
	}
	if (!of[TALLY_OTHER])
		of[TALLY_OTHER] = class_add(t, endpoint, TALLY_OTHER);
	return of[TALLY_OTHER] ? of[TALLY_OTHER] : load_relaxed(&t->classes[0]);
}

static inline struct tally_class *class_find(struct tally *t, uint32_t endpoint, uint32_t outcome)
{
	struct tally_class *c;

	if (UNLIKELY(endpoint >= CATALOG_ENDPOINTS_MAX || outcome >= TALLY_OUTCOMES))
		return load_relaxed(&t->classes[0]);
	c = t->class_of[endpoint] ? t->class_of[endpoint][outcome] : NULL;
	return LIKELY(c != NULL) ? c : class_make(t, endpoint, outcome);
}

static inline void trend_record(struct tally_trend *t, uint64_t ns)
{
	own_add(&t->buckets[histogram_index(ns)], 1); /* relaxed, all of it: see the header */
	own_add(&t->sum, ns);
	if (ns < load_relaxed(&t->min))
		store_relaxed(&t->min, ns);
	if (ns > load_relaxed(&t->max))
		store_relaxed(&t->max, ns);
	store_release(&t->count, load_relaxed(&t->count) + 1); /* pairs with the reader's acquire */
}

void tally_add_request(struct tally *t, const struct tally_request *r)
{
	struct tally_class *c = class_find(t, r->endpoint, r->outcome);
	/* Phases first, TREND_DURATION (bit 0) last: whoever counts the durations finds their phases. */
	uint32_t left = r->present & ~1u;

	if (UNLIKELY(c->outcome != r->outcome || c->endpoint != r->endpoint))
		own_add(&t->merged, 1);
	while (left) {
		unsigned trend = (unsigned)__builtin_ctz(left);

		trend_record(&c->trends[trend], r->ns[trend]);
		left &= left - 1;
	}
	if (LIKELY(r->present & 1u))
		trend_record(&c->trends[TREND_DURATION], r->ns[TREND_DURATION]);
	own_add(&c->requests, 1);
}

static NOINLINE struct tally_slot *slot_make(struct tally *t, uint32_t slot)
{
	struct tally_slot *s = calloc(1, sizeof(*s));
	_Atomic uint64_t *buckets = calloc(HISTOGRAM_BUCKETS, sizeof(*buckets)); /* untouched if it is no trend */

	if (!s || !buckets) {
		free(s);
		free(buckets);
		return NULL;
	}
	trend_init(&s->trend, buckets);
	store_release(&t->slots[slot], s); /* pairs with the reader's acquire: the slot is complete */
	return s;
}

/* NULL: the value is lost, and that is counted. */
static inline struct tally_slot *slot_find(struct tally *t, uint32_t slot)
{
	struct tally_slot *s = slot < CATALOG_SLOTS_MAX ? load_relaxed(&t->slots[slot]) : NULL; /* relaxed: ours */

	if (UNLIKELY(!s && slot < CATALOG_SLOTS_MAX))
		s = slot_make(t, slot);
	if (UNLIKELY(!s))
		own_add(&t->lost, 1);
	return s;
}

void tally_count(struct tally *t, uint32_t slot, double value)
{
	struct tally_slot *s = slot_find(t, slot);

	if (s)
		own_add(&s->sum, value);
}

void tally_count_to(struct tally *t, uint32_t slot, double value)
{
	struct tally_slot *s = slot_find(t, slot);

	if (s)
		store_relaxed(&s->sum, value);
}

void tally_check(struct tally *t, uint32_t slot, bool yes)
{
	struct tally_slot *s = slot_find(t, slot);

	if (!s)
		return;
	own_add(&s->total, 1); /* before `yes`, so that a rate is never seen above 1 on this side */
	own_add(&s->yes, yes);
}

void tally_gauge(struct tally *t, uint32_t slot, double value, uint64_t now_ns)
{
	struct tally_slot *s = slot_find(t, slot);
	uint64_t total;

	if (!s)
		return;
	total = load_relaxed(&s->total); /* relaxed: ours */
	store_relaxed(&s->last, value);
	if (total == 0 || value < load_relaxed(&s->min))
		store_relaxed(&s->min, value);
	if (total == 0 || value > load_relaxed(&s->max))
		store_relaxed(&s->max, value);
	store_relaxed(&s->at_ns, now_ns);
	store_release(&s->total, total + 1); /* pairs with the reader's acquire: there is a value */
}

void tally_trend(struct tally *t, uint32_t slot, uint64_t value)
{
	struct tally_slot *s = slot_find(t, slot);

	if (s)
		trend_record(&s->trend, value);
}
