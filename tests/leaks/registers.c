/* Pointers that are nowhere but in a register of a thread: one that runs, one that waits in the kernel. And in the red zone,
 * the 128 bytes below the stack pointer that belong to a function which calls none. */
#include <sys/syscall.h>

#include "leaks.h"

SITE(lost)
SITE(kept)

static volatile uintptr_t hidden; /* the thread turns it into the pointer inside a register */
static volatile int up;           /* it has */

static void make_hidden(void)
{
	hidden = hide(kept(112));
	(void)lost(13);
}

static void hold(void *(*run)(void *))
{
	deep(make_hidden);
	wipe();
	start(run, NULL);
	while (!up)
		usleep(1000);
	hidden = 0;
	KEPT(kept, 1, 112);
	DIRECT(lost, 1, 13);
}

#ifdef __x86_64__
/* `move` takes rax to its place and restores nothing; then rax is emptied and the thread stays in `wait`. */
#define HOLDER(name, move, wait)                                                                                      \
	static ALONE void *name(void *unused)                                                                         \
	{                                                                                                             \
		__asm__ volatile("mov %[hidden], %%rax\n not %%rax\n" move "\n xor %%eax, %%eax\n movl $1, %[up]\n"   \
		                 "1:\n" wait "\n jmp 1b"                                                              \
		                 : [up] "=m"(up)                                                                      \
		                 : [hidden] "m"(hidden)                                                               \
		                 : "rax", "rcx", "rdx", "rbx", "r11", "r12", "r15", "xmm6", "xmm15", "memory", "cc"); \
		return unused;                                                                                        \
	}
#define RUN   "pause"
#define SLEEP "mov $34, %%eax\n syscall" /* pause(2) */

HOLDER(in_rbx, "mov %%rax, %%rbx", SLEEP)
HOLDER(in_r15, "lea 40(%%rax), %%r15", SLEEP)
HOLDER(in_rdx, "mov %%rax, %%rdx", SLEEP)
HOLDER(in_r12_running, "mov %%rax, %%r12", RUN)
HOLDER(in_xmm_low, "movq %%rax, %%xmm6", SLEEP)
HOLDER(in_xmm_high, "movq %%rax, %%xmm15\n pslldq $8, %%xmm15", SLEEP)
HOLDER(in_xmm_running, "movq %%rax, %%xmm6", RUN)
HOLDER(in_mmx, "movq %%rax, %%mm3", SLEEP)
HOLDER(in_ymm_high, "movq %%rax, %%xmm6\n vinserti128 $1, %%xmm6, %%ymm15, %%ymm15\n vpxor %%xmm6, %%xmm6, %%xmm6",
       SLEEP)
HOLDER(in_zmm_high, "movq %%rax, %%xmm6\n vinserti32x4 $3, %%xmm6, %%zmm15, %%zmm15\n vpxor %%xmm6, %%xmm6, %%xmm6",
       SLEEP)
HOLDER(in_zmm20, "vpbroadcastq %%rax, %%zmm20", SLEEP)
HOLDER(in_red_zone, "mov %%rax, -120(%%rsp)", SLEEP)
HOLDER(in_red_zone_running, "mov %%rax, -16(%%rsp)", RUN)

static int has_avx2(void)
{
	return __builtin_cpu_supports("avx2");
}
static int has_avx512(void)
{
	return __builtin_cpu_supports("avx512f");
}
#define REGISTER_CASE(name, instead)  \
	static void case_##name(void) \
	{                             \
		hold(instead);        \
	}
REGISTER_CASE(in_rbx, in_rbx)
REGISTER_CASE(in_r15, in_r15)
REGISTER_CASE(in_rdx, in_rdx)
REGISTER_CASE(in_r12_running, in_r12_running)
REGISTER_CASE(in_xmm_low, in_xmm_low)
REGISTER_CASE(in_xmm_high, in_xmm_high)
REGISTER_CASE(in_xmm_running, in_xmm_running)
REGISTER_CASE(in_mmx, in_mmx)
/* A processor without them shows the same in a register that it has. */
REGISTER_CASE(in_ymm_high, has_avx2() ? in_ymm_high : in_xmm_high)
REGISTER_CASE(in_zmm_high, has_avx512() ? in_zmm_high : in_xmm_high)
REGISTER_CASE(in_zmm20, has_avx512() ? in_zmm20 : in_xmm_high)
REGISTER_CASE(in_red_zone, in_red_zone)
REGISTER_CASE(in_red_zone_running, in_red_zone_running)

/* The register is used for something else then: the block is lost. */
HOLDER(in_rbx_no_more, "mov %%rax, %%rbx\n xor %%ebx, %%ebx", SLEEP)
static void case_register_reused(void)
{
	deep(make_hidden);
	wipe();
	start(in_rbx_no_more, NULL);
	while (!up)
		usleep(1000);
	hidden = 0;
	DIRECT(kept, 1, 112);
	DIRECT(lost, 1, 13);
}
#endif

static const struct leak_case cases[] = {
#ifdef __x86_64__
	CASE(in_rbx),
	CASE(in_r15),
	CASE(in_rdx),
	CASE(in_r12_running),
	CASE(in_xmm_low),
	CASE(in_xmm_high),
	CASE(in_xmm_running),
	CASE(in_mmx),
	CASE(in_ymm_high),
	CASE(in_zmm_high),
	CASE(in_zmm20),
	CASE(in_red_zone),
	CASE(in_red_zone_running),
	CASE(register_reused),
#endif
};
LEAKS_MAIN
