/* Tests of eh_frame.c: packing; rules of this very program against what the processor knows; spoiled tables. */
#include "t.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>

#include "eh_frame.h"
#include "poisson.h"

static void packing_round_trip(void **state)
{
	(void)state;
	for (uint8_t kind = RULE_NONE; kind <= RULE_FP; kind++) {
		for (uint8_t rbp = RBP_SAME; rbp <= RBP_UNKNOWN; rbp++) {
			for (int32_t off = -(1 << 21); off <= 1 << 21; off += 1 << 17) {
				struct rule r = { .kind = kind,
					          .reg = DW_FP,
					          .rbp_kind = rbp,
					          .off = off,
					          .rbp_off = off / 128 * 8,
					          .add = off / (1 << 21) * (1 << (ARCH_RULE_ADD_BITS - 2)) };
				struct rule back = rule_unpack(rule_pack(r));

				assert_int_equal(rule_pack(r) >> 63, 0);
				assert_int_equal(back.kind, kind);
				assert_int_equal(back.reg, r.reg);
				assert_int_equal(back.rbp_kind, rbp);
				assert_int_equal(back.off, off);
				assert_int_equal(back.rbp_off,
				                 rbp == RBP_UNKNOWN && !ARCH_RA_IN_REGISTER ? 0 : r.rbp_off);
				assert_int_equal(back.add, r.add);
			}
		}
	}
}

/* What a rule cannot say in its bits must not come back as something else. */
static void too_large_packs_as_none(void **state)
{
	static const struct rule rows[] = {
		{ .kind = RULE_REG, .reg = DW_SP, .off = INT32_MAX },
		{ .kind = RULE_REG, .reg = DW_SP, .off = INT32_MIN },
		{ .kind = RULE_DEREF, .reg = DW_FP, .off = -8, .add = 1 << 20 },
	};
	static const struct rule far_rbp = {
		.kind = RULE_REG, .reg = DW_SP, .rbp_kind = RBP_AT_CFA, .rbp_off = 1 << 24
	};
	static const struct rule odd_rbp = { .kind = RULE_REG, .reg = DW_SP, .rbp_kind = RBP_AT_CFA, .rbp_off = -12 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(rule_unpack(rule_pack(rows[i])).kind, RULE_NONE);
	if (ARCH_RA_IN_REGISTER) { /* the return address is found by the same offset */
		assert_int_equal(rule_unpack(rule_pack(odd_rbp)).kind, RULE_NONE);
		return;
	}
	/* The CFA is known and rbp is not: the walk goes on as far as it does not need rbp. */
	assert_int_equal(rule_unpack(rule_pack(far_rbp)).kind, RULE_REG);
	assert_int_equal(rule_unpack(rule_pack(far_rbp)).rbp_kind, RBP_UNKNOWN);
	assert_int_equal(rule_unpack(rule_pack(odd_rbp)).rbp_kind, RBP_UNKNOWN);
}

#if defined(__x86_64__)

/* Inside a function with a frame of its own: the rule for the next instruction must give the CFA the compiler knows. */
static NOINLINE void check_here(int depth, volatile char *room)
{
	volatile char mine[64];
	struct dl_find_object found;
	uintptr_t pc, rsp, rbp, cfa = (uintptr_t)__builtin_dwarf_cfa(), base;
	struct rule r;

	mine[0] = room[0];
	__asm__ volatile("lea 0(%%rip), %0; mov %%rsp, %1; mov %%rbp, %2" : "=r"(pc), "=r"(rsp), "=r"(rbp));
	assert_int_equal(_dl_find_object((void *)pc, &found), 0);
	r = eh_frame_rule(found.dlfo_eh_frame, (uintptr_t)found.dlfo_map_start, (uintptr_t)found.dlfo_map_end, pc);
	assert_int_equal(r.kind, RULE_REG);
	assert_true(r.reg == DW_SP || r.reg == DW_FP);
	base = r.reg == DW_SP ? rsp : rbp;
	assert_true(base + (uintptr_t)(intptr_t)r.off == cfa);
	assert_true(*(uintptr_t *)(cfa - 8) == (uintptr_t)__builtin_return_address(0));
	if (depth > 0)
		check_here(depth - 1, mine);
	__asm__ volatile("" : : "r"(mine) : "memory");
}

static void rule_gives_the_cfa(void **state)
{
	volatile char room[8] = { 0 };

	(void)state;
	check_here(3, room);
}

#endif

/* One loaded module, copied to memory of its own. Everything in the tables is relative, so the copy answers alike. */
struct copy {
	uint8_t *data;
	size_t size, hdr, hdr_size;
	uintptr_t lo;
	size_t code_lo, code_hi;
};

static int copy_module(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct copy *c = arg;
	const char *name = info->dlpi_name ? info->dlpi_name : "";

	(void)size;
	if (!strstr(name, "libc.so"))
		return 0;
	c->lo = (uintptr_t)info->dlpi_addr;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && p->p_vaddr + p->p_memsz > c->size)
			c->size = p->p_vaddr + p->p_memsz;
		if (p->p_type == PT_GNU_EH_FRAME) {
			c->hdr = p->p_vaddr;
			c->hdr_size = p->p_memsz;
		}
		if (p->p_type == PT_LOAD && (p->p_flags & PF_X)) {
			c->code_lo = p->p_vaddr;
			c->code_hi = p->p_vaddr + p->p_filesz;
		}
	}
	c->data = mmap(NULL, c->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(c->data != MAP_FAILED);
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && (p->p_flags & PF_R) && !(p->p_flags & PF_W))
			memcpy(c->data + p->p_vaddr, (const void *)(c->lo + p->p_vaddr), p->p_filesz);
	}
	return 1;
}

static struct rule rule_in(const struct copy *c, size_t offset)
{
	uintptr_t lo = (uintptr_t)c->data;

	return eh_frame_rule(c->data + c->hdr, lo, lo + c->size, lo + offset);
}

/* A known function of libc starts with CFA = rsp + 8, wherever the module stands; most of its code has a rule. */
static void libc_copy_answers_as_libc_does(void **state)
{
	struct copy c = { 0 };
	size_t with_rule = 0, covered = 0, all = 0;

	(void)state;
	assert_int_equal(dl_iterate_phdr(copy_module, &c), 1);
	for (size_t at = c.code_lo; at < c.code_hi; at += 997) {
		struct rule there = rule_in(&c, at);
		struct rule here = eh_frame_rule((const uint8_t *)(c.lo + c.hdr), c.lo, c.lo + c.size, c.lo + at);

		assert_true(rule_pack(there) == rule_pack(here));
		with_rule += there.kind != RULE_NONE;
		covered += eh_frame_covers(c.data + c.hdr, (uintptr_t)c.data, (uintptr_t)c.data + c.size,
		                           (uintptr_t)c.data + at);
		all++;
	}
	assert_true(covered * 2 > all); /* there may be constants among the code */
	assert_true(with_rule * 100 > covered * 98);
#if defined(__x86_64__)
	{
		struct rule r = rule_in(&c, (uintptr_t)dlsym(RTLD_DEFAULT, "lsearch") - c.lo);

		assert_true(r.kind == RULE_REG && r.reg == DW_SP && r.off == 8);
	}
#endif
	assert_int_equal(rule_in(&c, 0).kind, RULE_NONE);
	assert_int_equal(rule_in(&c, c.size + 4096).kind, RULE_NONE);
	assert_int_equal(munmap(c.data, c.size), 0);
}

/* Bytes of the tables changed at random: any rule or none, but no read outside the module (its neighbours are not
 * mapped, or the sanitizer's) and no endless loop. */
static void spoiled_tables_do_no_harm(void **state)
{
	struct copy c = { 0 };
	uint64_t seed = 11;

	(void)state;
	assert_int_equal(dl_iterate_phdr(copy_module, &c), 1);
	for (int round = 0; round < 3000; round++) {
		/* .eh_frame follows its header in every linker's layout: spoil both */
		size_t at = c.hdr + poisson_random(&seed) % (c.hdr_size + 150000);
		uint8_t was;

		if (round % 4 == 0)
			at = c.hdr + poisson_random(&seed) % 12; /* the header's own encodings and pointers */
		if (at >= c.size)
			continue;
		was = c.data[at];
		c.data[at] = (uint8_t)poisson_random(&seed);
		for (int k = 0; k < 20; k++) {
			size_t code = c.code_lo + poisson_random(&seed) % (c.code_hi - c.code_lo);

			assert_true(rule_in(&c, code).kind <= RULE_FP);
		}
		if (round % 2)
			c.data[at] = was; /* else the damage adds up */
	}
	assert_int_equal(munmap(c.data, c.size), 0);
}

/* The module's end moved up to and into the tables: what would be read beyond it does not exist. */
static void cut_tables_do_no_harm(void **state)
{
	struct copy c = { 0 };
	uintptr_t lo;

	(void)state;
	assert_int_equal(dl_iterate_phdr(copy_module, &c), 1);
	lo = (uintptr_t)c.data;
	for (size_t end = c.hdr; end < c.hdr + 64; end++)
		assert_int_equal(eh_frame_rule(c.data + c.hdr, lo, lo + end, lo + c.code_lo + 1000).kind, RULE_NONE);
	for (size_t end = c.hdr + 64; end < c.size; end += 1013)
		assert_true(eh_frame_rule(c.data + c.hdr, lo, lo + end, lo + c.code_lo + 1000).kind <= RULE_FP);
	assert_int_equal(munmap(c.data, c.size), 0);
}

/* ---- tables made here --------------------------------------------------------------------------------------------- */

struct made {
	uint8_t bytes[512];
	size_t n;
	bool wide; /* entries of 64-bit length */
};

static void put(struct made *m, const void *bytes, size_t n)
{
	memcpy(m->bytes + m->n, bytes, n);
	m->n += n;
}

static void put_entry(struct made *m, const uint8_t *body, size_t n)
{
	uint32_t narrow = m->wide ? UINT32_MAX : (uint32_t)n;
	uint64_t wide = n;

	put(m, &narrow, 4);
	if (m->wide)
		put(m, &wide, 8);
	put(m, body, n);
}

enum { MADE_CODE = 0x100000, MADE_SIZE = 0x40 };

/* A header without a table, a CIE, and two FDEs of which the second has `program`. */
static struct made make_tables(bool wide, const uint8_t *program, size_t program_len)
{
	/* version 1, .eh_frame absolute and 8 bytes long, no count, no table */
	static const uint8_t header[] = { 1, 0x04, 0xff, 0xff };
	/* id 0, version 1, no augmentation, code 1, data -8, return address; CFA = sp + 8, ra at CFA - 8 */
	static const uint8_t cie[] = { 0, 0, 0, 0, 1, 0, 1, 0x78, DW_RA, 0x0c, DW_SP, 8, 0x80 | DW_RA, 1, 0, 0 };
	struct made m = { .wide = wide };
	uint64_t start, size = MADE_SIZE;
	size_t cie_at;

	put(&m, header, sizeof(header));
	m.n += 8; /* the address of the first entry: known when the bytes have their place */
	cie_at = m.n;
	put_entry(&m, cie, sizeof(cie));
	for (unsigned i = 0; i < 2; i++) {
		uint8_t body[128] = { 0 };
		uint32_t back = (uint32_t)(m.n + (wide ? 12 : 4) - cie_at); /* from its own place to the CIE */

		start = MADE_CODE + (1 - i) * 0x1000;
		memcpy(body, &back, 4);
		memcpy(body + 4, &start, 8);
		memcpy(body + 12, &size, 8);
		if (i)
			memcpy(body + 20, program, program_len);
		put_entry(&m, body, 20 + (i ? program_len : 0));
	}
	m.n += 4; /* terminator */
	return m;
}

static void tables_without_an_index_and_wide_entries(void **state)
{
	static const uint8_t push_fp[] = { 0x44, 0x0e, 16, 0x80 | DW_FP, 2 }; /* 4 on: CFA = sp + 16, fp at CFA - 16 */

	(void)state;
	for (unsigned wide = 0; wide < 2; wide++) {
		struct made m = make_tables(wide, push_fp, sizeof(push_fp));
		struct t_guarded g = t_guarded_new(m.bytes, m.n);
		uintptr_t lo = (uintptr_t)g.data, hi = lo + g.len, first = lo + 12;
		struct rule r;

		memcpy(g.data + 4, &first, 8);
		r = eh_frame_rule(g.data, lo, hi, MADE_CODE + 3);
		assert_true(r.kind == RULE_REG && r.reg == DW_SP && r.off == 8 && r.rbp_kind == RBP_SAME);
		r = eh_frame_rule(g.data, lo, hi, MADE_CODE + 4);
		assert_true(r.kind == RULE_REG && r.off == 16 && r.rbp_kind == RBP_AT_CFA && r.rbp_off == -16);
		assert_int_equal(eh_frame_rule(g.data, lo, hi, MADE_CODE + 0x1000).kind, RULE_REG);
		assert_true(eh_frame_covers(g.data, lo, hi, MADE_CODE + MADE_SIZE - 1));
		assert_false(eh_frame_covers(g.data, lo, hi, MADE_CODE + MADE_SIZE));
		assert_int_equal(eh_frame_rule(g.data, lo, hi, MADE_CODE + MADE_SIZE).kind, RULE_NONE);
		t_guarded_free(&g);
	}
}

/* `at` bytes into the code. */
static struct rule rule_of_program(const uint8_t *program, size_t len, size_t at)
{
	struct made m = make_tables(false, program, len);
	struct t_guarded g = t_guarded_new(m.bytes, m.n);
	uintptr_t lo = (uintptr_t)g.data, first = lo + 12;
	struct rule r;

	memcpy(g.data + 4, &first, 8);
	r = eh_frame_rule(g.data, lo, lo + g.len, MADE_CODE + at);
	t_guarded_free(&g);
	return r;
}

/* libgcrypt goes back from an expression by naming the register only: the offset is the one from before. */
static void register_and_offset_outlive_an_expression(void **state)
{
	static const uint8_t program[] = {
		0x0e, 56,                                                    /* CFA = sp + 56 */
		0x41, 0x0f, 6,     0x70 + DW_SP, 0x98, 0x04, 0x06, 0x23, 56, /* 1: *(sp + 536) + 56 */
		0x41, 0x0e, 64,                                              /* 2: an offset, but of no register yet */
		0x41, 0x0d, DW_SP,                                           /* 3: sp + 64 */
		0x41, 0x0e, 48,                                              /* 4 */
	};
	static const int32_t off[] = { 56, 536, 536, 64, 48 };
	static const uint8_t without_offset[] = {
		0x0c, DW_SP, 16, 0x0f, 1, 0x96, 0x0d, DW_FP
	}; /* the expression is broken */

	(void)state;
	for (size_t at = 0; at < ARRAY_LEN(off); at++) {
		struct rule r = rule_of_program(program, sizeof(program), at);
		bool expression = at == 1 || at == 2;

		if (expression && ARCH_RA_IN_REGISTER) {
			assert_int_equal(r.kind, RULE_NONE);
			continue;
		}
		assert_int_equal(r.kind, expression ? RULE_DEREF : RULE_REG);
		assert_int_equal(r.reg, DW_SP);
		assert_int_equal(r.off, off[at]);
		if (!ARCH_RA_IN_REGISTER)
			assert_int_equal(r.add, expression ? 56 : 0);
	}
	assert_int_equal(rule_of_program(without_offset, sizeof(without_offset), 0).reg, DW_FP);
	assert_int_equal(rule_of_program(without_offset, sizeof(without_offset), 0).off, 16);
	assert_int_equal(rule_of_program(without_offset, sizeof(without_offset) - 2, 0).kind, RULE_NONE);
}

#if defined(__x86_64__)
static void other_registers_and_an_indexed_frame(void **state)
{
	/* rbx at CFA - 24; CFA = *(rsp + 8 + r9 * 8) + 8 */
	static const uint8_t program[] = { 0x83, 3, 0x0f, 9, 0x77, 8, 0x79, 0, 0x38, 0x1e, 0x22, 0x06, 0x23, 8 };
	struct rule r;
	struct saved saved;

	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		uint8_t p[sizeof(program)];
		struct made m;
		struct t_guarded g;
		uintptr_t lo, first;

		memcpy(p, program, sizeof(p));
		p[3] = sizeof(program) - 4;
		if (round)
			p[8] = 0x34; /* times 4: nothing that is known */
		m = make_tables(false, p, sizeof(p));
		g = t_guarded_new(m.bytes, m.n);
		lo = (uintptr_t)g.data;
		first = lo + 12;
		memcpy(g.data + 4, &first, 8);
		r = eh_frame_rule(g.data, lo, lo + g.len, MADE_CODE + 1);
		if (round) {
			assert_int_equal(r.kind, RULE_NONE);
			assert_true(eh_frame_covers(g.data, lo, lo + g.len, MADE_CODE + 1));
		} else {
			assert_true(r.kind == RULE_INDEX && r.reg == 9 && r.off == 8 && r.add == 8);
			assert_true(rule_pack(rule_unpack(rule_pack(r))) == rule_pack(r));
		}
		saved = eh_frame_saved(g.data, lo, lo + g.len, MADE_CODE + 1, DW_RBX);
		assert_true(saved.kind == SAVED_AT_CFA && saved.off == -24);
		assert_int_equal(eh_frame_saved(g.data, lo, lo + g.len, MADE_CODE + 1, 12).kind, SAVED_SAME);
		assert_int_equal(eh_frame_saved(g.data, lo, lo + g.len, MADE_CODE + MADE_SIZE, 12).kind, SAVED_UNKNOWN);
		t_guarded_free(&g);
	}
}
#elif defined(__aarch64__)
static void where_the_return_address_is(void **state)
{
	static const uint8_t in_register[] = { 0x08, 30 }; /* same value */
	static const uint8_t signed_too[] = {
		0x2d, 0x0e, 32, 0x9d, 4, 0x9e, 3
	};                                                            /* CFA = sp + 32, x29, x30 at its bottom */
	static const uint8_t alone[] = { 0x9e, 0xa0, 0x9c, 1 };       /* x30 at CFA - 8 * 20000, x29 untouched */
	static const uint8_t lazily[] = { 0x11, 30, 0x7f };           /* ld.so's binding: x30 at CFA + 8 */
	static const uint8_t one_place[] = { 0x9d, 4, 0x9e, 4 };      /* nonsense: x29 and x30 in the same word */
	static const uint8_t moved[] = { 0x09, 30, 9 };               /* in x9 */
	static const uint8_t computed[] = { 0x0f, 3, 0x8f, 0, 0x06 }; /* CFA = *(sp) */
	struct rule r;

	(void)state;
	r = rule_of_program(in_register, sizeof(in_register), 1);
	assert_true(r.kind == RULE_REG && r.reg == DW_SP && r.off == 8 && r.add == 0);
	r = rule_unpack(rule_pack(rule_of_program(signed_too, sizeof(signed_too), 1)));
	assert_true(r.kind == RULE_REG && r.reg == DW_SP && r.off == 32 && r.rbp_off == -32 && r.add == 1);
	r = rule_unpack(rule_pack(rule_of_program(lazily, sizeof(lazily), 1)));
	assert_true(r.kind == RULE_REG && r.off == 8 + 16 && r.rbp_kind == RBP_SAME && r.rbp_off + 8 * r.add == -8);
	r = rule_unpack(rule_pack(rule_of_program(one_place, sizeof(one_place), 1)));
	assert_true(r.kind == RULE_REG && r.rbp_kind == RBP_UNKNOWN && r.add != 0 && r.rbp_off + 8 * r.add == -32);
	assert_int_equal(rule_of_program(moved, sizeof(moved), 1).kind, RULE_NONE);
	assert_int_equal(rule_of_program(computed, sizeof(computed), 1).kind, RULE_NONE);
	r = rule_unpack(rule_pack(rule_of_program(alone, sizeof(alone), 1)));
	assert_true(r.kind == RULE_REG && r.rbp_kind == RBP_SAME && r.rbp_off + 8 * r.add == -8 * 20000);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packing_round_trip),
		cmocka_unit_test(too_large_packs_as_none),
#if defined(__x86_64__)
		cmocka_unit_test(rule_gives_the_cfa),
#endif
		cmocka_unit_test(libc_copy_answers_as_libc_does),
		cmocka_unit_test(spoiled_tables_do_no_harm),
		cmocka_unit_test(cut_tables_do_no_harm),
		cmocka_unit_test(tables_without_an_index_and_wide_entries),
		cmocka_unit_test(register_and_offset_outlive_an_expression),
#if defined(__x86_64__)
		cmocka_unit_test(other_registers_and_an_indexed_frame),
#elif defined(__aarch64__)
		cmocka_unit_test(where_the_return_address_is),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
