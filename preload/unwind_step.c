/*
 * unwind_step.c - rules by pc, and one step by a rule.
 *
 * A frame costs one look into a cache of rules by pc; a pc not seen before is looked up through _dl_find_object and
 * decoded from .eh_frame (eh_frame.c). Code without a table (made at run time, or by hand) is walked by frame pointers, and
 * each such step is checked. The cache is shared by all threads without a lock: an entry is two words, key ^ rule and rule, so a torn
 * entry does not match its key (Hyatt and Mann, "A lockless transposition table", ICGA Journal 25, 2002). The key holds
 * a generation, which unwind_forget() moves on: rules of unmapped code never match again.
 */
#include "unwind_step.h"

#include <dlfcn.h>

#include "atomic.h"
#include "compiler.h"
#include "eh_frame.h"
#include "os_linux.h"
#include "unwind.h"
#include "unwind_copy.h"

#pragma weak _dl_find_object

enum { CACHE_BITS = 14, CACHE_SIZE = 1 << CACHE_BITS, PAGE = 4096, ENTRY_BYTES = 128 };
/* The furthest that a frame of a stack of unknown extent may reach up. */
#define FOREIGN_REACH ((uintptr_t)1 << 20)

struct cache_entry {
	_Atomic uint64_t check; /* key ^ rule */
	_Atomic uint64_t rule;
};

static struct cache_entry cache[CACHE_SIZE];
_Atomic uint64_t walk_generation_now = 1;
static bool frame_pointers_only;

bool walk_frames_at(uintptr_t pc, struct frames *ret_frames)
{
	struct dl_find_object found, tables;
	uintptr_t hdr;

	if (_dl_find_object((void *)pc, &found) != 0 || !found.dlfo_eh_frame)
		return false;
	hdr = (uintptr_t)found.dlfo_eh_frame;
	/* Where an object's segments have gaps between them (not position-independent programs), the range is that of the
	 * segment with pc in it: the frame information stands in another. */
	if (hdr >= (uintptr_t)found.dlfo_map_start && hdr < (uintptr_t)found.dlfo_map_end)
		tables = found;
	else if (_dl_find_object((void *)hdr, &tables) != 0)
		return false;
	*ret_frames = (struct frames){ found.dlfo_eh_frame, (uintptr_t)tables.dlfo_map_start,
		                       (uintptr_t)tables.dlfo_map_end };
	return true;
}

/* How code is read. That of a frame which is on the walking thread's stack cannot go meanwhile; that on another's can. */
enum look { LOOK_AT_ONCE, LOOK_PROBE, LOOK_COPY };

static bool is_after_call(uintptr_t ra, enum look look)
{
	const uint8_t *p = (const uint8_t *)ra;
	uint8_t copy[ARCH_CALL_BYTES];

	if (ra < PAGE)
		return false;
	if (look == LOOK_COPY)
		return os_read_memory(p - sizeof(copy), copy, sizeof(copy)) && arch_is_after_call(copy + sizeof(copy));
	if (look == LOOK_PROBE && !(os_readable(p - ARCH_CALL_BYTES) && os_readable(p - 1)))
		return false;
	return arch_is_after_call(p);
}

static bool is_trampoline(uintptr_t pc, enum look look)
{
	const uint8_t *code = (const uint8_t *)pc;
	uint8_t copy[ARCH_TRAMPOLINE_BYTES];

	if (look == LOOK_COPY)
		return os_read_memory(code, copy, sizeof(copy)) && arch_is_trampoline(copy);
	return os_readable(code) && os_readable(code + ARCH_TRAMPOLINE_BYTES - 1) && arch_is_trampoline(code);
}

/* Code that no table covers: V8's builtins inside node, assembler by hand, code made at run time. Its frame pointer is
 * followed (step_fp), if it is code: an interrupted instruction is, and what a return address points to is when a call
 * stands before it. */
static struct rule rule_without_table(uintptr_t lookup, bool exact, enum look look)
{
	int pushed;

	if (is_trampoline(lookup + !exact, look))
		return rule_signal();
	if (ARCH_RA_IN_REGISTER && exact && look != LOOK_COPY &&
	    (pushed = arch_stub_pushed((const uint8_t *)lookup)) >= 0)
		return (struct rule){ .kind = RULE_REG, .reg = DW_SP, .off = pushed };
	return (struct rule){ .kind = exact || is_after_call(lookup + 1, look) ? RULE_FP : RULE_NONE };
}

/* The root of a made stack: nobody called it, so the "return address" is a function's first byte (makecontext's). No table covers
 * the byte before. */
static bool is_root(uintptr_t pc, enum look look)
{
	struct frames frames;

	return walk_frames_at(pc, &frames) && eh_frame_covers(frames.hdr, frames.lo, frames.hi, pc) &&
	       !is_after_call(pc, look);
}

/* Of code whose tables say that it has just been called and has touched nothing: the few whose tables are not to be believed. */
static struct rule rule_corrected(uintptr_t lookup, bool exact, struct rule r)
{
	enum arch_switch at = ARCH_SWITCH_NONE;
	unsigned base = 0;

	if (arch_is_context_root((const uint8_t *)lookup))
		return (struct rule){ .kind = RULE_STOP };
	if (exact)
		at = arch_context_switch((const uint8_t *)lookup, &base);
	if (at == ARCH_SWITCH_LOADS)
		return (struct rule){ .kind = RULE_SIGNAL, .reg = (uint8_t)base };
	if (at == ARCH_SWITCH_PUSHED)
		r.add = RULE_GO_ON;
	return r;
}

static struct rule rule_decode(uintptr_t lookup, bool exact, enum look look)
{
	struct frames frames;
	struct rule r;

	if (!walk_frames_at(lookup, &frames))
		return rule_without_table(lookup, exact, look);
	r = eh_frame_rule(frames.hdr, frames.lo, frames.hi, lookup);
	if (!ARCH_RA_IN_REGISTER && r.kind == RULE_REG && r.reg == DW_SP && r.off == 8 && !r.add)
		r = rule_corrected(lookup, exact, r);
	if (r.kind == RULE_NONE && !eh_frame_covers(frames.hdr, frames.lo, frames.hi, lookup))
		r = !exact && is_root(lookup + 1, look) ? (struct rule){ .kind = RULE_STOP }
		                                        : rule_without_table(lookup, exact, look);
	return r;
}

static struct rule rule_at(uintptr_t pc, bool exact, enum look look)
{
	/* relaxed: an old generation only misses; the entry itself is checked by its two words */
	uint64_t gen = load_relaxed(&walk_generation_now);
	uint64_t key = pc | gen << 48; /* user addresses have 47 or 48 bits */
	struct cache_entry *e = &cache[(pc ^ pc >> CACHE_BITS) & (CACHE_SIZE - 1)];
	uint64_t packed = load_relaxed(&e->rule);
	struct rule r;

	if (LIKELY((load_relaxed(&e->check) ^ packed) == key))
		return rule_unpack(packed);
	r = rule_decode(pc, exact, look);
	packed = rule_pack(r);
	store_relaxed(&e->rule, packed);
	store_relaxed(&e->check, key ^ packed);
	return rule_unpack(packed);
}

void unwind_forget(void)
{
	/* 16 bits of it are used: an entry would have to outlive 65536 unloads untouched */
	add_relaxed(&walk_generation_now, 1);
}

void walk_use_frame_pointers(bool only)
{
	frame_pointers_only = only;
}

static enum look look_of(const struct walk *w)
{
	return w->copy ? LOOK_COPY : LOOK_PROBE;
}

/* Which stack is sp on? */
static void enter_stack(struct walk *w)
{
	bool own = w->sp >= w->stack_lo && w->sp < w->stack_hi;

	w->foreign = !own;
	w->apart = !own || w->copy;
	w->lo = w->exact ? w->sp - ARCH_RED_ZONE : w->sp;
	w->hi = own ? w->stack_hi : w->sp + FOREIGN_REACH;
}

void walk_begin(struct walk *w, const struct unwind_start *start)
{
	*w = (struct walk){ .pc = start->pc,
		            .sp = start->sp,
		            .fp = start->fp,
		            .exact = start->pc_is_exact,
		            .fp_known = !start->fp_unknown,
		            .regs = start->regs,
		            .copy = start->copy,
		            .stack_lo = start->stack_lo,
		            .stack_hi = start->stack_hi,
		            .start = start,
		            .ra = ARCH_RA_IN_REGISTER && start->regs ? start->regs[DW_RA] : 0,
		            .followed = NOT_FOLLOWED };
	enter_stack(w);
}

static NO_SANITIZE bool load(struct walk *w, uintptr_t at, uintptr_t *ret_word)
{
	if (at < w->lo || at > w->hi - sizeof(uintptr_t) || at % sizeof(uintptr_t) != 0)
		return false;
	if (w->apart && at / PAGE != w->probed_page) {
		if (w->copy)
			return stack_copy_word(w->copy, at, ret_word);
		if (!os_readable((const void *)at))
			return false;
		w->probed_page = at / PAGE;
	}
	*ret_word = *(const uintptr_t *)at;
	return true;
}

static bool register_value(const struct walk *w, unsigned reg, uintptr_t *ret_value)
{
	if (reg == DW_SP) {
		if (ARCH_RA_IN_REGISTER && w->sp_is_bound)
			return false;
		*ret_value = w->sp;
	} else if (reg == DW_FP) {
		if (!w->fp_known)
			return false;
		*ret_value = w->fp;
	} else if (w->regs) {
		*ret_value = w->regs[reg];
	} else if (w->followed == reg) {
		*ret_value = w->followed_value;
	} else {
		return w->start && walk_find_register(w, reg, ret_value);
	}
	return true;
}

/* The frame whose pc is `w->pc` becomes its caller, whose CFA is `cfa`. */
static enum step step_to(struct walk *w, uintptr_t cfa, struct rule r, struct walk_reads *reads)
{
	uintptr_t ra, fp = w->fp;
	bool fp_known = w->fp_known;

	if (ARCH_RA_IN_REGISTER && r.add == 0) {
		if (!w->exact)
			return STEP_NO_RULE; /* the call it made has overwritten the register */
		if (cfa < w->sp || cfa > w->hi)
			return STEP_BAD_STACK;
		ra = w->ra;
		reads->complete = false;
	} else if (!ARCH_RA_IN_REGISTER && r.kind == RULE_REG && UNLIKELY(r.add > 0)) {
		if (!w->regs)
			return STEP_NO_RULE; /* the call it made has overwritten the register */
		if (cfa < w->sp || cfa > w->hi || cfa % 8 != 0)
			return STEP_BAD_STACK; /* perhaps a jump to another stack */
		ra = w->regs[r.add - RULE_IN_REGISTER(0)];
		if (r.rbp_kind == RBP_AT_RBP) {
			fp = w->regs[r.rbp_off / 8];
			fp_known = true;
			r.rbp_kind = RBP_SAME;
		}
		reads->complete = false;
	} else {
		reads->ra_at = cfa + (uintptr_t)(ARCH_RA_IN_REGISTER ? r.rbp_off + r.add * (intptr_t)8 : -8);
		if (cfa <= w->sp || cfa > w->hi || cfa % 8 != 0 || !load(w, reads->ra_at, &ra))
			return STEP_BAD_STACK;
	}
	ra = arch_code_address(ra);
	if (r.rbp_kind == RBP_AT_CFA) {
		reads->fp_at = cfa + (uintptr_t)(intptr_t)r.rbp_off;
		fp_known = load(w, reads->fp_at, &fp);
	} else if (r.rbp_kind == RBP_AT_RBP) {
		reads->fp_at = w->fp + (uintptr_t)(intptr_t)r.rbp_off;
		fp_known = w->fp_known && load(w, reads->fp_at, &fp);
	} else if (r.rbp_kind == RBP_UNKNOWN) {
		fp_known = false;
	}
	if (!fp_known)
		reads->fp_at = 0;
	w->fp = fp;
	w->fp_known = fp_known;
	w->sp = cfa;
	w->lo = cfa;
	w->pc = ra;
	w->exact = !ARCH_RA_IN_REGISTER && r.kind == RULE_REG && r.add == RULE_GO_ON;
	w->sp_is_bound = false;
	w->regs = NULL;
	return ra < PAGE ? STEP_DONE : STEP_ON; /* 0 marks the outermost frame of a thread */
}

uintptr_t walk_to_return(const struct unwind_start *start)
{
	struct rule r = rule_at(start->pc - 1, false, LOOK_PROBE);
	intptr_t to = ARCH_RA_IN_REGISTER ? r.off + r.rbp_off + r.add * (intptr_t)8 : r.off - 8;

	if (r.kind != RULE_REG || r.reg != DW_SP || (!ARCH_RA_IN_REGISTER && r.add) || to < 0 || to % 8 != 0)
		return UINTPTR_MAX / 2;
	return (uintptr_t)to;
}

/* By the frame pointer, where no table says anything. What it finds must be a frame: within the stack, and returning to code
 * that is known, behind a call. */
static enum step step_fp(struct walk *w, struct walk_reads *reads)
{
	const struct rule r = { .kind = RULE_FP, .rbp_kind = RBP_AT_CFA, .rbp_off = -16, .add = 1 };
	uintptr_t ra, fp;
	enum rule_kind caller;
	enum step s;

	if (ARCH_RA_IN_REGISTER && w->fp_known && w->fp == 0)
		return STEP_DONE; /* AAPCS64, "The Frame Pointer": the end of the chain */
	if (!w->fp_known || w->fp < w->sp || w->fp > w->hi - 16)
		return STEP_BAD_STACK;
	if (!load(w, w->fp + 8, &ra) || !load(w, w->fp, &fp))
		return STEP_BAD_STACK;
	ra = arch_code_address(ra);
	if (!frame_pointers_only && ra >= PAGE) {
		caller = rule_at(ra - 1, false, look_of(w)).kind;
		if (caller == RULE_NONE ||
		    (caller != RULE_FP && !is_after_call(ra, w->copy ? LOOK_COPY : LOOK_AT_ONCE)))
			return STEP_NO_RULE;
	}
	s = step_to(w, w->fp + 16, r, reads);
	w->sp_is_bound = ARCH_RA_IN_REGISTER;
	reads->complete = !ARCH_RA_IN_REGISTER;
	return s;
}

/* Where sp is only a bound, the CFA of a function that keeps a frame record is found by that: it is past its prologue, since it
 * made a call. */
static bool cfa_by_record(const struct walk *w, struct rule r, uintptr_t *ret_cfa)
{
	if (!w->fp_known || r.rbp_kind != RBP_AT_CFA || r.add != 1)
		return false;
	*ret_cfa = w->fp - (uintptr_t)(intptr_t)r.rbp_off;
	return true;
}

bool walk_at_trampoline(const struct walk *w)
{
	struct rule r;

	if (frame_pointers_only)
		return false;
	r = rule_at(walk_lookup(w), w->exact, look_of(w));
	return r.kind == RULE_SIGNAL && r.reg == DW_SP;
}

/* The registers that setcontext is about to load: of the interrupted frame only, whose own registers are known. The context may be
 * anywhere. What it resumes is an instruction, perhaps a function's first one (makecontext). */
static NO_SANITIZE enum step step_context(struct walk *w, struct rule r)
{
	const uintptr_t *pc, *sp, *fp;
	uintptr_t uc;

	if (!w->regs)
		return STEP_NO_RULE;
	uc = w->regs[r.reg] + (uintptr_t)(intptr_t)r.off;
	pc = (const uintptr_t *)(uc + ARCH_CONTEXT_PC);
	sp = (const uintptr_t *)(uc + ARCH_CONTEXT_SP);
	fp = (const uintptr_t *)(uc + ARCH_CONTEXT_FP);
	if (uc % 8 != 0 || !os_readable(pc) || !os_readable(sp) || !os_readable(fp) || *sp % 8 != 0 || *pc < PAGE)
		return STEP_BAD_STACK;
	w->pc = *pc;
	w->sp = *sp;
	w->fp = *fp;
	w->fp_known = true;
	w->exact = true;
	w->regs = NULL;
	enter_stack(w);
	return STEP_ON;
}

/* The trampoline's stack pointer leads to the interrupted registers. */
static enum step step_signal(struct walk *w)
{
	uintptr_t uc = w->sp + ARCH_CONTEXT, pc, sp, fp;

	if (ARCH_RA_IN_REGISTER && w->sp_is_bound)
		return STEP_NO_RULE;
	if (!load(w, uc + ARCH_CONTEXT_PC, &pc) || !load(w, uc + ARCH_CONTEXT_SP, &sp) ||
	    !load(w, uc + ARCH_CONTEXT_FP, &fp) || (ARCH_RA_IN_REGISTER && !load(w, uc + ARCH_CONTEXT_RA, &w->ra)))
		return STEP_BAD_STACK;
	if (sp <= w->sp && !(w->foreign || sp < w->stack_lo || sp >= w->stack_hi))
		return STEP_BAD_STACK; /* same stack, and not upwards: no progress */
	if (sp % 8 != 0)
		return STEP_BAD_STACK;
	w->pc = pc;
	w->sp = sp;
	w->fp = fp;
	w->fp_known = true;
	w->exact = true;
	w->regs = NULL;
	enter_stack(w); /* with its red zone */
	return STEP_ON;
}

/* Does the call that returns to `ra` go to `function`? Its code is read only where a table says that it is code. */
static bool is_call_of(uintptr_t ra, uintptr_t function)
{
	struct frames frames;

	return ra > PAGE && walk_frames_at(ra - 1, &frames) &&
	       eh_frame_covers(frames.hdr, frames.lo, frames.hi, ra - 1) &&
	       arch_call_target((const uint8_t *)ra) == function;
}

/* The frame pointer of a frame that made a call, in another thread's stack whose walk began without one and met no frame that had
 * saved it. It is where the room that the function made ends, if a return address stands above that; or further, where the
 * function makes room as it goes on, at the first return address of a call of this function. */
static NOINLINE bool infer_frame_pointer(struct walk *w, uintptr_t *ret_fp)
{
	enum { MOST_ROOM = 16 << 10 };
	uint8_t code[64];
	struct frames frames;
	uintptr_t pc = walk_lookup(w), start, below, ra;
	size_t bytes;

	if (!w->copy || w->exact || !walk_frames_at(pc, &frames))
		return false;
	start = eh_frame_start(frames.hdr, frames.lo, frames.hi, pc);
	bytes = frames.hi - start < sizeof(code) ? frames.hi - start : sizeof(code);
	if (!start || !os_read_memory((const void *)start, code, bytes) || !arch_frame_below(code, bytes, &below))
		return false;
	*ret_fp = w->sp + below;
	if (*ret_fp <= w->hi - 16 && load(w, *ret_fp + 8, &ra) && ra >= PAGE &&
	    rule_at(ra - 1, false, LOOK_COPY).kind != RULE_NONE && is_after_call(ra, LOOK_COPY))
		return true;
	for (uintptr_t end = *ret_fp + MOST_ROOM; *ret_fp < end && *ret_fp <= w->hi - 16; *ret_fp += 8)
		if (load(w, *ret_fp + 8, &ra) && is_call_of(ra, start))
			return true;
	return false;
}

enum step walk_step(struct walk *w, struct walk_reads *ret_reads)
{
	struct rule r = { .kind = RULE_FP };
	uintptr_t base;

	*ret_reads = (struct walk_reads){ .complete = true, .fp_base = true };
	if (!frame_pointers_only)
		r = rule_at(walk_lookup(w), w->exact, look_of(w));
	switch (r.kind) {
	case RULE_REG:
		if (ARCH_RA_IN_REGISTER && w->sp_is_bound && r.reg == DW_SP) {
			if (!cfa_by_record(w, r, &base))
				return STEP_NO_RULE;
			ret_reads->complete = false;
			return step_to(w, base, r, ret_reads);
		}
		if (!register_value(w, r.reg, &base) && (r.reg != DW_FP || !infer_frame_pointer(w, &base)))
			return STEP_NO_RULE;
		ret_reads->complete = r.reg == DW_SP || r.reg == DW_FP;
		ret_reads->fp_base = r.reg == DW_FP || r.rbp_kind == RBP_AT_RBP;
		ret_reads->fp_kept = r.rbp_kind == RBP_SAME;
		return step_to(w, base + (uintptr_t)(intptr_t)r.off, r, ret_reads);
	case RULE_DEREF:
	case RULE_INDEX:
		if (!register_value(w, r.reg, &base))
			return STEP_NO_RULE;
		if (r.kind == RULE_INDEX)
			base = w->sp + base * 8;
		if (!load(w, base + (uintptr_t)(intptr_t)r.off, &base))
			return STEP_BAD_STACK;
		ret_reads->complete = false;
		return step_to(w, base + (uintptr_t)(intptr_t)r.add, r, ret_reads);
	case RULE_PLT:
		ret_reads->fp_base = r.rbp_kind == RBP_AT_RBP;
		ret_reads->fp_kept = r.rbp_kind == RBP_SAME;
		return step_to(w, w->sp + 8 + ((w->pc & 15) >= (uintptr_t)r.add ? 8 : 0), r, ret_reads);
	case RULE_FP:
		return step_fp(w, ret_reads);
	case RULE_SIGNAL:
		ret_reads->complete = false;
		return r.reg == DW_SP ? step_signal(w) : step_context(w, r);
	case RULE_STOP:
		return STEP_DONE;
	default:
		/* ld.so's entry has no frame information, and needs none: nothing of the stack is left above it. */
		return !w->foreign && w->stack_hi - w->sp <= ENTRY_BYTES ? STEP_DONE : STEP_NO_RULE;
	}
}
