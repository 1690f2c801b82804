/*
 * arch_aarch64.c - aarch64: what is not on the way of every capture. The contract is in arch.h. Encodings: Arm Architecture
 * Reference Manual for A-profile, chapter C6; instructions are little-endian whatever the data is.
 */
#include <string.h>
#include <sys/syscall.h>

#include "arch.h"
#include "compiler.h"
#include "os_linux.h"

void arch_registers(const ucontext_t *uc, uintptr_t regs[DW_REGS])
{
	for (unsigned i = 0; i <= DW_RA; i++)
		regs[i] = uc->uc_mcontext.regs[i];
	regs[DW_SP] = uc->uc_mcontext.sp;
	regs[DW_PC] = uc->uc_mcontext.pc;
}

void arch_set_register(ucontext_t *uc, unsigned reg, uintptr_t value)
{
	if (reg <= DW_RA)
		uc->uc_mcontext.regs[reg] = value;
	else if (reg == DW_SP)
		uc->uc_mcontext.sp = value;
	else
		uc->uc_mcontext.pc = value;
}

NOINLINE void arch_registers_here(uintptr_t regs[DW_REGS])
{
	__asm__ volatile("stp x19, x20, [%0, #152]\n\t"
	                 "stp x21, x22, [%0, #168]\n\t"
	                 "stp x23, x24, [%0, #184]\n\t"
	                 "stp x25, x26, [%0, #200]\n\t"
	                 "stp x27, x28, [%0, #216]\n\t"
	                 "stp x29, x30, [%0, #232]\n\t"
	                 "mov x9, sp\n\t"
	                 "adr x10, .\n\t"
	                 "stp x9, x10, [%0, #248]"
	                 :
	                 : "r"(regs)
	                 : "x9", "x10", "memory");
}

bool arch_is_preserved(unsigned reg)
{
	return reg >= 19 && reg <= 28;
}

static NO_SANITIZE uint32_t instruction(const uint8_t *at)
{
	uint32_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

/* bl; blr, and those of its forms that check the pointer's signature. */
bool arch_is_after_call(const uint8_t *ra)
{
	uint32_t word = instruction(ra - 4);

	return (word & 0xfc000000) == 0x94000000 || (word & 0xfffffc1f) == 0xd63f0000 ||
	       (word & 0xfefff800) == 0xd63f0800;
}

/* bl: A64 C6.2, 26 bits of words. */
uintptr_t arch_call_target(const uint8_t *ra)
{
	uint32_t code;

	memcpy(&code, ra - 4, sizeof(code));
	if (code >> 26 != 0x25)
		return 0;
	return (uintptr_t)ra - 4 + (uintptr_t)((intptr_t)(int32_t)(code << 6) >> 4);
}

/* Compilers keep the stack pointer in the tables' rules (AAPCS64 frames are found by it): never needed. */
bool arch_frame_below(const uint8_t *code, size_t bytes, uintptr_t *ret_below)
{
	(void)code;
	(void)bytes;
	(void)ret_below;
	return false;
}

/* mov x8, #139; svc #0: the kernel's trampoline is in its vdso, without call frame information (arch/arm64/kernel/vdso/sigreturn.S
 * says why). */
bool arch_is_trampoline(const uint8_t *code)
{
	return instruction(code) == 0xd2801168 && instruction(code + 4) == 0xd4000001;
}

/* Of the PLT's entries, which have no call frame information: [bti c;] adrp x16; ldr x17, [x16]; add x16, x16; br x17 or
 * braa x17, x16. */
static bool is_of_stub(uint32_t word)
{
	return word == 0xd503245f || (word & 0x9f00001f) == 0x90000010 || (word & 0xffc003ff) == 0xf9400211 ||
	       (word & 0xffc003ff) == 0x91000210;
}

/* From anywhere inside an entry the branch follows. The first one has pushed x16 and x30 before: stp x16, x30, [sp, #-16]! */
/* glibc's swapcontext ends in setcontext, whose tables say no more than that the caller is out of reach. */
enum arch_switch arch_context_switch(const uint8_t *pc, unsigned *ret_base)
{
	(void)pc;
	(void)ret_base;
	return ARCH_SWITCH_NONE;
}

/* Its tables say that there is no caller. */
bool arch_is_context_root(const uint8_t *pc)
{
	(void)pc;
	return false;
}

int arch_stub_pushed(const uint8_t *pc)
{
	enum { ENTRY = 5 };
	const uint8_t *at = pc;
	uint32_t word = 0;

	for (unsigned i = 0; i < ENTRY; i++, at += 4) {
		if (!os_readable(at))
			return -1;
		word = instruction(at);
		if (!is_of_stub(word))
			break;
	}
	if (word != 0xd61f0220 && word != 0xd71f0a30)
		return -1;
	at = pc;
	for (unsigned i = 0; i < ENTRY && os_readable(at - 4); i++) {
		at -= 4;
		word = instruction(at);
		if (word == 0xa9bf7bf0)
			return 16;
		if (!is_of_stub(word))
			break;
	}
	return 0;
}

/* The call's first argument was in the register that the answer is in now: it cannot be made again. */
bool arch_interrupted_call(const ucontext_t *uc, long *ret_nr)
{
	(void)uc;
	(void)ret_nr;
	return false;
}

void arch_call_again(ucontext_t *uc, long nr)
{
	(void)uc;
	(void)nr;
}

/* clone(flags, stack, parent_tid, tls, child_tid) */
long arch_clone(long flags, void *stack, void *thread_pointer)
{
	register long x8 __asm__("x8") = SYS_clone;
	register long x0 __asm__("x0") = flags;
	register void *x1 __asm__("x1") = stack;
	register long x2 __asm__("x2") = 0;
	register void *x3 __asm__("x3") = thread_pointer;
	register long x4 __asm__("x4") = 0;

	__asm__ volatile("svc 0\n\t"
	                 "cbnz x0, 1f\n\t"
	                 "mov x29, xzr\n\t"
	                 "mov x30, xzr\n\t"
	                 "ldp x1, x0, [sp], #16\n\t"
	                 "blr x1\n\t"
	                 "mov x0, xzr\n\t"
	                 "mov x8, %[exit]\n\t"
	                 "svc 0\n"
	                 "1:"
	                 : "+r"(x0)
	                 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), [exit] "i"(SYS_exit)
	                 : "x30", "memory", "cc");
	return x0;
}

/* The stack guard is a global, and nothing else is read at the thread pointer but variables. */
void arch_thread_header(uint8_t *thread_pointer)
{
	(void)thread_pointer;
}

/* valgrind.h: the request RUNNING_ON_VALGRIND, 0x1001; rotations that add up to none. */
bool arch_under_valgrind(void)
{
	volatile uint64_t request[6] = { 0x1001, 0, 0, 0, 0, 0 };
	register volatile uint64_t *x4 __asm__("x4") = request;
	register uint64_t x3 __asm__("x3") = 0;

	__asm__ volatile("ror x12, x12, #3; ror x12, x12, #13; ror x12, x12, #51; ror x12, x12, #61; orr x10, x10, x10"
	                 : "+r"(x3)
	                 : "r"(x4)
	                 : "cc", "memory");
	return x3 != 0;
}
