/*
 * leaks.c - rows of unreachable blocks to leaks with names.
 *
 * Direct rows first: an indirect row's owner is the direct row of the stack it names, and what hides the owner hides it.
 * Suppressions look at frames as they are in the program, source file included, whatever is shown of them.
 */
#include "leaks.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "intern.h"
#include "model.h"
#include "profile_make.h"
#include "suppressions.h"
#include "symbolize.h"

/* A frame of the program: what is shown for it, and what suppresses it. */
struct full_frame {
	uint32_t shown;
	size_t anywhere, allocating; /* suppressions, if it is in the stack; if it called the allocator */
};

struct group_head {
	uint32_t indirect, owner, hidden; /* owner: a group, from 1; hidden: a suppression, from 1 */
};

struct build {
	const struct model *m;
	struct symbolizer *symbols;
	const struct suppressions *suppressions;
	bool by_name;
	struct arena *arena; /* the result's */
	struct arena scratch;
	struct intern texts, full, shown, groups;
	struct full_frame *full_frames;
	size_t full_cap;
	struct profile_frame *frames; /* by number of `shown` */
	size_t frame_cap;
	struct leak *sums; /* by group */
	size_t sum_cap;
	uint32_t *key; /* a group_head, then frames, of the row under way */
	size_t key_cap, depth;
	size_t hidden_by;   /* of the row under way */
	uint32_t *group_of; /* by row, for direct ones */
	uint64_t refs;
};

enum { HEAD_WORDS = sizeof(struct group_head) / sizeof(uint32_t) };

static bool make_room(void *list, size_t *cap, size_t number, size_t item_bytes)
{
	void **items = list;
	size_t grown = *cap ? *cap * 2 : 256;
	void *p;

	if (number < *cap)
		return true;
	while (grown <= number)
		grown *= 2;
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

/* Number of a shown frame, or -ENOMEM. */
static int64_t shown_frame(struct build *b, const struct frame_key *full)
{
	struct frame_key key = *full;
	size_t before = b->shown.count;
	int64_t n;

	if (b->by_name)
		key = (struct frame_key){ full->function, full->module, NULL, 0, 0, 0 };
	n = intern_add(&b->shown, &key, sizeof(key));
	if (n == INTERN_FAILED || !make_room(&b->frames, &b->frame_cap, (size_t)n, sizeof(*b->frames)))
		return -ENOMEM;
	if ((size_t)n == before)
		b->frames[n] = (struct profile_frame){ key.function,       key.module, key.file,
			                               (uint32_t)key.line, key.offset, key.inlined != 0 };
	return n;
}

/* Number of a frame of the program, or -ENOMEM. Calls of one line are equal; without lines, addresses are told apart. */
static int64_t full_frame(struct build *b, const struct symbol_frame *f)
{
	struct frame_key key = { .line = f->line, .inlined = f->inlined };
	size_t before = b->full.count;
	int64_t n, shown;

	key.function = intern_string(&b->texts, f->function);
	key.module = intern_string(&b->texts, f->module);
	key.file = f->file ? intern_string(&b->texts, f->file) : NULL;
	if (!key.function || !key.module || (f->file && !key.file))
		return -ENOMEM;
	if (!f->file || !f->line)
		key.offset = f->offset;
	n = intern_add(&b->full, &key, sizeof(key));
	if (n == INTERN_FAILED || !make_room(&b->full_frames, &b->full_cap, (size_t)n, sizeof(*b->full_frames)))
		return -ENOMEM;
	if ((size_t)n < before)
		return n;
	shown = shown_frame(b, &key);
	if (shown < 0)
		return shown;
	b->full_frames[n] =
	        (struct full_frame){ (uint32_t)shown,
		                     suppressions_find(b->suppressions, f->module, f->function, f->file, false),
		                     suppressions_find(b->suppressions, f->module, f->function, f->file, true) };
	return n;
}

static int add_frame(struct build *b, const struct symbol_frame *f)
{
	int64_t n = full_frame(b, f);

	if (n < 0)
		return (int)n;
	if (++b->refs > PROFILE_MAX_REFS)
		return -E2BIG;
	if (!make_room(&b->key, &b->key_cap, HEAD_WORDS + b->depth, sizeof(*b->key)))
		return -ENOMEM;
	if (b->hidden_by == SUPPRESSION_NONE && b->depth == 0)
		b->hidden_by = b->full_frames[n].allocating;
	if (b->hidden_by == SUPPRESSION_NONE)
		b->hidden_by = b->full_frames[n].anywhere;
	b->key[HEAD_WORDS + b->depth++] = b->full_frames[n].shown;
	return 0;
}

/* The frames of a stack behind the key's head, and what suppresses it. */
static int gather(struct build *b, uint32_t stack)
{
	static const struct symbol_frame unknown = { .function = "[unknown]", .module = "" };
	uint32_t id = stack;
	int rc = 0;

	b->depth = 0;
	b->hidden_by = SUPPRESSION_NONE;
	if (!id)
		return add_frame(b, &unknown);
	for (; id && rc == 0; id = b->m->nodes[id - 1].parent) {
		const struct symbol_frame *frames;
		size_t n;

		rc = symbolizer_frames(b->symbols, b->m->nodes[id - 1].pc, &frames, &n);
		for (size_t i = 0; rc == 0 && i < n; i++)
			rc = add_frame(b, &frames[i]);
	}
	return rc;
}

static void add_amount(struct leak_amount *sum, struct leak_amount a)
{
	sum->bytes += a.bytes; /* fits: the reader saw to it */
	sum->blocks += a.blocks;
	sum->samples += a.samples;
}

static struct leak_amount amount_of(const struct model_leak *r)
{
	return (struct leak_amount){ r->bytes, r->samples, r->count };
}

/* Adds the row to the group that the key names. */
static int64_t add_to_group(struct build *b, const struct model_leak *r, uint32_t owner)
{
	struct group_head head = { r->kind == SNAP_LEAK_INDIRECT, owner == LEAK_NO_OWNER ? 0 : owner + 1,
		                   b->hidden_by == SUPPRESSION_NONE ? 0 : (uint32_t)b->hidden_by + 1 };
	size_t before = b->groups.count;
	struct leak *l;
	int64_t n;

	memcpy(b->key, &head, sizeof(head));
	n = intern_add(&b->groups, b->key, (HEAD_WORDS + b->depth) * sizeof(*b->key));
	if (n == INTERN_FAILED || !make_room(&b->sums, &b->sum_cap, (size_t)n, sizeof(*b->sums)))
		return -ENOMEM;
	l = &b->sums[n];
	if ((size_t)n == before)
		*l = (struct leak){ .indirect = head.indirect,
			            .owner = owner,
			            .suppression = b->hidden_by,
			            .first_ns = r->first_ns,
			            .depth = (uint32_t)b->depth };
	add_amount(&l->all, amount_of(r));
	add_amount(&l->confirmed, (struct leak_amount){ r->confirmed_bytes, 0, r->confirmed_count });
	if (r->first_ns < l->first_ns)
		l->first_ns = r->first_ns;
	if (r->last_ns > l->last_ns)
		l->last_ns = r->last_ns;
	l->error_bytes = hypot(l->error_bytes, (double)r->error_bytes);
	return n;
}

/* The direct row of that stack, or the number of rows. */
static size_t find_direct(const struct model_leaks *l, uint32_t stack)
{
	size_t low = 0, high = l->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (l->rows[mid].stack < stack)
			low = mid + 1;
		else
			high = mid;
	}
	return low < l->count && l->rows[low].stack == stack && l->rows[low].kind == SNAP_LEAK_DIRECT ? low : l->count;
}

static int add_row(struct build *b, size_t row)
{
	const struct model_leaks *leaks = &b->m->leaks;
	const struct model_leak *r = &leaks->rows[row];
	uint32_t owner = LEAK_NO_OWNER;
	int rc = gather(b, r->stack);
	int64_t group;

	if (rc < 0)
		return rc;
	if (r->kind == SNAP_LEAK_INDIRECT) {
		size_t direct = find_direct(leaks, r->owner);

		if (direct < leaks->count) {
			owner = b->group_of[direct];
			if (b->sums[owner].suppression != SUPPRESSION_NONE)
				b->hidden_by = b->sums[owner].suppression;
		}
	}
	group = add_to_group(b, r, owner);
	if (group < 0)
		return (int)group;
	b->group_of[row] = (uint32_t)group;
	if (owner != LEAK_NO_OWNER && b->hidden_by == b->sums[owner].suppression)
		add_amount(&b->sums[owner].held, amount_of(r));
	return 0;
}

static int add_rows(struct build *b, enum snap_leak_kind kind)
{
	int rc = 0;

	for (size_t i = 0; i < b->m->leaks.count && rc == 0; i++)
		if (b->m->leaks.rows[i].kind == kind)
			rc = add_row(b, i);
	return rc;
}

static int compare_frames(const struct profile_frame *f, const struct profile_frame *g)
{
	int order = strcmp(f->function, g->function);

	if (order == 0)
		order = strcmp(f->module, g->module);
	if (order == 0)
		order = (f->line > g->line) - (f->line < g->line);
	return order ? order : (f->offset > g->offset) - (f->offset < g->offset);
}

struct order {
	const struct leak *leaks;
	const struct profile_frame *frames;
};

static int told_and_largest_first(const void *left, const void *right, void *context)
{
	const struct order *o = context;
	uint32_t x = *(const uint32_t *)left, y = *(const uint32_t *)right;
	const struct leak *a = &o->leaks[x], *b = &o->leaks[y];
	bool a_told = a->suppression == SUPPRESSION_NONE, b_told = b->suppression == SUPPRESSION_NONE;
	int order = 0;

	if (a_told != b_told)
		return a_told ? -1 : 1;
	if (a->all.bytes != b->all.bytes)
		return a->all.bytes > b->all.bytes ? -1 : 1;
	if (a->all.samples != b->all.samples)
		return a->all.samples > b->all.samples ? -1 : 1;
	if (a->indirect != b->indirect)
		return a->indirect ? 1 : -1;
	for (uint32_t i = 0; order == 0 && i < a->depth && i < b->depth; i++)
		if (a->frames[i] != b->frames[i])
			order = compare_frames(&o->frames[a->frames[i]], &o->frames[b->frames[i]]);
	if (order == 0)
		order = (a->depth > b->depth) - (a->depth < b->depth);
	return order ? order : (x > y) - (x < y);
}

static int copy_frames(struct build *b, struct leaks *out)
{
	struct profile_frame *frames = arena_array(b->arena, b->shown.count, sizeof(*frames));

	if (!frames)
		return -ENOMEM;
	if (b->shown.count)
		memcpy(frames, b->frames, b->shown.count * sizeof(*frames));
	out->frames = frames;
	out->frame_count = b->shown.count;
	for (size_t i = 0; i < b->groups.count; i++) {
		uint32_t *list = arena_array(b->arena, b->sums[i].depth, sizeof(*list));

		if (!list)
			return -ENOMEM;
		memcpy(list, (const uint32_t *)b->groups.keys[i] + HEAD_WORDS, b->sums[i].depth * sizeof(*list));
		b->sums[i].frames = list;
	}
	return 0;
}

static int add_hidden(struct build *b, struct leaks *out)
{
	struct leak_hidden *all = arena_array(b->arena, b->suppressions->count, sizeof(*all));

	if (!all)
		return -ENOMEM;
	for (size_t i = out->told; i < out->count; i++)
		add_amount(&all[out->items[i].suppression].amount, out->items[i].all);
	out->hidden = all;
	for (size_t i = 0; i < b->suppressions->count; i++)
		if (all[i].amount.samples)
			all[out->hidden_count++] = (struct leak_hidden){ i, all[i].amount };
	return 0;
}

static int finish(struct build *b, struct leaks *out)
{
	size_t n = b->groups.count;
	uint32_t *order = arena_array(&b->scratch, n, sizeof(*order)),
	         *place = arena_array(&b->scratch, n, sizeof(*place));
	struct order context = { b->sums, NULL };

	out->items = arena_array(b->arena, n, sizeof(*out->items));
	if (!order || !place || !out->items || copy_frames(b, out) < 0)
		return -ENOMEM;
	context.frames = out->frames;
	for (size_t i = 0; i < n; i++)
		order[i] = (uint32_t)i;
	qsort_r(order, n, sizeof(*order), told_and_largest_first, &context);
	for (size_t i = 0; i < n; i++)
		place[order[i]] = (uint32_t)i;
	out->count = n;
	for (size_t i = 0; i < n; i++) {
		struct leak *l = &out->items[i];

		*l = b->sums[order[i]];
		if (l->owner != LEAK_NO_OWNER)
			l->owner = place[l->owner];
		if (l->suppression != SUPPRESSION_NONE)
			continue;
		out->told++;
		add_amount(l->indirect ? &out->indirect : &out->direct, l->all);
		add_amount(&out->confirmed, l->confirmed);
		out->error_bytes = hypot(out->error_bytes, l->error_bytes);
	}
	return add_hidden(b, out);
}

static int build_all(struct build *b, struct leaks *out)
{
	int rc;

	b->texts.arena = b->arena;
	b->full.arena = b->shown.arena = b->groups.arena = &b->scratch;
	b->group_of = arena_array(&b->scratch, b->m->leaks.count, sizeof(*b->group_of));
	if (!b->group_of)
		return -ENOMEM;
	rc = add_rows(b, SNAP_LEAK_DIRECT);
	if (rc == 0)
		rc = add_rows(b, SNAP_LEAK_INDIRECT);
	return rc == 0 ? finish(b, out) : rc;
}

static int failed(int rc, struct err *err)
{
	if (rc == -E2BIG)
		return err_set(err, rc, "its stacks have more frames than can be shown");
	return err_set(err, rc, "out of memory");
}

int leaks_build(const struct model *m, struct symbolizer *symbols, const struct suppressions *suppressions,
                bool by_name, struct leaks **ret_leaks, struct err *err)
{
	struct leaks *out = calloc(1, sizeof(*out));
	struct build b = { .m = m, .symbols = symbols, .suppressions = suppressions, .by_name = by_name };
	int rc = -ENOMEM;

	b.arena = calloc(1, sizeof(*b.arena));
	if (out && b.arena)
		rc = build_all(&b, out);
	intern_done(&b.texts);
	intern_done(&b.full);
	intern_done(&b.shown);
	intern_done(&b.groups);
	arena_done(&b.scratch);
	free(b.full_frames);
	free(b.frames);
	free(b.sums);
	free(b.key);
	if (rc == 0) {
		out->memory = b.arena;
		*ret_leaks = out;
		return 0;
	}
	if (b.arena)
		arena_done(b.arena);
	free(b.arena);
	free(out);
	return failed(rc, err);
}

void leaks_free(struct leaks *l)
{
	if (!l)
		return;
	arena_done(l->memory);
	free(l->memory);
	free(l);
}

/* ---- as a profile ------------------------------------------------------------------------------------------------- */

static int add_profile_stacks(const struct leaks *l, struct profile_maker *mk, uint32_t *number_of, uint32_t *stack)
{
	for (size_t i = 0; i < l->frame_count; i++) {
		int64_t n = profile_maker_frame(mk, &l->frames[i]);

		if (n < 0)
			return (int)n;
		number_of[i] = (uint32_t)n;
	}
	for (size_t i = 0; i < l->told; i++) {
		const struct leak *item = &l->items[i];
		int64_t n;

		for (uint32_t k = 0; k < item->depth; k++)
			stack[k] = number_of[item->frames[k]];
		n = profile_maker_add(mk, stack, item->depth, PROFILE_NO_THREAD, item->all.bytes, item->all.blocks);
		if (n < 0)
			return (int)n;
	}
	return 0;
}

static int fill_profile(const struct leaks *l, const struct model *m, struct profile_maker *mk)
{
	struct profile *p = mk->profile;
	uint32_t deepest = 0, *number_of, *stack;

	for (size_t i = 0; i < l->told; i++)
		deepest = l->items[i].depth > deepest ? l->items[i].depth : deepest;
	number_of = arena_array(&mk->scratch, l->frame_count, sizeof(*number_of));
	stack = arena_array(&mk->scratch, deepest, sizeof(*stack));
	p->checked = true;
	p->lower_bound = m->leaks.sampled;
	p->pid = m->pid;
	p->start_ns = m->start_ns;
	p->end_ns = m->end_ns;
	p->start_wall_ns = m->start_wall_ns;
	p->comm = profile_maker_text(mk, m->comm);
	p->cmdline = profile_maker_text(mk, m->cmdline);
	if (!number_of || !stack || !p->comm || !p->cmdline)
		return -ENOMEM;
	return add_profile_stacks(l, mk, number_of, stack);
}

int leaks_profile(const struct leaks *l, const struct model *m, struct profile **ret_profile, struct err *err)
{
	struct profile_maker mk;
	int rc = profile_maker_init(&mk, METRIC_LEAKED);

	if (rc == 0)
		rc = fill_profile(l, m, &mk);
	if (rc == 0)
		rc = profile_maker_finish(&mk, ret_profile);
	profile_maker_done(&mk);
	return rc < 0 ? failed(rc, err) : 0;
}
