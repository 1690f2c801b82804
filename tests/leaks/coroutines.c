/* Stacks that the program made itself: coroutines in the heap and in mappings, signal stacks. */
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "leaks.h"

SITE(lost)
SITE(lost_local)
SITE(kept)
SITE(kept_stack)

#define STACK_BYTES (256 * 1024)

struct coroutine {
	ucontext_t inside, outside;
	char *stack;
};
static struct coroutine *volatile running;

static char *map_stack(void)
{
	char *stack =
	        (char *)mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

	if (stack == MAP_FAILED)
		abort();
	return stack;
}

/* Runs `body` on the stack until it gives control back by leave(). */
static void enter(struct coroutine *c, char *stack, void (*body)(void))
{
	c->stack = stack;
	getcontext(&c->inside);
	c->inside.uc_stack.ss_sp = stack;
	c->inside.uc_stack.ss_size = STACK_BYTES;
	c->inside.uc_link = &c->outside;
	makecontext(&c->inside, body, 0);
	running = c;
	swapcontext(&c->outside, &c->inside);
}
static void leave(void)
{
	struct coroutine *c = running;

	swapcontext(&c->inside, &c->outside);
}

static void hold_a_local(void)
{
	void *volatile held = kept(110);

	wipe_registers();
	leave();
	ESCAPE(held);
}

static void case_suspended_on_heap_stack(void)
{
	static struct coroutine c;

	enter(&c, (char *)kept_stack(STACK_BYTES), hold_a_local);
	KEPT(kept, 1, 110);
	KEPT(kept_stack, 1, STACK_BYTES);
}

static void case_suspended_on_mapped_stack(void)
{
	static struct coroutine c;

	enter(&c, map_stack(), hold_a_local);
	KEPT(kept, 1, 110);
}

/* The stack pointer saved in the context is the only word that points into the stack. */
static void case_stack_held_by_its_context(void)
{
	static struct coroutine c;

	enter(&c, (char *)kept_stack(STACK_BYTES), hold_a_local);
	c.stack = NULL;
	c.inside.uc_stack.ss_sp = NULL;
	running = NULL;
	KEPT(kept, 1, 110);
	KEPT(kept_stack, 1, STACK_BYTES);
}

#ifdef __x86_64__
/* The pointer is in a register that the switch saved into the context, which is in the heap. */
static volatile uintptr_t hidden;
static void hold_a_register(void)
{
	__asm__ volatile("mov %[hidden], %%r13\n not %%r13\n mov %[leave], %%rax\n"
	                 "mov %%rsp, %%rbx\n and $-16, %%rsp\n call *%%rax\n mov %%rbx, %%rsp"
	                 :
	                 : [hidden] "m"(hidden), [leave] "r"(leave)
	                 : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r13", "memory", "cc");
}
static void case_register_saved_in_context(void)
{
	struct coroutine *c = (struct coroutine *)kept(sizeof(*c));

	hidden = hide(kept(110));
	wipe();
	enter(c, map_stack(), hold_a_register);
	hidden = 0;
	KEPT(kept, 2, 110 + sizeof(*c));
}
#endif

static void lose_a_local(void)
{
	void *volatile held = lost_local(110);

	leave();
	ESCAPE(held);
}

/* Nobody has the coroutine any more: context and stack are one block here, and its locals go with it. */
struct whole {
	struct coroutine c;
	char stack[STACK_BYTES] __attribute__((aligned(16)));
};
static void case_suspended_and_lost(void)
{
	struct whole *whole = (struct whole *)lost(sizeof(*whole));

	enter(&whole->c, whole->stack, lose_a_local);
	running = NULL;
	DIRECT(lost, 1, sizeof(*whole));
	INDIRECT(lost_local, 1, 110);
}

static void end_at_once(void)
{
	void *volatile held = lost_local(110);

	ESCAPE(held);
}

/* It ran to its end and its stack was given back. */
static void case_ended_stack_unmapped(void)
{
	static struct coroutine c;

	enter(&c, map_stack(), end_at_once);
	munmap(c.stack, STACK_BYTES);
	DIRECT(lost_local, 1, 110);
}

static void case_ended_stack_freed(void)
{
	static struct coroutine c;

	enter(&c, (char *)kept_stack(STACK_BYTES), end_at_once);
	free(c.stack);
	DIRECT(lost_local, 1, 110);
}

/* The thread itself stands on another stack than its own, on which something waits as well. */
static void wait_inside(void)
{
	void *volatile held = kept(110);

	finish();
	ESCAPE(held);
}
static void case_first_thread_inside(void)
{
	static struct coroutine c;
	void *volatile held = kept(120);

	KEPT(kept, 2, 230);
	wipe();
	enter(&c, map_stack(), wait_inside);
	ESCAPE(held);
}
static void case_first_thread_inside_heap_stack(void)
{
	static struct coroutine c;
	void *volatile held = kept(120);

	KEPT(kept, 2, 230);
	KEPT(kept_stack, 1, STACK_BYTES);
	wipe();
	enter(&c, (char *)kept_stack(STACK_BYTES), wait_inside);
	ESCAPE(held);
}

static void stay_inside(void)
{
	void *volatile held = kept(110);

	here_i_stay();
	ESCAPE(held);
}
static void *thread_inside(void *unused)
{
	struct coroutine c;
	void *volatile held = kept(120);

	wipe();
	enter(&c, map_stack(), stay_inside);
	ESCAPE(held);
	return unused;
}
static void case_other_thread_inside(void)
{
	start_and_wait(thread_inside, NULL);
	KEPT(kept, 2, 230);
}

/* A handler that waits on the signal stack, which is a mapping; and one on a block that the program holds. */
static void on_signal(int number)
{
	void *volatile held = kept(110);

	(void)number;
	here_i_stay();
	ESCAPE(held);
}
static void *raise_on(void *stack)
{
	stack_t ss = { .ss_sp = stack, .ss_size = STACK_BYTES };
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK };
	void *volatile held = kept(120);

	if (sigaltstack(&ss, NULL) != 0 || sigaction(SIGUSR1, &action, NULL) != 0)
		abort();
	wipe();
	raise(SIGUSR1);
	ESCAPE(held);
	return NULL;
}
static void case_signal_stack_mapped(void)
{
	start_and_wait(raise_on, map_stack());
	KEPT(kept, 2, 230);
}
static void *volatile signal_stack;
static void case_signal_stack_in_the_heap(void)
{
	signal_stack = kept_stack(STACK_BYTES);
	start_and_wait(raise_on, signal_stack);
	KEPT(kept, 2, 230);
	KEPT(kept_stack, 1, STACK_BYTES);
}

static const struct leak_case cases[] = {
	CASE(suspended_on_heap_stack),   CASE(suspended_on_mapped_stack),      CASE(stack_held_by_its_context),
#ifdef __x86_64__
	CASE(register_saved_in_context),
#endif
	CASE(suspended_and_lost),        CASE(ended_stack_unmapped),           CASE(ended_stack_freed),
	CASE(first_thread_inside),       CASE(first_thread_inside_heap_stack), CASE(other_thread_inside),
	CASE(signal_stack_mapped),       CASE(signal_stack_in_the_heap),
};
LEAKS_MAIN
