#include "scope.h"

#include <stdlib.h>
#include <string.h>

#include "atomic.h"

bool scope_init(struct scope *s, size_t slots, const struct scope_list *lists, size_t list_count, size_t counters)
{
	*s = (struct scope){ .count = slots, .lists = lists, .list_count = list_count, .request = 1 };
	s->values = calloc(slots + 1, sizeof(*s->values));
	s->picks = calloc(list_count + 1, sizeof(*s->picks));
	s->pick_marks = calloc(list_count + 1, sizeof(*s->pick_marks));
	s->counters = calloc(counters + 1, sizeof(*s->counters));
	if (s->values && s->picks && s->pick_marks && s->counters)
		return true;
	scope_done(s);
	return false;
}

void scope_done(struct scope *s)
{
	for (size_t i = 0; s->values && i < s->count; i++)
		free(s->values[i].data);
	free(s->values);
	free(s->picks);
	free(s->pick_marks);
	free(s->counters);
	buf_done(&s->scratch);
	buf_done(&s->result);
	buf_done(&s->condition);
	*s = (struct scope){ 0 };
}

void scope_set(struct scope *s, uint32_t slot, enum scope_kind kind, const char *data, size_t len)
{
	struct scope_value *v = &s->values[slot];

	if (len > SCOPE_VALUE_MAX)
		len = SCOPE_VALUE_MAX;
	if (len >= v->cap) {
		size_t cap = v->cap ? v->cap : 32;
		char *larger;

		while (cap <= len)
			cap *= 2;
		larger = realloc(v->data, cap);
		if (!larger) {
			s->failed = true;
			return;
		}
		v->data = larger;
		v->cap = cap;
	}
	if (len)
		memmove(v->data, data, len); /* it may be a part of itself */
	v->data[len] = '\0';
	v->len = len;
	v->kind = kind;
}

void scope_unset(struct scope *s, uint32_t slot)
{
	s->values[slot].kind = SCOPE_UNSET;
	s->values[slot].len = 0;
}

void scope_reset(struct scope *s)
{
	for (size_t i = 0; i < s->count; i++)
		scope_unset(s, (uint32_t)i);
}

uint64_t scope_count(struct scope *s, uint32_t counter)
{
	if (!(counter & SCOPE_SHARED))
		return ++s->counters[counter];
	return add_relaxed(&s->shared_counters[counter & ~SCOPE_SHARED], 1) +
	       1; /* orders nothing: only the number counts */
}

const struct scope_item *scope_pick(struct scope *s, size_t list)
{
	const struct scope_list *l = &s->lists[list];

	if (s->pick_marks[list] != s->request) {
		s->pick_marks[list] = s->request;
		s->picks[list] = dice_below(&s->dice, l->count);
	}
	return &l->items[s->picks[list]];
}
