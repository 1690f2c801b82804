/*
 * eh_frame.c - decode call frame information for one pc, on demand, without allocation.
 *
 * Only what a stack walk needs is followed: the CFA, rbp, and the return address, and one more register where it is asked
 * for (eh_frame_saved): a few frames find their CFA by another one, and the walk then follows that from the innermost frame.
 */
#include "eh_frame.h"

#include <stddef.h>
#include <string.h>

#include "compiler.h"

/* Pointer encodings, LSB 5.0 10.5.1. */
enum {
	PE_ABSPTR = 0x00,
	PE_ULEB = 0x01,
	PE_UDATA2 = 0x02,
	PE_UDATA4 = 0x03,
	PE_UDATA8 = 0x04,
	PE_SLEB = 0x09,
	PE_SDATA2 = 0x0a,
	PE_SDATA4 = 0x0b,
	PE_SDATA8 = 0x0c,
	PE_FORMAT = 0x0f,
	PE_PCREL = 0x10,
	PE_DATAREL = 0x30,
	PE_RELATION = 0x70,
	PE_INDIRECT = 0x80,
	PE_OMIT = 0xff,
};

enum { MAX_OPS = 20000, MAX_REMEMBERED = 8, MAX_ENTRIES = 100000, NO_REGISTER = 255 };
/* Those that a CFA may be found by, and of a packed rule. */
enum { EXPRESSION_REGS = 1 << ARCH_RULE_REG_BITS, REG_MASK = EXPRESSION_REGS - 1, OFF_BITS = 28 - ARCH_RULE_REG_BITS };
enum { FP_BITS = 30 - ARCH_RULE_ADD_BITS, ADD_BITS = ARCH_RULE_ADD_BITS };

/* A reader that never leaves [at, end); `bad` is sticky. */
struct in {
	const uint8_t *at, *end;
	uintptr_t datarel;
	bool bad;
};

static uint64_t in_fixed(struct in *in, unsigned bytes)
{
	uint64_t value = 0;

	if (in->bad || (size_t)(in->end - in->at) < bytes) {
		in->bad = true;
		return 0;
	}
	memcpy(&value, in->at, bytes); /* little-endian machines only, as the layout header says */
	in->at += bytes;
	return value;
}

static uint64_t in_uleb(struct in *in)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint64_t byte = in_fixed(in, 1);

		value |= (byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
	in->bad = true;
	return 0;
}

static int64_t in_sleb(struct in *in)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint64_t byte = in_fixed(in, 1);

		value |= (byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			if (byte & 0x40 && shift + 7 < 64)
				value |= ~UINT64_C(0) << (shift + 7);
			return (int64_t)value;
		}
	}
	in->bad = true;
	return 0;
}

/* A value in pointer encoding `enc`, without following PE_INDIRECT (only personalities use it, and they are skipped). */
static uintptr_t in_encoded(struct in *in, uint8_t enc)
{
	uintptr_t base = 0, value;

	if (enc == PE_OMIT)
		return 0;
	if ((enc & PE_RELATION) == PE_PCREL)
		base = (uintptr_t)in->at;
	else if ((enc & PE_RELATION) == PE_DATAREL)
		base = in->datarel;
	switch (enc & PE_FORMAT) {
	case PE_ABSPTR:
	case PE_UDATA8:
	case PE_SDATA8:
		value = (uintptr_t)in_fixed(in, 8);
		break;
	case PE_UDATA2:
		value = (uintptr_t)in_fixed(in, 2);
		break;
	case PE_SDATA2:
		value = (uintptr_t)(int64_t)(int16_t)in_fixed(in, 2);
		break;
	case PE_UDATA4:
		value = (uintptr_t)in_fixed(in, 4);
		break;
	case PE_SDATA4:
		value = (uintptr_t)(int64_t)(int32_t)in_fixed(in, 4);
		break;
	case PE_ULEB:
		value = (uintptr_t)in_uleb(in);
		break;
	case PE_SLEB:
		value = (uintptr_t)in_sleb(in);
		break;
	default:
		in->bad = true;
		return 0;
	}
	return value ? base + value : 0;
}

/* ---- finding the FDE ---------------------------------------------------------------------------------------------- */

static bool fde_range(uintptr_t fde, uintptr_t lo, uintptr_t hi, uintptr_t *ret_start, uintptr_t *ret_size);

/* Without a table that can be searched: one entry after the other, as far as a walk can wait. */
static uintptr_t find_fde_in_order(uintptr_t at, uintptr_t lo, uintptr_t hi, uintptr_t pc)
{
	for (unsigned i = 0; i < MAX_ENTRIES; i++) {
		uintptr_t start, size;
		uint64_t length;
		struct in in = { (const uint8_t *)at, (const uint8_t *)hi, 0, false };

		if (at < lo || at >= hi)
			return 0;
		length = in_fixed(&in, 4);
		if (length == UINT32_MAX)
			length = in_fixed(&in, 8);
		if (in.bad || length == 0 || length > (uint64_t)(in.end - in.at))
			return 0;
		if (fde_range(at, lo, hi, &start, &size) && pc >= start && pc - start < size)
			return at;
		at = (uintptr_t)in.at + length;
	}
	return 0;
}

/* Address of the FDE that may cover pc, by the header's sorted table; 0 if there is none. */
static uintptr_t find_fde(const uint8_t *hdr, uintptr_t lo, uintptr_t hi, uintptr_t pc)
{
	struct in in = { hdr, (const uint8_t *)hi, (uintptr_t)hdr, false };
	uint8_t version, frame_enc, count_enc, table_enc;
	uint64_t count, low = 0, high;
	const uint8_t *table;
	uintptr_t frames;

	if ((uintptr_t)hdr < lo || (uintptr_t)hdr >= hi)
		return 0;
	version = (uint8_t)in_fixed(&in, 1);
	frame_enc = (uint8_t)in_fixed(&in, 1);
	count_enc = (uint8_t)in_fixed(&in, 1);
	table_enc = (uint8_t)in_fixed(&in, 1);
	frames = in_encoded(&in, frame_enc); /* start of .eh_frame */
	count = in_encoded(&in, count_enc);
	if (in.bad || version != 1)
		return 0;
	/* GNU ld, gold and lld write exactly this table encoding, or none: pairs of 32-bit offsets from the header. */
	if (count_enc == PE_OMIT || table_enc != (PE_DATAREL | PE_SDATA4))
		return frame_enc == PE_OMIT ? 0 : find_fde_in_order(frames, lo, hi, pc);
	if (count == 0)
		return 0;
	table = in.at;
	if (count > (uint64_t)(in.end - table) / 8)
		return 0;
	high = count;
	while (high - low > 1) {
		uint64_t mid = low + (high - low) / 2;
		int32_t start;

		memcpy(&start, table + mid * 8, 4);
		if ((uintptr_t)hdr + (uintptr_t)(int64_t)start <= pc)
			low = mid;
		else
			high = mid;
	}
	{
		int32_t pair[2];

		memcpy(pair, table + low * 8, 8);
		if ((uintptr_t)hdr + (uintptr_t)(int64_t)pair[0] > pc)
			return 0;
		return (uintptr_t)hdr + (uintptr_t)(int64_t)pair[1];
	}
}

struct cie {
	uint64_t code_align;
	int64_t data_align;
	uint64_t ra_reg;
	uint8_t fde_enc;
	bool has_augmentation, is_signal;
	struct in program;
};

/* Opens the entry at `at`: its body, and the CIE pointer field, which has 4 bytes in entries of 64-bit length too (LSB 5.0
 * 10.6.1). False for terminators and broken entries. */
static bool entry_open(uintptr_t at, uintptr_t lo, uintptr_t hi, struct in *ret_body, uint32_t *ret_id,
                       uintptr_t *ret_id_at)
{
	struct in in = { (const uint8_t *)at, (const uint8_t *)hi, 0, false };
	uint64_t length;

	if (at < lo || at >= hi)
		return false;
	length = in_fixed(&in, 4);
	if (length == UINT32_MAX)
		length = in_fixed(&in, 8);
	else if (length >= 0xfffffff0u)
		return false;
	if (in.bad || length < 4 || length > (uint64_t)(in.end - in.at))
		return false;
	in.end = in.at + length;
	*ret_id_at = (uintptr_t)in.at;
	*ret_id = (uint32_t)in_fixed(&in, 4);
	*ret_body = in;
	return !in.bad;
}

static bool cie_parse(uintptr_t at, uintptr_t lo, uintptr_t hi, struct cie *ret_cie)
{
	const char *augmentation;
	uintptr_t id_at;
	uint32_t id;
	struct in in;
	uint8_t version;

	memset(ret_cie, 0, sizeof(*ret_cie));
	if (!entry_open(at, lo, hi, &in, &id, &id_at) || id != 0)
		return false;
	version = (uint8_t)in_fixed(&in, 1);
	augmentation = (const char *)in.at;
	while (in_fixed(&in, 1) != 0 && !in.bad)
		continue;
	if (in.bad || (version != 1 && version != 3))
		return false;
	ret_cie->code_align = in_uleb(&in);
	ret_cie->data_align = in_sleb(&in);
	ret_cie->ra_reg = version == 1 ? in_fixed(&in, 1) : in_uleb(&in);
	ret_cie->fde_enc = PE_ABSPTR;
	if (augmentation[0] == 'z') {
		uint64_t bytes = in_uleb(&in);
		const uint8_t *after;

		if (in.bad || bytes > (uint64_t)(in.end - in.at))
			return false;
		after = in.at + bytes;
		ret_cie->has_augmentation = true;
		for (const char *a = augmentation + 1; *a; a++) {
			if (*a == 'R')
				ret_cie->fde_enc = (uint8_t)in_fixed(&in, 1);
			else if (*a == 'P')
				(void)in_encoded(&in, (uint8_t)in_fixed(&in, 1) & 0x7f);
			else if (*a == 'L')
				(void)in_fixed(&in, 1);
			else if (*a == 'S')
				ret_cie->is_signal = true;
			else if (*a != 'B')
				return false;
		}
		in.at = after;
	} else if (augmentation[0]) {
		return false;
	}
	ret_cie->program = in;
	return !in.bad;
}

/* ---- running the program ------------------------------------------------------------------------------------------ */

enum where { WHERE_SAME, WHERE_CFA, WHERE_RBP_MEM, WHERE_REGISTER, WHERE_UNDEFINED, WHERE_OTHER };

struct place {
	uint8_t where; /* enum where */
	int64_t off;
};

enum cfa { CFA_NONE, CFA_REG, CFA_EXPRESSION };

/* Register and offset outlive an expression: libgcrypt returns to them by naming the register alone, and libgcc and
 * binutils take the offset that stood before. */
struct row {
	uint8_t cfa; /* enum cfa */
	uint64_t cfa_reg;
	int64_t cfa_off;
	struct {
		uint8_t kind, reg; /* of a rule; RULE_NONE: it cannot be said */
		int32_t off, add;
	} expression;
	struct place rbp, ra, sp, wanted; /* sp WHERE_SAME: it is the CFA */
};

struct machine {
	struct row row, initial, remembered[MAX_REMEMBERED];
	unsigned depth;
	uintptr_t loc;
	const struct cie *cie;
	unsigned wanted; /* one more register that is followed, or NO_REGISTER */
	bool unsupported;
};

enum {
	OP_DEREF = 0x06,
	OP_AND = 0x1a,
	OP_MUL = 0x1e,
	OP_PLUS = 0x22,
	OP_PLUS_UCONST = 0x23,
	OP_SHL = 0x24,
	OP_GE = 0x2a,
	OP_LIT0 = 0x30,
	OP_BREG0 = 0x70,
};

/* `kind` for numbers that fit, else RULE_NONE. */
static void keep_expression(struct row *row, enum rule_kind kind, unsigned reg, int64_t off, uint64_t add)
{
	if (off != (int32_t)off || add > INT32_MAX)
		return;
	row->expression.kind = (uint8_t)kind;
	row->expression.reg = (uint8_t)reg;
	row->expression.off = (int32_t)off;
	row->expression.add = (int32_t)add;
}

/* The CFA expressions that compilers and linkers emit; anything else is not supported. */
static void cfa_expression(struct row *row, const uint8_t *expr, size_t len)
{
	static const uint8_t plt[] = { OP_BREG0 + DW_SP, 8,     OP_BREG0 + 16, 0,      OP_LIT0 + 15, OP_AND,
		                       OP_LIT0 + 11,     OP_GE, OP_LIT0 + 3,   OP_SHL, OP_PLUS };
	struct in in = { expr, expr + len, 0, false };
	enum rule_kind kind = RULE_DEREF;
	uint64_t op, add = 0;
	unsigned reg;
	int64_t off;

	row->cfa = CFA_EXPRESSION;
	row->expression.kind = RULE_NONE;
	if (len == sizeof(plt) && memcmp(expr, plt, 6) == 0 && expr[7] == OP_GE && expr[8] == OP_LIT0 + 3 &&
	    expr[9] == OP_SHL && expr[10] == OP_PLUS && (expr[6] == OP_LIT0 + 11 || expr[6] == OP_LIT0 + 10)) {
		/* lit10: PLTs with an endbr64 are 10 bytes to the push */
		keep_expression(row, RULE_PLT, DW_SP, 8, (uint64_t)(expr[6] - OP_LIT0));
		return;
	}
	op = in_fixed(&in, 1);
	if (in.bad || op < OP_BREG0 || op >= OP_BREG0 + EXPRESSION_REGS)
		return;
	reg = (unsigned)(op - OP_BREG0);
	off = in_sleb(&in);
	if (in.bad)
		return;
	if (in.at == in.end) {
		keep_expression(row, RULE_REG, reg, off, 0);
		return;
	}
	op = in_fixed(&in, 1);
	if (reg == DW_SP && op >= OP_BREG0 &&
	    op < OP_BREG0 + EXPRESSION_REGS) { /* rsp + off; reg + 0; lit8; mul; plus; deref */
		reg = (unsigned)(op - OP_BREG0);
		if (in_sleb(&in) != 0 || in_fixed(&in, 1) != OP_LIT0 + 8 || in_fixed(&in, 1) != OP_MUL ||
		    in_fixed(&in, 1) != OP_PLUS)
			return;
		kind = RULE_INDEX;
		op = in_fixed(&in, 1);
	}
	if (op != OP_DEREF)
		return;
	if (in.at != in.end) {
		if (in_fixed(&in, 1) != OP_PLUS_UCONST)
			return;
		add = in_uleb(&in);
	}
	if (!in.bad && in.at == in.end)
		keep_expression(row, kind, reg, off, add);
}

static struct place *place_of(struct machine *m, uint64_t reg)
{
	if (reg == DW_FP)
		return &m->row.rbp;
	if (reg == m->cie->ra_reg)
		return &m->row.ra;
	if (reg == DW_SP)
		return &m->row.sp;
	if (reg == m->wanted)
		return &m->row.wanted;
	return NULL;
}

static void set_place(struct machine *m, uint64_t reg, enum where where, int64_t off)
{
	struct place *p = place_of(m, reg);

	if (p) {
		p->where = (uint8_t)where;
		p->off = off;
	}
}

/* "The register is saved at this expression": only rbp at rbp + off is known to occur for what is followed. */
static void place_expression(struct machine *m, uint64_t reg, const uint8_t *expr, size_t len)
{
	struct in in = { expr, expr + len, 0, false };
	uint64_t op = in_fixed(&in, 1);
	int64_t off = in_sleb(&in);

	if (!in.bad && in.at == in.end && op == OP_BREG0 + DW_FP)
		set_place(m, reg, WHERE_RBP_MEM, off);
	else
		set_place(m, reg, WHERE_OTHER, 0);
}

static void restore_place(struct machine *m, uint64_t reg)
{
	if (reg == DW_FP)
		m->row.rbp = m->initial.rbp;
	else if (reg == m->cie->ra_reg)
		m->row.ra = m->initial.ra;
	else if (reg == DW_SP)
		m->row.sp = m->initial.sp;
	else if (reg == m->wanted)
		m->row.wanted = m->initial.wanted;
}

/* An offset in units of the CIE's. */
static int64_t factored(struct machine *m, int64_t n)
{
	int64_t product;

	if (__builtin_mul_overflow(n, m->cie->data_align, &product)) {
		m->unsupported = true;
		return 0;
	}
	return product;
}

/* An expression's bytes, length first; NULL (and in->bad) if they are not all there. */
static const uint8_t *in_block(struct in *in, size_t *ret_len)
{
	uint64_t len = in_uleb(in);
	const uint8_t *at = in->at;

	if (in->bad || len > (uint64_t)(in->end - in->at)) {
		in->bad = true;
		return NULL;
	}
	in->at += len;
	*ret_len = (size_t)len;
	return at;
}

/* Opcodes whose operands are all in the low numbers; DWARF 5 table 7.29. Those that move the location or keep rows; false:
 * not one of them. */
static bool step_location(struct machine *m, struct in *in, uint8_t op)
{
	switch (op) {
	case 0x00: /* nop */
		break;
	case 0x01: /* set_loc */
		m->loc = in_encoded(in, m->cie->fde_enc);
		break;
	case 0x02: /* advance_loc1 */
		m->loc += in_fixed(in, 1) * m->cie->code_align;
		break;
	case 0x03: /* advance_loc2 */
		m->loc += in_fixed(in, 2) * m->cie->code_align;
		break;
	case 0x04: /* advance_loc4 */
		m->loc += in_fixed(in, 4) * m->cie->code_align;
		break;
	case 0x0a: /* remember_state */
		if (m->depth == MAX_REMEMBERED)
			m->unsupported = true;
		else
			m->remembered[m->depth++] = m->row;
		break;
	case 0x0b: /* restore_state */
		if (m->depth == 0)
			m->unsupported = true;
		else
			m->row = m->remembered[--m->depth];
		break;
	case 0x2d: /* AARCH64_negate_ra_state: the walk takes signatures off wherever they are (AADWARF64 4.5.1) */
		m->unsupported |= !ARCH_RA_IN_REGISTER;
		break;
	case 0x2e: /* GNU_args_size */
		(void)in_uleb(in);
		break;
	default:
		return false;
	}
	return true;
}

/* Those that say where the CFA is. */
static bool step_cfa(struct machine *m, struct in *in, uint8_t op)
{
	const uint8_t *expr;
	size_t len;

	switch (op) {
	case 0x0c: /* def_cfa */
		m->row.cfa = CFA_REG;
		m->row.cfa_reg = in_uleb(in);
		m->row.cfa_off = (int64_t)in_uleb(in);
		break;
	case 0x0d: /* def_cfa_register */
		m->row.cfa_reg = in_uleb(in);
		if (m->row.cfa == CFA_EXPRESSION)
			m->row.cfa = CFA_REG;
		break;
	case 0x0e: /* def_cfa_offset */
		m->row.cfa_off = (int64_t)in_uleb(in);
		break;
	case 0x0f: /* def_cfa_expression */
		expr = in_block(in, &len);
		if (expr)
			cfa_expression(&m->row, expr, len);
		break;
	case 0x12: /* def_cfa_sf */
		m->row.cfa = CFA_REG;
		m->row.cfa_reg = in_uleb(in);
		m->row.cfa_off = factored(m, in_sleb(in));
		break;
	case 0x13: /* def_cfa_offset_sf */
		m->row.cfa_off = factored(m, in_sleb(in));
		break;
	default:
		return false;
	}
	return true;
}

/* Those that say where a register is; every one begins with its number. */
static void step_place(struct machine *m, struct in *in, uint8_t op)
{
	uint64_t reg;
	const uint8_t *expr;
	size_t len;

	if (op > 0x16) {
		m->unsupported = true;
		return;
	}
	reg = in_uleb(in);
	switch (op) {
	case 0x05: /* offset_extended */
		set_place(m, reg, WHERE_CFA, factored(m, (int64_t)in_uleb(in)));
		break;
	case 0x06: /* restore_extended */
		restore_place(m, reg);
		break;
	case 0x07: /* undefined */
		set_place(m, reg, WHERE_UNDEFINED, 0);
		break;
	case 0x08: /* same_value */
		set_place(m, reg, WHERE_SAME, 0);
		break;
	case 0x10: /* expression */
	case 0x16: /* val_expression */
		expr = in_block(in, &len);
		if (expr && op == 0x10)
			place_expression(m, reg, expr, len);
		else if (expr)
			set_place(m, reg, WHERE_OTHER, 0);
		break;
	case 0x11: /* offset_extended_sf */
		set_place(m, reg, WHERE_CFA, factored(m, in_sleb(in)));
		break;
	case 0x09: /* register: moved to another register */
		set_place(m, reg, WHERE_REGISTER, (int64_t)in_uleb(in));
		break;
	case 0x14: /* val_offset: the stack pointer "is the CFA" */
	case 0x15: /* val_offset_sf */
		set_place(m, reg, in_uleb(in) == 0 && reg == DW_SP ? WHERE_SAME : WHERE_OTHER, 0);
		break;
	default:
		m->unsupported = true;
		break;
	}
}

static void step_extended(struct machine *m, struct in *in, uint8_t op)
{
	if (!step_location(m, in, op) && !step_cfa(m, in, op))
		step_place(m, in, op);
}

/* Runs instructions until the location passes `pc` or the program ends. */
static void run(struct machine *m, struct in *in, uintptr_t pc)
{
	for (unsigned steps = 0; in->at < in->end && !in->bad && !m->unsupported; steps++) {
		uint8_t op = (uint8_t)in_fixed(in, 1);

		if (steps == MAX_OPS) {
			m->unsupported = true;
			return;
		}
		switch (op >> 6) {
		case 1: /* advance_loc */
			m->loc += (op & 0x3f) * m->cie->code_align;
			break;
		case 2: /* offset */
			set_place(m, op & 0x3f, WHERE_CFA, factored(m, (int64_t)in_uleb(in)));
			break;
		case 3: /* restore */
			restore_place(m, op & 0x3f);
			break;
		default:
			step_extended(m, in, op);
			break;
		}
		if (m->loc > pc)
			return; /* the instruction only moved the location: the row before it is the answer */
	}
}

/* The caller's stack pointer is the CFA, but for the two that jump_rule() knows. */
static bool return_address_is_followed(const struct row *row)
{
	if (row->sp.where != WHERE_SAME)
		return false;
	if (!ARCH_RA_IN_REGISTER)
		return row->ra.where == WHERE_CFA && row->ra.off == -8;
	return row->ra.where == WHERE_SAME || (row->ra.where == WHERE_CFA && row->ra.off <= 8 && row->ra.off != 0 &&
	                                       row->ra.off % 8 == 0 && row->ra.off > INT32_MIN + 8);
}

/* Both are saved side by side: one offset, and from there to the other. */
static void add_return_address(struct rule *r, int32_t off)
{
	int64_t apart = (int64_t)off - r->rbp_off;

	/* apart 0 would say that it is in its register */
	if (r->rbp_kind != RBP_AT_CFA || apart == 0 || apart % 8 != 0 || apart < -(8 << (ADD_BITS - 1)) ||
	    apart >= 8 << (ADD_BITS - 1)) {
		if (r->rbp_kind != RBP_SAME)
			r->rbp_kind = RBP_UNKNOWN;
		r->rbp_off = off - 8;
		apart = 8;
	}
	r->add = (int32_t)(apart / 8);
}

static bool set_cfa(struct rule *r, const struct row *row)
{
	if (row->cfa == CFA_EXPRESSION) {
		if (row->expression.kind == RULE_NONE || (ARCH_RA_IN_REGISTER && row->expression.kind != RULE_REG))
			return false;
		r->kind = row->expression.kind;
		r->reg = row->expression.reg;
		r->off = row->expression.off;
		r->add = row->expression.add;
		return true;
	}
	if (row->cfa == CFA_NONE || row->cfa_reg >= EXPRESSION_REGS || row->cfa_off != (int32_t)row->cfa_off)
		return false;
	r->kind = RULE_REG;
	r->reg = (uint8_t)row->cfa_reg;
	r->off = (int32_t)row->cfa_off;
	return true;
}

static void add_frame_pointer(struct rule *r, const struct row *row)
{
	switch (row->rbp.where) {
	case WHERE_SAME:
		r->rbp_kind = RBP_SAME;
		break;
	case WHERE_CFA:
		r->rbp_kind = RBP_AT_CFA;
		break;
	case WHERE_RBP_MEM:
		r->rbp_kind = RBP_AT_RBP;
		break;
	default:
		r->rbp_kind = RBP_UNKNOWN;
		break;
	}
	r->rbp_off = (int32_t)row->rbp.off;
	if (r->rbp_off != row->rbp.off)
		r->rbp_kind = RBP_UNKNOWN;
}

/* Code that goes elsewhere, with the address in a register already: vfork, libgcc's throwing functions; longjmp, which has the
 * stack pointer in another; or in a ucontext, as setcontext. False: the row is none of these. */
static bool jump_rule(const struct row *row, struct rule *ret_rule)
{
	struct rule r = { .kind = RULE_REG, .rbp_kind = RBP_UNKNOWN };

	if (ARCH_RA_IN_REGISTER || row->cfa != CFA_REG || row->cfa_reg >= EXPRESSION_REGS)
		return false;
	r.reg = (uint8_t)row->cfa_reg;
	r.off = (int32_t)row->cfa_off;
	if (row->ra.where == WHERE_REGISTER && (uint64_t)row->ra.off < EXPRESSION_REGS) {
		r.add = RULE_IN_REGISTER((int32_t)row->ra.off);
		if (row->sp.where == WHERE_REGISTER && (uint64_t)row->sp.off < EXPRESSION_REGS) {
			r.reg = (uint8_t)row->sp.off;
			r.off = 0;
			if (row->rbp.where == WHERE_SAME)
				r.rbp_kind = RBP_SAME;
		} else if (row->sp.where == WHERE_SAME && row->cfa_off == r.off) {
			add_frame_pointer(&r, row);
		} else {
			return false;
		}
		if (r.rbp_kind == RBP_AT_RBP)
			r.rbp_kind = RBP_UNKNOWN;
		if (row->rbp.where == WHERE_REGISTER && (uint64_t)row->rbp.off < EXPRESSION_REGS) {
			r.rbp_kind = RBP_AT_RBP;
			r.rbp_off = (int32_t)row->rbp.off * 8;
		}
	} else if (row->ra.where == WHERE_CFA && row->ra.off == (int64_t)ARCH_CONTEXT_PC &&
	           row->sp.where == WHERE_CFA && row->sp.off == (int64_t)ARCH_CONTEXT_SP &&
	           row->rbp.where == WHERE_CFA && row->rbp.off == (int64_t)ARCH_CONTEXT_FP && row->cfa_off == r.off &&
	           r.reg != DW_SP) {
		r.kind = RULE_SIGNAL;
	} else {
		return false;
	}
	*ret_rule = r;
	return true;
}

static struct rule rule_of(const struct machine *m)
{
	const struct row *row = &m->row;
	struct rule r = { .kind = RULE_NONE };

	if (m->cie->is_signal)
		return rule_signal();
	if (row->ra.where == WHERE_UNDEFINED) {
		r.kind = RULE_STOP;
		return r;
	}
	if (jump_rule(row, &r) || !return_address_is_followed(row) || !set_cfa(&r, row))
		return r;
	add_frame_pointer(&r, row);
	if (ARCH_RA_IN_REGISTER && row->ra.where == WHERE_CFA) {
		/* ld.so's lazy binding: the PLT has pushed two words before, which its tables leave to the caller. */
		int32_t pushed = row->ra.off == 8 ? 16 : 0;

		if (r.off > INT32_MAX - pushed || r.rbp_off < INT32_MIN + pushed)
			return (struct rule){ .kind = RULE_NONE };
		r.off += pushed;
		r.rbp_off -= pushed;
		add_return_address(&r, (int32_t)row->ra.off - pushed);
	}
	return r;
}

/* The FDE at `fde`, opened to its program. */
static bool fde_open(uintptr_t fde, uintptr_t lo, uintptr_t hi, struct cie *ret_cie, struct in *ret_in,
                     uintptr_t *ret_start, uintptr_t *ret_size)
{
	struct in in;
	uintptr_t id_at;
	uint32_t id;

	if (!fde || !entry_open(fde, lo, hi, &in, &id, &id_at) || id == 0)
		return false;
	if (!cie_parse(id_at - id, lo, hi, ret_cie))
		return false;
	*ret_start = in_encoded(&in, ret_cie->fde_enc);
	*ret_size = in_encoded(&in, ret_cie->fde_enc & PE_FORMAT);
	*ret_in = in;
	return !in.bad;
}

static bool fde_range(uintptr_t fde, uintptr_t lo, uintptr_t hi, uintptr_t *ret_start, uintptr_t *ret_size)
{
	struct cie cie;
	struct in in;

	return fde_open(fde, lo, hi, &cie, &in, ret_start, ret_size);
}

uintptr_t eh_frame_start(const uint8_t *hdr, uintptr_t lo, uintptr_t hi, uintptr_t pc)
{
	uintptr_t start, size;
	bool found = fde_range(find_fde(hdr, lo, hi, pc), lo, hi, &start, &size) && pc >= start && pc - start < size;

	return found ? start : 0;
}

bool eh_frame_covers(const uint8_t *hdr, uintptr_t lo, uintptr_t hi, uintptr_t pc)
{
	return eh_frame_start(hdr, lo, hi, pc) != 0;
}

/* The row for pc in m->row; m->cie is set to `cie`. */
static bool find_row(const uint8_t *hdr, uintptr_t lo, uintptr_t hi, uintptr_t pc, unsigned wanted, struct cie *cie,
                     struct machine *m)
{
	uintptr_t start, size;
	struct in in;

	if (!fde_open(find_fde(hdr, lo, hi, pc), lo, hi, cie, &in, &start, &size) || pc < start || pc - start >= size)
		return false;
	if (cie->has_augmentation) {
		uint64_t bytes = in_uleb(&in);

		if (in.bad || bytes > (uint64_t)(in.end - in.at))
			return false;
		in.at += bytes;
	}
	memset(m, 0, sizeof(*m));
	m->cie = cie;
	m->wanted = wanted;
	m->loc = start;
	m->row.ra.where = ARCH_RA_IN_REGISTER ? WHERE_SAME : WHERE_OTHER;
	run(m, &cie->program, UINTPTR_MAX);
	m->initial = m->row;
	m->loc = start;
	run(m, &in, pc);
	return !in.bad && !cie->program.bad && !m->unsupported;
}

struct rule eh_frame_rule(const uint8_t *hdr, uintptr_t lo, uintptr_t hi, uintptr_t pc)
{
	const struct rule none = { .kind = RULE_NONE };
	struct machine m;
	struct cie cie;

	return find_row(hdr, lo, hi, pc, NO_REGISTER, &cie, &m) ? rule_of(&m) : none;
}

struct saved eh_frame_saved(const uint8_t *hdr, uintptr_t lo, uintptr_t hi, uintptr_t pc, unsigned reg)
{
	struct saved s = { SAVED_UNKNOWN, 0 };
	struct machine m;
	struct cie cie;

	if (!find_row(hdr, lo, hi, pc, reg, &cie, &m))
		return s;
	if (m.row.wanted.where == WHERE_SAME)
		s.kind = SAVED_SAME;
	else if (m.row.wanted.where == WHERE_CFA)
		s = (struct saved){ SAVED_AT_CFA, m.row.wanted.off };
	return s;
}

/* ---- packing ------------------------------------------------------------------------------------------------------ */

uint64_t rule_pack(struct rule r)
{
	bool fp_fits = r.rbp_off % 8 == 0 && r.rbp_off >= -(8 << (FP_BITS - 1)) && r.rbp_off < 8 << (FP_BITS - 1);

	if (r.off < -(1 << (OFF_BITS - 1)) || r.off >= 1 << (OFF_BITS - 1) || r.add < -(1 << (ADD_BITS - 1)) ||
	    r.add >= 1 << (ADD_BITS - 1) || (ARCH_RA_IN_REGISTER && !fp_fits))
		return RULE_NONE;
	if (!fp_fits)
		r.rbp_kind = RBP_UNKNOWN;
	if (!ARCH_RA_IN_REGISTER && r.rbp_kind == RBP_UNKNOWN)
		r.rbp_off = 0;
	return (uint64_t)r.kind | (uint64_t)(r.reg & REG_MASK) << 3 | (uint64_t)r.rbp_kind << (3 + ARCH_RULE_REG_BITS) |
	       ((uint64_t)(uint32_t)r.off & ((1 << OFF_BITS) - 1)) << (33 - OFF_BITS) |
	       ((uint64_t)(uint32_t)(r.rbp_off / 8) & ((1 << FP_BITS) - 1)) << 33 |
	       ((uint64_t)(uint32_t)r.add & ((1 << ADD_BITS) - 1)) << (33 + FP_BITS);
}

struct rule rule_unpack(uint64_t bits)
{
	struct rule r;

	r.kind = bits & 7;
	r.reg = bits >> 3 & REG_MASK;
	r.rbp_kind = bits >> (3 + ARCH_RULE_REG_BITS) & 3;
	r.off = (int32_t)(uint32_t)(bits >> (33 - OFF_BITS) << (32 - OFF_BITS)) >> (32 - OFF_BITS);
	r.rbp_off = ((int32_t)(uint32_t)(bits >> 33 << (32 - FP_BITS)) >> (32 - FP_BITS)) * 8;
	r.add = (int32_t)(uint32_t)(bits >> (33 + FP_BITS) << (32 - ADD_BITS)) >> (32 - ADD_BITS);
	return r;
}
