/*
 * os_thread.c - a kernel thread that libc does not know.
 *
 * Its thread pointer leads to a block of its own: zeros where the libraries' thread-local variables would be (errno
 * among them), then a header with the words that compiled code reads through it: its own address, and the stack guard
 * and pointer guard of the maker (x86-64: offsets 0, 0x10, 0x28, 0x30 from %fs, glibc sysdeps/x86_64/nptl/tls.h; arm64
 * reads the guard from a global, and has nothing at the thread pointer but two words).
 */
#include <linux/sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>

#include "os_linux.h"

enum { STACK_BYTES = 256 << 10, TLS_BYTES = 128 << 10, HEADER_BYTES = 8 << 10, GUARD_BYTES = 4096 };

#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS)

/* What the new thread pops from its stack. */
struct first_words {
	void (*fn)(void *);
	void *arg;
};

#if defined(__x86_64__)
static void make_header(uint8_t *tp)
{
	uintptr_t self = (uintptr_t)tp, guard;

	memcpy(tp, &self, 8);
	memcpy(tp + 0x10, &self, 8);
	__asm__("mov %%fs:0x28, %0" : "=r"(guard));
	memcpy(tp + 0x28, &guard, 8);
	__asm__("mov %%fs:0x30, %0" : "=r"(guard));
	memcpy(tp + 0x30, &guard, 8);
}

/* clone(flags, stack, parent_tid, child_tid, tls): the child returns into its new stack, so it must not run C before
 * it has called fn(arg), nor after. */
static long clone_thread(void *stack, void *tls)
{
	register void *r8 __asm__("r8") = tls;
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
	                 : "a"((long)SYS_clone), "D"((long)THREAD_FLAGS), "S"(stack), "d"(0L), "r"(r10),
	                   "r"(r8), [exit] "i"(SYS_exit)
	                 : "rcx", "r11", "memory", "cc");
	return ret;
}
#elif defined(__aarch64__)
static void make_header(uint8_t *tp)
{
	(void)tp;
}

static long clone_thread(void *stack, void *tls)
{
	register long x8 __asm__("x8") = SYS_clone;
	register long x0 __asm__("x0") = THREAD_FLAGS;
	register void *x1 __asm__("x1") = stack;
	register long x2 __asm__("x2") = 0;
	register void *x3 __asm__("x3") = tls;
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
#endif

int os_thread_start(void (*fn)(void *), void *arg)
{
	static uint8_t *last_memory; /* of the thread made last; one caller at a time */
	static pid_t last_tid;
	size_t bytes = GUARD_BYTES + STACK_BYTES + TLS_BYTES + HEADER_BYTES;
	bool again = last_memory && os_kill_thread(os_pid(), last_tid, 0) < 0;
	uint8_t *memory = again ? last_memory : os_map(bytes), *tp;
	struct first_words *first;
	uint64_t all = ~UINT64_C(0), old = 0;
	long tid;

	if (!memory)
		return -1;
	(void)os_call(SYS_mprotect, (long)memory, GUARD_BYTES, 0 /* PROT_NONE */, 0, 0, 0);
	tp = memory + GUARD_BYTES + STACK_BYTES + TLS_BYTES;
	make_header(tp);
	/* 16-byte aligned before the call, as both ABIs want it: the two words are popped first. */
	first = (struct first_words *)(memory + GUARD_BYTES + STACK_BYTES) - 1;
	first->fn = fn;
	first->arg = arg;
	(void)os_call(SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, (long)&all, (long)&old, 8, 0, 0);
	tid = clone_thread(first, tp);
	(void)os_call(SYS_rt_sigprocmask, 2, (long)&old, 0, 8, 0, 0);
	if (tid < 0) {
		if (!again)
			os_unmap(memory, bytes);
		return (int)tid;
	}
	last_memory = memory;
	last_tid = (pid_t)tid;
	return (int)tid;
}
