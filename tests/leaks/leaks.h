/* leaks.h - what the programs of this directory share, in C and C++.
 *
 * A program is a topic, its cases are functions: `victim_leaks_TOPIC CASE` runs one, `victim_leaks_TOPIC list` names them.
 * A case loses blocks and keeps blocks, and says so itself, a line each:
 *     leak WHEN KIND FUNCTION BLOCKS BYTES     WHEN: always, exit (only then), demand (only then), child (in the forked one)
 *     keep always - FUNCTION BLOCKS BYTES      FUNCTION allocated them; BYTES is what it asked for, * if only libc knows
 *     expect WHAT VALUE / found WHAT VALUE     what an interface must answer to the program, and what it did answer
 * then "ready". It waits for a byte or the end of its input, and ends by exit(). With LEAKS_JUDGE=demand it does not wait
 * but asks for a check itself, in LeakSanitizer's words.
 *
 * A value that lies about in a dead part of a stack or in a register hides a leak from any tool that searches for pointers.
 * So a case runs far below main's frame (deep), and what it left behind is wiped before anybody looks. */
#pragma once
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __clang__
#define ALONE __attribute__((noinline, unused))
#else
#define ALONE __attribute__((noipa, unused)) /* no clone with another name, nothing known of its results */
#endif
#define SHARED __attribute__((unused))

#ifdef __cplusplus
extern "C" {
#endif
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));
#ifdef __cplusplus
}
#endif

/* The compiler must believe that the value is used and memory is changed. */
#define ESCAPE(value) __asm__ volatile("" : : "r"(value) : "memory")

static SHARED void *blank(void *block, size_t bytes)
{
	if (!block)
		abort();
	memset(block, 0, bytes);
	ESCAPE(block);
	return block;
}

/* A function that allocates, under a name of its own, with nothing between it and the allocator. */
#define SITE_OF(name, expression)            \
	static ALONE void *name(size_t size) \
	{                                    \
		void *block = expression;    \
		return blank(block, size);   \
	}
#define SITE(name) SITE_OF(name, malloc(size))

/* A pointer that no search finds: its complement. */
static SHARED uintptr_t hide(const void *block)
{
	return ~(uintptr_t)block;
}
static SHARED void *unhide(uintptr_t hidden)
{
	return (void *)~hidden; /* NOLINT */
}

struct node {
	struct node *next, *other;
	char rest[32];
};

/* `count` nodes of one site, each pointing to the next; the first. The last points to `end`. */
static SHARED struct node *chain(void *(*site)(size_t), int count, struct node *end)
{
	struct node *first = end;

	for (int i = 0; i < count; i++) {
		struct node *node = (struct node *)site(sizeof(*node));

		node->next = first;
		first = node;
	}
	return first;
}

/* The last of a chain. */
static SHARED struct node *last_of(struct node *node)
{
	while (node->next)
		node = node->next;
	return node;
}

/* `count` nodes in a ring; one of them. */
static SHARED struct node *ring(void *(*site)(size_t), int count)
{
	struct node *first = chain(site, count, NULL);

	last_of(first)->next = first;
	return first;
}

/* What the case states. No pointers in it. */
static char statement[4096];
static size_t statement_length;
#define UNKNOWN ((size_t)-1)

static SHARED void state(const char *what, const char *site, size_t blocks, size_t bytes)
{
	char *at = statement + statement_length;
	size_t room = sizeof(statement) - statement_length;
	int length = bytes == UNKNOWN ? snprintf(at, room, "%s %s %zu *\n", what, site, blocks)
	                              : snprintf(at, room, "%s %s %zu %zu\n", what, site, blocks, bytes);

	if (length < 0 || (size_t)length >= room)
		abort();
	statement_length += (size_t)length;
}
#define DIRECT(site, blocks, bytes)            state("leak always direct", #site, blocks, bytes)
#define INDIRECT(site, blocks, bytes)          state("leak always indirect", #site, blocks, bytes)
#define DIRECT_IN(when, site, blocks, bytes)   state("leak " #when " direct", #site, blocks, bytes)
#define INDIRECT_IN(when, site, blocks, bytes) state("leak " #when " indirect", #site, blocks, bytes)
#define KEPT(site, blocks, bytes)              state("keep always -", #site, blocks, bytes)
/* Of two blocks that point to each other the one at the lower address is the direct leak. */
#define PAIR(first, one, one_bytes, other, two, two_bytes)                                                     \
	(state((uintptr_t)(one) < (uintptr_t)(two) ? "leak always direct" : "leak always indirect", #first, 1, \
	       one_bytes),                                                                                     \
	 state((uintptr_t)(one) < (uintptr_t)(two) ? "leak always indirect" : "leak always direct", #other, 1, \
	       two_bytes))

static SHARED void answer(const char *how, const char *what, long value)
{
	int length = snprintf(statement + statement_length, sizeof(statement) - statement_length, "%s %s %ld\n", how,
	                      what, value);

	statement_length += (size_t)length;
}

/* Registers that a call need not keep: the general ones, and all vectors (libc's memcpy moves pointers through them). */
static ALONE void wipe_registers(void)
{
#ifdef __x86_64__
	__asm__ volatile(
	        "xor %%eax, %%eax\n xor %%ecx, %%ecx\n xor %%edx, %%edx\n xor %%esi, %%esi\n xor %%edi, %%edi\n"
	        "xor %%r8d, %%r8d\n xor %%r9d, %%r9d\n xor %%r10d, %%r10d\n xor %%r11d, %%r11d\n"
	        "pxor %%xmm0, %%xmm0\n pxor %%xmm1, %%xmm1\n pxor %%xmm2, %%xmm2\n pxor %%xmm3, %%xmm3\n"
	        "pxor %%xmm4, %%xmm4\n pxor %%xmm5, %%xmm5\n pxor %%xmm6, %%xmm6\n pxor %%xmm7, %%xmm7\n"
	        "pxor %%xmm8, %%xmm8\n pxor %%xmm9, %%xmm9\n pxor %%xmm10, %%xmm10\n pxor %%xmm11, %%xmm11\n"
	        "pxor %%xmm12, %%xmm12\n pxor %%xmm13, %%xmm13\n pxor %%xmm14, %%xmm14\n pxor %%xmm15, %%xmm15\n"
	        :
	        :
	        : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
	if (__builtin_cpu_supports("avx"))
		__asm__ volatile("vzeroall" : : : "memory");
	if (__builtin_cpu_supports("avx512f"))
		__asm__ volatile(".irp n, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
		                 "vpxorq %%zmm\\n, %%zmm\\n, %%zmm\\n\n"
		                 ".endr\n"
		                 "vzeroupper"
		                 :
		                 :
		                 : "memory");
#endif
}

#define DEPTH 65536

/* Runs a part of a case so far below that no later call comes near what it leaves behind. */
static ALONE void deep(void (*part)(void))
{
	char room[DEPTH];

	memset(room, 0, sizeof(room));
	ESCAPE(room);
	part();
	ESCAPE(room);
}

static ALONE void wipe_stack(void)
{
	char room[2 * DEPTH];

	memset(room, 0, sizeof(room));
	ESCAPE(room);
}

static ALONE void wipe(void)
{
	wipe_stack();
	wipe_registers();
}

/* Tells, waits, ends. From wherever the case stands: a frame that holds something is still there. */
static ALONE void finish(void)
{
	const char *judge = getenv("LEAKS_JUDGE");
	char byte;

	if (write(STDOUT_FILENO, statement, statement_length) < 0 || write(STDOUT_FILENO, "ready\n", 6) < 0)
		_exit(3);
	if (judge && strcmp(judge, "demand") == 0 && __lsan_do_recoverable_leak_check)
		(void)__lsan_do_recoverable_leak_check();
	else if (read(STDIN_FILENO, &byte, 1) < 0)
		_exit(3);
	exit(0);
}

/* Threads that stay: the part runs in a thread, which says by here_i_stay() that all is in place, and waits for good. */
static sem_t in_place;

static SHARED void tell_in_place(void)
{
	sem_post(&in_place);
}
static volatile int never; /* so that the compiler keeps what comes after a wait, and what that needs */
static SHARED void here_i_stay(void)
{
	tell_in_place();
	while (!never)
		pause();
}
static SHARED pthread_t start(void *(*run)(void *), void *argument)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, argument) != 0)
		abort();
	return thread;
}
static SHARED void start_and_wait(void *(*run)(void *), void *argument)
{
	start(run, argument);
	while (sem_wait(&in_place) != 0)
		;
}

struct leak_case {
	const char *name;
	void (*run)(void);
};
#define CASE(name)                 \
	{                          \
#name, case_##name \
	}

static SHARED int leaks_main(int argc, char **argv, const struct leak_case *cases, size_t count)
{
	sem_init(&in_place, 0, 0);
	free(malloc(1)); /* a preloaded LeakSanitizer takes the stack that it is first called on for the thread's */
	for (size_t i = 0; i < count && argc == 2; i++) {
		if (strcmp(argv[1], "list") == 0) {
			puts(cases[i].name);
		} else if (strcmp(argv[1], cases[i].name) == 0) {
			deep(cases[i].run);
			wipe();
			finish();
		}
	}
	return argc == 2 && strcmp(argv[1], "list") == 0 ? 0 : 2;
}
#define LEAKS_MAIN                                                                      \
	int main(int argc, char **argv)                                                 \
	{                                                                               \
		return leaks_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0])); \
	}
