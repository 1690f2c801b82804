/*
 * capture.c - verified reuse of a thread's last stacks.
 *
 * A step of a walk is a function of its state (pc, sp, frame pointer, and whether that is known), of the rule for the pc,
 * and of the words it reads: the return address and the saved frame pointer. So, with the last stack kept:
 *   a  the new walk goes on until its state equals a kept one in every part, under the same generation of rules;
 *   b  from there, if the words that the kept step read still have the values that led to the next kept state, the new
 *      walk would come to that state too. By induction over the frames outward, as long as each comparison holds, the rest
 *      of the new stack is the rest of the kept one, and so are its nodes in the tree.
 *   c  Where a comparison fails, the frame reached is a true state of the new walk, which goes on from it by rules.
 * Nothing is assumed of what happened between the two captures: longjmp, exceptions, alloca, tail calls and swapped stacks
 * change states or words, and are seen. A step that reads more than two words (a realigned stack, a signal frame) is always
 * taken again. Return addresses are compared, never changed: shadow stacks, coroutines and exceptions do not notice.
 *
 * Frame pointer  most code uses its register for other things. Where no step further out depends on it, neither its
 *            value in a state nor the word it was saved in is part of the proof (fp_live). Where a walk goes on from a
 *            kept frame, c, its true value is found by the saved words first.
 * Whole      a program comes by the same stacks again and again. A capture whose first state is that of a stack that is
 *            kept whole, and all of whose words still have their values, is that stack: b with nothing before it. The one
 *            that followed the last one last time is tried first, then those that began in the same state with the same
 *            first return address.
 *
 * Invariants I1  frame[i].sp > frame[j].sp for i < j: outermost first.
 *            I2  the step of frame[i] leads to the state of frame[i - 1]; that of frame[0] ended the walk.
 *            I3  frame[i].node is the tree's node for frame[0..i], where that has no more entries than the tree takes: a
 *                deeper stack's outermost frames lead to a mark (SNAP_PC_ELIDED), and that to its innermost frames.
 *            I4  word[frame[i - 1].words .. frame[i].words) are what the step of frame[i] read, as it was: one flat list,
 *                so that b is a loop of loads and compares, about a nanosecond a frame.
 *            I5  the words of a stack are in ring as long as no more than CAPTURE_WORDS were put there since.
 * Only stacks of the thread itself are kept; a walk that fails for a bad stack keeps nothing.
 */
#include "capture.h"

#include <string.h>

#include "compiler.h"
#include "losses.h"
#include "snapshot_layout.h"
#include "unwind.h"
#include "unwind_step.h"

/* Of a stack with more entries than the tree takes, as unwind.c has it: so many innermost ones, the mark, the outermost ones. */
enum { INNERMOST = STACKS_MAX_DEPTH / 2, OUTERMOST = STACKS_MAX_DEPTH - INNERMOST - 1 };
enum { STACK_WORDS_MAX = CAPTURE_WORDS / 4 };

/* Stands in the list for a step that read more than two words: never equal to its value. In a group it fills: always. */
static const uintptr_t never;

/* ---- whole stacks ------------------------------------------------------------------------------------------------- */

static uint32_t way_of(uintptr_t pc)
{
	return (uint32_t)(pc * UINT64_C(0x9e3779b97f4a7c15) >> 57); /* Fibonacci hashing, Knuth 6.4: 7 bits */
}
static_assert(CAPTURE_WAYS == 1 << 7, "capture_way");

/* The first of a stack's two places in the index: by its first state, and the return address that the way leads to. That is
 * read only within the thread's own stack. */
static NO_SANITIZE uint32_t place_of(const struct capture *c, const struct unwind_start *start)
{
	const struct captured_way *w = &c->way[way_of(start->pc)];
	uintptr_t at = start->sp + w->to_ra, ra = 0;

	if (LIKELY(w->pc == start->pc) && at - start->stack_lo < start->stack_hi - start->stack_lo)
		ra = *(const uintptr_t *)at;
	return (uint32_t)((start->pc ^ start->sp << 20 ^ ra << 36) * UINT64_C(0x9e3779b97f4a7c15) >> 55); /* 9 bits */
}
static_assert(CAPTURE_INDEX == 1 << 9 && CAPTURE_STACKS == 1 << 8, "place_of, and an entry of index is a byte");

/* It came after the last one. */
static void follow_last(struct capture *c, uint8_t s)
{
	c->stack[c->last].next = s;
	c->last = s;
	c->guess = c->stack[s].next;
}

NOINLINE struct captured_stack *capture_find(struct capture *c, const struct unwind_start *start)
{
	uint32_t place = place_of(c, start);
	uint8_t i = c->index[place];

	if (!capture_holds(c, &c->stack[i], start)) {
		i = c->index[place ^ 1];
		if (!capture_holds(c, &c->stack[i], start))
			return NULL;
	}
	follow_last(c, i);
	return &c->stack[i];
}

static uint32_t again(struct captured_stack *s)
{
	if (UNLIKELY(s->elided))
		loss_add(LOSS_UNWIND_ELIDED, 1);
	return s->node;
}

/* True if the way from this pc was not known, or another one. */
static bool learn_way(struct capture *c, const struct unwind_start *start)
{
	struct captured_way *w = &c->way[way_of(start->pc)], learnt = { start->pc, walk_to_return(start) };

	if (w->pc == learnt.pc && w->to_ra == learnt.to_ra)
		return false;
	*w = learnt;
	return true;
}

/* Room for so many words in a row. */
static uint64_t ring_room(struct capture *c, uint32_t words)
{
	uint32_t left = CAPTURE_WORDS - (uint32_t)(c->words % CAPTURE_WORDS);
	uint64_t at;

	if (left < words)
		c->words += left;
	at = c->words;
	c->words += words;
	return at;
}

/* The stack that was just walked, whose frames are kept. */
static void keep_whole(struct capture *c, uint32_t index, const struct unwind_start *start, uint32_t node)
{
	const struct captured *f = &c->frame[c->depth - 1];
	uint32_t groups = f->words / CAPTURE_GROUP + 1, words = groups * CAPTURE_GROUP;
	uint8_t i = (uint8_t)(c->newest + 1);
	struct captured_stack *s = &c->stack[i];
	uint64_t at;

	if (words > STACK_WORDS_MAX)
		return;
	c->newest = i;
	at = ring_room(c, words);
	*s = (struct captured_stack){ .pc = start->pc,
		                      .sp = start->sp,
		                      .fp = start->fp,
		                      .word = &c->ring[at % CAPTURE_WORDS],
		                      .at = at,
		                      .next = i,
		                      .node = node,
		                      .words = (uint16_t)words,
		                      .fp_live = f->fp_live,
		                      .elided = c->depth > STACKS_MAX_DEPTH,
		                      .counter_made = UINT64_MAX };
	for (uint32_t n = 0; n < words; n++)
		s->word[n] = n < f->words ? c->word[f->words - 1 - n] : (struct captured_word){ &never, 0 };
	c->index[index ^ 1] = c->index[index];
	c->index[index] = i;
	follow_last(c, i);
}

void capture_reset(struct capture *c)
{
	c->depth = 0;
	c->words += CAPTURE_WORDS + 1; /* no stack's words are there any more */
}

/* ---- frames of the last stack ------------------------------------------------------------------------------------- */

static bool same_state(const struct captured *f, const struct walk *w)
{
	return f->pc == w->pc && f->sp == w->sp && f->exact == w->exact &&
	       (!f->fp_live || (f->fp_known == w->fp_known && (f->fp == w->fp || !f->fp_known)));
}

/* All but the frame pointer, which the caller follows. */
static void set_state(struct walk *w, const struct captured *f)
{
	w->pc = f->pc;
	w->sp = f->sp;
	w->lo = f->exact ? f->sp - ARCH_RED_ZONE : f->sp;
	w->exact = f->exact;
	w->regs = NULL;
}

/* b: the number of frames, from the outermost, whose steps do not all hold: 0, or the first whose own step must be taken
 * anew is the last of them. The words stand on the thread's own stack above sp: read before, and mapped as long as it runs. */
static NO_SANITIZE uint32_t frames_to_redo(const struct capture *c, uint32_t known)
{
	const struct captured_word *word = c->word + c->frame[known - 1].words;

	while (word > c->word && LIKELY(*word[-1].at == word[-1].value))
		word--;
	if (LIKELY(word == c->word))
		return 0;
	while (known > 1 && c->word + c->frame[known - 2].words >= word)
		known--;
	return known;
}

struct result {
	uint32_t fresh; /* frames walked */
	uint32_t kept;  /* frames of the last stack that go on outward from them */
	enum step end;
};

static void step_fresh(struct captured_fresh *f, struct walk *w, struct result *r)
{
	struct walk_reads reads;

	f->frame.pc = w->pc;
	f->frame.sp = w->sp;
	f->frame.fp = w->fp;
	f->frame.fp_known = w->fp_known;
	f->frame.exact = w->exact;
	r->end = walk_step(w, &reads);
	f->ra_at = reads.ra_at;
	f->frame.fp_at = reads.fp_at;
	f->frame.fp_kept = reads.fp_kept;
	f->fp_base = reads.fp_base;
	f->complete = reads.complete && !w->foreign;
	r->fresh++;
}

/* A kept frame as one of the walk under way, with the words of its step; `w` has its frame pointer, and gets its caller's. */
static NO_SANITIZE void copy_kept(const struct capture *c, uint32_t i, struct walk *w, struct captured_fresh *ret_fresh)
{
	const struct captured *f = &c->frame[i];
	uint32_t n = i ? c->frame[i - 1].words : 0;

	*ret_fresh = (struct captured_fresh){ .frame = *f, .complete = true, .fp_base = f->fp_live };
	ret_fresh->frame.fp = w->fp;
	ret_fresh->frame.fp_known = w->fp_known;
	if (n < f->words)
		ret_fresh->ra_at = (uintptr_t)c->word[n].at;
	w->sp_is_bound = false; /* a step that leaves it so is never among the words */
	if (f->fp_at) {
		w->fp = *(const uintptr_t *)f->fp_at;
		w->fp_known = true;
	} else if (!f->fp_kept) {
		w->fp_known = false;
	}
}

/* a, b and c. */
static struct result walk_until_known(struct capture *c, struct walk *w)
{
	struct result r = { 0, 0, STEP_ON };
	uint32_t known = c->depth; /* frame[0..known) may still be met */

	while (r.end == STEP_ON && r.fresh < CAPTURE_MAX) {
		while (known && c->frame[known - 1].sp < w->sp)
			known--;
		if (known && same_state(&c->frame[known - 1], w)) {
			uint32_t redo = frames_to_redo(c, known);

			if (LIKELY(redo == 0)) {
				r.kept = known;
				r.end = c->truncated ? STEP_NO_RULE : STEP_DONE;
				return r;
			}
			/* Frames redo..known - 1 are this stack's too, and hold the words that lead from one to the next. */
			for (uint32_t j = known; j > redo && r.fresh < CAPTURE_MAX; j--)
				copy_kept(c, j - 1, w, &c->fresh[r.fresh++]);
			if (r.fresh == CAPTURE_MAX)
				break;
			set_state(w, &c->frame[redo - 1]);
			known = redo - 1;
		}
		step_fresh(&c->fresh[r.fresh], w, &r);
	}
	return r;
}

/* The words that the step of frame `at` read, behind those of the frames outside it. */
static NO_SANITIZE void note_words(struct capture *c, uint32_t at, const struct captured_fresh *f)
{
	const struct captured *outer = at ? &c->frame[at - 1] : NULL;
	uint32_t n = outer ? outer->words : 0;

	if (!f->complete)
		c->word[n++] = (struct captured_word){ &never, 1 };
	else if (f->ra_at) /* as it stands there: it may bear a signature */
		c->word[n++] = (struct captured_word){ (const uintptr_t *)f->ra_at, *(const uintptr_t *)f->ra_at };
	if (f->complete && f->frame.fp_at && outer && outer->fp_live)
		c->word[n++] = (struct captured_word){ (const uintptr_t *)f->frame.fp_at, outer->fp };
	c->frame[at].words = (uint16_t)n;
	c->frame[at].fp_live = f->fp_base || (f->frame.fp_kept && outer && outer->fp_live);
}

static uintptr_t entry_of(const struct captured *f)
{
	return f->exact ? f->pc : f->pc - 1;
}

/* The node of a stack with more entries than the tree takes: what unwind_walk() gives, without a walk. */
static uint32_t deep_node(const struct capture *c, bool truncated)
{
	uint32_t parent = stacks_child(c->frame[OUTERMOST - 1 - truncated].node, SNAP_PC_ELIDED, false);

	for (uint32_t i = c->depth - INNERMOST; parent && i < c->depth; i++)
		parent = stacks_child(parent, entry_of(&c->frame[i]), false);
	loss_add(LOSS_UNWIND_ELIDED, 1);
	return parent;
}

/* Fresh frames onto the kept ones. Returns the node of the whole. */
static uint32_t join(struct capture *c, struct result r)
{
	uint32_t parent = r.kept ? c->frame[r.kept - 1].node : 0;

	if (r.kept == 0) { /* how the walk ended, as long as its outermost frames are kept */
		c->truncated = r.end != STEP_DONE;
		parent = c->truncated ? stacks_child(0, SNAP_PC_TRUNCATED, false) : 0;
	}
	c->depth = r.kept;
	for (uint32_t i = r.fresh; i > 0; i--) {
		const struct captured_fresh *f = &c->fresh[i - 1];
		bool fits = c->depth + c->truncated < STACKS_MAX_DEPTH;

		if (LIKELY(fits)) {
			parent = stacks_child(parent, entry_of(&f->frame), false);
			if (!parent) { /* counted there */
				c->depth = 0;
				return 0;
			}
		}
		c->frame[c->depth] = f->frame;
		c->frame[c->depth].node = fits ? parent : 0;
		note_words(c, c->depth, f);
		c->depth++;
	}
	if (UNLIKELY(c->depth + c->truncated > STACKS_MAX_DEPTH))
		parent = deep_node(c, c->truncated);
	return parent;
}

static uint32_t capture_whole(const struct unwind_start *start)
{
	uintptr_t pcs[STACKS_MAX_DEPTH];
	size_t depth = unwind_walk(start, pcs, ARRAY_LEN(pcs));
	uint32_t parent = 0;

	while (depth > 0) {
		parent = stacks_child(parent, pcs[--depth], false);
		if (!parent)
			break;
	}
	return parent;
}

/* Is every step of the stack among its words? */
static bool is_proven(const struct capture *c)
{
	for (uint32_t i = 0, n = c->frame[c->depth - 1].words; i < n; i++)
		if (c->word[i].at == &never)
			return false;
	return true;
}

static NOINLINE uint32_t capture_walk(struct capture *c, const struct unwind_start *start, uint32_t index)
{
	struct walk w;
	struct result r;
	uint32_t node;

	walk_begin(&w, start);
	if (UNLIKELY(w.foreign))
		return capture_whole(start); /* a coroutine, an alternate stack: the thread's own stays kept */
	r = walk_until_known(c, &w);
	if (r.end == STEP_ON || r.kept + r.fresh > CAPTURE_MAX) {
		c->depth = 0;
		return capture_whole(start); /* deeper than what is kept */
	}
	if (r.end != STEP_DONE)
		unwind_count_truncated((int)r.end);
	node = join(c, r);
	if (r.end == STEP_BAD_STACK)
		c->depth = 0;
	if (node && c->depth && !c->truncated && is_proven(c))
		keep_whole(c, index, start, node);
	return node;
}

uint32_t capture_stack(struct capture *c, const struct unwind_start *start)
{
	struct captured_stack *s;

	if (UNLIKELY(!unwind_can_step()))
		return capture_whole(start);
	if (UNLIKELY(c->generation != walk_generation())) {
		capture_reset(c);
		c->generation = walk_generation();
	}
	s = capture_find(c, start);
	if (!s && learn_way(c, start))
		s = capture_find(c, start);
	return LIKELY(s != NULL) ? again(s) : capture_walk(c, start, place_of(c, start));
}
