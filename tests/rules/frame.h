/* What a rule finds, in numbers: with every register and every word of memory given a value, where the caller's frame, return
 * address and frame pointer are. So rules are compared by their effect, in whatever form they are written. Tests. */
#pragma once
#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "arch.h"
#include "eh_frame.h"

/* Registers at random, the program counter but for that; memory by a function of the address. */
struct state {
	uint64_t seed;
	uint64_t regs[DW_REGS];
};
struct state state_at(uint64_t seed, uint64_t pc);

enum place_kind {
	PLACE_UNKNOWN,   /* a rule does not say */
	PLACE_SAME,      /* the callee's value */
	PLACE_MEMORY,    /* at that address */
	PLACE_VALUE,     /* it is that number */
	PLACE_REGISTER,  /* in that register */
	PLACE_UNDEFINED, /* lost */
};
struct place {
	enum place_kind kind;
	uint64_t at;
};

struct frame {
	bool signal, cfa_known;
	bool sp_apart; /* the caller's stack pointer is not the CFA */
	uint64_t cfa;  /* or the caller's stack pointer, if that is said to be another */
	struct place ra, fp;
};

/* By a rule of eh_frame.c, as unwind_step.c applies it. */
struct frame frame_by_rule(struct rule r, const struct state *s);

/* By libdw. Negative: it says what the scan does not understand. */
int frame_by_libdw(Dwarf_Frame *dwarf, const struct state *s, struct frame *ret_frame);
/* The same for one register. */
int place_by_libdw(Dwarf_Frame *dwarf, const struct state *s, unsigned reg, struct place *ret_place);

/* Of two frames: NULL if the first says of the second what is so, and no more; else what it gets wrong. */
const char *frame_contradicts(const struct frame *ours, const struct frame *truth);
/* Of libdw's CFA: does it accept it at all; is it no expression? */
bool frame_is_valid(Dwarf_Frame *dwarf);
bool frame_is_register_and_offset(Dwarf_Frame *dwarf);
