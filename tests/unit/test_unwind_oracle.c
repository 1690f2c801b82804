/* Every stack is the one that libgcc's unwinder finds from the same point: in frames of all shapes, in and through signal
 * handlers, and at instructions where a leaf is interrupted. Compiled several times, with different flags (preload.cmake). */
#include "t.h"

#include <alloca.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <ucontext.h>
#include <unwind.h>

#include "own_stack.h"
#include "poisson.h"
#include "snapshot_layout.h"
#include "stacks.h"
#include "unwind.h"

enum { ROUNDS = 3000 };

struct theirs {
	uintptr_t pcs[STACKS_MAX_DEPTH];
	bool exact[STACKS_MAX_DEPTH];
	size_t n;
};

static unsigned compared, through_handlers, interrupted;
static char difference[200]; /* the first; told by the main thread, which cmocka knows */

static _Unwind_Reason_Code one_of_theirs(struct _Unwind_Context *context, void *arg)
{
	struct theirs *t = arg;
	int exact = 0;
	uintptr_t pc = _Unwind_GetIPInfo(context, &exact);

	if (t->n == STACKS_MAX_DEPTH || pc == 0)
		return _URC_END_OF_STACK;
	t->exact[t->n] = exact != 0;
	t->pcs[t->n++] = exact ? pc : pc - 1;
	return _URC_NO_REASON;
}

static void compare(const char *what, const uintptr_t *ours, size_t n, const struct theirs *t, size_t from)
{
	for (size_t i = 0; i < n || from + i < t->n; i++) {
		uintptr_t a = i < n ? ours[i] : 0, b = from + i < t->n ? t->pcs[from + i] : 0;

		if (a != b && !difference[0])
			snprintf(difference, sizeof(difference), "%s: frame %zu of %zu is %#lx, libgcc has %#lx of %zu",
			         what, i, n, (unsigned long)a, (unsigned long)b, t->n - from);
	}
	compared++;
}

/* Stands where a malloc hook stands. */
static NOINLINE NO_SANITIZE void hook(void)
{
	struct unwind_start start = unwind_from_frame(ARCH_HOOK_FRAME(), own_lo, own_hi);
	uintptr_t pcs[STACKS_MAX_DEPTH];
	size_t n = unwind_walk(&start, pcs, ARRAY_LEN(pcs));
	static __thread struct theirs t;

	t.n = 0;
	_Unwind_Backtrace(one_of_theirs, &t);
	compare("from a hook", pcs, n, &t, 1); /* theirs begins in this function */
}

/* ---- frames ------------------------------------------------------------------------------------------------------- */

static void go(unsigned depth);

static NOINLINE void small(unsigned depth)
{
	go(depth);
	__asm__ volatile("");
}

static NOINLINE void with_locals(unsigned depth)
{
	volatile uintptr_t room[40] = { depth };

	go(depth);
	(void)room[1];
}

/* More than an instruction's offset reaches, and than a rule's bits do. */
static NOINLINE void large(unsigned depth)
{
	volatile char room[150000];

	room[0] = 1;
	go(depth);
	(void)room[0];
}

static NOINLINE void with_alloca(unsigned depth)
{
	volatile char *room = alloca(16 + random_below(40) * 16);

	room[0] = 1;
	go(depth);
	(void)room[0];
}

static NOINLINE void variable_array(unsigned depth)
{
	/* as alloca, but freed at the end of the loop's body */
	for (unsigned i = 0; i < 2; i++) {
		volatile char *room = __builtin_alloca_with_align(64 + depth * 8, 512);

		room[0] = 1;
		if (i == 1)
			go(depth);
	}
}

/* Floating-point and all preserved registers are in use across the call. */
static NOINLINE void many_registers(unsigned depth)
{
	double a[8];
	uint64_t b[10];

	for (unsigned i = 0; i < 8; i++)
		a[i] = (double)random_below(100);
	for (unsigned i = 0; i < 10; i++)
		b[i] = random_below(100);
	go(depth);
	for (unsigned i = 0; i < 8; i++)
		__asm__ volatile("" : : "r"(b[i] + (uint64_t)a[i]));
	__asm__ volatile("" : : "r"(b[8] + b[9]));
}

static unsigned in_sort;
static int compare_and_go(const void *a, const void *b)
{
	if (in_sort) {
		unsigned depth = in_sort;

		in_sort = 0;
		go(depth);
	}
	return *(const int *)a - *(const int *)b;
}

static NOINLINE void through_libc(unsigned depth)
{
	int numbers[4] = { 3, 1, 2, 0 };

	in_sort = depth;
	qsort(numbers, ARRAY_LEN(numbers), sizeof(numbers[0]), compare_and_go);
	in_sort = 0;
}

static unsigned in_handler;

static void on_user_signal(int sig)
{
	unsigned depth = in_handler;

	(void)sig;
	in_handler = 0;
	through_handlers++;
	if (depth)
		go(depth);
}

static NOINLINE void through_a_handler(unsigned depth)
{
	in_handler = depth;
	raise(SIGUSR1);
}

/* ---- interrupted leaves ------------------------------------------------------------------------------------------- */

#if defined(__aarch64__)
#define TRAP "udf #0\n"
enum { TRAP_BYTES = 4 };
#else
#define TRAP "ud2\n"
enum { TRAP_BYTES = 2 };
#endif

static void on_trap(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	uintptr_t regs[DW_REGS], pcs[STACKS_MAX_DEPTH];
	struct unwind_start start = unwind_from_signal(uc, regs, own_lo, own_hi);
	size_t n = unwind_walk(&start, pcs, ARRAY_LEN(pcs)), from = 0;
	static struct theirs t;

	(void)sig;
	(void)info;
	t.n = 0;
	_Unwind_Backtrace(one_of_theirs, &t);
	while (from < t.n && !t.exact[from])
		from++;
	compare("interrupted", pcs, n, &t, from);
	interrupted++;
	hook(); /* from inside the handler */
	regs[DW_PC] += TRAP_BYTES;
	arch_set_register(uc, DW_PC, regs[DW_PC]);
}

static NOINLINE unsigned leaf(unsigned x)
{
	x *= 7;
	__asm__ volatile(TRAP : "+r"(x));
	return x + 1;
}

static NOINLINE unsigned leaf_with_room(unsigned x)
{
	volatile unsigned room[30];

	room[x % 30] = x;
	__asm__ volatile(TRAP ::: "memory");
	return room[x % 30];
}

/* A prologue and an epilogue, interrupted between all their instructions. */
void stepped(void);
__asm__(".text\n.type stepped, %function\nstepped:\n.cfi_startproc\n" TRAP
#if defined(__aarch64__)
#if defined(__ARM_FEATURE_PAC_DEFAULT)
        "paciasp\n.cfi_negate_ra_state\n" TRAP
#endif
        "stp x29, x30, [sp, #-48]!\n.cfi_def_cfa_offset 48\n.cfi_offset x29, -48\n.cfi_offset x30, -40\n" TRAP
        "mov x29, sp\n" TRAP "str x19, [sp, #16]\n.cfi_offset x19, -32\n" TRAP "ldr x19, [sp, #16]\n" TRAP
        "ldp x29, x30, [sp], #48\n.cfi_restore x30\n.cfi_restore x29\n.cfi_restore x19\n.cfi_def_cfa_offset 0\n" TRAP
#if defined(__ARM_FEATURE_PAC_DEFAULT)
        "autiasp\n.cfi_negate_ra_state\n" TRAP
#endif
#else
        "push %rbp\n.cfi_def_cfa_offset 16\n.cfi_offset %rbp, -16\n" TRAP
        "mov %rsp, %rbp\n.cfi_def_cfa_register %rbp\n" TRAP "sub $32, %rsp\n" TRAP
        "leave\n.cfi_def_cfa %rsp, 8\n.cfi_restore %rbp\n" TRAP
#endif
        "ret\n.cfi_endproc\n.size stepped, . - stepped\n");

static NOINLINE void call_leaves(unsigned depth)
{
	volatile unsigned sum = leaf(depth) + leaf_with_room(depth);

	stepped();
	go(depth);
	(void)sum;
}

/* ---- tests -------------------------------------------------------------------------------------------------------- */

static NOINLINE void go(unsigned depth)
{
	static void (*const shapes[])(unsigned) = { small,        with_locals,       large,
		                                    with_alloca,  variable_array,    many_registers,
		                                    through_libc, through_a_handler, call_leaves };

	if (depth == 0 || random_below(4) == 0)
		hook();
	if (depth)
		shapes[random_below(ARRAY_LEN(shapes))](depth - 1);
	__asm__ volatile("");
}

/* cmocka puts its own in before each test. */
static void install_handlers(void)
{
	struct sigaction sa = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };

	assert_int_equal(sigaction(SIGILL, &sa, NULL), 0);
	signal(SIGUSR1, on_user_signal);
}

static void all_shapes(void **state)
{
	(void)state;
	find_stack();
	install_handlers();
	for (unsigned i = 0; i < ROUNDS; i++)
		go(1 + i % 12);
	assert_string_equal(difference, "");
	assert_true(compared > ROUNDS && through_handlers > ROUNDS / 20 && interrupted > ROUNDS / 20);
}

static void *in_thread(void *arg)
{
	find_stack();
	for (unsigned i = 0; i < ROUNDS / 10; i++)
		go(i % 8);
	return arg;
}

static void a_thread(void **state)
{
	pthread_t t;

	(void)state;
	install_handlers();
	assert_int_equal(pthread_create(&t, NULL, in_thread, NULL), 0);
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_string_equal(difference, "");
}

#if defined(__ARM_FEATURE_PAC_DEFAULT)
static NOINLINE uintptr_t saved_return_address(void)
{
	const uintptr_t *frame = __builtin_frame_address(0);

	return frame[1];
}

/* Or the rest says nothing of signatures. */
static void return_addresses_are_signed(void **state)
{
	unsigned with_signature = 0;

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		volatile char *room = alloca(16); /* the signature depends on the stack pointer */
		uintptr_t saved = saved_return_address();

		room[0] = 1;
		with_signature += saved != arch_code_address(saved);
	}
	if (!with_signature)
		skip(); /* a processor without them */
}
#endif

static int set_up(void **state)
{
	const char *why;

	(void)state;
	assert_string_equal(unwind_init(UNWIND_AUTO, &why), "cfi");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#if defined(__ARM_FEATURE_PAC_DEFAULT)
		cmocka_unit_test(return_addresses_are_signed),
#endif
		cmocka_unit_test(all_shapes),
		cmocka_unit_test(a_thread),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
