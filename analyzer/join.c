#include "join.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "intern.h"

struct builder {
	struct join j;
	struct intern strings, frames, stacks;
	struct join_stack *list;
	size_t list_cap;
	uint32_t *key, *frame_of; /* a stack under way; a profile's frame -> ours */
	size_t key_cap;
};

/* Two profiles' strings are equal text at different places. */
static int add_frame(struct builder *b, const struct profile_frame *from, uint32_t *ret)
{
	struct profile_frame f;
	int64_t i;

	memset(&f, 0, sizeof(f)); /* padding too: the bytes are the key */
	f.function = intern_string(&b->strings, from->function);
	f.module = intern_string(&b->strings, from->module);
	f.file = from->file ? intern_string(&b->strings, from->file) : NULL;
	f.line = from->line;
	f.offset = from->offset;
	f.inlined = from->inlined;
	if (!f.function || !f.module || (from->file && !f.file))
		return -ENOMEM;
	i = intern_add(&b->frames, &f, sizeof(f));
	if (i == INTERN_FAILED)
		return -ENOMEM;
	*ret = (uint32_t)i;
	return 0;
}

static int make_room(struct builder *b, size_t words, size_t number)
{
	if (words > b->key_cap) {
		uint32_t *key = realloc(b->key, 2 * words * sizeof(*key));

		if (!key)
			return -ENOMEM;
		b->key = key;
		b->key_cap = 2 * words;
	}
	if (number >= b->list_cap) {
		size_t cap = b->list_cap ? b->list_cap * 2 : 1024;
		struct join_stack *list = realloc(b->list, cap * sizeof(*list));

		if (!list)
			return -ENOMEM;
		memset(list + b->list_cap, 0, (cap - b->list_cap) * sizeof(*list));
		b->list = list;
		b->list_cap = cap;
	}
	return 0;
}

static int add_stack(struct builder *b, const struct profile_stack *s, size_t profile)
{
	struct join_stack *to;
	int64_t number;
	int rc = make_room(b, s->depth + (size_t)1, b->stacks.count);

	if (rc < 0)
		return rc;
	b->key[0] = s->thread;
	for (uint32_t i = 0; i < s->depth; i++)
		b->key[i + 1] = b->frame_of[s->frames[i]];
	number = intern_add(&b->stacks, b->key, (s->depth + (size_t)1) * sizeof(*b->key));
	if (number == INTERN_FAILED)
		return -ENOMEM;
	to = &b->list[number];
	to->frames = (const uint32_t *)b->stacks.keys[number] + 1;
	to->depth = s->depth;
	to->thread = s->thread;
	to->value[profile] += s->value;
	to->count[profile] += s->count;
	if (!to->heap)
		to->heap = s->heap;
	return 0;
}

static int add_profile(struct builder *b, const struct profile *p, size_t number)
{
	int rc = 0;

	free(b->frame_of);
	b->frame_of = calloc(p->frame_count + 1, sizeof(*b->frame_of));
	if (!b->frame_of)
		return -ENOMEM;
	for (size_t i = 0; i < p->frame_count && rc == 0; i++)
		rc = add_frame(b, &p->frames[i], &b->frame_of[i]);
	for (size_t i = 0; i < p->stack_count && rc == 0; i++)
		rc = add_stack(b, &p->stacks[i], number);
	return rc;
}

static int finish(struct builder *b)
{
	struct join *j = &b->j;

	j->frames = arena_array(&j->arena, b->frames.count, sizeof(*j->frames));
	if (!j->frames)
		return -ENOMEM;
	for (size_t i = 0; i < b->frames.count; i++)
		memcpy(&j->frames[i], b->frames.keys[i], sizeof(*j->frames));
	j->frame_count = b->frames.count;
	j->stack_count = b->stacks.count;
	j->stacks = b->list;
	b->list = NULL; /* moved */
	return 0;
}

int join_build(const struct profile *const *profiles, size_t n, struct join *ret, struct err *err)
{
	struct builder b = { 0 };
	int rc = make_room(&b, 1, 0);

	assert(n >= 1 && n <= JOIN_MAX);
	b.strings.arena = b.frames.arena = b.stacks.arena = &b.j.arena;
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = add_profile(&b, profiles[i], i);
	if (rc == 0)
		rc = finish(&b);
	intern_done(&b.strings);
	intern_done(&b.frames);
	intern_done(&b.stacks);
	free(b.list);
	free(b.key);
	free(b.frame_of);
	if (rc < 0) {
		arena_done(&b.j.arena);
		return err_set(err, rc, "out of memory for the stacks of %zu profiles", n);
	}
	*ret = b.j; /* moved */
	return 0;
}

void join_done(struct join *j)
{
	free(j->stacks);
	arena_done(&j->arena);
	*j = (struct join){ 0 };
}
