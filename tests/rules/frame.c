/* frame.c - see frame.h. */
#include "frame.h"

#include <dwarf.h>

/* ---- the state ---------------------------------------------------------------------------------------------------- */

/* Well mixed: no two addresses that a test comes by have the same word. The finalizer of MurmurHash3. */
static uint64_t mixed(uint64_t x)
{
	x ^= x >> 33;
	x *= UINT64_C(0xff51afd7ed558ccd);
	x ^= x >> 33;
	x *= UINT64_C(0xc4ceb9fe1a85ec53);
	return x ^ x >> 33;
}

struct state state_at(uint64_t seed, uint64_t pc)
{
	struct state s = { .seed = mixed(seed) };

	for (unsigned i = 0; i < DW_REGS; i++)
		s.regs[i] = mixed(s.seed + i);
	s.regs[DW_PC] = pc;
	return s;
}

static uint64_t word_at(const struct state *s, uint64_t address)
{
	return mixed(address ^ s->seed << 1);
}

/* ---- our rule ----------------------------------------------------------------------------------------------------- */

static void places_by_rule(struct frame *f, struct rule r, const struct state *s)
{
	f->cfa_known = true;
	if (ARCH_RA_IN_REGISTER && r.add == 0)
		f->ra = (struct place){ PLACE_SAME, 0 };
	else if (ARCH_RA_IN_REGISTER)
		f->ra = (struct place){ PLACE_MEMORY, f->cfa + (uint64_t)(r.rbp_off + 8 * (int64_t)r.add) };
	else if (r.kind == RULE_REG && r.add)
		f->ra = (struct place){ PLACE_REGISTER, (uint64_t)(r.add - RULE_IN_REGISTER(0)) };
	else
		f->ra = (struct place){ PLACE_MEMORY, f->cfa - 8 };
	if (f->ra.kind == PLACE_REGISTER && r.rbp_kind == RBP_AT_RBP)
		f->fp = (struct place){ PLACE_REGISTER, (uint64_t)(r.rbp_off / 8) };
	else if (r.rbp_kind == RBP_SAME)
		f->fp = (struct place){ PLACE_SAME, 0 };
	else if (r.rbp_kind == RBP_AT_CFA)
		f->fp = (struct place){ PLACE_MEMORY, f->cfa + (uint64_t)(int64_t)r.rbp_off };
	else if (r.rbp_kind == RBP_AT_RBP)
		f->fp = (struct place){ PLACE_MEMORY, s->regs[DW_FP] + (uint64_t)(int64_t)r.rbp_off };
}

struct frame frame_by_rule(struct rule r, const struct state *s)
{
	struct frame f = { 0 };
	uint64_t sp = s->regs[DW_SP], base = r.reg < DW_REGS ? s->regs[r.reg] : 0, off = (uint64_t)(int64_t)r.off,
	         context = base + off;

	switch (r.kind) {
	case RULE_STOP:
		f.ra.kind = PLACE_UNDEFINED;
		break;
	case RULE_SIGNAL:
		f.signal = r.reg == DW_SP;
		f.cfa_known = true;
		f.cfa = word_at(s, context + ARCH_CONTEXT_SP);
		f.ra = (struct place){ PLACE_MEMORY, context + ARCH_CONTEXT_PC };
		f.fp = (struct place){ PLACE_MEMORY, context + ARCH_CONTEXT_FP };
		break;
	case RULE_REG:
		f.cfa = base + off;
		places_by_rule(&f, r, s);
		break;
	case RULE_INDEX:
		base = sp + base * 8;
		/* fallthrough */
	case RULE_DEREF:
		f.cfa = word_at(s, base + off) + (uint64_t)(int64_t)r.add;
		places_by_rule(&f, r, s);
		break;
	case RULE_PLT:
		f.cfa = sp + 8 + ((s->regs[DW_PC] & 15) >= (uint64_t)r.add ? 8 : 0);
		places_by_rule(&f, r, s);
		break;
	default:
		break;
	}
	return f;
}

/* ---- libdw's ------------------------------------------------------------------------------------------------------ */

enum { STACK = 32 };

struct evaluation {
	const struct state *s;
	const uint64_t *cfa; /* NULL: not known (yet) */
	uint64_t stack[STACK];
	unsigned depth;
	bool bad, is_value;
};

static void push(struct evaluation *e, uint64_t value)
{
	if (e->depth == STACK)
		e->bad = true;
	else
		e->stack[e->depth++] = value;
}

static uint64_t pop(struct evaluation *e)
{
	if (e->depth == 0) {
		e->bad = true;
		return 0;
	}
	return e->stack[--e->depth];
}

static void two_operands(struct evaluation *e, uint8_t op)
{
	uint64_t right = pop(e), left = pop(e), value = 0;

	switch (op) {
	case DW_OP_plus:
		value = left + right;
		break;
	case DW_OP_minus:
		value = left - right;
		break;
	case DW_OP_mul:
		value = left * right;
		break;
	case DW_OP_and:
		value = left & right;
		break;
	case DW_OP_or:
		value = left | right;
		break;
	case DW_OP_shl:
		value = right < 64 ? left << right : 0;
		break;
	case DW_OP_shr:
		value = right < 64 ? left >> right : 0;
		break;
	case DW_OP_ge:
		value = (int64_t)left >= (int64_t)right;
		break;
	case DW_OP_lt:
		value = (int64_t)left < (int64_t)right;
		break;
	default:
		e->bad = true;
		break;
	}
	push(e, value);
}

static void one_op(struct evaluation *e, const Dwarf_Op *op)
{
	uint8_t atom = op->atom;

	if (atom >= DW_OP_lit0 && atom <= DW_OP_lit31) {
		push(e, (uint64_t)(atom - DW_OP_lit0));
	} else if (atom >= DW_OP_breg0 && atom <= DW_OP_breg31 && atom - DW_OP_breg0 < DW_REGS) {
		push(e, e->s->regs[atom - DW_OP_breg0] + op->number);
	} else if (atom == DW_OP_bregx && op->number < DW_REGS) {
		push(e, e->s->regs[op->number] + op->number2);
	} else if (atom == DW_OP_const1u || atom == DW_OP_const2u || atom == DW_OP_const4u || atom == DW_OP_const8u ||
	           atom == DW_OP_constu || atom == DW_OP_const1s || atom == DW_OP_const2s || atom == DW_OP_const4s ||
	           atom == DW_OP_const8s || atom == DW_OP_consts) {
		push(e, op->number); /* libdw has extended the sign */
	} else if (atom == DW_OP_plus_uconst) {
		push(e, pop(e) + op->number);
	} else if (atom == DW_OP_deref) {
		push(e, word_at(e->s, pop(e)));
	} else if (atom == DW_OP_dup) {
		uint64_t top = pop(e);

		push(e, top);
		push(e, top);
	} else if (atom == DW_OP_drop) {
		(void)pop(e); /* libmvec: of the CFA, which a register's expression begins with */
	} else if (atom == DW_OP_call_frame_cfa && e->cfa) {
		push(e, *e->cfa);
	} else if (atom == DW_OP_stack_value) {
		e->is_value = true;
	} else {
		two_operands(e, atom);
	}
}

static int evaluate(const Dwarf_Op *ops, size_t n, const struct state *s, const uint64_t *cfa, struct place *ret_place)
{
	struct evaluation e = { .s = s, .cfa = cfa };

	if (n == 1 && ops[0].atom >= DW_OP_reg0 && ops[0].atom <= DW_OP_reg31) {
		*ret_place = (struct place){ PLACE_REGISTER, (uint64_t)(ops[0].atom - DW_OP_reg0) };
		return 0;
	}
	if (n == 1 && ops[0].atom == DW_OP_regx) {
		*ret_place = (struct place){ PLACE_REGISTER, ops[0].number };
		return 0;
	}
	for (size_t i = 0; i < n && !e.bad; i++)
		one_op(&e, &ops[i]);
	if (e.bad || e.depth == 0)
		return -1;
	*ret_place = (struct place){ e.is_value ? PLACE_VALUE : PLACE_MEMORY, pop(&e) };
	return 0;
}

static int cfa_by_libdw(Dwarf_Frame *dwarf, const struct state *s, bool *ret_known, uint64_t *ret_cfa)
{
	struct place p;
	Dwarf_Op *ops;
	size_t n;

	if (dwarf_frame_cfa(dwarf, &ops, &n) != 0)
		return -1;
	*ret_known = n > 0;
	if (n == 0)
		return 0;
	if (evaluate(ops, n, s, NULL, &p) < 0 || p.kind == PLACE_REGISTER)
		return -1;
	*ret_cfa = p.at;
	return 0;
}

static int register_place(Dwarf_Frame *dwarf, const struct state *s, const uint64_t *cfa, unsigned reg,
                          struct place *ret_place)
{
	Dwarf_Op room[3], *ops;
	size_t n;

	if (dwarf_frame_register(dwarf, (int)reg, room, &ops, &n) != 0)
		return -1;
	if (n == 0) {
		*ret_place = (struct place){ ops ? PLACE_UNDEFINED : PLACE_SAME, 0 };
		return 0;
	}
	return evaluate(ops, n, s, cfa, ret_place);
}

int place_by_libdw(Dwarf_Frame *dwarf, const struct state *s, unsigned reg, struct place *ret_place)
{
	uint64_t cfa = 0;
	bool known;

	if (cfa_by_libdw(dwarf, s, &known, &cfa) < 0)
		return -1;
	return register_place(dwarf, s, known ? &cfa : NULL, reg, ret_place);
}

int frame_by_libdw(Dwarf_Frame *dwarf, const struct state *s, struct frame *ret_frame)
{
	struct frame f = { 0 };
	int ra = dwarf_frame_info(dwarf, NULL, NULL, &f.signal);
	const uint64_t *cfa;
	struct place sp;

	if (ra < 0 || cfa_by_libdw(dwarf, s, &f.cfa_known, &f.cfa) < 0)
		return -1;
	cfa = f.cfa_known ? &f.cfa : NULL;
	if (register_place(dwarf, s, cfa, (unsigned)ra, &f.ra) < 0 || register_place(dwarf, s, cfa, DW_FP, &f.fp) < 0)
		return -1;
	if (register_place(dwarf, s, cfa, DW_SP, &sp) < 0)
		return -1;
	f.sp_apart = !f.signal && sp.kind != PLACE_SAME && !(sp.kind == PLACE_VALUE && sp.at == f.cfa);
	if (f.sp_apart && sp.kind == PLACE_MEMORY)
		f.cfa = word_at(s, sp.at);
	else if (f.sp_apart)
		f.cfa = sp.kind == PLACE_REGISTER && sp.at < DW_REGS ? s->regs[sp.at] : sp.at;
	*ret_frame = f;
	return 0;
}

/* ---- comparing ---------------------------------------------------------------------------------------------------- */

static bool same_place(struct place a, struct place b)
{
	return a.kind == b.kind && a.at == b.at;
}

const char *frame_contradicts(const struct frame *ours, const struct frame *truth)
{
	uint64_t cfa = truth->cfa;

	/* ld.so's entries for lazy binding on aarch64: the PLT has pushed two words before, which the tables leave to the
	 * caller's and eh_frame.c does not. */
	if (ARCH_RA_IN_REGISTER && truth->ra.kind == PLACE_MEMORY && truth->ra.at == cfa + 8)
		cfa += 16;
	if (ours->ra.kind == PLACE_UNKNOWN)
		return NULL; /* no information */
	if (ours->signal != truth->signal)
		return "signal frame or not";
	if ((ours->ra.kind == PLACE_UNDEFINED) != (truth->ra.kind == PLACE_UNDEFINED))
		return "outermost frame or not";
	if (ours->ra.kind == PLACE_UNDEFINED)
		return NULL;
	if (!truth->cfa_known || ours->cfa != cfa)
		return "CFA";
	if (!same_place(ours->ra, truth->ra))
		return "return address";
	if (ours->fp.kind != PLACE_UNKNOWN && !same_place(ours->fp, truth->fp))
		return "frame pointer";
	return NULL;
}

bool frame_is_valid(Dwarf_Frame *dwarf)
{
	Dwarf_Op *ops;
	size_t n;

	return dwarf_frame_cfa(dwarf, &ops, &n) == 0;
}

bool frame_is_register_and_offset(Dwarf_Frame *dwarf)
{
	Dwarf_Op *ops;
	size_t n;

	return dwarf_frame_cfa(dwarf, &ops, &n) == 0 && n == 1 &&
	       (ops[0].atom == DW_OP_bregx || (ops[0].atom >= DW_OP_breg0 && ops[0].atom <= DW_OP_breg31));
}
