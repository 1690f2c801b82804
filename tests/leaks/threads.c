/* Stacks and arguments of threads: of those that wait, start, hand over, and of those that have ended, whose stack libc keeps
 * for the next one with all that lies on it. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>

#include "leaks.h"

SITE(lost)
SITE(lost_child)
SITE(kept)

static void *volatile global;

static void *stay_with_local(void *unused)
{
	void *volatile held = kept(90);

	wipe();
	here_i_stay();
	ESCAPE(held);
	return unused;
}
static void case_stack_of_waiting_thread(void)
{
	start_and_wait(stay_with_local, NULL);
	KEPT(kept, 1, 90);
}

static ALONE void stay_deep_down(int levels)
{
	void *volatile held = kept(90);

	if (levels > 1)
		stay_deep_down(levels - 1);
	else
		here_i_stay();
	ESCAPE(held);
}
static void *stay_deep(void *unused)
{
	stay_deep_down(500);
	return unused;
}
static void case_deep_stack(void)
{
	start_and_wait(stay_deep, NULL);
	KEPT(kept, 500, 500 * 90);
}

/* What a function that has returned left on the stack of its thread, far below where the thread stands now. Nobody wipes it. */
static ALONE void leave_behind(void)
{
	void *volatile below[DEPTH / sizeof(void *)];

	memset((void *)(uintptr_t)below, 0, sizeof(below));
	for (int i = 0; i < 8; i++)
		below[i] = lost(90);
	ESCAPE(below);
}
static void *stay_above(void *unused)
{
	leave_behind();
	wipe_registers();
	here_i_stay();
	return unused;
}
static void case_below_the_stack_pointer(void)
{
	start_and_wait(stay_above, NULL);
	DIRECT(lost, 8, 8 * 90);
}

/* Stack, argument and result of a thread that ended: nothing wipes them. */
static void *leave_on_stack(void *unused)
{
	void *volatile held = lost(90);
	struct node *volatile head = chain(lost_child, 3, NULL);

	ESCAPE(held);
	ESCAPE(head);
	return unused;
}
static void case_ended_joined(void)
{
	pthread_join(start(leave_on_stack, NULL), NULL);
	DIRECT(lost, 1, 90);
	DIRECT(lost_child, 1, sizeof(struct node));
	INDIRECT(lost_child, 2, 2 * sizeof(struct node));
}

static volatile pid_t ending;

static void *detached(void *unused)
{
	(void)leave_on_stack(unused);
	ending = gettid();
	tell_in_place();
	return unused;
}
/* Until the kernel has ended the thread, its stack is one of a living thread. The first one stays in the list as a zombie. */
static void wait_for_end_of(pid_t tid)
{
	char path[64], line[128];
	ssize_t length = 1;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	while (length > 0) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		length = fd < 0 ? 0 : read(fd, line, sizeof(line) - 1);
		if (fd >= 0)
			close(fd);
		line[length > 0 ? length : 0] = '\0';
		if (length > 0 && strncmp(strchr(line, ')'), ") Z", 3) == 0)
			return;
		usleep(1000);
	}
}
static void case_ended_detached(void)
{
	pthread_detach(start(detached, NULL));
	sem_wait(&in_place);
	wait_for_end_of(ending);
	DIRECT(lost, 1, 90);
	DIRECT(lost_child, 1, sizeof(struct node));
	INDIRECT(lost_child, 2, 2 * sizeof(struct node));
}

/* Ended, and nobody has asked for its result yet. The frames are gone all the same. */
static void case_ended_not_joined(void)
{
	start(detached, NULL);
	sem_wait(&in_place);
	wait_for_end_of(ending);
	DIRECT(lost, 1, 90);
	DIRECT(lost_child, 1, sizeof(struct node));
	INDIRECT(lost_child, 2, 2 * sizeof(struct node));
}

/* The result itself is still to be had. */
static void *with_result(void *unused)
{
	void *result = kept(90);

	(void)unused;
	ending = gettid();
	tell_in_place();
	return result;
}
static void case_result_not_yet_joined(void)
{
	start(with_result, NULL);
	sem_wait(&in_place);
	wait_for_end_of(ending);
	KEPT(kept, 1, 90);
}

static void *stay_with_argument(void *argument)
{
	wipe();
	here_i_stay();
	return argument;
}
static void case_argument_of_thread(void)
{
	start_and_wait(stay_with_argument, kept(90));
	KEPT(kept, 1, 90);
}

static void *drop_argument(void *argument)
{
	(void)argument;
	return NULL;
}
static void case_argument_of_ended_thread(void)
{
	pthread_join(start(drop_argument, lost(90)), NULL);
	DIRECT(lost, 1, 90);
}

/* Threads start all the time; until one runs, nobody but libc has its argument. */
static void *use_argument(void *argument)
{
	free(argument);
	return NULL;
}
static void *start_threads(void *unused)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, DEPTH);
	for (int i = 0;; i++) {
		pthread_t thread;
		void *argument = kept(90);

		if (pthread_create(&thread, &attr, use_argument, argument) != 0)
			free(argument);
		if (i == 20)
			tell_in_place();
		if (i % 4 == 0)
			usleep(100);
	}
	return unused;
}
static void case_threads_starting(void)
{
	start_and_wait(start_threads, NULL);
	KEPT(kept, 1, 90);
}

/* A block goes from thread to thread; in between it is in one word, or in a register of either. */
static void *_Atomic mailbox;

static void *take_and_give(void *unused)
{
	for (;;) {
		void *block = __atomic_exchange_n((void **)(uintptr_t)&mailbox, NULL, __ATOMIC_ACQ_REL);

		if (block)
			__atomic_store_n((void **)(uintptr_t)&mailbox, block, __ATOMIC_RELEASE);
		sched_yield();
	}
	return unused;
}
static void case_handed_over(void)
{
	mailbox = kept(90);
	start(take_and_give, NULL);
	start(take_and_give, NULL);
	KEPT(kept, 1, 90);
}

/* Lists that threads take apart and put together while somebody looks. */
static struct node *_Atomic stack_of_nodes;
static pthread_mutex_t stack_lock = PTHREAD_MUTEX_INITIALIZER;

static void *push_and_pop(void *unused)
{
	struct node *mine[8];

	for (;;) {
		int taken = 0;

		pthread_mutex_lock(&stack_lock);
		while (taken < 8 && stack_of_nodes) {
			mine[taken] = stack_of_nodes;
			stack_of_nodes = mine[taken]->next;
			mine[taken]->next = NULL;
			taken++;
		}
		pthread_mutex_unlock(&stack_lock);
		while (taken > 0) {
			pthread_mutex_lock(&stack_lock);
			mine[--taken]->next = stack_of_nodes;
			stack_of_nodes = mine[taken];
			pthread_mutex_unlock(&stack_lock);
		}
		sched_yield();
	}
	return unused;
}
static void case_list_in_motion(void)
{
	stack_of_nodes = chain(kept, 20, NULL);
	start(push_and_pop, NULL);
	start(push_and_pop, NULL);
	KEPT(kept, 20, 20 * sizeof(struct node));
}

/* A thread has a heap of its own in libc. */
static void *work_in_own_arena(void *unused)
{
	struct node *first = chain(lost, 4, NULL);

	first->other = (struct node *)lost_child(100);
	global = kept(200);
	return unused;
}
static void case_arena_of_thread(void)
{
	pthread_join(start(work_in_own_arena, NULL), NULL);
	DIRECT(lost, 1, sizeof(struct node));
	INDIRECT(lost, 3, 3 * sizeof(struct node));
	INDIRECT(lost_child, 1, 100);
	KEPT(kept, 1, 200);
}

/* From one arena to the other: the pointer is in a block of the other thread's heap. */
static void *hold_in_own_arena(void *unused)
{
	void **holder = (void **)kept(64);

	holder[4] = global;
	global = holder;
	return unused;
}
static void case_across_arenas(void)
{
	global = kept(200);
	pthread_join(start(hold_in_own_arena, NULL), NULL);
	KEPT(kept, 2, 264);
}

static void release(void *block)
{
	free(block);
}
static void *wait_with_handler(void *unused)
{
	void *held = kept(90);

	pthread_cleanup_push(release, held);
	here_i_stay();
	pthread_cleanup_pop(1);
	return unused;
}
static void *wait_without_handler(void *unused)
{
	void *volatile held = lost(90);

	here_i_stay();
	ESCAPE(held);
	return unused;
}
static void cancel(void *(*run)(void *))
{
	pthread_t thread = start(run, NULL);

	sem_wait(&in_place);
	pthread_cancel(thread);
	pthread_join(thread, NULL);
}
static void case_cancelled_with_handler(void)
{
	cancel(wait_with_handler);
}
static void case_cancelled_without_handler(void)
{
	cancel(wait_without_handler);
	DIRECT(lost, 1, 90);
}

/* The stack is a block of the heap, which the program holds; what lies on it is held by the thread. */
static void case_stack_in_the_heap(void)
{
	size_t bytes = 64 * 4096;
	pthread_attr_t attr;
	pthread_t thread;

	if (posix_memalign((void **)(uintptr_t)&global, 4096, bytes) != 0)
		abort();
	memset(global, 0, bytes);
	pthread_attr_init(&attr);
	if (pthread_attr_setstack(&attr, global, bytes) != 0 ||
	    pthread_create(&thread, &attr, stay_with_local, NULL) != 0)
		abort();
	sem_wait(&in_place);
	KEPT(kept, 1, 90);
	KEPT(case_stack_in_the_heap, 1, bytes);
}

/* The first thread is gone, others go on. What lay on its stack is lost. */
static void *outlive(void *first)
{
	pthread_join(*(pthread_t *)first, NULL);
	wait_for_end_of(getpid());
	wipe_registers();
	finish();
	return first;
}
static ALONE void lose_by_ending(void)
{
	void *volatile held[DEPTH / sizeof(void *)];

	memset((void *)(uintptr_t)held, 0, sizeof(held));
	held[5] = lost(90);
	ESCAPE(held);
	pthread_exit(NULL);
}
static void case_first_thread_ended(void)
{
	static pthread_t first;

	first = pthread_self();
	global = kept(50);
	DIRECT(lost, 1, 90);
	KEPT(kept, 1, 50);
	start(outlive, &first);
	lose_by_ending();
}

/* exit() by another thread while the first waits with something on its stack. */
static void *end_all(void *unused)
{
	finish();
	return unused;
}
static void case_exit_by_another_thread(void)
{
	void *volatile held = kept(90);

	KEPT(kept, 1, 90);
	wipe();
	start(end_all, NULL);
	here_i_stay();
	ESCAPE(held);
}

static void *stay_in_line(void *unused)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	void *volatile held = kept(90);

	wipe();
	tell_in_place();
	pthread_mutex_lock(&lock);
	ESCAPE(held);
	here_i_stay();
	return unused;
}
/* No signal reaches it: it cannot be held by one, and its stack is searched whole. */
static void *stay_without_signals(void *unused)
{
	void *volatile held = kept(90);
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	wipe();
	here_i_stay();
	ESCAPE(held);
	return unused;
}
static void case_stack_of_thread_without_signals(void)
{
	start_and_wait(stay_without_signals, NULL);
	(void)lost(48);
	DIRECT(lost, 1, 48);
	KEPT(kept, 1, 90);
}

/* All but one wait for a lock. */
static void case_many_threads(void)
{
	for (int i = 0; i < 40; i++)
		start_and_wait(stay_in_line, NULL);
	KEPT(kept, 40, 40 * 90);
}

static const struct leak_case cases[] = {
	CASE(stack_of_waiting_thread),
	CASE(stack_of_thread_without_signals),
	CASE(deep_stack),
	CASE(below_the_stack_pointer),
	CASE(ended_joined),
	CASE(ended_detached),
	CASE(ended_not_joined),
	CASE(result_not_yet_joined),
	CASE(argument_of_thread),
	CASE(argument_of_ended_thread),
	CASE(threads_starting),
	CASE(handed_over),
	CASE(list_in_motion),
	CASE(arena_of_thread),
	CASE(across_arenas),
	CASE(cancelled_with_handler),
	CASE(cancelled_without_handler),
	CASE(stack_in_the_heap),
	CASE(first_thread_ended),
	CASE(exit_by_another_thread),
	CASE(many_threads),
};
LEAKS_MAIN
