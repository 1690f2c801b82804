/* Any bytes as a module's tables: nothing outside the module is read, every answer is one of the rules, and the three questions
 * are answered alike. Input: 4 bytes of choices, then either the module (whose header, with a table or without, stands at an
 * offset of choice), or the instructions of a CIE and an FDE around which a module is made: else few inputs would get so far. */
#undef NDEBUG
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "compiler.h"
#include "eh_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHOICES = 4, CODE = 0x10000, CODE_SIZE = 0x1000, MOST = 1 << 16 };

/* A heap block of its own, so that a sanitizer sees both ends. */
struct module {
	uint8_t *bytes;
	size_t size, hdr;
};

static void ask(const struct module *m, uintptr_t pc)
{
	uintptr_t lo = (uintptr_t)m->bytes, hi = lo + m->size;
	const uint8_t *hdr = m->bytes + m->hdr;
	struct rule r = eh_frame_rule(hdr, lo, hi, pc);
	bool covered = eh_frame_covers(hdr, lo, hi, pc);
	uint64_t packed = rule_pack(r);

	assert(r.kind <= RULE_SIGNAL && r.rbp_kind <= RBP_UNKNOWN && packed >> 63 == 0);
	assert(rule_pack(rule_unpack(packed)) == packed);
	assert(covered || r.kind == RULE_NONE);
	for (unsigned reg = 0; reg < DW_REGS; reg += 3) {
		struct saved saved = eh_frame_saved(hdr, lo, hi, pc, reg);

		assert(covered || saved.kind == SAVED_UNKNOWN);
	}
}

static void put(struct module *m, const void *bytes, size_t n)
{
	if (n)
		memcpy(m->bytes + m->size, bytes, n);
	m->size += n;
}

static void put_u32(struct module *m, uint32_t value)
{
	put(m, &value, 4);
}

/* Header with a table of one entry, CIE, FDE: all valid but the two programs. `split` divides the input between them. */
static void made_module(const uint8_t *data, size_t size, uint8_t split, uint8_t choices, struct module *m)
{
	static const uint8_t hdr[] = { 1, 0x1b, 0x03, 0x3b };
	const uint8_t version = choices & 1 ? 1 : 3,
	              augmentation[] = { 'z', choices & 2 ? 'S' : 'R', choices & 2 ? 'R' : 0, 0 },
	              data_align = choices & 4 ? 0x78 : 0x7c, fixed[] = { 1, data_align, DW_RA, 1, 0x1b };
	size_t of_cie = size < split ? size : split, of_fde = size - of_cie, augmentation_len = choices & 2 ? 4 : 3;
	const size_t cie_at = 20, cie_len = 5 + augmentation_len + sizeof(fixed) + of_cie,
	             fde_at = cie_at + 4 + cie_len;

	m->bytes = malloc(size + 128);
	assert(m->bytes);
	m->size = 0;
	put(m, hdr, sizeof(hdr));
	put_u32(m, (uint32_t)(cie_at - 4)); /* .eh_frame, from here */
	put_u32(m, 1);
	put_u32(m, CODE);
	put_u32(m, (uint32_t)fde_at);
	put_u32(m, (uint32_t)cie_len);
	put_u32(m, 0);
	put(m, &version, 1);
	put(m, augmentation, augmentation_len);
	put(m, fixed, sizeof(fixed));
	put(m, data, of_cie);
	put_u32(m, (uint32_t)(4 + 8 + 1 + of_fde));
	put_u32(m, (uint32_t)(fde_at + 4 - cie_at));
	put_u32(m, (uint32_t)(CODE - (fde_at + 8)));
	put_u32(m, CODE_SIZE);
	put(m, "", 1); /* no augmentation data */
	put(m, data + of_cie, of_fde);
	m->bytes = realloc(m->bytes, m->size);
	assert(m->bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct module m = { 0 };
	const uint8_t *rest = data + CHOICES;
	uint16_t where;
	uintptr_t base;

	if (size <= CHOICES || size > MOST)
		return 0;
	memcpy(&where, data + 2, 2);
	if (data[0] & 0x80) {
		made_module(rest, size - CHOICES, data[1], data[0], &m);
		base = (uintptr_t)m.bytes + CODE;
		assert(eh_frame_covers(m.bytes, (uintptr_t)m.bytes, (uintptr_t)m.bytes + m.size, base));
	} else {
		m.size = size - CHOICES;
		m.hdr = data[1] % m.size;
		m.bytes = malloc(m.size);
		assert(m.bytes);
		memcpy(m.bytes, rest, m.size);
		base = data[0] & 0x40 ? (uintptr_t)m.bytes : 0; /* or code at an absolute address */
	}
	ask(&m, base + where);
	ask(&m, base + where % CODE_SIZE);
	ask(&m, base);
	ask(&m, base - 1);
	ask(&m, UINTPTR_MAX - where);
	free(m.bytes);
	return 0;
}
