/*
 * capture.c - verified reuse of a thread's last stack.
 *
 * A step of a walk is a function of its state (pc, sp, frame pointer, and whether that is known), of the rule for the pc,
 * and of the words it reads: the return address and the saved frame pointer. So, with the last stack kept:
 *   a  the new walk goes on until its state equals a kept one in every part, under the same generation of rules;
 *   b  from there, if the two words that the kept step read still have the values that led to the next kept state, the new
 *      walk would come to that state too. By induction over the frames outward, as long as each comparison holds, the rest
 *      of the new stack is the rest of the kept one, and so are its nodes in the tree.
 *   c  Where a comparison fails, the frame reached is a true state of the new walk, which goes on from it by rules.
 * Nothing is assumed of what happened between the two captures: longjmp, exceptions, alloca, tail calls and swapped stacks
 * change states or words, and are seen. A step that reads more than two words (a realigned stack, a signal frame) is always
 * taken again. Return addresses are compared, never changed: shadow stacks, coroutines and exceptions do not notice.
 *
 * Invariants I1  frame[i].sp > frame[j].sp for i < j: outermost first.
 *            I2  the step of frame[i] leads to the state of frame[i - 1]; that of frame[0] ended the walk.
 *            I3  frame[i].node is the tree's node for frame[0..i].
 * Only stacks of the thread itself are kept; a walk that fails for a bad stack keeps nothing.
 */
#include "capture.h"

#include "compiler.h"
#include "losses.h"
#include "snapshot_layout.h"
#include "unwind.h"
#include "unwind_step.h"

enum { NODE_MAX = STACKS_MAX_DEPTH - 1 }; /* one place is left for the mark of a truncated stack */

static NO_SANITIZE uintptr_t word_at(uintptr_t at)
{
	return *(const uintptr_t *)
	        at; /* on the thread's own stack above sp: read before, and mapped as long as it runs */
}

/* b: would the step of frame[i] lead where it led? */
static bool step_holds(const struct capture *c, uint32_t i)
{
	const struct captured *f = &c->frame[i];

	if (!f->complete)
		return false;
	if (i == 0)
		return f->ra_at == 0 || word_at(f->ra_at) == c->end_word;
	return word_at(f->ra_at) == c->frame[i - 1].pc && (f->fp_at == 0 || word_at(f->fp_at) == c->frame[i - 1].fp);
}

static bool same_state(const struct captured *f, const struct walk *w)
{
	return f->pc == w->pc && f->sp == w->sp && f->exact == w->exact && f->fp_known == w->fp_known &&
	       (f->fp == w->fp || !f->fp_known);
}

static void set_state(struct walk *w, const struct captured *f)
{
	w->pc = f->pc;
	w->sp = f->sp;
	w->lo = f->sp;
	w->fp = f->fp;
	w->fp_known = f->fp_known;
	w->exact = f->exact;
	w->regs = NULL;
}

static void note_state(struct captured *f, const struct walk *w)
{
	f->pc = w->pc;
	f->sp = w->sp;
	f->fp = w->fp;
	f->fp_known = w->fp_known;
	f->exact = w->exact;
}

struct result {
	uint32_t fresh; /* frames walked */
	uint32_t kept;  /* frames of the last stack that go on outward from them */
	enum step end;
};

/* a, b and c. */
static struct result walk_until_known(struct capture *c, struct walk *w)
{
	struct result r = { 0, 0, STEP_ON };
	uint32_t known = c->depth; /* frame[0..known) may still be met */

	while (r.end == STEP_ON && r.fresh < NODE_MAX) {
		struct captured *f = &c->fresh[r.fresh];
		struct walk_reads reads;

		while (known && c->frame[known - 1].sp < w->sp)
			known--;
		if (known && same_state(&c->frame[known - 1], w)) {
			uint32_t i = known;

			while (i && step_holds(c, i - 1))
				i--;
			if (i == 0) {
				r.kept = known;
				r.end = c->truncated ? STEP_NO_RULE : STEP_DONE;
				return r;
			}
			/* Frames i..known - 1 are this stack's too; the step of frame i - 1 must be taken anew. */
			for (uint32_t j = known; j > i && r.fresh < NODE_MAX; j--)
				c->fresh[r.fresh++] = c->frame[j - 1];
			if (r.fresh == NODE_MAX)
				break;
			set_state(w, &c->frame[i - 1]);
			known = i - 1;
			f = &c->fresh[r.fresh];
		}
		note_state(f, w);
		r.fresh++;
		r.end = walk_step(w, &reads);
		f->ra_at = reads.ra_at;
		f->fp_at = reads.fp_at;
		f->complete = reads.complete && !w->foreign;
	}
	return r;
}

/* Fresh frames onto the kept ones. Returns the innermost frame's node. */
static uint32_t join(struct capture *c, struct result r)
{
	uint32_t parent = r.kept ? c->frame[r.kept - 1].node : 0;

	if (r.kept == 0 && r.end != STEP_DONE)
		parent = stacks_child(0, SNAP_PC_TRUNCATED, false);
	c->depth = r.kept;
	for (uint32_t i = r.fresh; i > 0; i--) {
		struct captured *f = &c->frame[c->depth];

		*f = c->fresh[i - 1];
		parent = stacks_child(parent, f->exact ? f->pc : f->pc - 1, false);
		if (!parent) { /* counted there */
			c->depth = 0;
			return 0;
		}
		f->node = parent;
		c->depth++;
	}
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

uint32_t capture_stack(struct capture *c, const struct unwind_start *start)
{
	struct walk w;
	struct result r;
	uint32_t node;

	if (UNLIKELY(!unwind_can_step()))
		return capture_whole(start);
	walk_begin(&w, start);
	if (UNLIKELY(w.foreign))
		return capture_whole(start); /* a coroutine, an alternate stack: the thread's own stays kept */
	if (UNLIKELY(c->generation != walk_generation())) {
		c->depth = 0;
		c->generation = walk_generation();
	}
	r = walk_until_known(c, &w);
	if (r.end == STEP_ON || r.kept + r.fresh > NODE_MAX) {
		c->depth = 0;
		return capture_whole(start); /* deeper than what is kept */
	}
	if (r.end != STEP_DONE)
		unwind_count_truncated((int)r.end);
	node = join(c, r);
	if (r.kept == 0) {
		/* How the walk ended, to be tested next time. A chain that ends by its rule reads nothing there. */
		c->truncated = r.end == STEP_NO_RULE;
		if (r.end == STEP_BAD_STACK)
			c->depth = 0;
		if (c->depth)
			c->end_word = c->frame[0].ra_at ? word_at(c->frame[0].ra_at) : 0;
	}
	return node;
}
