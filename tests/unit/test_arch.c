/* Tests of what is known of each processor's code and registers. */
#include "t.h"

#include <signal.h>
#include <ucontext.h>

#include "arch.h"

enum { ROOM = 16 };

struct code {
	const char *name;
	uint8_t bytes[ROOM]; /* what stands before the address asked about, at the end of the room */
	unsigned n;
	bool yes;
};

#if defined(__x86_64__)
static const struct code before_return[] = {
	{ "call rel32", { 0xe8, 1, 2, 3, 4 }, 5, true },
	{ "call *%rax", { 0xff, 0xd0 }, 2, true },
	{ "call *%r11", { 0x41, 0xff, 0xd3 }, 3, true },
	{ "call *8(%rsp)", { 0xff, 0x54, 0x24, 8 }, 4, true },
	{ "call *disp32(%rip)", { 0xff, 0x15, 1, 2, 3, 4 }, 6, true },
	{ "call *table(,%rax,8)", { 0xff, 0x14, 0xc5, 1, 2, 3, 4 }, 7, true },
	{ "jmp *%rax", { 0xff, 0xe0 }, 2, false },
	{ "mov %rsp, %rbp", { 0x48, 0x89, 0xe5 }, 3, false },
};
#elif defined(__aarch64__)
static const struct code before_return[] = {
	{ "bl", { 0x36, 0xf7, 0xff, 0x97 }, 4, true },        { "blr x1", { 0x20, 0x00, 0x3f, 0xd6 }, 4, true },
	{ "blraaz x0", { 0x1f, 0x08, 0x3f, 0xd6 }, 4, true }, { "blrab x8, x9", { 0x09, 0x0d, 0x3f, 0xd7 }, 4, true },
	{ "b", { 0x36, 0xf7, 0xff, 0x17 }, 4, false },        { "br x17", { 0x20, 0x02, 0x1f, 0xd6 }, 4, false },
	{ "ret", { 0xc0, 0x03, 0x5f, 0xd6 }, 4, false },      { "mov x29, sp", { 0xfd, 0x03, 0x00, 0x91 }, 4, false },
};
#endif

static void calls_are_known(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(before_return); i++) {
		const struct code *c = &before_return[i];
		uint8_t room[ROOM] = { 0 };

		memcpy(room + ROOM - c->n, c->bytes, c->n);
		T_CHECK(c->name, arch_is_after_call(room + ROOM) == c->yes);
	}
}

#if defined(__aarch64__)
/* As GNU ld writes them: the first entry, an ordinary one, one with a landing pad. */
static const uint32_t plt[] = {
	0xa9bf7bf0, 0x90000090, 0xf947fe11, 0x913fe210, 0xd61f0220, 0xd503201f, 0xd503201f, 0xd503201f, /* 0 */
	0xb0000090, 0xf9400211, 0x91000210, 0xd61f0220,                                                 /* 8 */
	0xd503245f, 0xb0000090, 0xf9400611, 0x91002210, 0xd61f0220, 0xd503201f,                         /* 12 */
	0xd65f03c0,                                                                                     /* ret */
};

static void stubs_are_known(void **state)
{
	static const int pushed[ARRAY_LEN(plt)] = { -1, 16, 16, 16, 16, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, -1 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(plt); i++)
		assert_int_equal(arch_stub_pushed((const uint8_t *)&plt[i]), pushed[i]);
}

static void addresses_are_cleared(void **state)
{
	(void)state;
	assert_true(arch_code_address(0x5500001234) == 0x5500001234);
	assert_true(arch_data_address((void *)0x0300ffffabcd1230) == (void *)0xffffabcd1230);
	assert_true(arch_data_address((void *)0xffffabcd1230) == (void *)0xffffabcd1230);
}
#endif

static unsigned handled;

/* The registers of a context are those that were interrupted; what is set is found again. */
static void on_signal(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context, copy = *uc;
	uintptr_t regs[DW_REGS], again[DW_REGS];

	(void)sig;
	(void)info;
	arch_registers(uc, regs);
	assert_true(regs[DW_PC] == *(uintptr_t *)((char *)uc + ARCH_CONTEXT_PC));
	assert_true(regs[DW_SP] == *(uintptr_t *)((char *)uc + ARCH_CONTEXT_SP));
	assert_true(regs[DW_FP] == *(uintptr_t *)((char *)uc + ARCH_CONTEXT_FP));
	assert_true(regs[DW_RA] == *(uintptr_t *)((char *)uc + ARCH_CONTEXT_RA));
	assert_true(regs[DW_SP] > (uintptr_t)__builtin_frame_address(0));
#if !defined(__SANITIZE_THREAD__) /* it calls handlers by itself */
	assert_true(arch_is_trampoline((const uint8_t *)__builtin_return_address(0)));
#endif
	for (unsigned i = 0; i < DW_REGS; i++)
		arch_set_register(&copy, i, 1000 + i);
	arch_registers(&copy, again);
	for (unsigned i = 0; i < DW_REGS; i++)
		assert_int_equal(again[i], 1000 + i);
	handled++;
}

static void registers_of_a_signal(void **state)
{
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
	uintptr_t regs[DW_REGS] = { 0 };

	(void)state;
	assert_int_equal(sigaction(SIGUSR1, &sa, NULL), 0);
	raise(SIGUSR1);
	assert_int_equal(handled, 1);
	arch_registers_here(regs);
	assert_true(regs[DW_SP] < (uintptr_t)regs && regs[DW_SP] > (uintptr_t)regs - 65536);
	assert_true(regs[DW_PC] - (uintptr_t)arch_registers_here < 256);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_are_known),
#if defined(__aarch64__)
		cmocka_unit_test(stubs_are_known),
		cmocka_unit_test(addresses_are_cleared),
#endif
		cmocka_unit_test(registers_of_a_signal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
