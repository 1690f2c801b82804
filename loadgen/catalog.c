/* catalog.c - endpoints and slots: two sets of series under one lock, of which only the names are used. */
#include "catalog.h"

#include <pthread.h>
#include <stdlib.h>

struct catalog {
	pthread_mutex_t lock;
	struct series_set endpoints, slots;
	uint64_t refused;
};

static const struct {
	const char *name;
	enum series_kind kind;
	enum series_contains contains;
} built_in[CATALOG_BUILT_INS] = {
#define CATALOG_ROW(id, name, kind, contains) { name, SERIES_##kind, SERIES_##contains },
	CATALOG_BUILT_IN(CATALOG_ROW)
#undef CATALOG_ROW
};

static uint32_t index_of(const struct series_set *set, const struct series *s)
{
	uint32_t i = 0;

	while (set->items[i] != s)
		i++;
	return i;
}

/* The number of a series, or `none`. */
static uint32_t number(struct catalog *c, struct series_set *set, size_t most, const char *metric,
                       enum series_kind kind, enum series_contains contains, const struct series_tag *tags,
                       size_t count, uint32_t none)
{
	const struct series *s;
	uint32_t result = none;

	(void)pthread_mutex_lock(&c->lock); /* of the default kind, and never held twice: cannot fail */
	s = series_find(set, metric, tags, count);
	if (!s && set->count < most)
		s = series_get(set, metric, kind, contains, tags, count);
	if (s && s->kind == kind)
		result = index_of(set, s);
	else
		c->refused++;
	(void)pthread_mutex_unlock(&c->lock);
	return result;
}

struct catalog *catalog_new(void)
{
	static const struct series_tag rest = { "name", "(other)" };
	struct catalog *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	(void)pthread_mutex_init(&c->lock, NULL); /* of the default kind: cannot fail */
	(void)catalog_endpoint(c, &rest, 1);
	for (size_t i = 0; i < CATALOG_BUILT_INS; i++)
		(void)catalog_slot(c, built_in[i].name, built_in[i].kind, built_in[i].contains, NULL, 0);
	if (c->refused) { /* the only reason here: memory */
		catalog_free(c);
		return NULL;
	}
	return c;
}

void catalog_free(struct catalog *c)
{
	if (!c)
		return;
	series_set_done(&c->endpoints);
	series_set_done(&c->slots);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}

uint32_t catalog_endpoint(struct catalog *c, const struct series_tag *tags, size_t count)
{
	return number(c, &c->endpoints, CATALOG_ENDPOINTS_MAX, "http_req", SERIES_COUNTER, SERIES_DEFAULT, tags, count,
	              CATALOG_REST);
}

uint32_t catalog_slot(struct catalog *c, const char *metric, enum series_kind kind, enum series_contains contains,
                      const struct series_tag *tags, size_t count)
{
	return number(c, &c->slots, CATALOG_SLOTS_MAX, metric, kind, contains, tags, count, CATALOG_NO_SLOT);
}

static const struct series *at(struct catalog *c, const struct series_set *set, uint32_t i)
{
	const struct series *s;

	(void)pthread_mutex_lock(&c->lock);
	s = i < set->count ? set->items[i] : NULL;
	(void)pthread_mutex_unlock(&c->lock);
	return s;
}

const struct series *catalog_endpoint_tags(struct catalog *c, uint32_t endpoint)
{
	return at(c, &c->endpoints, endpoint);
}

const struct series *catalog_slot_tags(struct catalog *c, uint32_t slot)
{
	return at(c, &c->slots, slot);
}

uint64_t catalog_refused(struct catalog *c)
{
	uint64_t refused;

	(void)pthread_mutex_lock(&c->lock);
	refused = c->refused;
	(void)pthread_mutex_unlock(&c->lock);
	return refused;
}
