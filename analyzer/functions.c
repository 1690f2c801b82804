/*
 * functions.c - frames -> functions, one entry per distinct (name, module).
 *
 * Shape      an open-addressing table of indices into items[], twice as large as there can be functions, so it never grows.
 * Order      of first appearance (profile 0's frames, then profile 1's): the same input gives the same ids in every run.
 * The source file of a function is that of its first frame which has one; lines from other files (a macro or an inlined
 * header that the line table attributes to it) do not count for `line`.
 */
#include "functions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "profile.h"

struct table {
	uint32_t *slots; /* index + 1; 0 is free */
	size_t mask;
};

static uint64_t hash_text(uint64_t h, const char *text)
{
	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * UINT64_C(0x100000001b3); /* FNV-1a */
	return (h ^ 0xff) * UINT64_C(0x100000001b3);                      /* the end counts: "ab","c" is not "a","bc" */
}

static uint32_t intern(struct functions *f, const struct table *t, const char *name, const char *module)
{
	uint64_t h = hash_text(hash_text(UINT64_C(0xcbf29ce484222325), name), module);

	for (size_t i = (size_t)h & t->mask;; i = (i + 1) & t->mask) {
		uint32_t at = t->slots[i];

		if (at == 0) {
			f->items[f->count] = (struct function){ .name = name, .module = module, .inlined = true };
			t->slots[i] = (uint32_t)(f->count + 1);
			return (uint32_t)f->count++;
		}
		if (strcmp(f->items[at - 1].name, name) == 0 && strcmp(f->items[at - 1].module, module) == 0)
			return at - 1;
	}
}

static void note_source(struct function *f, const struct profile_frame *frame)
{
	f->inlined = f->inlined && frame->inlined;
	if (!frame->file)
		return;
	if (!f->file) {
		f->file = frame->file;
		f->line = frame->line;
	} else if (frame->line && (f->line == 0 || frame->line < f->line) && strcmp(f->file, frame->file) == 0) {
		f->line = frame->line;
	}
}

static bool has_empty_stack(const struct profile *p)
{
	for (size_t i = 0; i < p->stack_count; i++)
		if (p->stacks[i].depth == 0)
			return true;
	return false;
}

static void add_profile(struct functions *f, const struct table *t, const struct profile *p, uint32_t *of_frame)
{
	for (size_t i = 0; i < p->frame_count; i++) {
		const struct profile_frame *frame = &p->frames[i];
		const char *name = frame->function && frame->function[0] ? frame->function : "[unknown]";

		of_frame[i] = intern(f, t, name, frame->module ? frame->module : "");
		note_source(&f->items[of_frame[i]], frame);
	}
	if (has_empty_stack(p)) {
		f->unknown = intern(f, t, "[unknown]", "");
		f->items[f->unknown].inlined = false;
	}
}

int functions_build(const struct profile *const *profiles, size_t n, struct functions *ret, struct err *err)
{
	struct functions f = { .unknown = UINT32_MAX };
	struct table t = { 0 };
	size_t most = 1, slots = 16;
	bool ok;

	assert(n >= 1 && n <= FUNCTIONS_MAX_PROFILES);
	for (size_t i = 0; i < n; i++)
		most += profiles[i]->frame_count;
	if (most >= UINT32_MAX / 2)
		return err_set(err, -E2BIG, "%zu frames are too many", most);
	while (slots < 2 * most)
		slots *= 2;
	f.items = calloc(most, sizeof(*f.items));
	t.slots = calloc(slots, sizeof(*t.slots));
	t.mask = slots - 1;
	ok = f.items && t.slots;
	for (size_t i = 0; ok && i < n; i++) {
		f.of_frame[i] = calloc(profiles[i]->frame_count + 1, sizeof(uint32_t));
		ok = f.of_frame[i] != NULL;
		if (ok)
			add_profile(&f, &t, profiles[i], f.of_frame[i]);
	}
	free(t.slots);
	if (!ok) {
		functions_done(&f);
		return err_set(err, -ENOMEM, "out of memory for %zu functions", most);
	}
	*ret = f; /* moved */
	return 0;
}

void functions_done(struct functions *f)
{
	free(f->items);
	for (size_t i = 0; i < FUNCTIONS_MAX_PROFILES; i++)
		free(f->of_frame[i]);
	*f = (struct functions){ 0 };
}

bool function_is_special(const struct function *f)
{
	return f->name[0] == '[' && f->module[0] == '\0';
}

bool function_is_unnamed(const struct function *f)
{
	const char *plus = strstr(f->name, "+0x");

	return plus && plus[3] && plus[3 + strspn(plus + 3, "0123456789abcdef")] == '\0';
}
