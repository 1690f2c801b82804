/* endpoints.c - series added up by name and method. */
#include "endpoints.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void endpoints_done(struct endpoint_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		histogram_done(&list->items[i].duration);
	free(list->items);
	*list = (struct endpoint_list){ 0 };
}

static const char *tag_or_empty(const struct series *s, const char *key)
{
	const char *value = series_tag_value(s, key);

	return value ? value : "";
}

/* NULL: out of memory. */
static struct endpoint *get(struct endpoint_list *list, const char *name, const char *method)
{
	struct endpoint *items, *e;

	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->items[i].name, name) == 0 && strcmp(list->items[i].method, method) == 0)
			return &list->items[i];
	items = realloc(list->items, (list->count + 1) * sizeof(*items));
	if (!items)
		return NULL;
	list->items = items;
	e = &items[list->count];
	*e = (struct endpoint){ .name = name, .method = method };
	if (histogram_init(&e->duration) < 0)
		return NULL;
	list->count++;
	return e;
}

int endpoints_make(const struct series_set *set, struct endpoint_list *ret_list)
{
	struct endpoint_list list = { 0 };

	for (size_t i = 0; i < set->count; i++) {
		const struct series *s = set->items[i];
		bool reqs = strcmp(s->metric, "http_reqs") == 0, failed = strcmp(s->metric, "http_req_failed") == 0;
		struct endpoint *e;

		if (!reqs && !failed && strcmp(s->metric, "http_req_duration") != 0)
			continue;
		e = get(&list, tag_or_empty(s, "name"), tag_or_empty(s, "method"));
		if (!e) {
			endpoints_done(&list);
			return -ENOMEM;
		}
		if (reqs && s->kind == SERIES_COUNTER)
			e->requests += (uint64_t)s->sum;
		else if (failed && s->kind == SERIES_RATE)
			e->failed += s->yes;
		else if (s->kind == SERIES_TREND)
			histogram_merge(&e->duration, &s->trend);
	}
	*ret_list = list;
	return 0;
}
