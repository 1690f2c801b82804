/* Tests of the stack walk: what it must find in frames that compilers do not make, and what it must not invent. */
#include "t.h"

#include <alloca.h>
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <ucontext.h>

#include "capture.h"
#include "eh_frame.h"
#include "losses.h"
#include "own_stack.h"
#include "snapshot_layout.h"
#include "stacks.h"
#include "unwind.h"
#include "unwind_step.h"

static uintptr_t pcs[STACKS_MAX_DEPTH];
static size_t depth;

static int set_up(void **state)
{
	const char *why;

	(void)state;
	find_stack();
	assert_string_equal(unwind_init(UNWIND_AUTO, &why), "cfi");
	return 0;
}

/* Stands where a malloc hook stands. */
void test_hook(void);
NOINLINE NO_SANITIZE void test_hook(void)
{
	struct unwind_start start = unwind_from_frame(ARCH_HOOK_FRAME(), own_lo, own_hi);

	depth = unwind_walk(&start, pcs, ARRAY_LEN(pcs));
}

static bool on_stack(uintptr_t from, uintptr_t end)
{
	for (size_t i = 0; i < depth; i++) {
		if (pcs[i] >= from && pcs[i] < end)
			return true;
	}
	return false;
}

static bool complete(void)
{
	return depth > 2 && pcs[depth - 1] != SNAP_PC_TRUNCATED;
}

/* ---- very deep stacks --------------------------------------------------------------------------------------------- */

static NOINLINE void down(unsigned n)
{
	volatile unsigned keep = n;

	if (n == 0)
		test_hook();
	else
		down(n - 1);
	(void)keep;
}

static void the_root_of_a_deep_stack_is_kept(void **state)
{
	uintptr_t root[3];
	size_t outer;

	(void)state;
	down(0);
	outer = depth - 1; /* without the frame that calls the hook */
	assert_true(complete());
	memcpy(root, pcs + depth - 3, sizeof(root));
	for (unsigned n = 200; n < 900; n += 1 + n % 7) {
		uint64_t elided = load_relaxed(&losses_count[LOSS_UNWIND_ELIDED]);

		down(n);
		assert_memory_equal(root, pcs + depth - 3, sizeof(root));
		if (outer + n + 1 <= STACKS_MAX_DEPTH) {
			assert_int_equal(depth, outer + n + 1);
			assert_int_equal(load_relaxed(&losses_count[LOSS_UNWIND_ELIDED]), elided);
			continue;
		}
		assert_int_equal(depth, STACKS_MAX_DEPTH);
		assert_int_equal(load_relaxed(&losses_count[LOSS_UNWIND_ELIDED]), elided + 1);
		for (size_t i = 0; i < depth; i++)
			assert_int_equal(pcs[i] == SNAP_PC_ELIDED, i == STACKS_MAX_DEPTH / 2);
		for (size_t i = 2; i < STACKS_MAX_DEPTH - outer; i++) /* the recursion, on both sides of the mark */
			assert_true(i == STACKS_MAX_DEPTH / 2 || pcs[i] == pcs[1]);
	}
	down(UNWIND_MAX_FRAMES + 10); /* the outermost ones are not visited */
	assert_int_equal(depth, STACKS_MAX_DEPTH);
	assert_int_equal(pcs[STACKS_MAX_DEPTH / 2], SNAP_PC_ELIDED);
	assert_int_equal(pcs[depth - 1], SNAP_PC_TRUNCATED);
}

/* The section is put back: the compiler counts on it. */
#define TEST_FUNCTION(name, body)                                                                     \
	void name(void);                                                                              \
	void name##_end(void);                                                                        \
	__asm__(".pushsection .text\n.globl " #name "\n.type " #name ", %function\n" #name ":\n" body \
	        "\n.globl " #name "_end\n" #name "_end:\n.popsection\n")

/* ---- registers other than the stack and frame pointer ------------------------------------------------------------- */

#if defined(__x86_64__)
/* ld.so's _dl_runtime_resolve in small: the CFA is found by rbx, across a call. */
TEST_FUNCTION(by_preserved,
              ".cfi_startproc\n push %rbx\n .cfi_adjust_cfa_offset 8\n .cfi_rel_offset %rbx, 0\n mov %rsp, %rbx\n"
              ".cfi_def_cfa_register %rbx\n and $-64, %rsp\n sub $128, %rsp\n call test_middle\n mov %rbx, %rsp\n"
              ".cfi_def_cfa_register %rsp\n pop %rbx\n .cfi_adjust_cfa_offset -8\n .cfi_restore %rbx\n ret\n"
              ".cfi_endproc\n");

/* The same by rax, which nothing preserves: what is in it at the hook is not what was in it at the call. */
TEST_FUNCTION(by_changed,
              ".cfi_startproc\n lea 0(%rsp), %rax\n .cfi_def_cfa %rax, 8\n push %rax\n call test_middle\n pop %rax\n"
              ".cfi_def_cfa %rsp, 8\n ret\n .cfi_endproc\n");

/* Uses all registers that calls preserve, so that each must be found where a frame saved it. */
TEST_FUNCTION(test_middle,
              ".cfi_startproc\n push %rbx\n .cfi_adjust_cfa_offset 8\n .cfi_rel_offset %rbx, 0\n mov $1, %ebx\n"
              "sub $16, %rsp\n .cfi_adjust_cfa_offset 16\n call test_hook\n add $16, %rsp\n"
              ".cfi_adjust_cfa_offset -16\n pop %rbx\n .cfi_adjust_cfa_offset -8\n .cfi_restore %rbx\n ret\n"
              ".cfi_endproc\n");
#elif defined(__aarch64__)
TEST_FUNCTION(by_preserved,
              ".cfi_startproc\n stp x19, x30, [sp, #-16]!\n .cfi_def_cfa_offset 16\n .cfi_offset x19, -16\n"
              ".cfi_offset x30, -8\n mov x19, sp\n .cfi_def_cfa_register x19\n sub sp, sp, #128\n bl test_middle\n"
              "mov sp, x19\n .cfi_def_cfa_register sp\n ldp x19, x30, [sp], #16\n .cfi_restore x19\n"
              ".cfi_restore x30\n .cfi_def_cfa_offset 0\n ret\n .cfi_endproc\n");

TEST_FUNCTION(by_changed,
              ".cfi_startproc\n str x30, [sp, #-16]!\n .cfi_def_cfa_offset 16\n .cfi_offset x30, -16\n mov x9, sp\n"
              ".cfi_def_cfa_register x9\n bl test_middle\n ldr x30, [sp], #16\n .cfi_restore x30\n"
              ".cfi_def_cfa sp, 0\n ret\n .cfi_endproc\n");

/* In its frame, which it makes larger than what a rule's 14 bits say, the record is at the bottom. */
TEST_FUNCTION(test_middle,
              ".cfi_startproc\n sub sp, sp, #0x20, lsl #12\n .cfi_def_cfa_offset 0x20000\n stp x29, x30, [sp]\n"
              ".cfi_offset x29, -0x20000\n .cfi_offset x30, -0x1fff8\n mov x29, sp\n str x19, [sp, #16]\n"
              ".cfi_offset x19, -0x1fff0\n mov x19, #1\n bl test_hook\n ldr x19, [sp, #16]\n ldp x29, x30, [sp]\n"
              "add sp, sp, #0x20, lsl #12\n .cfi_restore x19\n .cfi_restore x29\n .cfi_restore x30\n"
              ".cfi_def_cfa_offset 0\n ret\n .cfi_endproc\n");
#endif

static void a_frame_found_by_another_register(void **state)
{
	(void)state;
	by_preserved();
	assert_true(on_stack((uintptr_t)by_preserved, (uintptr_t)by_preserved_end));
	assert_true(complete());
	by_changed();
	assert_true(on_stack((uintptr_t)by_changed, (uintptr_t)by_changed_end));
	assert_false(complete());
	assert_true(pcs[depth - 2] >= (uintptr_t)by_changed && pcs[depth - 2] < (uintptr_t)by_changed_end);
}

#if defined(__x86_64__)
/* ---- at every instruction ----------------------------------------------------------------------------------------- */

/* An epilogue as GCC writes it: after the pop the tables still say that the caller's rbp is in the frame. */
TEST_FUNCTION(stepped,
              ".cfi_startproc\n pushf\n .cfi_adjust_cfa_offset 8\n orl $0x100, (%rsp)\n popf\n"
              ".cfi_adjust_cfa_offset -8\n nop\n push %rbp\n .cfi_adjust_cfa_offset 8\n .cfi_rel_offset %rbp, 0\n"
              "mov $7, %ebp\n pop %rbp\n .cfi_adjust_cfa_offset -8\n nop\n ret\n .cfi_endproc\n");

static unsigned steps, steps_complete;

static void on_step(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	uintptr_t regs[DW_REGS];
	struct unwind_start start = unwind_from_signal(uc, regs, own_lo, own_hi);

	if (start.pc < (uintptr_t)stepped || start.pc >= (uintptr_t)stepped_end)
		uc->uc_mcontext.gregs[REG_EFL] &= ~0x100;
	(void)sig;
	(void)info;
	depth = unwind_walk(&start, pcs, ARRAY_LEN(pcs));
	steps++;
	steps_complete += complete();
}

/* Its CFA is found by rbp. */
static NOINLINE void call_stepped(size_t bytes)
{
	volatile char *room = alloca(bytes);

	room[0] = 1;
	stepped();
	(void)room[0];
}

static void every_instruction_of_an_epilogue(void **state)
{
	struct sigaction sa = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO };

	(void)state;
	assert_int_equal(sigaction(SIGTRAP, &sa, NULL), 0);
	call_stepped(100);
	signal(SIGTRAP, SIG_DFL);
	assert_true(steps >= 6);
	assert_int_equal(steps_complete, steps);
}

/* ---- inside what changes stacks ----------------------------------------------------------------------------------- */

static ucontext_t outside, inside, returning;
static jmp_buf back;
static uintptr_t outer[STACKS_MAX_DEPTH]; /* the frames around the test */
static size_t outer_depth;
static unsigned seen_outside, seen_inside, seen_root;

/* A trap behind every instruction, from here on; in the handler, no more. */
TEST_FUNCTION(trace_on, ".cfi_startproc\n pushf\n .cfi_adjust_cfa_offset 8\n orl $0x100, (%rsp)\n popf\n"
                        ".cfi_adjust_cfa_offset -8\n ret\n .cfi_endproc\n");
static bool traced_enough;

static NOINLINE void coroutine(void)
{
	(void)swapcontext(&inside, &outside);
	(void)swapcontext(&inside, &outside);
	(void)setcontext(&outside);
	__asm__ volatile(""); /* called, not jumped to: the coroutine is still there */
}

static NOINLINE void coroutine_that_returns(void)
{
	__asm__ volatile("");
}

static NOINLINE void change_stacks(void)
{
	volatile unsigned rounds = 0;

	trace_on();
	(void)swapcontext(&outside, &inside);    /* its first instruction */
	(void)swapcontext(&outside, &inside);    /* goes on with it */
	(void)swapcontext(&outside, &inside);    /* it comes back by setcontext */
	(void)swapcontext(&outside, &returning); /* and back by uc_link */
	if (!_setjmp(back))
		_longjmp(back, 1);
	(void)getcontext(&outside);
	if (++rounds < 3)
		(void)setcontext(&outside);                         /* the same stack */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* theirs hides the return address */
	if (vfork() == 0)
		_exit(0);
#endif
	traced_enough = true;
}

/* Of the three functions, which are small and may be neighbours: is it in this one? */
static bool is_in(uintptr_t pc, void (*function)(void))
{
	static void (*const all[])(void) = { coroutine, coroutine_that_returns, change_stacks };
	uintptr_t own = (uintptr_t)function;

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if ((uintptr_t)all[i] > own && (uintptr_t)all[i] <= pc)
			return false;
	return pc >= own && pc - own < 4096;
}

static bool is_in_coroutine(uintptr_t pc)
{
	return is_in(pc, coroutine) || is_in(pc, coroutine_that_returns);
}

static bool is_in_library(uintptr_t pc)
{
	Dl_info info;

	return dladdr((void *)pc, &info) && strstr(info.dli_fname, ".so") != NULL; /* libc, ld.so, a sanitizer's */
}

/* The innermost frame is where the processor is, in a library, a PLT or ours; then the library's, then change_stacks() once, and
 * all around it; or the coroutine once, and where makecontext's stacks begin. */
static void check_walk(void)
{
	size_t i = 0;

	while (i < depth && !is_in_coroutine(pcs[i]) && !is_in(pcs[i], change_stacks) &&
	       (i == 0 || is_in_library(pcs[i])))
		i++;
	if (i == depth) {
		seen_root++; /* of the stack of a coroutine that has returned */
		assert_true(depth <= 4 && is_in_library(pcs[0]));
	} else if (is_in_coroutine(pcs[i])) {
		seen_inside++;
		assert_int_equal(depth, i + 2);
		assert_true(is_in_library(pcs[i + 1]));
	} else if (is_in(pcs[i], change_stacks)) {
		seen_outside++;
		assert_int_equal(depth, i + 2 + outer_depth); /* the test itself is between them */
		assert_memory_equal(pcs + i + 2, outer, outer_depth * sizeof(*outer));
	} else {
		fail_msg("frame %zu of %zu, %#lx, is of neither stack; the innermost is %#lx", i, depth, pcs[i],
		         pcs[0]);
	}
}

static void on_change(int sig, siginfo_t *info, void *context)
{
	uintptr_t regs[DW_REGS];
	struct unwind_start start = unwind_from_signal(context, regs, own_lo, own_hi);

	(void)sig;
	(void)info;
	if (traced_enough)
		((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~0x100;
	depth = unwind_walk(&start, pcs, ARRAY_LEN(pcs));
	check_walk();
}

static void every_instruction_that_changes_stacks(void **state)
{
	struct sigaction sa = { .sa_sigaction = on_change, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	static char room[64 << 10], other_room[64 << 10], handler_room[64 << 10];
	stack_t alternate = { .ss_sp = handler_room, .ss_size = sizeof(handler_room) };

	(void)state;
	assert_int_equal(getcontext(&inside), 0);
	inside.uc_stack.ss_sp = room;
	inside.uc_stack.ss_size = sizeof(room);
	makecontext(&inside, coroutine, 0);
	returning = inside;
	returning.uc_stack.ss_sp = other_room;
	returning.uc_link = &outside;
	makecontext(&returning, coroutine_that_returns, 0);
	assert_int_equal(sigaltstack(&alternate, NULL), 0);
	assert_int_equal(sigaction(SIGTRAP, &sa, NULL), 0);
	test_hook();
	outer_depth = depth - 1;
	memcpy(outer, pcs + 1, outer_depth * sizeof(*outer));
	change_stacks();
	signal(SIGTRAP, SIG_DFL);
	assert_true(seen_outside > 100 && seen_inside > 100 && seen_root > 10);
}
#endif

/* ---- code without tables ------------------------------------------------------------------------------------------ */

#if defined(__x86_64__)
TEST_FUNCTION(without_table, "push %rbp\n mov %rsp, %rbp\n call test_middle\n pop %rbp\n ret\n");
/* rbp leads to words of its own: a saved frame pointer and a "return address" that is code, but not behind a call. */
TEST_FUNCTION(with_false_frame, "push %rbp\n lea without_table(%rip), %rax\n push %rax\n mov %rsp, %rax\n push %rax\n"
                                "mov %rsp, %rbp\n call test_middle\n add $16, %rsp\n pop %rbp\n ret\n");
#elif defined(__aarch64__)
TEST_FUNCTION(without_table,
              "stp x29, x30, [sp, #-16]!\n mov x29, sp\n bl test_small\n ldp x29, x30, [sp], #16\n ret\n");
TEST_FUNCTION(with_false_frame, "stp x29, x30, [sp, #-16]!\n adr x9, without_table\n stp x29, x9, [sp, #-16]!\n"
                                "mov x29, sp\n bl test_small\n add sp, sp, #16\n ldp x29, x30, [sp], #16\n ret\n");
#endif
/* Without a record of its own, so that the walk comes to the frames above by their saved frame pointer. */
void test_small(void);
NOINLINE void test_small(void)
{
	test_hook();
	__asm__ volatile("");
}

static void code_without_a_table(void **state)
{
	(void)state;
	without_table();
	assert_true(on_stack((uintptr_t)without_table, (uintptr_t)without_table_end));
	assert_true(complete());
	with_false_frame();
	assert_true(on_stack((uintptr_t)with_false_frame, (uintptr_t)with_false_frame_end));
	assert_false(on_stack((uintptr_t)without_table - 1, (uintptr_t)without_table + 1));
	assert_false(complete());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_root_of_a_deep_stack_is_kept),
		cmocka_unit_test(a_frame_found_by_another_register),
#if defined(__x86_64__)
		cmocka_unit_test(every_instruction_of_an_epilogue),
		cmocka_unit_test(every_instruction_that_changes_stacks),
#endif
		cmocka_unit_test(code_without_a_table),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
