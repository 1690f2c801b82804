/* aarch64: see arch.h. Sources: AAPCS64 and DWARF for the Arm 64-bit Architecture (github.com/ARM-software/abi-aa); Linux
 * arch/arm64. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

/* AADWARF64 table 1. The return address is x30's; 32 is the program counter. */
enum { DW_FP = 29, DW_RA = 30, DW_SP = 31, DW_PC = 32, DW_REGS = 33 };

enum {
	ARCH_RULE_REG_BITS = 5,
	ARCH_RULE_ADD_BITS = 6,
	ARCH_RA_IN_REGISTER = 1,
	ARCH_RED_ZONE = 0,
	ARCH_PAGE_MAX = 64 << 10,
	ARCH_TLS_ABOVE = 1,
	ARCH_TRAMPOLINE_BYTES = 8,
	ARCH_CALL_BYTES = 4,
	ARCH_REGS_SP_WORD = 31,    /* of NT_PRSTATUS: struct user_pt_regs.sp */
	ARCH_REGS_VECTORS = 0x405, /* NT_ARM_SVE */
	ARCH_REGS_VECTORS_OLD = 2, /* NT_PRFPREG */
};

/* struct rt_sigframe, arch/arm64/kernel/signal.c: the siginfo_t, 128 bytes, then the ucontext. */
#define ARCH_CONTEXT    ((uintptr_t)128)
#define ARCH_CONTEXT_PC offsetof(ucontext_t, uc_mcontext.pc)
#define ARCH_CONTEXT_SP offsetof(ucontext_t, uc_mcontext.sp)
#define ARCH_CONTEXT_FP offsetof(ucontext_t, uc_mcontext.regs[DW_FP])
#define ARCH_CONTEXT_RA offsetof(ucontext_t, uc_mcontext.regs[DW_RA])

#define ARCH_RELOC_WORD R_AARCH64_ABS64
#define ARCH_RELOC_DATA R_AARCH64_GLOB_DAT
#define ARCH_RELOC_CALL R_AARCH64_JUMP_SLOT

/* Of libunwind's exported names. */
#define ARCH_LIBUNWIND "_ULaarch64_"

static inline long arch_call(long nr, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
}

static inline void arch_relax(void)
{
	__asm__ volatile("yield");
}

/* xpaclri, in the encoding that processors without signatures take for a nop: how many bits a signature has depends on
 * how large the kernel makes the address space. */
static inline uintptr_t arch_code_address(uintptr_t pc)
{
	register uintptr_t x30 __asm__("x30") = pc;

	__asm__("hint #7" : "+r"(x30));
	return x30;
}

/* The processor ignores the top byte of data addresses; memory tagging keeps its tags there. */
static inline const void *arch_data_address(const void *at)
{
	return (const void *)((uintptr_t)at & (UINTPTR_MAX >> 8));
}

/* Where a frame's record stands in it is the compiler's choice, so the caller's stack pointer cannot be told from it. */
#define ARCH_HOOK_FRAME()                                                                \
	((const uintptr_t[]){ *(const uintptr_t *)__builtin_frame_address(0),            \
	                      arch_code_address((uintptr_t)__builtin_return_address(0)), \
	                      (uintptr_t)__builtin_dwarf_cfa() })

static inline uintptr_t arch_frame_sp(const void *frame)
{
	return ((const uintptr_t *)frame)[2];
}
