/* Call frame information: .eh_frame_hdr and .eh_frame -> the rule that undoes one frame at one pc.
 * Sources    System V x86-64 psABI 3.6-3.7; AADWARF64; LSB 5.0 core, chapter "Exception Frames"; DWARF 5 section 6.4.
 * Context    [hook] and signal handlers: pure, bounded steps, reads only inside [lo, hi) of the module.
 * Errors     what cannot be expressed as a rule is RULE_NONE; nothing is guessed. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "arch.h"

enum rule_kind {
	RULE_NONE,  /* no information, or more than a rule can say */
	RULE_REG,   /* CFA = reg + off */
	RULE_DEREF, /* CFA = *(reg + off) + add */
	RULE_INDEX, /* CFA = *(rsp + off + reg * 8) + add: OpenSSL's Montgomery multiplication */
	RULE_PLT,   /* CFA = rsp + 8 + ((pc & 15) >= 11 ? 8 : 0): binutils' PLT entries */
	RULE_STOP,  /* the return address is undefined: outermost frame */
	RULE_SIGNAL, /* the caller's registers are in the ucontext at reg + off: of a signal trampoline, behind the stack pointer */
	RULE_FP, /* frame-pointer chain: the frame pointer leads to the caller's, and the return address after it */
};

enum rbp_kind {
	RBP_SAME,   /* "rbp": the frame pointer of whatever processor */
	RBP_AT_CFA, /* rbp = *(CFA + rbp_off) */
	RBP_AT_RBP, /* rbp = *(rbp + rbp_off): stacks realigned by GCC */
	RBP_UNKNOWN,
};

/* The return address is at CFA - 8 for every kind but STOP, SIGNAL and NONE; with ARCH_RA_IN_REGISTER it is at
 * CFA + rbp_off + 8 * add, and for add 0 in its register still, as in a leaf (DEREF, INDEX and PLT do not occur there). Without, a
 * REG whose add is not 0 has it in a register: code that is about to jump there. */
#define RULE_IN_REGISTER(reg) (1 + (reg))
/* ... its frame pointer may be in one, too: RBP_AT_RBP, in register rbp_off / 8. */
/* ... and with this one it is where it usually is, but is no return address: an instruction to go on at. */
enum { RULE_GO_ON = -1 };
struct rule {
	uint8_t kind;     /* enum rule_kind */
	uint8_t reg;      /* DWARF number of the CFA's base register */
	uint8_t rbp_kind; /* enum rbp_kind */
	int32_t off;      /* within +-2^(27 - ARCH_RULE_REG_BITS) */
	int32_t rbp_off;  /* multiple of 8 within +-2^(32 - ARCH_RULE_ADD_BITS) */
	int32_t add;      /* within +-2^(ARCH_RULE_ADD_BITS - 1) */
};

static inline struct rule rule_signal(void)
{
	return (struct rule){ .kind = RULE_SIGNAL, .reg = DW_SP, .off = (int32_t)ARCH_CONTEXT };
}

/* Rule for `pc` of the module whose PT_GNU_EH_FRAME segment starts at `hdr` and whose mapping is [lo, hi). */
struct rule eh_frame_rule(const uint8_t *hdr, uintptr_t lo, uintptr_t hi, uintptr_t pc);

/* Does an entry of the tables cover `pc`? */
bool eh_frame_covers(const uint8_t *hdr, uintptr_t lo, uintptr_t hi, uintptr_t pc);
/* Where the code of that entry begins, which is a function's first instruction or that of a part put elsewhere; 0: none does. */
uintptr_t eh_frame_start(const uint8_t *hdr, uintptr_t lo, uintptr_t hi, uintptr_t pc);

/* Where the caller's value of a register stands, for those few frames whose CFA is found by one that is neither the stack nor the frame
 * pointer. */
enum saved_kind { SAVED_SAME, SAVED_AT_CFA, SAVED_UNKNOWN };
struct saved {
	enum saved_kind kind;
	int64_t off; /* SAVED_AT_CFA: the register is *(CFA + off) */
};
struct saved eh_frame_saved(const uint8_t *hdr, uintptr_t lo, uintptr_t hi, uintptr_t pc, unsigned reg);

/* 63-bit packing, for the cache. A rule whose numbers do not fit packs as RULE_NONE. */
uint64_t rule_pack(struct rule r);
struct rule rule_unpack(uint64_t bits);
