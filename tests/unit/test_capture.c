/* Verified reuse never gives a stack that a full walk would not: both are taken from the same point, in a program that does
 * all it can to make a kept stack look right when it is not. */
#include "t.h"

#include <alloca.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "capture.h"
#include "compiler.h"
#include "os_linux.h"
#include "own_stack.h"
#include "poisson.h"
#include "snapshot_layout.h"
#include "stacks.h"
#include "unwind.h"

static struct capture capture;
static uint64_t captures, reused, whole;

/* Stands where a malloc hook stands. */
static NOINLINE void hook(void)
{
	struct unwind_start start = unwind_from_frame(ARCH_HOOK_FRAME(), own_lo, own_hi);
	static uintptr_t pcs[STACKS_MAX_DEPTH];
	size_t depth = unwind_walk(&start, pcs, ARRAY_LEN(pcs)), i = 0;
	uint32_t before = capture.depth, id;
	uint64_t words = capture.words;

	id = capture_stack(&capture, &start);

	assert_int_not_equal(id, 0);
	for (uint32_t at = id; at; at = stacks_parent(at), i++) {
		assert_true(i < depth);
		assert_int_equal(stacks_pc(at), pcs[i]);
	}
	assert_int_equal(i, depth);
	captures++;
	reused += before && capture.depth;
	whole += words == capture.words;
}

/* ---- functions with equal frames -------------------------------------------------------------------------------- */

static void go(unsigned depth);
static jmp_buf jumps[64];
static unsigned jump_count;

#define SAME_FRAME(name)                                   \
	static NOINLINE void name(unsigned depth)          \
	{                                                  \
		volatile uintptr_t room[4] = { depth, 1 }; \
                                                           \
		go(depth);                                 \
		(void)room[1];                             \
	}
SAME_FRAME(equal_a)
SAME_FRAME(equal_b)
SAME_FRAME(equal_c)

static NOINLINE void with_alloca(unsigned depth)
{
	volatile char *room = alloca(16 + random_below(40) * 16);

	room[0] = 1;
	go(depth);
	(void)room[0];
}

static NOINLINE void tail_call(unsigned depth)
{
	go(depth); /* a jump, where the compiler makes one */
}

static NOINLINE void with_frame_pointer(unsigned depth)
{
	volatile _Alignas(64) char room[64]; /* realigned: the CFA is found through memory */

	room[0] = (char)depth;
	go(depth);
	(void)room[0];
}

static NOINLINE void with_jump(unsigned depth)
{
	unsigned mine = jump_count;

	if (mine < ARRAY_LEN(jumps) && setjmp(jumps[mine]) == 0) {
		jump_count = mine + 1;
		go(depth);
	}
	jump_count = mine;
	hook();
}

#if defined(__x86_64__)
/* Uses the frame pointer's register for something else, as most code does: calls fn(arg) with `any` in rbp. */
void call_with_rbp(void (*fn)(unsigned), unsigned arg, uintptr_t any);
__asm__(".text\n"
        ".type call_with_rbp, @function\n"
        "call_with_rbp:\n"
        ".cfi_startproc\n"
        "push %rbp\n"
        ".cfi_adjust_cfa_offset 8\n"
        ".cfi_rel_offset %rbp, 0\n"
        "mov %rdx, %rbp\n"
        "mov %rdi, %rax\n"
        "mov %esi, %edi\n"
        "call *%rax\n"
        "pop %rbp\n"
        ".cfi_adjust_cfa_offset -8\n"
        ".cfi_restore %rbp\n"
        "ret\n"
        ".cfi_endproc\n"
        ".size call_with_rbp, . - call_with_rbp\n");

static void with_any_rbp(unsigned depth)
{
	call_with_rbp(go, depth, poisson_random(&rng) & 0xffff);
	__asm__ volatile("");
}
#else
static void with_any_rbp(unsigned depth)
{
	go(depth);
}
#endif

static void recurse(unsigned depth)
{
	if (depth == 0)
		hook();
	else
		recurse(depth - 1); /* one call site, one frame size */
	hook();
}

/* ---- other stacks ------------------------------------------------------------------------------------------------- */

static ucontext_t outside, inside;
static unsigned coroutine_depth;

static void coroutine_main(void)
{
	unsigned depth = coroutine_depth;

	go(depth);
	hook();
}

/* A coroutine whose stack is the heap's, or a piece of this very stack, where states of both could be mistaken. */
static NOINLINE void run_coroutine(unsigned depth, bool on_this_stack)
{
	static char far_stack[256 << 10];
	static bool busy;
	unsigned jumps_before = jump_count;
	char *at = far_stack;
	size_t bytes = sizeof(far_stack);

	if (busy) {
		go(depth);
		return;
	}
	if (on_this_stack) {
		bytes = 64 << 10;
		at = alloca(bytes);
	}
	busy = true;
	assert_int_equal(getcontext(&inside), 0);
	inside.uc_stack.ss_sp = at;
	inside.uc_stack.ss_size = bytes;
	inside.uc_link = &outside;
	coroutine_depth = depth > 6 ? 6 : depth;
	jump_count = ARRAY_LEN(jumps); /* no jumps out of it */
	makecontext(&inside, coroutine_main, 0);
	assert_int_equal(swapcontext(&outside, &inside), 0);
	jump_count = jumps_before;
	busy = false;
	hook();
}

static void on_signal(int sig)
{
	(void)sig;
	hook();
	recurse(3);
}

/* ---- the driver --------------------------------------------------------------------------------------------------- */

static void go(unsigned depth)
{
	static void (*const calls[])(unsigned) = { equal_a,   equal_b,   equal_c,      with_alloca,
		                                   tail_call, with_jump, with_any_rbp, with_frame_pointer,
		                                   recurse };

	while (depth > 0 && random_below(8) != 0) {
		uint32_t what = random_below(ARRAY_LEN(calls) + 4);

		depth--;
		if (random_below(2))
			hook();
		if (what < ARRAY_LEN(calls))
			calls[what](calls[what] == recurse ? random_below(60) : depth);
		else if (what == ARRAY_LEN(calls))
			run_coroutine(depth, random_below(2));
		else if (what == ARRAY_LEN(calls) + 1)
			raise(SIGUSR1);
		else if (what == ARRAY_LEN(calls) + 2 && jump_count && jump_count < ARRAY_LEN(jumps) &&
		         random_below(4) == 0)
			longjmp(jumps[random_below(jump_count)], 1);
		else
			hook();
	}
}

static void reuse_never_differs_from_a_walk(void **state)
{
	(void)state;
	signal(SIGUSR1, on_signal);
	for (rng = 1; captures < 300000; rng += 7919) {
		jump_count = 0;
		go(24);
		if (rng % 5 == 0)
			unwind_forget(); /* code was unloaded: everything kept is void */
	}
	/* or nothing was tested */
	assert_true(reused > captures / 2);
	assert_true(whole > captures / 4 && whole < captures * 3 / 4);
}

#if defined(__x86_64__)
/* A frame that saves the frame pointer and has always the same state itself: pc, and 7 in rbp. */
void leaf_with_saved_rbp(void (*fn)(void));
__asm__(".text\n"
        ".type leaf_with_saved_rbp, @function\n"
        "leaf_with_saved_rbp:\n"
        ".cfi_startproc\n"
        "push %rbp\n"
        ".cfi_adjust_cfa_offset 8\n"
        ".cfi_rel_offset %rbp, 0\n"
        "mov $7, %ebp\n"
        "call *%rdi\n"
        "pop %rbp\n"
        ".cfi_adjust_cfa_offset -8\n"
        ".cfi_restore %rbp\n"
        "ret\n"
        ".cfi_endproc\n"
        ".size leaf_with_saved_rbp, . - leaf_with_saved_rbp\n");

static NOINLINE void middle(size_t bytes)
{
	volatile char *room = alloca(bytes); /* never written: what stood there stays */

	__asm__ volatile("" ::"r"(room) : "memory");
	leaf_with_saved_rbp(hook);
	__asm__ volatile("" ::"r"(room) : "memory");
}

static NOINLINE void from_two_places(size_t bytes, bool second)
{
	volatile char *room = alloca(bytes);

	if (second) {
		middle(1024 - bytes);
		__asm__ volatile("# second");
	} else {
		middle(1024 - bytes);
		__asm__ volatile("# first");
	}
	__asm__ volatile("" ::"r"(room) : "memory");
}

/* The return addresses that a kept stack names are all still there, and the innermost state is the same; only the saved
 * frame pointer tells that a frame has moved and is another call's. */
static void the_saved_frame_pointer_counts(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		from_two_places(i % 2 ? 64 : 512, i % 2);
}

static NOINLINE void without_rbp(void)
{
	leaf_with_saved_rbp(hook);
	__asm__ volatile("");
}

static NOINLINE void caller_without_rbp(void)
{
	volatile char room[2048];

	room[0] = 1;
	without_rbp();
	(void)room[0];
}

static NOINLINE void caller_with_rbp(size_t bytes)
{
	volatile char *room = alloca(bytes);

	room[0] = 1;
	without_rbp();
	(void)room[0];
}

/* The walk goes on from a kept frame, for which the frame pointer did not matter, to one whose caller needs it. */
static NOINLINE void both(unsigned bytes)
{
	capture_reset(&capture); /* so that the next stack is walked */
	caller_without_rbp();
	__asm__ volatile("");
	caller_with_rbp(bytes);
	__asm__ volatile("");
}

static void the_frame_pointer_is_true_where_a_walk_goes_on(void **state)
{
	(void)state;
	/* At one of them both calls have the same stack pointer. Outside of call_with_rbp() nothing of theirs matters. */
	for (unsigned bytes = 1024; bytes < 3072; bytes += 16)
		call_with_rbp(both, bytes, 1);
}
#endif

static void *in_thread(void *arg)
{
	memset(&capture, 0, sizeof(capture));
	find_stack();
	for (uint64_t end = captures + 50000; captures < end; rng += 31) {
		jump_count = 0;
		go(16);
	}
	return arg;
}

static void a_thread_s_stack_ends_at_its_start(void **state)
{
	pthread_t t;

	(void)state;
	assert_int_equal(pthread_create(&t, NULL, in_thread, NULL), 0);
	assert_int_equal(pthread_join(t, NULL), 0);
	find_stack();
}

static void deeper_than_what_is_kept(void **state)
{
	(void)state;
	recurse(STACKS_MAX_DEPTH * 2);
	recurse(STACKS_MAX_DEPTH - 20);
	recurse(STACKS_MAX_DEPTH + 20);
	recurse(CAPTURE_MAX + 40);
	recurse(STACKS_MAX_DEPTH * 3);
	for (unsigned i = 0; i < 200; i++) /* from deep to deeper and back, always with something kept */
		recurse(STACKS_MAX_DEPTH - 40 + i);
}

static int set_up(void **state)
{
	const char *why;

	(void)state;
	find_stack();
	assert_string_equal(unwind_init(UNWIND_AUTO, &why), "cfi");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reuse_never_differs_from_a_walk),
#if defined(__x86_64__)
		cmocka_unit_test(the_saved_frame_pointer_counts),
		cmocka_unit_test(the_frame_pointer_is_true_where_a_walk_goes_on),
#endif
		cmocka_unit_test(a_thread_s_stack_ends_at_its_start),
		cmocka_unit_test(deeper_than_what_is_kept),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
