/* x86-64: see arch.h. Sources: System V x86-64 psABI; Linux arch/x86. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

/* psABI figure 3.36 */
enum { DW_RDX = 1, DW_RBX = 3, DW_FP = 6, DW_SP = 7, DW_RA = 16, DW_PC = DW_RA, DW_REGS = 17 };

enum {
	ARCH_RULE_REG_BITS = 4,
	ARCH_RULE_ADD_BITS = 14,
	ARCH_RA_IN_REGISTER = 0,
	ARCH_RED_ZONE = 128, /* psABI 3.2.2 */
	ARCH_PAGE_MAX = 4096,
	ARCH_TLS_ABOVE = 0,
	ARCH_TRAMPOLINE_BYTES = 9,
	ARCH_CALL_BYTES = 8,
	ARCH_REGS_SP_WORD = 19,    /* of NT_PRSTATUS: struct user_regs_struct.rsp */
	ARCH_REGS_VECTORS = 0x202, /* NT_X86_XSTATE */
	ARCH_REGS_VECTORS_OLD = 2, /* NT_PRFPREG */
};

/* struct rt_sigframe, arch/x86/include/asm/sigframe.h: the return address is popped, the ucontext follows. */
#define ARCH_CONTEXT    ((uintptr_t)0)
#define ARCH_CONTEXT_PC offsetof(ucontext_t, uc_mcontext.gregs[REG_RIP])
#define ARCH_CONTEXT_SP offsetof(ucontext_t, uc_mcontext.gregs[REG_RSP])
#define ARCH_CONTEXT_FP offsetof(ucontext_t, uc_mcontext.gregs[REG_RBP])
#define ARCH_CONTEXT_RA ARCH_CONTEXT_PC

#define ARCH_RELOC_WORD R_X86_64_64
#define ARCH_RELOC_DATA R_X86_64_GLOB_DAT
#define ARCH_RELOC_CALL R_X86_64_JUMP_SLOT

/* Of libunwind's exported names. */
#define ARCH_LIBUNWIND "_ULx86_64_"

/* psABI appendix A.2.1 */
static inline long arch_call(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
	                 : "=a"(ret)
	                 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
	                 : "rcx", "r11", "memory");
	return ret;
}

static inline void arch_relax(void)
{
	__builtin_ia32_pause();
}

static inline uintptr_t arch_code_address(uintptr_t pc)
{
	return pc;
}

static inline const void *arch_data_address(const void *at)
{
	return at;
}

/* [0] the caller's rbp, [1] the return address: psABI figure 3.3 */
#define ARCH_HOOK_FRAME() __builtin_frame_address(0)

static inline uintptr_t arch_frame_sp(const void *frame)
{
	return (uintptr_t)((const uintptr_t *)frame + 2);
}
