/* series.c - sets of series, found by the hash of name and tags. */
#include "series.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t hash_text(uint64_t hash, const char *text)
{
	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	return (hash ^ 0xff) * UINT64_C(0x100000001b3); /* the end of a text is part of it */
}

static uint64_t hash_of(const char *metric, const struct series_tag *tags, size_t count)
{
	uint64_t hash = hash_text(UINT64_C(0xcbf29ce484222325), metric);

	for (size_t i = 0; i < count; i++)
		hash = hash_text(hash_text(hash, tags[i].key), tags[i].value);
	return hash;
}

/* Sorted by key. False: too many, or a key twice. */
static bool sort_tags(struct series_tag *out, const struct series_tag *tags, size_t count)
{
	if (count > SERIES_TAGS_MAX)
		return false;
	for (size_t i = 0; i < count; i++) {
		size_t at = i;

		for (; at > 0 && strcmp(out[at - 1].key, tags[i].key) > 0; at--)
			out[at] = out[at - 1];
		if (at > 0 && strcmp(out[at - 1].key, tags[i].key) == 0)
			return false;
		out[at] = tags[i];
	}
	return true;
}

static bool has_tags(const struct series *s, const struct series_tag *tags, size_t count)
{
	if (s->tag_count != count)
		return false;
	for (size_t i = 0; i < count; i++)
		if (strcmp(s->tags[i].key, tags[i].key) != 0 || strcmp(s->tags[i].value, tags[i].value) != 0)
			return false;
	return true;
}

static struct series *find_sorted(const struct series_set *set, const char *metric, const struct series_tag *tags,
                                  size_t count)
{
	uint64_t hash = hash_of(metric, tags, count);

	for (size_t i = 0; i < set->count; i++) {
		struct series *s = set->items[i];

		if (s->hash == hash && strcmp(s->metric, metric) == 0 && has_tags(s, tags, count))
			return s;
	}
	return NULL;
}

const struct series *series_find(const struct series_set *set, const char *metric, const struct series_tag *tags,
                                 size_t tag_count)
{
	struct series_tag sorted[SERIES_TAGS_MAX];

	return sort_tags(sorted, tags, tag_count) ? find_sorted(set, metric, sorted, tag_count) : NULL;
}

static char *copy_text(char **at, const char *text)
{
	size_t bytes = strlen(text) + 1;
	char *copy = memcpy(*at, text, bytes);

	*at += bytes;
	return copy;
}

/* One block: the series, its tags, their text. */
static struct series *make(const char *metric, const struct series_tag *tags, size_t count)
{
	size_t text = strlen(metric) + 1;
	struct series *s;
	char *at;

	for (size_t i = 0; i < count; i++)
		text += strlen(tags[i].key) + strlen(tags[i].value) + 2;
	if (text > SERIES_TEXT_MAX)
		return NULL;
	s = calloc(1, sizeof(*s) + count * sizeof(*tags) + text);
	if (!s)
		return NULL;
	s->tags = (struct series_tag *)(s + 1);
	s->tag_count = (uint32_t)count;
	s->hash = hash_of(metric, tags, count);
	at = (char *)(s->tags + count);
	s->metric = copy_text(&at, metric);
	for (size_t i = 0; i < count; i++) {
		s->tags[i].key = copy_text(&at, tags[i].key);
		s->tags[i].value = copy_text(&at, tags[i].value);
	}
	return s;
}

static void series_free(struct series *s)
{
	if (s)
		histogram_done(&s->trend);
	free(s);
}

static bool append(struct series_set *set, struct series *s)
{
	if (set->count == set->cap) {
		size_t cap = set->cap ? 2 * set->cap : 64;
		struct series **items = realloc(set->items, cap * sizeof(struct series *));

		if (!items)
			return false;
		set->items = items;
		set->cap = cap;
	}
	set->items[set->count++] = s;
	return true;
}

struct series *series_get(struct series_set *set, const char *metric, enum series_kind kind,
                          enum series_contains contains, const struct series_tag *tags, size_t tag_count)
{
	struct series_tag sorted[SERIES_TAGS_MAX];
	struct series *s = NULL;

	if (!sort_tags(sorted, tags, tag_count)) {
		set->refused++;
		return NULL;
	}
	s = find_sorted(set, metric, sorted, tag_count);
	if (s && s->kind == kind)
		return s;
	if (!s && set->count < SERIES_MAX)
		s = make(metric, sorted, tag_count);
	else
		s = NULL;
	if (s) {
		s->kind = (uint8_t)kind;
		s->contains = (uint8_t)contains;
	}
	if (!s || (kind == SERIES_TREND && histogram_init(&s->trend) < 0) || !append(set, s)) {
		series_free(s);
		set->refused++;
		return NULL;
	}
	return s;
}

void series_set_done(struct series_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		series_free(set->items[i]);
	free(set->items);
	*set = (struct series_set){ 0 };
}

const char *series_tag_value(const struct series *s, const char *key)
{
	for (uint32_t i = 0; i < s->tag_count; i++)
		if (strcmp(s->tags[i].key, key) == 0)
			return s->tags[i].value;
	return NULL;
}

bool series_matches(const struct series *s, const struct series_tag *filter, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *value = series_tag_value(s, filter[i].key);

		if (!value || strcmp(value, filter[i].value) != 0)
			return false;
	}
	return true;
}

static void gauge_add(struct series *into, const struct series *from)
{
	if (from->total == 0)
		return;
	into->last += from->last;
	into->min += from->min;
	into->max += from->max;
	into->total += from->total;
}

void series_add(struct series *into, const struct series *from)
{
	switch ((enum series_kind)into->kind) {
	case SERIES_GAUGE:
		gauge_add(into, from);
		return;
	case SERIES_TREND:
		histogram_merge(&into->trend, &from->trend);
		return;
	default:
		into->sum += from->sum;
		into->yes += from->yes;
		into->total += from->total;
	}
}

int series_set_merge(struct series_set *into, const struct series_set *from)
{
	int rc = 0;

	for (size_t i = 0; i < from->count; i++) {
		const struct series *s = from->items[i];
		struct series *same = series_get(into, s->metric, s->kind, s->contains, s->tags, s->tag_count);

		if (same)
			series_add(same, s);
		else
			rc = -ENOSPC;
	}
	into->refused += from->refused;
	return rc;
}

void series_clear(struct series *s)
{
	s->sum = s->last = s->min = s->max = 0;
	s->yes = s->total = 0;
	if (s->kind == SERIES_TREND)
		histogram_clear(&s->trend);
}

void series_gauge_set(struct series *s, double value)
{
	s->last = value;
	if (s->total == 0 || value < s->min)
		s->min = value;
	if (s->total == 0 || value > s->max)
		s->max = value;
	s->total++;
}

const char *series_kind_name(enum series_kind kind)
{
	static const char *const names[] = { "counter", "gauge", "rate", "trend" };

	return names[kind];
}

const char *series_contains_name(enum series_contains contains)
{
	static const char *const names[] = { "default", "time", "data" };

	return names[contains];
}

int series_sum_init(struct series *s)
{
	*s = (struct series){ 0 };
	return histogram_init(&s->trend);
}

void series_sum_done(struct series *s)
{
	histogram_done(&s->trend);
}

bool series_sum(const struct series_set *set, const char *metric, const struct series_tag *filter, size_t count,
                struct series *into)
{
	bool found = false;

	into->kind = SERIES_TREND; /* so that it is emptied, whatever it was */
	series_clear(into);
	for (size_t i = 0; i < set->count; i++) {
		const struct series *s = set->items[i];

		if (strcmp(s->metric, metric) != 0 || !series_matches(s, filter, count))
			continue;
		into->kind = s->kind;
		into->contains = s->contains;
		into->metric = s->metric;
		series_add(into, s);
		found = true;
	}
	return found;
}
