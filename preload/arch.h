/* What differs between processors, and nothing else does: registers, calls of the kernel, frames. One header and one source
 * file a processor, arch_*.h and arch_*.c; what is inline there is on the way of every capture. Each header defines:
 *   DW_FP, DW_SP, DW_RA, DW_PC, DW_REGS   DWARF numbers: frame pointer, stack pointer, the column of the return address, the
 *                           program counter, and how many words a set of registers has
 *   ARCH_RULE_REG_BITS, ARCH_RULE_ADD_BITS   of a packed rule (eh_frame.c): hold every register that a CFA is found by, and what
 *                           is added
 *   ARCH_RA_IN_REGISTER     a call leaves its return address in a register, and the callee puts it where it likes; else it is
 *                           at CFA - 8
 *   ARCH_RED_ZONE           bytes below the stack pointer that a signal leaves alone
 *   ARCH_PAGE_MAX           the largest page the kernel may have
 *   ARCH_TLS_ABOVE          thread-local variables stand above the thread pointer, libc's own block below it; else the reverse
 *   ARCH_CONTEXT, ARCH_CONTEXT_PC, _SP, _FP, _RA   of a signal frame: the ucontext behind the stack pointer of the trampoline,
 *                           the registers in the ucontext
 *   ARCH_TRAMPOLINE_BYTES, ARCH_CALL_BYTES   how much code arch_is_trampoline() and arch_is_after_call() look at
 *   ARCH_RELOC_WORD, ARCH_RELOC_DATA, ARCH_RELOC_CALL   relocations (elf.h) by a symbol's address: a word anywhere, one that
 *                           code reads, one that a call goes through
 *   ARCH_HOOK_FRAME()       what a hook hands on of its own frame
 * Context    [hook] and signal handlers. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

#if defined(__x86_64__)
#include "arch_x86_64.h"
#elif defined(__aarch64__)
#include "arch_aarch64.h"
#else
#error "perfprobe's library is written for x86-64 and aarch64"
#endif

/* A system call: its result or -errno. */
static inline long arch_call(long nr, long a, long b, long c, long d, long e, long f);
/* In a loop that waits for another processor. */
static inline void arch_relax(void);
/* An address without what the processor may keep in its upper bits: of code, the signature of a return address; of data, a tag. */
static inline uintptr_t arch_code_address(uintptr_t pc);
static inline const void *arch_data_address(const void *at);
/* Of what ARCH_HOOK_FRAME() gave: the caller's return address, its frame pointer, its stack pointer. */
static inline uintptr_t arch_frame_pc(const void *frame)
{
	return ((const uintptr_t *)frame)[1];
}

static inline uintptr_t arch_frame_fp(const void *frame)
{
	return ((const uintptr_t *)frame)[0];
}

static inline uintptr_t arch_frame_sp(const void *frame);

/* All registers of an interrupted thread, by DWARF number. */
void arch_registers(const ucontext_t *uc, uintptr_t regs[DW_REGS]);
void arch_set_register(ucontext_t *uc, unsigned reg, uintptr_t value);
/* Those of the running thread inside this function, as far as calls preserve them: they are followed from there outward. */
void arch_registers_here(uintptr_t regs[DW_REGS]);
bool arch_is_preserved(unsigned reg);

/* Does a call end at `ra`? ARCH_CALL_BYTES before it are read. */
bool arch_is_after_call(const uint8_t *ra);
/* Where the call that ends at `ra` goes, if the instruction says so; 0: it does not. ARCH_CALL_BYTES before it are read. */
uintptr_t arch_call_target(const uint8_t *ra);
/* Of a function that begins with `code`, and sets up a frame pointer: how far below it the stack pointer is in its body, in bytes.
 * False: its first instructions do not tell. Where it makes room as it goes on (alloca), it is further. */
bool arch_frame_below(const uint8_t *code, size_t bytes, uintptr_t *ret_below);
/* Is this the code that a signal handler returns to? ARCH_TRAMPOLINE_BYTES are read. */
bool arch_is_trampoline(const uint8_t *code);
/* Is the interrupted instruction one of swapcontext's or setcontext's, whose tables still tell of the old stack? `pc` is readable,
 * bytes around it are probed. */
enum arch_switch {
	ARCH_SWITCH_NONE,
	ARCH_SWITCH_LOADS, /* the other stack pointer is loaded; *ret_base is the register that holds the context's address */
	ARCH_SWITCH_PUSHED, /* the address to go on at is on the other stack, as if it were a return address */
};
enum arch_switch arch_context_switch(const uint8_t *pc, unsigned *ret_base);
/* Does the byte belong to the function that stands at the root of makecontext's stacks, whose tables tell of a caller? */
bool arch_is_context_root(const uint8_t *pc);
/* Is the interrupted instruction one of a stub of the linker's, which jumps on with the return address still in its register?
 * How many bytes it has pushed; -1: it is none. Every byte read is probed. */
int arch_stub_pushed(const uint8_t *pc);

/* Was a system call interrupted right before this, and may it be made again? Its number. arch_call_again() then has the
 * interrupted instruction executed once more. */
bool arch_interrupted_call(const ucontext_t *uc, long *ret_nr);
void arch_call_again(ucontext_t *uc, long nr);

/* A thread: clone(2) with `flags`, whose child takes fn and arg from `stack`, in this order, calls, and exits. The tid or -errno.
 * arch_thread_header() puts at a new thread pointer what compiled code expects there. */
long arch_clone(long flags, void *stack, void *thread_pointer);
void arch_thread_header(uint8_t *thread_pointer);

bool arch_under_valgrind(void);
