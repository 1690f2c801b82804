/* made.c - see made.h. Valid by the letter of DWARF 5 6.4.2: libdw must have a row for each. No signal frames: what they say
 * eh_frame.c knows without reading it. */
#include "made.h"

#include <dwarf.h>
#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arch.h"
#include "compiler.h"
#include "poisson.h"

enum { FDES = 200, CODE = 0x1000000, CODE_EACH = 0x40000, ROOM = 1 << 18, HDR_AT = 0x200, MOST_DEPTH = 8 };

struct made {
	uint64_t random;
	uint8_t bytes[ROOM];
	size_t n;
	/* of the program that is being written */
	bool cfa_is_register;
	bool kept_is_register[MOST_DEPTH];
	unsigned depth, code_align;
	int data_align;
	uint64_t at, end; /* the location so far, and where the code ends */
};

static uint64_t pick(struct made *m, uint64_t n)
{
	return poisson_random(&m->random) % n;
}

static void put(struct made *m, uint64_t value, size_t bytes)
{
	if (m->n + bytes > ROOM)
		abort();
	memcpy(m->bytes + m->n, &value, bytes);
	m->n += bytes;
}

static void put_uleb(struct made *m, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		put(m, (value & 0x7f) | 0x80, 1);
	put(m, value, 1);
}

static void put_sleb(struct made *m, int64_t value)
{
	for (; value < -0x40 || value >= 0x40; value >>= 7)
		put(m, (uint64_t)(value & 0x7f) | 0x80, 1);
	put(m, (uint64_t)value & 0x7f, 1);
}

/* ---- expressions -------------------------------------------------------------------------------------------------- */

static void put_block(struct made *m, const uint8_t *bytes, size_t n)
{
	put_uleb(m, n);
	for (size_t i = 0; i < n; i++)
		put(m, bytes[i], 1);
}

static uint8_t small(struct made *m)
{
	return (uint8_t)(pick(m, 8) * 8); /* one byte, of either LEB128 */
}

static void put_cfa_expression(struct made *m)
{
	const uint8_t reg = (uint8_t)(DW_OP_breg0 + pick(m, 16)), sp = DW_OP_breg0 + DW_SP, one = small(m),
	              two = small(m), border = (uint8_t)(DW_OP_lit10 + pick(m, 2));
	const uint8_t plain[] = { reg, one }, deref[] = { reg, one, DW_OP_deref },
	              added[] = { reg, one, DW_OP_deref, DW_OP_plus_uconst, two },
	              indexed[] = { sp, one, reg, 0, DW_OP_lit8, DW_OP_mul, DW_OP_plus, DW_OP_deref, DW_OP_plus_uconst,
		                    two },
	              plt[] = { sp,     8,        DW_OP_breg16, 0,         DW_OP_lit15, DW_OP_and,
		                border, DW_OP_ge, DW_OP_lit3,   DW_OP_shl, DW_OP_plus },
	              other[] = { reg, one, DW_OP_deref, DW_OP_deref };
	static const uint8_t forms = 6;

	switch (pick(m, forms)) {
	case 0:
		put_block(m, plain, sizeof(plain));
		break;
	case 1:
		put_block(m, deref, sizeof(deref));
		break;
	case 2:
		put_block(m, added, sizeof(added));
		break;
	case 3:
		put_block(m, indexed, sizeof(indexed));
		break;
	case 4:
		put_block(m, plt, sizeof(plt));
		break;
	default:
		put_block(m, other, sizeof(other));
		break;
	}
}

/* None that comes to a place which another instruction could have said. */
static void put_place_expression(struct made *m, unsigned reg)
{
	const uint8_t by_fp[] = { DW_OP_breg0 + DW_FP, small(m) },
	              other[] = { DW_OP_breg3, small(m), DW_OP_deref, DW_OP_lit1, DW_OP_plus };

	if (reg == DW_FP && !ARCH_RA_IN_REGISTER && pick(m, 2))
		put_block(m, by_fp, sizeof(by_fp));
	else
		put_block(m, other, sizeof(other));
}

/* ---- instructions ------------------------------------------------------------------------------------------------- */

static void put_advance(struct made *m)
{
	static const uint64_t most[] = { 0x3f, 0xff, 0xffff, 0x1ffff };
	unsigned size = (unsigned)pick(m, ARRAY_LEN(most) + 1);
	uint64_t by = 1 + pick(m, most[size < ARRAY_LEN(most) ? size : 0]);

	if (m->at + by * m->code_align >= m->end)
		return;
	m->at += by * m->code_align;
	if (size == 0) {
		put(m, DW_CFA_advance_loc | by, 1);
	} else if (size == ARRAY_LEN(most)) {
		put(m, DW_CFA_set_loc, 1);
		put(m, m->at - (HDR_AT + m->n), 4); /* from its own place, as the CIE says of addresses */
	} else {
		put(m, (uint64_t)(DW_CFA_advance_loc1 + size - 1), 1);
		put(m, by, (size_t)1 << (size - 1));
	}
}

static uint64_t pick_offset(struct made *m)
{
	return pick(m, 10) ? pick(m, 40) * 8 : pick(m, 1 << 24) * 8;
}

static int64_t pick_factored(struct made *m)
{
	return (int64_t)pick_offset(m) / m->data_align;
}

static void put_cfa(struct made *m)
{
	static const uint8_t ops[] = { DW_CFA_def_cfa,          DW_CFA_def_cfa_sf,     DW_CFA_def_cfa_expression,
		                       DW_CFA_def_cfa_register, DW_CFA_def_cfa_offset, DW_CFA_def_cfa_offset_sf };
	uint8_t op = ops[pick(m, m->cfa_is_register ? 6 : 3)];

	put(m, op, 1);
	if (op == DW_CFA_def_cfa || op == DW_CFA_def_cfa_sf || op == DW_CFA_def_cfa_register)
		put_uleb(m, pick(m, 4) ? (pick(m, 2) ? DW_SP : DW_FP) : pick(m, 16));
	if (op == DW_CFA_def_cfa || op == DW_CFA_def_cfa_offset)
		put_uleb(m, pick_offset(m));
	if (op == DW_CFA_def_cfa_sf || op == DW_CFA_def_cfa_offset_sf)
		put_sleb(m, pick_factored(m));
	if (op == DW_CFA_def_cfa_expression)
		put_cfa_expression(m);
	m->cfa_is_register = op != DW_CFA_def_cfa_expression;
}

/* Mostly the frame pointer; now and then the return address, which few rules can follow. */
static unsigned pick_register(struct made *m)
{
	uint64_t of = pick(m, 32);

	return of < 2 ? DW_RA : of < 17 ? DW_FP : (unsigned)pick(m, 16);
}

static void put_place(struct made *m)
{
	static const uint8_t ops[] = {
		DW_CFA_offset,           DW_CFA_restore,        DW_CFA_offset_extended, DW_CFA_offset_extended_sf,
		DW_CFA_restore_extended, DW_CFA_undefined,      DW_CFA_register,        DW_CFA_same_value,
		DW_CFA_expression,       DW_CFA_val_expression, DW_CFA_val_offset,      DW_CFA_val_offset_sf,
	};
	uint8_t op = ops[pick(m, ARRAY_LEN(ops))];
	unsigned reg = pick_register(m);

	if (op == DW_CFA_offset || op == DW_CFA_restore) {
		put(m, op | reg, 1);
	} else {
		put(m, op, 1);
		put_uleb(m, reg);
	}
	if (op == DW_CFA_offset || op == DW_CFA_offset_extended || op == DW_CFA_val_offset)
		put_uleb(m, pick_offset(m) / 8);
	else if (op == DW_CFA_offset_extended_sf || op == DW_CFA_val_offset_sf)
		put_sleb(m, -pick_factored(m));
	else if (op == DW_CFA_register)
		put_uleb(m, pick(m, 16));
	else if (op == DW_CFA_expression || op == DW_CFA_val_expression)
		put_place_expression(m, reg);
}

static void put_state(struct made *m)
{
	if (pick(m, 2) && m->depth < MOST_DEPTH) {
		put(m, DW_CFA_remember_state, 1);
		m->kept_is_register[m->depth++] = m->cfa_is_register;
	} else if (m->depth > 0) {
		put(m, DW_CFA_restore_state, 1);
		m->cfa_is_register = m->kept_is_register[--m->depth];
	}
}

static void put_program(struct made *m)
{
	m->cfa_is_register = true;
	m->depth = 0;
	for (uint64_t i = 8 + pick(m, 40); i > 0; i--) {
		switch (pick(m, 10)) {
		case 0:
			put_state(m);
			break;
		case 1:
			put(m, DW_CFA_nop, 1);
			break;
		case 2:
			put(m, DW_CFA_GNU_args_size, 1);
			put_uleb(m, pick_offset(m));
			break;
		case 3:
		case 4:
		case 5:
			put_place(m);
			break;
		case 6:
		case 7:
			put_cfa(m);
			break;
		default:
			put_advance(m);
			break;
		}
	}
}

/* ---- entries and the file ----------------------------------------------------------------------------------------- */

/* Fills in the length of the entry that began at `from`. */
static void close_entry(struct made *m, size_t from)
{
	uint32_t length;

	while ((m->n - from) % 8 != 4)
		put(m, DW_CFA_nop, 1);
	length = (uint32_t)(m->n - from - 4);
	memcpy(m->bytes + from, &length, 4);
}

static size_t put_cie(struct made *m)
{
	size_t from = m->n;

	m->code_align = pick(m, 2) ? 1 : 4;
	m->data_align = -8;
	put(m, 0, 8); /* length, and that it is a CIE */
	put(m, pick(m, 2) ? 1 : 3, 1);
	if (pick(m, 4)) /* B: of code whose return addresses are signed with the other key, aarch64 */
		put(m, 'z' | 'R' << 8, 3);
	else
		put(m, 'z' | 'R' << 8 | 'B' << 16, 4);
	put_uleb(m, m->code_align);
	put_sleb(m, m->data_align);
	put(m, DW_RA, 1);
	put_uleb(m, 1);
	put(m, 0x1b, 1); /* addresses: 4 bytes, from their own place */
	put(m, DW_CFA_def_cfa, 1);
	put_uleb(m, DW_SP);
	put_uleb(m, ARCH_RA_IN_REGISTER ? 0 : 8);
	if (!ARCH_RA_IN_REGISTER) {
		put(m, DW_CFA_offset | DW_RA, 1);
		put_uleb(m, 1);
	}
	close_entry(m, from);
	return from;
}

static void put_fde(struct made *m, size_t cie, uint64_t code)
{
	size_t from = m->n;
	uint64_t size = 16 + pick(m, pick(m, 4) ? 0x800 : CODE_EACH - 16);

	put(m, 0, 4);
	put(m, m->n - cie, 4);
	put(m, code - (HDR_AT + m->n), 4);
	put(m, size, 4);
	put(m, 0, 1); /* no augmentation data */
	m->at = code;
	m->end = code + size;
	put_program(m);
	close_entry(m, from);
}

/* .eh_frame_hdr and .eh_frame: bytes[0] is at HDR_AT of the file and of memory. */
static size_t put_tables(struct made *m)
{
	const size_t header = 12 + FDES * 8;
	size_t cie = 0;

	m->n = header;
	for (unsigned i = 0; i < FDES; i++) {
		uint64_t code = CODE + (uint64_t)i * CODE_EACH;
		uint32_t pair[2];

		if (i % 8 == 0)
			cie = put_cie(m);
		pair[0] = (uint32_t)(code - HDR_AT);
		pair[1] = (uint32_t)m->n;
		memcpy(m->bytes + 12 + (size_t)i * 8, pair, sizeof(pair));
		put_fde(m, cie, code);
	}
	put(m, 0, 4); /* the end */
	{
		const uint32_t words[] = { 0x3b031b01, (uint32_t)header - 4, FDES };

		memcpy(m->bytes, words, sizeof(words));
	}
	return header;
}

static bool write_file(int fd, const struct made *m, size_t header)
{
	static const char names[] = "\0.eh_frame\0.shstrtab";
	const uint64_t names_at = HDR_AT + m->n, sections_at = (names_at + sizeof(names) + 7) & ~UINT64_C(7);
	const Elf64_Ehdr elf = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_DYN,
		.e_machine = ARCH_RA_IN_REGISTER ? EM_AARCH64 : EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_shoff = sections_at,
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 2,
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = 3,
		.e_shstrndx = 2,
	};
	const Elf64_Phdr segments[] = {
		{ .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_filesz = names_at, .p_memsz = CODE + FDES * CODE_EACH },
		{ .p_type = PT_GNU_EH_FRAME,
		  .p_offset = HDR_AT,
		  .p_vaddr = HDR_AT,
		  .p_filesz = header,
		  .p_memsz = header },
	};
	const Elf64_Shdr sections[] = {
		{ 0 },
		{ .sh_name = 1,
		  .sh_type = SHT_PROGBITS,
		  .sh_flags = SHF_ALLOC,
		  .sh_addr = HDR_AT + header,
		  .sh_offset = HDR_AT + header,
		  .sh_size = m->n - header },
		{ .sh_name = 11, .sh_type = SHT_STRTAB, .sh_offset = names_at, .sh_size = sizeof(names) },
	};

	_Static_assert(sizeof(elf) + sizeof(segments) <= HDR_AT, "the headers have room");
	return pwrite(fd, &elf, sizeof(elf), 0) == (ssize_t)sizeof(elf) &&
	       pwrite(fd, segments, sizeof(segments), sizeof(elf)) == (ssize_t)sizeof(segments) &&
	       pwrite(fd, m->bytes, m->n, HDR_AT) == (ssize_t)m->n &&
	       pwrite(fd, names, sizeof(names), (off_t)names_at) == (ssize_t)sizeof(names) &&
	       pwrite(fd, sections, sizeof(sections), (off_t)sections_at) == (ssize_t)sizeof(sections);
}

int made_file(uint64_t seed)
{
	struct made *m = calloc(1, sizeof(*m));
	int fd = memfd_create("made", MFD_CLOEXEC);

	if (!m || fd < 0)
		abort();
	m->random = seed;
	if (!write_file(fd, m, put_tables(m)))
		abort();
	free(m);
	return fd;
}
