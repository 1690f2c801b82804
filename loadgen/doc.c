#include "doc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct doc *doc_new(struct keep *k, enum doc_kind kind, uint32_t line)
{
	struct doc *d = keep_alloc(k, sizeof(*d));

	d->kind = kind;
	d->line = line;
	d->weight = 1;
	d->text = "";
	return d;
}

bool doc_add(struct keep *k, struct doc *parent, const char *key, uint32_t line, struct doc *value)
{
	struct doc_item *items;

	if (parent->weight + value->weight > DOC_NODES_MAX)
		return false;
	items = keep_grow(k, parent->items, parent->count, sizeof(*items));
	if (!items)
		return false;
	parent->items = items;
	parent->items[parent->count++] = (struct doc_item){ key, value, line };
	parent->weight += value->weight;
	return true;
}

struct doc *doc_find(const struct doc *map, const char *key)
{
	for (size_t i = 0; map && map->kind == DOC_MAP && i < map->count; i++)
		if (strcmp(map->items[i].key, key) == 0)
			return map->items[i].value;
	return NULL;
}

bool doc_is(const struct doc *d, enum doc_kind kind)
{
	return d && d->kind == kind;
}

const char *doc_kind_text(const struct doc *d)
{
	static const char *const names[] = { "nothing", "true or false", "a number", "a text", "a list", "a map" };

	return names[d ? d->kind : DOC_NULL];
}

bool doc_number(const char *text, double *ret_number)
{
	const char *at = text + (*text == '-');
	char *end;
	double number;

	if (*at < '0' || *at > '9' || strpbrk(text, "xXpP"))
		return false;
	number = strtod(text, &end);
	if (*end || !isfinite(number))
		return false;
	*ret_number = number;
	return true;
}
