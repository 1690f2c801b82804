/*
 * arch_x86_64.c - x86-64: what is not on the way of every capture. The contract is in arch.h.
 */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "arch.h"
#include "compiler.h"
#include "os_linux.h"

/* gregs in DWARF order. */
static const uint8_t order[DW_REGS] = { REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP, REG_R8,
	                                REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP };

void arch_registers(const ucontext_t *uc, uintptr_t regs[DW_REGS])
{
	for (unsigned i = 0; i < DW_REGS; i++)
		regs[i] = (uintptr_t)uc->uc_mcontext.gregs[order[i]];
}

void arch_set_register(ucontext_t *uc, unsigned reg, uintptr_t value)
{
	uc->uc_mcontext.gregs[order[reg]] = (greg_t)value;
}

NOINLINE void arch_registers_here(uintptr_t regs[DW_REGS])
{
	__asm__ volatile("movq %%rbx, 24(%0)\n\t"
	                 "movq %%rbp, 48(%0)\n\t"
	                 "movq %%rsp, 56(%0)\n\t"
	                 "movq %%r12, 96(%0)\n\t"
	                 "movq %%r13, 104(%0)\n\t"
	                 "movq %%r14, 112(%0)\n\t"
	                 "movq %%r15, 120(%0)\n\t"
	                 "leaq 0(%%rip), %%rax\n\t"
	                 "movq %%rax, 128(%0)"
	                 :
	                 : "r"(regs)
	                 : "rax", "memory");
}

bool arch_is_preserved(unsigned reg)
{
	return reg == DW_RBX || (reg >= 12 && reg <= 15);
}

/* call rel32, or ff /2 with any operand (Intel SDM volume 2, CALL). */
NO_SANITIZE bool arch_is_after_call(const uint8_t *p)
{
	if (p[-5] == 0xe8)
		return true;
	for (int len = 2; len <= 7; len++) {
		unsigned modrm = p[1 - len], mod = modrm >> 6, rm = modrm & 7;
		int need = 2;

		if (p[-len] != 0xff || (modrm >> 3 & 7) != 2)
			continue;
		if (mod != 3 && rm == 4)
			need++;
		if (mod == 1)
			need += 1;
		else if (mod == 2 || (mod == 0 && rm == 5) || (mod == 0 && rm == 4 && (p[2 - len] & 7) == 5))
			need += 4;
		if (need == len)
			return true;
	}
	return false;
}

NO_SANITIZE uintptr_t arch_call_target(const uint8_t *ra)
{
	int32_t rel;

	if (ra[-5] != 0xe8)
		return 0;
	memcpy(&rel, ra - 4, sizeof(rel));
	return (uintptr_t)ra + (uintptr_t)(intptr_t)rel;
}

/* How long an instruction is that only moves values between registers and memory, which compilers put between a function's
 * first pushes: mov, lea, xor, test with a ModRM byte (Intel SDM volume 2, 2.1.3 and 2.1.5), mov of a constant; perhaps with fs
 * or REX before it. 0: it is another one. */
static size_t move_bytes(const uint8_t *code, const uint8_t *end)
{
	const uint8_t *at = code;
	unsigned mod, rm;

	at += at < end && *at == 0x64;
	at += at < end && *at >= 0x40 && *at <= 0x4f;
	if (end - at >= 5 && at[0] >= 0xb8 && at[0] <= 0xbf)
		return (size_t)(at + 5 - code);
	if (end - at < 8 || (at[0] != 0x89 && at[0] != 0x8b && at[0] != 0x8d && at[0] != 0x31 && at[0] != 0x85))
		return 0;
	mod = at[1] >> 6;
	rm = at[1] & 7;
	at += 2;
	if (mod != 3 && rm == 4) {
		at += 1 + 4 * (mod == 0 && (*at & 7) == 5);
	} else if (mod == 0 && rm == 5) {
		at += 4;
	}
	return (size_t)(at + (mod == 1 ? 1 : mod == 2 ? 4 : 0) - code);
}

/* endbr64; push %rbp; mov %rsp, %rbp; pushes; sub $n, %rsp (Intel SDM volume 2). */
bool arch_frame_below(const uint8_t *code, size_t bytes, uintptr_t *ret_below)
{
	static const uint8_t landing[] = { 0xf3, 0x0f, 0x1e, 0xfa };
	static const uint8_t frame[] = { 0x55, 0x48, 0x89, 0xe5 }, frame_other[] = { 0x55, 0x48, 0x8b, 0xec };
	const uint8_t *at = code, *end = code + bytes;
	uint32_t room;
	size_t n;

	if (bytes >= sizeof(landing) && memcmp(at, landing, sizeof(landing)) == 0)
		at += sizeof(landing);
	if ((size_t)(end - at) < sizeof(frame) ||
	    (memcmp(at, frame, sizeof(frame)) != 0 && memcmp(at, frame_other, sizeof(frame)) != 0))
		return false;
	at += sizeof(frame);
	for (*ret_below = 0; end - at >= 7; at += n) {
		unsigned rex = *at == 0x41;

		if (at[rex] >= 0x50 && at[rex] <= 0x57) {
			*ret_below += 8;
			n = 1 + rex;
		} else if (at[0] == 0x48 && at[1] == 0x83 && at[2] == 0xec) {
			*ret_below += at[3];
			break;
		} else if (at[0] == 0x48 && at[1] == 0x81 && at[2] == 0xec) {
			memcpy(&room, at + 3, sizeof(room));
			*ret_below += room;
			break;
		} else {
			n = move_bytes(at, end);
			if (!n)
				break;
		}
	}
	return true;
}

/* mov $15, %rax; syscall */
bool arch_is_trampoline(const uint8_t *code)
{
	static const uint8_t sigreturn[ARCH_TRAMPOLINE_BYTES] = {
		0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05
	};

	return memcmp(code, sigreturn, sizeof(sigreturn)) == 0;
}

/* mov disp(%rdx), register: its length, else 0. */
static NO_SANITIZE unsigned load_by_rdx(const uint8_t *code)
{
	if ((code[0] != 0x48 && code[0] != 0x4c) || code[1] != 0x8b || (code[2] & 7) != 2)
		return 0;
	return code[2] >> 6 == 1 ? 4 : code[2] >> 6 == 2 ? 7 : 0;
}

/* Are so many bytes before and behind `pc`, which is readable, readable too? */
static bool around_is_readable(const uint8_t *pc, size_t bytes)
{
	uintptr_t in_page = (uintptr_t)pc & 4095;

	return (in_page >= bytes || os_readable(pc - bytes)) && (in_page + bytes < 4096 || os_readable(pc + bytes));
}

/* mov oRSP(%rdx), %rsp; such loads of the other registers, the last one of the address; push of that; more loads; xor; ret. */
NO_SANITIZE enum arch_switch arch_context_switch(const uint8_t *pc, unsigned *ret_base)
{
	enum { MOST_BYTES = 80 };
	static const uint8_t load_rsp[] = { 0x48, 0x8b, 0xa2, (uint8_t)ARCH_CONTEXT_SP, 0, 0, 0 };
	const uint8_t *at = pc - 1;
	enum arch_switch stage = ARCH_SWITCH_LOADS;
	unsigned bytes = 1;

	if ((*pc != 0x51 && *pc != 0xc3 && *pc != 0x31 && *pc != 0x48 && *pc != 0x4c) ||
	    !around_is_readable(pc, MOST_BYTES))
		return ARCH_SWITCH_NONE;
	while (at > pc - MOST_BYTES && memcmp(at, load_rsp, sizeof(load_rsp)) != 0)
		at--;
	*ret_base = DW_RDX;
	if (at == pc - MOST_BYTES)
		return ARCH_SWITCH_NONE;
	for (; at < pc && bytes; at += bytes) {
		bytes = load_by_rdx(at);
		if (!bytes && *at == 0x51 && stage == ARCH_SWITCH_LOADS) {
			stage = ARCH_SWITCH_PUSHED;
			bytes = 1;
		} else if (!bytes && at[0] == 0x31 && at[1] == 0xc0 && stage == ARCH_SWITCH_PUSHED) {
			bytes = 2;
		}
	}
	return at == pc ? stage : ARCH_SWITCH_NONE;
}

/* glibc's __start_context (2.36): mov %rbx, %rsp; mov (%rsp), %rdi; test %rdi, %rdi; je; call setcontext; mov; call exit; hlt. */
NO_SANITIZE bool arch_is_context_root(const uint8_t *pc)
{
	enum { BYTES = 26 };
	static const uint8_t begin[] = { 0x48, 0x89, 0xdc, 0x48, 0x8b, 0x3c, 0x24, 0x48, 0x85, 0xff, 0x74, 0x08, 0xe8 };

	if (!around_is_readable(pc, BYTES))
		return false;
	for (const uint8_t *at = pc; at > pc - BYTES; at--)
		if (*at == begin[0] && memcmp(at, begin, sizeof(begin)) == 0)
			return true;
	return false;
}

/* PLT entries have call frame information. */
int arch_stub_pushed(const uint8_t *pc)
{
	(void)pc;
	return -1;
}

/* System calls that SA_RESTART does not restart, or not once a timeout is set on the socket, and that have done nothing
 * yet when they answer EINTR. Numbers: arch/x86/entry/syscalls/syscall_64.tbl. */
static bool may_restart(uint32_t nr)
{
	static const uint16_t calls[] = {
		SYS_read,        SYS_write,        SYS_poll,       SYS_select,   SYS_nanosleep,       SYS_accept,
		SYS_accept4,     SYS_sendto,       SYS_sendmsg,    SYS_recvfrom, SYS_recvmsg,         SYS_msgrcv,
		SYS_msgsnd,      SYS_semop,        SYS_semtimedop, SYS_futex,    SYS_clock_nanosleep, SYS_epoll_wait,
		SYS_epoll_pwait, SYS_epoll_pwait2, SYS_pselect6,   SYS_ppoll,    SYS_rt_sigtimedwait, SYS_io_getevents,
		SYS_readv,       SYS_writev,       SYS_recvmmsg,   SYS_sendmmsg, SYS_rt_sigsuspend,   SYS_pause
	};

	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		if (calls[i] == nr)
			return true;
	return false;
}

/* The number of the call that ends at the end of `code`, as libc's wrappers make it: "mov $nr, %eax; syscall", b8 imm32 0f 05;
 * for read, whose number is 0, "xor %eax, %eax; syscall", 31 c0 0f 05. */
static bool call_number(const uint8_t code[7], uint32_t *ret_nr)
{
	if (code[5] != 0x0f || code[6] != 0x05)
		return false;
	if (code[0] == 0xb8)
		memcpy(ret_nr, code + 1, sizeof(*ret_nr));
	else if (code[3] == 0x31 && code[4] == 0xc0)
		*ret_nr = SYS_read;
	else
		return false;
	return true;
}

bool arch_interrupted_call(const ucontext_t *uc, long *ret_nr)
{
	const greg_t *regs = uc->uc_mcontext.gregs;
	const uint8_t *pc = (const uint8_t *)regs[REG_RIP];
	uint8_t code[7];
	uint32_t nr;

	if (regs[REG_RAX] != -EINTR || (uintptr_t)pc < 4096 || !os_readable(pc - 7) || !os_readable(pc - 1))
		return false;
	memcpy(code, pc - 7, sizeof(code));
	if (!call_number(code, &nr) || !may_restart(nr))
		return false;
	*ret_nr = (long)nr;
	return true;
}

void arch_call_again(ucontext_t *uc, long nr)
{
	uc->uc_mcontext.gregs[REG_RAX] = (greg_t)nr;
	uc->uc_mcontext.gregs[REG_RIP] -= 2;
}

/* clone(flags, stack, parent_tid, child_tid, tls): the child returns into its new stack, so it must not run C before
 * it has called fn(arg), nor after. */
long arch_clone(long flags, void *stack, void *thread_pointer)
{
	register void *r8 __asm__("r8") = thread_pointer;
	register long r10 __asm__("r10") = 0;
	long ret;

	__asm__ volatile("syscall\n\t"
	                 "test %%rax, %%rax\n\t"
	                 "jnz 1f\n\t"
	                 "xor %%ebp, %%ebp\n\t"
	                 "pop %%rax\n\t"
	                 "pop %%rdi\n\t"
	                 "call *%%rax\n\t"
	                 "xor %%edi, %%edi\n\t"
	                 "mov %[exit], %%eax\n\t"
	                 "syscall\n"
	                 "1:"
	                 : "=a"(ret)
	                 : "a"((long)SYS_clone), "D"(flags), "S"(stack), "d"(0L), "r"(r10),
	                   "r"(r8), [exit] "i"(SYS_exit)
	                 : "rcx", "r11", "memory", "cc");
	return ret;
}

/* Its own address, and the stack guard and pointer guard of the maker: glibc sysdeps/x86_64/nptl/tls.h. */
void arch_thread_header(uint8_t *tp)
{
	uintptr_t self = (uintptr_t)tp, guard;

	memcpy(tp, &self, 8);
	memcpy(tp + 0x10, &self, 8);
	__asm__("mov %%fs:0x28, %0" : "=r"(guard));
	memcpy(tp + 0x28, &guard, 8);
	__asm__("mov %%fs:0x30, %0" : "=r"(guard));
	memcpy(tp + 0x30, &guard, 8);
}

/* valgrind.h: the request RUNNING_ON_VALGRIND, 0x1001; instructions that do nothing on a processor. */
bool arch_under_valgrind(void)
{
	volatile uint64_t request[6] = { 0x1001, 0, 0, 0, 0, 0 };
	uint64_t result = 0;

	__asm__ volatile("rolq $3, %%rdi; rolq $13, %%rdi; rolq $61, %%rdi; rolq $51, %%rdi; xchgq %%rbx, %%rbx"
	                 : "+d"(result)
	                 : "a"(request)
	                 : "cc", "memory");
	return result != 0;
}
